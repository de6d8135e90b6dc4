package admin

import (
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
	for i := range differences {
		if d := &differences[i]; !c.used[d] && !d.may {
			t.Errorf("%s %q: nothing is different there: %s", d.kind, d.place, d.reason)
		}
	}
}
