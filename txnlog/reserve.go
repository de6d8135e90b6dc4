package txnlog

import (
	"errors"
	iofs "io/fs"
	"path/filepath"
)

// Reserve is a file that takes room on the disk of the logs, to be given up when there is no other left. It is not for use from several
// goroutines.
type Reserve struct {
	fs   FS
	dir  string // version-2
	path string
	size int64
	held bool
}

// NewReserve returns a reserve of that many bytes beside the logs in dir, a version-2 directory. It takes nothing yet.
func NewReserve(fs FS, dir string, size int64) *Reserve {
	return &Reserve{fs: fs, dir: dir, path: filepath.Join(filepath.Dir(dir), ownDir, "reserve"), size: size}
}

// Path is the name of the file.
func (r *Reserve) Path() string { return r.path }

// Held reports whether the file has its room.
func (r *Reserve) Held() bool { return r.held }

// Make takes the room, if there is room for it and for margin bytes more, which stay free. If not, it takes nothing, and the error is one
// that [IsFull] knows.
func (r *Reserve) Make(margin int64) error {
	if err := makeOwnDir(r.fs, r.dir); err != nil {
		return err
	}
	err := r.take(r.path, r.size)
	if err == nil && margin > 0 {
		name := r.path + ".margin"
		err = errors.Join(r.take(name, margin), r.fs.Remove(name))
	}
	if err != nil {
		return errors.Join(err, r.Release())
	}
	r.held = true
	return nil
}

// take makes a file take that much room, if it does not already.
func (r *Reserve) take(name string, size int64) error {
	f, err := r.fs.OpenWrite(name)
	if errors.Is(err, iofs.ErrNotExist) {
		f, err = r.fs.Create(name)
	}
	if err != nil {
		return err
	}
	can, err := allocate(f, 0, size)
	if err == nil && !can {
		err = fill(f, size)
	}
	return errors.Join(err, f.Close())
}

// fill makes a file that long by writing, where room cannot be had otherwise.
func fill(f File, size int64) error {
	at, err := f.Size()
	zeros := make([]byte, min(size, 1<<20))
	for ; err == nil && at < size; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

// Release gives the room up.
func (r *Reserve) Release() error {
	r.held = false
	if err := r.fs.Remove(r.path); errors.Is(err, iofs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return r.fs.SyncDir(filepath.Dir(r.path))
}
