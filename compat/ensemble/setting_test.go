package ensemble

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// long says that the long forms are wanted.
func long() bool { return os.Getenv("QUOLL_ENSEMBLE") == "long" }

// pick is a number that is larger in the long form, and may be set.
func pick(t *testing.T, name string, short, longer int64) int {
	if long() {
		short = longer
	}
	return int(peer.Setting(t, name, short))
}

// assignments are the ensembles that a test runs on: QUOLL_ENSEMBLE_KINDS, as in "quoll,3.9.5,3.9.5 quoll,quoll,quoll", or those of
// the long or the short form.
func assignments(t *testing.T, short, longer []string) [][]Kind {
	list := short
	if long() {
		list = longer
	}
	if given := os.Getenv("QUOLL_ENSEMBLE_KINDS"); given != "" {
		list = strings.Fields(given)
	}
	var all [][]Kind
	for _, text := range list {
		var kinds []Kind
		for _, name := range strings.Split(text, ",") {
			kinds = append(kinds, Kind(name))
		}
		all = append(all, kinds)
	}
	if len(all) == 0 {
		t.Fatal("no ensembles to run on")
	}
	return all
}

func nameOf(kinds []Kind) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(kinds), " ", ","), "[]")
}

// build makes an ensemble for a test. When the test ends it is gone, and the logs of its members must have no complaint.
// What only servers of ZooKeeper have said of each other is no failure where it is known, nor are lines that have one of the expected texts.
func build(t *testing.T, o Options, expected ...string) *Ensemble {
	t.Helper()
	if o.Work == "" {
		o.Work = directory(t)
	}
	e, err := New(o)
	check(t, err)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		java := !slices.Contains(o.Kinds, Quoll)
		for _, c := range e.Complaints() {
			if slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(c, text) }) {
				continue
			}
			// A learner that is synchronized under load gets digests wrong, whoever is to blame.
			if java && strings.Contains(c, "Digests are not matching") {
				t.Logf("without quoll: %s", c)
				continue
			}
			t.Error(c)
		}
		if t.Failed() {
			t.Log(e.Tails(40))
		}
	})
	return e
}

// directory is in memory if that can be: what a disk does is the matter of other tests. It is kept if the test fails and
// QUOLL_ENSEMBLE_KEEP is set.
func directory(t *testing.T) string {
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "ensemble-test-")
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("QUOLL_ENSEMBLE_KEEP") != "" {
			t.Logf("kept: %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		peer.Check(t, err)
	}
}

// serving waits until all that run serve, and returns who leads.
func serving(t *testing.T, e *Ensemble) *Member {
	t.Helper()
	leader, err := e.Serving()
	check(t, err)
	return leader
}
