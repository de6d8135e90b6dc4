// What the page asks the server, as whom.

const KEY = "quoll.authorization"; // in the storage of this tab, which ends with it

export const credentials = () => sessionStorage.getItem(KEY);
export const forget = () => sessionStorage.removeItem(KEY);

// remember keeps the credentials. A header has bytes where a text has characters.
export function remember(text) {
	sessionStorage.setItem(KEY, String.fromCharCode(...new TextEncoder().encode(text)));
}

// Refused is an answer that is an error.
export class Refused extends Error {
	constructor(status, text) {
		super(text);
		this.status = status;
	}
}

async function ask(name, options, parameters = {}) {
	let answer, body;
	try {
		answer = await fetch("api/" + name + "?" + new URLSearchParams(parameters), {
			...options, cache: "no-store", credentials: "same-origin", headers: { ...options.headers, Authorization: credentials() ?? "" },
		});
		body = await answer.json();
	} catch (error) {
		if (error.name === "AbortError") {
			throw error;
		}
		throw new Refused(answer?.status ?? 0, answer ? "The answer cannot be read." : "The server does not answer.");
	}
	if (!answer.ok || body.error) {
		if (answer.status === 401) {
			dispatchEvent(new Event("signedout"));
		}
		throw new Refused(answer.status, body.error ?? answer.statusText);
	}
	return body;
}

export const get = (name, parameters, signal) => ask(name, { signal }, parameters);

export const post = (name, body) => ask(name, { method: "POST", headers: { "X-Quoll-Console": "1", "Content-Type": "application/json" }, body: JSON.stringify(body) });

// poll asks again and again, the next time a while after the last answer, as long as somebody looks. It returns what ends it.
export function poll(milliseconds, once) {
	let timer, ended = false;
	async function turn() {
		if (!document.hidden) {
			await once();
		}
		if (!ended) {
			timer = setTimeout(turn, milliseconds);
		}
	}
	turn();
	return () => { ended = true; clearTimeout(timer); };
}

// words are what an error of the server means to who looks.
export function words(error) {
	switch (error.status) {
	case 403: return error.message === "Not authorized" || /NoAuth|not authenticated/i.test(error.message) ? "You may not see or do this." : error.message;
	case 404: return "There is no such znode.";
	default: return error.message;
	}
}

// to and from base64, which is how data travels.
export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

export function toBase64(bytes) {
	let text = "";
	for (let i = 0; i < bytes.length; i += 0x8000) {
		text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
	}
	return btoa(text);
}
