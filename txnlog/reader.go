package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"path/filepath"

	"quoll/jute"
)

// DefaultLimit is the most bytes that a string, a buffer or a log entry may have in Java's default configuration: jute.maxbuffer
// and zookeeper.jute.maxbuffer.extrasize, which is as large.
const DefaultLimit = 2 * jute.MaxBuffer

const txnHeaderSize = 32

// readChunk is how much of a file is read at a time.
const readChunk = 256 << 10

var (
	// ErrChecksum is the damage of bytes that do not match their checksum.
	ErrChecksum = errors.New("CRC check failed")
	// ErrMagic is the damage of a file that does not begin as its kind does.
	ErrMagic = errors.New("the header is not that of the file's kind")
	// ErrGap is the damage of a log that lacks transactions within an epoch.
	ErrGap = errors.New("transactions are missing")
	// ErrCutHeader is the damage of a log that ends inside its header.
	ErrCutHeader = errors.New("the file ends inside its header")
	// ErrShortEntry is the damage of a record that is shorter than a transaction header.
	ErrShortEntry = errors.New("the entry is shorter than a transaction header")
)

// DamageError says what is wrong with a log so that the server must not start from it, and what its operator can do.
type DamageError struct {
	File   string
	Offset int64 // of the record's first byte
	Zxid   int64 // of the record, or of the last good one if the record has none; 0 for neither
	Advice string
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("transaction log %s, offset %d, zxid 0x%x: %v; %s", e.File, e.Offset, e.Zxid, e.Err, e.Advice)
}

func (e *DamageError) Unwrap() error { return e.Err }

// What an operator can do about damage.
const (
	adviceRestore = "restore the file from a backup or let the server resynchronise from its ensemble with an empty directory; cutting the file at this offset and removing newer logs loses every later transaction"
	adviceRemove  = "the file holds no whole record; remove it if no newer log exists"
	adviceGap     = "the log before this record was cut or removed; restore it, or let the server resynchronise from its ensemble with an empty directory"
	adviceLimit   = "a server with a larger jute.maxbuffer may have written it; otherwise " + adviceRestore
	adviceUnknown = "a later version may have written it"
)

// Record is one transaction of a log.
type Record struct {
	Zxid int64
	// Entry is the header, body and digest of the transaction. It is valid until the callback returns.
	Entry  []byte
	File   string
	Offset int64 // of the record in the file
}

// ReadResult is what a read of the logs came across.
type ReadResult struct {
	Files   []string // that were read, oldest first
	Records int64    // delivered
	// LastZxid is the highest zxid delivered, 0 if there was none.
	LastZxid int64
	// Backwards counts records whose zxid was not above the one before: harmless repetitions that Java accepts as well.
	Backwards int64
	// Tail is set if the newest log does not end with a whole record (and padding).
	Tail *Tail
}

// Tail is an incomplete end of the newest log, as a crash in the middle of a write leaves it. Nothing in it was acknowledged.
type Tail struct {
	File   string
	Offset int64 // of the first byte after the last good record; 0 for a file without a header
	Zxid   int64 // of the last good record of the file, 0 for none
	Bytes  int64 // from Offset to the last byte that is not zero
	Reason string
	// Hole is set if the record at Offset has length 0 but more follows it. Readers, Java's too, end there.
	Hole bool
}

func (t *Tail) String() string {
	return fmt.Sprintf("transaction log %s ends at offset %d after zxid 0x%x: %s; %d bytes are ignored", t.File, t.Offset, t.Zxid, t.Reason, t.Bytes)
}

// Cut removes the incomplete record, or the file if it has not even a header, and makes that durable. It is to be called before
// anything new is logged: a torn record with a wrong checksum keeps a Java server from starting. What follows a hole stays in the
// file, since readers stop before it anyway.
func (t *Tail) Cut(fs FS) error {
	if t.Hole {
		return nil
	}
	if t.Offset == 0 {
		if err := fs.Remove(t.File); err != nil {
			return err
		}
		return fs.SyncDir(filepath.Dir(t.File))
	}
	return cutFile(fs, t.File, t.Offset)
}

// cutFile truncates a file durably.
func cutFile(fs FS, name string, size int64) error {
	f, err := fs.OpenWrite(name)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReadLogs calls fn for each record of the logs in dir from the first one with at least the given zxid, in the order of the files.
// Strings, buffers and entries above limit bytes are damage; 0 means [DefaultLimit].
//
// What a crash leaves is accepted and what Java refuses is a [*DamageError], with one exception: a wrong checksum in the very last
// record of the newest log, with only zeros behind it, is a torn write and reported as the Tail. An error of fn ends the read and is
// returned with the place of the record around it. A directory that does not exist is an error; one without logs is not.
func ReadLogs(fs FS, dir string, from int64, limit int, fn func(Record) error) (ReadResult, error) {
	var res ReadResult
	files, err := logsFrom(fs, dir, from)
	if err != nil {
		return res, err
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := logReader{limit: limit}
	started := false
	var last int64
	for i, file := range files {
		res.Files = append(res.Files, file.path)
		res.Tail, err = r.readFile(fs, file.path, i == len(files)-1, func(rec Record) error {
			if !started && rec.Zxid < from {
				return nil
			}
			switch {
			case !started:
			case rec.Zxid <= last:
				res.Backwards++
			case rec.Zxid <= res.LastZxid: // still catching up after a step back
			case rec.Zxid != res.LastZxid+1 && rec.Zxid>>32 <= res.LastZxid>>32:
				return &DamageError{rec.File, rec.Offset, rec.Zxid, adviceGap, fmt.Errorf("%w: the record before is 0x%x", ErrGap, res.LastZxid)}
			}
			started, last = true, rec.Zxid
			res.LastZxid = max(res.LastZxid, rec.Zxid)
			res.Records++
			if err := fn(rec); err != nil {
				return fmt.Errorf("transaction log %s, offset %d, zxid 0x%x: %w", rec.File, rec.Offset, rec.Zxid, err)
			}
			return nil
		})
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

// logReader reads log files one after another through one buffer.
type logReader struct {
	limit int
	win   window
}

// readFile calls fn for each whole record of a file. If the file is the newest, it returns the tail that is not one, if any.
func (r *logReader) readFile(fs FS, name string, newest bool, fn func(Record) error) (tail *Tail, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size == 0 && newest {
		return &Tail{File: name, Reason: "the file is empty"}, nil
	}
	r.win.reset(f, size)
	header, err := r.win.peek(headerSize)
	if err != nil {
		return nil, err
	}
	if len(header) < headerSize {
		return nil, &DamageError{name, 0, 0, adviceRemove, ErrCutHeader}
	}
	if binary.BigEndian.Uint32(header) != logMagic {
		return nil, &DamageError{name, 0, 0, adviceRemove, ErrMagic}
	}
	r.win.skip(headerSize)

	var last int64
	for {
		at := r.win.offset()
		damage := func(zxid int64, advice string, err error) error { return &DamageError{name, at, zxid, advice, err} }
		entry, total, end, err := r.next()
		if err != nil {
			return nil, err
		}
		var reason string
		switch end {
		case endNone:
		case endBadLength:
			return nil, damage(last, adviceLimit, fmt.Errorf("%w: Unreasonable length = %d", jute.ErrLength, total))
		case endChecksum:
			if torn, err := r.win.zeroAfter(int(total)); err != nil {
				return nil, err
			} else if !newest || !torn {
				return nil, damage(last, adviceRestore, fmt.Errorf("%w: entry of %d bytes", ErrChecksum, len(entry)))
			}
			reason = "the last record has a wrong checksum"
		default:
			reason = endReasons[end]
		}
		if end != endNone {
			if !newest {
				return nil, nil
			}
			bytes, err := r.win.lastByte()
			if err != nil || bytes == 0 {
				return nil, err
			}
			return &Tail{name, at, last, bytes, reason, end == endZero && bytes > recordHeader}, nil
		}
		if len(entry) < txnHeaderSize {
			return nil, damage(last, adviceUnknown, fmt.Errorf("%w: %d bytes", ErrShortEntry, len(entry)))
		}
		zxid := int64(binary.BigEndian.Uint64(entry[12:]))
		if err := fn(Record{zxid, entry, name, at}); err != nil {
			return nil, err
		}
		last = zxid
		r.win.skip(int(total))
	}
}

// logEnd is why a file has no further record at a place.
type logEnd int

const (
	endNone      logEnd = iota
	endZero             // length 0: padding, as a rule
	endOfFile           // the file ends inside the record
	endMark             // the record does not end in 'B'
	endChecksum         // whole, but for the checksum
	endBadLength        // a length that no writer writes
)

var endReasons = map[logEnd]string{
	endZero:   "a record has length 0",
	endOfFile: "the last record is cut off",
	endMark:   "the last record was partial",
}

// next looks at the record at the window's place without leaving it. It returns the entry and the size of the whole record; for
// endBadLength that is the length.
func (r *logReader) next() (entry []byte, total int64, end logEnd, err error) {
	head, err := r.win.peek(recordHeader)
	if err != nil || len(head) < recordHeader {
		return nil, 0, endOfFile, err
	}
	n := int64(int32(binary.BigEndian.Uint32(head[8:])))
	switch {
	case n == 0:
		return nil, 0, endZero, nil
	case n < 0 || n > int64(r.limit):
		return nil, n, endBadLength, nil
	}
	total = recordHeader + n + 1
	rec, err := r.win.peek(int(total))
	if err != nil || int64(len(rec)) < total {
		return nil, 0, endOfFile, err
	}
	entry = rec[recordHeader : total-1 : total-1]
	switch {
	case rec[total-1] != endOfRecord:
		end = endMark
	case binary.BigEndian.Uint64(rec) != uint64(adler32.Checksum(entry)):
		end = endChecksum
	}
	return entry, total, end, nil
}

// window is a buffered view of a file that grows to what is asked for, bounded by the file's size.
type window struct {
	f    io.ReaderAt
	size int64  // of the file
	at   int64  // offset in the file of buf[pos]
	buf  []byte // bytes of the file
	pos  int
}

func (w *window) reset(f io.ReaderAt, size int64) {
	w.f, w.size, w.at, w.buf, w.pos = f, size, 0, w.buf[:0], 0
}

func (w *window) offset() int64 { return w.at }

// peek returns the next n bytes, or all that the file has if those are fewer. They are valid until the next peek.
func (w *window) peek(n int) ([]byte, error) {
	if have := len(w.buf) - w.pos; have < n && w.at+int64(have) < w.size {
		want := int(min(int64(max(n, readChunk)), w.size-w.at))
		if cap(w.buf) < want {
			w.buf = append(make([]byte, 0, want), w.buf[w.pos:]...)
		} else {
			w.buf = w.buf[:copy(w.buf[:have], w.buf[w.pos:])]
		}
		w.pos = 0
		m, err := w.f.ReadAt(w.buf[have:want], w.at+int64(have))
		w.buf = w.buf[:have+m]
		if err == io.EOF {
			w.size = w.at + int64(len(w.buf)) // somebody cut the file meanwhile
		} else if err != nil {
			return nil, err
		}
	}
	return w.buf[w.pos:min(w.pos+n, len(w.buf))], nil
}

// skip passes over bytes that peek returned.
func (w *window) skip(n int) {
	w.pos += n
	w.at += int64(n)
}

// zeroAfter reports whether the file has only zeros after the next n bytes. It does not move.
func (w *window) zeroAfter(n int) (bool, error) {
	last, err := w.lastByte()
	return last <= int64(n), err
}

// lastByte is the number of bytes from here to the last one that is not zero, without moving.
func (w *window) lastByte() (int64, error) {
	var last int64
	chunk := make([]byte, min(readChunk, w.size-w.at))
	for at := w.at; at < w.size; {
		n, err := w.f.ReadAt(chunk[:min(int64(len(chunk)), w.size-at)], at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if n == 0 {
			break
		}
		for i := n - 1; i >= 0; i-- {
			if chunk[i] != 0 {
				last = at + int64(i) + 1 - w.at
				break
			}
		}
		at += int64(n)
	}
	return last, nil
}

// TruncateLogs makes zxid the last one of the logs in dir, as a learner does that its leader tells to: it removes the files of later
// records, newest first, and cuts the one that holds the last kept record right behind it. Damage before that place is an error, and
// so is a directory without logs. The log must not be open for writing.
func TruncateLogs(fs FS, dir string, zxid int64, limit int) error {
	files, err := logsFrom(fs, dir, zxid+1)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no log files found to truncate in %s", dir)
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	keep := 0 // how many of these files begin at or before zxid: the first one, or none
	if files[0].zxid <= zxid {
		keep = 1
	}
	for i := len(files) - 1; i >= keep; i-- {
		if err := fs.Remove(files[i].path); err != nil {
			return err
		}
		if err := fs.SyncDir(dir); err != nil {
			return err
		}
	}
	if keep == 0 {
		return nil
	}
	cut := int64(-1)
	stop := errors.New("stop")
	r := logReader{limit: limit}
	tail, err := r.readFile(fs, files[0].path, true, func(rec Record) error {
		if rec.Zxid > zxid {
			cut = rec.Offset
			return stop
		}
		return nil
	})
	switch {
	case errors.Is(err, stop):
		return cutFile(fs, files[0].path, cut)
	case err == nil && tail != nil:
		return tail.Cut(fs)
	}
	return err
}
