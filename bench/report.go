package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// thousands writes a count with separators.
func thousands(f float64) string {
	s := strconv.FormatInt(int64(math.Round(f)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a value with the digits that say something.
func short(f float64) string {
	switch {
	case f >= 100:
		return thousands(f)
	case f >= 1 || f == 0:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}

func micros(d time.Duration) float64       { return float64(d) / float64(time.Microsecond) }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// times writes a ratio, with so many digits that one beside its aim can be told from it.
func times(f float64) string {
	if f < 1 {
		return strconv.FormatFloat(f, 'f', 3, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// markdown writes a table. Every column but the first is aligned to the right.
func markdown(w io.Writer, head []string, lines [][]string) {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("--:|", len(head)-1))
	for _, l := range lines {
		fmt.Fprintf(w, "| %s |\n", strings.Join(l, " | "))
	}
	fmt.Fprintln(w)
}

// report writes everything for people: the rows beside their aims, then every figure, and what the runs depended on.
func (r *results) report(w io.Writer) {
	lines, servers := r.lines(), r.servers()
	r.reportAims(w, lines, servers)
	r.reportLoads(w, lines, servers)
	isLoad := func(l line) bool { return l.row.load != nil }
	isArms := func(l line) bool { return l.row.stage.arms != nil }
	reportOthers(w, slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return isLoad(l) || isArms(l) }), servers)
	reportOthers(w, slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return !isArms(l) }), []string{storeOff, storeOn})
	r.reportMeasuring(w, lines)
}

// reportAims writes a table with a line for each figure that has an aim, and what was not reached.
func (r *results) reportAims(w io.Writer, lines []line, servers []string) {
	var cells [][]string
	var missed []string
	for _, l := range lines {
		ratio, low, high, ok := l.ratio()
		aim, set := l.aim()
		if !ok || !set {
			continue
		}
		c := []string{l.row.name, l.figure}
		for _, s := range servers {
			c = append(c, cell(l, s))
		}
		text, sign, met := times(ratio), "≤ ", "yes"
		if low != high {
			text += fmt.Sprintf(" (%s to %s)", times(low), times(high))
		}
		if moreIsBetter(l.figure) {
			sign = "≥ "
		}
		if !l.met(ratio, aim) {
			met = "**no**"
			missed = append(missed, fmt.Sprintf("%s %s (%s)", l.row.name, l.figure, times(ratio)))
		}
		cells = append(cells, append(c, text, sign+times(aim), met))
	}
	if cells == nil {
		return
	}
	fmt.Fprint(w, "quoll / java is the ratio of the medians, in parentheses the least and the most of the rounds; the floor answers canned bytes, when those of a write are on the disk.\n\n")
	markdown(w, slices.Concat([]string{"row", "figure"}, servers, []string{"quoll / java", "aim", "met"}), cells)
	fmt.Fprintf(w, "%d of %d aims are met.", len(cells)-len(missed), len(cells))
	if missed != nil {
		fmt.Fprintf(w, " Not met: %s.", strings.Join(missed, "; "))
	}
	fmt.Fprint(w, "\n\n")
}

// cell is the figure of a server.
func cell(l line, server string) string {
	v, ok := l.value(server)
	if !ok {
		return ""
	}
	return short(v)
}

// reportLoads writes a table with a line for each load.
func (r *results) reportLoads(w io.Writer, lines []line, servers []string) {
	of := make(map[string]map[string]line) // by row and figure
	var names []string
	for _, l := range lines {
		if l.row.load == nil {
			continue
		}
		if of[l.row.name] == nil {
			of[l.row.name] = make(map[string]line)
			names = append(names, l.row.name)
		}
		of[l.row.name][l.figure] = l
	}
	if names == nil {
		return
	}
	head := []string{"load"}
	for _, unit := range []string{opsRate, "p50 / p99 / p99.9 µs", cpuEach} {
		for _, s := range servers {
			head = append(head, s+" "+unit)
		}
	}
	var cells [][]string
	for _, name := range names {
		c := []string{name}
		for _, s := range servers {
			c = append(c, cell(of[name][opsRate], s))
		}
		for _, s := range servers {
			all := []string{cell(of[name][p50], s), cell(of[name][p99], s), cell(of[name][p999], s)}
			c = append(c, strings.Trim(strings.Join(all, " / "), " /"))
		}
		for _, s := range servers {
			c = append(c, cell(of[name][cpuEach], s))
		}
		cells = append(cells, c)
	}
	fmt.Fprint(w, "A load is kind / connections x requests in flight on each / bytes of data, after a 3 if the servers are an ensemble of three.\n\n")
	markdown(w, head, cells)
}

// reportOthers writes a table with a line for each figure and a column for each server.
func reportOthers(w io.Writer, lines []line, servers []string) {
	if len(lines) == 0 {
		return
	}
	var cells [][]string
	for _, l := range lines {
		c := []string{l.row.name, l.figure}
		for _, s := range servers {
			c = append(c, cell(l, s))
		}
		text := ""
		if ratio, _, _, ok := l.ratio(); ok {
			text = times(ratio)
		}
		cells = append(cells, append(c, text))
	}
	base, subject := lines[0].pair()
	markdown(w, slices.Concat([]string{"row", "figure"}, servers, []string{subject + " / " + base}), cells)
}

// reportMeasuring writes what the runs depended on, and how far the figures are those of the generator.
func (r *results) reportMeasuring(w io.Writer, lines []line) {
	var bound []string
	for i, l := range lines {
		if l.row.load == nil || l.figure != generatorCPU {
			continue
		}
		own, _ := l.value("quoll")
		j := slices.IndexFunc(lines[:i], func(x line) bool { return x.row.name == l.row.name && x.figure == cpuEach })
		if server, ok := lines[j].value("quoll"); ok && own > server {
			bound = append(bound, fmt.Sprintf("%s (%s beside %s µs)", l.row.name, short(own), short(server)))
		}
	}
	if bound != nil {
		fmt.Fprintf(w, "In these rows the generator takes more CPU time for an operation than quoll does, so that on a machine of its own quoll would do more: %s.\n\n", strings.Join(bound, ", "))
	}
	for i, e := range r.Runs {
		var others []float64
		worst := measurement{}
		for _, m := range r.Measurements {
			if m.Run != i {
				continue
			}
			others = append(others, m.Others)
			if m.Others >= worst.Others {
				worst = m
			}
		}
		if others == nil {
			continue
		}
		fmt.Fprintf(w, "Written by `%s` at commit %s, %s, in %v; `go doc ./bench` says how it measures.\n\n", e.Command, e.Commit, e.Began.Format("2006-01-02 15:04 UTC"),
			time.Duration(e.Seconds*float64(time.Second)).Round(time.Second))
		fmt.Fprintf(w, "- %d x %s, %s memory, %s; %d pages written to swap meanwhile\n", e.Processors, e.Processor, e.Memory, e.Kernel, e.Swapped)
		fmt.Fprintf(w, "- %s; 4 KB and fsync: %s µs (median of 200)\n", e.Disk, short(e.SyncMicros))
		fmt.Fprintf(w, "- %s; %s\n", e.JVM, e.Go)
		for _, s := range []string{"java", "quoll"} {
			if version := e.Versions[s]; version != "" {
				fmt.Fprintf(w, "- %s: %s\n", s, version)
			}
		}
		fmt.Fprintf(w, "- %s after %s of warm-up, median of %d rounds, seed %d; heap of the JVM %s with G1, more in the rows of many znodes; zoo.cfg has %s, ensembles %s, the rest is default\n",
			e.Duration, e.Warmup, e.Rounds, e.Seed, e.Heap, strings.Join(e.Config, ", "), strings.Join(ensembleSettings, ", "))
		if e.Scale > 1 {
			fmt.Fprintf(w, "- znodes, sessions and times are a %dth of what the rows say\n", e.Scale)
		}
		fmt.Fprintf(w, "- other programs kept %.2f of the processors busy (median over the measurements), at most %.2f (%s, %s)\n\n", middle(others), worst.Others, worst.Row, worst.Server)
	}
}

// What the report replaces in a page that has both of these.
const (
	reportBegins = "<!-- make bench writes from here -->\n"
	reportEnds   = "<!-- to here -->\n"
)

// into puts a report into a page, or in its place if the page is none.
func into(page, report []byte) []byte {
	before, rest, begins := bytes.Cut(page, []byte(reportBegins))
	_, after, ends := bytes.Cut(rest, []byte(reportEnds))
	if !begins || !ends {
		return report
	}
	return slices.Concat(before, []byte(reportBegins), []byte("\n"), report, []byte(reportEnds), after)
}
