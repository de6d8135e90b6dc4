package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"quoll/adler32"
	"quoll/jute"
)

const (
	snapshotMagic   = 0x5a4b534e // "ZKSN"
	snapshotVersion = 2
	endOfTree       = "/" // a path that no node has; it also ends each seal
	digestVersion   = 2
	maxTried        = 100 // snapshots that a load tries
	minSnapshotSize = 10
	statSize        = 60
)

var (
	// ErrNoValidSnapshot is the error of a directory whose snapshots are all damaged.
	ErrNoValidSnapshot = errors.New("not able to find valid snapshots")
	// ErrSnapshotEnd is the damage of a snapshot that ends too early.
	ErrSnapshotEnd = errors.New("the snapshot ends too early")
	// ErrSnapshotNodes is the damage of a snapshot whose first node is not the root.
	ErrSnapshotNodes = errors.New("the first znode is not the root")
)

// Compression is how a snapshot is compressed, as zookeeper.snapshot.compression.method names it; it is also the file's suffix.
type Compression string

// The compressions. Any other value is [Plain], as in Java.
const (
	Plain  Compression = ""
	Gzip   Compression = "gz"
	Snappy Compression = "snappy"
)

// suffixCompression is what Java takes a file for, by its last suffix alone (SnapStream.getStreamMode).
func suffixCompression(path string) Compression {
	switch c := Compression(strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))); c {
	case Gzip, Snappy:
		return c
	}
	return Plain
}

// SnapshotSink takes what a snapshot holds, in this order: sessions, ACL lists, nodes with parents before children.
type SnapshotSink interface {
	// Session takes a session's id and its timeout in milliseconds.
	Session(id int64, timeout int32)
	// ACL takes an ACL list, which is the sink's from then on, and the number by which nodes refer to it.
	ACL(number int64, acl []jute.ACL)
	// Node takes a node; the root has the path "". The data is valid until Node returns, and nil if null. An ACL number of -1
	// stands for everything to everybody. An error makes the snapshot a damaged one.
	Node(path string, data []byte, acl int64, stat jute.StatPersisted) error
}

// SnapshotInfo is what a snapshot says besides its tree.
type SnapshotInfo struct {
	File string
	// Zxid is the one in the file name: all transactions up to it are in the tree, and some later ones may be.
	Zxid int64
	// Ours tells that quoll wrote it.
	Ours     bool
	Sessions int
	Nodes    int
	// HasDigest tells that the two below are set: the digest of the tree at DigestZxid, the last transaction that the tree has. A
	// DigestZxid of 0 means that the writer knew none.
	HasDigest  bool
	DigestZxid int64
	Digest     int64
	// Skipped holds the damage of each newer snapshot that was tried before this one.
	Skipped []error
}

// LoadNewestSnapshot reads the newest snapshot in dir that is whole into a sink, which newSink makes afresh for each that is tried:
// the last one made holds the tree. Snapshots that fail a cheap test (the last bytes of a plain one, the first of a compressed one)
// are passed over, as crashes leave such files. With none left, ok is false. If there are some but all turn out damaged, the error
// is [ErrNoValidSnapshot] with the damage of each. Strings and buffers above limit bytes are damage; 0 means [DefaultLimit].
func LoadNewestSnapshot(fs FS, dir string, limit int, newSink func() SnapshotSink) (info SnapshotInfo, ok bool, err error) {
	files, err := validSnapshots(fs, dir, maxTried)
	if err != nil || len(files) == 0 {
		return SnapshotInfo{}, false, err
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	var skipped []error
	for _, file := range files {
		info, err := readSnapshot(fs, file, limit, newSink())
		if err == nil {
			info.Skipped = skipped
			return info, true, nil
		}
		skipped = append(skipped, fmt.Errorf("snapshot %s: %w", file.path, err))
	}
	return SnapshotInfo{}, false, fmt.Errorf("%w in %s: %w", ErrNoValidSnapshot, dir, errors.Join(skipped...))
}

// validSnapshots returns up to n snapshots that pass the cheap test, newest first.
func validSnapshots(fs FS, dir string, n int) ([]namedFile, error) {
	files, err := listFiles(fs, dir, snapshotPrefix)
	if err != nil {
		return nil, err
	}
	var valid []namedFile
	for _, file := range slices.Backward(files) {
		if file.zxid < 0 || len(valid) == n {
			break
		}
		ok, err := cheapTest(fs, file.path)
		if err != nil {
			return nil, err
		}
		if ok {
			valid = append(valid, file)
		}
	}
	return valid, nil
}

// LikelySnapshots returns the snapshots in dir that pass the cheap test of [LoadNewestSnapshot], newest first.
func LikelySnapshots(fs FS, dir string) ([]NamedFile, error) {
	files, err := validSnapshots(fs, dir, math.MaxInt)
	if err != nil {
		return nil, err
	}
	list := make([]NamedFile, 0, len(files))
	for _, f := range files {
		list = append(list, NamedFile{f.path, f.zxid})
	}
	return list, nil
}

// cheapTest reports whether a file looks like a whole snapshot (SnapStream.isValidSnapshot).
func cheapTest(fs FS, path string) (ok bool, err error) {
	if dir, err := fs.IsDir(path); dir || err != nil {
		return false, err
	}
	f, err := fs.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	want, at := "", int64(0)
	switch suffixCompression(path) {
	case Gzip:
		want = "\x1f\x8b"
	case Snappy:
		want = string(snappyHeader[:snappyMagicSize])
	default:
		size, err := f.Size()
		if err != nil || size < minSnapshotSize {
			return false, err
		}
		want = "\x00\x00\x00\x01/"
		at = size - int64(len(want))
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, at); err != nil && err != io.EOF {
		return false, err
	}
	return string(got) == want, nil
}

func readSnapshot(fs FS, file namedFile, limit int, sink SnapshotSink) (info SnapshotInfo, err error) {
	src, f, err := openSnapshot(fs, file.path)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info = SnapshotInfo{File: file.path, Zxid: file.zxid}
	r := snapshotReader{src: src, sum: adler32.New(), limit: limit}
	r.read(&info, sink)
	if r.err != nil {
		return info, fmt.Errorf("byte %d of its content: %w", r.at, r.err)
	}
	return info, nil
}

// openSnapshot opens a snapshot and unpacks it as its suffix says. The caller closes f.
func openSnapshot(fs FS, path string) (src io.Reader, f File, err error) {
	if f, err = fs.Open(path); err != nil {
		return nil, nil, err
	}
	size, err := f.Size()
	src = io.NewSectionReader(f, 0, size)
	if err == nil {
		switch suffixCompression(path) {
		case Gzip:
			src, err = gzip.NewReader(src)
		case Snappy:
			src, err = newSnappyReader(src, size)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return src, f, nil
}

// NewestSnapshot looks at the newest snapshot in dir that passes the cheap test of [LoadNewestSnapshot]. It reads no more than the header and
// the end, and returns file, zxid, whether the snapshot is one of ours and, if that was not compressed, the digest. With none, ok is false.
func NewestSnapshot(fs FS, dir string) (info SnapshotInfo, ok bool, err error) {
	files, err := validSnapshots(fs, dir, 1)
	if err != nil || len(files) == 0 {
		return SnapshotInfo{}, false, err
	}
	src, f, err := openSnapshot(fs, files[0].path)
	if err != nil {
		return SnapshotInfo{}, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info = SnapshotInfo{File: files[0].path, Zxid: files[0].zxid}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(src, header); err != nil {
		return info, true, err
	}
	info.Ours = int64(binary.BigEndian.Uint64(header[8:])) == ourDBID
	const seal, digest, last = 8 + 5, 8 + 4 + 8, 8
	end := make([]byte, digest+seal+last+seal)
	size, err := f.Size()
	if err != nil || suffixCompression(info.File) != Plain || size < headerSize+int64(len(end)) {
		return info, true, err
	}
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return info, true, err
	}
	if string(end[digest+8:digest+seal]) != string(end[len(end)-5:]) {
		end = end[last+seal:] // there is no block with the last zxid
	}
	if info.HasDigest = string(end[digest+8:digest+seal]) == string(end[len(end)-5:]) && binary.BigEndian.Uint32(end[8:]) == digestVersion; info.HasDigest {
		info.DigestZxid, info.Digest = int64(binary.BigEndian.Uint64(end)), int64(binary.BigEndian.Uint64(end[12:]))
	}
	return info, true, nil
}

// snapshotReader decodes a stream. Its first error sticks; afterwards every read returns zero values.
type snapshotReader struct {
	src    io.Reader
	sum    hash.Hash32 // of everything before buf[summed:]
	limit  int
	buf    []byte
	pos    int // of the next byte in buf
	summed int
	at     int64 // of the next byte in the stream
	eof    bool
	err    error
}

func (r *snapshotReader) read(info *SnapshotInfo, sink SnapshotSink) {
	if magic := r.int32(); r.err == nil && magic != snapshotMagic {
		r.fail(ErrMagic)
	}
	r.take(4) // the version, which Java does not look at either
	info.Ours = r.int64() == ourDBID
	r.body(info, sink)
	if r.err == nil && !r.sealed() {
		r.fail(ErrChecksum)
	}
	r.trailers(info)
}

// body reads sessions, ACL lists and nodes, and the mark behind them.
func (r *snapshotReader) body(info *SnapshotInfo, sink SnapshotSink) {
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		if id, timeout := r.int64(), r.int32(); r.err == nil {
			sink.Session(id, timeout)
			info.Sessions++
		}
	}
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		if number, acl := r.int64(), r.acl(); r.err == nil {
			sink.ACL(number, acl)
		}
	}
	for r.err == nil {
		path := r.string()
		if path == endOfTree {
			break
		}
		data, acl, stat := r.node()
		if r.err != nil {
			return
		}
		if info.Nodes == 0 && path != "" {
			r.fail(fmt.Errorf("%w but %q", ErrSnapshotNodes, path))
			return
		}
		if err := sink.Node(path, data, acl, stat); err != nil {
			r.fail(err)
			return
		}
		info.Nodes++
	}
	if r.err == nil && info.Nodes == 0 {
		r.fail(ErrSnapshotNodes)
	}
}

// trailers reads the optional blocks, which have no tags: what they are shows by where a seal fits. Fewer bytes than a zxid has are
// ignored, as in Java.
func (r *snapshotReader) trailers(info *SnapshotInfo) {
	if len(r.peek(8)) < 8 {
		return
	}
	zxid := r.int64()
	if r.sealed() { // a last-zxid block alone, from a server without digests; the file name is the authority
		return
	}
	version := r.int32()
	if version < digestVersion {
		r.buffer() // a digest in hex digits, by pre-releases of 3.6
	} else {
		digest := r.int64()
		info.HasDigest, info.DigestZxid, info.Digest = version == digestVersion, zxid, digest
	}
	if r.err == nil && !r.sealed() {
		r.fail(ErrChecksum)
	}
	if len(r.peek(8)) < 8 {
		return
	}
	r.int64()
	if r.err == nil && !r.sealed() {
		r.fail(ErrChecksum)
	}
}

// sealed reports whether a seal with the right checksum comes next, and passes over it if so.
func (r *snapshotReader) sealed() bool {
	r.hash()
	if p := r.peek(8); len(p) < 8 || binary.BigEndian.Uint64(p) != uint64(r.sum.Sum32()) {
		return false
	}
	r.take(8)
	r.buffer()
	return true
}

// hash adds what was read to the checksum.
func (r *snapshotReader) hash() {
	r.sum.Write(r.buf[r.summed:r.pos])
	r.summed = r.pos
}

func (r *snapshotReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// peek returns the next n bytes, or fewer at the end of the stream. They are valid until the next read. What it allocates follows
// what the stream delivers, not what n promises.
func (r *snapshotReader) peek(n int) []byte {
	for len(r.buf)-r.pos < n && !r.eof && r.err == nil {
		if len(r.buf) == cap(r.buf) {
			r.hash()
			have := len(r.buf) - r.pos
			if r.pos < have || r.pos == 0 { // little would be won by moving
				r.buf = append(make([]byte, 0, max(2*cap(r.buf), readChunk)), r.buf[r.pos:]...)
			} else {
				r.buf = r.buf[:copy(r.buf, r.buf[r.pos:])]
			}
			r.pos, r.summed = 0, 0
		}
		m, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+m]
		if err == io.EOF {
			r.eof = true
		} else if err != nil {
			r.fail(err)
		}
	}
	return r.buf[r.pos:min(r.pos+n, len(r.buf))]
}

// take returns the next n bytes, or nil and an error if there are fewer.
func (r *snapshotReader) take(n int) []byte {
	p := r.peek(n)
	if len(p) < n {
		r.fail(ErrSnapshotEnd)
	}
	if r.err != nil {
		return nil
	}
	r.pos += n
	r.at += int64(n)
	return p
}

func (r *snapshotReader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *snapshotReader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// length reads the length of a string or buffer; -1 is null.
func (r *snapshotReader) length() int {
	n := int(r.int32())
	if n < -1 || n > r.limit {
		r.fail(fmt.Errorf("%w: Unreasonable length = %d", jute.ErrLength, n))
		return -1
	}
	return n
}

// buffer reads a buffer or the bytes of a ustring, nil for null.
func (r *snapshotReader) buffer() []byte {
	n := r.length()
	if n < 0 {
		return nil
	}
	return r.take(n)
}

func (r *snapshotReader) string() string {
	p := r.buffer()
	if p == nil {
		r.fail(jute.ErrNull)
	}
	return jute.JavaText(p)
}

// node reads what follows the path of a node, in one piece so that the data stays where it is.
func (r *snapshotReader) node() (data []byte, acl int64, stat jute.StatPersisted) {
	n := r.length()
	p := r.take(max(n, 0) + 8 + statSize)
	if p == nil {
		return nil, 0, stat
	}
	if n >= 0 {
		data = p[:n:n]
		p = p[n:]
	}
	d := jute.NewDecoder(p)
	acl = d.Int64()
	stat.Decode(&d)
	return data, acl, stat
}

func (r *snapshotReader) acl() []jute.ACL {
	n := r.int32()
	if n < 0 {
		return nil
	}
	acl := []jute.ACL{}
	for ; n > 0 && r.err == nil; n-- {
		acl = append(acl, jute.ACL{Perms: r.int32(), Scheme: r.string(), ID: r.string()})
	}
	return acl
}
