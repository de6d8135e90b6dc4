//go:build unix

package quorumtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/ensemble"
	"quoll/compat/peer"
	"quoll/jute"
)

const (
	quoll = ensemble.Quoll
	java  = ensemble.Java

	patience = 90 * time.Second
)

// long says that the long forms are wanted.
func long() bool { return os.Getenv("QUOLL_ENSEMBLE") == "long" }

// build makes an ensemble that is gone when the test ends; its logs must have no complaint then.
func build(t *testing.T, kinds []ensemble.Kind, config ...string) *ensemble.Ensemble {
	t.Helper()
	return buildWith(t, ensemble.Options{Work: t.TempDir(), Kinds: kinds, Config: config})
}

func buildWith(t *testing.T, o ensemble.Options) *ensemble.Ensemble {
	t.Helper()
	peer.RequireJVM(t)
	e, err := ensemble.New(o)
	peer.Check(t, err)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range e.Complaints() {
			t.Error(c)
		}
		if t.Failed() {
			t.Log(e.Tails(60))
		}
	})
	return e
}

func serving(t *testing.T, e *ensemble.Ensemble) *ensemble.Member {
	t.Helper()
	leader, err := e.Serving()
	peer.Check(t, err)
	return leader
}

// survives has every member take a write, and the others go on while the leader is dead.
func survives(t *testing.T, e *ensemble.Ensemble) {
	t.Helper()
	leader := serving(t, e)
	for _, m := range e.Members {
		create(t, fmt.Sprint("/", m.ID), m)
	}
	peer.Check(t, leader.Kill())
	create(t, "/without", serving(t, e))
	peer.Check(t, leader.Start())
	serving(t, e)
}

// create makes a znode by one of some members.
func create(t *testing.T, path string, members ...*ensemble.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var addrs []string
	for _, m := range members {
		addrs = append(addrs, m.Addr())
	}
	c, err := client.Connect(ctx, strings.Join(addrs, ","), client.Options{Timeout: 30 * time.Second})
	peer.Check(t, err)
	_, err = c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
	peer.Check(t, err)
	peer.Check(t, c.Close())
}

// says waits until the log of a member has what a pattern describes.
func says(t *testing.T, m *ensemble.Member, pattern string) {
	t.Helper()
	for end := time.Now().Add(patience); !regexp.MustCompile(pattern).MatchString(m.Log()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v has not said %q in %v", m, pattern, patience)
		}
	}
}

// port checks whether a member takes connections at its election port, in TLS or with nil in plain text: who is taken is waited for.
func port(t *testing.T, m *ensemble.Member, conf *tls.Config, taken bool) {
	t.Helper()
	conn, err := net.Dial("tcp", m.ElectionAddr())
	peer.Check(t, err)
	defer conn.Close()
	if conf != nil {
		conn = tls.Client(conn, conf)
	}
	wait := patience
	if taken {
		wait = time.Second / 2
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Write([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0}) // the version of an initial message, of which the rest is missing
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(wait))
		_, err = conn.Read(make([]byte, 1))
	}
	if os.IsTimeout(err) != taken {
		t.Errorf("%v, TLS %v: %v", m, conf != nil, err)
	}
}

// TestMixed has ensembles of both kinds speak TLS and nothing else. The third member leads first, so that each kind leads each, and each dials each for an election.
func TestMixed(t *testing.T) {
	a := newAuthority(t)
	stores := map[string]func(string, func(*x509.Certificate)) []string{"pem": a.pem, "jks": a.jks}
	names := documented(t)
	tests := []struct {
		store  string
		kinds  []ensemble.Kind
		config []string
	}{
		{"pem", []ensemble.Kind{quoll, java, quoll}, names},
		{"jks", []ensemble.Kind{quoll, java, java}, []string{"sslQuorum=true"}},
	}
	if long() {
		tests = nil
		for store := range stores {
			for _, kinds := range [][]ensemble.Kind{{java, java, java}, {quoll, java, quoll}, {quoll, java, java}, {java, quoll, java}, {java, java, quoll}, {java, quoll, quoll}, {quoll, quoll, java}, {quoll, quoll, quoll}} {
				for _, config := range [][]string{{"sslQuorum=true"}, names, {"sslQuorum=true", "ssl.quorum.protocol=TLSv1.2"}} {
					tests = append(tests, struct {
						store  string
						kinds  []ensemble.Kind
						config []string
					}{store, kinds, config})
				}
			}
		}
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.store, test.kinds, len(test.config)), func(t *testing.T) {
			e := build(t, test.kinds, test.config...)
			for _, m := range e.Members {
				peer.Check(t, e.Configure(m, stores[test.store](fmt.Sprint("server-", m.ID), nil)...))
			}
			peer.Check(t, e.Start())
			leader := serving(t, e)
			if leader != e.Member(3) {
				t.Logf("%v leads, not the last one", leader) // of those that were there in time
			}
			for _, m := range e.Members {
				create(t, fmt.Sprint("/", m.ID), m)
				port(t, m, nil, false)
				port(t, m, a.Config(a.Issue("x", nil)), true)
			}
			peer.Check(t, leader.Kill())
			create(t, "/without", serving(t, e))
			peer.Check(t, leader.Start())
			serving(t, e)
			create(t, "/again", leader)
			_, err := e.Agree()
			peer.Check(t, err)
		})
	}
}

// documented are the lines of the example in docs/security.md but for the places of the stores, which are seen to be there.
func documented(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	peer.Check(t, err)
	_, behind, _ := strings.Cut(string(text), "## Between the servers")
	_, behind, _ = strings.Cut(behind, "```\n")
	example, _, ok := strings.Cut(behind, "```")
	for line := range strings.Lines(example) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "Store.location=/etc/") {
			lines = append(lines, line)
		}
	}
	if !ok || len(lines) != strings.Count(example, "\n")-2 || !slices.Contains(lines, "fips-mode=false") {
		t.Fatalf("the example is %q", example)
	}
	return lines
}

// TestRolling changes ensembles from plain text to TLS as docs/security.md says, and back in the long form, while clients write.
func TestRolling(t *testing.T) {
	steps := [][]string{{"portUnification=true"}, {"portUnification=true", "sslQuorum=true"}, {"sslQuorum=true"}}
	if long() {
		steps = append(steps, steps[1], steps[0], nil)
	}
	for _, kinds := range rolled() {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			a := newAuthority(t)
			e := build(t, kinds, "fips-mode=false", "sslQuorumReloadCertFiles=true")
			stores := map[*ensemble.Member][]string{}
			for _, m := range e.Members {
				stores[m] = a.pem(fmt.Sprint("server-", m.ID), nil)
			}
			roll(t, e, steps, func(m *ensemble.Member, step []string) []string { return append(step, stores[m]...) }, func(m *ensemble.Member, step []string) {
				port(t, m, nil, !slices.Equal(step, steps[2]))
				if step != nil {
					port(t, m, a.Config(a.Issue("x", nil)), true)
				}
			})
		})
	}
}

// rolled are the ensembles that are changed server by server.
func rolled() [][]ensemble.Kind {
	if long() {
		return [][]ensemble.Kind{{quoll, java, quoll}, {java, quoll, java}, {quoll, quoll, quoll}, {java, java, java}}
	}
	return [][]ensemble.Kind{{quoll, java, quoll}}
}

// roll takes an ensemble from no settings of its own through some steps, server by server, while clients write. lines are the settings of a member at a step, and changed looks at it
// when it serves again.
func roll(t *testing.T, e *ensemble.Ensemble, steps [][]string, lines func(m *ensemble.Member, step []string) []string, changed func(m *ensemble.Member, step []string)) {
	t.Helper()
	const writers, between = 4, 100
	peer.Check(t, e.Start())
	serving(t, e)
	create(t, "/load", e.Members...)
	load := e.StartLoad("/load", writers)
	for _, step := range steps {
		for _, m := range e.Members {
			_, err := load.Await(between)
			peer.Check(t, err)
			peer.Check(t, m.Stop())
			peer.Check(t, e.Configure(m, lines(m, slices.Clip(step))...))
			peer.Check(t, m.Start())
			serving(t, e)
			changed(m, step)
		}
	}
	_, err := load.Await(between)
	peer.Check(t, err)
	result, err := load.Stop()
	peer.Check(t, err)
	peer.Check(t, load.Present(e))
	_, err = e.Agree()
	peer.Check(t, err)
	t.Logf("%d writes acknowledged in %d restarts, all present; the longest pause of all writers was %v", result.Acked, len(steps)*len(e.Members), result.Pause.Round(time.Millisecond))
}

// TestRefused has a third server, of each kind, with certificates that do not do: no server of either kind takes it, or is taken in by it. With the right one it is a member.
func TestRefused(t *testing.T) {
	kinds := []ensemble.Kind{quoll}
	if long() {
		kinds = append(kinds, java)
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			a := newAuthority(t)
			e := build(t, []ensemble.Kind{java, quoll, kind}, "sslQuorum=true", "fips-mode=false")
			m := e.Member(3)
			var good []string
			for _, m := range e.Members {
				good = a.pem(fmt.Sprint("server-", m.ID), nil)
				peer.Check(t, e.Configure(m, good...))
			}
			for _, bad := range []struct {
				stores      []string
				java, quoll string // what they say of it
			}{
				{newAuthority(t).pem("bad", nil), "PKIX path", "signed by unknown authority"},
				{a.pem("expired", func(form *x509.Certificate) { form.NotAfter = time.Now().Add(-time.Minute) }), "validity check failed", "certificate has expired"},
				{a.pem("elsewhere", func(form *x509.Certificate) { form.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), "Failed to verify both host address and host name", "is for none of 127.0.0.1"},
			} {
				peer.Check(t, e.Configure(m, bad.stores[0], good[1]))
				peer.Check(t, m.Start())
				listens(t, m)
				peer.Check(t, e.Start(e.Members[:2]...))
				says(t, e.Member(1), `Cannot open (secure )?channel to 3 .*\n.*`+bad.java)
				says(t, e.Member(2), `cannot open a channel to a server at its election address" sid=3 .*`+bad.quoll)
				says(t, e.Member(2), "a server cannot connect here with TLS")
				if kind == quoll {
					says(t, m, `sid=1 .*error="remote error: tls: `) // what Java's log does not tell
				}
				if mode := m.Mode(); mode != "" {
					t.Errorf("with %s it is %s", bad.stores[0], mode)
				}
				peer.Check(t, m.Stop())
				serving(t, e)
				peer.Check(t, e.Stop())
			}
			peer.Check(t, e.Configure(m, good...))
			peer.Check(t, e.Start())
			serving(t, e)
			create(t, "/good", m)
		})
	}
}

// listens waits until a member takes connections at its election port.
func listens(t *testing.T, m *ensemble.Member) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", m.ElectionAddr()); err == nil {
			conn.Close()
			return
		}
	}
	t.Fatalf("%v does not listen", m)
}
