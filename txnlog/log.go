package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"quoll/adler32"
	"quoll/jute"
)

const (
	headerSize   = 16
	recordHeader = 12 // checksum and length before an entry
	endOfRecord  = 'B'
	logMagic     = 0x5a4b4c47 // "ZKLG"
	logVersion   = 2

	// paddingMargin is how close to its end a file may fill up before it is extended.
	paddingMargin = 4096
	// allocateAhead is how much room on the disk is reserved beyond the records at a time.
	allocateAhead = 4 << 20
	// A batch of up to shortBatch bytes that comes to a part of the file that was never written is followed by zeroAhead bytes of zeros, if a sync waits for it.
	shortBatch = 16 << 10
	zeroAhead  = 256 << 10
	// keptBuffer is the largest buffer that is kept for the next batch.
	keptBuffer = 8 << 20
)

var (
	// ErrLogFailed is the error of a failed write or sync of a log, and of every use of it after that. What the disk holds is unknown then
	// (a second fdatasync would succeed without the data), so nothing may be acknowledged until [Log.Recover] has read it again.
	ErrLogFailed = errors.New("txnlog: a write or sync of the log failed")
	// ErrLogClosed is the error of a sync after Close.
	ErrLogClosed = errors.New("txnlog: the log is closed")
)

var zeros [zeroAhead]byte

// LogOptions says where and how a [Log] is written.
type LogOptions struct {
	// Dir is the version-2 directory of the logs. It must exist.
	Dir string
	// FS is the file system; nil means [OS].
	FS FS
	// PreAlloc is the number of bytes by which a file is extended ahead of the records (preAllocSize, in bytes); 0 or less is off.
	PreAlloc int64
	// ForceSync makes Sync wait for the disk. Without it a crash of the machine loses acknowledged transactions, and as nobody knows
	// how many, no watermark is kept: what is damaged in the files written since the start is judged as Java judges it.
	ForceSync bool
	// SizeLimit is the number of record bytes after which the log rolls by itself (txnLogSizeLimitInKb, in bytes); 0 or less is
	// off. Java compares the preallocated size; here it is what was written, or else each record would get a file of its own.
	SizeLimit int64
	// OnSync, if set, hears of each sync of records: how long it took, of which file, and the size of that file in bytes.
	OnSync func(took time.Duration, file string, size int64)
	// Logger gets the warnings; nil means none.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now. With one that stands still the watermark is never written beside the records.
	Now func() time.Time
}

// Log appends transactions to the log files of a directory. Its methods may be used from any goroutine: Append and Roll never wait
// for the disk, and a batch may be filled while the one before is being synced. It mirrors FileTxnLog.
type Log struct {
	opts LogOptions

	// io guards the file and is held across writes and syncs. It is taken before mu.
	io struct {
		sync.Mutex
		file      File
		path      string
		position  int64     // where the next record goes
		padded    int64     // size up to which the file was extended; records may go past it
		allocated int64     // up to where room on the disk is reserved
		written   int64     // up to where records or zeros were written
		sparse    bool      // the file system cannot reserve room
		acked     Watermark // what Sync has reported as written: nothing behind it counts
		opened    []string  // files, by every name they had, that were made since
		mark      marker
	}

	mu struct {
		sync.Mutex
		pending []byte // whole records, and headers before the first ones of files
		spare   []byte // the other buffer, not in use
		starts  []start
		fresh   bool // the next record opens a file
		last    int64
		err     error
	}
}

// start is where in the pending bytes a new file begins, with its header, and the zxid that names it.
type start struct {
	at   int
	zxid int64
}

// NewLog returns a log that opens its first file when the first record is synced: a file is named after its first record and
// never appended to by a later process.
func NewLog(opts LogOptions) *Log {
	if opts.FS == nil {
		opts.FS = OS
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Log{opts: opts}
	l.mu.fresh = true
	l.io.mark = marker{fs: opts.FS, dir: opts.Dir, log: opts.Logger, now: opts.Now}
	return l
}

// Append adds a transaction to the batch that the next Sync writes. The entry (header, body and digest as they go to disk) is
// copied. Zxids must rise; one that does not is logged and kept. After a failure or Close the record is dropped, which Sync tells.
func (l *Log) Append(zxid int64, entry []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err != nil {
		return
	}
	if zxid <= l.mu.last {
		l.opts.Logger.Warn("appending a zxid that is not above the last one", "zxid", fmt.Sprintf("0x%x", zxid), "last", fmt.Sprintf("0x%x", l.mu.last))
	}
	l.mu.last = max(l.mu.last, zxid)
	if l.mu.fresh {
		l.mu.starts = append(l.mu.starts, start{len(l.mu.pending), zxid})
		l.mu.pending = (&jute.FileHeader{Magic: logMagic, Version: logVersion}).Append(l.mu.pending)
		l.mu.fresh = false
	}
	l.mu.pending = AppendRecord(l.mu.pending, entry)
}

// AppendRecord appends an entry to b, framed as a log has it. The checksum covers neither the length nor the end mark.
func AppendRecord(b, entry []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(entry)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entry)))
	b = append(b, entry...)
	return append(b, endOfRecord)
}

// Sync writes everything that was appended before the call with one write and makes it durable with one fdatasync; a roll in
// between makes it two of each. After a failure this and every later call fail with [ErrLogFailed], until [Log.Recover] succeeds:
// nothing of the batch may be acknowledged, though it may be on the disk.
func (l *Log) Sync() error {
	l.io.Lock()
	defer l.io.Unlock()
	return l.sync()
}

func (l *Log) sync() error {
	l.mu.Lock()
	if err := l.mu.err; err != nil {
		l.mu.Unlock()
		return err
	}
	batch, starts, last := l.mu.pending, l.mu.starts, l.mu.last
	l.mu.pending, l.mu.spare, l.mu.starts = l.mu.spare[:0], nil, nil
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}

	err := l.write(batch, starts)
	if err == nil {
		l.io.acked = Watermark{l.io.path, l.io.position, last}
		switch {
		case !l.opts.ForceSync:
		case len(l.io.opened) > 0:
			l.io.mark.settle(l.io.acked) // a watermark in an older file says nothing about this one
		default:
			l.io.mark.set(l.io.acked)
		}
		l.io.opened = l.io.opened[:0]
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.mu.err = fmt.Errorf("%w: transaction log %s, offset %d, zxid 0x%x: %w", ErrLogFailed, l.io.path, l.io.position, firstZxid(batch, starts), err)
		l.mu.pending, l.mu.starts = nil, nil
		return l.mu.err
	}
	if cap(batch) <= keptBuffer {
		l.mu.spare = batch[:0]
	}
	if l.opts.SizeLimit > 0 && l.io.position > l.opts.SizeLimit {
		l.mu.fresh = true
	}
	return nil
}

// firstZxid is the zxid of the first record of a batch, or 0 if its entry is too short to have one.
func firstZxid(batch []byte, starts []start) int64 {
	if len(starts) > 0 && starts[0].at == 0 {
		return starts[0].zxid
	}
	if len(batch) < recordHeader+txnHeaderSize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(batch[recordHeader+12:]))
}

// write writes a batch, file by file.
func (l *Log) write(batch []byte, starts []start) error {
	at := 0
	for i, s := range starts {
		if s.at > at {
			if err := l.writeRecords(batch[at:s.at]); err != nil {
				return err
			}
		}
		at = len(batch)
		if i+1 < len(starts) {
			at = starts[i+1].at
		}
		if err := l.open(s.zxid, batch[s.at:at]); err != nil {
			return err
		}
	}
	if at == len(batch) {
		return nil
	}
	return l.writeRecords(batch[at:])
}

// open starts a new file with a header and the first records. It gets its name only when they are on disk, because a log with half a
// header keeps a Java server from starting.
func (l *Log) open(zxid int64, p []byte) error {
	if err := l.closeFile(); err != nil {
		return err
	}
	fs, name := l.opts.FS, fileName(logPrefix, zxid)
	temp, path := filepath.Join(l.opts.Dir, tempPrefix+name), filepath.Join(l.opts.Dir, name)
	l.io.path, l.io.position, l.io.padded, l.io.allocated, l.io.written = path, headerSize, headerSize, 0, 0
	l.io.opened = append(l.io.opened, temp)
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	l.io.file = f
	if err := l.put(p, 0); err != nil {
		return err
	}
	l.io.opened = append(l.io.opened, path)
	if err := fs.Rename(temp, path); err != nil {
		return err
	}
	if l.opts.ForceSync {
		return fs.SyncDir(l.opts.Dir)
	}
	return nil
}

// closeFile closes the file and gives back the room that it does not need.
func (l *Log) closeFile() error {
	if l.io.file == nil {
		return nil
	}
	if l.size() > l.io.position {
		_ = l.io.file.Truncate(l.io.position) // padding is harmless
	}
	err := l.io.file.Close()
	l.io.file = nil
	return err
}

func (l *Log) writeRecords(p []byte) error { return l.put(p, l.io.position) }

// put makes room, writes and syncs.
func (l *Log) put(p []byte, at int64) error {
	end := at + int64(len(p))
	if err := l.extend(end); err != nil {
		return err
	}
	if end > l.io.written {
		l.io.written = end
		if l.opts.ForceSync && len(p) <= shortBatch {
			if err := l.zero(); err != nil {
				return err
			}
		}
	}
	if _, err := l.io.file.WriteAt(p, at); err != nil {
		return err
	}
	l.io.position = end
	if !l.opts.ForceSync {
		return nil
	}
	begin := l.opts.Now()
	if err := l.io.file.Sync(); err != nil {
		return err
	}
	if l.opts.OnSync != nil {
		l.opts.OnSync(l.opts.Now().Sub(begin), l.io.path, l.size())
	}
	return nil
}

// extend pads the file as Java does and reserves room for records up to end and a few more, so that a full disk shows before anything is
// written. The rest of the padding takes no room.
func (l *Log) extend(end int64) error {
	if size := paddedSize(l.io.position, l.io.padded, l.opts.PreAlloc); size != l.io.padded {
		if err := l.io.file.Truncate(size); err != nil {
			return err
		}
		l.io.padded = size
	}
	if l.opts.PreAlloc <= 0 || l.io.sparse || end <= l.io.allocated {
		return nil
	}
	upTo := max(end, min(end+allocateAhead, l.io.padded))
	can, err := allocate(l.io.file, l.io.allocated, upTo-l.io.allocated)
	if IsFull(err) && upTo > end {
		upTo = end // the last bytes of a disk serve as well
		can, err = allocate(l.io.file, l.io.allocated, upTo-l.io.allocated)
	}
	if err != nil {
		return err
	}
	l.io.sparse, l.io.allocated = !can, upTo
	return nil
}

// zero writes zeros where the next records go. The file system notes of each block of reserved room that it was written to, and the sync
// of a short batch waits longer for that note than for its own bytes: so a note is made for many batches at once.
func (l *Log) zero() error {
	upTo := min(l.io.written+zeroAhead, l.io.allocated)
	if upTo <= l.io.written {
		return nil
	}
	_, err := l.io.file.WriteAt(zeros[:upTo-l.io.written], l.io.written)
	l.io.written = upTo
	return err
}

// Recover brings the log back after a failure, when the disk works again: it removes what the failed batch may have left, reads back
// from the disk what was acknowledged, and goes on in a new file. A [*DamageError] says that the disk has lost some of that; after
// any error Recover can be called again. Records that were appended since the failure are gone, and their zxids are free again.
//
// It does not trust the page cache: after a failed sync the kernel keeps the pages that it could not write, and calls them clean.
func (l *Log) Recover() error {
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	failed := l.mu.err
	l.mu.Unlock()
	if failed == nil || errors.Is(failed, ErrLogClosed) {
		return failed
	}
	if f := l.io.file; f != nil {
		l.io.file = nil
		_ = f.Close() // its content is read again below
	}
	for _, name := range l.io.opened {
		if err := l.opts.FS.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	if len(l.io.opened) > 0 {
		if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
			return err
		}
	}
	if l.io.acked.File != "" {
		if err := l.readBack(); err != nil {
			return err
		}
	}
	if err := l.probe(); err != nil {
		return err
	}
	l.io.opened = l.io.opened[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.err, l.mu.fresh, l.mu.last = nil, true, l.io.acked.Zxid
	return nil
}

// probe finds out whether the disk takes something, so that the next batch has a chance.
func (l *Log) probe() error {
	name := filepath.Join(l.opts.Dir, tempPrefix+"probe")
	f, err := l.opts.FS.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(make([]byte, paddingMargin), 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), l.opts.FS.Remove(name))
}

// readBack cuts the last acknowledged file behind what was acknowledged and checks that all that is on the disk.
func (l *Log) readBack() (err error) {
	w := &l.io.acked
	f, err := l.opts.FS.OpenWrite(w.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > w.Offset {
		if err := f.Truncate(w.Offset); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := dropCache(f); err != nil {
		return err
	}
	r := logReader{limit: math.MaxInt32, mark: w}
	_, err = r.readOpen(f, w.File, true, func(Record) error { return nil })
	return err
}

// size is that of the open file, preallocated bytes included.
func (l *Log) size() int64 { return max(l.io.position, l.io.padded) }

// paddedSize is the size to give a file before records are written at position, if it was extended to padded before
// (FilePadding.calculateFileSizeWithPadding).
func paddedSize(position, padded, preAlloc int64) int64 {
	if preAlloc <= 0 || position+paddingMargin < padded {
		return padded
	}
	if position > padded {
		size := position + preAlloc
		return size - size%preAlloc
	}
	return padded + preAlloc
}

// Roll makes the next record open a new file. Records appended before stay in the old file.
func (l *Log) Roll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.fresh = true
}

// Close syncs what is pending and closes the file. Later calls do nothing but return the first one's failure or [ErrLogClosed].
func (l *Log) Close() error {
	l.io.Lock()
	defer l.io.Unlock()
	err := l.sync()
	if err == nil && l.io.acked.File != "" && l.opts.ForceSync {
		l.io.mark.settle(l.io.acked)
	}
	if closeErr := l.closeFile(); err == nil {
		err = closeErr
	}
	if closeErr := l.io.mark.close(); err == nil {
		err = closeErr
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err == nil {
		l.mu.err = ErrLogClosed
	}
	return err
}
