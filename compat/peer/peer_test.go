package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/client"
	"quoll/jute"
)

func TestServer(t *testing.T) {
	Each(t, Options{Config: []string{"4lw.commands.whitelist=srvr,ruok", "maxClientCnxns=7"}}, func(t *testing.T, s *Server) {
		if answer, err := s.FourLetter("ruok"); err != nil || answer != "imok" {
			t.Errorf("ruok = %q, %v: a line of Config did not reach the server", answer, err)
		}
		first := s.PID()
		if err := s.Start(); err == nil {
			t.Error("a second Start of a running server succeeds")
		}
		for _, end := range []func() error{s.Kill, s.Stop, s.Restart} {
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		if s.PID() == first {
			t.Error("the process is still the first one")
		}
		if _, err := os.Stat(filepath.Join(s.Dir(), "version-2")); err != nil {
			t.Error(err)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := s.FourLetter("srvr"); err == nil {
			t.Error("the server answers after Stop")
		}
	})
}

func TestFlagsReachTheServer(t *testing.T) {
	opts := Options{Flags: []string{"-Dzookeeper.4lw.commands.whitelist=ruok"}}
	Each(t, opts, func(t *testing.T, s *Server) {
		if answer, err := s.FourLetter("ruok"); err != nil || answer != "imok" {
			t.Errorf("ruok = %q, %v", answer, err)
		}
	})
}

func TestStartReportsTheEndOfTheLog(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			s, err := kind.Start(Options{Config: []string{"tickTime=often"}})
			if err == nil {
				s.Close()
				t.Fatal("a server with a bad tickTime starts")
			}
			if errors.Is(err, ErrMissing) {
				Check(t, err)
			}
			if !strings.Contains(err.Error(), "often") {
				t.Errorf("the error does not show the server's own words: %v", err)
			}
		})
	}
}

func TestMissingPeer(t *testing.T) {
	t.Setenv("QUOLL_PEERS", t.TempDir())
	if _, err := StartJava(Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("StartJava = %v, want ErrMissing", err)
	}
}

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d given twice", port)
		}
		seen[port] = true
	}
	if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.low)); err == nil {
		l.Close()
		t.Error("another process could take the same part of the ports")
	}
}

func TestEnsemble(t *testing.T) {
	servers := Ensemble(t, Options{}, Kinds[0], Kinds[1], Kinds[0])
	ctx := t.Context()
	first, err := client.Connect(ctx, servers[0].Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Create(ctx, "/here", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := client.Connect(ctx, s.Addr(), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Sync(ctx, "/here"); err != nil {
			t.Errorf("member %d: sync: %v", i+1, err)
		}
		if _, err := c.Exists(ctx, "/here", false); err != nil {
			t.Errorf("member %d does not have what another member took: %v", i+1, err)
		}
		c.Close()
	}
}
