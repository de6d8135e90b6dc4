package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"quoll/txnlog"
)

// progress is a file system that shows how much has been read through it, on a standard error that is a terminal, until done is called.
func progress(what string) (fs txnlog.FS, done func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return txnlog.OS, func() {}
	}
	// How much there is to read is known when it has been read: what a snapshot needs of the log is in the log.
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14))
	return counted{txnlog.OS, func(n int) { _ = bar.Add(n) }}, func() { _ = bar.Finish() }
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
