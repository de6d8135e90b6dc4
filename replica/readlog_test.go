package replica

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
	"quoll/zab"
)

// countedFS counts the bytes that are read of logs.
type countedFS struct {
	txnlog.FS
	read *atomic.Int64
}

type countedFile struct {
	txnlog.File
	read *atomic.Int64
}

func (f countedFS) Open(name string) (txnlog.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || filepath.Base(name)[:4] != "log." {
		return file, err
	}
	return countedFile{file, f.read}, nil
}

func (f countedFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.read.Add(int64(n))
	return n, err
}

// large is a transaction with so much data.
func large(z int64, size int) zab.Record {
	txn := tree.Txn{Path: fmt.Sprintf("/%x", z), Data: make([]byte, size), ACL: []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}, ParentCVersion: -1}
	txn.Zxid, txn.Type = z, int32(jute.OpCreate)
	return zab.Record{Zxid: z, Data: txn.Append(nil)}
}

// fill logs a number of large transactions, in files of so many.
func fill(t testing.TB, m *Member, n, perFile, size int) (bytes int64) {
	t.Helper()
	for i := range n {
		if i%perFile == 0 {
			m.log.Roll()
		}
		r := large(int64(i+1), size)
		bytes += int64(len(r.Data))
		if err := m.Append([]zab.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// readOn reads from a zxid to the end as a learner does, that is some bytes at a time and each time from the last record that it has.
func readOn(t testing.TB, m *Member, from int64, size int) {
	t.Helper()
	for at := from; at < m.last; {
		read, err := m.ReadLog(at, size)()
		if err != nil || len(read.Records) < 2 || read.Records[0].Zxid != at {
			t.Fatalf("from %x: %d records, %v", at, len(read.Records), err)
		}
		for i, r := range read.Records {
			if r.Zxid != at+int64(i) {
				t.Fatalf("record %d from %x has the zxid %x", i, at, r.Zxid)
			}
		}
		at = read.Records[len(read.Records)-1].Zxid
	}
}

// TestReadLogOn has learners read a long log on. Each pays for what it reads, and not for what is in front of that.
func TestReadLogOn(t *testing.T) {
	disk := memfs.New()
	o := options(disk)
	read := new(atomic.Int64)
	o.FS = countedFS{disk, read}
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	size := fill(t, m, 2000, 1300, 10_000)
	for _, from := range []int64{1, 1, 900, 1900} {
		want := 2 * size * (m.last - from + 1) / m.last // a read ends within a chunk of the file, and the next one begins there anew
		if from > 1 {
			want += size / 50 // up to the place before
		}
		read.Store(0)
		readOn(t, m, from, 1<<20)
		if got := read.Load(); got > want {
			t.Errorf("from %d on %d bytes were read, more than %d", from, got, want)
		}
	}

	// What was remembered must not outlive the log that it is of.
	if err := m.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	readOn(t, m, 1, 1<<20)
	if read, err := m.ReadLog(1500, 1<<20)(); err != nil || len(read.Records) != 1 || read.Records[0].Zxid != 1000 {
		t.Errorf("behind the cut there are %d records, %v", len(read.Records), err)
	}
	for z := int64(1001); z < 1200; z++ {
		add(t, m, z) // smaller ones
	}
	readOn(t, m, 1, 1<<20)
	logs, err := txnlog.Logs(disk, testDir)
	if err != nil || len(logs) != 2 {
		t.Fatalf("%v, %v", logs, err)
	}
	if err := disk.Remove(logs[0].Path); err != nil { // as purging does
		t.Fatal(err)
	}
	if read, err := m.ReadLog(900, 1<<20)(); err != nil || len(read.Records) > 0 {
		t.Errorf("of a file that is gone: %d records, %v", len(read.Records), err)
	}
	readOn(t, m, 1001, 1<<20)
	if len(m.reader.places) != 1 {
		t.Errorf("places are remembered in %d files", len(m.reader.places))
	}
}

// TestReadLogAhead reads while more is appended: no record is given that was not durable when the read was asked for.
func TestReadLogAhead(t *testing.T) {
	m := open(t, memfs.New())
	add(t, m, 1, 2, 3)
	read := m.ReadLog(1, 1000)
	add(t, m, 4, 5)
	if got, err := read(); err != nil || len(got.Records) != 3 {
		t.Errorf("%d records, %v", len(got.Records), err)
	}
}

// BenchmarkReadLog reads a log of one file on, from its beginning to its end, 1 MiB at a time.
func BenchmarkReadLog(b *testing.B) {
	o := options(memfs.New())
	o.FS, o.StoreFS = txnlog.OS, nil
	o.DataDir = b.TempDir()
	o.DataLogDir = o.DataDir
	m, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	size := fill(b, m, 300_000, 1<<30, 1000)
	b.SetBytes(size)
	for b.Loop() {
		readOn(b, m, 1, 1<<20)
	}
}
