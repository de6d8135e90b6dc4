package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Options of Open and Remove.
type Options struct {
	FS     vfs.FS       // nil: the operating system's
	Dir    string       // made if missing; everything of the store is below it
	Logger *slog.Logger // nil: silence
	// Still keeps Pebble from doing anything by itself, so that a simulation can be repeated: tables are not compacted, and those that are not needed any more
	// stay on the disk.
	Still bool
}

// ErrLocked says that a store is open in this directory already, in this process or another one.
var ErrLocked = errors.New("store is in use")

// Store is an open store. Its methods may be called concurrently, except that there is one Batch at a time.
type Store struct {
	fs    vfs.FS // for all but Pebble; staging fails by itself
	files *pebbleFS
	dir   string // as in Options
	opts  *pebble.Options
	db    *pebble.DB
	lock  io.Closer
	fence *fence

	mu    sync.Mutex
	state *State // nil: nothing was ever committed
	batch *Batch
}

const (
	lockName   = "LOCK"
	formatName = "FORMAT"
	stageName  = "stage"

	formatPrefix  = "quoll store "
	formatVersion = 1

	cacheSize = 8 << 20 // scans gain nothing from a larger one
)

// Sizes in bytes; variables so that tests need less data.
var (
	tableSize int64  = 16 << 20  // keys and values of a table that is written here
	runSize   int64  = 32 << 20  // keys and values that a full batch keeps in memory and sorts
	shardSize uint64 = 4 << 20   // on disk, of a compacted table, and so of what one goroutine decodes
	pieceSize        = 256 << 10 // keys and values of a piece
)

// generations is the highest number of a database that this process used. After Remove its number is not used again, because a
// database that failed may still look for files by their names; neither are the numbers of staged tables.
var generations, staged atomic.Int64

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Open opens the store in o.Dir. Whatever its error, the data in ZooKeeper's files are complete without a store; any error but
// [ErrLocked] that is about what the directory holds goes away after [Remove].
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{fs: o.FS, dir: o.Dir, fence: &fence{log: o.Logger, closed: make(chan struct{})}}
	var err error
	if s.lock, err = lockDir(&o); err != nil {
		return nil, err
	}
	if err := s.open(o.Still); err != nil {
		s.release()
		return nil, fmt.Errorf("store: open %s: %w", o.Dir, err)
	}
	return s, nil
}

// makeDir makes a directory and what is missing above it, durably.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil || parent == dir {
		return err
	}
	if err := makeDir(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func lockDir(o *Options) (io.Closer, error) {
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, lockName))
	switch {
	case errors.Is(err, syscall.EAGAIN), err != nil && strings.Contains(err.Error(), "held by current process"):
		return nil, fmt.Errorf("%w: %s", ErrLocked, o.Dir)
	case err != nil:
		return nil, fmt.Errorf("store: lock %s: %w", o.Dir, err)
	}
	return lock, nil
}

func (s *Store) path(names ...string) string {
	return s.fs.PathJoin(append([]string{s.dir}, names...)...)
}

func (s *Store) open(still bool) error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	if err := s.checkFormat(names); err != nil {
		return err
	}
	var numbers []int64
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 64); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	number := int64(0)
	if n := len(numbers); n > 0 {
		number = numbers[n-1]
		for _, old := range numbers[:n-1] {
			if err := s.fs.RemoveAll(s.path(strconv.FormatInt(old, 10))); err != nil {
				return err
			}
		}
	}
	for {
		used := generations.Load()
		if number == 0 {
			number = used + 1
		}
		if generations.CompareAndSwap(used, max(used, number)) {
			break
		}
	}
	if err := s.fs.RemoveAll(s.path(stageName)); err != nil {
		return err
	}
	if err := s.fs.MkdirAll(s.path(stageName), 0o755); err != nil {
		return err
	}
	dir := s.path(strconv.FormatInt(number, 10))
	s.files = &pebbleFS{FS: s.fs, still: still, open: map[*openFile]bool{}}
	s.opts = pebbleOptions(errorfs.Wrap(s.files, s.fence), s.fence, still)
	return s.fence.do(func() (err error) {
		if s.db, err = pebble.Open(dir, s.opts); err != nil {
			return err
		}
		it, err := s.db.NewIter(nil)
		if err == nil {
			s.state, err = readState(it)
			err = errors.Join(err, it.Close())
		}
		if err != nil {
			err = errors.Join(err, s.db.Close())
		}
		return err
	})
}

// checkFormat writes FORMAT into a new directory, and refuses one that is not ours or not for us.
func (s *Store) checkFormat(names []string) error {
	if !slices.Contains(names, formatName) {
		for _, name := range names {
			if name != lockName && name != formatName+".tmp" {
				return fmt.Errorf("%s is not of a store, or %s is missing", name, formatName)
			}
		}
		return s.writeFormat()
	}
	f, err := s.fs.Open(s.path(formatName))
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(string(b), formatPrefix)
	version, err := strconv.Atoi(strings.TrimSuffix(text, "\n"))
	switch {
	case !ok || err != nil || version < 1:
		return fmt.Errorf("%s is not that of a store: %q", formatName, b)
	case version > formatVersion:
		return fmt.Errorf("written by a newer quoll, in format %d; this one reads up to %d", version, formatVersion)
	}
	return nil
}

func (s *Store) writeFormat() error {
	tmp := s.path(formatName + ".tmp")
	f, err := s.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatPrefix, formatVersion)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(tmp, s.path(formatName))
	}
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	return err
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove drops everything that is in o.Dir, whatever it is; after a failed Open, or when what was loaded is not right.
func Remove(o Options) error {
	o.setDefaults()
	if info, err := o.FS.Stat(o.Dir); err == nil && !info.IsDir() {
		if err := o.FS.Remove(o.Dir); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	lock, err := lockDir(&o)
	if err != nil {
		return err
	}
	defer lock.Close()
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, name := range names {
		if name != lockName {
			err = errors.Join(err, o.FS.RemoveAll(o.FS.PathJoin(o.Dir, name)))
		}
	}
	if err = errors.Join(err, syncDir(o.FS, o.Dir)); err != nil {
		return fmt.Errorf("store: remove: %w", err)
	}
	return nil
}

func pebbleOptions(fs vfs.FS, f *fence, still bool) *pebble.Options {
	o := &pebble.Options{
		FS:                         fs,
		Logger:                     f,
		DisableWAL:                 true,
		FormatMajorVersion:         pebble.FormatTableFormatV6,
		CacheSize:                  cacheSize,
		MemTableSize:               256 << 10, // stays empty
		BytesPerSync:               512 << 10,
		MaxManifestFileSize:        4 << 20,
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      1 << 20, // nothing is written through a memtable
		LBaseMaxBytes:              64 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		EventListener: &pebble.EventListener{
			// Pebble would try again at once, without end.
			BackgroundError: func(err error) { f.Fatalf("%v", err) },
			// The reader gets the error; by default it would be a fatal one.
			DataCorruption: func(pebble.DataCorruptionInfo) {},
		},
	}
	// An ingestion must be in the manifest when it returns, never wait for a flush beside a memtable.
	o.Experimental.DisableIngestAsFlushable = func() bool { return true }
	o.Experimental.ReadSamplingMultiplier = -1 // reads are whole scans; they tell nothing
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
		o.TargetFileSizes[i] = int64(shardSize)
	}
	o.DisableAutomaticCompactions, o.DisableTableStats = still, still
	o.EnsureDefaults()
	return o
}

func readState(it *pebble.Iterator) (*State, error) {
	key := []byte{kindState}
	if !it.SeekGE(key) || string(it.Key()) != string(key) {
		return nil, it.Error()
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return nil, err
	}
	st, err := decodeState(v)
	if err != nil {
		return nil, fmt.Errorf("store: state record: %w", err)
	}
	return &st, nil
}

// State tells what the last commit was. It is false if there never was one.
func (s *Store) State() (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return State{}, false
	}
	return *s.state, true
}

// Err tells why the store can no longer be used, nil while it can.
func (s *Store) Err() error { return s.fence.Err() }

// Size is the number of bytes on disk, those of tables included that are about to be removed; 0 once the store has failed.
func (s *Store) Size() int64 {
	var size uint64
	if s.fence.do(func() error {
		size = s.db.Metrics().DiskSpaceUsage()
		return nil
	}) != nil {
		return 0
	}
	return int64(size)
}

// Close closes the store. Views and the batch must be closed before. A store that has failed is left to itself.
func (s *Store) Close() error {
	var err error
	if s.Err() == nil {
		err = s.fence.do(s.db.Close)
	}
	return errors.Join(err, s.release())
}

// release gives back what a database that was not closed would keep, and the directory.
func (s *Store) release() error {
	if s.files != nil && s.Err() != nil {
		s.files.release()
	}
	return s.lock.Close()
}

// ingest makes the tables, and with replace nothing else, part of the database, in one step.
func (s *Store) ingest(paths []string, replace bool) error {
	return s.fence.do(func() error {
		var err error
		if replace {
			_, err = s.db.IngestAndExcise(context.Background(), paths, nil, nil, pebble.KeyRange{Start: []byte{kindState}, End: []byte{kindEnd}})
		} else {
			err = s.db.Ingest(context.Background(), paths)
		}
		if err != nil {
			s.fence.fail(err)
		}
		return err
	})
}
