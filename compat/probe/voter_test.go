package probe

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// fake is a member that is not there: a voter at the election port and, if it is elected, a leader at its quorum port.
type fake struct {
	w    *world
	sid  int64
	ln   net.Listener // the quorum port
	addr string       // of the election port

	mu     sync.Mutex
	conn   net.Conn
	notes  queue[note]
	auto   func(n wire.Notification) (wire.Notification, bool) // answers what comes in
	rings  int                                                 // initial messages that came in
	ended  bool
	keeper bool // dials again whenever the connection breaks
}

// note is a vote that the server sent.
type note struct {
	n   wire.Notification
	err error
}

// queue is a line without an end.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	more  chan struct{}
}

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	if q.more != nil {
		close(q.more)
		q.more = nil
	}
}

// get waits for the next one; ok is false when it does not come.
func (q *queue[T]) get() (item T, ok bool) {
	timeout := time.After(patience)
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			item, q.items = q.items[0], q.items[1:]
			q.mu.Unlock()
			return item, true
		}
		if q.more == nil {
			q.more = make(chan struct{})
		}
		more := q.more
		q.mu.Unlock()
		select {
		case <-more:
		case <-timeout:
			return item, false
		}
	}
}

// flush forgets what is in the line.
func (q *queue[T]) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = nil
}

// dialElection connects to the server's election port as soon as it listens.
func (w *world) dialElection() net.Conn {
	w.Helper()
	return w.dial(w.election)
}

func (w *world) dial(addr string) net.Conn {
	w.Helper()
	timeout := time.After(patience)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			w.scene.Cleanup(func() { conn.Close() })
			return conn
		}
		select {
		case <-ticker.C:
		case <-timeout:
			w.Fatal(err)
		}
	}
}

// initial is an initial message with one address, given as text.
func initial(version, sid int64, addr string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(version))
	b = binary.BigEndian.AppendUint64(b, uint64(sid))
	b = binary.BigEndian.AppendUint32(b, uint32(len(addr)))
	return append(b, addr...)
}

// connect makes the connection to the server: with the larger sid by dialling it, and again whenever it breaks; with the smaller one by ringing.
func (f *fake) connect() {
	w := f.w
	w.Helper()
	if f.sid < me {
		conn := w.dialElection()
		conn.Write(initial(wire.InitialV1, f.sid, f.addr))
		return
	}
	f.keeper = true
	f.use(w.dialElection())
}

func (f *fake) use(conn net.Conn) {
	conn.Write(initial(wire.InitialV1, f.sid, f.addr))
	f.took(conn)
}

func (f *fake) took(conn net.Conn) {
	f.mu.Lock()
	f.conn = conn
	f.mu.Unlock()
	go f.read(conn)
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	if f.conn != nil {
		f.conn.Close()
	}
}

// listen takes connections at the fake's election port.
func (f *fake) listen(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r := wire.NewReader(conn, jute.MaxBuffer)
		m, err := r.InitialMessage()
		f.mu.Lock()
		f.rings++
		f.mu.Unlock()
		if err != nil || m.SID != me || f.sid > me { // a doorbell of one with a smaller sid
			conn.Close()
			continue
		}
		f.mu.Lock()
		f.conn = conn
		f.mu.Unlock()
		go f.readFrom(conn, r)
	}
}

func (f *fake) read(conn net.Conn) { f.readFrom(conn, wire.NewReader(conn, jute.MaxBuffer)) }

func (f *fake) readFrom(conn net.Conn, r *wire.Reader) {
	for {
		body, err := r.Frame()
		if err != nil {
			break
		}
		d := jute.NewDecoder(body)
		var n wire.Notification
		n.Decode(&d)
		f.mu.Lock()
		auto := f.auto
		f.mu.Unlock()
		if auto != nil {
			if answer, ok := auto(n); ok {
				conn.Write(answer.AppendFrame(nil))
			}
		}
		f.notes.put(note{n, d.Err()})
	}
	conn.Close()
	for {
		f.mu.Lock()
		current, ended := f.conn == conn, f.ended
		f.mu.Unlock()
		if !current || ended || !f.keeper {
			return
		}
		if again, err := net.Dial("tcp", f.w.election); err == nil {
			f.use(again)
			return
		}
		<-time.After(20 * time.Millisecond) // it does not listen yet
	}
}

// answers sets what the fake answers by itself to each vote.
func (f *fake) answers(auto func(n wire.Notification) (wire.Notification, bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.auto = auto
}

// write sends bytes on the fake's connection, when it is there.
func (f *fake) write(b []byte) {
	f.w.Helper()
	f.w.eventually("connected", true, func() any {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.conn != nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn.Write(b)
}

// frame is a frame with any body.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// say sends a vote.
func (f *fake) say(n wire.Notification) {
	f.w.Helper()
	f.write(n.AppendFrame(nil))
}

// hear returns the next vote that the server sends.
func (f *fake) hear() wire.Notification {
	f.w.Helper()
	n, ok := f.notes.get()
	if !ok {
		f.w.stuck = true
		f.w.Fatalf("nothing is heard at %d", f.sid)
	}
	if n.err != nil {
		f.w.Fatal(n.err)
	}
	return n.n
}

// hears passes over repetitions until the server sends the vote; anything else that differs from what it repeated is an error.
func (f *fake) hears(want string) wire.Notification {
	f.w.Helper()
	return f.hearsAfter(want)
}

// hearsAfter is hears, with votes that may come before.
func (f *fake) hearsAfter(want string, before ...string) wire.Notification {
	f.w.Helper()
	for {
		n := f.hear()
		got := vote(n)
		if got == want {
			return n
		}
		known := false
		for _, b := range before {
			known = known || b == got
		}
		if !known {
			f.w.Fatalf("heard at %d: %s, not %s", f.sid, got, want)
		}
	}
}

// until hears votes until the wanted one, and returns those before it, each once.
func (f *fake) until(want string) (before []string) {
	f.w.Helper()
	for {
		got := vote(f.hear())
		if got == want {
			return before
		}
		if len(before) == 0 || before[len(before)-1] != got {
			before = append(before, got)
		}
		if len(before) > 20 {
			f.w.Fatalf("heard at %d: %q, and not %s", f.sid, before, want)
		}
	}
}

var states = []string{"LOOKING", "FOLLOWING", "LEADING", "OBSERVING"}

// vote is the text of a vote.
func vote(n wire.Notification) string {
	state := fmt.Sprint(n.State)
	if n.State >= 0 && int(n.State) < len(states) {
		state = states[n.State]
	}
	leader, epoch := fmt.Sprint(n.Leader), fmt.Sprint(n.PeerEpoch)
	if n.Leader == -1<<63 {
		leader = "MIN"
	}
	if n.PeerEpoch == -1<<63 {
		epoch = "MIN"
	}
	text := fmt.Sprintf("%s %s %s round %d epoch %s", state, leader, z(n.Zxid), n.Round, epoch)
	if n.Version != 2 {
		text += fmt.Sprintf(" version %d", n.Version)
	}
	if c, err := ensemble.Parse(n.Config); err != nil {
		text += " no config"
	} else if c.Version != 0 {
		text += " config " + z(c.Version)
	}
	return text
}

// follow makes the fakes elect the leader whenever the server looks for one. They say that they look as well, and what the server says once it has taken that over.
func (w *world) follow(leader int64) {
	w.Helper()
	for sid, f := range w.fakes {
		if sid < me || w.config.Server(sid).Role != ensemble.Participant {
			continue
		}
		f.answers(func(n wire.Notification) (wire.Notification, bool) {
			if n.State != 0 {
				return n, false
			}
			if w.config.IsVoter(me) {
				if n.Leader != leader {
					n.Leader, n.Zxid = leader, n.Zxid+1000 // better than its own
				}
				return n, true
			}
			n.Leader, n.Zxid, n.PeerEpoch, n.State = leader, 0, 0, 1
			if sid == leader {
				n.State = 2
			}
			return n, true
		})
		f.connect()
	}
}

// elect makes the fakes elect the server whenever it looks for a leader.
func (w *world) elect() {
	w.Helper()
	f := w.fakes[3]
	f.answers(func(n wire.Notification) (wire.Notification, bool) { return n, n.State == 0 && n.Leader == me })
	f.connect()
}

// closes reads from a connection until the server closes it, and returns how many bytes came.
func (w *world) closes(conn net.Conn) int {
	w.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	n, err := io.Copy(io.Discard, conn)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		w.Fatal("the connection stays open")
	}
	return int(n)
}
