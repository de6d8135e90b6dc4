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

// zeros is memory that takes no room until somebody writes to it.
var zeros [zeroAhead + BlockSize]byte

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
	// OnSync, if set, hears of each write and sync of records: how long it took, of which file, and the size of that file in bytes.
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
		blocks    BlockWriter // file, if it is written in blocks; else nil
		buffered  bool        // files cannot be written in blocks
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
		pending batch
		spare   []byte // the other buffer, not in use
		fresh   bool   // the next record opens a file
		last    int64
		err     error
	}
}

// batch is what one sync writes: whole records, and headers before the first ones of files. What goes to one file begins with a block, in the file as in
// memory, so that it can be written in blocks.
type batch struct {
	buf    []byte
	tail   int // bytes at its start that are in the open file already, as the start of its last block
	starts []start
}

// start is where in a batch a new file begins, with its header; where what goes to the file before ends; and the zxid that names the new one.
type start struct {
	at, before int
	zxid       int64
}

// empty reports whether there is nothing to write.
func (b *batch) empty() bool { return len(b.buf) == b.tail }

// part is what goes to the open file, or for i above 0 to the i-th new one.
func (b *batch) part(i int) []byte {
	begin, end := 0, len(b.buf)
	if i > 0 {
		begin = b.starts[i-1].at
	}
	if i < len(b.starts) {
		end = b.starts[i].before
	}
	return b.buf[begin:end]
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
	b := &l.mu.pending
	b.buf = grow(b.buf, BlockSize+headerSize+recordHeader+len(entry)+1)
	if l.mu.fresh {
		s := start{at: blockUp(len(b.buf)), before: len(b.buf), zxid: zxid}
		b.starts = append(b.starts, s)
		b.buf = (&jute.FileHeader{Magic: logMagic, Version: logVersion}).Append(b.buf[:s.at])
		l.mu.fresh = false
	}
	b.buf = AppendRecord(b.buf, entry)
}

// AppendRecord appends an entry to b, framed as a log has it. The checksum covers neither the length nor the end mark.
func AppendRecord(b, entry []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(entry)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entry)))
	b = append(b, entry...)
	return append(b, endOfRecord)
}

// Sync writes everything that was appended before the call with one write and makes it durable with one fdatasync, or does both at once past the page
// cache where the file system is known for that ([BlockWriter]); a roll in between makes it two of each. After a failure this and every later call fail
// with [ErrLogFailed], until [Log.Recover] succeeds: nothing of the batch may be acknowledged, though it may be on the disk.
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
	b, last := l.mu.pending, l.mu.last
	if b.empty() {
		l.mu.Unlock()
		return nil
	}
	tail := b.buf[len(b.buf)&^(BlockSize-1):]
	l.mu.pending = batch{buf: append(grow(l.mu.spare[:0], len(tail)), tail...), tail: len(tail)}
	l.mu.spare = nil
	l.mu.Unlock()

	err := l.write(&b)
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
		l.mu.err = fmt.Errorf("%w: transaction log %s, offset %d, zxid 0x%x: %w", ErrLogFailed, l.io.path, l.io.position, b.firstZxid(), err)
		l.mu.pending = batch{}
		return l.mu.err
	}
	if cap(b.buf) <= keptBuffer {
		l.mu.spare = b.buf
	}
	if l.opts.SizeLimit > 0 && l.io.position > l.opts.SizeLimit {
		l.mu.fresh = true
	}
	return nil
}

// firstZxid is the zxid of the first record, or 0 if its entry is too short to have one.
func (b *batch) firstZxid() int64 {
	if len(b.starts) > 0 && b.starts[0].before == b.tail {
		return b.starts[0].zxid
	}
	records := b.part(0)[b.tail:]
	if len(records) < recordHeader+txnHeaderSize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(records[recordHeader+12:]))
}

// write writes a batch, file by file.
func (l *Log) write(b *batch) error {
	if p := b.part(0); len(p) > b.tail {
		if err := l.put(p, b.tail, l.io.position); err != nil {
			return err
		}
	}
	for i, s := range b.starts {
		if err := l.open(s.zxid, b.part(i+1)); err != nil {
			return err
		}
	}
	return nil
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
	l.direct()
	if err := l.put(p, 0, 0); err != nil {
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

// direct has the new file written in blocks, where that is possible and ends with a sync; the zeros behind the last record are those of the padding.
func (l *Log) direct() {
	l.io.blocks = nil
	if w, ok := l.io.file.(BlockWriter); ok && l.opts.ForceSync && l.opts.PreAlloc > 0 && !l.io.buffered {
		if err := w.Direct(true); err != nil {
			l.opts.Logger.Info("the log is written through the page cache", "dir", l.opts.Dir, "reason", err)
			l.io.buffered = true
			return
		}
		l.io.blocks = w
	}
}

// put makes room, writes what comes behind the first bytes of p, tail of them, to a place in the file, and syncs. Those bytes are what the file has of
// the block before that place.
func (l *Log) put(p []byte, tail int, at int64) error {
	end := at + int64(len(p)-tail)
	upTo := end
	if l.io.blocks != nil {
		upTo = blockUp(end)
	}
	if err := l.extend(upTo); err != nil {
		return err
	}
	if upTo > l.io.written {
		l.io.written = upTo
		if l.opts.ForceSync && len(p) <= shortBatch {
			if err := l.zero(); err != nil {
				return err
			}
		}
	}
	begin := l.opts.Now()
	if err := l.writeSync(p, tail, at); err != nil {
		return err
	}
	l.io.position = end
	if l.opts.ForceSync && l.opts.OnSync != nil {
		l.opts.OnSync(l.opts.Now().Sub(begin), l.io.path, l.size())
	}
	return nil
}

// writeSync writes p without its tail, in blocks if that is possible.
func (l *Log) writeSync(p []byte, tail int, at int64) error {
	if l.io.blocks != nil {
		blocks := p[:blockUp(len(p))] // batches have the room
		clear(blocks[len(p):])
		err := l.io.blocks.WriteSync(blocks, at-int64(tail))
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err := l.io.blocks.Direct(false); err != nil {
			return err
		}
		l.io.blocks, l.io.buffered = nil, true
	}
	if _, err := l.io.file.WriteAt(p[tail:], at); err != nil || !l.opts.ForceSync {
		return err
	}
	return l.io.file.Sync()
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
	upTo := min(l.io.written+zeroAhead, l.io.allocated) &^ (BlockSize - 1)
	if upTo <= l.io.written {
		return nil
	}
	_, err := l.io.file.WriteAt(fromBlock(zeros[:])[:upTo-l.io.written], l.io.written)
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
func (l *Log) size() int64 {
	end := l.io.position
	if l.io.blocks != nil {
		end = blockUp(end)
	}
	return max(end, l.io.padded)
}

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
