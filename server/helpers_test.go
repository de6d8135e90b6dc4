package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
)

// patience bounds every wait for something that happens at once unless the machine is busy.
const patience = 30 * time.Second

// startServer starts a server with the settings, key=value of zoo.cfg. Without a dataDir among them it is in memory.
func startServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"4lw.commands.whitelist=*"}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Options{Config: cfg, Listeners: []net.Listener{l}, InMemory: !strings.Contains(fmt.Sprint(settings), "dataDir=")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Server) addr() string { return s.opts.Listeners[0].Addr().String() }

// connect makes a session, which is closed when the test ends.
func connect(t testing.TB, s *Server) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Connect(ctx, s.addr(), client.Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// ask sends bytes and returns everything that comes until the server closes the connection.
func ask(t testing.TB, s *Server, word string) string {
	t.Helper()
	nc := dial(t, s)
	if _, err := io.WriteString(nc, word); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("%q: %v", word, err)
	}
	return string(answer)
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
