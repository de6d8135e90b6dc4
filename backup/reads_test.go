package backup

import (
	"context"
	"testing"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// counting counts the bytes that are read of files.
type counting struct {
	txnlog.FS
	read *int64
}

type countingFile struct {
	txnlog.File
	read *int64
}

func (c counting) Open(name string) (txnlog.File, error) {
	f, err := c.FS.Open(name)
	return countingFile{f, c.read}, err
}

func (f countingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	*f.read += int64(n)
	return n, err
}

// TestReads: what a backup and a restore say that they will read, they read, more or less, and they say it when they have read little.
func TestReads(t *testing.T) {
	w := newWorld(t, "")
	var read, before, told int64
	fs := counting{txnlog.OS, &read}
	reads := func(bytes int64) { before, told = read, bytes }
	check := func(what string, err error) {
		t.Helper()
		must(t, err)
		if after := read - before; told == 0 || float64(after) < 0.75*float64(told) || float64(after) > 1.25*float64(told) {
			t.Errorf("%s: said to read %d, reads %d, and %d before", what, told, after, before)
		}
		read, before, told = 0, 0, 0
	}
	large := func(n int) {
		for range n {
			w.apply(jute.OpSetData, func(txn *tree.Txn) {
				txn.Path, txn.Data, txn.Version = "/n1", make([]byte, 50_000), w.tree.Lookup("/n1").Version()+1
			})
		}
	}
	w.creates(1)
	large(40)
	w.snapshot(nil)
	w.log.Roll()
	large(50)
	w.log.Roll()
	large(50)
	middle := Zxid(w.zxid)
	w.log.Roll()
	large(50)
	to := t.TempDir()
	o := w.options(to)
	o.FS, o.Reads = fs, reads
	_, err := Run(context.Background(), o)
	check("a backup", err)
	large(50)
	_, err = Run(context.Background(), o)
	check("what is new", err)
	for name, target := range map[string]Target{"all": {}, "a zxid": AtZxid(Zxid(w.zxid - 30)), "the last of a log": AtZxid(middle), "a time": AtTime(Time(w.now - 30))} {
		_, err := Restore(context.Background(), RestoreOptions{From: to, DataDir: t.TempDir(), Target: target, FS: fs, Reads: reads})
		check(name, err)
	}
}
