package txnlog_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

const (
	storage = "../testdata/storage"
	dir     = "/data/version-2"

	goldenZxid   = 0x1a
	goldenDigest = 39185734156
	goldenNodes  = 20 // Java counts the root twice
)

// golden returns a file that Apache ZooKeeper wrote.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(storage, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is a log record found by a second, simpler parser than the package's.
type record struct {
	at    int
	entry []byte
}

func (r record) zxid() int64 { return int64(binary.BigEndian.Uint64(r.entry[12:])) }

func (r record) end() int { return r.at + 12 + len(r.entry) + 1 }

func recordsOf(log []byte) (recs []record) {
	for at := 16; at < len(log); {
		n := int(binary.BigEndian.Uint32(log[at+8:]))
		if n == 0 {
			break
		}
		r := record{at, log[at+12 : at+12+n]}
		recs = append(recs, r)
		at = r.end()
	}
	return recs
}

// logOf frames entries into the bytes of a log.
func logOf(entries ...[]byte) []byte {
	b := []byte("ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(e)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e)))
		b = append(append(b, e...), 'B')
	}
	return b
}

func entriesOf(recs []record) (entries [][]byte) {
	for _, r := range recs {
		entries = append(entries, r.entry)
	}
	return entries
}

// diskWith returns a file system with these files in the data directory.
func diskWith(files map[string][]byte) *memfs.FS {
	disk := memfs.New()
	if err := errors.Join(disk.MkdirAll(dir), disk.SyncDir("/"), disk.SyncDir(filepath.Dir(dir))); err != nil {
		panic(err)
	}
	for name, content := range files {
		disk.WriteFile(filepath.Join(dir, name), content)
	}
	return disk
}

// loaded is the state after a start.
type loaded struct {
	tree       *tree.Tree
	snapshot   txnlog.SnapshotInfo
	logs       txnlog.ReadResult
	zxid       int64
	mismatches int
}

// load starts from a directory as a server does.
func load(fs txnlog.FS) (l loaded, err error) {
	var loader *tree.Loader
	info, ok, err := txnlog.LoadNewestSnapshot(fs, dir, 0, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	if err != nil {
		return l, err
	}
	l.snapshot, l.zxid = info, info.Zxid
	if ok {
		if l.tree, err = loader.Finish(); err != nil {
			return l, err
		}
		if info.HasDigest && info.DigestZxid == info.Zxid && info.Zxid > 0 && info.Digest != l.tree.Digest() {
			l.mismatches++
		}
	}
	compare := !info.HasDigest || info.DigestZxid <= info.Zxid
	l.logs, err = txnlog.ReplayLogs(fs, dir, info.Zxid, ok, 0, func(r txnlog.Record) error {
		if !ok {
			return errors.New("No snapshot found, but there are log entries. Something is broken!")
		}
		txn, err := tree.DecodeTxn(bytes.Clone(r.Entry))
		if err != nil {
			return err
		}
		var result tree.Result
		l.tree.Apply(&txn, &result, nil)
		if compare && txn.HasDigest && txn.Digest != l.tree.Digest() {
			l.mismatches++
		}
		compare = compare || txn.Zxid >= info.DigestZxid
		return nil
	})
	l.zxid = max(l.zxid, l.logs.LastZxid)
	return l, err
}

func TestGoldenSums(t *testing.T) {
	f, err := os.Open(filepath.Join(storage, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		if got := sha256.Sum256(golden(t, name)); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s has SHA-256 %x, not %s", name, got, sum)
		}
	}
	if n != 7 {
		t.Errorf("%d golden files, not 7", n)
	}
}

// A log that is read and written again, its entries decoded and encoded on the way, is the same file.
func TestGoldenLogs(t *testing.T) {
	for _, c := range []struct {
		file, name string
		padded     int // the file as Java had it, with preAllocSize=64
		records    int64
		last       int64
	}{
		{"g1-log.1", "log.1", 65552, 26, 0x1a},
		{"g6-log.1", "log.1", 65552, 0, 0},
		{"g7-log.100000001", "log.100000001", 65552, 29, 0x10000001d},
	} {
		t.Run(c.file, func(t *testing.T) {
			want := golden(t, c.file)
			for _, padding := range []int{0, c.padded - len(want)} {
				disk := diskWith(map[string][]byte{c.name: append(want[:len(want):len(want)], make([]byte, padding)...)})
				out := diskWith(nil)
				log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: out, PreAlloc: 64 << 10, ForceSync: true})
				var offsets []int64
				res, err := txnlog.ReadLogs(disk, dir, 0, 0, func(r txnlog.Record) error {
					txn, err := tree.DecodeTxn(r.Entry)
					if err != nil {
						return err
					}
					again := txn.Append(nil)
					if !bytes.Equal(again, r.Entry) {
						return fmt.Errorf("encodes to %x, not %x", again, r.Entry)
					}
					log.Append(r.Zxid, again)
					offsets = append(offsets, r.Offset)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if res.Tail != nil || res.Backwards != 0 || c.records > 0 && (res.Records != c.records || res.LastZxid != c.last) {
					t.Errorf("read %+v", res)
				}
				for i, r := range recordsOf(want) {
					if offsets[i] != int64(r.at) {
						t.Errorf("record 0x%x at offset %d, not %d", r.zxid(), offsets[i], r.at)
					}
				}
				if err := log.Sync(); err != nil {
					t.Fatal(err)
				}
				got, err := out.ReadFile(filepath.Join(dir, c.name))
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != c.padded || !bytes.Equal(got[:len(want)], want) || len(bytes.Trim(got[len(want):], "\x00")) != 0 {
					t.Errorf("wrote %d bytes that are not the golden ones with zeros up to %d", len(got), c.padded)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if got, err = out.ReadFile(filepath.Join(dir, c.name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("after Close there are %d bytes, %v", len(got), err)
				}
			}
		})
	}
}

// notes is a sink that keeps what it gets, for writing it again.
type notes struct {
	sessions []txnlog.Session
	acls     []txnlog.ACLList
	nodes    [][]byte
}

func (n *notes) Session(id int64, timeout int32) {
	n.sessions = append(n.sessions, txnlog.Session{ID: id, Timeout: timeout})
}

func (n *notes) ACL(number int64, acl []jute.ACL) {
	n.acls = append(n.acls, txnlog.ACLList{Number: number, ACL: acl})
}

func (n *notes) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	n.nodes = append(n.nodes, txnlog.AppendNode(nil, path, data, acl, &stat))
	return nil
}

func (n *notes) source(digest *txnlog.SnapshotDigest, last *int64) txnlog.SnapshotSource {
	next := 0
	src := txnlog.SnapshotSource{Sessions: n.sessions, ACLs: n.acls, Nodes: func(b []byte) ([]byte, bool, error) {
		b = append(b, n.nodes[next]...)
		next++
		return b, next < len(n.nodes), nil
	}}
	if digest != nil {
		src.Digest = func() txnlog.SnapshotDigest { return *digest }
	}
	if last != nil {
		src.LastZxid = func() int64 { return *last }
	}
	return src
}

func readNotes(t testing.TB, fs txnlog.FS) (*notes, txnlog.SnapshotInfo) {
	t.Helper()
	var n *notes
	info, ok, err := txnlog.LoadNewestSnapshot(fs, dir, 0, func() txnlog.SnapshotSink {
		n = &notes{}
		return n
	})
	if err != nil || !ok || len(info.Skipped) > 0 {
		t.Fatal("not loaded: ", ok, info, err)
	}
	return n, info
}

func gunzip(t testing.TB, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// A snapshot that is read and written again is the same file, and the compressed forms hold the same bytes.
func TestGoldenSnapshots(t *testing.T) {
	g4 := gunzip(t, golden(t, "g4-snapshot.1a.gz"))
	for _, c := range []struct {
		file, name string
		plain      []byte
		zxid, at   int64
		sum        int64
	}{
		{"g2-snapshot.0", "snapshot.0", golden(t, "g2-snapshot.0"), 0, 0, 0},
		{"g3-snapshot.1a", "snapshot.1a", golden(t, "g3-snapshot.1a"), goldenZxid, goldenZxid, goldenDigest},
		{"g4-snapshot.1a.gz", "snapshot.1a.gz", g4, goldenZxid, 0, 0},
		{"g5-snapshot.1a.snappy", "snapshot.1a.snappy", g4, goldenZxid, 0, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			n, info := readNotes(t, diskWith(map[string][]byte{c.name: golden(t, c.file)}))
			if info.Zxid != c.zxid || !info.HasDigest || info.DigestZxid != c.at || info.Digest != c.sum || info.Nodes != len(n.nodes) || info.Sessions != len(n.sessions) {
				t.Errorf("read %+v", info)
			}
			for _, mode := range []txnlog.Compression{txnlog.Plain, txnlog.Gzip, txnlog.Snappy} {
				last := info.Zxid
				if info.DigestZxid == 0 { // of a restart without transactions
					last = c.zxid
				}
				out := diskWith(nil)
				path, size, err := txnlog.WriteSnapshot(out, dir, info.Zxid, mode, n.source(&txnlog.SnapshotDigest{Zxid: info.DigestZxid, Digest: info.Digest}, &last))
				if err != nil {
					t.Fatal(err)
				}
				got, err := out.ReadFile(path)
				if err != nil || int64(len(got)) != size {
					t.Fatal(len(got), size, err)
				}
				switch mode {
				case txnlog.Plain:
				case txnlog.Gzip:
					got = gunzip(t, got)
				case txnlog.Snappy:
					again, _ := readNotes(t, out)
					if fmt.Sprint(again) != fmt.Sprint(n) {
						t.Error("the snappy form reads back as something else")
					}
					continue
				}
				if !bytes.Equal(got, c.plain) {
					t.Errorf("mode %q: wrote %d bytes that differ from the %d golden ones", mode, len(got), len(c.plain))
				}
			}
		})
	}
}

// Every way to the state of the golden files gives the same tree.
func TestGoldenTree(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"log after snapshot.0": {"snapshot.0": golden(t, "g2-snapshot.0"), "log.1": golden(t, "g1-log.1")},
		"snapshot":             {"snapshot.1a": golden(t, "g3-snapshot.1a")},
		"gzip":                 {"snapshot.1a.gz": golden(t, "g4-snapshot.1a.gz")},
		"snappy":               {"snapshot.1a.snappy": golden(t, "g5-snapshot.1a.snappy")},
		"all":                  {"snapshot.1a": golden(t, "g3-snapshot.1a"), "snapshot.0": golden(t, "g2-snapshot.0"), "log.1": golden(t, "g1-log.1")},
	} {
		l, err := load(diskWith(files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if l.zxid != goldenZxid || l.tree.Digest() != goldenDigest || l.tree.Len() != goldenNodes || l.mismatches != 0 {
			t.Errorf("%s: zxid 0x%x, digest %d, %d nodes, %d mismatches", name, l.zxid, l.tree.Digest(), l.tree.Len(), l.mismatches)
		}
	}
}
