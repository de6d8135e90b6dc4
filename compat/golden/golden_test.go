package main

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"quoll"
	"quoll/compat/peer"
	"quoll/compat/script"
	"quoll/config"
)

// testScripts runs a test for every recorded script.
func testScripts(t *testing.T, test func(t *testing.T, s *script.Script)) {
	all, err := script.ReadAll("../../testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		t.Run(strings.TrimSuffix(s.Name, ".txt"), func(t *testing.T) { test(t, s) })
	}
}

// TestJava proves that the recordings are what the real server answers.
func TestJava(t *testing.T) {
	peer.RequireJVM(t)
	testScripts(t, func(t *testing.T, s *script.Script) {
		server := peer.Java(t, peer.Options{Config: s.Config(), Flags: s.Flags()})
		if err := checkScript(server.Addr(), s, "java"); err != nil {
			t.Error(err)
		}
	})
}

// TestQuoll proves that quoll answers the same, in this process and without a JVM.
func TestQuoll(t *testing.T) {
	testScripts(t, func(t *testing.T, s *script.Script) {
		t.Parallel()
		if err := checkScript(start(t, s), s, "quoll"); err != nil {
			t.Error(err)
		}
	})
}

// start starts quoll in this process with the settings of a script, and gives its address.
func start(t testing.TB, s *script.Script) string {
	t.Helper()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cfg, _, err := config.Load(config.Sources{
		Set: append([]string{"dataDir=" + t.TempDir(), "clientPort=" + strconv.Itoa(port), "clientPortAddress=127.0.0.1", "tickTime=2000"}, s.Config()...),
		Env: func(name string) string {
			if name == "SERVER_JVMFLAGS" {
				return strings.Join(s.Flags(), " ")
			}
			return ""
		},
	})
	if s.Lacks != "" {
		if err == nil {
			t.Fatalf("quoll starts, although the script says that it lacks %s", s.Lacks)
		}
		t.Skipf("quoll lacks %s: %v", s.Lacks, err)
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
