package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table counts outcomes.
type table struct {
	title  string
	mu     sync.Mutex
	order  []string
	rows   map[string]map[string]counts // by group, then kind of server
	total  map[string]counts
	report []string // what fails the test
	sight  []string // what is worth a look and fails nothing: refusals that name no file, losses of ZooKeeper
}

type counts map[string]int

func newTable(title string) *table {
	return &table{title: title, rows: map[string]map[string]counts{}, total: map[string]counts{}}
}

func (t *table) cases(kind string) int { return t.total[kind]["cases"] }

// row gives a group its place in the table.
func (t *table) row(group string) {
	if t.rows[group] == nil {
		t.rows[group] = map[string]counts{}
		t.order = append(t.order, group)
	}
}

func (t *table) add(kind string, j job, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[j.group][kind] == nil {
		t.rows[j.group][kind] = counts{}
	}
	if t.total[kind] == nil {
		t.total[kind] = counts{}
	}
	outcome := o.after
	if j.lies && outcome == lost {
		outcome = "the disk lied"
	}
	for _, c := range []counts{t.rows[j.group][kind], t.total[kind]} {
		c["cases"]++
		c[outcome]++
		if o.during != "" {
			c[o.during]++
		}
	}
	line := fmt.Sprintf("%s: %s (seed %d): %s, then %s\n\t%s", kind, j.name, j.seed, o.during, o.after, strings.Join(o.notes, "\n\t"))
	if os.Getenv("QUOLL_FAULTS_SHOW") == "all" {
		fmt.Println(line)
	}
	switch {
	case outcome == complete, outcome == repaired, outcome == named, outcome == "the disk lied":
	case outcome == unnamed && kind != "quoll":
		t.sight = append(t.sight, line)
	case kind == "quoll":
		t.report = append(t.report, line)
	case outcome == lost:
		t.sight = append(t.sight, line)
	}
}

// columns of the table.
var columns = []struct{ title, key string }{
	{"cases", "cases"}, {"complete", complete}, {"repaired", repaired}, {"refused, naming the file", named}, {"refused, naming nothing", unnamed},
	{"does not write", readOnly}, {"crashed", crashed}, {"silent loss", lost}, {"lost by a disk that lied", "the disk lied"},
}

func (c counts) cells() string {
	var b strings.Builder
	for _, col := range columns {
		if n := c[col.key]; n > 0 {
			fmt.Fprintf(&b, " %d |", n)
		} else {
			b.WriteString(" |")
		}
	}
	for i, d := range []string{wentOn, refusing, stopped, notStarted} {
		if i > 0 {
			b.WriteString(" /")
		}
		fmt.Fprintf(&b, " %d", c[d])
	}
	return b.String() + " |\n"
}

func (t *table) markdown(summary string) string {
	var b strings.Builder
	b.WriteString("| fault | server |")
	for _, col := range columns {
		b.WriteString(" " + col.title + " |")
	}
	b.WriteString(" during it: went on / refused writes / stopped / did not start |\n|---|---|")
	b.WriteString(strings.Repeat("---:|", len(columns)) + "---|\n")
	names := map[string]string{"quoll": "quoll", "java": "ZooKeeper"}
	// Both servers' rows come in the order in which the first had them.
	for _, group := range t.order {
		for _, kind := range []string{"quoll", "java"} {
			if c := t.rows[group][kind]; c != nil {
				fmt.Fprintf(&b, "| %s | %s |%s", group, names[kind], c.cells())
			}
		}
	}
	for _, kind := range []string{"quoll", "java"} {
		if c := t.total[kind]; c != nil {
			fmt.Fprintf(&b, "| **all** | **%s** |%s", names[kind], c.cells())
		}
	}
	return summary + ".\n\n" + b.String()
}

func (t *table) print(test *testing.T, summary string) {
	text := t.markdown(summary)
	fmt.Println(text)
	for _, line := range t.sight {
		test.Log(line)
	}
	for _, line := range t.report {
		test.Error(line)
	}
	fmt.Printf("quoll: %v\nZooKeeper: %v\n", sorted(t.total["quoll"]), sorted(t.total["java"]))
	sections = append(sections, fmt.Sprintf("## %s\n\n%s", t.title, text))
}

// sections are the tables of this process, for the page.
var sections []string

func TestMain(m *testing.M) {
	code := m.Run()
	if to := os.Getenv("QUOLL_FAULTS_WRITE"); to != "" && len(sections) > 0 {
		if !filepath.IsAbs(to) {
			to = filepath.Join("..", "..", to) // the root of the repository, where make runs
		}
		if err := os.WriteFile(to, []byte(page+strings.Join(sections, "\n")), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func sorted(c counts) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(c)) {
		list = append(list, fmt.Sprintf("%s: %d", k, c[k]))
	}
	return list
}

const page = `# One fault at a time

Written by ` + "`make faults`" + `; what a case is, is said in [compat/faults](../compat/faults/doc.go), and what the disk does in [compat/faultfs](../compat/faultfs/doc.go).
The outcome is that of the next start, on what the fault has left and without any fault: **complete**, everything acknowledged is there; **repaired**, the same, and the server
says what was wrong; **refused**, it does not start and says why; **silent loss**, it serves and something acknowledged is missing or wrong. ZooKeeper is given a sample of the cases.

`
