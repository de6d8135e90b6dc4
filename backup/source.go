package backup

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

const (
	headerSize = 16 // of a log
	// noLimit takes records and znodes of any size, because the checksums tell what is damaged; memory follows the size of the file.
	noLimit = math.MaxInt32
	chunk   = 1 << 20 // bytes copied at a time
)

// named is a file of a version-2 directory.
type named struct {
	name string
	zxid Zxid
}

// list returns the snapshots or logs in a directory, lowest zxid first: those that have a zxid in their names.
func list(fsys txnlog.FS, dir string, files func(txnlog.FS, string) ([]txnlog.NamedFile, error)) ([]named, error) {
	all, err := files(fsys, dir)
	var list []named
	for _, f := range all {
		if f.Zxid >= 0 {
			list = append(list, named{filepath.Base(f.Path), Zxid(f.Zxid)})
		}
	}
	return list, err
}

// view is a directory that holds only some files: parts of others, each under a name of its own.
type view struct {
	txnlog.FS
	files map[string]part
}

// part is a file up to a size, or the whole of it if that is negative. Of a log it may be the header and what comes from an offset on.
type part struct {
	path string
	size int64
	from int64
}

func (v view) ReadDir(string) ([]string, error) { return slices.Collect(maps.Keys(v.files)), nil }

func (v view) IsDir(string) (bool, error) { return false, nil }

func (v view) Open(name string) (txnlog.File, error) {
	p := v.files[filepath.Base(name)]
	f, err := v.FS.Open(p.path)
	if err != nil {
		return nil, err
	}
	return partFile{f, p.size, max(p.from-headerSize, 0)}, nil
}

type partFile struct {
	txnlog.File
	size int64
	skip int64 // bytes left out after the header
}

func (f partFile) Size() (int64, error) {
	size, err := f.File.Size()
	if f.size >= 0 {
		size = min(size, f.size)
	}
	return max(size-f.skip, min(size, headerSize)), err
}

func (f partFile) ReadAt(p []byte, at int64) (int, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	asked := len(p)
	p = p[:max(min(int64(asked), size-at), 0)]
	n := 0
	if at < headerSize && f.skip > 0 {
		end := min(len(p), int(headerSize-at))
		if n, err = f.File.ReadAt(p[:end], at); n < end {
			return n, err
		}
	}
	m, err := f.File.ReadAt(p[n:], at+int64(n)+f.skip)
	if n += m; n == len(p) {
		err = nil
		if n < asked {
			err = io.EOF
		}
	}
	return n, err
}

// facts is the sink that finds out what a snapshot shows.
type facts struct{ newest int64 }

func (f *facts) Session(int64, int32) {}

func (f *facts) ACL(int64, []jute.ACL) {}

func (f *facts) Node(_ string, _ []byte, _ int64, s jute.StatPersisted) error {
	f.newest = max(f.newest, s.Czxid, s.Mzxid, s.Pzxid)
	return nil
}

// inspectSnapshot reads a snapshot through and fills in what the manifest says about it, but for the file. The zxid is that of a name that
// it may not have yet.
func inspectSnapshot(fsys txnlog.FS, path string, zxid Zxid) (Snapshot, error) {
	var seen facts
	info, err := txnlog.ReadSnapshot(fsys, path, noLimit, &seen)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Zxid: zxid, Znodes: info.Nodes, Through: max(zxid, Zxid(seen.newest))}
	if at := Zxid(info.DigestZxid); info.HasDigest && at >= zxid && at > 0 {
		s.Through = max(s.Through, at)
		s.Digest, s.DigestZxid = &info.Digest, at
	}
	return s, nil
}

const adviceDamage = "quoll log verify shows what a server makes of it"

// readLog calls fn for each whole record of one log, from an offset on at which a record begins, with the record's place in the file. What
// is not a record ends it: nothing but padding, or a tail that a torn write left, or damage if there is more behind it. The error of fn ends
// it, too, and is returned as it is.
func readLog(fsys txnlog.FS, p part, fn func(txnlog.Record) error) (_ *txnlog.Tail, err error) {
	s, err := txnlog.ScanLog(view{fsys, map[string]part{filepath.Base(p.path): p}}, p.path, noLimit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Size() == 0 {
		return nil, nil
	}
	_, defect, err := s.Header()
	if err != nil {
		return nil, err
	}
	if defect != txnlog.Whole {
		return nil, &txnlog.DamageError{File: p.path, Advice: adviceDamage, Err: errors.New(defect.String())}
	}
	var last int64
	for {
		r, defect, err := s.Next()
		if err != nil {
			return nil, err
		}
		r.Offset += max(p.from-headerSize, 0)
		if defect == txnlog.Whole {
			last = r.Zxid
			if err := fn(r); err != nil {
				return nil, err
			}
			continue
		}
		rest, err := s.Rest()
		if err != nil {
			return nil, err
		}
		more := rest > 0 // behind a wrong checksum, which the scanner has passed
		if defect != txnlog.WrongChecksum {
			if rest == 0 {
				return nil, nil
			}
			if more, err = s.Resync(); err != nil {
				return nil, err
			}
		}
		if more {
			return nil, &txnlog.DamageError{File: p.path, Offset: r.Offset, Zxid: last, Advice: adviceDamage, Err: fmt.Errorf("%s, and more follows it", defect)}
		}
		return &txnlog.Tail{File: p.path, Offset: r.Offset, Zxid: last, Bytes: max(rest, recordSize(r.Entry)), Reason: defect.String()}, nil
	}
}

// recordSize is the size of a log record with an entry.
func recordSize(entry []byte) int64 { return 8 + 4 + int64(len(entry)) + 1 }

// begin is what the manifest says of a log of which only the header was read.
func (l *Log) begin(header []byte) { l.Size, l.CRC32C = headerSize, Checksum(0).update(header) }

// add notes a record, framed as the file has it.
func (l *Log) add(r txnlog.Record, framed []byte) error {
	txn, err := tree.DecodeTxn(r.Entry)
	if err != nil {
		return &txnlog.DamageError{File: r.File, Offset: r.Offset, Zxid: r.Zxid, Advice: "a later version may have written it", Err: err}
	}
	zxid, at := Zxid(r.Zxid), Time(txn.Time)
	if l.Records == 0 {
		l.First, l.FirstTime, l.Earliest, l.Latest = zxid, at, at, at
	} else if !l.Last.next(zxid) {
		l.Gaps = append(l.Gaps, Gap{l.Last, zxid})
	}
	l.Records++
	l.Last, l.LastTime = max(l.Last, zxid), at
	l.Earliest, l.Latest = min(l.Earliest, at), max(l.Latest, at)
	if txn.HasDigest {
		digest := txn.Digest // not a pointer into txn, which refers to the whole record
		l.Digest = &digest
	} else if txn.Op() != jute.OpError {
		l.Digest = nil
	}
	l.LastRecord = r.Offset
	l.Size += int64(len(framed))
	l.CRC32C = l.CRC32C.update(framed)
	return nil
}
