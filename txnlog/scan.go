package txnlog

import (
	"encoding/binary"
	"path/filepath"
	"strings"

	"quoll/jute"
)

// NamedFile is a log or snapshot file and the zxid in its name, -1 if the name has none.
type NamedFile struct {
	Path string
	Zxid int64
}

// Logs returns the log files in dir, lowest zxid first.
func Logs(fs FS, dir string) ([]NamedFile, error) { return named(fs, dir, logPrefix) }

// Snapshots returns the snapshot files in dir, lowest zxid first, damaged ones included.
func Snapshots(fs FS, dir string) ([]NamedFile, error) { return named(fs, dir, snapshotPrefix) }

func named(fs FS, dir, prefix string) ([]NamedFile, error) {
	files, err := listFiles(fs, dir, prefix)
	if err != nil {
		return nil, err
	}
	var list []NamedFile
	for _, f := range files {
		list = append(list, NamedFile{f.path, f.zxid})
	}
	return list, nil
}

// NameZxid is the zxid that the name of a log or snapshot file has, -1 for any other name (Util.getZxidFromName).
func NameZxid(path string) int64 {
	name := filepath.Base(path)
	prefix, _, _ := strings.Cut(name, ".")
	if prefix != logPrefix && prefix != snapshotPrefix {
		return -1
	}
	return nameZxid(name, prefix)
}

// ReadSnapshot reads one snapshot file, whatever its name, into a sink. The suffix tells its compression. An error says at which byte of the
// content the damage is; with a wrong checksum, which is [ErrChecksum], the sink has everything before it. Limit is as for
// [LoadNewestSnapshot].
func ReadSnapshot(fs FS, path string, limit int, sink SnapshotSink) (SnapshotInfo, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return readSnapshot(fs, namedFile{path, NameZxid(path)}, limit, sink)
}

// SnapshotCompression is how a snapshot of this name is compressed.
func SnapshotCompression(path string) Compression { return suffixCompression(path) }

// Defect is what is wrong at a place of a log file.
type Defect int

// The defects. All but Whole and WrongChecksum end what a server reads of the file.
const (
	Whole         Defect = iota
	ZeroLength           // length 0: padding, as a rule
	CutOff               // the file ends inside the record
	NoEndMark            // the record does not end in 'B'
	WrongChecksum        // whole, but for the checksum
	BadLength            // a length that no writer writes
	ShortEntry           // shorter than a transaction header
	CutHeader            // the file ends inside its header
	WrongMagic           // the file does not begin as a log does
)

var defects = map[Defect]string{
	ZeroLength: "a record has length 0", CutOff: "the file ends inside a record", NoEndMark: "a record has no end mark",
	WrongChecksum: "a record has a wrong checksum", BadLength: "a record has an impossible length",
	ShortEntry: "a record is shorter than a transaction header", CutHeader: "the file ends inside its header",
	WrongMagic: "the file does not begin as a transaction log does",
}

func (d Defect) String() string { return defects[d] }

var endDefects = map[logEnd]Defect{
	endZero: ZeroLength, endOfFile: CutOff, endMark: NoEndMark, endChecksum: WrongChecksum, endBadLength: BadLength,
}

// LogScanner reads one log file record by record, wherever it is damaged, in bounded memory: for tools. A server reads with [ReadLogs].
type LogScanner struct {
	r    logReader
	f    File
	name string
}

// ScanLog opens a log file. Limit is as for [ReadLogs].
func ScanLog(fs FS, name string, limit int) (*LogScanner, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	s := &LogScanner{r: logReader{limit: limit}, f: f, name: name}
	s.r.win.reset(f, size, 0)
	return s, nil
}

// Close closes the file.
func (s *LogScanner) Close() error { return s.f.Close() }

// Offset is the place of the next record in the file.
func (s *LogScanner) Offset() int64 { return s.r.win.offset() }

// Size is the size of the file in bytes.
func (s *LogScanner) Size() int64 { return s.r.win.size }

// Header reads the header, which is to be done first. A defective one is not passed over.
func (s *LogScanner) Header() (h jute.FileHeader, d Defect, err error) {
	p, err := s.r.win.peek(headerSize)
	switch {
	case err != nil:
		return h, Whole, err
	case len(p) < headerSize:
		return h, CutHeader, nil
	}
	dec := jute.NewDecoder(p)
	h.Decode(&dec)
	if h.Magic != logMagic {
		return h, WrongMagic, nil
	}
	s.r.win.skip(headerSize)
	return h, Whole, nil
}

// Next reads the record at the scanner's place. It passes over it if it is whole or has a wrong checksum; else the scanner stays, and the
// record has an entry only if its end mark alone is missing. The entry is valid until the next call.
func (s *LogScanner) Next() (Record, Defect, error) {
	rec := Record{File: s.name, Offset: s.Offset()}
	entry, total, end, err := s.r.next()
	if err != nil {
		return rec, Whole, err
	}
	d := endDefects[end]
	switch {
	case entry == nil:
		return rec, d, nil
	case len(entry) < txnHeaderSize:
		return rec, ShortEntry, nil
	}
	rec.Entry, rec.Zxid = entry, int64(binary.BigEndian.Uint64(entry[12:]))
	if d != NoEndMark {
		s.r.win.skip(int(total))
	}
	return rec, d, nil
}

// Rest is the number of bytes from the scanner's place to the last one that is not zero.
func (s *LogScanner) Rest() (int64, error) { return s.r.win.lastByte() }

// Resync moves to the next whole record behind the scanner's place, or reports that there is none. It is how one sees what damage hides.
func (s *LogScanner) Resync() (found bool, err error) {
	rest, err := s.Rest()
	if err != nil {
		return false, err
	}
	for end := s.Offset() + rest; s.Offset() < end; {
		if _, err := s.r.win.peek(1); err != nil {
			return false, err
		}
		s.r.win.skip(1)
		head, err := s.r.win.peek(recordHeader)
		if err != nil {
			return false, err
		}
		if len(head) < recordHeader {
			break
		}
		if n := binary.BigEndian.Uint32(head[8:]); binary.BigEndian.Uint32(head) != 0 || n < txnHeaderSize || n > uint32(s.r.limit) {
			continue
		}
		if _, _, at, err := s.r.next(); err != nil || at == endNone {
			return err == nil, err
		}
	}
	return false, nil
}
