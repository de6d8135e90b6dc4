package admin

import (
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/compat/ensemble"
	"quoll/compat/peer"
)

// TestCommands asks servers of either kind in every role everything.
func TestCommands(t *testing.T) {
	peer.RequireJVM(t)
	c := &comparison{t: t, used: map[*difference]bool{}}
	list := questions()
	capture := func(kind ensemble.Kind) map[string][]answer {
		all := map[string][]answer{}
		visitRoles(t, kind, false, func(role string, s *target) {
			for _, q := range list {
				a := s.ask(t, q)
				if kind == ensemble.Quoll && strings.Contains(a.body, secret) {
					t.Errorf("%s %s shows a secret:\n%s", role, q, a.body)
				}
				all[role] = append(all[role], a)
			}
		})
		return all
	}
	java, quoll := capture(ensemble.Java), capture(ensemble.Quoll)
	for _, role := range roles {
		for i, q := range list {
			c.answers(role+" "+q.String(), java[role][i], quoll[role][i])
		}
	}
	c.complete(func(d *difference) bool { return !d.metric })
}

// complete fails for rows that nothing has needed.
func (c *comparison) complete(of func(*difference) bool) {
	for i := range differences {
		if d := &differences[i]; of(d) && !c.used[d] && !d.may {
			c.t.Errorf("%s %q: nothing is different there: %s", d.kind, d.place, d.reason)
		}
	}
}

// TestMetrics scrapes servers of either kind in every role, and compares names, types and labels; and the keys of mntr and of monitor in the form that this provider has.
func TestMetrics(t *testing.T) {
	if os.Getenv("QUOLL_ADMIN") != "long" && !*update {
		t.Skip("QUOLL_ADMIN=long compares with a running ZooKeeper; TestGolden does with what was recorded of it")
	}
	peer.RequireJVM(t)
	c := &comparison{t: t, used: map[*difference]bool{}}
	capture := func(kind ensemble.Kind) map[string]scrape {
		all := map[string]scrape{}
		visitRoles(t, kind, true, func(role string, s *target) { all[role] = take(t, s) })
		return all
	}
	java := capture(ensemble.Java)
	for _, role := range roles {
		golden(t, role, java[role], *update)
	}
	quoll := capture(ensemble.Quoll)
	for _, role := range roles {
		golden(t, role, quoll[role], false)
		a, b := java[role], quoll[role]
		place := role + " GET /metrics"
		c.sets(place, "sample", a.samples, b.samples)
		for name, kind := range a.types {
			if other := b.types[name]; other != "" && other != kind {
				c.differ(place+" "+name, "type", kind, other)
			}
		}
		c.sets(role+" mntr", "sample", a.mntr, b.mntr)
		c.sets(role+" monitor", "sample", a.monitor, b.monitor)
	}
	c.complete(func(d *difference) bool { return d.metric })
}

// TestGolden compares what quoll shows in every role with what was recorded of ZooKeeper, which needs no virtual machine.
func TestGolden(t *testing.T) {
	visitRoles(t, ensemble.Quoll, true, func(role string, s *target) { golden(t, role, take(t, s), false) })
}

var update = flag.Bool("update", false, "write testdata/prometheus with what ZooKeeper shows, instead of comparing with it")

// golden compares a scrape with the file of its role, or writes that: names, types and labels of ZooKeeper's metrics, without those of process and virtual machine.
func golden(t *testing.T, role string, s scrape, write bool) {
	t.Helper()
	var lines []string
	others := regexp.MustCompile(`^(jvm_[^p]|process_|go_|quoll_)`).MatchString
	for _, sample := range s.samples {
		name, _, _ := strings.Cut(sample, "{")
		kind := s.types[name]
		for _, end := range []string{"_sum", "_count"} {
			if base := strings.TrimSuffix(name, end); base != name && s.types[base] == "summary" {
				kind = "part of a summary"
			}
		}
		if !others(sample) {
			lines = append(lines, sample+" "+kind)
		}
	}
	slices.Sort(lines)
	file := filepath.Join("..", "..", "testdata", "prometheus", role+"-3.9.5.txt")
	if write {
		head := "# Samples of the metrics of Apache ZooKeeper 3.9.5 and their types, recorded by: go test ./compat/admin -run TestMetrics -update\n"
		must(t, os.WriteFile(file, []byte(head+strings.Join(lines, "\n")+"\n"), 0o644))
		return
	}
	text, err := os.ReadFile(file)
	must(t, err)
	want := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("%s: there is no %s", role, line)
		}
	}
	for _, line := range lines {
		if !slices.Contains(want, line) {
			t.Errorf("%s: there is %s, which ZooKeeper has not", role, line)
		}
	}
}

// scrape is what a server shows of its metrics: types by name, and samples with their labels, without their values.
type scrape struct {
	types                  map[string]string
	samples, mntr, monitor []string
}

func take(t *testing.T, s *target) scrape {
	t.Helper()
	all := scrape{types: map[string]string{}}
	response, err := http.Get("http://" + s.metrics + "/metrics")
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			all.types[name] = kind
		} else if !strings.HasPrefix(line, "#") {
			name := line[:strings.LastIndexByte(line, ' ')]
			all.samples = append(all.samples, strings.Replace(name, ",}", "}", 1)) // Java's comma behind the last label
		}
	}
	answer, err := s.word("mntr")
	must(t, err)
	for line := range strings.Lines(answer) {
		key, _, _ := strings.Cut(line, "\t")
		all.mntr = append(all.mntr, strings.TrimSpace(key))
	}
	if n, err := parse(s.ask(t, question{method: "GET", path: "/commands/monitor"}).body); err == nil {
		all.monitor = n.keys
	}
	return all
}
