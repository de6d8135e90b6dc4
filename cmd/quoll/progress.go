package main

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"quoll/txnlog"
)

// progress is a file system that shows how much has been read through it, on a standard error that is a terminal, until done is called. reads says how many bytes more it will be,
// about, when that is known: until then there is an amount, and from then on a bar.
func progress(what string) (fs txnlog.FS, reads func(bytes int64), done func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return txnlog.OS, func(int64) {}, func() {}
	}
	return shown(os.Stderr, what)
}

func shown(w io.Writer, what string) (fs txnlog.FS, reads func(bytes int64), done func()) {
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14), progressbar.OptionSetWidth(20))
	var read, end atomic.Int64 // end is 0 as long as it is not known
	count := func(n int) {
		at, end := read.Add(int64(n)), end.Load()
		if end == 0 || at < end { // some bytes are read twice; a bar that is full is gone
			_ = bar.Add(n)
		}
	}
	reads = func(bytes int64) {
		if bytes > 0 {
			end.Store(read.Load() + bytes)
			bar.ChangeMax64(end.Load())
		}
	}
	return counted{txnlog.OS, count}, reads, func() { _ = bar.Finish() }
}

// sizeOf is how large files are together, as far as they can be looked at.
func sizeOf(paths ...string) (bytes int64) {
	for _, path := range paths {
		if is, err := os.Stat(path); err == nil {
			bytes += is.Size()
		}
	}
	return bytes
}

// counted calls read with the number of bytes of each read from a file that was opened for that.
type counted struct {
	txnlog.FS
	read func(bytes int)
}

func (c counted) Open(name string) (txnlog.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return countedFile{f, c.read}, nil
}

type countedFile struct {
	txnlog.File
	read func(bytes int)
}

func (f countedFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(p, offset)
	f.read(n)
	return n, err
}
