package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 920
	plotLeft   = 190 // where the axis begins, right of the names
	plotRight  = 24
	plotTop    = 64
	plotBottom = 16
	plotRow    = 22
)

// ink is the colour of lines and names. Like the others it is readable on white and on black.
const ink = "#707d8a"

// mark is how a kind of figure is drawn.
type mark struct {
	what, colour string
	is           func(figure string) bool
	shape        string // around the origin
}

var marks = []mark{
	{"rate", "#2f81f7", moreIsBetter, `<circle r="5"/>`},
	{"CPU time", "#c9702b", func(f string) bool { return strings.HasPrefix(f, "CPU ") }, `<rect x="-4.5" y="-4.5" width="9" height="9"/>`},
	{"latency, time, memory", "#2da44e", func(string) bool { return true }, `<path d="M0-6L6 0L0 6L-6 0Z"/>`},
}

// plot draws how many times better quoll is than Java in each figure that has an aim, as an SVG file: a line for each row, a logarithmic scale, right is
// better. A filled mark has reached its aim, which is the short line of its colour.
func plot(lines []line) []byte {
	type point struct {
		l           line
		better, aim float64
		met         bool
		mark        mark
	}
	var names []string
	points := make(map[string][]point)
	low, high := 0.5, 2.0
	for _, l := range lines {
		ratio, _, _, ok := l.ratio()
		aim, set := l.aim()
		if !ok || !set || ratio <= 0 {
			continue
		}
		p := point{l: l, better: ratio, aim: aim, met: l.met(ratio, aim)}
		if !moreIsBetter(l.figure) {
			p.better, p.aim = 1/ratio, 1/aim
		}
		for _, p.mark = range marks {
			if p.mark.is(l.figure) {
				break
			}
		}
		if points[l.row.name] == nil {
			names = append(names, l.row.name)
		}
		points[l.row.name] = append(points[l.row.name], p)
		low, high = min(low, p.better, p.aim), max(high, p.better, p.aim)
	}
	low, high = low/1.2, high*1.2
	x := func(v float64) float64 {
		return plotLeft + (plotWidth-plotLeft-plotRight)*math.Log(v/low)/math.Log(high/low)
	}
	bottom := plotTop + plotRow*len(names)

	var b bytes.Buffer
	draw := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`, plotWidth, bottom+plotBottom, ink)
	draw(`<title>How many times better than Apache ZooKeeper quoll is, row by row</title>`)
	at := 8
	for _, m := range marks {
		draw(`<g transform="translate(%d 14)" fill="%s">%s</g><text x="%d" y="18">%s</text>`, at, m.colour, m.shape, at+12, m.what)
		at += 40 + 7*len(m.what)
	}
	draw(`<text x="%d" y="18">filled: the aim, a short line, is reached. Times better than Java, to the right:</text>`, at)
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, step := range []float64{1, 2, 5} {
			v := decade * step
			if v < low || v > high {
				continue
			}
			width, opacity := 1.0, 0.35
			if math.Abs(v-1) < 1e-9 {
				width, opacity = 2, 1
			}
			draw(`<path d="M%.1f %dV%d" stroke="%s" stroke-width="%g" opacity="%g"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`,
				x(v), plotTop-10, bottom, ink, width, opacity, x(v), plotTop-16, strconv.FormatFloat(v, 'g', 3, 64))
		}
	}
	for i, name := range names {
		y := plotTop + plotRow*i + plotRow/2
		draw(`<text x="8" y="%d">%s</text><path d="M%d %dH%d" stroke="%s" opacity="0.2"/>`, y+4, html.EscapeString(name), plotLeft, y, plotWidth-plotRight, ink)
		for _, p := range points[name] {
			fill := p.mark.colour
			if !p.met {
				fill = "none"
			}
			draw(`<path d="M%.1f %dv14" stroke="%s" stroke-width="2"/>`, x(p.aim), y-7, p.mark.colour)
			draw(`<g transform="translate(%.1f %d)" fill="%s" stroke="%s" stroke-width="1.5"><title>%s</title>%s</g>`, x(p.better), y, fill, p.mark.colour,
				html.EscapeString(fmt.Sprintf("%s, %s: %s times better, aim %s", name, p.l.figure, short(p.better), short(p.aim))), p.mark.shape)
		}
	}
	draw(`</svg>`)
	return b.Bytes()
}
