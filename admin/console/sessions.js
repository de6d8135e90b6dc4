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

function all(main) {
	let after = "";
	const body = h("div", {});
	const input = h("input", { type: "search", placeholder: "id or address", "aria-label": "Find sessions by id or address", oninput: () => { after = ""; load(); } });
	main.replaceChildren(h("section", { class: "card" }, h("div", { class: "bar" }, h("h1", {}, "Sessions"), h("span", { class: "muted", role: "status" }), input), body));
	async function turn(to) {
		after = to;
		await load();
		scrollTo(0, 0);
	}
	async function load() {
		const from = after, contains = input.value;
		try {
			const page = await get("sessions", { after, contains });
			if (from !== after || contains !== input.value) {
				return;
			}
			main.querySelector("[role=status]").textContent = count(page.total);
			renew(body,
				table("Sessions", ["Id", "Client", "#Timeout", "#Ephemerals", "#Watches", "#Waiting", "#Received", "#Sent", "Last", "#Mean ms", "#Max ms"], page.sessions.map((s) => [
					h("a", { href: "#/sessions/" + s.id }, s.id), where(s), duration(s.timeout), count(s.ephemerals),
					...(s.address ? [count(s.watches), count(s.waiting), count(s.received), count(s.sent), operations[s.operation] ?? s.operation, milliseconds(s.latency), milliseconds(s.slowest)] : Array(7).fill("")),
				])),
				(after || page.more) && h("p", { class: "bar" },
					after && h("button", { type: "button", onclick: () => turn("") }, "From the first"),
					page.more && h("button", { type: "button", onclick: () => turn(page.sessions.at(-1).id) }, "Next page")),
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
