package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	floorIfAsked()
	embeddedIfAsked()
	os.Exit(m.Run())
}

// runFor is run with measurements that are as long as it takes until replies come on a busy machine.
func runFor(t *testing.T, duration time.Duration, args ...string) {
	t.Helper()
	err := errNoReply
	for ; errors.Is(err, errNoReply) && duration < time.Minute; duration *= 3 {
		err = run(append(args, "-duration", duration.String()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestComparison runs the whole program with the only server that needs nothing else, and once more with its results.
func TestComparison(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "report.md")
	command := func(args string) string {
		t.Helper()
		runFor(t, 100*time.Millisecond, strings.Fields(args)...)
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	report := command("-servers floor,floor -rounds 2 -warmup 20ms -rows ^(get/1x20|children/1x1|create-seq/50x20)/ -work " + dir + " -o " + page)
	for _, want := range []string{"\n| get/1x20/1024B | ", "\n| create-seq/50x20/100B | ", "fsync: ", "| floor ops/s | floor 2 ops/s |"} {
		if strings.Count(report, want) != 1 {
			t.Errorf("the report does not have %q once:\n%s", want, report)
		}
	}
	var r results
	name := filepath.Join(dir, "report.json")
	if err := r.load(name); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 1 || len(r.Measurements) != 3*2*2 {
		t.Errorf("%d runs, %d measurements", len(r.Runs), len(r.Measurements))
	}
	for _, m := range r.Measurements {
		if m.Figures[0].Name != opsRate || m.Figures[0].Value <= 0 || m.Seconds < 0.1 || m.Seconds > 60 {
			t.Errorf("%+v", m)
		}
	}
	if again := command("-from " + name + " -o " + page); again != report {
		t.Errorf("from the results:\n%s\nwhen measured:\n%s", again, report)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "quoll-bench-*")); left != nil {
		t.Errorf("left: %v", left)
	}
}

// TestRowsOnQuoll runs what is no load, small.
func TestRowsOnQuoll(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "report.md")
	rows := "^(create-seq/1x1/100B|multi10/1x1/100B|children10k/10x1/100B|connect/5k|watch/10k|3/set/3x1/1024B|start|idle/10k|memory/1m|pauses/1m|restart/1m|rate/1m/no-snapshots)$"
	args := "-servers quoll -rounds 1 -warmup 0 -scale 1000 -work " + dir + " -o " + page + " -rows " + rows
	runFor(t, 300*time.Millisecond, strings.Fields(args)...)
	var r results
	if err := r.load(filepath.Join(dir, "report.json")); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(rows, "|") + 1; len(r.Measurements) != n {
		t.Errorf("%d measurements of %d rows", len(r.Measurements), n)
	}
	for _, m := range r.Measurements {
		for _, a := range named(m.Row).aims {
			if !slices.ContainsFunc(m.Figures, func(f figure) bool { return f.Name == a.figure }) {
				t.Errorf("%s has no figure %q, for which there is an aim", m.Row, a.figure)
			}
		}
		for _, f := range m.Figures {
			// Not every figure of so small a row has a value, but those in milliseconds that are no pauses do.
			if f.Value < 0 || f.Value == 0 && strings.HasSuffix(f.Name, "ms") && !strings.Contains(f.Name, "pause") {
				t.Errorf("%s: %s is %v", m.Row, f.Name, f.Value)
			}
		}
	}
}

// sample is two rounds of two rows.
func sample() *results {
	r := &results{Runs: []environment{{Command: "go run ./bench", Commit: "abc", Versions: map[string]string{}}}}
	add := func(run, round int, row, server string, f ...figure) {
		r.Measurements = append(r.Measurements, measurement{Row: row, Server: server, Run: run, Round: round, Figures: f})
	}
	for i := range 2 {
		x := float64(1 + i)
		add(0, i+1, "set/50x20/1024B", "java", figure{opsRate, 1000 * x}, figure{p50, 10}, figure{p99, 200}, figure{p999, 3000}, figure{cpuEach, 40}, figure{generatorCPU, 2})
		add(0, i+1, "set/50x20/1024B", "quoll", figure{opsRate, 2500 * x * x}, figure{p50, 1.25}, figure{p99, 20}, figure{p999, 300}, figure{cpuEach, 20}, figure{generatorCPU, 25})
		add(0, i+1, "start", "java", figure{"first answer, ms", 500})
		add(0, i+1, "start", "quoll", figure{"first answer, ms", 20})
	}
	return r
}

func TestReport(t *testing.T) {
	var b strings.Builder
	sample().report(&b)
	for _, want := range []string{
		`| row | figure | java | quoll | quoll / java | aim | met |
|---|--:|--:|--:|--:|--:|--:|
| set/50x20/1024B | ops/s | 1,500 | 6,250 | 4.17 (2.50 to 5.00) | ≥ 3.00 | yes |
| set/50x20/1024B | CPU µs/op | 40.0 | 20.0 | 0.500 | ≤ 0.250 | **no** |
| start | first answer, ms | 500 | 20.0 | 0.040 | ≤ 0.100 | yes |

2 of 3 aims are met. Not met: set/50x20/1024B CPU µs/op (0.500).
`,
		`| load | java ops/s | quoll ops/s | java p50 / p99 / p99.9 µs | quoll p50 / p99 / p99.9 µs | java CPU µs/op | quoll CPU µs/op |
|---|--:|--:|--:|--:|--:|--:|
| set/50x20/1024B | 1,500 | 6,250 | 10.0 / 200 / 3,000 | 1.2 / 20.0 / 300 | 40.0 | 20.0 |
`,
		"| row | figure | java | quoll | quoll / java |\n|---|--:|--:|--:|--:|\n| start | first answer, ms | 500 | 20.0 | 0.040 |\n",
		"on a machine of its own quoll would do more: set/50x20/1024B (25.0 beside 20.0 µs).\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks\n%s\nit is\n%s", want, b.String())
		}
	}
}

// TestTheLastRunOfARowCounts adds a run that measured one of the rows again.
func TestTheLastRunOfARowCounts(t *testing.T) {
	dir := t.TempDir()
	old, again := filepath.Join(dir, "old.json"), filepath.Join(dir, "again.json")
	later := &results{Runs: make([]environment, 1)}
	for server, ms := range map[string]float64{"java": 100, "quoll": 50} {
		later.Measurements = append(later.Measurements, measurement{Row: "start", Server: server, Figures: []figure{{"first answer, ms", ms}}})
	}
	if err := errors.Join(sample().write(old), later.write(again)); err != nil {
		t.Fatal(err)
	}
	r := new(results)
	if err := errors.Join(r.load(old), r.load(again)); err != nil {
		t.Fatal(err)
	}
	lines := r.lines()
	last := lines[len(lines)-1]
	if ratio, low, high, ok := last.ratio(); last.row.name != "start" || !ok || ratio != 0.5 || low != 0.5 || high != 0.5 {
		t.Errorf("%s: %v (%v to %v), %v", last.row.name, ratio, low, high, ok)
	}
	if first := lines[0]; first.row.name != "set/50x20/1024B" || len(first.rounds["java"]) != 2 {
		t.Errorf("%+v", first)
	}
}

func TestBadResults(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "end of JSON",
		`{"measurements":[{"run":0}]}`: "run 0, of 0",
		`{"runs":[{}],"measurements":[{"run":-1}]}`: "run -1, of 1",
	} {
		name := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{"-from", name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestNoRatio has what a ratio cannot be made of.
func TestNoRatio(t *testing.T) {
	for _, rounds := range []map[string][]float64{
		{"java": {0, 0}, "quoll": {0, 0}},
		{"quoll": {1}},
		{"java": {1}},
		{"java": {1, 2}, "quoll": {1}}, // a run that was interrupted
	} {
		if ratio, _, _, ok := (line{row: named("start"), rounds: rounds}).ratio(); ok {
			t.Errorf("%v has the ratio %v", rounds, ratio)
		}
	}
}

func TestPlot(t *testing.T) {
	svg := plot(sample().lines())
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
	}
	for want, n := range map[string]int{
		"ops/s: 4.2 times better, aim 3.0</title>":                     1,
		"CPU µs/op: 2.0 times better, aim 4.0</title>":                 1,
		"start, first answer, ms: 25.0 times better, aim 10.0</title>": 1,
		`fill="none"`: 1, // the aim that was missed
	} {
		if got := strings.Count(string(svg), want); got != n {
			t.Errorf("%q is there %d times, not %d:\n%s", want, got, n, svg)
		}
	}
	if empty := plot(nil); !bytes.Contains(empty, []byte("</svg>")) {
		t.Errorf("%s", empty)
	}
}

// TestColours computes the contrast of each colour with a white page and with a dark one, as the accessibility guidelines of the web define it:
// 3 is what a mark needs, and 4 is near the 4.5 that small text does on either.
func TestColours(t *testing.T) {
	luminance := func(colour string) (sum float64) {
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := float64(n) / 255
			if c <= 0.03928 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	check := func(colour string, least float64) {
		for _, page := range []string{"#ffffff", "#0d1117"} {
			a, b := luminance(colour)+0.05, luminance(page)+0.05
			if contrast := max(a, b) / min(a, b); contrast < least {
				t.Errorf("%s on %s has a contrast of %.2f", colour, page, contrast)
			}
		}
	}
	check(ink, 4)
	for _, m := range marks {
		check(m.colour, 3)
	}
}

func TestInto(t *testing.T) {
	for _, tt := range []struct{ page, want string }{
		{"", "new\n"},
		{"some other page\n", "new\n"},
		{"head\n" + reportBegins + "old\n" + reportEnds + "tail\n", "head\n" + reportBegins + "\nnew\n" + reportEnds + "tail\n"},
		{"head\n" + reportBegins + "old\n", "new\n"},
	} {
		if got := string(into([]byte(tt.page), []byte("new\n"))); got != tt.want {
			t.Errorf("into %q: %q", tt.page, got)
		}
	}
}

func TestMiddle(t *testing.T) {
	if got := middle([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three = %v", got)
	}
	if got := middle([]time.Duration{4, 1}); got != 2 {
		t.Errorf("median of two = %v", got)
	}
}

func TestProc(t *testing.T) {
	used := func() time.Duration {
		d, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	busy, err := busyTime()
	if err != nil {
		t.Fatal(err)
	}
	own := ownCPU()
	for before := used(); used() <= before+10*tick; {
	}
	more, err := busyTime()
	if err != nil {
		t.Fatal(err)
	}
	if ownCPU()-own < 9*tick || more-busy < 9*tick {
		t.Errorf("this process has used %v, all together %v, want 100 ms or more", ownCPU()-own, more-busy)
	}
	if n, err := memoryOf(os.Getpid(), "VmRSS"); err != nil || n < 1<<20 {
		t.Errorf("memoryOf = %d, %v", n, err)
	}
}

// TestOthers takes this process for a server, whose time comes off twice then, and a child that has ended for another.
func TestOthers(t *testing.T) {
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for used, _ := cpuTime(os.Getpid()); used < 20*tick; used, _ = cpuTime(os.Getpid()) {
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	twice, err := others(&entrant{given: &target{pids: []int{os.Getpid(), child.Process.Pid}}})
	if err != nil {
		t.Fatal(err)
	}
	once, err := others(nil)
	if err != nil {
		t.Fatal(err)
	}
	if once-twice < own/2 {
		t.Errorf("%v, with this process as a server %v: it has used %v", once, twice, own)
	}
}

func TestTrimLogsKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "version-2"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.1", "log.9", "log.a", "log.ff", "log.100", "log.20", "snapshot.0", "snapshot.5", "snapshot.15", "snapshot.a0", "snapshot.ff", "acceptedEpoch"} {
		if err := os.WriteFile(filepath.Join(dir, "version-2", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := trimLogs(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "version-2"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "acceptedEpoch log.100 log.20 log.a log.ff snapshot.15 snapshot.a0 snapshot.ff" {
		t.Errorf("left: %s", got)
	}
}

func TestRows(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range table {
		if names[r.name] {
			t.Errorf("row %s twice", r.name)
		}
		names[r.name] = true
		if r.short && r.rare {
			t.Errorf("row %s is in the table of -short alone", r.name)
		}
	}
	for _, tt := range []struct {
		args []string
		name string
		want bool
	}{
		{nil, "get/1x1/1024B", true},
		{nil, "exists/1x1/100B", false},
		{nil, "3/set/30x20/1024B", true},
		{nil, "pauses/5m", true},
		{[]string{"-servers", "floor"}, "get/1x1/1024B", true},
		{[]string{"-servers", "floor"}, "pauses/5m", false},
		{[]string{"-servers", "java"}, "store/1m", false},
		{[]string{"-short"}, "3/set/30x20/1024B", false},
		{[]string{"-short"}, "get/50x20/1024B", true},
		{[]string{"-short"}, "get/50x20/100B", false},
		{[]string{"-rows", "^exists/1x1/"}, "exists/1x1/100B", true},
		{[]string{"-rows", "^exists/1x1/"}, "get/1x1/1024B", false},
		{[]string{"-from", "x.json"}, "get/1x1/1024B", false},
		{[]string{"-from", "x.json", "-rows", "^get/"}, "get/1x1/1024B", true},
		{[]string{"-addr", "a:1"}, "get/1x1/1024B", true},
		{[]string{"-addr", "a:1"}, "3/get/3x1/1024B", false},
		{[]string{"-addr", "a:1"}, "start", false},
		{[]string{"-addr", "a:1,b:1,c:1"}, "3/get/3x1/1024B", true},
	} {
		p, err := parse(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.chosen()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(rows, func(r row) bool { return r.name == tt.name }); got != tt.want {
			t.Errorf("%v: %s chosen = %v", tt.args, tt.name, got)
		}
	}
}

// TestAddr measures a server that runs already.
func TestAddr(t *testing.T) {
	page := filepath.Join(t.TempDir(), "report.md")
	addr := serveFloor(t, newFloor())
	runFor(t, 50*time.Millisecond, strings.Fields("-addr "+addr+" -rounds 1 -warmup 10ms -rows ^get/1x -o "+page)...)
	b, err := os.ReadFile(page)
	if want := "| load | " + addr + " ops/s |"; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%v, no %q in\n%s", err, want, b)
	}
}

func TestShortLeavesWhatIsGiven(t *testing.T) {
	for _, tt := range []struct {
		args             string
		rounds           int
		duration, warmup time.Duration
	}{
		{"", 3, 5 * time.Second, time.Second},
		{"-short", 1, 2 * time.Second, time.Second / 2},
		{"-short -rounds 4 -duration 7s -warmup 0", 4, 7 * time.Second, 0},
	} {
		p, err := parse(strings.Fields(tt.args))
		if err != nil {
			t.Fatal(err)
		}
		if p.rounds != tt.rounds || p.duration != tt.duration || p.warmup != tt.warmup {
			t.Errorf("%q: %d rounds of %v after %v", tt.args, p.rounds, p.duration, p.warmup)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-servers java,zetcd", "zetcd"},
		{"-servers with-store", "with-store"},
		{"-rounds 0", "must be positive"},
		{"-scale 0", "must be positive"},
		{"-addr 127.0.0.1:1,127.0.0.1:2", "no row of that name"},
		{"-pid 17,x", `"x"`},
		{"-o report", ".md"},
		{"more", "unexpected argument"},
		{"-rows (", "-rows"},
		{"-rows nothing", "no row of that name"},
	} {
		if err := run(strings.Fields(tt.args)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("run(%s) = %v, want an error with %q", tt.args, err, tt.want)
		}
	}
}

// TestResultsAreJSON pins the names that other programs may look for.
func TestResultsAreJSON(t *testing.T) {
	b, err := json.Marshal(measurement{Row: "get", Server: "java", Figures: []figure{{opsRate, 5}}})
	want := `{"row":"get","server":"java","run":0,"round":0,"began":"0001-01-01T00:00:00Z","seconds":0,"others":0,"figures":[{"name":"ops/s","value":5}]}`
	if string(b) != want || err != nil {
		t.Errorf("%s, %v\nwant %s", b, err, want)
	}
}
