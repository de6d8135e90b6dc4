// What happens, as lines: the metrics of the last minutes, from when this page first asked.

import { get, poll, words } from "./api.js";
import { h, milliseconds, note, number, renew, size, svg } from "./dom.js";

const KEPT = 150; // answers, one each two seconds
const history = [];

// read asks for the metrics and keeps them. What is rate is taken from two answers that follow each other.
export async function read() {
	const answer = await get("metrics");
	if (answer.time > (history.at(-1)?.time ?? 0)) {
		history.push(answer);
		history.splice(0, history.length - KEPT);
	}
	return history;
}

const gauge = (name) => (now) => now.metrics[name];
const rate = (pick) => (now, before) => before && Math.max(0, pick(now.metrics) - pick(before.metrics)) / ((now.time - before.time) / 1000);
// mean is that of what a summary was given between two answers.
export const mean = (name) => (now, before) => {
	const [a, b] = [now.metrics[name], before?.metrics[name]];
	return a && b && a.count > b.count ? (a.sum - b.sum) / (a.count - b.count) : undefined;
};
const charts = [
	{ title: "Requests", unit: "/s", lines: [["reads", rate((m) => m.readlatency.count)], ["writes", rate((m) => m.updatelatency.count)]] },
	{ title: "Latency, mean", unit: " ms", format: milliseconds, lines: [["reads", mean("readlatency")], ["writes", mean("updatelatency")]] },
	{ title: "Latency, 99 of 100", unit: " ms", format: milliseconds, lines: [["reads", (now) => now.metrics.readlatency.p99 ?? 0], ["writes", (now) => now.metrics.updatelatency.p99 ?? 0]] },
	{ title: "Writing to the disk", unit: " ms", format: milliseconds, lines: [["fsync", mean("fsynctime")]] },
	{ title: "Outstanding requests", unit: "", least: 10, lines: [["outstanding", gauge("outstanding_requests")]] },
	{ title: "Traffic", unit: "/s", format: size, base: 1024, least: 1024, lines: [["from clients", rate((m) => m.bytes_received_count)], ["to clients", rate((m) => m.response_bytes + m.watch_bytes)]] },
	{ title: "Connections", unit: "", lines: [["connections", gauge("num_alive_connections")]] },
	{ title: "Watches", unit: "", lines: [["watches", gauge("watch_count")]] },
	{ title: "Znodes", unit: "", lines: [["znodes", gauge("znode_count")], ["ephemerals", gauge("ephemerals_count")]] },
];

export function show(main) {
	const grid = h("div", { class: "charts" });
	const trouble = h("div", {});
	main.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Charts"), h("span", { class: "muted" }, "every two seconds, for five minutes, while this page is open")), trouble, grid);
	return poll(2000, async () => {
		try {
			await read();
			trouble.replaceChildren();
			renew(grid, charts.map(draw));
		} catch (error) {
			trouble.replaceChildren(note("error", words(error)));
		}
	});
}

const WIDTH = 360, HEIGHT = 120;

function draw(chart) {
	const format = chart.format ?? number;
	const lines = chart.lines.map(([name, value]) => ({ name, values: history.map((now, i) => value(now, history[i - 1])) }));
	const top = nice(Math.max(...lines.flatMap((line) => line.values.filter((v) => v !== undefined)), chart.least ?? 1), chart.base);
	const x = (i) => WIDTH - (history.length - 1 - i) * WIDTH / Math.max(history.length - 1, 29), y = (v) => HEIGHT - v / top * (HEIGHT - 8);
	const drawn = lines.map((line, n) => {
		const points = line.values.map((v, i) => v === undefined ? null : [x(i).toFixed(1), y(v).toFixed(1)]).filter(Boolean);
		const path = points.map((p, i) => (i ? "L" : "M") + p.join(" ")).join("");
		return points.length > 0 && [
			svg("path", { class: "area line" + n, d: `${path}L${points.at(-1)[0]} ${HEIGHT}L${points[0][0]} ${HEIGHT}Z` }), svg("path", { class: "stroke line" + n, d: path }),
		];
	});
	const last = lines.map((line) => line.values.at(-1));
	return h("figure", { class: "card chart" },
		h("figcaption", {}, h("h2", {}, chart.title), h("div", { class: "legend" }, lines.map((line, n) => h("span", { class: "key line" + n }, line.name, " ", h("strong", {}, last[n] === undefined ? "–" : format(last[n]) + chart.unit))))),
		svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${chart.title}: ${lines.map((line, n) => `${line.name} ${last[n] === undefined ? "not known yet" : format(last[n]) + chart.unit}`).join(", ")}` },
			[0.5, 1].map((part) => svg("line", { class: "rule", x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part) })), drawn),
		h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, format(top) + chart.unit), h("span", {}, format(top / 2) + chart.unit), h("span", {}, "0")));
}

// nice is the least of 1, 2 and 5 times a power of ten that is not less; with a base, times one of that as well.
function nice(v, base) {
	if (base && v >= base) {
		return nice(v / base, base) * base;
	}
	const power = 10 ** Math.floor(Math.log10(v));
	return [1, 2, 5, 10].find((n) => n * power >= v) * power;
}
