package backup

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
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
		if r := w.backUp(to); len(r.Copied) != 0 || r.Bytes != 0 || r.Manifest.Updated.UnixMilli() != w.now {
			t.Errorf("copied %v at %v although nothing was new", r.Copied, r.Manifest.Updated)
		}
		w.snapshot(func() { w.creates(4); w.failed(); w.sets(); w.restricts() })
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

// cutLog makes a log of the world as short as one record behind the last to stay, as a loss of power or a leader's TRUNC does, and the world's
// tree as it was then.
func (w *world) cutLog(name string, keep int) {
	w.t.Helper()
	must(w.t, w.log.Close())
	path := filepath.Join(w.logs, name)
	must(w.t, os.Truncate(path, recordAt(w.t, path, keep)))
	logs, err := list(txnlog.OS, w.logs, txnlog.Logs)
	must(w.t, err)
	for _, l := range logs {
		if l.zxid > Zxid(txnlog.NameZxid(name)) {
			must(w.t, os.Remove(filepath.Join(w.logs, l.name)))
		}
	}
	_, err = readLog(txnlog.OS, part{path: path, size: -1}, func(r txnlog.Record) error {
		w.zxid = r.Zxid
		return nil
	})
	must(w.t, err)
	snapshots, err := list(txnlog.OS, w.snaps, txnlog.Snapshots)
	must(w.t, err)
	for _, s := range snapshots {
		if s.zxid > Zxid(w.zxid) {
			must(w.t, os.Remove(filepath.Join(w.snaps, s.name)))
		}
	}
	w.tree, err = replay(w.t.Context(), txnlog.OS, w.snaps, w.logs, math.MaxInt64, func(*tree.Tree, txnlog.Record, *tree.Txn) error { return nil })
	must(w.t, err)
	maps.DeleteFunc(w.states, func(z Zxid, _ string) bool { return z > Zxid(w.zxid) })
	w.open()
}

// TestSourceGoesBack cuts the end of the source off, as a loss of power does with what nobody was told yet: the backup stays as it is until the
// server has gone on, and then has what the server has.
func TestSourceGoesBack(t *testing.T) {
	for _, cut := range []struct {
		log  string
		keep int
	}{{"log.7", 2}, {"log.1", 4}} { // the second as a leader does: log.7 is gone
		t.Run(cut.log, func(t *testing.T) {
			w, to := newWorld(t, ""), t.TempDir()
			w.creates(6)
			w.backUp(to)
			w.log.Roll()
			w.creates(6)
			w.snapshot(nil)
			w.backUp(to)
			w.cutLog(cut.log, cut.keep)
			if _, err := Run(t.Context(), w.options(to)); !errors.Is(err, ErrBehind) {
				t.Errorf("a source that ends before the backup: %v", err)
			}
			w.verify(to)
			w.now++ // other transactions than those that were cut off
			w.creates(1)
			if r := w.backUp(to); len(r.Notes) == 0 || r.Manifest.End() != Zxid(w.zxid) {
				t.Errorf("%v, notes %q", r.Manifest.End(), r.Notes)
			}
			w.creates(20)
			w.backUp(to)
			w.restores(to, 1)
		})
	}
}

// TestEpochs has members' logs: epochs, one of which was cut off by the next leader, and gaps that a snapshot of a leader bridges, between files
// and within one.
func TestEpochs(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.creates(6)
	w.log.Roll()
	w.creates(2)
	w.backUp(to)
	w.cutLog("log.1", 5) // the next leader did not have 6, 7 and 8
	w.zxid = 1 << 32
	w.creates(4)
	w.backUp(to)
	w.restores(to, 1)

	// The member is given the tree of its leader and goes on in the same log, then in another.
	for _, roll := range []bool{false, true} {
		at := Zxid(w.zxid)
		if w.zxid += 100; roll {
			w.log.Roll()
		}
		w.tree.SetLastZxid(w.zxid)
		w.states[Zxid(w.zxid)] = dump(w.tree)
		w.snapshot(nil)
		w.creates(3)
		r := w.backUp(to)
		if ranges := r.Manifest.Ranges(); ranges[len(ranges)-2].To != at || ranges[len(ranges)-1].From != at+100 || len(r.Notes) != 1 {
			t.Errorf("the ranges are %v, notes %q", ranges, r.Notes)
		}
	}
	w.restores(to, 1)
	if _, err := Restore(t.Context(), RestoreOptions{From: to, DataDir: t.TempDir(), Target: AtZxid(Zxid(w.zxid) - 50)}); !errors.Is(err, ErrNoTarget) {
		t.Errorf("a target within a gap: %v", err)
	}

	w.zxid = 2<<32 + 5 // an epoch of which the beginning is missing
	w.creates(1)
	if _, err := Run(t.Context(), w.options(to)); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without the beginning of an epoch: %v", err)
	}
}

// TestRewrittenSnapshot writes a snapshot anew under its name, as a restart does: the old one stays until the new one is part of the backup.
func TestRewrittenSnapshot(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.creates(3)
	w.snapshot(nil)
	w.backUp(to)
	for n := range 3 {
		w.tree.KillSession(int64(n)) // nothing; but the snapshot is another one with these
		w.apply(jute.OpCreateSession, func(txn *tree.Txn) { txn.ClientID, txn.Timeout = int64(n), 1000 })
		must(t, os.Rename(w.snapshot(nil), filepath.Join(w.snaps, "snapshot.3")))
		r := w.backUp(to)
		if stored := r.Manifest.Snapshots[len(r.Manifest.Snapshots)-1].Stored; len(r.Manifest.Snapshots) != 1 || n == 0 && stored != "version-2/snapshot.3.2" {
			t.Errorf("%d snapshots, the last is %s", len(r.Manifest.Snapshots), stored)
		}
		w.restoresTo(to, Zxid(w.zxid))
	}
}

func TestKeep(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	o := w.options(to)
	o.Keep = 2
	for n := range 6 {
		w.creates(2)
		w.snapshot(nil)
		w.creates(2)
		w.log.Roll()
		r, err := Run(t.Context(), o)
		must(t, err)
		files, err := os.ReadDir(filepath.Join(to, versionDir))
		must(t, err)
		if len(files) != len(r.Manifest.Snapshots)+len(r.Manifest.Logs) {
			t.Errorf("%d files, but %d snapshots and %d logs", len(files), len(r.Manifest.Snapshots), len(r.Manifest.Logs))
		}
		if n > 1 && (len(r.Manifest.Snapshots) != 2 || len(r.Manifest.Logs) != 2) {
			t.Errorf("%d snapshots, %d logs", len(r.Manifest.Snapshots), len(r.Manifest.Logs))
		}
		w.verify(to)
	}
	w.restores(to, 1)
}

// TestPurgeMeanwhile purges the source at every moment of a pass at which a file is opened.
func TestPurgeMeanwhile(t *testing.T) {
	for at := 1; ; at++ {
		w, to := newWorld(t, ""), t.TempDir()
		w.creates(2)
		w.backUp(to)
		for range 4 {
			w.creates(2)
			w.snapshot(nil)
			w.log.Roll()
		}
		w.creates(1)
		n := 0
		o := w.options(to)
		o.FS = &faultFS{FS: txnlog.OS, open: func(string) {
			if n++; n != at {
				return
			}
			for range 4 {
				w.creates(1)
				w.snapshot(nil)
				w.log.Roll()
			}
			w.creates(1)
			_, err := txnlog.Purge(txnlog.OS, w.logs, w.snaps, txnlog.MinRetain)
			must(t, err)
		}}
		r, err := Run(t.Context(), o)
		must(t, err)
		if n < at {
			if at < 15 {
				t.Errorf("a pass opens only %d files", n)
			}
			return
		}
		w.verify(to)
		w.restoresTo(to, r.Manifest.End())
		w.backUp(to)
		w.restoresTo(to, Zxid(w.zxid))
	}
}

func TestRefusals(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.creates(1)
	if _, err := Run(t.Context(), Options{DataDir: filepath.Join(w.dir, "none"), To: to}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a source: %v", err)
	}
	if _, err := Run(t.Context(), Options{DataDir: w.dir, To: w.dir}); err == nil || !strings.Contains(err.Error(), "it is no backup") {
		t.Errorf("into a data directory: %v", err)
	}
	if _, err := Load(nil, w.dir); !errors.Is(err, ErrNoBackup) {
		t.Errorf("the manifest of a data directory: %v", err)
	}
	unlock, err := lock(to)
	must(t, err)
	if _, err := Run(t.Context(), w.options(to)); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another: %v", err)
	}
	unlock()
	w.backUp(to)
	for text, want := range map[string]string{
		"":               "EOF",
		`{"version": 2}`: "version 2 of the manifest is unknown",
		`{"version": 1, "logs": [{"name": "log.1", "stored": "../log.1"}]}`: "no file of a backup",
		`{"version": 1, "logs": [{"first": "x"}]}`:                          "no zxid",
	} {
		must(t, os.WriteFile(filepath.Join(to, manifestName), []byte(text), 0o644))
		if _, err := Run(t.Context(), w.options(to)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a manifest %s: %v", text, err)
		}
	}
}

// TestFollow sees each closed log and, at the interval, what the open one has gained, and a last time what came until the end.
func TestFollow(t *testing.T) {
	w, to := newWorld(t, ""), t.TempDir()
	w.creates(1)
	ctx, cancel := context.WithCancel(t.Context())
	reports, ended := make(chan *Report), make(chan error, 1)
	go func() {
		ended <- Follow(ctx, w.options(to), time.Millisecond, func(r *Report, err error) {
			if err != nil {
				t.Error(err)
			} else if len(r.Copied) > 0 {
				reports <- r
			}
		})
	}()
	next := func(want Zxid) {
		t.Helper()
		for r := range reports {
			if end := r.Manifest.End(); end == want {
				return
			} else if end > want {
				t.Fatalf("the backup has %v, and not up to %v", end, want)
			}
		}
	}
	next(1)
	w.creates(2)
	next(3)
	w.log.Roll()
	w.creates(1)
	next(4)
	w.snapshot(nil)
	if r := <-reports; !slices.Contains(r.Copied, "snapshot.4") {
		t.Errorf("copied %v", r.Copied)
	}
	cancel()
	select {
	case <-reports:
	case err := <-ended:
		must(t, err)
	}
	w.verify(to)
	w.restores(to, 1)
}
