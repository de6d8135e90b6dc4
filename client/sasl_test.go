package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"quoll/jute"
)

// script is an authenticator that says one word after the other, and has those of the server said to it.
type script struct {
	says []string // a last one that is empty is no answer
	done int      // after how many steps it is done
	err  error    // at the end of what it says

	heard []string
}

func (s *script) Step(token []byte) ([]byte, error) {
	s.heard = append(s.heard, string(token))
	if len(s.heard) > len(s.says) {
		return nil, s.err
	}
	return []byte(s.says[len(s.heard)-1]), nil
}

func (s *script) Done() bool { return len(s.heard) >= s.done }

// answer is a token on its way back.
type answer []byte

func (a answer) Append(b []byte) []byte { return jute.AppendBuffer(b, a) }

// token reads a token of the client and answers it.
func (c *fakeConn) token(want, token string, code jute.Code) {
	c.t.Helper()
	xid, body := c.expect(jute.OpSASL)
	d := jute.NewDecoder(body)
	if got := d.Buffer(); d.Err() != nil || string(got) != want {
		c.t.Fatalf("token %q, %v, want %q", got, d.Err(), want)
	}
	c.reply(xid, 0, code, answer(token))
}

// TestSASL authenticates each connection before anything else is sent on it, with mechanisms of which either side has the last word.
func TestSASL(t *testing.T) {
	for name, made := range map[string]script{
		"the last word is the server's":                  {says: []string{"one", "two"}, done: 2},
		"the last word is the server's, which is judged": {says: []string{"one", "two"}, done: 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var all []*script
			c, events := f.start(Options{SASL: func(_ context.Context, addr string) (Authenticator, error) {
				if addr != f.addr() {
					t.Errorf("authentication at %s", addr)
				}
				s := made
				all = append(all, &s)
				return &s, nil
			}})
			request := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
			for range 2 {
				conn, _ := f.session(30 * time.Second)
				conn.token("one", "1", 0)
				conn.token("two", "2", 0)
				xid, _ := conn.expect(jute.OpSync)
				conn.reply(xid, 1, 0, &jute.PathResponse{Path: "/root"})
				if err := next(t, request); err != nil {
					t.Fatal(err)
				}
				for _, want := range []State{StateConnected, StateSaslAuthenticated} {
					if e := next(t, events); e != (Event{EventNone, want, "", -1}) {
						t.Errorf("event %v, want %v", e, want)
					}
				}
				if got := c.State(); got != StateConnected {
					t.Errorf("state %v", got)
				}
				conn.Close()
				if e := next(t, events); e.State != StateDisconnected {
					t.Fatalf("event %v", e)
				}
				request = start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
			}
			c.Abandon()
			want := ",1,2"
			if made.done == 2 {
				want = ",1"
			}
			for _, s := range all[:2] {
				if got := strings.Join(s.heard, ","); got != want {
					t.Errorf("heard %q, want %q", got, want)
				}
			}
		})
	}
}

// TestSASLRefused has either side refuse, which is the end of the client, and says why.
func TestSASLRefused(t *testing.T) {
	refuses := errors.New("no such server")
	for name, test := range map[string]struct {
		script
		play  func(conn *fakeConn)
		cause error
	}{
		"by the server":        {script{says: []string{"one"}, done: 1}, func(conn *fakeConn) { conn.token("one", "", jute.ErrAuthFailed) }, jute.ErrAuthFailed},
		"of the server":        {script{says: []string{"one"}, done: 9, err: refuses}, func(conn *fakeConn) { conn.token("one", "1", 0) }, refuses},
		"before anything else": {script{done: 9, err: refuses}, func(*fakeConn) {}, refuses},
		"without an end": {script{says: strings.Split("abcdefghijkl", ""), done: 99}, func(conn *fakeConn) {
			for _, word := range strings.Split("abcdefghij", "") {
				conn.token(word, "more", 0)
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, events := f.start(Options{SASL: func(context.Context, string) (Authenticator, error) { return &test.script, nil }})
			conn, _ := f.session(30 * time.Second)
			test.play(conn)
			if e := next(t, events); e != (Event{EventNone, StateAuthFailed, "", -1}) {
				t.Errorf("event %v", e)
			}
			if err := c.Sync(t.Context(), "/"); err != jute.ErrAuthFailed {
				t.Errorf("request: %v", err)
			}
			if err := c.LastError(); err == nil || test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("LastError: %v, want %v", err, test.cause)
			}
		})
	}
}

// TestSASLCannotBegin has an attempt fail without a connection, and another one follow.
func TestSASLCannotBegin(t *testing.T) {
	f := newFake(t)
	attempts := 0
	c, events := f.start(Options{SASL: func(context.Context, string) (Authenticator, error) {
		if attempts++; attempts == 1 {
			return nil, errors.New("no ticket")
		}
		return &script{says: []string{"one"}, done: 1}, nil
	}})
	if err := c.Sync(t.Context(), "/"); err != jute.ErrConnectionLoss {
		t.Errorf("request: %v", err)
	}
	if err := c.LastError(); err == nil || !strings.Contains(err.Error(), "no ticket") {
		t.Errorf("LastError: %v", err)
	}
	conn, _ := f.session(30 * time.Second)
	conn.token("one", "1", 0)
	if e := next(t, events); e.State != StateConnected {
		t.Errorf("event %v", e)
	}
}
