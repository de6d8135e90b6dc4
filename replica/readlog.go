package replica

import (
	"bytes"
	"errors"
	"slices"

	"quoll/txnlog"
	"quoll/zab"
)

// ReadLog reads records from the one with the greatest zxid <= from on, about so many bytes of them and at least two if there are two. It gives none if the
// log begins above from, or is whole only from a later one on. The link is the caller's to fill in.
func (m *Member) ReadLog(from int64, size int) (read zab.LogRead, err error) {
	logs, err := txnlog.Logs(m.o.FS, m.state.LogDir)
	if err != nil {
		return read, err
	}
	logs = slices.DeleteFunc(logs, func(f txnlog.NamedFile) bool { return f.Zxid < 0 })
	if err := m.lookForHoles(logs); err != nil || from <= m.whole {
		return read, err
	}
	first := 0
	for first < len(logs) && logs[first].Zxid <= from {
		first++
	}
	if first--; first < 0 {
		return read, nil
	}
	enough, left := errors.New("enough was read"), size
	_, err = txnlog.ReadLogs(m.o.FS, m.state.LogDir, logs[first].Zxid, m.o.MaxEntry(), func(r txnlog.Record) error {
		switch {
		case r.Zxid <= m.whole:
			return nil
		case r.Zxid <= from:
			read.Records, left = read.Records[:0], size // what is before it was only read on the way
		case len(read.Records) == 0, left <= 0 && len(read.Records) >= 2:
			return enough
		}
		left -= len(r.Entry)
		record, _ := zab.RecordOf(r.Zxid, bytes.Clone(r.Entry))
		read.Records = append(read.Records, record)
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return zab.LogRead{}, err
	}
	for _, f := range logs[first+1:] {
		read.LaterBytes += m.sizeOf(f.Path)
	}
	if newest, err := txnlog.LikelySnapshots(m.o.FS, m.state.SnapDir); err == nil && len(newest) > 0 {
		read.SnapshotBytes = m.sizeOf(newest[0].Path)
	}
	return read, nil
}

// lookForHoles finds out from where on the log is whole, once. It lacks transactions that are only in a snapshot, if a loss of power came while that was put in its
// place, or if ZooKeeper ran here, which leaves the log from before a SNAP where it is. Where an epoch ends nothing else tells. The snapshot is still there as long as
// the log before it is.
func (m *Member) lookForHoles(logs []txnlog.NamedFile) error {
	if m.whole != 0 {
		return nil
	}
	snapshots, err := txnlog.Snapshots(m.o.FS, m.state.SnapDir)
	if err != nil {
		return err
	}
	m.whole = -1
	for _, s := range slices.Backward(snapshots) {
		i := len(logs) - 1
		for i >= 0 && logs[i].Zxid > s.Zxid {
			i--
		}
		if i < 0 {
			break // the log begins behind it
		}
		found, passed := false, errors.New("passed it")
		_, err := txnlog.ReadLogs(m.o.FS, m.state.LogDir, logs[i].Zxid, m.o.MaxEntry(), func(r txnlog.Record) error {
			if found = r.Zxid == s.Zxid; r.Zxid >= s.Zxid {
				return passed
			}
			return nil
		})
		if err != nil && !errors.Is(err, passed) && !errors.Is(err, txnlog.ErrGap) {
			return err
		}
		if !found {
			m.whole = s.Zxid
			break
		}
	}
	return nil
}

// sizeOf is the length of a file, 0 if that is not known.
func (m *Member) sizeOf(name string) int64 {
	f, err := m.o.FS.Open(name)
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
