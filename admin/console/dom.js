// Elements from plain values. Whatever comes from the server gets into the page as text, here and nowhere else.

// h makes an element. Properties that begin with "on" are listeners, the others attributes; null and false are left out, true is an attribute without a value.
export function h(tag, properties, ...children) {
	return fill(document.createElement(tag), properties, children);
}

// svg is h for drawings.
export function svg(tag, properties, ...children) {
	return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
	for (const [name, value] of Object.entries(properties ?? {})) {
		if (name.startsWith("on")) {
			element.addEventListener(name.slice(2), value);
		} else if (value !== null && value !== undefined && value !== false) {
			element.setAttribute(name, value === true ? "" : value);
		}
	}
	element.append(...children.flat(Infinity).filter(shown));
	return element;
}

const shown = (child) => child !== null && child !== undefined && child !== false;

// visible is text in which characters that would not be seen, or would put others where they are not, are written as their numbers.
export function visible(text) {
	return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
		(c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// count, number, milliseconds and size are numbers for people.
export const count = (n) => n.toLocaleString("en");
export const number = (n) => n >= 100 || Number.isInteger(n) ? count(Math.round(n)) : n.toFixed(n < 1 ? 2 : 1);
// milliseconds are whole ones where the server counts them.
export const milliseconds = (n) => n === 0 ? "<1" : number(n);

export function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	for (; bytes >= 1024 && unit < units.length - 1; unit++) {
		bytes /= 1024;
	}
	return (unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)) + " " + units[unit];
}

// duration is a time in milliseconds, in the two largest units that it has.
export function duration(ms) {
	const units = [["d", 86400e3], ["h", 3600e3], ["min", 60e3], ["s", 1e3]];
	const at = units.findIndex(([, length]) => ms >= length);
	if (at < 0) {
		return Math.round(ms) + " ms";
	}
	const [name, length] = units[at], [smaller, less] = units[at + 1] ?? [];
	const rest = less ? Math.floor(ms % length / less) : 0;
	return Math.floor(ms / length) + " " + name + (rest ? ` ${rest} ${smaller}` : "");
}

// time is a moment in milliseconds since 1970.
export function time(ms) {
	if (!ms) {
		return "–";
	}
	const date = new Date(ms);
	return h("time", { datetime: date.toISOString() }, date.toLocaleString("sv"));
}

// renew puts what is newer into an element, and leaves those who look where they are: what they have scrolled to, what has the focus. While text in it is selected, it stays as it is.
export function renew(element, ...children) {
	const selection = getSelection(), focus = document.activeElement;
	if (!selection.isCollapsed && element.contains(selection.anchorNode)) {
		return;
	}
	const name = (e) => [e.closest("[role=region]")?.ariaLabel, e.getAttribute("href") ?? (e.ariaLabel || e.textContent)].join(" ");
	const regions = () => [...element.querySelectorAll("[role=region]")];
	const places = regions().map((e) => [name(e), e.scrollLeft, e.scrollTop]);
	const focused = focus !== element && element.contains(focus) ? name(focus) : null;
	element.replaceChildren(...children.flat(Infinity).filter(shown));
	for (const [region, left, top] of places) {
		regions().find((e) => name(e) === region)?.scrollTo(left, top);
	}
	if (focused !== null) {
		[...element.querySelectorAll("a, button, [tabindex]")].find((e) => name(e) === focused)?.focus({ preventScroll: true });
	}
}

// note is a box that says something, of the kind "error" or "hint".
export const note = (kind, text) => h("p", { class: "note " + kind, role: kind === "error" ? "alert" : null }, text);

// table has a caption for those who do not see it, and cells; a head that begins with "#" is one of numbers. With an order, { at, direction, choose }, each head is a button that chooses its column.
export function table(caption, heads, rows, order) {
	const numeric = heads.map((head) => head.startsWith("#"));
	const title = (name, i) => order ? h("button", { type: "button", onclick: () => order.choose(i) }, name) : name;
	return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
		h("table", {},
			h("caption", {}, caption),
			h("thead", {}, h("tr", {}, heads.map((head, i) => h("th", { scope: "col", class: numeric[i] && "number", "aria-sort": order?.at === i && order.direction }, title(head.replace(/^#/, ""), i))))),
			h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) => h("td", { class: numeric[i] && "number" }, cell)))))));
}
