package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	floorIfAsked()
	os.Exit(m.Run())
}

// TestComparison runs the whole program with the only server that needs nothing else.
func TestComparison(t *testing.T) {
	output := filepath.Join(t.TempDir(), "report.md")
	work := t.TempDir()
	args := "-servers floor,floor -rounds 2 -duration 100ms -warmup 20ms -rows ^(get/1x20|create-delete/10x1)/1024B$ -work " + work + " -o " + output
	if err := run(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n| get/1x20/1024B | ", "\n| create-delete/10x1/1024B | ", "fsync: "} {
		if strings.Count(string(b), want) != 1 {
			t.Errorf("the report does not have %q once:\n%s", want, b)
		}
	}
}

func TestReportNamesTheRowsBehind(t *testing.T) {
	table := []row{rowNamed(t, "get/1x1/100B"), rowNamed(t, "set/50x20/1024B")}
	us := time.Microsecond
	all := [][]figures{
		{{ops: 1000, p50: 1 * us, p99: 20 * us, p999: 300 * us, cpu: 40 * us}, {ops: 2500, p50: 2 * us, p99: 3 * us, p999: 4 * us, cpu: 10 * us}},
		{{ops: 1234567, cpu: 4 * us}, {ops: 617283.5, cpu: 8 * us}},
	}
	var b strings.Builder
	reportLoads(&b, []string{"java", "quoll"}, table, all)
	want := `A row is load / connections x requests in flight on each / bytes of data, after the number of servers if they are an ensemble. Latencies are in microseconds.

| row | java ops/s | quoll ops/s | ratio | java p50 / p99 / p99.9 µs | quoll p50 / p99 / p99.9 µs | java CPU µs/op | quoll CPU µs/op | ratio |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| get/1x1/100B | 1,000 | 2,500 | 2.50 | 1.0 / 20.0 / 300 | 2.0 / 3.0 / 4.0 | 40.0 | 10.0 | 0.25 |
| set/50x20/1024B | 1,234,567 | 617,284 | 0.50 | 0.0 / 0.0 / 0.0 | 0.0 / 0.0 / 0.0 | 4.0 | 8.0 | 2.00 |

quoll is behind Java in 1 of 2 rows: set/50x20/1024B (0.50).

`
	if b.String() != want {
		t.Errorf("report:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestReportOthers(t *testing.T) {
	var b strings.Builder
	reportOthers(&b, []string{"java", "quoll"}, []other{{"start, ms", []float64{1000, 12.34}}})
	want := "| what | java | quoll | ratio |\n|---|--:|--:|--:|\n| start, ms | 1,000 | 12.3 | 0.01 |\n\n"
	if b.String() != want {
		t.Errorf("report:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestMedian(t *testing.T) {
	got := median([]figures{{ops: 3, p50: 10}, {ops: 1, p50: 30}, {ops: 2, p50: 20}})
	if got.ops != 2 || got.p50 != 20 {
		t.Errorf("median of three = %+v", got)
	}
	if got := median([]figures{{ops: 1}, {ops: 2}}); got.ops != 1.5 {
		t.Errorf("median of two = %v", got.ops)
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
	for before := used(); used() <= before; {
	}
	if n, err := residentBytes(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("residentBytes = %d, %v", n, err)
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
	usual := 0
	for _, r := range rows() {
		if names[r.String()] {
			t.Errorf("row %s twice", r)
		}
		names[r.String()] = true
		if r.usual() {
			usual++
		}
	}
	if len(names) != len(workloads)*(12+6) || usual != 2*12+5*2+2*3+2 {
		t.Errorf("%d rows, %d of them usual", len(names), usual)
	}
	for _, tt := range []struct {
		args []string
		name string
		want bool
	}{
		{nil, "get/1x1/100B", true},
		{nil, "exists/10x1/100B", false},
		{nil, "3/set/30x20/1024B", true},
		{nil, "3/mixed50/3x1/1024B", false},
		{nil, "3/exists/30x20/1024B", false},
		{[]string{"-short"}, "3/set/30x20/1024B", false},
		{[]string{"-rows", "^exists/10x1/"}, "exists/10x1/100B", true},
		{[]string{"-rows", "^exists/10x1/"}, "get/1x1/100B", false},
		{[]string{"-short"}, "get/50x20/100B", true},
		{[]string{"-short"}, "get/50x20/1024B", false},
		{[]string{"-short"}, "memory", false},
	} {
		p, err := parse(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		chosen, err := p.chosen()
		if err != nil {
			t.Fatal(err)
		}
		usual := !names[tt.name] || rowNamed(t, tt.name).usual()
		if got := chosen(tt.name, usual); got != tt.want {
			t.Errorf("%v: %s chosen = %v", tt.args, tt.name, got)
		}
	}
}

func TestShortLeavesWhatIsGiven(t *testing.T) {
	for _, tt := range []struct {
		args     string
		rounds   int
		duration time.Duration
	}{
		{"", 3, 5 * time.Second},
		{"-short", 1, 3 * time.Second},
		{"-short -rounds 4 -duration 7s", 4, 7 * time.Second},
	} {
		p, err := parse(strings.Fields(tt.args))
		if err != nil {
			t.Fatal(err)
		}
		if p.rounds != tt.rounds || p.duration != tt.duration {
			t.Errorf("%q: %d rounds of %v", tt.args, p.rounds, p.duration)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-servers java,zetcd", "zetcd"},
		{"-rounds 0", "must be positive"},
		{"-addr 127.0.0.1:1,127.0.0.1:2", "no row is for 2 servers"},
		{"-pid 17,x", `"x"`},
		{"more", "unexpected argument"},
		{"-rows (", "-rows"},
	} {
		if err := run(strings.Fields(tt.args)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("run(%s) = %v, want an error with %q", tt.args, err, tt.want)
		}
	}
}
