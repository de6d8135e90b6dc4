package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/term"

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

// TestProgress: a terminal is shown how much there is and how much was read, also where that is more than there was said to be; a pipe is shown nothing.
func TestProgress(t *testing.T) {
	file := filepath.Join(storage, "g3-snapshot.1a")
	for _, test := range []struct {
		bytes int64
		has   string
	}{{8 * sizeOf(file), "% |"}, {1, ""}, {0, "reading ("}} {
		var out bytes.Buffer
		fs, done := shown(&out, "reading", test.bytes)
		if _, err := inspect.VerifySnapshot(file, inspect.Options{FS: fs}); err != nil {
			t.Fatal(err)
		}
		done()
		if !strings.Contains(out.String(), test.has) {
			t.Errorf("of %d bytes: %q", test.bytes, &out)
		}
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	if fs, done := progress("reading", 1); fs != txnlog.OS {
		t.Error("a pipe is shown a bar")
	} else {
		done()
	}
}
