package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quoll"
	"quoll/compat/peer"
	"quoll/config"
)

// eachScript calls visit for every recorded script.
func eachScript(t testing.TB, visit func(path string, s *script)) {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/golden/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range paths {
		s, err := readScript(path)
		if err != nil {
			t.Fatal(err)
		}
		visit(path, s)
	}
}

// testScripts runs a test for every recorded script.
func testScripts(t *testing.T, test func(t *testing.T, path string, s *script)) {
	eachScript(t, func(path string, s *script) {
		t.Run(strings.TrimSuffix(s.name, ".txt"), func(t *testing.T) { test(t, path, s) })
	})
}

// TestJava proves that the recordings are what the real server answers.
func TestJava(t *testing.T) {
	peer.RequireJVM(t)
	testScripts(t, func(t *testing.T, _ string, s *script) {
		server := peer.Java(t, peer.Options{Config: s.config(), Flags: s.flags()})
		if err := checkScript(server.Addr(), s, "java"); err != nil {
			t.Error(err)
		}
	})
}

// TestQuoll proves that quoll answers the same, in this process and without a JVM.
func TestQuoll(t *testing.T) {
	testScripts(t, func(t *testing.T, _ string, s *script) {
		t.Parallel()
		if err := checkScript(start(t, s), s, "quoll"); err != nil {
			t.Error(err)
		}
	})
}

// start starts quoll in this process with the settings of a script, and gives its address.
func start(t testing.TB, s *script) string {
	t.Helper()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cfg, _, err := config.Load(config.Sources{
		Set: append([]string{"dataDir=" + t.TempDir(), "clientPort=" + strconv.Itoa(port), "clientPortAddress=127.0.0.1", "tickTime=2000"}, s.config()...),
		Env: func(name string) string {
			if name == "SERVER_JVMFLAGS" {
				return strings.Join(s.flags(), " ")
			}
			return ""
		},
	})
	if s.lacks != "" {
		if err == nil {
			t.Fatalf("quoll starts, although the script says that it lacks %s", s.lacks)
		}
		t.Skipf("quoll lacks %s: %v", s.lacks, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := quoll.Start(quoll.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return addr
}
