package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quoll/jute"
)

// Batch is what one commit changes. Its methods are called by one goroutine at a time; they keep an error for Commit. Put and
// Delete write to disk now and then, so that a batch takes little memory however large it is.
type Batch struct {
	s      *Store
	full   bool
	err    error
	out    *table  // being written; nodes of a batch that is not full
	tables []table // complete
	others []record
	run    run // of a full batch
	puts   int // in a full batch
	pace   func(bytes int) error
	last   []byte // key of the record before, in the same sequence of tables
	key    []byte // scratch, as is value
	value  []byte
}

// paceSize is the number of bytes after which Commit calls what Pace has set.
const paceSize = 64 << 10

type record struct {
	key, value []byte // a nil value deletes
}

// A table is a sorted file in the staging directory.
type table struct {
	path        string
	w           *sstable.Writer
	first, last []byte
	size        int64 // of keys and values
}

// Begin begins a batch, the only one until it is committed or aborted. A full one replaces all that the store has, when it is committed.
func (s *Store) Begin(full bool) *Batch {
	b := &Batch{s: s, full: full}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		panic("store: a batch is open already")
	}
	s.batch = b
	b.err = s.Err()
	return b
}

// Session stores a session with its timeout in milliseconds.
func (b *Batch) Session(id int64, timeout int32) {
	b.other(numberKey(kindSession, id), jute.AppendInt32(nil, timeout))
}

// EndSession removes a session.
func (b *Batch) EndSession(id int64) { b.other(numberKey(kindSession, id), nil) }

// ACL stores the list that znodes name by the number.
func (b *Batch) ACL(number int64, acl []jute.ACL) {
	b.other(numberKey(kindACL, number), appendACL(nil, acl))
}

// EndACL removes a list.
func (b *Batch) EndACL(number int64) { b.other(numberKey(kindACL, number), nil) }

func (b *Batch) other(key, value []byte) { b.others = append(b.others, record{key, value}) }

// Pace makes Commit call fn with the number of bytes after each portion of a full batch that it writes once more to sort it. An error ends the commit.
func (b *Batch) Pace(fn func(bytes int) error) { b.pace = fn }

// Put stores a znode, the root with an empty path. In a full batch znodes come in any order (in key order is cheapest), otherwise in
// ascending key order; in both each at most once.
func (b *Batch) Put(path string, data []byte, acl int64, stat *jute.StatPersisted) {
	if !b.node(path) {
		return
	}
	b.value = appendNode(b.value[:0], data, acl, stat)
	if !b.full {
		b.err = b.stream(b.key, b.value)
		return
	}
	b.puts++
	if b.run.add(b.key, b.value); int64(len(b.run.buf)) >= runSize {
		b.err = b.writeRun()
	}
}

// Delete removes a znode; what is below it is not. It is not for full batches.
func (b *Batch) Delete(path string) {
	if !b.node(path) {
		return
	}
	if b.full {
		b.err = fmt.Errorf("store: %s deleted in a full batch", path)
		return
	}
	b.err = b.stream(b.key, nil)
}

// node sets b.key, and tells whether to go on.
func (b *Batch) node(path string) bool {
	if b.err == nil {
		b.err = checkPath(path)
	}
	b.key = appendNodeKey(b.key[:0], path)
	return b.err == nil
}

// stream writes records that come in order into tables of bounded size.
func (b *Batch) stream(key, value []byte) error {
	if b.out != nil && b.out.size >= tableSize {
		if err := b.finish(); err != nil {
			return err
		}
	}
	if len(b.last) > 0 && bytes.Compare(key, b.last) <= 0 {
		return fmt.Errorf("store: key %q after %q", key, b.last)
	}
	b.last = append(b.last[:0], key...)
	if b.out == nil {
		t, err := b.create()
		if err != nil {
			return err
		}
		t.first = bytes.Clone(key)
		b.out = t
	}
	return b.out.add(key, value)
}

func (t *table) add(key, value []byte) error {
	t.size += int64(len(key) + len(value))
	if value == nil {
		return t.w.Delete(key)
	}
	return t.w.Set(key, value)
}

func (b *Batch) create() (*table, error) {
	if err := b.s.Err(); err != nil {
		return nil, err
	}
	t := &table{path: b.s.path(stageName, fmt.Sprintf("%012d.sst", staged.Add(1)))}
	f, err := b.s.fs.Create(t.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: b.s.opts.BytesPerSync})
	t.w = sstable.NewWriter(objstorageprovider.NewFileWritable(f), b.s.opts.MakeWriterOptions(0, b.s.opts.FormatMajorVersion.MaxTableFormat()))
	return t, nil
}

// finish completes the table that is being written.
func (b *Batch) finish() error {
	t := b.out
	if t == nil {
		return nil
	}
	b.out = nil
	t.last = bytes.Clone(b.last)
	b.tables = append(b.tables, *t)
	if err := t.w.Close(); err != nil {
		return fmt.Errorf("store: %s: %w", t.path, err)
	}
	b.tables[len(b.tables)-1].w = nil
	return nil
}

// A run is records in any order, in memory.
type run struct {
	buf   []byte
	spans []span
}

type span struct{ at, key, end int }

func (r *run) add(key, value []byte) {
	at := len(r.buf)
	r.buf = append(append(r.buf, key...), value...)
	r.spans = append(r.spans, span{at, at + len(key), len(r.buf)})
}

// writeRun sorts what a full batch has in memory into a table.
func (b *Batch) writeRun() error {
	r := &b.run
	if len(r.spans) == 0 {
		return nil
	}
	slices.SortFunc(r.spans, func(x, y span) int { return bytes.Compare(r.buf[x.at:x.key], r.buf[y.at:y.key]) })
	b.last = b.last[:0]
	for _, p := range r.spans {
		if err := b.stream(r.buf[p.at:p.key], r.buf[p.key:p.end]); err != nil {
			return err
		}
	}
	r.buf, r.spans = r.buf[:0], r.spans[:0]
	return b.finish()
}

// merge turns the overlapping runs of a full batch into tables that do not overlap.
func (b *Batch) merge() error {
	if err := b.writeRun(); err != nil {
		return err
	}
	b.run = run{}
	runs := b.tables
	slices.SortFunc(runs, func(x, y table) int { return bytes.Compare(x.first, y.first) })
	overlap := false
	for i := 1; i < len(runs); i++ {
		overlap = overlap || bytes.Compare(runs[i].first, runs[i-1].last) <= 0
	}
	if !overlap {
		return nil
	}
	files := make([][]sstable.ReadableFile, 0, len(runs))
	defer func() {
		for _, f := range files {
			f[0].Close()
		}
	}()
	for _, t := range runs {
		f, err := b.s.fs.Open(t.path)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		files = append(files, []sstable.ReadableFile{f})
	}
	it, err := pebble.NewExternalIter(b.s.opts, &pebble.IterOptions{}, files)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	files = nil // closed by the iterator
	defer it.Close()
	b.tables, b.last = nil, b.last[:0]
	nodes, size := 0, 0
	for it.First(); it.Valid() && err == nil; it.Next() {
		nodes++
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = b.stream(it.Key(), v)
		}
		if size += len(it.Key()) + len(v); err == nil && b.pace != nil && size >= paceSize {
			err = b.pace(size)
			size = 0
		}
	}
	err = errors.Join(err, it.Error())
	if err == nil && nodes != b.puts {
		err = fmt.Errorf("store: %d znodes were put more than once", b.puts-nodes)
	}
	if err == nil {
		err = b.finish()
	}
	for _, t := range runs {
		err = errors.Join(err, b.s.fs.Remove(t.path))
	}
	return err
}

// Commit makes the batch part of the store, which then holds exactly the state st. It is atomic, and durable once Commit returned nil. After
// an error the store holds what it held before, unless Err tells that it has failed; then only the next Open will know.
func (b *Batch) Commit(st State) error {
	if b.s == nil {
		return errors.New("store: commit after the batch's end")
	}
	defer b.Abort()
	if b.err == nil && b.full {
		b.err = b.merge()
	} else if b.err == nil {
		b.err = b.finish()
	}
	if b.err == nil {
		b.other([]byte{kindState}, st.append(nil))
		b.err = b.writeOthers()
	}
	if b.err != nil {
		return b.err
	}
	paths := make([]string, len(b.tables))
	for i := range b.tables {
		paths[i] = b.tables[i].path
	}
	if err := b.s.ingest(paths, b.full); err != nil {
		b.err = err
		return err
	}
	b.tables = nil // the ingestion has removed them
	b.s.mu.Lock()
	b.s.state = &st
	b.s.mu.Unlock()
	return nil
}

// writeOthers writes the records that are not nodes into a table of their own, of which the last with the same key counts.
func (b *Batch) writeOthers() error {
	slices.SortStableFunc(b.others, func(x, y record) int { return bytes.Compare(x.key, y.key) })
	b.last = b.last[:0]
	for i, r := range b.others {
		if i+1 < len(b.others) && bytes.Equal(b.others[i+1].key, r.key) || b.full && r.value == nil {
			continue
		}
		if err := b.stream(r.key, r.value); err != nil {
			return err
		}
	}
	return b.finish()
}

// Abort ends the batch without a commit; after Commit it does nothing.
func (b *Batch) Abort() {
	s := b.s
	if s == nil {
		return
	}
	b.s = nil
	if b.out != nil {
		b.out.w.Close()
		b.tables = append(b.tables, *b.out)
		b.out = nil
	}
	if s.Err() == nil { // else the next Open does it
		for _, t := range b.tables {
			s.fs.Remove(t.path)
		}
	}
	s.mu.Lock()
	s.batch = nil
	s.mu.Unlock()
}
