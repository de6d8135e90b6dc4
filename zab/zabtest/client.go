package zabtest

import (
	"time"

	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// client uses the ensemble through one server at a time: it appends under its session, reads, syncs, moves to another server. It knows what it was told, and
// that is held against what it is told next.
type client struct {
	w     *World
	index int
	rng   stream
	// whole is what the client really asks for, if servers are whole.
	whole Client

	server  *server
	session int64
	cxid    int32
	// waiting is what the client asked for and has no answer to, since is when.
	waiting wait
	since   time.Duration
	// tag names the sync that is waited for; asked is how much of the history anybody had shown when it was asked for.
	tag   uint32
	asked int
	// seen is the length of the longest history that it was shown or had a write acknowledged in (the zxid in replies).
	seen int
}

// wait is what a client waits for.
type wait uint8

const (
	waitNothing wait = iota
	waitSession      // its session is being created
	waitRevalidate
	waitWrite
	waitSync
)

// act does the next thing.
func (c *client) act() {
	w := c.w
	s := c.server
	if s != nil && s.flushing {
		// What the node said so far comes first, or an answer that is there already would be missed.
		s.run()
		s = c.server
	}
	switch {
	case c.waiting != waitNothing:
		if w.now-c.since > w.draw.patience {
			c.disconnect()
		}
	case s == nil:
		c.connect()
	default:
		s.touch(c.session)
		switch n := c.rng.intn(100); {
		case n < 55:
			c.write(jute.OpSetData)
		case n < 75:
			c.read()
		case n < 92:
			c.sync()
		case n < 98:
			c.disconnect()
		default:
			c.write(jute.OpCloseSession)
		}
	}
}

// disconnect leaves the server; whether what was asked for happens is not known.
func (c *client) disconnect() {
	if c.whole != nil && c.server != nil {
		c.whole.Lost()
		if c.waiting == waitSession {
			c.session = 0 // it does not know it
		}
	}
	c.server, c.waiting = nil, waitNothing
	c.tag++
}

// disconnect lets the clients of a server go.
func (w *World) disconnect(s *server) {
	for i := range w.clients {
		if w.clients[i].server == s {
			w.clients[i].disconnect()
		}
	}
}

// connect goes to some server, which accepts only if it has what the client has seen, and asks it for a session or brings the old one.
func (c *client) connect() {
	w := c.w
	s := w.servers[c.rng.intn(len(w.servers))]
	if !s.up || !s.serving || len(s.state) < c.seen || s.flushing {
		return
	}
	if c.session == 0 {
		if w.sessions+1 >= maxSessions {
			return
		}
		w.sessions++
		c.session, c.cxid = int64(w.sessions), 0
		c.server, c.waiting, c.since = s, waitSession, w.now
		if c.whole != nil {
			c.whole.Connect(c.session, true)
		}
		c.submit(request{op: jute.OpCreateSession, session: c.session, body: jute.AppendInt32(nil, int32(w.draw.sessionTimeout/time.Millisecond))})
		return
	}
	c.server = s
	if c.whole != nil {
		c.whole.Connect(c.session, false)
	}
	if s.role == zab.Leading {
		c.validated(s.ownSession(c.session, ownedHere))
		return
	}
	c.waiting, c.since = waitRevalidate, w.now
	s.revalidations = append(s.revalidations, revalidation{c.session, c.named()})
	r := wire.Session{ID: c.session, Timeout: int32(w.draw.sessionTimeout / time.Millisecond)}
	s.step(zab.Forward{Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: r.Append(nil)}})
}

// validated takes the leader's word on the session that the client has brought.
func (c *client) validated(valid bool) {
	if c.whole != nil && valid {
		c.whole.Connected()
	} else if c.whole != nil {
		c.whole.Refused()
	}
	if !valid {
		c.expired()
	}
}

// expired forgets the session.
func (c *client) expired() {
	c.session = 0
	c.disconnect()
}

// submit hands a request to the client's server, which proposes it or sends it to its leader.
func (c *client) submit(r request) {
	s := c.server
	if s.role == zab.Leading {
		s.enqueueRequest(r)
		s.step(zab.Tick{})
		return
	}
	if s.node.Full() {
		return
	}
	c.w.cover.hit(pointForward)
	data := wire.Request{SessionID: r.session, Cxid: r.cxid, Op: r.onWire(), Body: r.body}
	s.step(zab.Forward{Packet: wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: data.Append(nil)}})
}

// write appends under the session, or closes it.
func (c *client) write(op jute.Op) {
	c.cxid++
	c.waiting, c.since = waitWrite, c.w.now
	r := request{op: op, session: c.session, cxid: c.cxid}
	if c.whole != nil {
		c.dress(&r)
	}
	c.submit(r)
}

// acknowledge answers the client whose request was applied at its server.
func (w *World) acknowledge(s *server, id txnID, told Applied) {
	t := &w.txns[id]
	for i := range w.clients {
		c := &w.clients[i]
		if c.server != s || c.session != t.session || c.cxid != t.cxid || c.waiting != waitWrite && c.waiting != waitSession {
			continue
		}
		w.cover.hit(pointAcknowledged)
		c.seen = max(c.seen, t.depth)
		if c.whole != nil && t.op != jute.OpError {
			c.tell(told)
		}
		switch {
		case t.op == jute.OpError, t.op == jute.OpCloseSession:
			c.expired()
		default:
			c.waiting = waitNothing
		}
	}
}

// read looks at the state of the server.
func (c *client) read() {
	w, s := c.w, c.server
	w.cover.hit(pointRead)
	w.reader = c
	w.look(atRead, s)
	c.seen = len(s.state)
	if c.whole != nil {
		c.whole.Read(s.whole)
	}
}

// sync asks for a state that has everything that anybody has been shown.
func (c *client) sync() {
	w, s := c.w, c.server
	c.waiting, c.since, c.asked = waitSync, w.now, len(w.shown)
	if c.whole != nil {
		c.whole.Sync()
	}
	c.tag++
	if s.role != zab.Leading {
		if s.node.Full() {
			return
		}
		s.syncs = append(s.syncs, c.named())
	}
	c.submit(request{op: jute.OpSync, session: c.session, cxid: c.cxid, tag: c.named()})
}

// named is the client with its tag, as requests have it.
func (c *client) named() uint64 { return uint64(c.index)<<32 | uint64(c.tag) }

// synced is the answer to a sync; a read follows it at once.
func (c *client) synced(s *server, tag uint32) {
	if c.server != s || c.waiting != waitSync || c.tag != tag {
		return
	}
	c.w.cover.hit(pointSynced)
	c.w.reader = c
	c.w.look(atSynced, s)
	c.waiting = waitNothing
	if c.whole != nil {
		c.whole.Synced(s.whole)
	}
	c.read()
}

// syncAnswered takes a SYNC of the leader, which answers the oldest sync.
func (s *server) syncAnswered() {
	if len(s.syncs) == 0 {
		s.w.violate("I18", "server %d got a SYNC that nobody asked for", s.sid)
	}
	tag := s.syncs[0]
	s.syncs = append(s.syncs[:0], s.syncs[1:]...)
	s.w.clients[tag>>32].synced(s, uint32(tag))
}

// revalidated is the leader's word on a session whose client came to a learner.
func (w *World) revalidated(s *server, r wire.SessionValid) {
	for i := range s.revalidations {
		asked := s.revalidations[i]
		if asked.session != r.ID {
			continue
		}
		s.revalidations = append(s.revalidations[:i], s.revalidations[i+1:]...)
		c := &w.clients[asked.tag>>32]
		if c.server != s || c.waiting != waitRevalidate || c.named() != asked.tag {
			return
		}
		if r.Valid {
			w.cover.hit(pointRevalidateYes)
		} else {
			w.cover.hit(pointRevalidateNo)
		}
		c.waiting = waitNothing
		c.validated(r.Valid)
		return
	}
	w.violate("I18", "server %d got an answer to a REVALIDATE that nobody sent", s.sid)
}
