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

// progress is a file system that shows how much has been read through it, on a standard error that is a terminal, until done is called. Of so many bytes; 0 where that is known when they
// have been read, since what a snapshot needs of the log is in the log.
func progress(what string, bytes int64) (fs txnlog.FS, done func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return txnlog.OS, func() {}
	}
	return shown(os.Stderr, what, bytes)
}

func shown(w io.Writer, what string, bytes int64) (fs txnlog.FS, done func()) {
	if bytes == 0 {
		bytes = -1
	}
	bar := progressbar.NewOptions64(bytes, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14), progressbar.OptionSetWidth(20))
	var read atomic.Int64
	return counted{txnlog.OS, func(n int) {
		if read.Add(int64(n)) < bytes || bytes < 0 { // some bytes are read twice; a bar that is full is gone
			_ = bar.Add(n)
		}
	}}, func() { _ = bar.Finish() }
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
