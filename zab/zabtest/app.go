package zabtest

import (
	"fmt"
	"math/bits"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// app is the part of a server behind the node's driver: a list to which sessions append. It is the leader's line of requests and its sessions, and what a
// learner owes its clients. All of it is lost with the service.
type app struct {
	// line are requests in the order in which they will be proposed.
	line []request
	// tail is the last transaction proposed, on which the next is built.
	tail txnID
	// owner is who may write for a session: the link it came from, or ownedHere; 0 for nobody.
	owner [maxSessions]zab.LinkID
	// touchedAt is when a session was heard of, by the leader's clock; expiring are those that were told to close.
	touchedAt [maxSessions]time.Duration
	expiring  uint64
	// touched are the sessions that a learner has heard of since the last PING.
	touched uint64
	// syncs are the tags of the syncs that a learner sent, in order.
	syncs []uint64
	// revalidations are those of the questions whether a session is alive. An answer is that to the oldest for its session: taken for one to a later question, it
	// would let a client write that a move to another server still lies before.
	revalidations []revalidation
}

// revalidation is what a learner has asked about a session, for the client and its tag.
type revalidation struct {
	session int64
	tag     uint64
}

// request is something that a client, or the leader itself, wants.
type request struct {
	op      jute.Op
	session int64
	cxid    int32
	link    zab.LinkID
	tag     uint64
	members []int64
	// revalidate says that it is no request but the question whether the session is alive. It is in line all the same: behind what the link sent before, or a
	// request that is older than the client's move to another server and back would be done after those it made there.
	revalidate bool
	// real and body are what a client of a whole server asks for.
	real jute.Op
	body []byte
}

const (
	// maxSessions bounds the sessions of a run: they are bits of a word.
	maxSessions = 64
	// ownedHere is the owner of a session whose client is at the leader.
	ownedHere = zab.LinkID(1 << 60)
)

// stop forgets everything.
func (a *app) stop() {
	*a = app{line: a.line[:0], syncs: a.syncs[:0], revalidations: a.revalidations[:0]}
}

// lead begins the service of a leader: sessions get their whole time, whoever writes first owns one.
func (a *app) lead(s *server) {
	a.tail = s.state.last()
	for i := range a.touchedAt {
		a.touchedAt[i] = s.clock.read(s.w.now)
	}
}

// enqueueRequest puts a request in line.
func (s *server) enqueueRequest(r request) {
	if !s.serving || s.role != zab.Leading {
		return
	}
	s.line = append(s.line, r)
}

// propose gives the node what is in line, as far as it takes it.
func (s *server) propose() {
	w := s.w
	for len(s.line) > 0 {
		r := s.line[0]
		if r.revalidate {
			s.line = append(s.line[:0], s.line[1:]...)
			s.revalidate(&r)
			continue
		}
		if r.op == jute.OpSync {
			s.line = append(s.line[:0], s.line[1:]...)
			if c := &w.clients[r.tag>>32]; r.link == 0 && c.tag == uint32(r.tag) {
				c.asked = max(c.asked, w.txns[s.tail].depth) // what this leader has proposed comes first, too
			}
			s.node.Step(s.clock.read(w.now), zab.Sync{Link: r.link, Tag: r.tag})
			continue
		}
		zxid, ok := s.node.NextZxid()
		if !ok {
			return
		}
		s.line = append(s.line[:0], s.line[1:]...)
		record, ok := w.prepare(s, zxid, &r)
		if ok {
			s.node.Step(s.clock.read(w.now), zab.Propose{Record: record})
		}
	}
}

// prepare makes a transaction of a request.
func (w *World) prepare(s *server, zxid int64, r *request) (zab.Record, bool) {
	base := &w.txns[s.tail]
	t := txn{zxid: zxid, prev: s.tail, leader: s.index, op: r.op, session: r.session, cxid: r.cxid, sessions: base.sessions}
	bit := uint64(1) << uint(r.session)
	alive := base.sessions&bit != 0
	owner := r.link
	if owner == 0 {
		owner = ownedHere
	}
	switch r.op {
	case jute.OpCreateSession:
		t.sessions |= bit
		s.owner[r.session] = owner
		s.touch(r.session)
	case jute.OpReconfig:
		c := w.config(zxid, r.members)
		committed, seen := s.node.Configs()
		if committed.Version != seen.Version || !s.node.CanReconfigure(c) {
			w.cover.hit(pointReconfigRefused)
			return zab.Record{}, false
		}
		w.cover.hit(pointReconfigProposed)
		if w.tracing() {
			w.tracef("%d proposes config %s: %v, before %v", s.sid, w.zxidText(zxid), membersOf(c), membersOf(committed))
		}
		if !c.IsVoter(s.sid) {
			w.cover.hit(pointLeaderRemoved)
		}
		t.config = c
	default:
		moved := s.owner[r.session] != 0 && s.owner[r.session] != owner
		switch {
		case !alive, moved && r.cxid > 0:
			t.op = jute.OpError
			w.cover.hit(pointErrorTxn)
		case r.op == jute.OpCloseSession:
			t.sessions &^= bit
		default:
			s.owner[r.session] = owner
		}
	}
	if int64(uint32(zxid)) == w.draw.maxCounter {
		w.cover.hit(pointRollOver)
	}
	if s.whole != nil {
		w.encodeWhole(s, &t, r)
	} else {
		t.digest = digestOf(base.digest, &t)
		w.encode(&t)
	}
	if w.find(zxid) != 0 {
		w.violate("I9", "server %d proposes a second transaction %s", s.sid, w.zxidText(zxid))
	}
	id := w.add(t)
	s.tail = id
	w.mark('P', uint64(zxid))
	if w.tracing() {
		w.tracef("%d proposes %s%s", s.sid, w.zxidText(zxid), t.describe(r.link))
	}
	return w.record(id), true
}

// digestOf is the digest of the state after t, from that before.
func digestOf(before uint64, t *txn) uint64 {
	return mix(before ^ uint64(t.zxid) ^ uint64(t.session)<<40 ^ uint64(t.cxid)<<48 ^ uint64(uint32(t.op)))
}

// encode writes a transaction as it is in the log: header, body and digest.
func (w *World) encode(t *txn) {
	at := len(w.arena)
	header := jute.TxnHeader{ClientID: t.session, Cxid: t.cxid, Zxid: t.zxid, Type: int32(t.op)}
	w.arena = header.Append(w.arena)
	if t.config != nil {
		txn := jute.SetDataTxn{Path: "/zookeeper/config", Data: []byte(t.config.String()), Version: -1}
		w.arena = txn.Append(w.arena)
	}
	w.arena = jute.AppendInt64(w.arena, int64(t.digest))
	t.data = w.arena[at:len(w.arena):len(w.arena)]
}

// digestIn reads the digest that a transaction carries.
func digestIn(data []byte) uint64 {
	d := jute.NewDecoder(data[len(data)-8:])
	return uint64(d.Int64())
}

// touch notes that the client of a session lives.
func (s *server) touch(session int64) {
	if session <= 0 || session >= maxSessions {
		return
	}
	if s.role == zab.Leading {
		s.touchedAt[session] = s.clock.read(s.w.now)
	} else {
		s.touched |= 1 << uint(session)
	}
}

// touchedSessions is the data of a learner's PING.
func (s *server) touchedSessions() []byte {
	data := []byte{}
	for ; s.touched != 0; s.touched &= s.touched - 1 {
		r := wire.Session{ID: int64(bits.TrailingZeros64(s.touched)), Timeout: int32(s.w.draw.sessionTimeout / time.Millisecond)}
		data = r.Append(data)
	}
	return data
}

// expire closes the sessions that the leader has not heard of for too long.
func (s *server) expire() {
	w := s.w
	if !s.serving || s.role != zab.Leading {
		return
	}
	now := s.clock.read(w.now)
	for left := w.txns[s.state.last()].sessions &^ s.expiring; left != 0; left &= left - 1 {
		session := bits.TrailingZeros64(left)
		if now-s.touchedAt[session] > w.draw.sessionTimeout {
			s.expiring |= 1 << session
			w.cover.hit(pointSessionExpired)
			s.enqueueRequest(request{op: jute.OpCloseSession, session: int64(session)})
		}
	}
}

// revalidate answers a learner whether a session is alive, and gives the session to it.
func (s *server) revalidate(r *request) {
	answer := wire.SessionValid{ID: r.session, Valid: s.ownSession(r.session, r.link)}
	s.node.Step(s.clock.read(s.w.now), zab.Reply{Link: r.link, Packet: wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: answer.Append(nil)}})
}

// ownSession makes owner the one who writes for a session, if that is alive.
func (s *server) ownSession(session int64, owner zab.LinkID) bool {
	alive := s.w.txns[s.tail].sessions&(1<<uint(session)) != 0
	if alive {
		s.owner[session] = owner
		s.touch(session)
	}
	return alive
}

// config is the membership of the sids, observers being negative.
func (w *World) config(version int64, members []int64) *ensemble.Config {
	c := &ensemble.Config{Version: version}
	for _, m := range members {
		sid, role := m, ensemble.Participant
		if m < 0 {
			sid, role = -m, ensemble.Observer
		}
		c.Servers = append(c.Servers, ensemble.Server{ID: sid, Role: role, Quorum: addrs[sid].quorum, Election: addrs[sid].election})
	}
	sortServers(c.Servers)
	if w.draw.hierarchical {
		w.hierarchy(c)
	}
	return c
}

// describe says for whom a transaction is proposed, if for a client.
func (t *txn) describe(link zab.LinkID) string {
	if t.session == 0 {
		return ""
	}
	return fmt.Sprintf(": %v %d of session %d, from link %d", t.op, t.cxid, t.session, link)
}

// membersOf are the sids of a config, observers being negative.
func membersOf(c *ensemble.Config) (members []int64) {
	for i := range c.Servers {
		if c.Servers[i].Role == ensemble.Observer {
			members = append(members, -c.Servers[i].ID)
		} else {
			members = append(members, c.Servers[i].ID)
		}
	}
	return members
}
