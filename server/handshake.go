package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"quoll/jute"
)

// greet serves a four-letter word, or establishes the session. It reports whether requests may follow.
func (c *conn) greet() bool {
	_ = c.net.SetReadDeadline(time.Now().Add(c.s.opts.SessionlessCnxnTimeout))
	for c.w-c.r < 4 {
		if c.fill() != nil {
			return false
		}
	}
	if word, ok := fourLetterWords[string(c.in[c.r:c.r+4])]; ok {
		c.r += 4
		c.serveWord(word)
		return false
	}
	var frame []byte
	for ok := false; !ok; {
		var err error
		if frame, ok, err = c.frame(min(c.s.opts.JuteMaxBuffer, connectLimit)); err != nil {
			return false
		}
		if !ok && c.fill() != nil {
			return false
		}
	}
	c.now = time.Now()
	c.s.stats.received.Add(1)
	c.received.Add(1)
	var req jute.ConnectRequest
	d := jute.NewDecoder(frame)
	if req.Decode(&d); d.Err() != nil {
		return false
	}
	if c.service = c.s.service.Load(); c.service == 0 {
		return false // there is no quorum; the client tries another server
	}
	if !c.mayBegin(&req) {
		return false
	}
	c.s.metrics.ConnectionRequests.Inc()
	if c.readOnly() && !c.welcomesReadOnly(&req) {
		return false
	}
	if last := c.s.lastZxid.Load(); req.LastZxidSeen > last {
		c.s.rated.Info("refusing a client that has seen a later zxid; it must try another server", "client", c.remote(), "seen", hex(req.LastZxidSeen), "last", hex(last))
		return false
	}
	timeout := min(max(int64(req.Timeout), c.s.opts.MinSessionTimeout.Milliseconds()), c.s.opts.MaxSessionTimeout.Milliseconds())
	established := false
	if req.SessionID == 0 {
		established = c.newSession(&req, timeout)
	} else {
		established = c.renewSession(&req, timeout)
	}
	if established && c.promised == nil {
		_ = c.net.SetReadDeadline(time.Time{})
	}
	return established
}

// newSession proposes a session and waits until it is committed, unless it is one of this server's own.
func (c *conn) newSession(req *jute.ConnectRequest, timeout int64) bool {
	if c.readOnly() || c.s.makesLocalSessions() {
		return c.newLocalSession(req, timeout)
	}
	s := c.s.sessions.create(c.s.clock(c.now), timeout)
	r := &Request{
		Session: s.id, Op: jute.OpCreateSession, Body: jute.AppendInt32(nil, int32(timeout)), conn: c, service: c.service, received: c.now, write: true,
		answer: c.connectResponse(req, s.id, timeout),
	}
	c.fifo.Lock()
	c.push(r)
	c.fifo.Unlock()
	if m := c.s.member; m != nil {
		m.expect(r)
	}
	c.s.sequencer.Submit([]*Request{r})
	return c.awaitWelcome()
}

// renewSession attaches the connection to a session that exists. A wrong password is refused without disturbing the live connection
// of that session. The right one follows from the session's id, which is no secret: where clients have to authenticate the session stays where it is until this one has (see claim).
func (c *conn) renewSession(req *jute.ConnectRequest, timeout int64) bool {
	c.s.metrics.ConnectionRevalidations.Inc()
	secret := password(req.SessionID)
	known := bytes.Equal(req.Password, secret[:])
	if c.readOnly() && c.sendsAway(req.SessionID, known) {
		return false
	}
	var s *session
	switch {
	case known && c.s.sessions.lives(req.SessionID) && !c.s.auth.satisfied(c.identities()):
		c.promised = &promise{req.SessionID, timeout}
		_ = c.net.SetReadDeadline(c.now.Add(time.Duration(timeout) * time.Millisecond)) // a KDC may take its time; beyond this the session is over
		c.write(c.connectResponse(req, req.SessionID, timeout), 1, nil)
		return c.flush()
	case known:
		answered := false
		if s, answered = c.claim(req.SessionID, timeout); !answered {
			return false // the client tries again, there or elsewhere
		}
	}
	if s == nil {
		c.write(c.connectResponse(req, 0, 0), 1, nil)
		c.hangUp()
		c.flush()
		return false
	}
	c.write(c.connectResponse(req, s.id, timeout), 1, nil)
	return c.flush()
}

// promise is a session whose password the client knows, and which it gets when it has authenticated.
type promise struct {
	session, timeout int64
}

// keepPromise gives a client that has authenticated its session, if it was promised one.
func (c *conn) keepPromise() error {
	p := c.promised
	if p == nil || !c.s.auth.satisfied(c.identities()) {
		return nil
	}
	if s, _ := c.claim(p.session, p.timeout); s == nil {
		return net.ErrClosed // it has ended meanwhile, which the client hears when it connects again
	}
	c.promised = nil
	return c.net.SetReadDeadline(time.Time{})
}

// claim makes c the connection of a session and closes the one that it had. It returns nil for a session that has ended, and reports whether anybody could tell.
func (c *conn) claim(id, timeout int64) (s *session, answered bool) {
	s = c.s.sessions.get(id)
	if m := c.s.member; m != nil && !c.readOnly() && (s == nil || !s.local.Load()) {
		if lives, answered := m.validate(c, id, timeout); !lives {
			return nil, answered
		}
		s = c.s.sessions.get(id) // the answer has made it known, and it may have ended since
	}
	if s == nil || s.closing.Load() {
		return nil, true
	}
	c.s.sessions.retime(s, c.s.clock(c.now), timeout)
	if old := c.attach(s); old != nil {
		old.close()
	}
	return s, true
}

// attach makes c the connection of the session and returns the one it had.
func (c *conn) attach(s *session) (old *conn) {
	old = s.conn.Swap(c)
	c.session.Store(s)
	if s.closing.Load() {
		c.close() // it expired at this very moment, and whoever closed its connection did not see this one
	}
	return old
}

// connectResponse is the whole frame. Session 0 is the refusal, whose bytes are zero but for the frame.
func (c *conn) connectResponse(req *jute.ConnectRequest, id, timeout int64) []byte {
	r := jute.ConnectResponse{Timeout: int32(timeout), SessionID: id, ReadOnly: c.readOnly(), HasReadOnly: req.HasReadOnly}
	if id != 0 {
		r.Password = password(id)
	}
	b := r.Append(make([]byte, 4))
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

var errRefused = errors.New("authentication is refused")

var errBadPacket = errors.New("authentication packet cannot be decoded")

// handleAuth adds identities for the requests that come after it on the wire. Its reply keeps its place among the others.
func (c *conn) handleAuth(xid int32, body []byte) error {
	var p jute.AuthPacket
	d := jute.NewDecoder(body)
	if p.Decode(&d); d.Err() != nil {
		return errBadPacket
	}
	name := jute.JavaText(p.Scheme)
	s, err := c.s.auth.schemes[name], errRefused
	if s != nil {
		if ids, ok := s.authenticate(c.s.auth, c, p.Auth); ok {
			err = c.addIdentities(ids)
		}
	}
	if err == nil {
		c.answer(xid, jute.OpAuth, 0, jute.OK, false)
		return nil
	}
	c.s.stats.authFailed.Add(1)
	c.s.rated.Warn("authentication failed", "client", c.remote(), "scheme", name[:min(len(name), 64)], "error", err)
	if s != nil && s.silent {
		return errRefused
	}
	c.answer(xid, jute.OpAuth, 0, jute.ErrAuthFailed, true)
	return errHangUp
}
