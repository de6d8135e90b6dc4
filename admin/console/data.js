// The forms in which data is shown.

const HEX_LIMIT = 16 << 10; // bytes; more is no use to a reader and much work for a browser

// textOf is UTF-8 as text, null if it is none.
export function textOf(bytes) {
	try {
		return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
	} catch {
		return null;
	}
}

// pretty is JSON with line breaks and indents, null for what is no JSON. Numbers and strings stay letter by letter as they are: to a program 1.0 and 72057594037927937 would be others.
export function pretty(text) {
	try {
		JSON.parse(text);
	} catch {
		return null;
	}
	let out = "", level = 0;
	const line = () => "\n" + "  ".repeat(level);
	for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
		const before = out.at(-1);
		switch (token) {
		case "{": case "[":
			out += token;
			level++;
			out += line();
			break;
		case "}": case "]":
			level--;
			out = before === " " || before === "\n" ? out.trimEnd() : out;
			out += /[[{]$/.test(out) ? token : line() + token;
			break;
		case ",": out += token + line(); break;
		case ":": out += ": "; break;
		default: out += token;
		}
	}
	return out;
}

// hexdump has 16 bytes a line: where, what, and as ASCII.
export function hexdump(bytes) {
	const lines = [];
	for (let at = 0; at < Math.min(bytes.length, HEX_LIMIT); at += 16) {
		const row = [...bytes.subarray(at, at + 16)];
		const hex = row.map((b) => b.toString(16).padStart(2, "0")).join(" ").padEnd(47);
		lines.push(at.toString(16).padStart(8, "0") + "  " + hex + "  " + row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".")).join(""));
	}
	if (bytes.length > HEX_LIMIT) {
		lines.push("… and " + (bytes.length - HEX_LIMIT).toLocaleString("en") + " bytes more");
	}
	return lines.join("\n");
}
