package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"syscall"

	"quoll/adler32"
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
	// ErrGap is the damage of logs that lack transactions: within an epoch, at the beginning of one, or behind a snapshot.
	ErrGap = errors.New("transactions are missing")
	// ErrCutHeader is the damage of a log that ends inside its header.
	ErrCutHeader = errors.New("the file ends inside its header")
	// ErrShortEntry is the damage of a record that is shorter than a transaction header.
	ErrShortEntry = errors.New("the entry is shorter than a transaction header")
	// ErrMissing is the damage of a log that had records on the disk, by the [Watermark], and has them no more.
	ErrMissing = errors.New("transactions that were on the disk are gone")
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
	adviceEnsemble = "in an ensemble, move version-2 away and let the server resynchronise"
	adviceRestore  = "restore the file from a backup; " + adviceEnsemble + "; `quoll log repair --in-place` gives up this transaction and all later ones"
	adviceRemove   = "the file holds no whole record; remove it if no newer log exists"
	adviceGap      = "the log before this record was cut or removed: restore it from a backup; " + adviceEnsemble + "; `quoll log repair --in-place` gives up this transaction and all later ones"
	adviceLimit    = "a server with a larger jute.maxbuffer may have written it; otherwise " + adviceRestore
	adviceUnknown  = "a later version may have written it"
)

// adviceAccept is for damage that nothing but the watermark tells of.
func adviceAccept(dir string) string {
	return "restore the log from a backup; " + adviceEnsemble + "; to go on without those transactions, or if ZooKeeper ran here and its leader had them truncated, remove " + WatermarkPath(dir)
}

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

	dir   string
	empty bool      // there is nothing that the logs could belong to: a new or wiped directory
	end   Watermark // of the newest log that has a record: what it has
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
//
// It changes nothing and knows of no watermark: it is for tools. A server starts with [ReplayLogs].
func ReadLogs(fs FS, dir string, from int64, limit int, fn func(Record) error) (ReadResult, error) {
	return readLogs(fs, dir, Record{Zxid: from}, limit, nil, fn)
}

// ReadLogsAt is ReadLogs from a place on: the offset of a record in a file, which an earlier read has told, or 0 for the whole file. Nothing is read of what is in
// front of it.
func ReadLogsAt(fs FS, file string, offset int64, limit int, fn func(Record) error) (ReadResult, error) {
	return readLogs(fs, filepath.Dir(file), Record{Zxid: NameZxid(file), File: file, Offset: offset}, limit, nil, fn)
}

// ReplayLogs calls fn for each record of the logs in dir behind a state, as a server does that starts: the state is that of the zxid,
// if found is true, or else the empty one. Then [ReadResult.Settle] must be called before anything new is logged. It is stricter than
// ReadLogs and than Java, each of whom would lose transactions without a word:
//
//   - Damage before the [Watermark] is a [*DamageError], also where the log seems to end. At or behind it any damage is the Tail,
//     though whole records may follow: the sectors of a write reach the disk in any order.
//   - The log that the watermark names must exist, and its zxid must be found, unless the state has it.
//   - The first record must follow the state: in its epoch without a gap, and in a higher one as the first of that epoch. So must the
//     first record of an epoch within the logs.
//
// The newest log is read from the disk and not from the page cache, which a process before may have left with what the disk refused.
func ReplayLogs(fs FS, dir string, zxid int64, found bool, limit int, fn func(Record) error) (ReadResult, error) {
	after := replay{found: found, zxid: zxid}
	w, ok, err := ReadWatermark(fs, dir)
	if err != nil {
		return ReadResult{}, err
	}
	files, err := logsFrom(fs, dir, zxid+1)
	if err != nil {
		return ReadResult{}, err
	}
	if ok && (found || len(files) > 0) { // operators empty version-2 to start anew
		after.mark = &w
	}
	if len(files) > 0 {
		if err := refresh(fs, files[len(files)-1].path); err != nil {
			return ReadResult{}, err
		}
	}
	return readLogs(fs, dir, Record{Zxid: zxid + 1}, limit, &after, fn)
}

// refresh makes the content of a file durable and forgets what is cached of it.
func refresh(fs FS, name string) error {
	f, err := fs.OpenWrite(name)
	if err != nil {
		return err
	}
	if err = f.Sync(); err == nil {
		err = dropCache(f)
	}
	return errors.Join(err, f.Close())
}

// replay is what a server knows before it reads its logs.
type replay struct {
	found bool
	zxid  int64      // of the state that the logs are to follow
	mark  *Watermark // nil for none
}

// Follows reports whether no transaction is missing between one and the next.
func Follows(zxid, last int64) bool {
	return zxid <= last+1 || zxid>>32 > last>>32 && int32(zxid) == 1
}

// readLogs reads from the first record on that has at least the zxid of at, and if that has a file is not in front of its place.
func readLogs(fs FS, dir string, at Record, limit int, after *replay, fn func(Record) error) (ReadResult, error) {
	res, from := ReadResult{dir: dir}, at.Zxid
	files, err := logsFrom(fs, dir, from)
	if err != nil {
		return res, err
	}
	if i := slices.IndexFunc(files, func(f namedFile) bool { return f.path == at.File }); i >= 0 {
		files = files[i:]
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	r := logReader{limit: limit}
	marked := false // the watermark's zxid, if the state does not have it, was found
	if after != nil {
		res.empty = !after.found && len(files) == 0
		if r.mark = after.mark; r.mark != nil && r.mark.Zxid < from {
			marked = true
		}
		if r.mark != nil && !marked && !slices.ContainsFunc(files, func(f namedFile) bool { return f.path == r.mark.File }) {
			return res, &DamageError{r.mark.File, r.mark.Offset, r.mark.Zxid, adviceAccept(dir), fmt.Errorf("%w: the file does not exist, and no snapshot has them", ErrMissing)}
		}
	}
	started := false
	var last int64
	for i, file := range files {
		res.Files = append(res.Files, file.path)
		if file.path == at.File {
			r.start = at.Offset
		}
		res.Tail, err = r.readFile(fs, file.path, i == len(files)-1, func(rec Record) error {
			if r.mark != nil && rec.Zxid == r.mark.Zxid {
				marked = true
			}
			if !started && rec.Zxid < from {
				return nil
			}
			gap := func(format string, before int64) error {
				return &DamageError{rec.File, rec.Offset, rec.Zxid, adviceGap, fmt.Errorf("%w: "+format, ErrGap, before)}
			}
			switch {
			case !started:
				if after != nil && after.found && !Follows(rec.Zxid, after.zxid) {
					return gap("the snapshot before has zxid 0x%x", after.zxid)
				}
			case rec.Zxid <= last:
				res.Backwards++
			case rec.Zxid <= res.LastZxid: // still catching up after a step back
			case !Follows(rec.Zxid, res.LastZxid) && (after != nil || rec.Zxid>>32 <= res.LastZxid>>32):
				return gap("the record before is 0x%x", res.LastZxid)
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
		if r.end.Zxid != 0 {
			res.end = r.end
		}
	}
	if r.mark != nil && !marked {
		return res, &DamageError{r.end.File, r.end.Offset, r.end.Zxid, adviceAccept(dir), fmt.Errorf("%w: this is the end of the logs, but they reached zxid 0x%x", ErrMissing, r.mark.Zxid)}
	}
	return res, nil
}

// Settle makes what [ReplayLogs] has read the state on the disk from which new records go on: it cuts the tail, gives back the padding of
// the newest log, makes both durable and notes that in the watermark.
func (r *ReadResult) Settle(fs FS) error {
	if r.empty {
		return ForgetWatermark(fs, r.dir)
	}
	if len(r.Files) == 0 {
		return nil
	}
	switch {
	case r.Tail != nil:
		if err := r.Tail.Cut(fs); err != nil {
			return err
		}
	case r.end.File == r.Files[len(r.Files)-1]:
		if err := cutFile(fs, r.end.File, r.end.Offset); err != nil {
			return err
		}
	}
	if err := fs.SyncDir(r.dir); err != nil {
		return err
	}
	if r.end.Zxid == 0 {
		return nil
	}
	if err := writeWatermark(fs, r.dir, r.end); err != nil && !IsFull(err) && !errors.Is(err, syscall.ENOTDIR) { // an older one is as good, and none if somebody has put a file there
		return err
	}
	return nil
}

// logReader reads log files one after another through one buffer.
type logReader struct {
	limit int
	mark  *Watermark // nil for none
	start int64      // the record of the next file to begin with, 0 for its header
	win   window
	end   Watermark // of the file read last: where its records end, and the zxid of the last one
}

// readFile calls fn for each whole record of a file. If the file is the newest, it returns the tail that is not one, if any.
func (r *logReader) readFile(fs FS, name string, newest bool, fn func(Record) error) (tail *Tail, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.readOpen(f, name, newest, fn)
}

func (r *logReader) readOpen(f File, name string, newest bool, fn func(Record) error) (*Tail, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	marked := r.mark != nil && r.mark.File == name
	var floor int64 // before it every byte was on the disk
	if marked {
		floor = r.mark.Offset
	}
	r.end = Watermark{File: name}
	if size == 0 && newest && floor == 0 {
		return &Tail{File: name, Reason: "the file is empty"}, nil
	}
	r.win.reset(f, size, min(r.start, size))
	if r.start = 0; r.win.offset() == 0 {
		if err := r.header(name, floor); err != nil {
			return nil, err
		}
	}

	for {
		at := r.win.offset()
		r.end.Offset = at
		damage := func(zxid int64, advice string, err error) error {
			if at < floor {
				err = fmt.Errorf("%w; %v", err, r.mark)
			}
			return &DamageError{name, at, zxid, advice, err}
		}
		// Behind the watermark in the newest file nothing counts that is not whole, and nothing after it.
		torn := marked && newest && at >= floor
		entry, total, end, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("transaction log %s, offset %d, after zxid 0x%x: %w", name, at, r.end.Zxid, err)
		}
		if end == endNone && len(entry) < txnHeaderSize {
			end = endShort
		}
		switch {
		case end == endNone:
		case torn, end != endBadLength && end != endChecksum && end != endShort:
			if at < floor {
				return nil, damage(r.end.Zxid, adviceRestore, fmt.Errorf("%w: %s", ErrMissing, endReasons[end]))
			}
			if !newest {
				return nil, nil
			}
			bytes, err := r.win.lastByte()
			if err != nil || bytes == 0 {
				return nil, err
			}
			return &Tail{name, at, r.end.Zxid, bytes, endReasons[end], !torn && end == endZero && bytes > recordHeader}, nil
		case end == endBadLength:
			return nil, damage(r.end.Zxid, adviceLimit, fmt.Errorf("%w: Unreasonable length = %d", jute.ErrLength, total))
		case end == endShort:
			return nil, damage(r.end.Zxid, adviceUnknown, fmt.Errorf("%w: %d bytes", ErrShortEntry, len(entry)))
		default:
			bytes, err := r.win.lastByte()
			if err != nil {
				return nil, err
			}
			if !newest || marked || bytes > total {
				return nil, damage(r.end.Zxid, adviceRestore, fmt.Errorf("%w: entry of %d bytes", ErrChecksum, len(entry)))
			}
			return &Tail{name, at, r.end.Zxid, bytes, endReasons[end], false}, nil
		}
		zxid := int64(binary.BigEndian.Uint64(entry[12:]))
		if err := fn(Record{zxid, entry, name, at}); err != nil {
			return nil, err
		}
		r.end.Zxid = zxid
		r.win.skip(int(total))
	}
}

// header passes over the header of a file.
func (r *logReader) header(name string, floor int64) error {
	header, err := r.win.peek(headerSize)
	if err != nil {
		return err
	}
	if len(header) < headerSize || binary.BigEndian.Uint32(header) != logMagic {
		d := &DamageError{name, 0, 0, adviceRemove, ErrMagic}
		if len(header) < headerSize {
			d.Err = ErrCutHeader
		}
		if floor > 0 {
			d.Advice, d.Err = adviceRestore, fmt.Errorf("%w: %w; %v", ErrMissing, d.Err, r.mark)
		}
		return d
	}
	r.win.skip(headerSize)
	return nil
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
	endShort            // whole, but shorter than a transaction header
)

var endReasons = map[logEnd]string{
	endZero:      "a record has length 0",
	endOfFile:    "the last record is cut off",
	endMark:      "the last record was partial",
	endChecksum:  "the last record has a wrong checksum",
	endBadLength: "the last record has an impossible length",
	endShort:     "the last record is shorter than a transaction header",
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

func (w *window) reset(f io.ReaderAt, size, at int64) {
	w.f, w.size, w.at, w.buf, w.pos = f, size, at, w.buf[:0], 0
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
	if err := ForgetWatermark(fs, dir); err != nil {
		return err
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
