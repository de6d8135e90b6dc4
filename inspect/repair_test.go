package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
)

const dir = "/data/version-2"

// disk is a data directory in memory with logs that a quoll server has written.
type disk struct {
	*memfs.FS
	t    *testing.T
	tree *tree.Tree
}

// newDisk has one log for each count, with so many transactions, and the snapshot of an empty tree.
func newDisk(t *testing.T, counts ...int) *disk {
	t.Helper()
	d := &disk{memfs.New(), t, tree.New()}
	must(t, errors.Join(d.MkdirAll(dir), d.SyncDir("/"), d.SyncDir("/data")))
	d.snapshot()
	log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, FS: d, ForceSync: true, PreAlloc: 4096})
	zxid := int64(0)
	for _, n := range counts {
		for range n {
			zxid++
			log.Append(zxid, d.create(zxid))
			must(t, log.Sync())
		}
		log.Roll()
	}
	must(t, log.Close())
	return d
}

// create applies the transaction of a zxid and returns its log entry.
func (d *disk) create(zxid int64) []byte {
	txn := tree.Txn{
		TxnHeader: jute.TxnHeader{ClientID: 0x100000000000001, Cxid: int32(zxid), Zxid: zxid, Time: 1795292718000 + 60000*zxid, Type: int32(jute.OpCreate)},
		Path:      fmt.Sprintf("/n%d", zxid), Data: []byte("data"), ACL: tree.OpenACL, ParentCVersion: int32(zxid),
	}
	var result tree.Result
	d.tree.Apply(&txn, &result, nil)
	txn.Digest, txn.HasDigest = d.tree.Digest(), true
	return txn.Append(nil)
}

// snapshot writes the tree as it is.
func (d *disk) snapshot() {
	_, _, err := txnlog.WriteSnapshot(d, dir, d.tree.LastZxid(), txnlog.Plain, sourceOf(d.tree))
	must(d.t, err)
}

func (d *disk) read(name string) []byte {
	d.t.Helper()
	f, err := d.Open(name)
	must(d.t, err)
	size, err := f.Size()
	must(d.t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	must(d.t, errors.Join(err, f.Close()))
	return b
}

func (d *disk) write(name string, content []byte) {
	d.t.Helper()
	f, err := d.Create(name)
	must(d.t, err)
	_, err = f.WriteAt(content, 0)
	must(d.t, errors.Join(err, f.Sync(), f.Close(), d.SyncDir(filepath.Dir(name))))
}

// start reads the logs as a server does that starts, and returns the zxids behind its snapshot.
func (d *disk) start() (zxids []int64, err error) {
	snap, found, err := txnlog.LoadNewestSnapshot(d, dir, 0, func() txnlog.SnapshotSink { return noSink{} })
	if err != nil {
		return nil, err
	}
	_, err = txnlog.ReplayLogs(d, dir, snap.Zxid, found, 0, func(r txnlog.Record) error {
		zxids = append(zxids, r.Zxid)
		return nil
	})
	return zxids, err
}

func (d *disk) repair(r Repair) (path, out string, err error) {
	var b strings.Builder
	r.Now = time.Unix(1795292718, 0)
	path, err = RepairLog(&b, r, Options{FS: d, Location: time.UTC})
	return path, b.String(), err
}

// places are where the records of a log begin, and last where they end.
func places(log []byte) (at []int) {
	for i := 16; ; {
		at = append(at, i)
		if i+12 > len(log) {
			return at
		}
		n := int(binary.BigEndian.Uint32(log[i+8:]))
		if n == 0 {
			return at
		}
		i += 12 + n + 1
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func upTo(n int64) (zxids []int64) {
	for z := int64(1); z <= n; z++ {
		zxids = append(zxids, z)
	}
	return zxids
}

func TestRepair(t *testing.T) {
	const log = dir + "/log.1"
	zxid := func(z int64) *int64 { return &z }
	zero := func(b []byte, from, to int) []byte { clear(b[from:to]); return b }
	for _, c := range []struct {
		name   string
		counts []int
		damage func(b []byte, at []int) []byte
		starts bool // even so
		repair Repair
		left   []int64 // what a server finds afterwards
		says   []string
		aside  []string // logs that are no longer there
	}{{
		name: "wrong checksum", counts: []int{10},
		damage: func(b []byte, at []int) []byte { b[at[4]+20] ^= 1; return b },
		left:   upTo(4), says: []string{"kept: 4 transactions, up to 0x4", "given up: 6 transactions, 0x5 to 0xa"},
	}, {
		name: "wrong checksum, fixed", counts: []int{10}, repair: Repair{FixCRC: true},
		damage: func(b []byte, at []int) []byte { b[at[4]+3] ^= 1; return b },
		left:   upTo(10), says: []string{"CRC FIXED - 11/21/26, 8:30:18 PM UTC session 0x100000000000001 cxid 0x5 zxid 0x5 create /n5,data,[31,s{'world,'anyone}\n],false,5\n",
			"EOF reached after 10 txns.", "kept: 10 transactions, up to 0xa", "given up: nothing"},
	}, {
		name: "wrong checksum, not to be fixed because its zxid is damaged", counts: []int{10}, repair: Repair{FixCRC: true},
		damage: func(b []byte, at []int) []byte { b[at[4]+12+12] ^= 1; return b },
		left:   upTo(4), says: []string{"kept: 4 transactions", "given up: 6 transactions, 0x5 to 0xa"},
	}, {
		name: "rubbish at the end", counts: []int{10}, starts: true,
		damage: func(b []byte, at []int) []byte { return append(b[:at[10]], bytes.Repeat([]byte("rubbish "), 100)...) },
		left:   upTo(10), says: []string{"nothing behind it is a transaction", "kept: 10 transactions", "given up: no whole transaction, but bytes that may have been one after 0xa"},
	}, {
		name: "a record lost to a hole", counts: []int{10},
		damage: func(b []byte, at []int) []byte { return zero(b, at[4], at[5]) },
		left:   upTo(4), says: []string{"offset 432: a record has length 0, and", "kept: 4 transactions", "given up: 6 transactions, 0x5 to 0xa"},
	}, {
		name: "a hole with nothing lost", counts: []int{10},
		damage: func(b []byte, at []int) []byte { return slices.Insert(b, at[4], make([]byte, 4096)...) },
		left:   upTo(10), says: []string{"kept: 10 transactions", "given up: nothing"},
	}, {
		name: "an impossible length", counts: []int{10},
		damage: func(b []byte, at []int) []byte { b[at[4]+8] = 0x7f; return b },
		left:   upTo(4), says: []string{"offset 432: a record has an impossible length", "given up: 6 transactions, 0x5 to 0xa"},
	}, {
		name: "cut in the header", counts: []int{10},
		damage: func(b []byte, at []int) []byte { return b[:7] },
		says:   []string{"offset 0: the file ends inside its header", "kept: no transaction", "/data/version-2/log.1 is now /data/version-2/damaged.log.1."},
		aside:  []string{"log.1"},
	}, {
		name: "header overwritten", counts: []int{10},
		damage: func(b []byte, at []int) []byte { return zero(b, 0, 16) },
		left:   upTo(10), says: []string{"the header is written anew", "kept: 10 transactions"},
	}, {
		name: "later logs no longer reached", counts: []int{10, 5, 2},
		damage: func(b []byte, at []int) []byte { b[at[9]+20] ^= 1; return b },
		left:   upTo(9), says: []string{"given up: 1 transactions, 0xa\n", "given up: log.b with 0xb to 0xf, which no longer follows", "given up: log.10 with 0x10 to 0x11"},
		aside: []string{"log.b", "log.10"},
	}, {
		name: "its end is gone", counts: []int{10},
		damage: func(b []byte, at []int) []byte { return b[:at[8]] },
		left:   upTo(8), says: []string{"kept: 8 transactions, up to 0x8", "it was synced up to offset 1057, zxid 0xa"},
	}, {
		name: "cut at a zxid", counts: []int{10, 5}, repair: Repair{CutAt: zxid(7)},
		left: upTo(7), says: []string{"Chopping at 7 new log has 7 records", "given up: 3 transactions, 0x8 to 0xa", "given up: log.b with 0xb to 0xf"},
		aside: []string{"log.b"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, c.counts...)
			damaged := d.read(log)
			if c.damage != nil {
				damaged = c.damage(damaged, places(damaged))
				d.write(log, damaged)
				if _, err := d.start(); (err == nil) != c.starts {
					t.Fatalf("a server that starts with the damage says %v", err)
				}
			}
			c.repair.File = log
			path, _, err := d.repair(c.repair)
			must(t, err)
			if !bytes.Equal(d.read(log), damaged) {
				t.Error("the original has changed")
			}
			must(t, d.Remove(path))

			c.repair.InPlace = true
			_, out, err := d.repair(c.repair)
			must(t, err)
			for _, says := range c.says {
				if !strings.Contains(out, says) {
					t.Errorf("it does not say %q but\n%s", says, out)
				}
			}
			if got, err := d.start(); err != nil || !slices.Equal(got, c.left) {
				t.Errorf("a server finds %d and %v, not %d", got, err, c.left)
			}
			names, err := d.ReadDir(dir)
			must(t, err)
			for _, name := range append(c.aside, "log.1") {
				backup := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "damaged."+name+".") })
				if backup < 0 {
					t.Errorf("no copy of %s is left in %q", name, names)
				} else if name == "log.1" && !bytes.Equal(d.read(filepath.Join(dir, names[backup])), damaged) {
					t.Error("the copy is not the original")
				}
			}
			for _, name := range names {
				if strings.HasPrefix(name, "quoll-tmp") || slices.Contains(c.aside, name) {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// A server that starts from a snapshot needs nothing before it: damage there costs nothing.
func TestRepairBelowSnapshot(t *testing.T) {
	const log = dir + "/log.1"
	d := newDisk(t, 10, 5)
	d.tree = tree.New()
	for z := int64(1); z <= 8; z++ {
		d.create(z)
	}
	d.snapshot()
	b := d.read(log)
	b[places(b)[4]+20] ^= 1
	d.write(log, b)
	_, out, err := d.repair(Repair{File: log, InPlace: true})
	must(t, err)
	for _, says := range []string{"kept: 9 transactions, up to 0xa", "given up: 1 transactions, 0x5", "the newest snapshot has all transactions up to 0x8"} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q but\n%s", says, out)
		}
	}
	if got, err := d.start(); err != nil || !slices.Equal(got, upTo(15)[8:]) {
		t.Errorf("a server finds %d and %v", got, err)
	}
}

func TestRepairAsks(t *testing.T) {
	const log = dir + "/log.1"
	d := newDisk(t, 10)
	b := d.read(log)
	b[places(b)[4]+20] ^= 1
	d.write(log, b)
	var questions []string
	answers := []bool{false}
	ask := func(q string) (bool, error) {
		questions = append(questions, q)
		a := answers[0]
		answers = answers[1:]
		return a, nil
	}
	if _, _, err := d.repair(Repair{File: log, InPlace: true, Ask: ask}); err == nil {
		t.Error("a no is no error")
	}
	if !bytes.Equal(d.read(log), b) {
		t.Error("the log was changed after a no")
	}
	answers = []bool{true, true}
	if _, _, err := d.repair(Repair{File: log, InPlace: true, FixCRC: true, Ask: ask}); err != nil {
		t.Error(err)
	}
	want := []string{"Replace " + log + " (Yes/No) ? ", "Would you like to fix it (Yes/No/Abort) ? ", "Replace " + log + " (Yes/No) ? "}
	if !slices.Equal(questions, want) {
		t.Errorf("it asked %q", questions)
	}
	if got, err := d.start(); err != nil || !slices.Equal(got, upTo(10)) {
		t.Errorf("a server finds %d and %v", got, err)
	}
}

func TestRepairRefuses(t *testing.T) {
	const log = dir + "/log.1"
	d := newDisk(t, 10)
	zxid := int64(99)
	if _, _, err := d.repair(Repair{File: log, CutAt: &zxid}); err == nil || !strings.Contains(err.Error(), "This log does not contain zxid 63") {
		t.Error(err)
	}
	d.write(log+".fixed", nil)
	if _, _, err := d.repair(Repair{File: log}); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Error(err)
	}
	_, out, err := d.repair(Repair{File: log, InPlace: true})
	if err != nil || !strings.Contains(out, "there is nothing to mend") {
		t.Error(out, err)
	}
	names, err := d.ReadDir(dir)
	must(t, err)
	if len(names) != 3 {
		t.Errorf("left: %q", names)
	}
}
