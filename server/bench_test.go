package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
	"quoll/tree"
)

// BenchmarkPrepare is what it costs to make a transaction of a request and to forget it when the tree has it.
func BenchmarkPrepare(b *testing.B) {
	pr, tr := testPreparer(b, nil)
	now := time.Now()
	path, data := []byte("/app/config"), make([]byte, 100)
	everyone := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	const session = 1
	for i, r := range []*Request{
		{Op: jute.OpCreateSession, Body: jute.AppendInt32(nil, 10_000)},
		{Op: jute.OpCreate, Body: (&jute.CreateRequest{Path: []byte("/app"), ACL: everyone}).Append(nil)},
		{Op: jute.OpCreate, Body: (&jute.CreateRequest{Path: path, Data: data, ACL: everyone}).Append(nil)},
	} {
		r.Session = session
		txn := pr.Prepare(int64(1+i), now, r)
		var result tree.Result
		if tr.Apply(&txn, &result, nil); result.Err != jute.OK {
			b.Fatal(result.Err)
		}
		pr.Applied(&txn)
	}
	set := &jute.SetDataRequest{Path: path, Data: data, Version: -1}
	var multi []byte
	for range 10 {
		multi = (&jute.MultiHeader{Type: int32(jute.OpSetData), Err: -1}).Append(multi)
		multi = set.Append(multi)
	}
	for _, r := range []struct {
		name string
		op   jute.Op
		body []byte
	}{
		{"setData", jute.OpSetData, set.Append(nil)},
		{"create", jute.OpCreate, (&jute.CreateRequest{Path: []byte("/app/new"), Data: data, ACL: everyone}).Append(nil)},
		{"sequential", jute.OpCreate, (&jute.CreateRequest{Path: []byte("/app/n"), Data: data, ACL: everyone, Flags: int32(jute.ModePersistentSequential)}).Append(nil)},
		{"delete", jute.OpDelete, (&jute.DeleteRequest{Path: path, Version: -1}).Append(nil)},
		{"multi", jute.OpMulti, jute.MultiEnd.Append(multi)},
	} {
		b.Run(r.name, func(b *testing.B) {
			zxid := tr.LastZxid()
			b.ReportAllocs()
			for b.Loop() {
				zxid++
				txn := pr.Prepare(zxid, now, &Request{Session: session, Op: r.op, Body: r.body})
				if txn.Op() == jute.OpError {
					b.Fatal(txn.Err)
				}
				pr.Applied(&txn)
			}
		})
	}
}

// BenchmarkApplySet is what a batch of one write costs from the commit to the answer and the events in the sockets: the znode is watched by so many,
// who set their watches again each time.
func BenchmarkApplySet(b *testing.B) {
	for _, watchers := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			c, _ := hotConn(b)
			s, path := c.s, "/app/config"
			all := make([]*conn, watchers)
			for i := range all {
				w := &conn{s: s, net: &sink{Conn: remoteAddr{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}}}, ipID: c.ipID, lock: c.lock, connReader: &connReader{now: c.now}}
				w.ids.Store(&[]jute.ID{c.ipID})
				all[i] = w
			}
			eventually(b, "the server is done with the creates", func() bool { return len(s.apply.flush) == 0 })
			zxid := s.lastZxid.Load()
			txn := tree.Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpSetData)}, Path: path, Data: make([]byte, 100), Version: 1}
			b.ReportAllocs()
			for b.Loop() {
				zxid++
				txn.Zxid = zxid
				s.lockTree()
				for _, w := range all {
					s.watches.set(path, w, dataStandard)
				}
				s.applyOne(&Proposal{Txn: txn}, c.now)
				s.unlockTree()
				if n := len(s.apply.flush); n != watchers {
					b.Fatalf("%d events, not %d", n, watchers)
				}
				// What flushAll leaves to goroutines is in the figure too.
				for _, w := range s.apply.flush {
					w.pendingFlush = false
					w.flush()
				}
				s.apply.flush = s.apply.flush[:0]
			}
		})
	}
}

// BenchmarkRead is BenchmarkHotPath for the reads whose answers are long or come in batches.
func BenchmarkRead(b *testing.B) {
	c, _ := hotConn(b)
	for _, family := range []struct {
		path     string
		children int
	}{{"/small", 100}, {"/large", 10_000}} {
		grow(b, c.s, family.path)
		for i := range family.children {
			grow(b, c.s, fmt.Sprintf("%s/child-%05d", family.path, i))
		}
	}
	for _, r := range []struct {
		name  string
		op    jute.Op
		body  client.Body
		batch int
	}{
		{"getData/batch=20", jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/app/config")}, 20},
		{"getData/watch", jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/app/config"), Watch: true}, 1},
		{"children/100", jute.OpGetChildren2, &jute.PathWatchRequest{Path: []byte("/small")}, 1},
		{"children/10000", jute.OpGetChildren2, &jute.PathWatchRequest{Path: []byte("/large")}, 1},
	} {
		b.Run(r.name, func(b *testing.B) {
			frame := hotFrame(r.op, r.body)
			b.ReportAllocs()
			for b.Loop() {
				c.now = time.Now()
				for range r.batch {
					if err := c.handle(frame); err != nil {
						b.Fatal(err)
					}
				}
				if !c.endBatch() {
					b.Fatal("the connection is closed")
				}
			}
		})
	}
}

// grow creates a znode as if it had been committed.
func grow(b *testing.B, s *Server, path string) {
	s.lockTree()
	defer s.unlockTree()
	txn := tree.Txn{TxnHeader: jute.TxnHeader{Zxid: s.tree.LastZxid() + 1, Type: int32(jute.OpCreate)}, Path: path, ParentCVersion: -1,
		ACL: []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}}
	var result tree.Result
	if s.tree.Apply(&txn, &result, nil); result.Err != jute.OK {
		b.Fatal(path, result.Err)
	}
}
