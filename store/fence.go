package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
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
		f.log.Error("the store cannot be used any more; it is opened anew", "error", err)
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

// String and MaybeError make the fence what looks at each of Pebble's file operations: those that change something stop here for good
// once the fence is closed.

func (f *fence) String() string { return "fence" }

func (f *fence) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && f.Err() != nil {
		select {}
	}
	return nil
}

// pebbleFS is what the fence looks at: the file system, where Pebble needs it otherwise than it is.
type pebbleFS struct {
	vfs.FS
	still bool // see Options
	mu    sync.Mutex
	open  map[*openFile]bool
}

type openFile struct {
	vfs.File
	fs *pebbleFS
}

func (fs *pebbleFS) opened(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	o := &openFile{f, fs}
	fs.open[o] = true
	return o, nil
}

func (f *openFile) Close() error {
	f.fs.mu.Lock()
	delete(f.fs.open, f)
	f.fs.mu.Unlock()
	return f.File.Close()
}

// release closes the files that an abandoned database has open, so that removed ones no longer take space on the disk. Only the operating
// system's: they can be closed while somebody reads.
func (fs *pebbleFS) release() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.open {
		if f.Fd() != vfs.InvalidFd {
			f.File.Close()
		}
	}
	clear(fs.open)
}

func (fs *pebbleFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.opened(fs.FS.Open(name, opts...))
}

func (fs *pebbleFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.opened(fs.FS.OpenReadWrite(name, c, opts...))
}

// Create syncs the directory before a marker comes into it, which names the manifest that counts. Pebble syncs both at once, and a
// power cut could keep the marker alone.
func (fs *pebbleFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.beforeMarker(name); err != nil {
		return nil, err
	}
	return fs.opened(fs.FS.Create(name, c))
}

// background are the names of the files that Pebble removes by goroutines of its own.
var background = regexp.MustCompile(`^(MANIFEST-|OPTIONS-)|\.(sst|log)$`)

// Remove syncs the directory before a marker goes: its successor must be there. What Pebble removes in the background stays in a store that is still.
func (fs *pebbleFS) Remove(name string) error {
	if base := fs.PathBase(name); fs.still && fs.PathBase(fs.PathDir(name)) != stageName && background.MatchString(base) {
		return nil
	}
	if err := fs.beforeMarker(name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

func (fs *pebbleFS) beforeMarker(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(fs.FS, fs.PathDir(name))
}

// Lock locks nothing: the store's own lock is held, and an abandoned database would never give its one back.
func (*pebbleFS) Lock(string) (io.Closer, error) { return nopCloser{}, nil }

type nopCloser struct{}

func (nopCloser) Close() error { return nil }
