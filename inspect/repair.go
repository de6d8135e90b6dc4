package inspect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quoll/adler32"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// Repair says how to mend a log.
type Repair struct {
	// File is the log.
	File string
	// FixCRC keeps every record whose frame is whole and gives those with a wrong checksum a new one, as Java's tool does with -r. What
	// the bytes were is not known.
	FixCRC bool
	// CutAt, if not nil, is the last zxid to keep, as with Java's -c. Otherwise, and without FixCRC, records are kept as long as no zxid is missing.
	CutAt *int64
	// To is the file to write; empty is FILE.fixed, or FILE.chopped<zxid> with CutAt, as Java names them. It must not exist.
	To string
	// InPlace puts the mended log into the place of the original, of which it leaves a copy whose name no server takes for a log.
	InPlace bool
	// Verbose prints every record kept with FixCRC.
	Verbose bool
	// Ask answers a question with yes or no; nil is always yes. Its error ends the repair before anything is changed.
	Ask func(question string) (bool, error)
	// Now is the time that names of backups carry.
	Now time.Time
}

// backupPrefix is how the names of files begin that a repair puts aside. Servers read nothing but `log.` and `snapshot.`.
const backupPrefix = "damaged."

// span is a run of zxids.
type span struct{ first, last int64 }

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprintf("0x%x", s.first)
	}
	return fmt.Sprintf("0x%x to 0x%x", s.first, s.last)
}

// spans are runs of zxids in their order.
type spans []span

// add appends the zxids from first to last.
func (s *spans) add(first, last int64) {
	if n := len(*s); n > 0 && first == (*s)[n-1].last+1 {
		(*s)[n-1].last = last
		return
	}
	*s = append(*s, span{first, last})
}

// count is the number of zxids.
func (s spans) count() (n int64) {
	for _, run := range s {
		n += run.last - run.first + 1
	}
	return n
}

func (s spans) String() string {
	var list []string
	for _, run := range s {
		list = append(list, run.String())
	}
	return strings.Join(list, ", ")
}

// RepairLog mends a log, prints what it does, which transactions are given up and where the result is, and returns the path of the mended
// file; with InPlace that is the log, and empty if nothing of it was left to keep. The original is written to only with InPlace, and even then
// there is a whole log under its name at every instant.
//
// With InPlace, files of later zxids in the same directory go aside as well if the mended log no longer reaches them: a server would refuse
// the gap. They stay if the newest snapshot of the directory has everything before them.
func RepairLog(w io.Writer, r Repair, o Options) (path string, err error) {
	out := bufio.NewWriter(w)
	m := mender{Repair: r, o: o, w: out}
	path, err = m.run()
	return path, errors.Join(err, out.Flush())
}

type mender struct {
	Repair
	o Options
	w *bufio.Writer

	dst      *logWriter
	snapshot int64 // zxid of the newest good snapshot beside the log, 0 for none
	last     int64 // highest zxid kept
	seen     int64 // highest zxid kept or given up
	kept     int64
	fixed    int
	lost     spans // zxids given up
	unknown  bool  // something was given up whose zxid cannot be read
	damaged  bool
	ended    bool // nothing more is kept
}

func (m *mender) run() (string, error) {
	target := m.target()
	if !m.InPlace {
		if exists(m.o.fs(), target) {
			//lint:ignore ST1005 the words of ZooKeeper's tool
			return "", fmt.Errorf("Recovery file %s already exists or not writable", target)
		}
	}
	var err error
	if m.snapshot, err = m.o.newestGood(filepath.Dir(m.File)); err != nil {
		return "", err
	}
	dir := filepath.Dir(target)
	temp := filepath.Join(dir, fmt.Sprintf("quoll-tmp.repair.%s", filepath.Base(m.File)))
	if err = m.copyTo(temp); err != nil {
		return "", errors.Join(err, removeIfThere(m.o.fs(), temp))
	}
	if m.InPlace {
		target, err = m.replace(temp)
	} else if err = m.o.fs().Rename(temp, target); err == nil {
		err = m.o.fs().SyncDir(dir)
	}
	if err != nil {
		return "", errors.Join(err, removeIfThere(m.o.fs(), temp))
	}
	return target, nil
}

// target is the file to write.
func (m *mender) target() string {
	switch {
	case m.InPlace:
		return m.File
	case m.To != "":
		return m.To
	case m.CutAt != nil:
		return fmt.Sprintf("%s.chopped%d", m.File, *m.CutAt)
	}
	return m.File + ".fixed"
}

// copyTo writes the records to keep into a new file and makes it durable.
func (m *mender) copyTo(temp string) (err error) {
	s, err := txnlog.ScanLog(m.o.fs(), m.File, m.o.Limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m.seen = max(0, txnlog.NameZxid(m.File)-1)
	if m.dst, err = newLogWriter(m.o.fs(), temp); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.dst.close()) }()
	h, d, err := s.Header()
	if err != nil {
		return err
	}
	if d == txnlog.Whole {
		fmt.Fprintf(m.w, "ZooKeeper Transactional Log File with dbid %d txnlog format version %d\n", h.DBID, h.Version)
	} else {
		if m.CutAt != nil {
			return headerDamage(m.File, d)
		}
		m.damaged = true
		fmt.Fprintf(m.w, "offset 0: %v; the header is written anew\n", d)
		if _, err := m.resync(s); err != nil {
			return err
		}
	}
	if m.CutAt != nil {
		return m.chop(s)
	}
	return m.mend(s)
}

// chop keeps everything up to a zxid and refuses damage before it (LogChopper).
func (m *mender) chop(s *txnlog.LogScanner) error {
	rest, err := s.Rest()
	if err != nil {
		return err
	}
	found, end := false, s.Offset()+rest
	for {
		rec, d, err := s.Next()
		if err != nil {
			return err
		}
		switch {
		case d == txnlog.Whole && rec.Zxid <= *m.CutAt:
			found = found || rec.Zxid == *m.CutAt
			if m.last != 0 && rec.Zxid != m.last+1 && rec.Zxid>>32 == m.last>>32 {
				fmt.Fprintf(m.w, "There is intra-epoch gap between %x and %x\n", m.last, rec.Zxid)
			}
			if err := m.keep(rec); err != nil {
				return err
			}
			continue
		case d != txnlog.Whole && !found && s.Offset() < end:
			return fmt.Errorf("%w; repair without a zxid to cut at, or cut before it", damageAt(rec, d))
		case !found:
			return fmt.Errorf("%s: This log does not contain zxid %x", m.File, *m.CutAt)
		}
		fmt.Fprintf(m.w, "Chopping at %x new log has %d records\n", *m.CutAt, m.kept)
		return errors.Join(m.discard(s, rec, d), m.summary())
	}
}

// discard notes the given record and everything behind it as given up.
func (m *mender) discard(s *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect) error {
	for {
		if d == txnlog.Whole || d == txnlog.WrongChecksum {
			m.giveUp(rec, d)
		} else if more, err := m.end(s, rec, d); err != nil || !more {
			return err
		}
		var err error
		if rec, d, err = s.Next(); err != nil {
			return err
		}
	}
}

// mend keeps what can be kept.
func (m *mender) mend(s *txnlog.LogScanner) error {
	for {
		rec, d, err := s.Next()
		if err != nil {
			return err
		}
		switch {
		case d == txnlog.Whole && m.gap(rec.Zxid):
			m.ended = true
			m.giveUp(rec, d)
		case d == txnlog.Whole:
			if _, err := tree.DecodeTxn(rec.Entry); err != nil {
				m.damaged = true
				fmt.Fprintf(m.w, "offset %d: %v\n", rec.Offset, err)
				m.giveUp(rec, d)
				continue
			}
			if m.FixCRC && m.Verbose {
				if err := m.print("", rec); err != nil {
					return err
				}
			}
			if err := m.keep(rec); err != nil {
				return err
			}
		case d == txnlog.WrongChecksum:
			m.damaged = true
			if m.FixCRC && m.readable(rec) {
				if err := m.fix(rec); err != nil {
					return err
				}
				continue
			}
			// What follows can stay only if no zxid is missing without this one.
			fmt.Fprintf(m.w, "offset %d: %v\n", rec.Offset, d)
			m.giveUp(rec, d)
		default:
			if more, err := m.end(s, rec, d); err != nil || !more {
				return errors.Join(err, m.finish())
			}
		}
	}
}

// gap reports whether a record cannot stay because a server would miss some before it: those that are in no snapshot.
func (m *mender) gap(zxid int64) bool {
	switch {
	case m.ended:
		return true
	case zxid <= m.snapshot+1:
		return false
	case m.kept == 0:
		named := txnlog.NameZxid(m.File)
		return m.damaged && named >= 0 && zxid != named
	case len(m.lost) > 0 && m.lost[len(m.lost)-1].last > max(m.last, m.snapshot): // in another epoch, or else
		return true
	}
	return !txnlog.Follows(zxid, max(m.last, m.snapshot))
}

// readable reports whether a record with a wrong checksum could be the one that belongs in its place.
func (m *mender) readable(rec txnlog.Record) bool {
	_, err := tree.DecodeTxn(rec.Entry)
	return err == nil && !m.gap(rec.Zxid) && (m.kept == 0 || rec.Zxid > m.last)
}

// giveUp notes a transaction that is not kept. The zxid of one with a wrong checksum is believed if it is the next one.
func (m *mender) giveUp(rec txnlog.Record, d txnlog.Defect) {
	if d != txnlog.Whole && m.seen != 0 && rec.Zxid != m.seen+1 {
		m.unknown = true
		return
	}
	first := rec.Zxid
	if m.seen != 0 && first>>32 == m.seen>>32 {
		first = min(first, m.seen+1) // with those that the damage has swallowed
	}
	m.seen = max(m.seen, rec.Zxid)
	m.lost.add(first, rec.Zxid)
}

func (m *mender) keep(rec txnlog.Record) error {
	m.last = max(m.last, rec.Zxid)
	m.seen = max(m.seen, rec.Zxid)
	m.kept++
	return m.dst.add(rec.Entry)
}

// fix keeps a record with a wrong checksum if its operator wants it.
func (m *mender) fix(rec txnlog.Record) error {
	if m.Ask != nil {
		if err := m.print("CRC ERROR - ", rec); err != nil {
			return err
		}
		if err := m.w.Flush(); err != nil {
			return err
		}
		yes, err := m.Ask("Would you like to fix it (Yes/No/Abort) ? ")
		if err != nil {
			return err
		}
		if !yes {
			// Java's tool would copy the wrong checksum. A log that no server starts with is not mended.
			m.giveUp(rec, txnlog.WrongChecksum)
			m.ended = true
			return nil
		}
	} else if err := m.print("CRC FIXED - ", rec); err != nil {
		return err
	}
	m.fixed++
	if m.Ask == nil && m.Verbose {
		if err := m.print("", rec); err != nil {
			return err
		}
	}
	return m.keep(rec)
}

func (m *mender) print(prefix string, rec txnlog.Record) error {
	line, err := m.o.appendTxn([]byte(prefix), rec.Entry)
	if err != nil {
		return damageAt(rec, err)
	}
	_, err = m.w.Write(line)
	return err
}

// end deals with a place where a server stops reading, and reports whether there is more to look at behind it.
func (m *mender) end(s *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect) (more bool, err error) {
	rest, err := s.Rest()
	if err != nil || rest == 0 {
		return false, err
	}
	m.damaged = true
	fmt.Fprintf(m.w, "offset %d: %v, and %d bytes follow\n", rec.Offset, d, rest)
	return m.resync(s)
}

// resync moves to the next whole record, if there is one.
func (m *mender) resync(s *txnlog.LogScanner) (bool, error) {
	from := s.Offset()
	found, err := s.Resync()
	switch {
	case err != nil:
		return false, err
	case !found:
		m.unknown = true
		fmt.Fprintf(m.w, "offset %d: nothing behind it is a transaction\n", from)
	default:
		fmt.Fprintf(m.w, "offset %d: the next whole transaction\n", s.Offset())
	}
	return found, nil
}

func (m *mender) finish() error {
	if m.FixCRC {
		fmt.Fprintf(m.w, "EOF reached after %d txns.\n", m.kept)
		if !m.InPlace {
			fmt.Fprintf(m.w, "Recovery file %s has been written with %d fixed CRC error(s)\n", m.target(), m.fixed)
		}
	}
	return m.summary()
}

// summary says what the mended log has and what it has not.
func (m *mender) summary() error {
	if m.kept > 0 {
		fmt.Fprintf(m.w, "kept: %d transactions, up to 0x%x\n", m.kept, m.last)
	} else {
		fmt.Fprintf(m.w, "kept: no transaction\n")
	}
	n := m.lost.count()
	switch {
	case n > 0:
		fmt.Fprintf(m.w, "given up: %d transactions, %v\n", n, m.lost)
	case m.unknown:
		fmt.Fprintf(m.w, "given up: no whole transaction, but bytes that may have been one after 0x%x\n", m.last)
	default:
		fmt.Fprintf(m.w, "given up: nothing\n")
	}
	if n > 0 && m.snapshot >= m.lost[0].first {
		fmt.Fprintf(m.w, "the newest snapshot has all transactions up to 0x%x, and a server starts from it\n", m.snapshot)
	}
	if !m.InPlace && strings.HasPrefix(filepath.Base(m.target()), "log.") {
		fmt.Fprintf(m.w, "written: %s; a server takes a file of this name for a log, so move it out of version-2 or use --in-place\n", m.target())
	} else if !m.InPlace {
		fmt.Fprintf(m.w, "written: %s\n", m.target())
	}
	return nil
}

// replace puts the mended file into the place of the log.
func (m *mender) replace(temp string) (path string, err error) {
	fs, dir := m.o.fs(), filepath.Dir(m.File)
	later, err := m.unreachable(dir)
	if err != nil {
		return "", err
	}
	swallowed, err := m.swallowed()
	if err != nil {
		return "", err
	}
	if !m.damaged && len(m.lost) == 0 && len(later) == 0 && !swallowed {
		fmt.Fprintf(m.w, "there is nothing to mend; %s is left as it is\n", m.File)
		return m.File, removeIfThere(fs, temp)
	}
	for _, f := range later {
		held, err := m.o.zxids(f.Path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(m.w, "given up: %s with %s, which no longer follows\n", filepath.Base(f.Path), held)
	}
	if m.Ask != nil {
		if err := m.w.Flush(); err != nil {
			return "", err
		}
		if yes, err := m.Ask(fmt.Sprintf("Replace %s (Yes/No) ? ", m.File)); err != nil || !yes {
			return "", errors.Join(err, fmt.Errorf("%s is left as it is", m.File))
		}
	}
	// The watermark would tell the server that acknowledged transactions are missing, which from here on is the operator's decision.
	if version, err := m.version(); err != nil {
		return "", err
	} else if version != "" {
		if err := txnlog.ForgetWatermark(fs, version); err != nil {
			return "", err
		}
	}
	for i := len(later) - 1; i >= 0; i-- { // the newest first: never a gap
		if err := m.putAside(later[i].Path); err != nil {
			return "", err
		}
	}
	if m.kept == 0 {
		if err := m.putAside(m.File); err != nil {
			return "", err
		}
		return "", removeIfThere(fs, temp)
	}
	backup := m.backup(m.File)
	if err := copyFile(fs, m.File, filepath.Join(dir, "quoll-tmp.backup"), backup); err != nil {
		return "", err
	}
	if err := errors.Join(fs.Rename(temp, m.File), fs.SyncDir(dir)); err != nil {
		return "", err
	}
	fmt.Fprintf(m.w, "the original is now %s\nwritten: %s\n", backup, m.File)
	return m.File, nil
}

// version is the directory of the log if it is a version-2 directory, with a watermark beside it, or else empty.
func (m *mender) version() (string, error) {
	dir, err := filepath.Abs(filepath.Dir(m.File))
	if err != nil || filepath.Base(dir) != "version-2" {
		return "", err
	}
	return dir, nil
}

// swallowed reports whether the log was once synced further than it goes now, and says so: its end is gone without a trace in it.
func (m *mender) swallowed() (bool, error) {
	dir, err := m.version()
	if err != nil || dir == "" {
		return false, err
	}
	mark, ok, err := txnlog.ReadWatermark(m.o.fs(), dir)
	if err != nil || !ok || mark.Offset == 0 || filepath.Base(mark.File) != filepath.Base(m.File) || mark.Zxid <= max(m.last, m.snapshot) {
		return false, err
	}
	fmt.Fprintf(m.w, "it was synced up to offset %d, zxid 0x%x\n", mark.Offset, mark.Zxid)
	return true, nil
}

// unreachable returns the later logs that a server would refuse behind the mended one.
func (m *mender) unreachable(dir string) ([]txnlog.NamedFile, error) {
	logs, err := txnlog.Logs(m.o.fs(), dir)
	if err != nil {
		return nil, err
	}
	reached := max(m.last, m.snapshot)
	own := txnlog.NameZxid(m.File)
	for i, f := range logs {
		if f.Zxid > own && f.Zxid > reached+1 && (len(m.lost) > 0 || m.unknown || !txnlog.Follows(f.Zxid, reached)) {
			return logs[i:], nil
		}
		if f.Zxid > own {
			break // what follows a file that follows is not this repair's business
		}
	}
	return nil, nil
}

// newestGood is the zxid of the newest snapshot in dir that is whole, 0 if there is none.
func (o Options) newestGood(dir string) (int64, error) {
	files, err := txnlog.Snapshots(o.fs(), dir)
	if err != nil {
		return 0, err
	}
	for _, f := range slices.Backward(files) {
		if _, err := txnlog.ReadSnapshot(o.fs(), f.Path, o.Limit, noSink{}); err == nil && f.Zxid > 0 {
			return f.Zxid, nil
		}
	}
	return 0, nil
}

// noSink takes a snapshot that is read for its checksums.
type noSink struct{}

func (noSink) Session(int64, int32)                                 {}
func (noSink) ACL(int64, []jute.ACL)                                {}
func (noSink) Node(string, []byte, int64, jute.StatPersisted) error { return nil }

// zxids says which transactions a log holds.
func (o Options) zxids(name string) (string, error) {
	var held spans
	err := o.eachRecord(name, func(_ *txnlog.LogScanner, rec txnlog.Record, d txnlog.Defect) error {
		if rec.Entry != nil && d != txnlog.NoEndMark {
			held.add(rec.Zxid, rec.Zxid)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrDamage) {
		return "", err
	}
	if len(held) == 0 {
		return "no transaction", nil
	}
	return held.String(), nil
}

func (m *mender) backup(path string) string {
	return filepath.Join(filepath.Dir(path), backupPrefix+filepath.Base(path)+"."+m.Now.UTC().Format("20060102T150405Z"))
}

// putAside gives a log a name that no server reads.
func (m *mender) putAside(path string) error {
	backup := m.backup(path)
	if exists(m.o.fs(), backup) {
		return fmt.Errorf("%s exists", backup)
	}
	if err := m.o.fs().Rename(path, backup); err != nil {
		return err
	}
	fmt.Fprintf(m.w, "%s is now %s\n", path, backup)
	return m.o.fs().SyncDir(filepath.Dir(path))
}

func exists(fs txnlog.FS, name string) bool {
	f, err := fs.Open(name)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func removeIfThere(fs txnlog.FS, name string) error {
	if !exists(fs, name) {
		return nil
	}
	return fs.Remove(name)
}

// copyFile copies a file to a temporary name, makes it durable and renames it.
func copyFile(fs txnlog.FS, from, temp, to string) (err error) {
	if exists(fs, to) {
		return fmt.Errorf("%s exists", to)
	}
	src, err := fs.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	size, err := src.Size()
	if err != nil {
		return err
	}
	dst, err := fs.Create(temp)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.NewOffsetWriter(dst, 0), io.NewSectionReader(src, 0, size)); err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err == nil {
		err = fs.Rename(temp, to)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(fs, temp))
	}
	return fs.SyncDir(filepath.Dir(to))
}

// logWriter writes records into a file of its own, not preallocated: it is written once.
type logWriter struct {
	file txnlog.File
	out  *bufio.Writer
	head []byte
}

func newLogWriter(fs txnlog.FS, name string) (*logWriter, error) {
	f, err := fs.Create(name)
	if err != nil {
		return nil, err
	}
	w := &logWriter{file: f, out: bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 1<<20)}
	_, err = w.out.WriteString("ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00")
	return w, err
}

func (w *logWriter) add(entry []byte) error {
	w.head = binary.BigEndian.AppendUint64(w.head[:0], uint64(adler32.Checksum(entry)))
	w.head = binary.BigEndian.AppendUint32(w.head, uint32(len(entry)))
	_, err1 := w.out.Write(w.head)
	_, err2 := w.out.Write(entry)
	return errors.Join(err1, err2, w.out.WriteByte('B'))
}

func (w *logWriter) close() error {
	return errors.Join(w.out.Flush(), w.file.Sync(), w.file.Close())
}
