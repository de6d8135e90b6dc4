package ensemble

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTorn lets a member of each kind start with a currentEpoch that is behind its log, as ZooKeeper leaves it if it is killed while it is synchronized. ZooKeeper ends, and the
// operator has to write the file; quoll writes it itself.
func TestTorn(t *testing.T) {
	e := build(t, Options{Kinds: []Kind{Quoll, "3.9.5", Quoll}})
	check(t, e.Start())
	serving(t, e)
	ctx, cancel := patient()
	defer cancel()
	makeRoot(t, ctx, e, "/load")
	check(t, e.Stop())
	check(t, e.Start())
	serving(t, e)
	makeRoot(t, ctx, e, "/again")
	check(t, e.Stop())
	for _, m := range e.Members[:2] {
		name := filepath.Join(m.Dir(), "version-2", "currentEpoch")
		text, err := os.ReadFile(name)
		check(t, err)
		epoch, err := strconv.Atoi(string(text))
		check(t, err)
		check(t, os.WriteFile(name, []byte(strconv.Itoa(epoch-1)), 0o644))
	}
	check(t, e.Start())
	serving(t, e)
	if !strings.Contains(e.Member(1).Log(), "currentEpoch is raised") {
		t.Error("quoll has not raised its currentEpoch")
	}
	if data, err := os.ReadFile(e.Member(2).log("3.9.5")); err != nil || tornEpoch(string(data)) == 0 {
		t.Errorf("ZooKeeper did not end on such a file: %v", err)
	}
	if _, err := e.Agree(); err != nil {
		t.Error(err)
	}
}
