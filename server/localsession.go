package server

import (
	"fmt"
	"net"
	"slices"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// A local session (localSessionsEnabled) is known to the server that made it and to nobody else: there is no transaction for its beginning or its end, its
// server keeps its time, and a connection to another server finds it expired. A leader lets it write all the same. Before it may own an ephemeral znode it
// becomes global, if localSessionsUpgradingEnabled allows that: a createSession goes before the request that needs it (UpgradeableSessionTracker,
// QuorumZooKeeperServer.checkUpgradeSession). A session of a server that is read-only is local in any case.

// makesLocalSessions reports whether sessions begin as local ones. A server that stands alone has no use for the setting, as in ZooKeeper.
func (s *Server) makesLocalSessions() bool { return s.member != nil && s.opts.LocalSessionsEnabled }

// localSessions is the number of sessions that only this server knows.
func (s *Server) localSessions() (n int64) {
	s.sessions.each(func(session *session) {
		if session.local.Load() {
			n++
		}
	})
	return n
}

// newLocalSession makes a session that only this server knows, and tells the client at once.
func (c *conn) newLocalSession(req *jute.ConnectRequest, timeout int64) bool {
	s := c.s.sessions.create(c.s.clock(c.now), timeout)
	s.local.Store(true)
	if c.attach(s); c.s.service.Load() != c.service {
		c.s.sessions.remove(s.id) // whose connections are closed, and whose sessions are forgotten already
		return false
	}
	done := time.Now()
	took := done.Sub(c.now)
	c.write(c.connectResponse(req, s.id, timeout), 1, &noted{op: jute.OpCreateSession, zxid: c.s.lastZxid.Load(), at: done, latency: took})
	c.s.stats.requestsDone(1, took)
	return c.flush()
}

// closeLocal ends the connection's session when everything that was asked for before is answered, unless one of those requests has made it global.
func (c *conn) closeLocal(row *opRow, xid int32, body []byte) error {
	if c.waiting.Load() > 0 && (!c.endBatch() || !c.awaitAnswers()) {
		return net.ErrClosed
	}
	session := c.session.Load()
	if !session.local.Load() {
		return c.startWrite(xid, jute.OpCloseSession, body)
	}
	if !session.closing.CompareAndSwap(false, true) {
		return net.ErrClosed // it expires at this very moment
	}
	c.s.sessions.remove(session.id)
	c.endDirect()
	c.runDirect(row, xid, jute.OpCloseSession, body)
	c.endDirect()
	c.hangUp()
	return errHangUp
}

// expireLocal ends a session whose client was silent for too long. It is marked as closing already.
func (s *Server) expireLocal(session *session) {
	s.sessions.remove(session.id)
	if c := session.conn.Load(); c != nil {
		c.close()
	}
}

// mayWriteUnlisted reports whether a leader takes requests of a session that it does not know as a global one (LeaderSessionTracker.checkSession): a local one of
// its own as long as it lives, and anybody's of other servers, whose business it is to know.
func (s *Server) mayWriteUnlisted(id int64) bool {
	if byte(id>>56) != byte(s.opts.serverID()) {
		return true
	}
	session := s.sessions.get(id)
	return session != nil && session.local.Load()
}

// upgrade makes the session of a request a global one if the request needs that, and returns the request that has to go before it, nil for none. Without
// permission the request is marked for refusal.
func (m *Member) upgrade(r *Request) *Request {
	if !m.s.makesLocalSessions() || !r.ownsEphemeral() {
		return nil
	}
	session := m.s.sessions.get(r.Session)
	if session == nil || !session.local.Load() {
		return nil
	}
	if !m.s.opts.LocalSessionsUpgradingEnabled {
		r.staysLocal = true
		return nil
	}
	session.local.Store(false)
	m.s.log.Info(fmt.Sprintf("Upgrading session 0x%x", r.Session))
	return &Request{Session: r.Session, Op: jute.OpCreateSession, Body: jute.AppendInt32(nil, int32(session.timeout.Load())), service: r.service}
}

// ownsEphemeral reports whether a request asks for an ephemeral znode. As in ZooKeeper createContainer and createTTL do not, whatever their flags say.
func (r *Request) ownsEphemeral() bool {
	asks := func(o *jute.Operation) bool {
		return (o.Op == jute.OpCreate || o.Op == jute.OpCreate2) && o.Flags.Ephemeral()
	}
	if r.Op != jute.OpMulti {
		return asks(&r.op)
	}
	parts, err := r.parts()
	return err == nil && slices.ContainsFunc(parts, func(o jute.Operation) bool { return asks(&o) })
}

// isGlobal reports whether the tree has the session.
func (s *Server) isGlobal(id int64) (known bool) {
	s.readTree(func(t *tree.Tree) { _, known = t.SessionTimeout(id) })
	return known
}
