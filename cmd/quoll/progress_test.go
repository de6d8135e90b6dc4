package main

import (
	"path/filepath"
	"testing"

	"quoll/inspect"
	"quoll/txnlog"
)

// TestCounted: what is read through a file system that counts is counted, and is what it was.
func TestCounted(t *testing.T) {
	var read int
	verdict, err := inspect.VerifySnapshot(filepath.Join(storage, "g3-snapshot.1a"), inspect.Options{FS: counted{txnlog.OS, func(n int) { read += n }}})
	if err != nil || verdict.Nodes == 0 {
		t.Fatalf("%+v, %v", verdict, err)
	}
	f, err := txnlog.OS.Open(filepath.Join(storage, "g3-snapshot.1a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if size, err := f.Size(); err != nil || int64(read) < size {
		t.Errorf("%d bytes read of %d, %v", read, size, err)
	}
}
