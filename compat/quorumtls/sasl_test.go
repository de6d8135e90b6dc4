//go:build unix

package quorumtls

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/ensemble"
	"quoll/compat/peer"
)

// authenticated makes an ensemble whose members have the JAAS file of docs/security.md.
func authenticated(t *testing.T, kinds []ensemble.Kind, config ...string) (e *ensemble.Ensemble, jaas func(m *ensemble.Member, change ...string)) {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	peer.Check(t, err)
	_, behind, _ := strings.Cut(string(text), "## Between the servers")
	_, behind, _ = strings.Cut(behind, "```java\n")
	example, _, ok := strings.Cut(behind, "```")
	if !ok || !strings.Contains(example, "QuorumLearner {") {
		t.Fatalf("the example is %q", example)
	}
	work := t.TempDir()
	// Each member has its file where it works.
	e = buildWith(t, ensemble.Options{Work: work, Kinds: kinds, Config: config, Flags: []string{"-Djava.security.auth.login.config=jaas.conf"}})
	jaas = func(m *ensemble.Member, change ...string) {
		peer.Check(t, os.WriteFile(filepath.Join(work, fmt.Sprint(m.ID), "jaas.conf"), []byte(strings.NewReplacer(change...).Replace(example)), 0o600))
	}
	for _, m := range e.Members {
		jaas(m)
	}
	return e, jaas
}

// saslSteps are those of docs/security.md.
var saslSteps = [][]string{
	{"quorum.auth.enableSasl=true"},
	{"quorum.auth.enableSasl=true", "quorum.auth.learnerRequireSasl=true"},
	{"quorum.auth.enableSasl=true", "quorum.auth.learnerRequireSasl=true", "quorum.auth.serverRequireSasl=true"},
}

// TestSASL has ensembles of both kinds authenticate with DIGEST-MD5. A server without authentication, or with a wrong password, is in none.
func TestSASL(t *testing.T) {
	all := [][]ensemble.Kind{{quoll, java, quoll}}
	if long() {
		all = append(all, []ensemble.Kind{java, quoll, java}, []ensemble.Kind{quoll, java, java}, []ensemble.Kind{java, java, quoll}, []ensemble.Kind{java, quoll, quoll}, []ensemble.Kind{quoll, quoll, java}, []ensemble.Kind{java, java, java})
	}
	for _, kinds := range all {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			e, jaas := authenticated(t, kinds, "fips-mode=false")
			must := saslSteps[2]
			for _, m := range e.Members {
				peer.Check(t, e.Configure(m, must...))
			}
			peer.Check(t, e.Start())
			survives(t, e)

			m := e.Member(3)
			for _, bad := range []struct {
				config, change []string
				java, quoll    string // what they say of it
			}{
				{nil, nil, "Learner not trying to authenticate and authentication is required", "it does not authenticate itself"},
				{must, []string{`password="secret"`, `password="guess"`}, "digest response format violation|digest response value received", `the response of \\"zk\\" does not fit its password`},
			} {
				peer.Check(t, e.Stop())
				jaas(m, bad.change...)
				peer.Check(t, e.Configure(m, bad.config...))
				peer.Check(t, e.Start(m))
				listens(t, m)
				peer.Check(t, e.Start(e.Members[:2]...))
				for _, o := range e.Members[:2] {
					if o.Kind() == java {
						says(t, o, bad.java)
					} else {
						says(t, o, bad.quoll)
					}
				}
				if mode := m.Mode(); mode != "" {
					t.Errorf("with %v and %v it is %s", bad.config, bad.change, mode)
				}
				peer.Check(t, m.Stop())
				serving(t, e)
			}
			jaas(m)
			peer.Check(t, e.Configure(m, must...))
			peer.Check(t, m.Start())
			serving(t, e)
			_, err := e.SameTrees()
			peer.Check(t, err)
		})
	}
}

// TestSASLRolling changes ensembles to authentication as docs/security.md says, and back, while clients write. It is part of the long form alone: TestRolling is the short one.
func TestSASLRolling(t *testing.T) {
	if !long() {
		t.Skip("QUOLL_ENSEMBLE=long has it")
	}
	steps := append(saslSteps[:3:3], saslSteps[1], saslSteps[0], nil)
	for _, kinds := range rolled() {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			e, _ := authenticated(t, kinds, "fips-mode=false")
			roll(t, e, steps, func(_ *ensemble.Member, step []string) []string { return step }, func(*ensemble.Member, []string) {})
		})
	}
}

// TestGSSAPI has an ensemble of both kinds authenticate with Kerberos. A server whose principal is for a host that no member has is in none; one that has the principal of another service on a
// member's host is, which docs/security.md says.
func TestGSSAPI(t *testing.T) {
	all := [][]ensemble.Kind{{quoll, java, quoll}}
	if long() {
		all = append(all, []ensemble.Kind{java, quoll, java}, []ensemble.Kind{java, java, quoll}, []ensemble.Kind{quoll, quoll, java}, []ensemble.Kind{java, java, java})
	}
	for _, kinds := range all {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			peer.RequireJVM(t)
			const principal = "zkquorum/127.0.0.1@" + peer.Realm
			k := peer.StartKDC(t, principal, "intruder/elsewhere@"+peer.Realm, "web/127.0.0.1@"+peer.Realm)
			work := t.TempDir()
			config := append([]string{"quorum.auth.kerberos.servicePrincipal=zkquorum/_HOST"}, saslSteps[2]...)
			e := buildWith(t, ensemble.Options{Work: work, Kinds: kinds, Config: config, Flags: []string{"-Djava.security.auth.login.config=jaas.conf", "-Djava.security.krb5.conf=" + k.File("krb5.conf")}})
			jaas := func(m *ensemble.Member, learner string) {
				text := k.Section("QuorumServer", principal) + k.Section("QuorumLearner", learner)
				peer.Check(t, os.WriteFile(filepath.Join(work, fmt.Sprint(m.ID), "jaas.conf"), []byte(text), 0o600))
			}
			for _, m := range e.Members[:2] {
				jaas(m, principal)
			}
			m := e.Member(3)
			jaas(m, "intruder/elsewhere@"+peer.Realm)
			peer.Check(t, e.Start(m))
			listens(t, m)
			peer.Check(t, e.Start(e.Members[:2]...))
			for _, o := range e.Members[:2] {
				if o.Kind() == java {
					says(t, o, "intruder/elsewhere@"+peer.Realm+" is not authorized to connect")
				} else {
					says(t, o, "intruder/elsewhere@"+peer.Realm+" is not the principal of a member's host")
				}
			}
			if mode := m.Mode(); mode != "" {
				t.Errorf("it is %s", mode)
			}
			peer.Check(t, m.Stop())
			serving(t, e)
			jaas(m, "web/127.0.0.1@"+peer.Realm)
			peer.Check(t, m.Start())
			survives(t, e)
			_, err := e.SameTrees()
			peer.Check(t, err)
		})
	}
}
