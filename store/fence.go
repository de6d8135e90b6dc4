package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A fence stands between Pebble and everything that it could harm. Once the fence is closed, by the first failure, nothing that Pebble
// still does reaches the disk: its goroutines stop where they want to write and stay there, because no state that
// Pebble may be in then is one that it was made for. That includes the goroutine in which it reports a fatal error.
type fence struct {
	log    *slog.Logger
	closed chan struct{}
	once   sync.Once
	err    error // set before closed
}

var errGoexit = errors.New("goroutine ended")

// fail closes the fence for the reason err, unless it is closed.
func (f *fence) fail(err error) {
	f.once.Do(func() {
		f.err = fmt.Errorf("store: %w", err)
		close(f.closed)
		f.log.Error("store failed", "err", err)
	})
}

// Err returns why the fence is closed, nil while it is open.
func (f *fence) Err() error {
	select {
	case <-f.closed:
		return f.err
	default:
		return nil
	}
}

// do calls fn, which may use Pebble, and returns its error; when the fence closes meanwhile, the reason of that, at once. What fn uses is then lost
// to the caller, because fn may go on for a while, or stand still forever.
func (f *fence) do(fn func() error) error {
	if err := f.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v\n%s", p, debug.Stack())
				f.fail(err)
			}
			done <- err
		}()
		err = fn()
	}()
	select {
	case err := <-done:
		return err
	case <-f.closed:
		select {
		case err := <-done: // it was as fast
			return err
		default:
			return f.err
		}
	}
}

// Infof, Errorf and Fatalf make the fence Pebble's logger. Fatalf does not return, and keeps the locks that Pebble holds.
func (f *fence) Infof(format string, args ...any) {}

func (f *fence) Errorf(format string, args ...any) {
	f.log.Warn("store: " + fmt.Sprintf(format, args...))
}

func (f *fence) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if len(args) == 1 {
		if cause, ok := args[0].(error); ok {
			err = cause // keeps the chain for errors.Is
		}
	}
	f.fail(err)
	select {}
}

// pass returns if the fence is open.
func (f *fence) pass() {
	if f.Err() != nil {
		select {}
	}
}

// fencedFS is the file system that Pebble sees.
type fencedFS struct {
	vfs.FS
	fence *fence
}

type fencedFile struct {
	vfs.File
	fence *fence
}

func (fs fencedFS) Unwrap() vfs.FS { return fs.FS }

func (fs fencedFS) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &fencedFile{f, fs.fence}, nil
}

// Lock locks nothing: the store's own lock is held, and an abandoned database would never give its one back.
func (fs fencedFS) Lock(string) (io.Closer, error) { return noCloser{}, nil }

type noCloser struct{}

func (noCloser) Close() error { return nil }

func (fs fencedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	fs.fence.pass()
	// A marker names the manifest that counts. Pebble syncs both at once, and a power cut may then keep the marker alone.
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.file(fs.FS.Create(name, c))
}

func (fs fencedFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	fs.fence.pass()
	return fs.file(fs.FS.OpenReadWrite(name, c, opts...))
}

func (fs fencedFS) OpenDir(name string) (vfs.File, error) { return fs.file(fs.FS.OpenDir(name)) }

func (fs fencedFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	fs.fence.pass()
	return fs.file(fs.FS.ReuseForWrite(from, to, c))
}

func (fs fencedFS) Link(from, to string) error {
	fs.fence.pass()
	return fs.FS.Link(from, to)
}

func (fs fencedFS) Remove(name string) error {
	fs.fence.pass()
	return fs.FS.Remove(name)
}

func (fs fencedFS) RemoveAll(name string) error {
	fs.fence.pass()
	return fs.FS.RemoveAll(name)
}

func (fs fencedFS) Rename(from, to string) error {
	fs.fence.pass()
	return fs.FS.Rename(from, to)
}

func (fs fencedFS) MkdirAll(dir string, perm os.FileMode) error {
	fs.fence.pass()
	return fs.FS.MkdirAll(dir, perm)
}

func (f *fencedFile) Write(p []byte) (int, error) {
	f.fence.pass()
	return f.File.Write(p)
}

func (f *fencedFile) WriteAt(p []byte, at int64) (int, error) {
	f.fence.pass()
	return f.File.WriteAt(p, at)
}

func (f *fencedFile) Preallocate(at, n int64) error {
	f.fence.pass()
	return f.File.Preallocate(at, n)
}

func (f *fencedFile) Sync() error {
	f.fence.pass()
	return f.File.Sync()
}

func (f *fencedFile) SyncTo(n int64) (bool, error) {
	f.fence.pass()
	return f.File.SyncTo(n)
}

func (f *fencedFile) SyncData() error {
	f.fence.pass()
	return f.File.SyncData()
}
