package server

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// TestMultiOfManyParts prepares a multi that fills a frame with the smallest parts: what it takes in the log is less than its request.
func TestMultiOfManyParts(t *testing.T) {
	pr, _ := testPreparer(t, nil)
	pr.opening[1] = true
	r := &Request{Session: 1, Op: jute.OpMulti, IDs: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	check := jute.Operation{Op: jute.OpCheck, Path: []byte("/zookeeper"), Version: -1}
	for len(r.Body) < config.Defaults().JuteMaxBuffer-100 {
		r.Body = (&jute.MultiHeader{Type: int32(check.Op), Err: -1}).Append(r.Body)
		r.Body = check.Append(r.Body)
	}
	r.Body = jute.MultiEnd.Append(r.Body)
	txn := pr.Prepare(1, time.UnixMilli(1), r)
	if txn.Op() != jute.OpMulti || txn.Multi[len(txn.Multi)-1].Op() != jute.OpCheck {
		t.Fatalf("became a transaction of type %s, error %d", txn.Op(), txn.Err)
	}
	if size, limit := len(txn.Append(nil)), len(r.Body); size > limit {
		t.Errorf("%d bytes in the log for a request of %d", size, limit)
	}
}

// TestIdentitiesCount has the identities of a request count in every queue, since a leader has them anew with each.
func TestIdentitiesCount(t *testing.T) {
	ids := []jute.ID{{Scheme: "digest", ID: strings.Repeat("x", 10_000)}}
	if with, without := (&Request{IDs: ids}).size(), (&Request{}).size(); with-without < 10_000 {
		t.Errorf("%d bytes with identities, %d without", with, without)
	}
	const many = 1000
	if with, without := (&Request{IDs: make([]jute.ID, many)}).size(), (&Request{}).size(); with-without < many*int(unsafe.Sizeof(jute.ID{})) {
		t.Errorf("%d bytes with empty identities, %d without", with, without)
	}
}

// TestReapedNoMore lets the znodes that were found to be due change before their deletion is prepared.
func TestReapedNoMore(t *testing.T) {
	pr, tr := testPreparer(t, nil)
	zxid := int64(0)
	apply := func(txn tree.Txn) {
		zxid++
		txn.Zxid, txn.ParentCVersion = zxid, -1
		tr.Apply(&txn, &tree.Result{}, nil)
		pr.digest = uint64(tr.Digest())
	}
	at := func(ms int64, op jute.Op) jute.TxnHeader { return jute.TxnHeader{Time: ms, Type: int32(op)} }
	apply(tree.Txn{TxnHeader: at(1000, jute.OpCreateTTL), Path: "/ttl", TTL: 500})
	apply(tree.Txn{TxnHeader: at(1000, jute.OpCreateContainer), Path: "/container"})
	apply(tree.Txn{TxnHeader: at(1000, jute.OpCreate), Path: "/container/child"})
	apply(tree.Txn{TxnHeader: at(1000, jute.OpDelete), Path: "/container/child"})
	reap := func(path string) jute.Code {
		zxid++
		txn := pr.Prepare(zxid, time.UnixMilli(2000), &Request{Op: jute.OpDeleteContainer, Body: jute.AppendString(nil, path), internal: true})
		pr.Applied(&txn)
		return txn.Err
	}
	for _, path := range []string{"/ttl", "/container"} {
		if code := reap(path); code != jute.OK {
			t.Errorf("%s is due, but its deletion fails with %d", path, code)
		}
	}
	pr.digest = uint64(tr.Digest())
	apply(tree.Txn{TxnHeader: at(1900, jute.OpSetData), Path: "/ttl", Version: 1})
	apply(tree.Txn{TxnHeader: at(1900, jute.OpDelete), Path: "/container"})
	apply(tree.Txn{TxnHeader: at(1900, jute.OpCreate), Path: "/container"})
	for _, path := range []string{"/ttl", "/container"} {
		if code := reap(path); code != jute.ErrBadVersion {
			t.Errorf("%s is due no more, but its deletion has the error %d", path, code)
		}
	}
}

// TestLongReadsKeepTheirTurn sends reads that run alone between writes of the same client, all at once.
func TestLongReadsKeepTheirTurn(t *testing.T) {
	s := startServer(t)
	c := client.NewRawConn(dial(t, s))
	if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
		t.Fatal(err)
	}
	const rounds = 100
	acl := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	var b []byte
	add := func(xid int32, op jute.Op, body []byte) {
		b = jute.AppendInt32(b, int32(8+len(body)))
		b = append((&jute.RequestHeader{Xid: xid, Type: int32(op)}).Append(b), body...)
	}
	for i := range int32(rounds) {
		create := jute.Operation{Op: jute.OpCreate, Path: fmt.Appendf(nil, "/node%d", i), ACL: acl, Flags: jute.ModeEphemeral}
		add(4*i, create.Op, create.Append(nil))
		add(4*i+1, jute.OpGetAllChildrenNumber, jute.AppendString(nil, "/"))
		add(4*i+2, jute.OpPing, nil)
		add(4*i+3, jute.OpGetEphemerals, jute.AppendString(nil, "/"))
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	for i := range int32(4 * rounds) {
		header, body, err := c.Reply()
		if err != nil {
			t.Fatal(err)
		}
		want := i
		if i%4 == 2 {
			want = jute.XidPing
		}
		if header.Xid != want || header.Err != 0 {
			t.Fatalf("reply %d has xid %d and error %d", i, header.Xid, header.Err)
		}
		d := jute.NewDecoder(body)
		switch made := i/4 + 1; i % 4 {
		case 1:
			if n := d.Int32(); n != 3+made {
				t.Fatalf("%d znodes after %d creations", n, made)
			}
		case 3:
			if n := len(d.Strings()); n != int(made) {
				t.Fatalf("%d ephemerals after %d creations", n, made)
			}
		}
	}
}

// TestSnapshotOnDemand has a snapshot written: its blocks have the zxid of its name.
func TestSnapshotOnDemand(t *testing.T) {
	s := startServer(t, "dataDir="+t.TempDir(), "clientPort=0")
	cl := connect(t, s)
	if _, err := cl.Create(t.Context(), "/node", make([]byte, 200<<10), client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	zxid := s.lastZxid.Load()
	last, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if last.Zxid != zxid || !strings.HasSuffix(last.File, fmt.Sprintf("snapshot.%x", zxid)) {
		t.Errorf("the snapshot is %+v; the last zxid is 0x%x", last, zxid)
	}
	newest, ok, err := txnlog.NewestSnapshot(txnlog.OS, s.dirs.snap)
	if !ok || err != nil || !newest.Ours || newest.Zxid != zxid || !newest.HasDigest || newest.Digest != s.tree.Digest() || newest.DigestZxid != zxid {
		t.Errorf("the newest snapshot is %+v, %v, %v", newest, ok, err)
	}
	file, err := os.ReadFile(last.File)
	if err != nil {
		t.Fatal(err)
	}
	const block = 8 + 8 + 5 // the zxid and a seal
	if got := int64(binary.BigEndian.Uint64(file[len(file)-block:])); got != zxid {
		t.Errorf("the snapshot's last block has zxid 0x%x, not 0x%x", got, zxid)
	}
}

// TestBatchesAreBounded takes large requests out of the inbox: in order, all of them, and not all at once.
func TestBatchesAreBounded(t *testing.T) {
	l := newInbox(func() {})
	var all []*Request
	for range 10 {
		all = append(all, &Request{Body: make([]byte, batchLimit/4)})
	}
	l.Submit(all)
	for len(all) > 0 {
		batch := l.take(nil, 0)
		if want := min(4, len(all)); len(batch) != want {
			t.Fatalf("a batch of %d requests, not %d", len(batch), want)
		}
		for i, r := range batch {
			if r != all[i] {
				t.Fatal("requests change their order")
			}
		}
		all = all[len(batch):]
	}
	if l.bytes != 0 {
		t.Errorf("the empty inbox counts %d bytes", l.bytes)
	}
}

// TestWriteOfALeftConnection reads a write from a connection whose client has made another one.
func TestWriteOfALeftConnection(t *testing.T) {
	c, _ := hotConn(t)
	set := &jute.SetDataRequest{Path: []byte("/app/config"), Version: -1}
	if err := c.handle(hotFrame(jute.OpSetData, set)); err != nil || len(c.submit) != 1 {
		t.Fatalf("%v, %d requests", err, len(c.submit))
	}
	newer := &conn{s: c.s}
	if old := newer.attach(c.session.Load()); old != c {
		t.Fatal("the session had no connection")
	}
	if err := c.handle(hotFrame(jute.OpSetData, set)); err == nil || len(c.submit) != 1 {
		t.Errorf("%v, %d requests", err, len(c.submit))
	}
	if newer.session.Load().conn.CompareAndSwap(newer, nil); c.handle(hotFrame(jute.OpCloseSession, nil)) == nil || c.session.Load().closing.Load() {
		t.Error("a connection that was left closes the session")
	}
}
