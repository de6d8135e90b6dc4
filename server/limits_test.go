package server

import (
	"io"
	"net"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// turnedAway connects once more than the server allows. The end may come so early that connecting fails.
func turnedAway(t *testing.T, s *Server) {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr())
	if err != nil {
		return
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err == nil {
		closed(t, nc)
	}
}

// closed waits until the server closes a connection, without an answer.
func closed(t *testing.T, nc net.Conn) {
	t.Helper()
	if n, err := nc.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("the connection is answered")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatal("the connection stays open")
	}
}

func TestMaxClientCnxns(t *testing.T) {
	s := startServer(t) // 60 is the default
	var open []*client.RawConn
	for range 60 {
		c := client.NewRawConn(dial(t, s))
		if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 10_000}); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	turnedAway(t, s)
	if n := s.metrics.ConnectionRejected.Load(); n != 1 {
		t.Errorf("%d connections rejected", n)
	}
	// The others live, and where one has left there is room again.
	for i, c := range open {
		if err := c.Request(1, jute.OpPing, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Reply(); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	open[0].Close()
	eventually(t, "59 connections", func() bool { return s.connectionCount() == 59 })
	if answer := ask(t, s, "ruok"); answer != "imok" {
		t.Errorf("ruok answers %q", answer)
	}
}

func TestMaxCnxns(t *testing.T) {
	s := startServer(t, "maxClientCnxns=0", "maxCnxns=2")
	connect(t, s)
	c := connect(t, s)
	turnedAway(t, s)
	if n := s.metrics.ConnectionRejected.Load(); n != 1 {
		t.Errorf("%d connections rejected", n)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one connection", func() bool { return s.connectionCount() == 1 })
	connect(t, s)
}

// TestSessionlessConnections sends less than a handshake and waits for the end.
func TestSessionlessConnections(t *testing.T) {
	s := startServer(t, "nio.sessionlessCnxnTimeout=50")
	for i, sent := range []string{"", "\x00", "\x00\x00\x00\x2d", "\x00\x00\x00\x2d\x00\x00", "stmk\x00"} {
		nc := dial(t, s)
		if _, err := io.WriteString(nc, sent); err != nil {
			t.Fatal(err)
		}
		closed(t, nc)
		if n := s.metrics.SessionlessConnectionsExpired.Load(); n != int64(i+1) {
			t.Errorf("after %q %d connections have expired, not %d", sent, n, i+1)
		}
	}
	// Who has a session may be silent for longer.
	c := connect(t, s)
	nc := dial(t, s)
	closed(t, nc)
	if _, err := c.Exists(t.Context(), "/", false); err != nil {
		t.Error(err)
	}
}
