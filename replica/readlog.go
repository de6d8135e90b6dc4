package replica

import (
	"bytes"
	"errors"
	"slices"

	"quoll/txnlog"
	"quoll/zab"
)

// ReadLog reads records from the one with the greatest zxid <= from on, about so many bytes of them and at least two if there are two. It gives none if the
// log begins above from. later is the length of all log files behind the first one read, snapshot that of the newest snapshot.
func (m *Member) ReadLog(from int64, size int) (records []zab.Record, later, snapshot int64, err error) {
	logs, err := txnlog.Logs(m.o.FS, m.state.LogDir)
	if err != nil {
		return nil, 0, 0, err
	}
	logs = slices.DeleteFunc(logs, func(f txnlog.NamedFile) bool { return f.Zxid < 0 })
	first := 0
	for first < len(logs) && logs[first].Zxid <= from {
		first++
	}
	if first--; first < 0 {
		return nil, 0, 0, nil
	}
	enough := errors.New("enough was read")
	_, err = txnlog.ReadLogs(m.o.FS, m.state.LogDir, logs[first].Zxid, m.o.MaxEntry(), func(r txnlog.Record) error {
		if r.Zxid <= from {
			records = records[:0]
		} else if size <= 0 && len(records) >= 2 {
			return enough
		}
		size -= len(r.Entry)
		records = append(records, zab.Record{Zxid: r.Zxid, Data: bytes.Clone(r.Entry), Config: configOf(r.Entry)})
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, 0, 0, err
	}
	for _, f := range logs[first+1:] {
		later += m.sizeOf(f.Path)
	}
	if newest, err := txnlog.LikelySnapshots(m.o.FS, m.state.SnapDir); err == nil && len(newest) > 0 {
		snapshot = m.sizeOf(newest[0].Path)
	}
	return records, later, snapshot, nil
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
