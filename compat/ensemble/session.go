package ensemble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"quoll/client"
	"quoll/jute"
)

// session is a client that loses no time: when its connection breaks it tries the next member at once, where package client waits for up
// to a second. What an ensemble takes to serve again can be measured with it. The zero value has no session yet.
type session struct {
	id       int64
	password []byte
	zxid     int64 // the last one seen
	conn     *client.RawConn
	at       *Member // where conn leads
	xid      int32
	next     int // member to try
}

// silence is how long a member may take for an answer before the next one is tried.
const silence = 5 * time.Second

// others are the members but one.
func (e *Ensemble) others(m *Member) (others []*Member) {
	for _, o := range e.Members {
		if o != m {
			others = append(others, o)
		}
	}
	return others
}

// connect makes a connection to one of the members unless there is one, and a session unless there is one.
func (s *session) connect(members []*Member) (made bool, err error) {
	if s.conn != nil {
		return false, nil
	}
	if s.next == 0 {
		s.next = rand.IntN(len(members))
	}
	s.next++
	s.at = members[s.next%len(members)]
	ctx, cancel := context.WithTimeout(context.Background(), silence)
	defer cancel()
	conn, err := s.at.Dial(ctx)
	if err != nil {
		return false, err
	}
	s.conn = client.NewRawConn(conn)
	conn.SetDeadline(time.Now().Add(silence))
	req := jute.ConnectRequest{LastZxidSeen: s.zxid, Timeout: 60_000, SessionID: s.id, Password: s.password, HasReadOnly: true}
	if s.id == 0 {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := s.conn.Handshake(&req)
	if err != nil {
		s.hangUp()
		return false, err
	}
	if resp.SessionID == 0 {
		s.hangUp()
		return false, fmt.Errorf("session %#x at %v: %w", s.id, s.at, jute.ErrSessionExpired)
	}
	made = s.id == 0
	s.id, s.password = resp.SessionID, slices.Clone(resp.Password[:])
	return made, nil
}

// ask sends a request and waits for its reply. An error that is no jute.Code, or that says the session is elsewhere, has ended the connection.
func (s *session) ask(op jute.Op, req client.Body) ([]byte, error) {
	s.xid++
	s.extend()
	if err := s.conn.Request(s.xid, op, req); err != nil {
		s.hangUp()
		return nil, err
	}
	h, body, err := s.conn.Reply()
	if err != nil {
		s.hangUp()
		return nil, err
	}
	s.zxid = max(s.zxid, h.Zxid)
	switch code := jute.Code(h.Err); code {
	case jute.OK:
		return body, nil
	case jute.ErrSessionMoved:
		s.hangUp()
		return nil, code
	default:
		return nil, code
	}
}

// extend gives the member time for the next answers.
func (s *session) extend() { s.conn.SetDeadline(time.Now().Add(silence)) }

// hangUp ends the connection, and not the session.
func (s *session) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
