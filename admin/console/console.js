// The frame of the page: which view is shown, and to whom.

import { credentials, forget, get, poll, remember } from "./api.js";
import { h, note } from "./dom.js";
import * as charts from "./charts.js";
import * as ensemble from "./ensemble.js";
import * as sessions from "./sessions.js";
import * as slow from "./slow.js";
import * as tree from "./tree.js";

const views = [
	{ name: "tree", title: "Tree", show: tree.show },
	{ name: "sessions", title: "Sessions", show: sessions.show },
	{ name: "ensemble", title: "Ensemble", show: ensemble.show },
	{ name: "charts", title: "Charts", show: charts.show },
	{ name: "slow", title: "Why slow?", show: slow.show },
];

const main = document.getElementById("main");
let leave = null; // ends the view that is shown
let who = null; // what the server says of the visitor

// route shows the view that the address names: #/view/argument.
async function route() {
	leave?.();
	leave = null;
	if (!credentials()) {
		return signIn();
	}
	if (!who) {
		try {
			who = await get("who");
			state();
		} catch (error) {
			if (error.status === 401) {
				forget();
			}
			return signIn({ 401: "The server does not take these credentials.", 403: "These credentials are good, but the console is for who has all permissions on the znode / , as the command snapshot." }[error.status] ?? error.message);
		}
	}
	const [, name, argument] = /^#\/([a-z]*)(.*)$/.exec(location.hash) ?? [];
	const view = views.find((v) => v.name === name);
	if (!view) {
		location.replace("#/tree/");
		return;
	}
	frame(view);
	if (view.name !== "tree") {
		main.replaceChildren();
	}
	document.title = view.title + " – quoll console";
	leave = view.show(main, argument, who) ?? null;
}

function frame(view) {
	document.querySelector("nav").replaceChildren(...views.map((v) => h("a", { href: "#/" + v.name + "/", "aria-current": v === view ? "page" : null }, v.title)));
	document.querySelector("nav [aria-current]").scrollIntoView({ inline: "center", block: "nearest" });
	const name = who.ids.at(-1);
	document.getElementById("who").replaceChildren(
		h("span", { class: "user", title: who.ids.join(", ") }, name),
		h("button", { type: "button", class: "quiet", title: name, onclick: () => { forget(); who = null; route(); } }, "Sign out"));
}

function signIn(error) {
	document.querySelector("nav").replaceChildren();
	document.getElementById("who").replaceChildren();
	document.getElementById("status").replaceChildren();
	document.title = "Sign in – quoll console";
	const scheme = h("select", { id: "scheme", onchange: () => { people.hidden = scheme.value !== "digest"; } },
		h("option", { value: "digest" }, "User and password (digest)"), h("option", { value: "ip" }, "My address (ip)"), h("option", { value: "x509" }, "My certificate (x509)"));
	const user = h("input", { id: "user", autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
	const password = h("input", { id: "password", type: "password", autocomplete: "current-password" });
	const people = h("div", { class: "fields" }, h("label", { for: "user" }, "User"), user, h("label", { for: "password" }, "Password"), password);
	const plain = location.protocol === "http:" && !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
	main.replaceChildren(h("form", {
		class: "card signin", onsubmit: (event) => {
			event.preventDefault();
			remember(scheme.value === "digest" ? `digest ${user.value}:${password.value}` : scheme.value);
			route();
		},
	},
	h("h1", {}, "Sign in"),
	h("p", { class: "muted" }, "For who may use the guarded commands of the AdminServer. You see the znodes that a client sees which authenticates like this, and no others."),
	error && note("error", error),
	h("div", { class: "fields" }, h("label", { for: "scheme" }, "As"), scheme), people,
	plain && note("hint", "This page comes without TLS: who listens on the network can read the password."),
	h("button", { class: "primary" }, "Sign in")));
	user.focus();
}

// state shows that of the server in the frame, whatever is shown.
async function state() {
	if (!who) {
		return;
	}
	const status = document.getElementById("status");
	try {
		const server = await get("ensemble");
		status.replaceChildren(h("span", { class: "chip" + (server.state === "looking" ? " bad" : ""), title: server.version }, server.myid === undefined ? server.state : `${server.myid} · ${server.state}`));
	} catch {
		status.replaceChildren(h("span", { class: "chip bad" }, "no answer"));
	}
}

addEventListener("hashchange", route);
addEventListener("signedout", () => {
	if (who) {
		forget();
		who = null;
		route();
	}
});
poll(5000, state);
route();
