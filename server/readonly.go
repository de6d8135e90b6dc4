package server

import (
	"time"

	"quoll/jute"
	"quoll/zab"
)

// A server without a quorum serves what it has to clients that accept old data, if readonlymode.enabled says so (ReadOnlyZooKeeperServer). Its sessions are its own
// and end with this service; nothing can be written.

// ReadOnly reports whether the server has no quorum and serves read-only clients.
func (s *Server) ReadOnly() bool { return s.service.Load() < 0 }

// Serving reports whether the server takes clients: all of them, or those that read only. A server that looks for a leader does not, nor does a leader with
// leaderServes=no; four-letter words say so then.
func (s *Server) Serving() bool { return s.service.Load() != 0 }

// readOnly reports whether the connection is one of a server without quorum.
func (c *conn) readOnly() bool { return c.service < 0 }

// ServeReadOnly begins to serve clients that accept old data.
func (m *Member) ServeReadOnly() func() {
	s := m.s
	m.readOnly = true
	m.service++
	service := m.service
	m.duties.begin(time.Now())
	return func() {
		s.lockTree()
		s.prep.Reset()
		s.sessions.reset(false)
		s.unlockTree()
		s.beginService(zab.Looking)
		s.service.Store(-service)
	}
}

// welcomesReadOnly reports whether a server without quorum takes a client.
func (c *conn) welcomesReadOnly(req *jute.ConnectRequest) bool {
	if !req.ReadOnly {
		c.s.rated.Info("refusing a client that is not read-only: there is no quorum", "client", c.remote())
		return false
	}
	return true
}

// sendsAway reports whether a client is to look for its session elsewhere: a global one is served by a server with a quorum only. Whether one that is not known here
// is alive only others can say, unless sessions begin as local ones: then it was one, since who has a global session has seen a later zxid than this server has. (Where
// sessions are global, Java takes an unknown one in and then cannot close it.) authentic says that the client knows the session's password.
func (c *conn) sendsAway(id int64, authentic bool) bool {
	s := c.s
	if s.isGlobal(id) {
		s.rated.Info("refusing a global session: there is no quorum", "client", c.remote(), "session", hex(id))
		return true
	}
	return authentic && s.sessions.get(id) == nil && !s.opts.LocalSessionsEnabled && !s.sessions.made(id)
}
