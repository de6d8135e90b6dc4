package backup

import (
	"testing"
)

func TestIncremental(t *testing.T) {
	for _, split := range []bool{false, true} {
		logDir := ""
		if split {
			logDir = t.TempDir()
		}
		w, to := newWorld(t, logDir), t.TempDir()
		w.backUp(to) // nothing but an empty tree
		w.creates(5)
		w.failed()
		w.backUp(to)
		w.creates(3)
		if r := w.backUp(to); len(r.Copied) != 1 || r.Copied[0] != "log.1" {
			t.Errorf("copied %v, not what the log has gained", r.Copied)
		}
		if r := w.backUp(to); len(r.Copied) != 0 || r.Bytes != 0 {
			t.Errorf("copied %v although nothing was new", r.Copied)
		}
		w.snapshot(func() { w.creates(4); w.failed() })
		w.log.Roll()
		w.creates(6)
		w.failed()
		w.failed()
		w.log.Roll()
		w.failed()
		w.creates(2)
		if r := w.backUp(to); len(r.Copied) != 4 || len(r.Notes) > 0 {
			t.Errorf("copied %v, notes %v", r.Copied, r.Notes)
		}
		w.restores(to, 1)
	}
}
