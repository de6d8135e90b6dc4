// The tree: znodes on one side, loaded when they are opened and page by page, and the one that is chosen on the other.

import { fromBase64, get, post, toBase64, words } from "./api.js";
import { count, h, note, size, table, time, visible } from "./dom.js";
import { hexdump, pretty, textOf } from "./data.js";

const join = (path, name) => (path === "/" ? "/" : path + "/") + name;
const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1) || "/";
const parentOf = (path) => path.slice(0, path.lastIndexOf("/")) || "/";

// link is the address of a znode in this page.
export const link = (path) => "#/tree" + path.split("/").map(encodeURIComponent).join("/");

// pathOf is the znode that an address names.
function pathOf(argument) {
	try {
		return argument.split("/").map(decodeURIComponent).join("/").replace(/\/+$/, "") || "/";
	} catch {
		return "/";
	}
}

export function show(main, argument, who) {
	const path = pathOf(argument);
	let view = main.querySelector(".browser")?.view;
	if (!view) {
		view = browser(who);
		main.replaceChildren(view.element);
	}
	view.choose(path);
}

function browser(who) {
	const list = h("ul", { role: "tree", "aria-label": "Znodes", onkeydown: keys });
	const detail = h("section", { class: "detail", "aria-label": "Znode", "aria-live": "polite" });
	const go = h("input", { type: "text", "aria-label": "Path", spellcheck: "false", autocapitalize: "none" });
	const element = h("div", { class: "browser" },
		h("section", { class: "tree card", "aria-label": "Tree" },
			h("form", { onsubmit: (event) => { event.preventDefault(); location.hash = link(go.value.trim() || "/"); } }, go, h("button", {}, "Go")),
			list),
		detail);
	const items = new Map(); // of paths that are shown in the tree
	let chosen = null;

	function item(path, level, facts) {
		const group = h("ul", { role: "group", hidden: true });
		const li = h("li", { role: "treeitem", "aria-level": level, "aria-selected": "false", tabindex: -1, "aria-label": visible(nameOf(path)) },
			h("div", { class: "row" }, h("span", { class: "twist", "aria-hidden": "true" }), h("span", { class: "name" }, visible(nameOf(path))), h("span", { class: "badges" }, badges(facts))), group);
		li.firstChild.style.setProperty("--level", level);
		const one = { path, level, li, group, loaded: false };
		if (!facts || facts.children > 0) {
			li.setAttribute("aria-expanded", "false");
		}
		li.firstChild.addEventListener("click", (event) => {
			li.focus({ preventScroll: true });
			if (event.target.classList.contains("twist")) {
				toggle(one);
			} else {
				location.hash = link(path);
			}
		});
		li.znode = one;
		items.set(path, one);
		return li;
	}

	function badges(facts) {
		if (!facts) {
			return [];
		}
		if (facts.children === undefined) {
			return [h("span", { class: "badge", title: "You may not read it" }, "no access")];
		}
		return [facts.kind !== "persistent" && h("span", { class: "badge " + facts.kind }, facts.kind), facts.children > 0 && h("span", { class: "count", title: "children" }, count(facts.children))];
	}

	async function load(one, after) {
		one.loaded = true;
		one.group.querySelector(":scope > .more")?.remove();
		try {
			const page = await get("children", { path: one.path, after });
			for (const child of page.children) {
				const path = join(one.path, child.name);
				const li = items.get(path)?.li ?? item(path, one.level + 1, child);
				li.classList.remove("ahead");
				one.group.insertBefore(li, one.group.querySelector(":scope > .ahead"));
			}
			if (page.total === 0) {
				one.li.removeAttribute("aria-expanded");
			}
			if (page.more) {
				const last = page.children.at(-1).name;
				const ahead = one.group.querySelectorAll(":scope > .ahead");
				const shown = one.group.children.length - ahead.length;
				one.group.insertBefore(h("li", { class: "more", role: "none" }, h("button", { type: "button", class: "quiet", onclick: () => load(one, last) }, `More (${count(shown)} of ${count(page.total)})`)), ahead[0] ?? null);
			}
		} catch (error) {
			one.loaded = false;
			one.group.append(h("li", { class: "more", role: "none" }, note("error", words(error))));
		}
	}

	async function toggle(one, open = one.li.getAttribute("aria-expanded") === "false") {
		if (!one.li.hasAttribute("aria-expanded")) {
			return;
		}
		one.li.setAttribute("aria-expanded", String(open));
		one.group.hidden = !open;
		if (open && !one.loaded) {
			one.group.replaceChildren();
			await load(one, "");
		}
	}

	function keys(event) {
		const li = event.target.closest("[role=treeitem]");
		if (!li || event.target.tagName === "BUTTON" || event.altKey || event.ctrlKey || event.metaKey) {
			return;
		}
		const shown = [...list.querySelectorAll("[role=treeitem]")].filter((other) => !other.parentElement.closest("[hidden]"));
		const open = li.getAttribute("aria-expanded");
		const at = shown.indexOf(li);
		let next = null;
		switch (event.key) {
		case "ArrowDown": next = shown[at + 1]; break;
		case "ArrowUp": next = shown[at - 1]; break;
		case "Home": next = shown[0]; break;
		case "End": next = shown.at(-1); break;
		case "ArrowRight":
			if (open === "false") {
				toggle(li.znode, true);
			} else if (open === "true") {
				next = shown[at + 1];
			}
			break;
		case "ArrowLeft":
			if (open === "true") {
				toggle(li.znode, false);
			} else {
				next = li.parentElement.closest("[role=treeitem]");
			}
			break;
		case "Enter": case " ": location.hash = link(li.znode.path); break;
		default: return;
		}
		event.preventDefault();
		if (next) {
			roam(next);
			next.focus();
		}
	}

	// roam makes an item the one that Tab leads to.
	function roam(li) {
		list.querySelector("[tabindex='0']")?.setAttribute("tabindex", -1);
		li.setAttribute("tabindex", 0);
	}

	// choose shows a znode, and opens the tree down to it and its children. What is on a page that was not loaded yet stands alone behind those that were.
	async function choose(path) {
		go.value = path;
		const mine = chosen = Symbol(path);
		const showing = details(detail, path, who, refresh);
		const way = [path];
		while (way[0] !== "/") {
			way.unshift(parentOf(way[0]));
		}
		for (const at of way) {
			const parent = items.get(parentOf(at));
			if (!items.has(at) && parent && await showing && !items.has(at)) {
				const li = item(at, parent.level + 1, null);
				li.classList.add("ahead");
				parent.group.append(li);
			}
			if (!items.has(at)) {
				break;
			}
			await toggle(items.get(at), true);
		}
		if (chosen !== mine) {
			return;
		}
		list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
		const one = items.get(path);
		if (one) {
			one.li.setAttribute("aria-selected", "true");
			roam(one.li);
			one.li.firstChild.scrollIntoView({ block: "nearest" });
		}
		await showing;
	}

	// refresh loads the children of a znode anew.
	async function refresh(path) {
		const one = items.get(path);
		if (!one) {
			return;
		}
		for (const known of [...items.keys()]) {
			if (known !== path && known.startsWith(path === "/" ? "/" : path + "/")) {
				items.delete(known);
			}
		}
		one.li.setAttribute("aria-expanded", "false");
		one.loaded = false;
		await toggle(one, true);
	}

	list.append(item("/", 1, null));
	roam(list.firstChild);
	element.view = { element, choose };
	return element.view;
}

// details shows a znode, and says whether there is one to be shown.
async function details(detail, path, who, refresh) {
	detail.dataset.path = path;
	const still = () => detail.dataset.path === path;
	let facts;
	try {
		facts = await get("node", { path });
	} catch (error) {
		if (still()) {
			detail.replaceChildren(head(path), note("error", words(error)));
		}
		return false;
	}
	if (!still()) {
		return true;
	}
	const again = () => details(detail, path, who, refresh);
	const reload = h("button", { type: "button", class: "quiet", onclick: () => { again(); refresh(path); } }, "Reload");
	const stat = facts.stat;
	detail.replaceChildren(
		head(path, h("span", { class: "badge " + facts.kind }, facts.kind), reload),
		facts.data === undefined ? note("hint", "You may change the ACL of this znode and not read it.") : content(facts),
		who.edit ? tools(path, facts, again, refresh) : "",
		stat.numChildren > 0 && facts.data !== undefined ? children(path, stat.numChildren) : "",
		h("div", { class: "card" }, h("h2", {}, "Stat"), h("dl", { class: "stat" },
			[["Created", time(stat.ctime)], ["Modified", time(stat.mtime)], ["czxid", stat.czxid], ["mzxid", stat.mzxid], ["pzxid", stat.pzxid],
				["Data version", stat.version], ["Children version", stat.cversion], ["ACL version", stat.aversion], ["Children", count(stat.numChildren)],
				["Owner", stat.ephemeralOwner === "0x0" ? "–" : h("a", { href: "#/sessions/" + stat.ephemeralOwner }, stat.ephemeralOwner)]]
				.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
		h("div", { class: "card" }, h("h2", {}, "Access"), table("ACL of the znode", ["Scheme", "Id", "Permissions"],
			facts.acl.map((entry) => [entry.scheme, h("code", { class: "wrap" }, visible(entry.id)), [...entry.perms].map((letter) => h("abbr", { class: "perm", title: permissions[letter] }, letter))]))));
	return true;
}

const permissions = { c: "create children", d: "delete children", r: "read", w: "write", a: "administer: change this list" };

// head is the path, each part of it a link.
function head(path, ...more) {
	const parts = path === "/" ? [] : path.slice(1).split("/");
	return h("div", { class: "head" },
		h("h1", { class: "path" }, h("a", { href: link("/"), "aria-label": "root" }, "/"),
			parts.map((part, i) => [i > 0 && "/", h("a", { href: link("/" + parts.slice(0, i + 1).join("/")), "aria-current": i === parts.length - 1 ? "true" : null }, visible(part))])),
		more,
		navigator.clipboard && h("button", { type: "button", class: "quiet", onclick: async (event) => { await navigator.clipboard.writeText(path); event.target.textContent = "Copied"; } }, "Copy path")); // over HTTP browsers have none
}

// content is the data in three forms; the one that fits best is shown first.
function content(facts) {
	const bytes = fromBase64(facts.data);
	const whole = bytes.length === facts.bytes;
	const text = textOf(bytes);
	const json = text !== null && whole ? pretty(text) : null;
	const forms = [
		{ name: "Text", make: () => text === null ? note("hint", "These bytes are no text.") : h("pre", { tabindex: 0 }, visible(text)) },
		{ name: "JSON", make: () => json === null ? note("hint", "This is no JSON.") : h("pre", { tabindex: 0 }, visible(json)) },
		{ name: "Hex", make: () => h("pre", { tabindex: 0, class: "hex" }, hexdump(bytes)) },
	];
	const best = json !== null && /^\s*[[{]/.test(text) ? 1 : text !== null ? 0 : 2;
	const shown = h("div", { role: "tabpanel", "aria-label": "Data" });
	const tabs = forms.map((form, i) => h("button", { type: "button", role: "tab", onclick: () => choose(i) }, form.name));
	function choose(i) {
		tabs.forEach((tab, other) => { tab.setAttribute("aria-selected", String(other === i)); tab.tabIndex = other === i ? 0 : -1; });
		shown.replaceChildren(forms[i].make());
	}
	const bar = h("div", {
		role: "tablist", "aria-label": "Form of the data", onkeydown: (event) => {
			const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
			if (step) {
				const next = (tabs.indexOf(event.target) + step + tabs.length) % tabs.length;
				choose(next);
				tabs[next].focus();
			}
		},
	}, tabs);
	choose(best);
	return h("div", { class: "card data" },
		h("div", { class: "bar" }, h("h2", {}, "Data"), h("span", { class: "muted" }, facts.null ? "null" : facts.bytes === 0 ? "empty" : size(facts.bytes)), facts.bytes > 0 && bar),
		!whole && note("hint", `The first ${size(bytes.length)} of ${size(facts.bytes)}.`),
		facts.bytes > 0 && shown);
}

// children finds some among many.
function children(path, total) {
	const found = h("ul", { class: "found" });
	const hint = h("p", { class: "muted", role: "status" });
	let turn = 0;
	async function find(after) {
		const mine = ++turn;
		try {
			const page = await get("children", { path, after, contains: input.value });
			if (mine !== turn) {
				return;
			}
			if (!after) {
				found.replaceChildren();
			}
			found.append(...page.children.map((child) => h("li", {}, h("a", { href: link(join(path, child.name)) }, visible(child.name)))));
			const shown = found.children.length;
			hint.replaceChildren(page.found === 0 ? "None." : page.more ? `${count(shown)} of ${count(page.found)} found. ` : `${count(page.found)} found.`);
			if (page.more) {
				hint.append(h("button", { type: "button", class: "quiet", onclick: () => find(page.children.at(-1).name) }, "More"));
				if (after) {
					hint.lastChild.focus(); // which the one before it had
				}
			}
		} catch (error) {
			hint.replaceChildren(words(error));
		}
	}
	let timer;
	const input = h("input", { type: "search", placeholder: "part of a name", "aria-label": "Find children by a part of their names", oninput: () => { clearTimeout(timer); timer = setTimeout(find, 200, ""); } });
	return h("div", { class: "card" }, h("div", { class: "bar" }, h("h2", {}, "Children"), h("span", { class: "muted" }, count(total)), input), found, hint);
}

// tools change the znode, where the server lets the page do so.
function tools(path, facts, again, refresh) {
	const said = h("div", { "aria-live": "assertive" });
	async function change(name, body, then) {
		try {
			await then(await post(name, body));
		} catch (error) {
			said.replaceChildren(note("error", words(error)));
		}
	}
	const encode = (text) => toBase64(new TextEncoder().encode(text));
	const text = facts.data === undefined ? null : textOf(fromBase64(facts.data));
	const data = h("textarea", { rows: 6, "aria-label": "New data", spellcheck: "false" });
	data.value = text ?? "";
	const name = h("input", { "aria-label": "Name of the child", placeholder: "name", required: true, spellcheck: "false", autocapitalize: "none" });
	const value = h("textarea", { rows: 3, "aria-label": "Data of the child", placeholder: "data", spellcheck: "false" });
	const mode = h("select", { "aria-label": "Kind" }, ["persistent", "sequential", "container"].map((m) => h("option", {}, m)));
	const acl = h("select", { "aria-label": "Access" }, h("option", { value: "world" }, "open to everybody"), h("option", { value: "auth" }, "for me alone"));
	const sure = h("input", { "aria-label": "Type the name to delete it", placeholder: "type its name: " + visible(nameOf(path)), spellcheck: "false", autocapitalize: "none", required: true });
	return h("div", { class: "card tools" }, h("h2", {}, "Change"), said,
		text !== null && facts.data !== undefined && facts.bytes <= 1 << 20 && h("details", {}, h("summary", {}, "Set the data"), h("form", {
			onsubmit: (event) => { event.preventDefault(); change("set", { path, data: encode(data.value), version: facts.stat.version }, again); },
		}, data, h("button", { class: "primary" }, `Set (over version ${facts.stat.version})`))),
		h("details", {}, h("summary", {}, "Create a child"), h("form", {
			onsubmit: (event) => {
				event.preventDefault();
				change("create", { path: join(path, name.value), data: encode(value.value), mode: mode.value, acl: acl.value }, async (made) => { await refresh(path); location.hash = link(made.path); });
			},
		}, name, value, h("div", { class: "fields" }, mode, acl), h("button", { class: "primary" }, "Create"))),
		path !== "/" && h("details", {}, h("summary", {}, "Delete"), h("form", {
			onsubmit: (event) => {
				event.preventDefault();
				if (sure.value !== nameOf(path) && sure.value !== visible(nameOf(path))) {
					said.replaceChildren(note("error", "That is not its name."));
					return;
				}
				change("delete", { path, version: facts.stat.version }, async () => { await refresh(parentOf(path)); location.hash = link(parentOf(path)); });
			},
		}, sure, h("button", { class: "danger" }, "Delete"))));
}
