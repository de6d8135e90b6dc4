package admin

import (
	"io"
	"net/http"
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
		w := begin(t, kind, false)
		all := map[string][]answer{}
		for _, role := range roles {
			for _, q := range list {
				a := w[role].ask(t, q)
				if kind == ensemble.Quoll && secrets.MatchString(a.body) {
					t.Errorf("%s %s shows a secret:\n%s", role, q, a.body)
				}
				all[role] = append(all[role], a)
			}
		}
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
	peer.RequireJVM(t)
	c := &comparison{t: t, used: map[*difference]bool{}}
	capture := func(kind ensemble.Kind) map[string]scrape {
		w := begin(t, kind, true)
		all := map[string]scrape{}
		for _, role := range roles {
			all[role] = take(t, w[role])
		}
		return all
	}
	java, quoll := capture(ensemble.Java), capture(ensemble.Quoll)
	for _, role := range roles {
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
