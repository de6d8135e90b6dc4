// The sessions, page by page, and one of them.

import { get, poll, words } from "./api.js";
import { count, duration, h, milliseconds, note, renew, table, time, visible } from "./dom.js";
import { link } from "./tree.js";

export function show(main, argument) {
	const id = argument.slice(1);
	return id ? one(main, id) : all(main);
}

const operations = { PING: "ping", GETD: "getData", EXIS: "exists", GETC: "getChildren", CREA: "create", DELE: "delete", SETD: "setData", SESS: "createSession", CLOS: "closeSession", MULT: "multi", NA: "–" };
const where = (s) => s.address ? [h("code", {}, s.address), s.secure && h("span", { class: "badge" }, "TLS")] : h("span", { class: "muted" }, "not connected here");

// columns are those of the table, with what the server calls each. Numbers come with the largest first, which is what is looked for.
const columns = [["Id", "id"], ["Client", "address"], ["#Timeout", "timeout"], ["#Ephemerals", "ephemerals"], ["#Watches", "watches"], ["#Waiting", "waiting"], ["#Received", "received"], ["#Sent", "sent"], ["Last", "operation"], ["#Mean ms", "latency"], ["#Max ms", "slowest"]];

function all(main) {
	let from = 0, at = 0, direction = "ascending";
	const body = h("div", {});
	const input = h("input", { type: "search", placeholder: "id or address", "aria-label": "Find sessions by id or address", oninput: () => turn(0) });
	main.replaceChildren(h("section", { class: "card" }, h("div", { class: "bar" }, h("h1", {}, "Sessions"), h("span", { class: "muted", role: "status" }), input), body));
	async function turn(to) {
		from = to;
		await load();
		scrollTo(0, 0);
	}
	function choose(i) {
		const [first, other] = columns[i][0].startsWith("#") ? ["descending", "ascending"] : ["ascending", "descending"];
		direction = i === at && direction === first ? other : first;
		at = i;
		turn(0);
	}
	let asked = 0;
	async function load() {
		const mine = ++asked, contains = input.value;
		try {
			const page = await get("sessions", { from, contains, by: columns[at][1], order: direction });
			if (mine !== asked) {
				return;
			}
			main.querySelector("[role=status]").textContent = few(page.found, page.total);
			renew(body,
				table("Sessions", columns.map(([head]) => head), page.sessions.map((s) => [
					h("a", { href: "#/sessions/" + s.id }, s.id), where(s), duration(s.timeout), count(s.ephemerals),
					...(s.address ? [count(s.watches), count(s.waiting), count(s.received), count(s.sent), operations[s.operation] ?? s.operation, milliseconds(s.latency), milliseconds(s.slowest)] : Array(7).fill("")),
				]), { at, direction, choose }),
				(from > 0 || page.more) && h("p", { class: "bar" },
					from > 0 && h("button", { type: "button", onclick: () => turn(0) }, "From the first"),
					page.more && h("button", { type: "button", onclick: () => turn(from + page.sessions.length) }, "Next page")),
				page.sessions.length === 0 && h("p", { class: "muted" }, "None."));
		} catch (error) {
			renew(body, note("error", words(error)));
		}
	}
	return poll(3000, load);
}

function one(main, id) {
	async function load() {
		try {
			const s = await get("session", { id });
			renew(main, h("div", { class: "detail" },
				h("div", { class: "head" }, h("h1", { class: "path" }, h("a", { href: "#/sessions/" }, "Sessions"), " / ", s.id), s.local && h("span", { class: "badge" }, "local")),
				h("div", { class: "card" }, h("h2", {}, "Client"), h("dl", { class: "stat" },
					[["Address", where(s)], ["Timeout", duration(s.timeout)], ["Connected", time(s.established)], ["Waiting requests", s.waiting], ["Received", s.received], ["Sent", s.sent],
						["Last operation", operations[s.operation] ?? s.operation], ["Mean latency", s.latency === undefined ? undefined : milliseconds(s.latency) + " ms"], ["Longest", s.slowest === undefined ? undefined : milliseconds(s.slowest) + " ms"],
						["Authenticated as", s.ids && s.ids.map((known) => [h("code", {}, visible(known)), " "])]]
						.filter(([, value]) => value !== undefined).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
				h("div", { class: "columns" },
					h("div", { class: "card" }, h("div", { class: "bar" }, h("h2", {}, "Ephemerals"), h("span", { class: "muted" }, few(s.paths.length, s.ephemerals))), paths("Ephemerals", s.paths)),
					s.watched && h("div", { class: "card" }, h("div", { class: "bar" }, h("h2", {}, "Watches"), h("span", { class: "muted" }, few(s.watched.length, s.watches))),
						s.watched.length === 0 ? h("p", { class: "muted" }, "None.") : table("Watches", ["Path", "Kind"], s.watched.map((w) => [h("a", { href: link(w.path), class: "name" }, visible(w.path)), w.kinds.join(", ")]))))));
		} catch (error) {
			renew(main, note("error", words(error)), h("p", {}, h("a", { href: "#/sessions/" }, "All sessions")));
		}
	}
	return poll(3000, load);
}

const few = (shown, total) => shown < total ? `${count(shown)} of ${count(total)}` : count(total);
const paths = (name, list) => list.length === 0 ? h("p", { class: "muted" }, "None.") : h("div", { class: "plain", tabindex: 0, role: "region", "aria-label": name }, h("ul", {}, list.map((path) => h("li", {}, h("a", { href: link(path), class: "name" }, visible(path))))));
