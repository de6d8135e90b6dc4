package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"quoll/config"
	"quoll/jute"
	"quoll/replica"
	"quoll/store"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/txnlog/memfs"
	"quoll/zab"
	"quoll/zab/wire"
)

// newMember starts the server behind a member of an ensemble, without the ensemble.
func newMember(t *testing.T, dir string, disk *memfs.FS) (*Server, error) {
	t.Helper()
	return newLoggingMember(t, dir, disk, nil)
}

func newLoggingMember(t *testing.T, dir string, disk *memfs.FS, log *slog.Logger) (*Server, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Sources{Set: []string{"dataDir=" + dir, "initLimit=5", "syncLimit=5", "server.1=localhost:1:2", "server.2=localhost:3:4", "server.3=localhost:5:6"}})
	if err != nil {
		t.Fatal(err)
	}
	disk.WriteFile(filepath.Join(dir, "initialize"), nil)
	return Start(Options{Config: cfg, FS: disk, StoreFS: disk.VFS(), Logger: log})
}

func createRecord(zxid int64, path string) zab.Record {
	txn := createTxn(zxid, path)
	return record(&txn)
}

func createTxn(zxid int64, path string) tree.Txn {
	return tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 1, Zxid: zxid, Type: int32(jute.OpCreate)}, Path: path, ACL: []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}}
}

func record(txn *tree.Txn) zab.Record {
	r, ok := zab.RecordOf(txn.Zxid, txn.Append(nil))
	if !ok {
		panic(fmt.Sprintf("no record of %#x", txn.Zxid))
	}
	return r
}

// end closes a server, which must not take for ever.
func end(t *testing.T, s *Server) {
	t.Helper()
	_ = s.Member().End()
	done := make(chan struct{})
	go func() {
		_ = s.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the server does not close")
	}
}

// TestNothingBehindAHole applies a transaction that cannot be read, and one behind it: nothing of that one may be seen, nor be there after a restart.
func TestNothingBehindAHole(t *testing.T) {
	dir, disk := t.TempDir(), memfs.New()
	s, err := newMember(t, dir, disk)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	h := jute.TxnHeader{ClientID: 1, Zxid: 1<<32 | 2, Type: int32(jute.OpCreate)}
	bad, ok := zab.RecordOf(h.Zxid, h.Append(nil)) // without a body, which zab does not look at
	if !ok {
		t.Fatal("zab refuses the record")
	}
	records := []zab.Record{createRecord(1<<32|1, "/a"), bad, createRecord(1<<32|3, "/c")}
	if err := m.PersistEpoch(zab.AcceptedEpoch, 1); err != nil {
		t.Fatal(err)
	}
	if err := m.Append(records); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := m.Apply(records[i:i+1], time.Now()); (err == nil) != (i == 0) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if zxid, _ := s.State(); zxid != 1<<32|1 {
		t.Errorf("the state is that of %#x", zxid)
	}
	end(t, s)
	if s, err = newMember(t, dir, disk); err == nil {
		zxid, _ := s.State()
		t.Errorf("a restart makes a state of %#x from a log that cannot be read", zxid)
		end(t, s)
	}
}

// TestEndAheadOfTheLog closes a server that has applied what it could not log, since others have it.
func TestEndAheadOfTheLog(t *testing.T) {
	dir, disk := t.TempDir(), memfs.New()
	s, err := newMember(t, dir, disk)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	if err := m.PersistEpoch(zab.AcceptedEpoch, 1); err != nil {
		t.Fatal(err)
	}
	disk.Fail = func(_, name string) error {
		if strings.Contains(name, "currentEpoch") {
			return syscall.EIO
		}
		return nil
	}
	r := []zab.Record{createRecord(1<<32|1, "/a")}
	if err := m.Append(r); err == nil {
		t.Error("logged without its epoch")
	}
	disk.Fail = nil
	if err := m.Apply(r, time.Now()); err != nil {
		t.Fatal(err)
	}
	end(t, s)
}

// TestEndOfABrokenDisk closes a server whose disk does not work any more: it says why, once, and what it had made durable is there at the next start.
func TestEndOfABrokenDisk(t *testing.T) {
	for _, reload := range []bool{false, true} {
		dir, disk, log := t.TempDir(), memfs.New(), new(tale)
		var broken atomic.Bool
		disk.Fail = func(op, name string) error {
			if broken.Load() && (op == "sync" || op == "write") && strings.Contains(name, "log.") {
				return syscall.EIO
			}
			return nil
		}
		s, err := newLoggingMember(t, dir, disk, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		m := s.Member()
		if err := m.PersistEpoch(zab.AcceptedEpoch, 1); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := m.Append([]zab.Record{createRecord(1<<32|int64(i+1), fmt.Sprintf("/%d", i))}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Sync(); (err != nil) != broken.Load() {
				t.Fatal(err)
			}
			broken.Store(true)
		}
		if reload {
			if err := m.Reload(); err == nil {
				t.Fatal("it reads what cannot be synced")
			}
		}
		if err := m.End(); err != nil {
			t.Errorf("it ends with an error: %v", err)
		}
		if said := log.String(); strings.Count(said, "the server ends while nothing can be logged") != 1 || !strings.Contains(said, syscall.EIO.Error()) {
			t.Errorf("it says %s", said)
		}
		_ = s.Close()
		broken.Store(false)
		if s, err = newMember(t, dir, disk); err != nil {
			t.Fatal(err)
		}
		if zxid, _ := s.State(); zxid != 1<<32|1 {
			t.Errorf("the next start has %#x", zxid)
		}
		end(t, s)
	}
}

// TestOwnSessionsAreForgotten has a leader apply the session of one of its own clients: the request is known, and nothing may stay of it.
func TestOwnSessionsAreForgotten(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	r := &Request{Session: 7, Op: jute.OpCreateSession}
	m.expect(r)
	txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 7, Zxid: 1<<32 | 1, Type: int32(jute.OpCreateSession)}, Timeout: 4000}
	m.proposed = append(m.proposed, Proposal{Txn: txn, Request: r})
	if err := m.Apply([]zab.Record{{Zxid: txn.Zxid, Data: txn.Append(nil)}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(m.creating) != 0 || len(m.proposed) != 0 {
		t.Errorf("%d sessions and %d proposals are kept", len(m.creating), len(m.proposed))
	}
	end(t, s)
}

// TestInboxOfAMember submits more than the inbox holds while nothing can be handed over: whoever submits waits, and the member takes no more than a batch.
func TestInboxOfAMember(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	m.Attach(func() {}, func(func()) {})
	m.Serve(zab.Serve{Role: zab.Leading, Epoch: 1}) // what was there before is still being applied
	body, taken := make([]byte, 1<<20), make(chan int, 1)
	go func() {
		n := 0
		for range 2 * inboxLimit / len(body) {
			m.Submit([]*Request{{Op: jute.OpSetData, Body: body, service: m.service}})
			n++
		}
		taken <- n
	}()
	for m.pending() < inboxLimit/len(body) {
		m.Work(0, nil)
	}
	for range 100 {
		m.Work(0, nil)
	}
	size := 0
	for _, r := range m.own {
		size += r.size()
	}
	if size > batchLimit+2*len(body) {
		t.Errorf("the member has taken %d bytes", size)
	}
	end(t, s) // lets the one that waits go
	<-taken
}

// TestRequestsAbroad has the clients of a follower write more than its leader should have to keep: the rest waits until enough is answered, or nobody waits for it.
func TestRequestsAbroad(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m, looks := s.Member(), 0
	m.Attach(func() { looks++ }, func(func()) {})
	m.Serve(zab.Serve{Role: zab.Following, Epoch: 1})
	n := zab.New(zab.Options{SID: 1, Tick: time.Second, InitLimit: 5, SyncLimit: 5}, zab.State{Committed: &s.opts.Ensemble, LastSeen: &s.opts.Ensemble})
	body := make([]byte, 1<<20)
	conns := make([]*conn, 100)
	for i := range conns {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		c := &conn{s: s, net: near, service: m.service, connReader: &connReader{}}
		r := &Request{Op: jute.OpSetData, Body: body, conn: c, service: m.service, write: true}
		c.fifo.Lock()
		c.push(r)
		c.fifo.Unlock()
		conns[i] = c
		m.own = append(m.own, r)
	}
	forwarded := func(want int) {
		t.Helper()
		m.Work(0, n)
		if sent := len(conns) - len(m.own); sent != want {
			t.Errorf("%d requests are sent, want %d", sent, want)
		}
	}
	conns[1].cleanUp() // the request is carried out all the same, and nobody waits for it
	const most = abroadLimit/(1<<20+200) + 1
	forwarded(most + 1)
	looks = 0
	for _, c := range conns[2:4] {
		c.fifo.Lock()
		c.pop()
		c.fifo.Unlock()
		m.goOn()
	}
	conns[4].cleanUp()
	conns[99].cleanUp() // which was not sent
	if looks != 1 {
		t.Errorf("what is held is looked at %d times", looks)
	}
	forwarded(most + 4)
	for _, c := range conns {
		c.cleanUp()
	}
	forwarded(len(conns))
	if left := m.abroad.Load(); left != 0 {
		t.Errorf("in the end %d bytes are with the leader", left)
	}
	end(t, s)
}

// TestMatch finds the request that a transaction answers: of every opcode the one that succeeds and the one that fails, and never that of another.
func TestMatch(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	session := s.sessions.add(7, 0, 4000)
	for op, row := range ops {
		if row.kind != write {
			continue
		}
		c := &conn{s: s, connReader: &connReader{}}
		session.conn.Store(c)
		sync, r := &Request{Op: jute.OpSync, write: true}, &Request{Op: op, write: true}
		c.fifo.queue = []*Request{{Op: jute.OpGetData}, sync, r, {Op: op, Cxid: 1, write: true}}
		for other := range ops {
			var want *Request
			if other == op || other == jute.OpError {
				want = r
			}
			txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: 7, Type: int32(other)}}
			if got := s.member.match(&txn); got != want {
				t.Errorf("a transaction %v is taken for the answer to %v: %v", other, op, got != nil)
			}
			if txn.Cxid = 1; s.member.match(&txn) != nil {
				t.Errorf("%v overtakes", other)
			}
		}
	}
	end(t, s)
}

// TestEveryViewerIsTold has views of the store asked for while it fails and comes back, while the tree is another one, and at the end.
func TestEveryViewerIsTold(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	k := newCheckpointer(s) // whose captures the test takes
	told := 0
	ask := func() { k.view(func(*store.View, error) { told++ }) }
	cut := func() {
		k.cutIfDue(func() {})
		select {
		case c := <-k.captures:
			for _, fn := range c.viewers {
				fn(nil, errStopping)
			}
			k.close(c.capture)
			k.busy.Store(false)
			k.flight.Done()
		default:
		}
	}
	var failing sync.WaitGroup
	var stop atomic.Bool
	failing.Go(func() { // as a snapshot beside the captures does
		for !stop.Load() {
			k.retryLater()
			runtime.Gosched()
			k.retryAt.Store(0)
		}
	})
	const n = 20_000
	for range n {
		ask()
		cut()
	}
	stop.Store(true)
	failing.Wait()
	if told != n {
		t.Errorf("%d of %d were told", told, n)
	}
	told = 0
	k.paused.Store(true)
	ask()
	if cut(); told != 1 {
		t.Error("nobody is told while the tree is another one")
	}
	ask()
	if k.finish(); told != 2 {
		t.Error("nobody is told at the end")
	}
	end(t, s)
}

// TestViewAfterACheckpoint asks for a view of the store while a checkpoint is on its way: when that has ended, the member looks.
func TestViewAfterACheckpoint(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m, looks := s.Member(), make(chan struct{}, 1)
	m.Attach(func() {
		select {
		case looks <- struct{}{}:
		default:
		}
	}, func(func()) {})
	s.checkpoints.wanted.Store(false) // no snapshot behind it, whose end is looked at in any case
	m.cut()
	if !s.checkpoints.busy.Load() && s.checkpoints.full.Load() {
		t.Error("no checkpoint was begun")
	}
	select {
	case <-looks:
	case <-time.After(patience):
		t.Error("it does not look")
	}
	end(t, s)
}

// TestSnapshotAhead installs a snapshot with the effect of a transaction that is behind its zxid, as ZooKeeper writes them while it applies. The digests that do not
// fit until that transaction has come are no news; those after it are, and so is the first one if the leader has said that all has come.
func TestSnapshotAhead(t *testing.T) {
	leader, ahead := tree.New(), tree.New()
	var sent []zab.Record
	for zxid := int64(1); zxid <= 6; zxid++ {
		txn := createTxn(zxid, fmt.Sprintf("/%d", zxid))
		leader.Apply(&txn, &tree.Result{}, nil)
		if txn.HasDigest, txn.Digest = true, leader.Digest(); zxid == 6 {
			txn.Digest++
		}
		if zxid <= 2 || zxid == 4 {
			ahead.Apply(&txn, &tree.Result{}, nil)
		}
		sent = append(sent, record(&txn))
	}
	ahead.SetLastZxid(2)
	var stream bytes.Buffer
	if err := txnlog.WriteStream(&stream, replica.WholeTree(ahead)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		caught bool // before the first transaction behind the snapshot
		want   int64
	}{{"while it catches up", false, 1}, {"after that", true, 2}} {
		t.Run(c.name, func(t *testing.T) {
			dir, disk := t.TempDir(), memfs.New()
			s, err := newMember(t, dir, disk)
			if err != nil {
				t.Fatal(err)
			}
			m := s.Member()
			m.Attach(func() {}, func(func()) {})
			if _, err := m.Install(2, bytes.NewReader(stream.Bytes())); err != nil {
				t.Fatal(err)
			}
			if c.caught {
				m.Serve(zab.Serve{Role: zab.Following, Leader: 2})()
			}
			if err := errors.Join(m.Append(sent[2:]), m.Apply(sent[2:], time.Now())); err != nil {
				t.Fatal(err)
			}
			if got := s.metrics.DigestMismatches.Load(); got != c.want {
				t.Errorf("%d mismatches were counted, should be %d", got, c.want)
			}
			end(t, s)
		})
	}
}

// TestWrongDigests applies transactions of a leader that writes wrong digests now and then, as one that is Java does, and loads the log with them. A digest that agrees
// in the end says that the tree was right; without one it is told to be wrong, and the store is not used.
func TestWrongDigests(t *testing.T) {
	for _, c := range []struct {
		name          string
		wrong         []int64
		live, restart []string // what the log says
		from          string
	}{
		{"none", nil, nil, nil, "from=store"},
		{"some", []int64{3, 4, 6}, []string{"zxid=0x3 type=create", "again; it was the digests that were wrong\" zxid=0x5 transactions=2", "zxid=0x6 type=create", "zxid=0x7 transactions=1"},
			[]string{"some digests in the log are wrong, but not those in the end, so the tree is right\" transactions=3"}, "from=store"},
		{"the last ones", []int64{3, 7, 8}, []string{"zxid=0x3 type=create", "zxid=0x4 transactions=1", "zxid=0x7 type=create"},
			[]string{"the digest from transaction 0x7 on", "the tree's digest is not the recorded one\" zxid=0x7"}, "from=snapshot."},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, disk, leader := t.TempDir(), memfs.New(), tree.New()
			start := func() (*Server, *tale) {
				told := new(tale)
				s, err := newLoggingMember(t, dir, disk, slog.New(slog.NewTextHandler(told, nil)))
				if err != nil {
					t.Fatal(err)
				}
				return s, told
			}
			said := func(told *tale, want []string) {
				var have []string
				for line := range strings.Lines(told.String()) {
					if strings.Contains(line, "digest") && !strings.Contains(line, "level=INFO") {
						have = append(have, line)
					}
				}
				if !slices.EqualFunc(have, want, strings.Contains) {
					t.Errorf("the log says\n%swhich should be about\n%s", strings.Join(have, ""), strings.Join(want, "\n"))
				}
			}
			s, told := start()
			m := s.Member()
			m.Attach(func() {}, func(func()) {})
			for m.cut(); s.checkpoints.full.Load() || s.checkpoints.busy.Load(); { // until there is a store
				runtime.Gosched()
			}
			for zxid := int64(1); zxid <= 8; zxid++ {
				txn := createTxn(zxid, fmt.Sprintf("/%d", zxid))
				leader.Apply(&txn, &tree.Result{}, nil)
				if txn.HasDigest, txn.Digest = true, leader.Digest(); slices.Contains(c.wrong, zxid) {
					txn.Digest++
				}
				r := []zab.Record{record(&txn)}
				if err := errors.Join(m.Append(r), m.Apply(r, time.Now())); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.metrics.DigestMismatches.Load(); got != int64(len(c.wrong)) {
				t.Errorf("%d mismatches were counted, should be %d", got, len(c.wrong))
			}
			said(told, c.live)
			s.checkpoints.paused.Store(true) // the store stays as it is
			end(t, s)
			s, told = start()
			if got := s.metrics.DigestMismatches.Load(); got != int64(len(c.wrong)) {
				t.Errorf("%d mismatches were counted in the log, should be %d", got, len(c.wrong))
			}
			said(told, c.restart)
			if !told.has(c.from) {
				t.Errorf("it should be loaded %s:\n%s", c.from, told)
			}
			end(t, s)
		})
	}
}

// TestRenewalOfAStranger renews a session that another server has made and that is not known here yet. What the leader says counts from its turn among the
// transactions on, so that the end of the session behind it is not missed.
func TestRenewalOfAStranger(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	m.Serve(zab.Serve{Role: zab.Following, Epoch: 1})()
	for _, tt := range []struct {
		name        string
		lives, ends bool
	}{{"it lives", true, false}, {"it does not", false, false}, {"it ends behind the answer", true, true}} {
		const id = 7<<56 | 1
		m.Attach(func() { // once the question is asked, and before the connection has its answer
			for _, r := range m.take(nil, 0) {
				m.validating[r.Session] = append(m.validating[r.Session], r)
			}
			answer := jute.AppendBool(jute.AppendInt64(nil, id), tt.lives)
			if err := m.Answer(wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: answer}); err != nil {
				t.Error(err)
			}
			if tt.ends {
				txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: id, Zxid: 1<<32 | 1, Type: int32(jute.OpCloseSession)}}
				s.Apply([]Proposal{{Txn: txn}})
			}
		}, func(func()) {})
		near, far := net.Pipe()
		read := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(far)
			read <- b
		}()
		c := &conn{s: s, net: near, service: m.service, connReader: &connReader{now: time.Now()}}
		secret := password(id)
		welcome := c.renewSession(&jute.ConnectRequest{SessionID: id, Password: secret[:]}, 4000)
		c.close()
		want := int64(0)
		if tt.lives && !tt.ends {
			want = id
		}
		if b := <-read; welcome != (want != 0) || len(b) < 20 || int64(binary.BigEndian.Uint64(b[12:])) != want {
			t.Errorf("%s: the answer is %v, %x", tt.name, welcome, b)
		}
		if session := s.sessions.remove(id); (session != nil) != welcome {
			t.Errorf("%s: the session is kept: %v", tt.name, session != nil)
		}
	}
	end(t, s)
}

// TestOpcodesOfALearner has a learner send what is no write: no opcode stands for anything else.
func TestOpcodesOfALearner(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	m.Serve(zab.Serve{Role: zab.Leading, Epoch: 1})
	for _, op := range []jute.Op{math.MinInt32, -1, jute.OpNotification, jute.OpGetData, 999, math.MaxInt32} {
		data := jute.AppendInt32(jute.AppendInt32(jute.AppendInt64(nil, 9), 1), int32(op))
		if err := m.Deliver(zab.Deliver{Link: 3, SID: 2, Packet: wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: data}}); err == nil {
			t.Errorf("the opcode %d is taken", op)
		}
	}
	question := jute.AppendInt32(jute.AppendInt64(nil, 9), 4000)
	if err := m.Deliver(zab.Deliver{Link: 3, SID: 2, Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: question}}); err != nil {
		t.Error(err)
	}
	if err := m.Deliver(zab.Deliver{Link: 3, SID: 2, Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: question[:len(question)-1]}}); err == nil {
		t.Error("a question without its timeout, which would be 0, is taken")
	}
	if len(m.line) != 1 || !m.line[0].asks {
		t.Errorf("the line has %d requests", len(m.line))
	}
	end(t, s)
}

// TestLineOfLearners is how much of their requests a leader keeps while its line does not move: of a member so much, whatever its links, and of all that are no members as much together.
func TestLineOfLearners(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	m.Serve(zab.Serve{Role: zab.Leading, Epoch: 1})
	const size = lineLimit/4 - 1000
	data := jute.AppendInt32(jute.AppendInt32(jute.AppendInt64(nil, 9), 1), int32(jute.OpSetData))
	data = append(data, make([]byte, size)...) // all of them are the same bytes
	for i, from := range []struct {
		sid      int64
		stranger bool
		links    []zab.LinkID // each sends one
		full     bool         // the last one is too much
	}{
		{2, false, []zab.LinkID{3, 3, 3, 3, 3}, true},
		{2, false, []zab.LinkID{4}, true},
		{7, true, []zab.LinkID{5, 5}, false},
		{8, true, []zab.LinkID{6, 6, 6}, true},
		{9, true, []zab.LinkID{7}, true},
		{3, false, []zab.LinkID{8, 8, 8, 8}, false},
	} {
		for k, link := range from.links {
			err := m.Deliver(zab.Deliver{Link: link, SID: from.sid, Stranger: from.stranger, Packet: wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: data}})
			if refused := from.full && k == len(from.links)-1; (err != nil) != refused {
				t.Errorf("%d. request %d of server %d on link %d: %v", i, k, from.sid, link, err)
			}
		}
	}
	for i := range m.line {
		m.dequeued(&m.line[i])
	}
	if len(m.line) != 4+4+4 || len(m.bytes) != 0 {
		t.Errorf("%d requests are in the line, and when they are gone they count for %v", len(m.line), m.bytes)
	}
	end(t, s)
}

// TestContainerOfALearner has a learner's client ask for what only servers may: it is refused in a transaction, and the link stays.
func TestContainerOfALearner(t *testing.T) {
	s, err := newMember(t, t.TempDir(), memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	m := s.Member()
	m.Serve(zab.Serve{Role: zab.Leading, Epoch: 1})
	data := jute.AppendInt32(jute.AppendInt32(jute.AppendInt64(nil, 9), 1), int32(jute.OpDeleteContainer))
	data = jute.AppendString(data, "/zookeeper")
	if err := m.Deliver(zab.Deliver{Link: 3, SID: 2, Packet: wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: data}}); err != nil {
		t.Fatal(err)
	}
	if txn := m.prepare(1<<32|1, time.Now(), &m.line[0]); txn.Op() != jute.OpError || txn.Err != jute.ErrUnimplemented {
		t.Errorf("%v %v", txn.Op(), txn.Err)
	}
	end(t, s)
}
