package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestProgress: a terminal is shown how much was read, and how much there is as soon as that is known, also where it was more than there was said to be; a pipe is shown nothing.
func TestProgress(t *testing.T) {
	file := filepath.Join(storage, "g3-snapshot.1a")
	for _, test := range []struct {
		first, bytes int64 // how much is read before it is known how much more there is
		has          string
	}{{0, 8 * sizeOf(file), "% |"}, {sizeOf(file), 8 * sizeOf(file), "% |"}, {0, 1, ""}, {0, 0, "reading ("}} {
		var out bytes.Buffer
		fs, reads, done := shown(&out, "reading")
		verify := func() {
			t.Helper()
			if _, err := inspect.VerifySnapshot(file, inspect.Options{FS: fs}); err != nil {
				t.Fatal(err)
			}
		}
		if test.first > 0 {
			verify()
		}
		reads(test.bytes)
		if test.first > 0 {
			time.Sleep(200 * time.Millisecond) // it is not drawn more often
		}
		verify()
		done()
		if !strings.Contains(out.String(), test.has) || test.bytes == 0 && strings.Contains(out.String(), "%") {
			t.Errorf("of %d bytes: %q", test.bytes, &out)
		}
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	fs, reads, done := progress("reading")
	if fs != txnlog.OS {
		t.Error("a pipe is shown a bar")
	}
	reads(1)
	done()
}
