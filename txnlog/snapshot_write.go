package txnlog

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"quoll/adler32"
	"quoll/jute"
)

// Session is a session as a snapshot lists it; Timeout in milliseconds.
type Session struct {
	ID      int64
	Timeout int32
}

// ACLList is an ACL list and the number by which nodes refer to it.
type ACLList struct {
	Number int64
	ACL    []jute.ACL
}

// SnapshotDigest is the digest of a tree after the transaction of a zxid; 0 and 0 stand for a server that has applied none yet.
type SnapshotDigest struct{ Zxid, Digest int64 }

// SnapshotSource is what to write into a snapshot.
type SnapshotSource struct {
	Sessions []Session
	ACLs     []ACLList
	// Nodes appends some more nodes to b with [AppendNode], the root first and parents before children, and tells whether there
	// are more. Nothing is written during a call, so it may hold a lock; a call should append some 64 KiB at most.
	Nodes func(b []byte) (_ []byte, more bool, err error)
	// Digest returns the digest of the tree as it is after the last node was written, which may be a later state than the file's
	// zxid. Nil leaves the block out, as a server with zookeeper.digest.enabled=false does.
	Digest func() SnapshotDigest
	// Ours marks the file as one of quoll's, in a field of the header that no reader looks at.
	Ours bool
	// LastZxid returns the last zxid that was applied. Nil leaves the block out, as a server with
	// zookeeper.serializeLastProcessedZxid.enabled=false does.
	LastZxid func() int64
}

// AppendNode appends one node; nil data is null, and acl is the number of its list or -1 for everything to everybody.
func AppendNode(b []byte, path string, data []byte, acl int64, stat *jute.StatPersisted) []byte {
	b = jute.AppendString(b, path)
	b = jute.AppendBuffer(b, data)
	b = jute.AppendInt64(b, acl)
	return stat.Append(b)
}

// ourDBID is "quoll" in the header's dbid.
const ourDBID = 0x71756f6c6c

// syncEvery is after how many bytes of a snapshot the disk is asked to have them, so that the log's syncs never wait for gigabytes.
const syncEvery = 4 << 20

// syncingWriter writes a file from its start and syncs it now and then.
type syncingWriter struct {
	f        File
	at, next int64
}

func (w *syncingWriter) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.at)
	if w.at += int64(n); err == nil && w.at >= w.next {
		w.next = w.at + syncEvery
		err = w.f.Sync()
	}
	return n, err
}

var tempNumber atomic.Uint64

// WriteSnapshot writes the snapshot of a zxid into dir and returns its path and size in bytes. The zxid is the last one that is
// wholly in the tree when Nodes is called first; later ones may show. The file gets its name, in place of any that has it, only when
// it is complete and on disk.
func WriteSnapshot(fs FS, dir string, zxid int64, c Compression, src SnapshotSource) (path string, size int64, err error) {
	s, err := StageSnapshot(fs, dir, zxid, c, src)
	if err != nil {
		return "", 0, err
	}
	return s.Path, s.Size, s.Place(fs)
}

// StagedSnapshot is a snapshot that is complete and on the disk, but for its name.
type StagedSnapshot struct {
	Path string // that it will have
	Size int64  // in bytes
	temp string
}

// StageSnapshot does all of WriteSnapshot but for the name.
func StageSnapshot(fs FS, dir string, zxid int64, c Compression, src SnapshotSource) (s StagedSnapshot, err error) {
	name := fileName(snapshotPrefix, zxid)
	if c == Gzip || c == Snappy {
		name += "." + string(c)
	}
	s = StagedSnapshot{Path: filepath.Join(dir, name), temp: filepath.Join(dir, fmt.Sprintf("%s%d.%s", tempPrefix, tempNumber.Add(1), name))}
	f, err := fs.Create(s.temp)
	if err != nil {
		return s, err
	}
	err = writeSnapshot(f, c, src)
	if err == nil {
		s.Size, err = f.Size()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return s, errors.Join(err, fs.Remove(s.temp))
	}
	return s, nil
}

// Place gives the snapshot its name, durably.
func (s *StagedSnapshot) Place(fs FS) error {
	if err := fs.Rename(s.temp, s.Path); err != nil {
		return errors.Join(err, fs.Remove(s.temp))
	}
	return fs.SyncDir(filepath.Dir(s.Path))
}

// Discard removes it in place of that.
func (s *StagedSnapshot) Discard(fs FS) error { return fs.Remove(s.temp) }

func writeSnapshot(f File, c Compression, src SnapshotSource) error {
	var out io.Writer = &syncingWriter{f: f, next: syncEvery}
	var compressor io.WriteCloser
	switch c {
	case Gzip:
		compressor = gzip.NewWriter(out)
		out = compressor
	case Snappy:
		compressor = &snappyWriter{dst: out}
		out = compressor
	}
	w := snapshotWriter{out: out, sum: adler32.New()}
	if err := w.write(src); err != nil {
		return err
	}
	if compressor != nil {
		return compressor.Close()
	}
	return nil
}

// snapshotWriter encodes a stream.
type snapshotWriter struct {
	out io.Writer
	sum hash.Hash32
	buf []byte
	err error
}

func (w *snapshotWriter) write(src SnapshotSource) error {
	header := jute.FileHeader{Magic: snapshotMagic, Version: snapshotVersion, DBID: -1}
	if src.Ours {
		header.DBID = ourDBID
	}
	w.buf = header.Append(w.buf)
	if err := w.body(src); err != nil {
		return err
	}
	w.seal()
	if src.Digest != nil {
		d := src.Digest()
		w.buf = jute.AppendInt64(w.buf, d.Zxid)
		w.buf = (&jute.TxnDigest{Version: digestVersion, TreeDigest: d.Digest}).Append(w.buf)
		w.seal()
	}
	if src.LastZxid != nil {
		w.buf = jute.AppendInt64(w.buf, src.LastZxid())
		w.seal()
	}
	w.flush()
	return w.err
}

// body writes sessions, ACL lists and nodes, and the mark behind them.
func (w *snapshotWriter) body(src SnapshotSource) error {
	w.buf = jute.AppendInt32(w.buf, int32(len(src.Sessions)))
	for _, s := range src.Sessions {
		w.buf = jute.AppendInt64(w.buf, s.ID)
		w.buf = jute.AppendInt32(w.buf, s.Timeout)
	}
	w.buf = jute.AppendInt32(w.buf, int32(len(src.ACLs)))
	for _, list := range src.ACLs {
		w.buf = jute.AppendInt64(w.buf, list.Number)
		n := len(list.ACL)
		if list.ACL == nil {
			n = -1
		}
		w.buf = jute.AppendInt32(w.buf, int32(n))
		for i := range list.ACL {
			w.buf = list.ACL[i].Append(w.buf)
		}
	}
	for more := true; more; {
		if w.flush(); w.err != nil {
			return w.err
		}
		var err error
		if w.buf, more, err = src.Nodes(w.buf); err != nil {
			return err
		}
	}
	w.buf = jute.AppendString(w.buf, endOfTree)
	return nil
}

// seal ends a block with the checksum of everything before.
func (w *snapshotWriter) seal() {
	w.flush()
	w.buf = jute.AppendInt64(w.buf, int64(w.sum.Sum32()))
	w.buf = jute.AppendString(w.buf, endOfTree)
}

// flush writes the buffer out. Its first error sticks.
func (w *snapshotWriter) flush() {
	w.sum.Write(w.buf)
	if w.err == nil {
		_, w.err = w.out.Write(w.buf)
	}
	w.buf = w.buf[:0]
}
