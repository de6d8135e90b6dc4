package peer

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// Java is StartJava for a test: the server is gone when the test ends, and the end of its log
// is shown if the test failed. A missing peer skips the test aloud.
func Java(t testing.TB, opts Options) *Server {
	t.Helper()
	return serve(t, Kinds[0], opts)
}

// Quoll is StartQuoll for a test, with the same promises as Java.
func Quoll(t testing.TB, opts Options) *Server {
	t.Helper()
	return serve(t, Kinds[1], opts)
}

// Each runs the test once for each kind of server, as subtests java and quoll, each with a
// server of its own. With opts.Dir given, both servers work on that directory, one after the
// other.
func Each(t *testing.T, opts Options, test func(t *testing.T, s *Server)) {
	for _, kind := range Kinds {
		t.Run(kind.Name, func(t *testing.T) { test(t, serve(t, kind, opts)) })
	}
}

func serve(t testing.TB, kind Kind, opts Options) *Server {
	t.Helper()
	if opts.Work == "" {
		opts.Work = t.TempDir()
	}
	s, err := kind.Start(opts)
	Check(t, err)
	t.Cleanup(func() { finish(t, kind.Name, s) })
	return s
}

// finish ends a server of a test.
func finish(t testing.TB, name string, s *Server) {
	s.Close()
	// A binary built with -race reports and goes on, and a crash may look like the fault that the test wants.
	if bad := fatal.FindString(s.Log()); s.kind == "quoll" && bad != "" {
		t.Errorf("quoll's log has %q", bad)
	}
	ShowLog(t, name, &s.Process)
}

var fatal = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*`)

// RequireJVM skips the test aloud unless there is a JVM and Apache ZooKeeper's classpath.
func RequireJVM(t testing.TB) {
	t.Helper()
	Require(t, "zookeeper")
}

// Require skips the test aloud unless the peer, a name in scripts/peers, can run here.
func Require(t testing.TB, name string) {
	t.Helper()
	_, err := Classpath(name)
	Check(t, err)
}

// Check fails the test on an error, except that one about a missing peer skips it aloud,
// unless QUOLL_REQUIRE_PEERS=1.
func Check(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("QUOLL_REQUIRE_PEERS") != "1":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// ShowLog prints the end of the process's log if the test has failed.
func ShowLog(t testing.TB, name string, p *Process) {
	t.Helper()
	if t.Failed() {
		t.Logf("the log of %s ends:\n%s", name, tail(p.Log(), 60))
	}
}

// Setting is a number from the environment, or otherwise if that does not have it.
func Setting(t testing.TB, name string, otherwise int64) int64 {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is not a number from 0 on", name, value)
	}
	return n
}
