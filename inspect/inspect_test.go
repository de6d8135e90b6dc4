package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

const storage = "../testdata/storage/"

// golden copies files of Apache ZooKeeper into a directory in memory, under names with the zxids that they belong to.
func golden(t *testing.T, files map[string]string) *disk {
	t.Helper()
	d := &disk{memfs.New(), t, nil}
	must(t, d.MkdirAll(dir))
	for from, to := range files {
		b, err := os.ReadFile(storage + from)
		must(t, err)
		d.write(filepath.Join(dir, to), b)
	}
	return d
}

// TestPrints compares with what Java's tools printed of the same files; compat/toolkit runs those beside ours.
func TestPrints(t *testing.T) {
	d := golden(t, map[string]string{"g1-log.1": "log.1", "g6-log.1": "log.1.g6", "g7-log.100000001": "log.100000001", "g2-snapshot.0": "snapshot.0", "g3-snapshot.1a": "snapshot.1a"})
	o := Options{FS: d, Location: time.UTC}
	const snapshot = dir + "/snapshot.1a"
	for file, print := range map[string]func(io.Writer) error{
		"g1-log":           func(w io.Writer) error { return PrintLog(w, dir+"/log.1", o) },
		"g6-log":           func(w io.Writer) error { return PrintLog(w, dir+"/log.1.g6", o) },
		"g7-log":           func(w io.Writer) error { return PrintLog(w, dir+"/log.100000001", o) },
		"g3-snapshot":      func(w io.Writer) error { return PrintSnapshot(w, snapshot, false, o) },
		"g3-snapshot-d":    func(w io.Writer) error { return PrintSnapshot(w, snapshot, true, o) },
		"g3-snapshot-json": func(w io.Writer) error { return PrintSnapshotJSON(w, snapshot, time.UnixMilli(1795292718057), o) },
		"g3-summary":       func(w io.Writer) error { return Summarize(w, snapshot, "/", 0, o) },
		"g2-g3-compare": func(w io.Writer) error {
			fmt.Fprintln(w, "Successfully parsed options!")
			return CompareSnapshots(w, Comparison{Left: dir + "/snapshot.0", Right: snapshot, Debug: true}, o)
		},
	} {
		want, err := os.ReadFile("testdata/" + file + ".txt")
		must(t, err)
		var got bytes.Buffer
		if err := print(&got); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if g := regexp.MustCompile(`[0-9.]+ seconds`).ReplaceAll(got.Bytes(), []byte("? seconds")); !bytes.Equal(g, want) {
			t.Errorf("%s:\n%s", file, g)
		}
	}
}

func TestVerifySnapshot(t *testing.T) {
	files := map[string]string{"g2-snapshot.0": "snapshot.0", "g3-snapshot.1a": "snapshot.1a", "g4-snapshot.1a.gz": "snapshot.1a.gz", "g5-snapshot.1a.snappy": "snapshot.1a.snappy"}
	d := golden(t, files)
	o := Options{FS: d}
	for _, name := range files {
		if v, err := VerifySnapshot(filepath.Join(dir, name), o); err != nil || v.Computed != 39185734156 && name != "snapshot.0" {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	whole := d.read(dir + "/snapshot.1a")
	// seal makes the checksums right again, of a snapshot with all its blocks.
	seal := func(b []byte) []byte {
		for _, at := range []int{len(b) - 67, len(b) - 34, len(b) - 13} {
			binary.BigEndian.PutUint64(b[at:], uint64(adler32.Checksum(b[:at])))
		}
		return b
	}
	flip := func(at int) []byte { b := slices.Clone(whole); b[at] ^= 1; return b }
	for _, c := range []struct {
		name, file string
		content    []byte
		says       string
	}{
		{"cut", "snapshot.1a", whole[:1000], "byte 956 of its content: the snapshot ends too early"},
		{"wrong bit", "snapshot.1a", flip(0x50c), "CRC check failed"},
		{"wrong data with right checksums", "snapshot.1a", seal(flip(0x61a)), "the digest of its znodes is"},
		{"child before its parent", "snapshot.1a", seal(bytes.Replace(whole, []byte("\x00\x00\x00\x02/m"), []byte("\x00\x00\x00\x02/x"), 1)), `znode "/m/k" comes before its parent`},
		{"twice", "snapshot.1a", seal(bytes.Replace(whole, []byte("\x00\x00\x00\x04/acl"), []byte("\x00\x00\x00\x04/eph"), 1)), `znode "/eph" comes twice`},
		{"a log", "snapshot.1a", []byte("ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"), "the header is not that of the file's kind"},
		{"plain, but named .gz", "snapshot.1a.gz", whole, "gzip"},
		{"fuzzy", "snapshot.10", seal(flip(0x61a)), ""},
	} {
		name := filepath.Join(dir, c.file)
		d.write(name, c.content)
		v, err := VerifySnapshot(name, o)
		switch {
		case c.says == "" && (err != nil || v.Verified):
			t.Errorf("%s: %v, %v", c.name, v, err)
		case c.says != "" && (!errors.Is(err, ErrDamage) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.name, err)
		}
		if c.says != "CRC check failed" {
			continue
		}
		// What is whole but for the checksum can still be looked at.
		var out bytes.Buffer
		if err := PrintSnapshot(&out, name, false, o); !errors.Is(err, ErrDamage) || !strings.HasSuffix(out.String(), "Last zxid: 0x1a\n") {
			t.Errorf("%s: printing says %v", c.name, err)
		}
	}
}

func TestVerifyLogs(t *testing.T) {
	const first, second = dir + "/log.1", dir + "/log.6"
	for _, c := range []struct {
		name   string
		damage func(d *disk, b []byte, at []int)
		beside Beside
		says   string
		bad    bool
	}{
		{name: "whole", says: "/data/version-2/log.1: 5 transactions, 0x1 to 0x5, 536 bytes\n/data/version-2/log.6: 5 transactions, 0x6 to 0xa, 537 bytes\n"},
		{name: "a gap", damage: func(d *disk, b []byte, at []int) { d.write(first, b[:at[3]]) },
			says: "log.6: offset 16, zxid 0x6: transactions behind 0x3 are missing; a server does not start with it", bad: true},
		{name: "a gap below a snapshot", damage: func(d *disk, b []byte, at []int) { d.write(first, b[:at[3]]) }, beside: Beside{Snapshot: 5},
			says: "log.6: offset 16, zxid 0x6: transactions behind 0x3 are not in the logs; the snapshot 0x5 has them"},
		{name: "torn, with a file behind", damage: func(d *disk, b []byte, at []int) { d.write(first, b[:at[4]+40]) },
			says: "log.1: offset 432: the file ends inside a record, and 40 bytes follow: an incomplete end, as a crash leaves it", bad: true},
		{name: "a checksum", damage: func(d *disk, b []byte, at []int) { b[at[2]] = 1; d.write(first, b) },
			says: "log.1: offset 224, zxid 0x3: a record has a wrong checksum; a server does not start with it", bad: true},
		{name: "a hole", damage: func(d *disk, b []byte, at []int) { clear(b[at[2]:at[3]]); d.write(first, b) },
			says: "log.1: offset 224: a record has length 0, and 312 bytes follow with transactions from offset 328, zxid 0x4; a server leaves them out", bad: true},
		{name: "a length", damage: func(d *disk, b []byte, at []int) { b[at[2]+8] = 0x80; d.write(first, b) },
			says: "log.1: offset 224: a record has an impossible length", bad: true},
		{name: "an unknown type", damage: func(d *disk, b []byte, at []int) {
			binary.BigEndian.PutUint32(b[at[2]+12+28:], 77)
			binary.BigEndian.PutUint64(b[at[2]:], uint64(adler32.Checksum(b[at[2]+12:at[3]-1])))
			d.write(first, b)
		}, says: "log.1: offset 224, zxid 0x3: transaction 0x3 of type 77 (unknown 77): no such type", bad: true},
		{name: "a header", damage: func(d *disk, b []byte, at []int) { b[0] = 'X'; d.write(first, b) },
			says: "log.1: offset 0: the file does not begin as a transaction log does", bad: true},
		{name: "an empty newest log", damage: func(d *disk, b []byte, at []int) { d.write(second, nil) }, says: "log.6: empty; a server removes it at its start"},
		{name: "a torn end", damage: func(d *disk, b []byte, at []int) { c := d.read(second); d.write(second, c[:len(c)-9]) },
			says: "an incomplete end, as a crash leaves it; a server cuts it at its start"},
		{name: "an end that is gone", damage: func(d *disk, b []byte, at []int) { c := d.read(second); d.write(second, c[:places(c)[3]]) },
			beside: Beside{Mark: &txnlog.Watermark{File: second, Offset: 537, Zxid: 10}}, says: "log.6: ends at 0x8, but was synced up to offset 537, zxid 0xa; quoll does not start with it", bad: true},
		{name: "rubbish behind what was synced", damage: func(d *disk, b []byte, at []int) { d.write(second, append(d.read(second), d.read(second)[16+8:]...)) },
			beside: Beside{Mark: &txnlog.Watermark{File: second, Offset: 537, Zxid: 10}}, says: "it is behind what was synced, so nothing in it was acknowledged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, 5, 5)
			b := d.read(first)
			if c.damage != nil {
				c.damage(d, b, places(b))
			}
			var out strings.Builder
			report, err := VerifyLogs(&out, []string{first, second}, c.beside, Options{FS: d})
			must(t, err)
			if report.Damaged != c.bad || !strings.Contains(out.String(), c.says) {
				t.Errorf("damaged: %v\n%s", report.Damaged, &out)
			}
		})
	}
}

// openedFS notes which files are opened.
type openedFS struct {
	txnlog.FS
	names []string
}

func (f *openedFS) Open(name string) (txnlog.File, error) {
	f.names = append(f.names, filepath.Base(name))
	return f.FS.Open(name)
}

func TestFind(t *testing.T) {
	d := newDisk(t, 10, 10, 300, 10)
	files, err := txnlog.Logs(d, dir)
	must(t, err)
	session := int64(0x100000000000001)
	other := int64(2)
	at := func(zxid int64) time.Time { return time.UnixMilli(1795292718000 + 60000*zxid) }
	for _, c := range []struct {
		name  string
		q     Query
		found int64
		reads string
	}{
		{"all", Query{}, 330, "log.1 log.b log.15 log.141"},
		{"one zxid", Query{From: 11, To: 11}, 1, "log.b"},
		{"from a zxid", Query{From: 321}, 10, "log.141"},
		{"to a zxid", Query{To: 10}, 10, "log.1"},
		{"time", Query{Since: at(200), Until: at(202)}, 3, "log.1 log.b log.15 log.141 log.b log.15 log.15"},
		{"path", Query{Path: "/n7"}, 1, "log.1 log.b log.15 log.141"},
		{"below a path", Query{Path: "/", Recursive: true, From: 321}, 10, "log.141"},
		{"not below its namesakes", Query{Path: "/n3", Recursive: true}, 1, "log.1 log.b log.15 log.141"},
		{"session", Query{Session: &session, To: 3}, 3, "log.1"},
		{"another session", Query{Session: &other}, 0, "log.1 log.b log.15 log.141"},
	} {
		seen := &openedFS{FS: d}
		var out strings.Builder
		n, err := FindLog(&out, files, c.q, Options{FS: seen})
		if err != nil || n != c.found || strings.Count(out.String(), "zxid") != int(n) {
			t.Errorf("%s: %d and %v\n%s", c.name, n, err, &out)
		}
		if reads := strings.Join(seen.names, " "); reads != c.reads && c.name != "time" {
			t.Errorf("%s: reads %s", c.name, reads)
		} else if c.name == "time" && slices.Contains(seen.names[len(seen.names)-1:], "log.1") {
			t.Errorf("%s: reads %s", c.name, reads)
		}
	}
}

func TestFindNamesEveryPath(t *testing.T) {
	d := golden(t, map[string]string{"g1-log.1": "log.1"})
	files := []txnlog.NamedFile{{Path: dir + "/log.1", Zxid: 1}}
	for path, want := range map[string][]string{
		"/m/k":     {"0x12"},               // in a multi
		"/eph2":    {"0xf", "0x1a"},        // in a closeSession
		"/p/empty": {"0x4", "0x12"},        // a delete in a multi
		"/café":    {"0xc"},                // more than ASCII
		"/acl":     {"0x9"},                //
		"/p":       {"0x2", "0xb", "0x12"}, // a check as well
		"/none":    nil,
	} {
		var out strings.Builder
		_, err := FindLog(&out, files, Query{Path: path}, Options{FS: d})
		must(t, err)
		var got []string
		for _, m := range regexp.MustCompile(` zxid (\w+) `).FindAllStringSubmatch(out.String(), -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
	}
}

func TestParseZxids(t *testing.T) {
	for text, want := range map[string][2]int64{"5": {5, 5}, "0x1a": {26, 26}, "0x1-0x100000005": {1, 0x100000005}, "7-": {7, 0}, "-9": {0, 9}} {
		if from, to, err := ParseZxids(text); err != nil || from != want[0] || to != want[1] {
			t.Errorf("%s: %d, %d, %v", text, from, to, err)
		}
	}
	for _, text := range []string{"", "-", "x", "1a", "5-4", "1-2-3", "0x8000000000000000"} {
		if from, to, err := ParseZxids(text); err == nil {
			t.Errorf("%q: %d, %d", text, from, to)
		}
	}
}

func TestParseTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-21":                   "2026-11-21T00:00:00.000 2026-11-21T23:59:59.999",
		"2026-11-21 20:25":             "2026-11-21T20:25:00.000 2026-11-21T20:25:59.999",
		"2026-11-21 20:25:17":          "2026-11-21T20:25:17.000 2026-11-21T20:25:17.999",
		"2026-11-21T21:25:17+01:00":    "2026-11-21T20:25:17.000 2026-11-21T20:25:17.999",
		"2026-11-21..2026-11-22 01:00": "2026-11-21T00:00:00.000 2026-11-22T01:00:59.999",
		"2026-11-21 20:25..":           "2026-11-21T20:25:00.000 0001-01-01T00:00:00.000",
		"..2026-11-21T20:25:17":        "0001-01-01T00:00:00.000 2026-11-21T20:25:17.999",
	} {
		const layout = "2006-01-02T15:04:05.000"
		since, until, err := ParseTimes(text, time.UTC)
		if got := since.UTC().Format(layout) + " " + until.UTC().Format(layout); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "..", "yesterday", "2026-11-22..2026-11-21", "2026-13-01"} {
		if since, until, err := ParseTimes(text, time.UTC); err == nil {
			t.Errorf("%q: %v, %v", text, since, until)
		}
	}
}

// Whatever the bytes are, there is an error and no more.
func TestRubbish(t *testing.T) {
	d := golden(t, map[string]string{"g1-log.1": "log.1", "g3-snapshot.1a": "snapshot.1a"})
	const elsewhere = "/elsewhere/snapshot.1a"
	must(t, d.MkdirAll("/elsewhere"))
	log, snapshot := d.read(dir+"/log.1"), d.read(dir+"/snapshot.1a")
	must(t, d.Remove(dir+"/snapshot.1a"))
	o := Options{FS: d}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		b := slices.Clone(log)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if at := places(log)[rng.IntN(26)]; rng.IntN(2) == 0 { // damage that the checksum does not tell of
			n := int(binary.BigEndian.Uint32(log[at+8:]))
			copy(b[at+8:], log[at+8:at+12])
			b[at+12+n] = 'B'
			binary.BigEndian.PutUint64(b[at:], uint64(adler32.Checksum(b[at+12:at+12+n])))
		}
		d.write(dir+"/log.1", b[:rng.IntN(len(b)+1)])
		_ = PrintLog(io.Discard, dir+"/log.1", o)
		_, err := VerifyLogs(io.Discard, []string{dir + "/log.1"}, Beside{}, o)
		must(t, err)
		_, _ = FindLog(io.Discard, []txnlog.NamedFile{{Path: dir + "/log.1", Zxid: 1}}, Query{Path: "/p"}, o)
		for _, fix := range []bool{false, true} {
			var said, found strings.Builder
			if path, err := RepairLog(&said, Repair{File: dir + "/log.1", FixCRC: fix}, o); err == nil {
				report, err := VerifyLogs(&found, []string{path}, Beside{}, o)
				if must(t, err); report.Damaged {
					t.Fatalf("the mended log is damaged:\n%s\n%s", &said, &found)
				}
				must(t, d.Remove(path))
			}
		}
		c := slices.Clone(snapshot)
		c[rng.IntN(len(c))] = byte(rng.Uint32())
		d.write(elsewhere, c[:len(c)-rng.IntN(2)*rng.IntN(len(c))])
		_ = PrintSnapshot(io.Discard, elsewhere, true, o)
		_ = PrintSnapshotJSON(io.Discard, elsewhere, time.Time{}, o)
		_, _ = VerifySnapshot(elsewhere, o)
		_ = Summarize(io.Discard, elsewhere, "/", 0, o)
	}
}

// TestBoundedMemory reads files of 64 MB, of which no part may stay.
func TestBoundedMemory(t *testing.T) {
	dir := t.TempDir()
	big := tree.New()
	data := make([]byte, 1<<20)
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir})
	var result tree.Result
	for zxid := int64(1); zxid <= 64; zxid++ {
		txn := tree.Txn{TxnHeader: jute.TxnHeader{Zxid: zxid, Type: int32(jute.OpCreate)}, Path: fmt.Sprintf("/n%d", zxid), Data: data, ACL: tree.OpenACL, ParentCVersion: int32(zxid)}
		big.Apply(&txn, &result, nil)
		log.Append(zxid, txn.Append(nil))
		must(t, log.Sync())
	}
	must(t, log.Close())
	snapshot, _, err := WriteState(big, dir, "", txnlog.Plain, Options{})
	must(t, err)
	big = nil
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	before, most := heap.HeapAlloc, uint64(0)
	writes := 0
	w := writerFunc(func(p []byte) (int, error) {
		if writes++; writes%16 == 1 {
			runtime.ReadMemStats(&heap)
			most = max(most, heap.HeapAlloc)
		}
		return len(p), nil
	})
	o := Options{Limit: 4 << 20}
	must(t, PrintLog(w, dir+"/log.1", o))
	_, err = VerifyLogs(w, []string{dir + "/log.1"}, Beside{}, o)
	must(t, err)
	must(t, PrintSnapshot(w, snapshot, true, o))
	_, err = VerifySnapshot(snapshot, o)
	must(t, err)
	if grown := int64(most) - int64(before); grown > 40<<20 {
		t.Errorf("%d MB of the heap were in use", grown>>20)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
