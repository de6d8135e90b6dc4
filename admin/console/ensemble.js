// The members, and what this one knows of them.

import { get, poll, words } from "./api.js";
import { count, duration, h, note, renew, table } from "./dom.js";

const known = {
	self: () => "this server",
	synced: () => "in step",
	away: () => h("span", { class: "bad" }, "not in step"),
	config: () => h("span", { class: "muted" }, "ask the leader"),
};

export function show(main) {
	return poll(2000, async () => {
		try {
			const e = await get("ensemble");
			const alone = e.members.length === 0;
			renew(main, h("div", { class: "detail" },
				h("div", { class: "tiles" },
					[["State", e.state], ["Zxid", e.zxid], alone ? null : ["Epoch", count(e.epoch)], ["Up for", duration(e.uptime)], ["Clients at", e.clients || "–"], alone ? null : ["Config version", e.config]]
						.filter(Boolean).map(([name, value]) => h("div", { class: "card tile" }, h("span", { class: "muted" }, name), h("strong", {}, value)))),
				h("div", { class: "card" }, h("h1", {}, "Members"),
					alone ? h("p", { class: "muted" }, "This server stands alone.") : [
						!e.leads && h("p", { class: "muted" }, leadersConsole(e.members), "Of this server, Behind is what it has received and not yet applied."),
						e.syncing > 0 && note("hint", `${e.syncing} more that are being synchronized.`),
						table("Members of the ensemble", ["Server", "Role", "Now", "#Behind", "#Zxid", "Clients at", "Quorum port", "Election port"], e.members.map((m) => [
							h("strong", {}, String(m.id)),
							m.leader ? h("span", { class: "badge lead" }, "leader") : h("span", { class: "badge" }, m.votes ? "follower" : "observer"),
							known[m.known](), m.lag === undefined ? "" : m.lag === null ? "an epoch" : lag(m.lag), m.zxid ?? "",
							h("code", {}, m.clients || "–"), h("code", {}, m.quorum.join(" ")), h("code", {}, m.election.join(" ")),
						])),
					]),
				h("p", { class: "muted" }, "Version ", e.version)));
		} catch (error) {
			renew(main, note("error", words(error)));
		}
	});
}

// leadersConsole leads to the leader's console, which is there if it listens as this one does; where it is no member tells the others.
function leadersConsole(members) {
	const leader = members.find((m) => m.leader);
	const host = leader?.quorum[0]?.replace(/:\d+$/, "");
	if (!host) {
		return "How far the others are a leader will know. ";
	}
	const at = location.protocol + "//" + host + (location.port && ":" + location.port) + location.pathname + "#/ensemble/";
	return ["The leader knows how far the others are: ", h("a", { href: at, rel: "noreferrer", title: at }, `the console of server ${leader.id}`), ", if that listens as this one does. "];
}

const lag = (n) => n === 0 ? "0" : h("span", { class: n > 1000 ? "bad" : null }, count(n));
