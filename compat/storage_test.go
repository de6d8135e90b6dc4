package compat

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"quoll/compat/peer"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// diskState is a tree and what a directory needs to hold it.
type diskState struct {
	tree *tree.Tree
	info txnlog.SnapshotInfo
	last int64
}

// apply gives the next zxid to a transaction and its digest, as a server that proposes it does, and returns the log entry.
func (d *diskState) apply(t *testing.T, typ jute.Op, fill func(*tree.Txn)) []byte {
	t.Helper()
	d.last++
	txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 0x100000000000001, Cxid: int32(d.last), Zxid: d.last, Time: 1795292718000 + d.last, Type: int32(typ)}}
	fill(&txn)
	var result tree.Result
	d.tree.Apply(&txn, &result, nil)
	if result.Err != jute.OK {
		t.Fatalf("zxid 0x%x: %v", d.last, result.Err)
	}
	txn.Digest, txn.HasDigest = d.tree.Digest(), true
	return txn.Append(nil)
}

// history is one transaction of each kind, and creations up to the wanted number.
func (d *diskState) history(t *testing.T, n int64, write func(entry []byte)) {
	open := []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}
	node := func(path string, data []byte) func(*tree.Txn) {
		return func(txn *tree.Txn) {
			txn.Path, txn.Data, txn.ACL, txn.TTL = path, data, open, 3600000
			txn.ParentCVersion = d.tree.Lookup(path[:strings.LastIndexByte(path, '/')]).Persisted().Cversion + 1
		}
	}
	if d.last == 0 {
		write(d.apply(t, jute.OpCreateSession, func(txn *tree.Txn) { txn.Timeout = 40000 }))
		write(d.apply(t, jute.OpCreate, node("/a", []byte("hello"))))
		write(d.apply(t, jute.OpCreate2, node("/a/null", nil)))
		write(d.apply(t, jute.OpCreate, node("/a/empty", []byte{})))
		write(d.apply(t, jute.OpCreateContainer, node("/c", []byte{})))
		write(d.apply(t, jute.OpCreate, node("/c/child", []byte{})))
		write(d.apply(t, jute.OpCreateTTL, node("/ttl", []byte("t"))))
		write(d.apply(t, jute.OpCreate, node("/café", []byte{0, 255})))
		write(d.apply(t, jute.OpCreate, func(txn *tree.Txn) { node("/ephemeral", nil)(txn); txn.Ephemeral = true }))
		write(d.apply(t, jute.OpSetData, func(txn *tree.Txn) { txn.Path, txn.Data, txn.Version = "/a", []byte("world"), 1 }))
		write(d.apply(t, jute.OpSetACL, func(txn *tree.Txn) {
			txn.Path, txn.ACL, txn.Version = "/a/null", []jute.ACL{{Perms: 1, Scheme: "digest", ID: "user:2Om+GBbT2q/tS6pdvACZbbm7/1A="}, open[0]}, 1
		}))
		write(d.apply(t, jute.OpMulti, func(txn *tree.Txn) {
			check := tree.Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpCheck)}, Path: "/a", Version: 2}
			create := tree.Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreate)}}
			node("/m", []byte("multi"))(&create)
			remove := tree.Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpDelete)}, Path: "/a/empty"}
			txn.Multi = []tree.Txn{check, create, remove}
		}))
		d.last++ // a failed request uses up a zxid
		failed := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 0x100000000000001, Zxid: d.last, Type: int32(jute.OpError)}, Err: jute.ErrNoNode}
		d.tree.Apply(&failed, new(tree.Result), nil)
		write(failed.Append(nil))
	}
	for d.last < n {
		write(d.apply(t, jute.OpCreate, node(fmt.Sprintf("/a/n%d", d.last), []byte(strings.Repeat("x", int(d.last))))))
	}
}

// snapshot writes the tree into dir.
func (d *diskState) snapshot(t *testing.T, dir string, c txnlog.Compression) {
	t.Helper()
	var src txnlog.SnapshotSource
	d.tree.EachSession(func(id int64, timeout int32) {
		src.Sessions = append(src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
	})
	d.tree.EachACL(func(id int64, acl []jute.ACL) {
		src.ACLs = append(src.ACLs, txnlog.ACLList{Number: id, ACL: acl})
	})
	src.Nodes = func(b []byte) (_ []byte, more bool, err error) {
		err = d.tree.Each(func(n *tree.Node) error {
			stat := n.Persisted()
			b = txnlog.AppendNode(b, n.Path(), n.Data(), d.tree.ACLNumber(n), &stat)
			return nil
		})
		return b, false, err
	}
	src.Digest = func() txnlog.SnapshotDigest {
		return txnlog.SnapshotDigest{Zxid: d.last, Digest: d.tree.Digest()}
	}
	src.LastZxid = func() int64 { return d.last }
	_, _, err := txnlog.WriteSnapshot(txnlog.OS, dir, d.last, c, src)
	must(t, err)
}

// loadDirectory reads what a server left.
func loadDirectory(t *testing.T, dir string) diskState {
	t.Helper()
	var loader *tree.Loader
	info, ok, err := txnlog.LoadNewestSnapshot(txnlog.OS, dir, 0, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	must(t, err)
	if !ok {
		t.Fatal("no snapshot")
	}
	d := diskState{info: info, last: info.Zxid}
	d.tree, err = loader.Finish()
	must(t, err)
	read, err := txnlog.ReadLogs(txnlog.OS, dir, info.Zxid+1, 0, func(r txnlog.Record) error {
		txn, err := tree.DecodeTxn(r.Entry)
		if err != nil {
			return err
		}
		d.tree.Apply(&txn, new(tree.Result), nil)
		if txn.HasDigest && txn.Zxid > info.DigestZxid && txn.Digest != d.tree.Digest() {
			return fmt.Errorf("digest %d, recorded as %d", d.tree.Digest(), txn.Digest)
		}
		return nil
	})
	must(t, err)
	d.last = max(d.last, read.LastZxid)
	return d
}

// TestStorage hands a directory that package txnlog has written, with a torn log, to a server, which must load it with the same zxid and the
// same digests, and go on; then it reads what the server has left.
func TestStorage(t *testing.T) {
	for _, mode := range []txnlog.Compression{txnlog.Plain, txnlog.Gzip, txnlog.Snappy} {
		t.Run("snapshot "+string(mode), func(t *testing.T) {
			peer.RequireJVM(t)
			home := t.TempDir()
			dir, _, err := txnlog.PrepareDirs(txnlog.OS, home, "", true)
			must(t, err)
			d := diskState{tree: tree.New()}
			d.snapshot(t, dir, mode)
			log := txnlog.NewLog(txnlog.LogOptions{Dir: dir, PreAlloc: 64 << 10, ForceSync: true})
			write := func(entry []byte) {
				log.Append(d.last, entry)
				must(t, log.Sync())
			}
			d.history(t, 100, write)
			log.Roll()
			d.snapshot(t, dir, mode)
			d.history(t, 300, write)
			must(t, log.Close())

			// The last write was torn, and is cut as a start does.
			logs, err := filepath.Glob(filepath.Join(dir, "log.*"))
			must(t, err)
			f, err := txnlog.OS.OpenWrite(logs[len(logs)-1])
			must(t, err)
			size, err := f.Size()
			must(t, err)
			must(t, f.Truncate(size/2))
			must(t, f.Close())
			read, err := txnlog.ReadLogs(txnlog.OS, dir, 0, 0, func(txnlog.Record) error { return nil })
			must(t, err)
			if read.Tail == nil {
				t.Fatal("the log is not torn")
			}
			must(t, read.Tail.Cut(txnlog.OS))
			d = loadDirectory(t, dir)
			log = txnlog.NewLog(txnlog.LogOptions{Dir: dir, ForceSync: true})
			d.history(t, 300, write)
			must(t, log.Close())

			s := peer.Java(t, peer.Options{Dir: home, Config: []string{"extendedTypesEnabled=true", "4lw.commands.whitelist=*", "preAllocSize=64"}})
			hash, err := s.FourLetter("hash")
			must(t, err)
			for _, at := range d.tree.Digests() {
				if want := fmt.Sprintf("%d", at.Digest); !strings.Contains(hash, want) {
					t.Errorf("zxid 0x%x: the digest %s is not in %s", at.Zxid, want, hash)
				}
			}
			if len(d.tree.Digests()) != 2 { // 0x80 and 0x100
				t.Errorf("%d digests to compare", len(d.tree.Digests()))
			}
			stats := func(key string) string {
				mntr, err := s.FourLetter("mntr")
				must(t, err)
				if m := regexp.MustCompile(`(?m)^` + key + `\t(.*)$`).FindStringSubmatch(mntr); m != nil {
					return m[1]
				}
				return "missing"
			}
			if n := stats("zk_digest_mismatches_count"); n != "0" {
				t.Errorf("%s digests differ", n)
			}
			if n, want := stats("zk_znode_count"), fmt.Sprint(d.tree.Len()+1); n != want { // Java counts the root twice
				t.Errorf("%s znodes, not %s", n, want)
			}
			srvr, err := s.FourLetter("srvr")
			must(t, err)
			if want := fmt.Sprintf("Zxid: 0x%x\n", d.last); !strings.Contains(srvr, want) {
				t.Errorf("not %q but %s", want, srvr)
			}
			client, _, err := zk.Connect([]string{s.Addr()}, patience)
			must(t, err)
			_, err = client.Create("/from-java", []byte("data"), 0, zk.WorldACL(zk.PermAll))
			must(t, err)
			client.Close()
			must(t, s.Stop())

			after := loadDirectory(t, dir)
			if after.last <= d.last || after.tree.Lookup("/from-java") == nil || after.tree.Lookup("/café") == nil {
				t.Errorf("zxid 0x%x after 0x%x", after.last, d.last)
			}
		})
	}
}
