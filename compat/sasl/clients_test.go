//go:build unix

package sasl

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// javaClient is the Java client: it authenticates with one section of a JAAS file after the other, and what it returns is what it has printed.
func javaClient(t *testing.T, jaas string, flags ...string) func(t *testing.T, addr string, sections ...string) string {
	t.Helper()
	classes := t.TempDir()
	peer.Check(t, peer.Compile("zookeeper", classes, "Client.java"))
	classpath, err := peer.Classpath("zookeeper", classes)
	peer.Check(t, err)
	file := write(t, "client.conf", jaas)
	return func(t *testing.T, addr string, sections ...string) string {
		t.Helper()
		args := append([]string{
			"-Xmx128m", "-cp", classpath, "-Dlogback.configurationFile=../javaclient/logback.xml", "-Dzookeeper.fips-mode=false", "-Djava.security.auth.login.config=" + file,
		}, flags...)
		out, err := peer.Output(t, 4*patience, nil, "java", append(append(args, "Client", addr), sections...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
}

// write puts a file into a directory of its own.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	peer.Check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// same compares what clients saw of the two servers, which must have some words in it.
func same(t *testing.T, seen map[string]string, words ...string) {
	t.Helper()
	if len(seen) != 2 {
		t.Fatal("a server is missing")
	}
	if seen["java"] != seen["quoll"] || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(seen["java"], w) }) {
		t.Errorf("want %q\nat ZooKeeper:\n%s\nat quoll:\n%s", words, seen["java"], seen["quoll"])
	}
}

// TestJavaClient has ZooKeeper's own client authenticate with DIGEST-MD5, with the right password and with a wrong one.
func TestJavaClient(t *testing.T) {
	peer.RequireJVM(t)
	var sections strings.Builder
	names := []string{"Good", "Super", "Kerberos", "Wrong", "Unknown"}
	for i, user := range [][2]string{{"bob", users["bob"]}, {"super", users["super"]}, {"eve@R", users["eve@R"]}, {"bob", "wrong"}, {"nemo", "x"}} {
		fmt.Fprintf(&sections, "%s { org.apache.zookeeper.server.auth.DigestLoginModule required username=%q password=%q; };\n", names[i], user[0], user[1])
	}
	client, seen := javaClient(t, sections.String()), map[string]string{}
	peer.Each(t, peer.Options{Flags: flags(jaas(t))}, func(t *testing.T, s *peer.Server) { seen[s.Kind()] = client(t, s.Addr(), names...) })
	same(t, seen, "who sasl bob\n", "who sasl eve@R\n", "'sasl,'super}", "/Wrong AuthFailed\n", "/Unknown AuthFailed\n")
}

// TestKazoo does the same with the Python client, which also renews its session, where clients have to authenticate and where they need not.
func TestKazoo(t *testing.T) {
	peer.RequireJVM(t)
	dir, err := peer.Path("kazoo")
	peer.Check(t, err)
	if _, err := os.Stat(filepath.Join(dir, "lib", "puresasl")); err != nil {
		peer.Check(t, fmt.Errorf("%w: kazoo is there without pure-sasl; scripts/fetch-peers.sh kazoo brings it", peer.ErrMissing))
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	file, env := jaas(t), []string{"PYTHONPATH=" + filepath.Join(dir, "lib"), "PYTHONDONTWRITEBYTECODE=1"}
	for _, test := range []struct {
		required string
		users    [][2]string
		words    []string
	}{
		{"false", [][2]string{{"bob", users["bob"]}, {"al/host", users["al/host"]}, {"bob", "wrong"}}, []string{"'sasl', 'bob')", "'sasl', 'al/host')", "renewed True True", "AuthFailed"}},
		{"true", [][2]string{{"bob", users["bob"]}}, []string{"'sasl', 'bob')", "renewed True True"}},
	} {
		seen := map[string]string{}
		peer.Each(t, peer.Options{Flags: flags(file, "-Dzookeeper.sessionRequireClientSASLAuth="+test.required)}, func(t *testing.T, s *peer.Server) {
			for i, user := range test.users {
				out, err := peer.Output(t, 4*patience, env, python, "use.py", s.Addr(), user[0], user[1], fmt.Sprint("/", i))
				if err != nil {
					t.Fatalf("%s: %v\n%s", user, err, out)
				}
				seen[s.Kind()] += out
			}
		})
		same(t, seen, test.words...)
	}
}
