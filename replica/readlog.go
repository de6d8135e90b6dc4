package replica

import (
	"errors"
	"maps"
	"slices"
	"sort"

	"quoll/txnlog"
	"quoll/zab"
)

// placeEvery is how many bytes of a log there are between two places that are remembered of it.
const placeEvery = 256 << 10

// logReader reads the log for learners. A learner that reads on pays for what it reads, and not for what is in front of that. It belongs to the log as it was when it
// was made: a cut or a new beginning makes another one.
type logReader struct {
	o               *Options
	snapDir, logDir string
	whole           int64              // behind it the log has no hole; 0 if nobody has looked
	places          map[string][]place // by file; zxids and offsets rise
}

// newLogReader makes the reader of the log as it is now, which has no hole behind whole; 0 if that is not known.
func (m *Member) newLogReader(whole int64) *logReader {
	return &logReader{o: m.o, snapDir: m.state.SnapDir, logDir: m.state.LogDir, whole: whole, places: map[string][]place{}}
}

// place is where a record begins in its file.
type place struct{ zxid, offset int64 }

// ReadLog returns what reads records from the one with the greatest zxid <= from on, about so many bytes of them and at least two if there are two. It gives none if
// the log begins above from, or is whole only from a later one on. The link is the caller's to fill in. Everything that was appended must be durable. What is
// returned may be run by another goroutine, beside later calls of the Member but Truncate, Install, Reload and Close.
func (m *Member) ReadLog(from int64, size int) func() (zab.LogRead, error) {
	r, last := m.reader, m.last
	return func() (zab.LogRead, error) { return r.read(from, last, size) }
}

// read reads no further than last: what is behind it is being written.
func (l *logReader) read(from, last int64, size int) (read zab.LogRead, err error) {
	logs, err := txnlog.Logs(l.o.FS, l.logDir)
	if err != nil {
		return read, err
	}
	logs = slices.DeleteFunc(logs, func(f txnlog.NamedFile) bool { return f.Zxid < 0 })
	maps.DeleteFunc(l.places, func(file string, _ []place) bool {
		return !slices.ContainsFunc(logs, func(f txnlog.NamedFile) bool { return f.Path == file })
	})
	if err := l.lookForHoles(logs); err != nil || from <= l.whole {
		return read, err
	}
	first := fileOf(logs, from)
	if first < 0 {
		return read, nil
	}
	file, enough, left := logs[first].Path, errors.New("enough was read"), size
	_, err = txnlog.ReadLogsAt(l.o.FS, file, l.before(file, from), l.o.MaxEntry(), func(r txnlog.Record) error {
		l.note(&r)
		var data []byte
		switch {
		case r.Zxid <= l.whole:
			return nil
		case r.Zxid <= from: // what is before it was only read on the way, and leaves its room
			if len(read.Records) > 0 {
				data = read.Records[0].Data[:0]
			}
			read.Records, left = read.Records[:0], size
		case len(read.Records) == 0, left <= 0 && len(read.Records) >= 2:
			return enough
		}
		left -= len(r.Entry)
		record, _ := zab.RecordOf(r.Zxid, append(data, r.Entry...))
		read.Records = append(read.Records, record)
		if r.Zxid >= last {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return zab.LogRead{}, err
	}
	for _, f := range logs[first+1:] {
		read.LaterBytes += l.sizeOf(f.Path)
	}
	if newest, err := txnlog.LikelySnapshots(l.o.FS, l.snapDir); err == nil && len(newest) > 0 {
		read.SnapshotBytes = l.sizeOf(newest[0].Path)
	}
	return read, nil
}

// note remembers the place of a record if there is none near it.
func (l *logReader) note(r *txnlog.Record) {
	known := l.places[r.File]
	if len(known) == 0 || r.Zxid > known[len(known)-1].zxid && r.Offset >= known[len(known)-1].offset+placeEvery {
		l.places[r.File] = append(known, place{r.Zxid, r.Offset})
	}
}

// before returns the last place in a file that is known to be at or before a zxid.
func (l *logReader) before(file string, zxid int64) int64 {
	known := l.places[file]
	if i := sort.Search(len(known), func(i int) bool { return known[i].zxid > zxid }); i > 0 {
		return known[i-1].offset
	}
	return 0
}

// lookForHoles finds out from where on the log is whole, once. It lacks transactions that are only in a snapshot, if a loss of power came while that was put in its
// place, or if ZooKeeper ran here, which leaves the log from before a SNAP where it is. Where an epoch ends nothing else tells. The snapshot is still there as long as
// the log before it is.
func (l *logReader) lookForHoles(logs []txnlog.NamedFile) error {
	if l.whole != 0 {
		return nil
	}
	snapshots, err := txnlog.Snapshots(l.o.FS, l.snapDir)
	if err != nil {
		return err
	}
	whole := int64(-1)
	for _, s := range slices.Backward(snapshots) {
		i := fileOf(logs, s.Zxid)
		if i < 0 {
			break // the log begins behind it
		}
		found, passed := false, errors.New("passed it")
		_, err := txnlog.ReadLogsAt(l.o.FS, logs[i].Path, 0, l.o.MaxEntry(), func(r txnlog.Record) error {
			if found = r.Zxid == s.Zxid; r.Zxid >= s.Zxid {
				return passed
			}
			return nil
		})
		if err != nil && !errors.Is(err, passed) && !errors.Is(err, txnlog.ErrGap) {
			return err
		}
		if !found {
			whole = s.Zxid
			break
		}
	}
	l.whole = whole
	return nil
}

// fileOf is the index of the file that a zxid is in, if it is in any; -1 if all begin behind it.
func fileOf(logs []txnlog.NamedFile, zxid int64) int {
	return sort.Search(len(logs), func(i int) bool { return logs[i].Zxid > zxid }) - 1
}

// sizeOf is the length of a file, 0 if that is not known.
func (l *logReader) sizeOf(name string) int64 {
	f, err := l.o.FS.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0
	}
	return size
}
