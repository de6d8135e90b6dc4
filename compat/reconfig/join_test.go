package reconfig

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/tlsconf/tlstest"
)

// quoll runs a command of the quoll binary as the superuser, and returns what it says with its exit code.
func (w *world) quoll(command string, sid int64, arguments ...string) (lines []string, code int) {
	w.t.Helper()
	binary, err := peer.Binary()
	peer.Check(w.t, err)
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{command, "--server", fmt.Sprintf("127.0.0.1:%d", w.ports[sid][2])}, arguments...)...)
	cmd.Env = append(os.Environ(), "QUOLL_AUTH=digest:"+super)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), cmd.ProcessState.ExitCode()
}

// passing are the lines that a fast machine never sees.
var passing = regexp.MustCompile(`does not serve yet|has to come to|waiting for a connection|another reconfig is under way`)

// TestJoin has servers join and leave by the commands of quoll, which do not mind whose servers they are.
func TestJoin(t *testing.T) {
	peer.RequireJVM(t)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			w := newWorld(t, kind)
			w.start(w.members(3), 1, 2, 3)
			leader, follower := w.leader()
			w.start(append(w.members(3), "server.4="+w.line(4, "observer")), 4)
			for _, step := range []struct {
				command, argument string
				code              int
				want              []string // what it says; of an error the beginning
				mode              map[int64]string
			}{
				{"join", "server.4=" + w.line(4, "participant"), 0, []string{"server 4 becomes an observer", "server 4 becomes a participant", "server 4 is a member: follower"}, map[int64]string{4: "follower"}},
				{"join", "server.4=" + w.line(4, "participant"), 0, []string{"server 4 is a member: follower"}, nil},
				{"join", "server.4=" + w.line(5, "participant"), 1, []string{"quoll: there is a server 4 already"}, nil},
				{"join", "server.4=" + w.line(4, "observer"), 0, []string{"server 4 becomes an observer", "server 4 is a member: observer"}, map[int64]string{4: "observer"}},
				{"join", "server.4=" + w.line(4, "participant"), 0, []string{"server 4 becomes a participant", "server 4 is a member: follower"}, nil},
				{"leave", fmt.Sprint(leader), 0, []string{fmt.Sprintf("server %d leaves", leader), fmt.Sprintf("server %d is no member", leader)}, map[int64]string{leader: "follower"}},
				{"leave", fmt.Sprint(leader), 0, []string{fmt.Sprintf("server %d is no member", leader)}, nil},
				{"join", fmt.Sprintf("server.%d=%s", leader, w.line(leader, "participant")), 0, []string{fmt.Sprintf("server %d becomes an observer", leader), fmt.Sprintf("server %d becomes a participant", leader), fmt.Sprintf("server %d is a member: follower", leader)}, nil},
				{"leave", "--above=3", 0, []string{"server 4 leaves", "no server above 3 is a member"}, nil},
				{"leave", "4", 0, []string{"server 4 is no member"}, nil},
				{"leave", "x", 2, []string{"quoll: the id of one server is needed"}, nil},
			} {
				lines, code := w.quoll(step.command, follower, step.argument)
				said := slices.DeleteFunc(slices.Clone(lines), passing.MatchString)
				if code != step.code || len(said) != len(step.want) || !slices.EqualFunc(said, step.want, strings.HasPrefix) {
					t.Fatalf("%s %s: exit code %d\n%s", step.command, step.argument, code, strings.Join(lines, "\n"))
				}
				for sid, mode := range step.mode {
					w.await(fmt.Sprintf("server %d to be %s", sid, mode), func() bool { return w.mode(sid) == mode })
				}
			}
			if version := w.version(w.connect(false, nil, follower)); version == "" {
				t.Error("no version")
			}
		})
	}
}

// TestJoinOne makes an ensemble of two out of one, and of one out of two.
func TestJoinOne(t *testing.T) {
	peer.RequireJVM(t)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			w := newWorld(t, kind, "standaloneEnabled=false")
			w.start(w.members(1), 1)
			w.start(append(w.members(1), "server.2="+w.line(2, "observer")), 2)
			for _, step := range []struct {
				command, argument string
				want              []string
			}{
				{"join", "server.2=" + w.line(2, "participant"), []string{"server 2 becomes a participant", "server 2 is a member: follower"}},
				{"leave", "2", []string{"server 2 leaves", "server 2 is no member"}},
				{"leave", "1", []string{"server 1 leaves", "quoll: KeeperErrorCode = BadArguments: the server's log says why"}},
			} {
				lines, _ := w.quoll(step.command, 1, step.argument)
				said := slices.DeleteFunc(slices.Clone(lines), passing.MatchString)
				if !slices.EqualFunc(said, step.want, strings.HasPrefix) {
					t.Fatalf("%s %s:\n%s", step.command, step.argument, strings.Join(lines, "\n"))
				}
			}
		})
	}
}

// TestTLS runs the commands that change the members over TLS, with the stores that a client's properties name, and without them. The port
// takes plain connections as well, so one without a certificate is what shows that TLS was asked for.
func TestTLS(t *testing.T) {
	binary, err := peer.Binary()
	peer.Check(t, err)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ca := tlstest.New(t, "ca")
	own := ca.Issue("localhost", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	ca.Write(file("key.pem"), ca.Store(own))
	ca.Write(file("ca.pem"), ca.Trust())
	properties := "zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location=" + file("key.pem") + "\nzookeeper.ssl.trustStore.location=" + file("ca.pem") + "\n"
	if err := os.WriteFile(file("client.properties"), []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := "CLIENT_JVMFLAGS=-D" + strings.Join(strings.Fields(properties), " -D")
	w := newWorld(t, peer.Kinds[1], "client.portUnification=true", "ssl.keyStore.location="+file("key.pem"), "ssl.trustStore.location="+file("ca.pem"))
	w.start(w.members(3), 1, 2, 3)
	w.start(append(w.members(3), "server.4="+w.line(4, "observer")), 4)
	at := func(sid int64) string { return fmt.Sprint("127.0.0.1:", w.ports[sid][2]) }
	run := func(env string, args ...string) (string, int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(w.ctx, patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env = append(os.Environ(), "QUOLL_AUTH=digest:"+super, env)
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	tls := []string{"--client-configuration", file("client.properties")}
	for _, step := range []struct {
		env  string
		args []string
		code int
		want string
	}{
		{flags, []string{"status", at(1)}, 0, "Mode: "},
		{"", slices.Concat([]string{"status"}, tls, []string{at(1)}), 0, "Mode: "},
		{"CLIENT_JVMFLAGS=-Dzookeeper.client.secure=true -Dzookeeper.ssl.trustStore.location=" + file("none"), []string{"status", at(1)}, 2, "none"},
		{"CLIENT_JVMFLAGS=-Dzookeeper.client.secure=true -Dzookeeper.ssl.trustStore.location=" + file("ca.pem"), []string{"status", at(1)}, 1, "certificate"},
		{"", []string{"status", "--client-configuration", file("none"), at(1)}, 2, "none"},
		{"", slices.Concat([]string{"join"}, tls, []string{"--server", at(1), "--at", at(4), "server.4=" + w.line(4, "participant")}), 0, "server 4 is a member: follower"},
		{flags, []string{"leave", "--server", at(1), "4"}, 0, "server 4 is no member"},
	} {
		if out, code := run(step.env, step.args...); code != step.code || !strings.Contains(out, step.want) {
			t.Errorf("%q %q: exit code %d: %s", step.env, step.args, code, out)
		}
	}
}
