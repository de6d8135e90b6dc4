package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	iofs "io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Watermark says how far a log is known to be on disk: every record up to Zxid is, and in File they end at Offset.
//
// It tells a torn tail from corruption. What is damaged behind it was never acknowledged, and goes; what is damaged before it was, and
// no server may start as if it had not been. It is exact after the process was killed. After a loss of power it can be behind by a
// second or so, and then records between it and the end of the log are judged as Java judges all of them. It is never ahead.
type Watermark struct {
	File   string // path of the log
	Offset int64
	Zxid   int64
}

func (w *Watermark) String() string {
	return fmt.Sprintf("%s was synced up to offset %d, zxid 0x%x", w.File, w.Offset, w.Zxid)
}

// ownDir is the directory of quoll's own files, beside version-2, where Java does not look.
const ownDir = "quoll"

// WatermarkPath is the file that holds the watermark of the logs in a version-2 directory.
func WatermarkPath(dir string) string { return filepath.Join(filepath.Dir(dir), ownDir, "synced") }

// The file has two slots on pages of their own, of which one is in use and the other durable, so that a torn write leaves one. A slot is
//
//	magic 8 bytes, long sequence number, long zxid in the name of the log, long offset, long zxid, int CRC-32C of all that
//
// and the whole one with the highest number counts.
const (
	slotMagic    = "QUOLLWM1"
	slotSize     = 44
	slotDistance = 4096
	markFileSize = 2 * slotDistance
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadWatermark returns the watermark of the logs in dir. Without a readable one it reports false: then Java's rules are all there is.
func ReadWatermark(fs FS, dir string) (w Watermark, ok bool, err error) {
	f, err := fs.Open(WatermarkPath(dir))
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return w, false, nil
	}
	if err != nil {
		return w, false, err
	}
	w, _, _, ok = readSlots(f, dir)
	return w, ok, f.Close()
}

// readSlots returns the newest whole slot. A slot that cannot be read is none.
func readSlots(f File, dir string) (w Watermark, slot int, seq uint64, ok bool) {
	var b [slotSize]byte
	for i := range 2 {
		if _, err := f.ReadAt(b[:], int64(i*slotDistance)); err != nil || string(b[:8]) != slotMagic {
			continue
		}
		if binary.BigEndian.Uint32(b[slotSize-4:]) != crc32.Checksum(b[:slotSize-4], castagnoli) {
			continue
		}
		if n := binary.BigEndian.Uint64(b[8:]); !ok || n > seq {
			name := fileName(logPrefix, int64(binary.BigEndian.Uint64(b[16:])))
			w = Watermark{filepath.Join(dir, name), int64(binary.BigEndian.Uint64(b[24:])), int64(binary.BigEndian.Uint64(b[32:]))}
			slot, seq, ok = i, n, true
		}
	}
	return w, slot, seq, ok
}

// ForgetWatermark removes the watermark of the logs in dir durably. Whoever makes a log shorter on purpose does that first.
func ForgetWatermark(fs FS, dir string) error {
	path := WatermarkPath(dir)
	if err := fs.Remove(path); errors.Is(err, iofs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}

// writeWatermark makes w durable, for logs that no [Log] writes to.
func writeWatermark(fs FS, dir string, w Watermark) error {
	m := marker{fs: fs, dir: dir}
	err := m.write(w)
	if err == nil {
		err = m.file.Sync()
	}
	return errors.Join(err, m.close())
}

// markInterval is how old the durable watermark may get while records are written.
const markInterval = time.Second

// marker keeps the watermark's file while a log is written to. It never fails its user: a watermark that cannot be written stays
// behind, which is harmless, and is logged once.
type marker struct {
	fs   FS
	dir  string
	log  *slog.Logger
	now  func() time.Time
	file File
	seq  uint64
	slot int // in use; the other one is durable, or is being made so
	buf  [slotSize]byte
	path string // of the log that the slot names,
	zxid int64  // and the zxid in its name

	synced  time.Time      // when the last sync began
	syncing sync.WaitGroup // the background sync, one at a time
	busy    chan struct{}  // has an element while it runs
	warned  bool
}

// open opens the file, or makes it.
func (m *marker) open() error {
	if m.file != nil {
		return nil
	}
	path := WatermarkPath(m.dir)
	f, err := m.fs.OpenWrite(path)
	if errors.Is(err, iofs.ErrNotExist) {
		f, err = m.create(path)
	}
	if err != nil {
		return err
	}
	m.file, m.busy = f, make(chan struct{}, 1)
	_, slot, seq, _ := readSlots(f, m.dir)
	m.seq, m.slot = seq, 1-slot
	return nil
}

func (m *marker) create(path string) (File, error) {
	if err := makeOwnDir(m.fs, m.dir); err != nil {
		return nil, err
	}
	f, err := m.fs.Create(path)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(make([]byte, markFileSize), 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = m.fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeOwnDir makes the directory of quoll's own files beside version-2. It may be there without being durable: the store is in it too.
func makeOwnDir(fs FS, dir string) error {
	own := filepath.Join(filepath.Dir(dir), ownDir)
	if err := fs.MkdirAll(own); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(own))
}

// write puts w into the slot in use, where the death of the process cannot take it away any more.
func (m *marker) write(w Watermark) error {
	if err := m.open(); err != nil {
		return err
	}
	if w.File != m.path {
		m.path, m.zxid = w.File, nameZxid(filepath.Base(w.File), logPrefix)
	}
	m.seq++
	b := append(m.buf[:0], slotMagic...)
	b = binary.BigEndian.AppendUint64(b, m.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.zxid))
	b = binary.BigEndian.AppendUint64(b, uint64(w.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(w.Zxid))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := m.file.WriteAt(b, int64(m.slot*slotDistance))
	return err
}

// set notes w, and now and then has it made durable by a goroutine of its own. While that one waits for the disk, notes go to the
// other slot: the kernel may keep a page from being written to that is on its way.
func (m *marker) set(w Watermark) {
	if err := m.write(w); err != nil {
		m.warn(err)
		return
	}
	now := m.now()
	if now.Sub(m.synced) < markInterval {
		return
	}
	select {
	case m.busy <- struct{}{}:
	default:
		return
	}
	m.synced, m.slot = now, 1-m.slot
	m.syncing.Go(func() {
		_ = m.file.Sync() // a failure leaves the durable one as it was, and the next one will be told of
		<-m.busy
	})
}

// settle notes w and makes it durable before it returns.
func (m *marker) settle(w Watermark) {
	m.syncing.Wait()
	err := m.write(w)
	if err == nil {
		err = m.file.Sync()
	}
	if err != nil {
		m.warn(err)
		return
	}
	m.synced, m.slot = m.now(), 1-m.slot
}

func (m *marker) warn(err error) {
	if !m.warned {
		m.warned = true
		m.log.Warn("cannot note how far the transaction log is synced: after a crash, damage that should stop the next start could be taken for a torn end", "file", WatermarkPath(m.dir), "error", err)
	}
}

func (m *marker) close() error {
	m.syncing.Wait()
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}
