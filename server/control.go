package server

import (
	"fmt"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// Sessions returns the ids of the sessions that are alive, in no order.
func (s *Server) Sessions() []int64 {
	var ids []int64
	s.sessions.each(func(session *session) { ids = append(ids, session.id) })
	return ids
}

// State returns the zxid of the last transaction that was applied, and the digest of the tree after it: servers with the same zxid have the same digest.
func (s *Server) State() (zxid, digest int64) {
	s.readTree(func(t *tree.Tree) { zxid, digest = t.LastZxid(), t.Digest() })
	return zxid, digest
}

// ExpireSession ends a session as if its client had been silent for too long: its ephemerals go and its connection closes, both soon
// after the call. An unknown session is an error.
func (s *Server) ExpireSession(id int64) error {
	session := s.sessions.get(id)
	if session == nil || !session.closing.CompareAndSwap(false, true) {
		return fmt.Errorf("server: no session 0x%x", id)
	}
	if session.local.Load() {
		s.expireLocal(session)
		return nil
	}
	s.sequencer.Submit([]*Request{{Session: id, Op: jute.OpCloseSession, internal: true}})
	return nil
}

// DropConnections closes every client connection, as a network that fails does. Sessions live on, and clients connect again.
func (s *Server) DropConnections() {
	for _, c := range s.connections() {
		c.close()
	}
}

// DelayReplies holds back everything that is sent to clients by d from now on; 0 ends that.
func (s *Server) DelayReplies(d time.Duration) { s.replyDelay.Store(int64(d)) }

// pause waits, but not longer than the server lives.
func (s *Server) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.stop:
	}
}
