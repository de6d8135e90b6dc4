package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// String is the figures on one line, for the log.
func (f figures) String() string {
	return fmt.Sprintf("%s ops/s, %s µs, %s CPU µs/op", thousands(f.ops), percentiles(f), micros(f.cpu))
}

// thousands writes a count with separators.
func thousands(f float64) string {
	s := strconv.FormatInt(int64(math.Round(f)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a value, with a decimal where that says something.
func short(f float64) string {
	if f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return thousands(f)
}

// micros writes microseconds.
func micros(d time.Duration) string {
	return short(float64(d) / float64(time.Microsecond))
}

func percentiles(f figures) string {
	return micros(f.p50) + " / " + micros(f.p99) + " / " + micros(f.p999)
}

// ratio writes how many times a is b.
func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return strconv.FormatFloat(a/b, 'f', 2, 64)
}

// table writes a markdown table. Every column but the first is aligned to the right.
func table(w io.Writer, head []string, lines [][]string) {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("--:|", len(head)-1))
	for _, l := range lines {
		fmt.Fprintf(w, "| %s |\n", strings.Join(l, " | "))
	}
	fmt.Fprintln(w)
}

// pair finds the two servers whose ratio the report gives: the positions of java and quoll.
func pair(servers []string) (java, quoll int, both bool) { return pairOf(servers, "java", "quoll") }

func pairOf(columns []string, base, subject string) (i, j int, both bool) {
	i, j = slices.Index(columns, base), slices.Index(columns, subject)
	return i, j, i >= 0 && j >= 0
}

// reportLoads writes the table of the rows, and names those in which quoll is behind.
func reportLoads(w io.Writer, servers []string, rows []row, all [][]figures) {
	java, quoll, both := pair(servers)
	column := func(cells []string, ratioName, unit string, cell func(j int) string, value func(j int) float64, isHead bool) []string {
		for j := range servers {
			if isHead {
				cells = append(cells, servers[j]+" "+unit)
			} else {
				cells = append(cells, cell(j))
			}
		}
		switch {
		case !both || ratioName == "":
		case isHead:
			cells = append(cells, ratioName)
		default:
			cells = append(cells, ratio(value(quoll), value(java)))
		}
		return cells
	}
	line := func(name string, f []figures) []string {
		head := f == nil
		l := []string{name}
		l = column(l, "ratio", "ops/s", func(j int) string { return thousands(f[j].ops) }, func(j int) float64 { return f[j].ops }, head)
		l = column(l, "", "p50 / p99 / p99.9 µs", func(j int) string { return percentiles(f[j]) }, nil, head)
		return column(l, "ratio", "CPU µs/op", func(j int) string { return micros(f[j].cpu) }, func(j int) float64 { return float64(f[j].cpu) }, head)
	}
	var lines [][]string
	var behind []string
	for i, r := range rows {
		lines = append(lines, line(r.String(), all[i]))
		if both && all[i][quoll].ops < all[i][java].ops {
			behind = append(behind, fmt.Sprintf("%s (%s)", r, ratio(all[i][quoll].ops, all[i][java].ops)))
		}
	}
	fmt.Fprint(w, "A row is load / connections x requests in flight on each / bytes of data, after the number of servers if they are an ensemble. Latencies are in microseconds.\n\n")
	table(w, line("row", nil), lines)
	switch {
	case !both:
	case len(behind) == 0:
		fmt.Fprint(w, "quoll is behind Java in no row.\n\n")
	default:
		fmt.Fprintf(w, "quoll is behind Java in %d of %d rows: %s.\n\n", len(behind), len(rows), strings.Join(behind, ", "))
	}
}

// other is a figure that is no load: one value for each server.
type other struct {
	what   string
	values []float64
}

// reportOthers writes a table with a line for each figure and a column for each server, or for each arm of a row that has its own.
func reportOthers(w io.Writer, servers []string, all []other) {
	java, quoll, both := pair(servers)
	if !both {
		java, quoll, both = pairOf(servers, storeOff, storeOn)
	}
	head := append([]string{"what"}, servers...)
	if both {
		head = append(head, "ratio")
	}
	var lines [][]string
	for _, o := range all {
		line := []string{o.what}
		for _, v := range o.values {
			line = append(line, short(v))
		}
		if both {
			line = append(line, ratio(o.values[quoll], o.values[java]))
		}
		lines = append(lines, line)
	}
	table(w, head, lines)
}

// machine describes what the figures depend on, one fact a line. dir is where the servers have their data.
func machine(dir string) []string {
	cpu, err := keyed("/proc/cpuinfo", "model name", ":")
	if err != nil {
		cpu = runtime.GOARCH
	}
	kernel := line1("uname", "-sr")
	memory, _ := keyed("/proc/meminfo", "MemTotal", ":")
	return []string{
		fmt.Sprintf("%d x %s, %s memory, %s", runtime.NumCPU(), cpu, memory, kernel),
		disk(dir),
		line1("java", "-version") + "; " + runtime.Version(),
	}
}

// line1 is the first line that a command writes, or why there is none.
func line1(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// disk describes the file system of dir, and how long it takes to make 4 KB durable.
func disk(dir string) string {
	sync, err := syncTime(dir)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s; 4 KB and fsync: %s µs (median of 200)", fileSystem(dir), micros(sync))
}

// fileSystem is the type and device of the file system that dir is on, and whether the kernel takes it for a rotating disk.
func fileSystem(dir string) string {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return err.Error()
	}
	// The numbers of a device as Linux packs them.
	device := fmt.Sprintf("%d:%d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err.Error()
	}
	kind := "unknown file system"
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if f, g := strings.Fields(before), strings.Fields(after); len(f) > 2 && f[2] == device && len(g) > 1 {
			kind = g[0] + " on " + g[1]
		}
	}
	for _, queue := range []string{"queue", "../queue"} {
		if b, err := os.ReadFile(filepath.Join("/sys/dev/block", device, queue, "rotational")); err == nil {
			return kind + ", rotational=" + strings.TrimSpace(string(b))
		}
	}
	return kind
}

// syncTime is the median time of an append of 4 KB and its fsync in dir.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var all []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	return middle(all, func(d time.Duration) time.Duration { return d }), nil
}
