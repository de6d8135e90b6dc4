// Why is it slow? What is asked for most, by whom, and what tells many of each change.

import { get, poll, words } from "./api.js";
import { mean, read } from "./charts.js";
import { count, h, note, renew, size, table, visible } from "./dom.js";
import { link } from "./tree.js";

export function show(main) {
	return poll(2000, async () => {
		try {
			const [top, history] = await Promise.all([get("top"), read()]);
			const found = findings(top, history);
			const most = Math.max(1, ...top.paths.map((p) => p.reads + p.writes), ...top.clients.map((c) => c.reads + c.writes));
			const bar = (r) => h("div", { class: "share", title: `${count(Math.round(r.reads + r.writes))} a second` }, width(h("span", { class: "reads" }), r.reads / most), width(h("span", { class: "writes" }), r.writes / most));
			const rates = (r) => [bar(r), perSecond(r.reads), perSecond(r.writes), size(r.bytes) + "/s"];
			renew(main, h("div", { class: "detail" },
				h("div", { class: "card" }, h("h1", {}, "Why is it slow?"),
					found.length === 0 ? h("p", { class: "good" }, "Nothing stands out.") : h("ul", { class: "findings" }, found.map((text) => h("li", {}, text))),
					h("p", { class: "muted" }, `One request of ${top.every} is looked at while this page is open, of the last ${Math.round(top.seconds)} seconds, the newest most. Numbers are estimates.`)),
				h("div", { class: "columns" },
					h("div", { class: "card" }, h("h2", {}, "Paths"), none(top.paths) ?? table("Paths that are asked for most", ["Path", "Share", "#Reads", "#Writes", "#Bytes"],
						top.paths.map((p) => [h("a", { href: link(p.path), class: "name" }, visible(p.path)), ...rates(p)]))),
					h("div", { class: "card" }, h("h2", {}, "Clients"), none(top.clients) ?? table("Clients that ask most", ["Session", "Client", "Share", "#Reads", "#Writes", "#Bytes"],
						top.clients.map((c) => [h("a", { href: "#/sessions/" + c.session }, c.session), h("code", {}, c.address || "gone"), ...rates(c)]))),
					h("div", { class: "card" }, h("h2", {}, "Watched by many"), top.watched.length === 0 ? h("p", { class: "muted" }, "There are no watches.") : table("Paths that most clients watch", ["Path", "#Clients told of a change"],
						top.watched.map((w) => [h("a", { href: link(w.path), class: "name" }, visible(w.path)), count(w.watchers)]))))));
		} catch (error) {
			renew(main, note("error", words(error)));
		}
	});
}

const perSecond = (n) => n >= 10 ? count(Math.round(n)) : n.toFixed(1);
const none = (list) => list.length === 0 ? h("p", { class: "muted" }, "No requests yet.") : null;

function width(element, part) {
	element.style.width = (100 * part).toFixed(1) + "%";
	return element;
}

// findings are what an experienced eye would see in the numbers first.
function findings(top, history) {
	const found = [];
	const now = history.at(-1), before = history.at(-Math.min(history.length, 6));
	const m = now.metrics;
	const fsync = mean("fsynctime")(now, before);
	if (fsync > 20) {
		found.push(`The disk takes ${fsync.toFixed(0)} ms to write: each write of a client waits for it.`);
	}
	if (top.outstanding_limit > 0 && m.outstanding_requests > top.outstanding_limit / 2) {
		found.push(`${count(m.outstanding_requests)} writes are under way, of ${count(top.outstanding_limit)} that there may be: above that clients wait.`);
	}
	if (m.quoll_client_output_bytes > 16 << 20) {
		found.push(`${size(m.quoll_client_output_bytes)} wait for clients that do not read them.`);
	}
	const all = top.clients.reduce((sum, c) => sum + c.reads + c.writes, 0);
	const first = top.clients[0];
	if (first && all > 100 && first.reads + first.writes > all / 2) {
		found.push(h("span", {}, `One client makes ${Math.round(100 * (first.reads + first.writes) / all)} % of the requests: `, h("a", { href: "#/sessions/" + first.session }, first.address || first.session), "."));
	}
	const heavy = top.paths.find((p) => p.reads + p.writes > 1 && p.bytes / (p.reads + p.writes) > 100 << 10);
	if (heavy) {
		found.push(h("span", {}, `Requests for `, h("a", { href: link(heavy.path) }, visible(heavy.path)), ` have ${size(heavy.bytes / (heavy.reads + heavy.writes))} each.`));
	}
	const fan = top.watched[0];
	if (fan?.watchers >= 1000) {
		found.push(h("span", {}, `A change of `, h("a", { href: link(fan.path) }, visible(fan.path)), ` tells ${count(fan.watchers)} clients, who ask all at once then.`));
	}
	if (m.max_file_descriptor_count > 0 && m.open_file_descriptor_count > 0.8 * m.max_file_descriptor_count) {
		found.push(`${count(m.open_file_descriptor_count)} of ${count(m.max_file_descriptor_count)} file descriptors are open.`);
	}
	return found;
}
