package txnlog_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// changed returns a copy of b after a change.
func changed(b []byte, change func([]byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return b
}

func padded(b []byte) []byte { return append(bytes.Clone(b), make([]byte, 4096)...) }

// entry encodes one transaction.
func entry(zxid int64, typ jute.Op, fill func(*tree.Txn)) []byte {
	txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 1, Cxid: 1, Zxid: zxid, Time: 1795292718100, Type: int32(typ)}}
	if fill != nil {
		fill(&txn)
	}
	return txn.Append(nil)
}

func create(zxid int64, typ jute.Op, path string, parentCVersion int32) []byte {
	return entry(zxid, typ, func(t *tree.Txn) {
		t.Path, t.Data, t.ParentCVersion = path, []byte{}, parentCVersion
		t.ACL = []jute.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}
	})
}

func remove(zxid int64, path string) []byte {
	return entry(zxid, jute.OpDelete, func(t *tree.Txn) { t.Path = path })
}

// snapshotOf seals nodes the Java way; digest and last say which blocks follow.
func snapshotOf(n *notes, digest, last bool) []byte {
	out := diskWith(nil)
	var d *txnlog.SnapshotDigest
	var z *int64
	if digest {
		d = &txnlog.SnapshotDigest{Zxid: goldenZxid, Digest: goldenDigest}
	}
	if last {
		z = new(int64)
		*z = goldenZxid
	}
	path, _, err := txnlog.WriteSnapshot(out, dir, goldenZxid, txnlog.Plain, n.source(d, z))
	if err != nil {
		panic(err)
	}
	b, err := out.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return b
}

// resealed computes the seals of a golden snapshot anew, after a change of what they cover.
func resealed(b []byte, seals ...int) []byte {
	for _, at := range seals {
		binary.BigEndian.PutUint64(b[at:], uint64(adler32.Checksum(b[:at])))
	}
	return b
}

// The outcomes that Apache ZooKeeper 3.9.5 has for damaged and odd directories, and ours. Where they differ, the row says so.
func TestLoaderTable(t *testing.T) {
	g1, g2, g3, g4, g5 := golden(t, "g1-log.1"), golden(t, "g2-snapshot.0"), golden(t, "g3-snapshot.1a"), golden(t, "g4-snapshot.1a.gz"), golden(t, "g5-snapshot.1a.snappy")
	recs := recordsOf(g1)
	entries := entriesOf(recs)
	last, middle := recs[len(recs)-1], recs[10]
	half := recs[13]
	notes3, _ := readNotes(t, diskWith(map[string][]byte{"snapshot.1a": g3}))
	const before, beforeDigest = 0x19, 47764947390 // without the last record

	withLog := func(log []byte) map[string][]byte { return map[string][]byte{"snapshot.0": g2, "log.1": log} }
	plus := func(more ...[]byte) map[string][]byte {
		return withLog(logOf(append(slices.Clone(entries), more...)...))
	}
	snap := func(name string, b []byte) map[string][]byte {
		return map[string][]byte{"snapshot.0": g2, "log.1": g1, name: b}
	}
	split := func(cut int) map[string][]byte {
		return map[string][]byte{"snapshot.0": g2, "log.1": g1[:half.at-cut], "log.e": append(bytes.Clone(g1[:16]), g1[half.at:]...)}
	}

	for _, c := range []struct {
		name  string
		files map[string][]byte
		// Either an error that has this text and, for logs, is this damage,
		err    string
		damage error
		// or a load with these results; a digest of 0 is not compared.
		zxid, digest int64
		tail         string // the reason of a torn tail
		mismatches   int
		skipped      int // damaged snapshots
		check        func(*testing.T, loaded)
	}{
		{name: "log cut after the last record", files: withLog(g1), zxid: goldenZxid, digest: goldenDigest},
		{name: "log cut in the entry", files: withLog(g1[:last.end()-20]), zxid: before, digest: beforeDigest, tail: "cut off"},
		{name: "log cut in the checksum", files: withLog(g1[:last.at+5]), zxid: before, digest: beforeDigest, tail: "cut off"},
		{name: "log cut in the length", files: withLog(g1[:last.at+10]), zxid: before, digest: beforeDigest, tail: "cut off"},
		{name: "final B zero", files: withLog(padded(changed(g1, func(b []byte) { b[last.end()-1] = 0 }))), zxid: before, digest: beforeDigest, tail: "partial"},
		{name: "last 20 bytes and B zero", files: withLog(padded(changed(g1, func(b []byte) { clear(b[last.end()-21:]) }))), zxid: before, digest: beforeDigest, tail: "partial"},
		// Java refuses this one.
		{name: "last checksum wrong", files: withLog(padded(changed(g1, func(b []byte) { b[last.at+7] ^= 1 }))), zxid: before, digest: beforeDigest, tail: "wrong checksum"},
		{name: "last checksum wrong, more behind", files: withLog(append(padded(changed(g1, func(b []byte) { b[last.at+7] ^= 1 })), 1)), err: "CRC check failed", damage: txnlog.ErrChecksum},
		{name: "checksum wrong at the end of an older log", files: map[string][]byte{"snapshot.0": g2, "log.1": changed(g1, func(b []byte) { b[last.at+7] ^= 1 }), "log.1b": logOf(remove(0x1b, "/none"))}, err: "CRC check failed", damage: txnlog.ErrChecksum},
		{name: "middle entry wrong", files: withLog(changed(g1, func(b []byte) { b[middle.at+40] ^= 1 })), err: fmt.Sprintf("log.1, offset %d, zxid 0xa: CRC check failed", middle.at), damage: txnlog.ErrChecksum},
		{name: "last length huge", files: withLog(changed(g1, func(b []byte) { binary.BigEndian.PutUint32(b[last.at+8:], 0x7fffffff) })), err: "Unreasonable length = 2147483647", damage: jute.ErrLength},
		{name: "last length -1", files: withLog(changed(g1, func(b []byte) { binary.BigEndian.PutUint32(b[last.at+8:], 0xffffffff) })), err: "Unreasonable length = -1", damage: jute.ErrLength},
		{name: "last length -2", files: withLog(changed(g1, func(b []byte) { binary.BigEndian.PutUint32(b[last.at+8:], 0xfffffffe) })), err: "Unreasonable length = -2", damage: jute.ErrLength},
		{name: "middle length 0", files: withLog(changed(g1, func(b []byte) { binary.BigEndian.PutUint32(b[middle.at+8:], 0) })), zxid: middle.zxid() - 1, tail: "length 0"},
		{name: "log in two files", files: split(0), zxid: goldenZxid, digest: goldenDigest},
		{name: "first of two files torn", files: split(5), err: "the record before is 0xc", damage: txnlog.ErrGap},
		{name: "newest log empty", files: map[string][]byte{"snapshot.0": g2, "log.1": g1, "log.1b": {}}, zxid: goldenZxid, digest: goldenDigest, tail: "empty"},
		{name: "newest log only a header", files: map[string][]byte{"snapshot.0": g2, "log.1": g1, "log.1b": g1[:16]}, zxid: goldenZxid, digest: goldenDigest},
		{name: "newest log 7 bytes", files: map[string][]byte{"snapshot.0": g2, "log.1": g1, "log.1b": g1[:7]}, err: "ends inside its header", damage: txnlog.ErrCutHeader},
		{name: "oldest log empty", files: map[string][]byte{"snapshot.0": g2, "log.1": {}, "log.1b": logOf(remove(0x1b, "/none"))}, err: "ends inside its header", damage: txnlog.ErrCutHeader},
		{name: "log magic wrong", files: withLog(changed(g1, func(b []byte) { b[0] = 'X' })), err: "not that of the file's kind", damage: txnlog.ErrMagic},
		{name: "log header zero", files: withLog(make([]byte, 4096)), err: "not that of the file's kind", damage: txnlog.ErrMagic},
		{name: "log version 3", files: withLog(changed(g1, func(b []byte) { b[7] = 3 })), zxid: goldenZxid, digest: goldenDigest},
		{name: "log dbid 77", files: withLog(changed(g1, func(b []byte) { b[15] = 77 })), zxid: goldenZxid, digest: goldenDigest},
		{name: "log without snapshot", files: map[string][]byte{"log.1": g1}, err: "No snapshot found, but there are log entries"},
		{name: "empty directory", files: nil, zxid: 0},

		{name: "snapshot plain", files: map[string][]byte{"snapshot.1a": g3}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot gzip", files: map[string][]byte{"snapshot.1a.gz": g4}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot snappy", files: map[string][]byte{"snapshot.1a.snappy": g5}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot without blocks", files: map[string][]byte{"snapshot.1a": snapshotOf(notes3, false, false)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot with digest only", files: map[string][]byte{"snapshot.1a": snapshotOf(notes3, true, false)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot with last zxid only", files: map[string][]byte{"snapshot.1a": snapshotOf(notes3, false, true)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot body byte wrong", files: snap("snapshot.1a", changed(g3, func(b []byte) { b[0x700] ^= 1 })), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "snapshot cut by 3 bytes", files: snap("snapshot.1a", g3[:len(g3)-3]), zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot last zxid wrong", files: snap("snapshot.1a", changed(g3, func(b []byte) { b[0x7dc] ^= 1 })), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "plain snapshot named .gz", files: snap("snapshot.1a.gz", g3), zxid: goldenZxid, digest: goldenDigest},
		{name: "gzip cut", files: snap("snapshot.1a.gz", g4[:len(g4)-100]), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "no seal", files: snap("snapshot.1a.gz", foreignGzip(g3[:0x7a7])), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "snappy cut", files: snap("snapshot.1a.snappy", g5[:len(g5)-100]), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "all snapshots damaged", files: map[string][]byte{"snapshot.1a": changed(g3, func(b []byte) { b[0x700] ^= 1 }), "log.1": g1}, err: "not able to find valid snapshots in"},
		{name: "snapshot with garbage behind", files: map[string][]byte{"snapshot.1a": append(bytes.Clone(g3), "garbage garbage garbage\x00\x00\x00\x01/"...)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot.1a.foo", files: map[string][]byte{"snapshot.1a.foo": g3}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot.1A", files: map[string][]byte{"snapshot.1A": g3}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot.1a.tmp", files: map[string][]byte{"snapshot.1a.tmp": g3}, zxid: goldenZxid, digest: goldenDigest},
		{name: "log.1.old", files: map[string][]byte{"snapshot.0": g2, "log.1.old": g1}, zxid: goldenZxid, digest: goldenDigest},
		{name: "names without a zxid", files: map[string][]byte{"snapshot.0": g2, "log.1": g1, "log.foo": {1}, "snapshot.foo": g3, "snapshot": g3, "logs.1": {1}, "myid": {'1'}}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot of a later state", files: map[string][]byte{"snapshot.10": g3, "log.1": g1}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot header version 9, dbid 5", files: map[string][]byte{"snapshot.1a": resealed(changed(g3, func(b []byte) { b[7], b[15] = 9, 5 }), 0x7a7, 0x7c8, 0x7dd)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "snapshot digest wrong", files: map[string][]byte{"snapshot.1a": resealed(changed(g3, func(b []byte) { b[0x7c7] ^= 1 }), 0x7c8, 0x7dd)}, zxid: goldenZxid, digest: goldenDigest, mismatches: 1},
		{name: "nodes breadth first", files: map[string][]byte{"snapshot.1a": snapshotOf(reordered(notes3, func(nodes [][]byte) {
			slices.SortStableFunc(nodes, func(a, b []byte) int { return depthOf(a) - depthOf(b) })
		}), true, true)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "children before parents", files: snap("snapshot.1a", snapshotOf(reordered(notes3, func(nodes [][]byte) { slices.Reverse(nodes[1:]) }), true, true)), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "root missing", files: snap("snapshot.1a", snapshotOf(&notes{nodes: notes3.nodes[1:]}, true, true)), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "no nodes", files: snap("snapshot.1a", resealed(append(bytes.Clone(g3[:16]), "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01/--------\x00\x00\x00\x01/"...), 29)), zxid: goldenZxid, digest: goldenDigest, skipped: 1},
		{name: "ACL lists missing", files: map[string][]byte{"snapshot.1a": snapshotOf(&notes{nodes: notes3.nodes}, true, true)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "only the root", files: map[string][]byte{"snapshot.1a": snapshotOf(&notes{nodes: notes3.nodes[:1]}, false, false)}, zxid: goldenZxid},
		{name: "session of an ephemeral missing", files: map[string][]byte{"snapshot.1a": snapshotOf(&notes{acls: notes3.acls, nodes: notes3.nodes}, true, true)}, zxid: goldenZxid, digest: goldenDigest, check: func(t *testing.T, l loaded) {
			if l.tree.Lookup("/eph") == nil || l.tree.Sessions() != 0 {
				t.Error("the ephemeral is gone or its session is there")
			}
		}},
		{name: "foreign gzip", files: map[string][]byte{"snapshot.1a.gz": foreignGzip(g3)}, zxid: goldenZxid, digest: goldenDigest},
		{name: "500-byte snappy blocks", files: map[string][]byte{"snapshot.1a.snappy": smallBlocks(g3)}, zxid: goldenZxid, digest: goldenDigest},

		{name: "records without digest", files: withLog(logOf(without(entries)...)), zxid: goldenZxid, digest: goldenDigest},
		{name: "create without parentCVersion", files: plus(create(0x1b, jute.OpCreate, "/v0", 0)[:32+len("1234/v0")+4+4+4+4+5+4+6+1]), zxid: 0x1b, check: func(t *testing.T, l loaded) {
			if l.tree.Lookup("/v0") == nil {
				t.Error("no znode")
			}
		}},
		{name: "closeSession without body", files: plus(entry(0x1b, jute.OpCloseSession, func(t *tree.Txn) { t.ClientID = 0x100000abd500000 })), zxid: 0x1b, check: func(t *testing.T, l loaded) {
			if l.tree.Lookup("/eph") != nil {
				t.Error("the ephemeral is still there")
			}
		}},
		{name: "record type 77", files: plus(changed(remove(0x1b, "/none"), func(b []byte) { b[31] = 77 })), err: "zxid 0x1b: transaction 0x1b of type 77"},
		{name: "check outside a multi", files: plus(entry(0x1b, jute.OpCheck, func(t *tree.Txn) { t.Path = "/p" })), err: "outside a multi"},
		{name: "entry without a whole header", files: plus([]byte("short")), err: "shorter than a transaction header", damage: txnlog.ErrShortEntry},
		{name: "create of an existing node, type 1", files: plus(create(0x1b, jute.OpCreate, "/p", 99)), zxid: 0x1b, check: cversionOfRoot(99)},
		{name: "create of an existing node, type 15", files: plus(create(0x1b, jute.OpCreate2, "/p", 99)), zxid: 0x1b, digest: goldenDigest},
		{name: "delete of a missing node", files: plus(remove(0x1b, "/none")), zxid: 0x1b, check: func(t *testing.T, l loaded) {
			if s := stat(l, ""); s.Pzxid != 0x1b {
				t.Errorf("pzxid of the root is 0x%x", s.Pzxid)
			}
		}},
		{name: "setData of a missing node", files: plus(entry(0x1b, jute.OpSetData, func(t *tree.Txn) { t.Path = "/none" })), zxid: 0x1b, digest: goldenDigest},
		{name: "create under a missing parent", files: plus(create(0x1b, jute.OpCreate, "/none/a", 1)), zxid: 0x1b, digest: goldenDigest},
		{name: "delete of a node with children", files: plus(remove(0x1b, "/m")), zxid: 0x1b, check: func(t *testing.T, l loaded) {
			if l.tree.Lookup("/m") != nil {
				t.Error("the znode is still there")
			}
		}},
		{name: "zxid gap", files: plus(remove(0x1c, "/none")), err: "transactions are missing: the record before is 0x1a", damage: txnlog.ErrGap},
		{name: "zxid twice", files: plus(entries[len(entries)-1]), zxid: goldenZxid},
		{name: "zxid backwards", files: plus(create(0x5, jute.OpCreate, "/back", 1), remove(0x7, "/none"), remove(0x1b, "/none")), zxid: 0x1b, check: func(t *testing.T, l loaded) {
			if l.logs.Backwards != 1 || l.tree.Lookup("/back") == nil {
				t.Errorf("%d records backwards", l.logs.Backwards)
			}
		}},
		// Java accepts these four and loses what is missing.
		{name: "gap after the snapshot", files: map[string][]byte{"snapshot.1a": g3, "log.20": logOf(remove(0x20, "/none"))}, err: "log.20, offset 16, zxid 0x20: transactions are missing: the snapshot before has zxid 0x1a", damage: txnlog.ErrGap},
		{name: "gap of one after the snapshot", files: map[string][]byte{"snapshot.1a": g3, "log.1c": logOf(remove(0x1c, "/none"))}, err: "the snapshot before has zxid 0x1a", damage: txnlog.ErrGap},
		{name: "gap into a higher epoch", files: plus(remove(0x100000007, "/none")), err: "the record before is 0x1a", damage: txnlog.ErrGap},
		{name: "gap into a higher epoch after the snapshot", files: map[string][]byte{"snapshot.1a": g3, "log.300000002": logOf(remove(0x300000002, "/none"))}, err: "the snapshot before has zxid 0x1a", damage: txnlog.ErrGap},
		{name: "higher epoch", files: plus(remove(0x100000001, "/none"), remove(0x300000001, "/none")), zxid: 0x300000001},
		{name: "higher epoch after the snapshot", files: map[string][]byte{"snapshot.1a": g3, "log.200000001": logOf(remove(0x200000001, "/none"))}, zxid: 0x200000001},
		{name: "epoch used up on a standalone server", files: map[string][]byte{"snapshot.ffffffff": g3, "log.100000000": logOf(remove(0x100000000, "/none"), remove(0x100000001, "/none"))}, zxid: 0x100000001},
		// A learner took the leader's state in the middle of an epoch: its own older log ends before.
		{name: "snapshot from a leader", files: map[string][]byte{"snapshot.10000001a": g3, "log.1": g1, "log.10000001b": logOf(remove(0x10000001b, "/none"))}, zxid: 0x10000001b},
		{name: "snapshot from a leader, logs with a hole", files: map[string][]byte{"snapshot.0": g2, "log.1": g1, "log.10000001b": logOf(remove(0x10000001b, "/none"))}, err: "the record before is 0x1a", damage: txnlog.ErrGap},
		{name: "wrong digest", files: plus(entry(0x1b, jute.OpDelete, func(t *tree.Txn) { t.Path, t.Digest, t.HasDigest = "/none", 1, true })), zxid: 0x1b, mismatches: 1},
		{name: "digest version 3", files: plus(append(remove(0x1b, "/none"), 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1)), zxid: 0x1b},
		{name: "bytes after the digest", files: plus(append(bytes.Clone(createSession(0x1b)), 0, 0, 0, 2, 0, 0, 0, 9, 0x1f, 0xa6, 0xda, 0x0c, 1, 2, 3)), zxid: 0x1b, digest: goldenDigest},
		{name: "2-byte digest", files: plus(append(createSession(0x1b), 0, 0)), zxid: 0x1b, digest: goldenDigest},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := diskWith(c.files)
			l, err := load(disk)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("the error is %v, not %s", err, c.err)
				}
				var damage *txnlog.DamageError
				if c.damage != nil && (!errors.Is(err, c.damage) || !errors.As(err, &damage) || damage.Advice == "") {
					t.Errorf("the error is %#v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if l.zxid != c.zxid || c.digest != 0 && l.tree.Digest() != c.digest || l.mismatches != c.mismatches || len(l.snapshot.Skipped) != c.skipped {
				t.Errorf("zxid 0x%x, %d mismatches, skipped %v", l.zxid, l.mismatches, l.snapshot.Skipped)
			}
			if c.digest != 0 && l.tree.Digest() != c.digest {
				t.Errorf("digest %d, not %d", l.tree.Digest(), c.digest)
			}
			if c.check != nil {
				c.check(t, l)
			}
			switch tail := l.logs.Tail; {
			case (tail == nil) != (c.tail == "") || tail != nil && !strings.Contains(tail.Reason, c.tail):
				t.Errorf("tail %v, not %q", tail, c.tail)
			case tail != nil:
				again := afterCut(t, disk, &l.logs)
				if again.zxid != l.zxid || again.tree.Digest() != l.tree.Digest() || again.logs.Tail != nil && !tail.Hole {
					t.Errorf("after the cut: zxid 0x%x, tail %v", again.zxid, again.logs.Tail)
				}
			}
		})
	}
}

func afterCut(t *testing.T, disk txnlog.FS, logs *txnlog.ReadResult) loaded {
	t.Helper()
	if err := logs.Settle(disk); err != nil {
		t.Fatal(err)
	}
	l, err := load(disk)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func createSession(zxid int64) []byte {
	return entry(zxid, jute.OpCreateSession, func(t *tree.Txn) { t.Timeout = 4000 })
}

func stat(l loaded, path string) jute.StatPersisted {
	return l.tree.Lookup(path).Persisted()
}

func cversionOfRoot(want int32) func(*testing.T, loaded) {
	return func(t *testing.T, l loaded) {
		if s := stat(l, ""); s.Cversion != want {
			t.Errorf("cversion of the root is %d", s.Cversion)
		}
	}
}

// without drops the digests of entries.
func without(entries [][]byte) (out [][]byte) {
	for _, e := range entries {
		txn, err := tree.DecodeTxn(e)
		if err != nil {
			panic(err)
		}
		txn.HasDigest = false
		out = append(out, txn.Append(nil))
	}
	return out
}

func reordered(n *notes, order func([][]byte)) *notes {
	nodes := slices.Clone(n.nodes)
	order(nodes)
	return &notes{sessions: n.sessions, acls: n.acls, nodes: nodes}
}

func depthOf(node []byte) int {
	return bytes.Count(node[4:4+binary.BigEndian.Uint32(node)], []byte("/"))
}

// smallBlocks compresses in snappy-java's format with other blocks than anybody writes.
func smallBlocks(plain []byte) []byte {
	b := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for block := range slices.Chunk(plain, 500) {
		raw := snappy.Encode(nil, block)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(raw))), raw...)
	}
	return b
}

// foreignGzip compresses as the gzip tool does, with a name and a time.
func foreignGzip(plain []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Name, w.ModTime = "snapshot.1a", time.Unix(1795292718, 0)
	if _, err := w.Write(plain); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
