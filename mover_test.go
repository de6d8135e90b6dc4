package quoll

import (
	"log/slog"
	"net"
	"testing"

	"quoll/config"
	"quoll/ensemble"
)

// TestMover has a reconfig move a server's clients to another port, and one that cannot.
func TestMover(t *testing.T) {
	s, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := free.Addr().String()
	at := func(client string) *ensemble.Config {
		c, err := ensemble.Parse("server.1=a:1:2:participant;" + client + "\nversion=1")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	settings := config.Defaults()
	settings.ClientPortListenBacklog = 7
	m := &mover{s: s.Server, log: slog.New(slog.DiscardHandler), cfg: settings, sid: 1, at: s.Addr()}
	from := s.Addr()
	m.configured(at(to)) // which is taken
	if s.Addr() != from {
		t.Errorf("clients are taken at %q, not at %q as before", s.Addr(), from)
	}
	_ = free.Close()
	m.configured(at(to))
	if s.Addr() != to {
		t.Errorf("clients are taken at %q, not at %q", s.Addr(), to)
	}
	for addr, want := range map[string]bool{from: false, to: true} {
		conn, err := net.Dial("tcp", addr)
		if (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
