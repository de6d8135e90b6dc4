package compat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// entrant is a shell with a server of its own; vars are the words of the tables that it replaces, and their values.
type entrant struct {
	name   string
	args   []string // of the program, which takes the arguments of zkCli.sh
	server *peer.Server
	vars   []string
}

// output is what a run of a shell leaves.
type output struct {
	stdout, stderr string
	code           int
	events         []string // what stdout had of them
}

func (e *entrant) run(t *testing.T, stdin string, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), e.args[0], append(e.args[1:], args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	out := output{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	e.normalise(&out)
	return out
}

// fill puts the entrant's own values into a line of a table.
func (e *entrant) fill(line string) string {
	return strings.NewReplacer(append(e.vars, "SERVER", e.server.Addr())...).Replace(line)
}

// entrants returns zkCli.sh, which is the control, and quoll on a server of the same kind. The servers are to be set.
func entrants(t *testing.T) []*entrant {
	t.Helper()
	classpath, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	quoll, err := peer.Binary()
	peer.Check(t, err)
	return []*entrant{
		{name: "zkCli.sh", args: []string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.log.level=OFF",
			"-cp", classpath, "org.apache.zookeeper.ZooKeeperMain"}},
		{name: "quoll cli", args: []string{quoll, "cli"}},
	}
}

// table reads a file of lines; those that begin with # are comments.
func table(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "shell", name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
}

// What differs from run to run, or from one moment to the next.
var (
	watcherLine = regexp.MustCompile(`\nWATCHER::\n|\n(WatchedEvent [^\n]*)\n`) // printed whenever the event comes
	logLines    = regexp.MustCompile(`(?m)^.* org\.jline\.utils\.Log logr\nWARNING: .*\n|^WARN .*\n`)
	javaDate    = regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}`)
	sessionID   = regexp.MustCompile(`ephemeralOwner = 0x[0-9a-f]{6,}`)
	ephemerals  = regexp.MustCompile(`\[/[^\]]*\]`) // in no order
	connecting  = regexp.MustCompile(`\((CONNECTING|CONNECTED)\)`)
	shellPrompt = regexp.MustCompile(`\[zk: [^\]]*\] `)
)

// normalise takes out what differs.
func (e *entrant) normalise(o *output) {
	o.stdout = watcherLine.ReplaceAllStringFunc(o.stdout, func(text string) string {
		if event := strings.Trim(text, "\n"); event != "WATCHER::" {
			o.events = append(o.events, event)
		}
		return ""
	})
	o.stderr = logLines.ReplaceAllString(o.stderr, "")
	reverse := []string{e.server.Addr(), "SERVER"}
	for i := 0; i < len(e.vars); i += 2 {
		reverse = append(reverse, e.vars[i+1], e.vars[i])
	}
	for _, stream := range []*string{&o.stdout, &o.stderr} {
		text := strings.NewReplacer(reverse...).Replace(*stream)
		text = javaDate.ReplaceAllString(text, "DATE")
		text = sessionID.ReplaceAllString(text, "ephemeralOwner = SESSION")
		text = ephemerals.ReplaceAllStringFunc(text, func(list string) string {
			return strings.Join(slices.Sorted(strings.SplitSeq(strings.Trim(list, "[]"), ", ")), ", ")
		})
		*stream = connecting.ReplaceAllString(text, "(CONNECT)")
	}
}

// session feeds the lines to each entrant and compares with the first, line by line.
func session(t *testing.T, lines []string, all []*entrant) {
	t.Helper()
	var control output
	var want []string
	for i, e := range all {
		text := e.fill(strings.Join(lines, "\n") + "\n")
		out := e.run(t, text, "-server", e.server.Addr())
		// A part is what follows a prompt, and the next prompt.
		parts := shellPrompt.Split(out.stdout, -1)
		for n, prompt := range shellPrompt.FindAllString(out.stdout, -1) {
			parts[n] += prompt
		}
		if i == 0 {
			control, want = out, parts
			if len(parts) < len(lines) {
				t.Fatalf("the control runs %d of %d lines:\n%s\n%s", len(parts)-1, len(lines), out.stdout, out.stderr)
			}
			continue
		}
		for n := range max(len(parts), len(want)) {
			line, a, b := "(start)", "(nothing)\n", "(nothing)\n"
			if n > 0 && n <= len(lines) {
				line = lines[n-1]
			}
			if n < len(want) {
				a = want[n]
			}
			if n < len(parts) {
				b = parts[n]
			}
			if a != b {
				t.Errorf("%s\n%s writes\n%s\n%s on %s writes\n%s", line, all[0].name, a, e.name, e.server.Kind(), b)
			}
		}
		compareLines(t, e.server.Kind()+": standard error", control.stderr, out.stderr)
		compareLines(t, e.server.Kind()+": events", strings.Join(control.events, "\n"), strings.Join(out.events, "\n"))
		if out.code != control.code {
			t.Errorf("%s ends with %d, %s on %s with %d", all[0].name, control.code, e.name, e.server.Kind(), out.code)
		}
	}
}

// compareLines reports the first lines that differ.
func compareLines(t *testing.T, what, want, got string) {
	t.Helper()
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			show := func(lines []string) string {
				return strings.Join(lines[max(0, min(i, len(lines))-2):min(i+4, len(lines))], "\n")
			}
			t.Errorf("%s: differs in line %d. zkCli.sh:\n%s\nquoll cli:\n%s", what, i+1, show(a), show(b))
			return
		}
	}
}

// TestShell gives the same lines to zkCli.sh and to quoll cli, on a fresh server each.
func TestShell(t *testing.T) {
	peer.RequireJVM(t)
	all := entrants(t)
	opts := peer.Options{Config: []string{"extendedTypesEnabled=true"}}
	for _, e := range all {
		e.server = peer.Java(t, opts)
	}
	ours := *all[1]
	ours.server = peer.Quoll(t, opts)
	all = append(all, &ours)

	t.Run("session", func(t *testing.T) { session(t, table(t, "session.txt"), all) })
	t.Run("once", func(t *testing.T) {
		zxid := regexp.MustCompile(`Zxid = 0x[0-9a-f]+`)
		for _, line := range table(t, "once.txt") {
			var control output
			for i, e := range all {
				out := e.run(t, "", strings.Fields(e.fill(line))...)
				out.stdout = zxid.ReplaceAllString(out.stdout, "ZXID")
				out.events = nil // the shell may end before the first
				if i == 0 {
					control = out
				} else if !reflect.DeepEqual(out, control) {
					t.Errorf("%s\n%s: %+v\n%s on %s: %+v", line, all[0].name, control, e.name, e.server.Kind(), out)
				}
			}
		}
	})
}

// TestShellTLS opens stores that keytool has made and talks to a TLS port, which wants a certificate.
func TestShellTLS(t *testing.T) {
	peer.RequireJVM(t)
	file := func(name string) string {
		path, err := filepath.Abs(filepath.Join("..", "tlsconf", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	opts := peer.Options{Config: []string{
		"secureClientPort=" + strconv.Itoa(port), "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"ssl.keyStore.location=" + file("server.p12"), "ssl.keyStore.password=changeit",
		"ssl.trustStore.location=" + file("trust-clients.p12"), "ssl.trustStore.password=changeit",
	}}
	peer.Each(t, opts, func(t *testing.T, server *peer.Server) {
		e := entrants(t)[1]
		e.server = server
		for _, test := range []struct{ key, trust, want string }{
			{"client.p12", "server.p12.pem", "x509: CN=client-p12\n"},
			{"client.jks", "trust-server.jks", "x509: CN=client-jks\n"},
			{"client.jks", "client.p12.pem", ""}, // does not trust the server
		} {
			properties := fmt.Sprintf("zookeeper.client.secure=true\nzookeeper.ssl.keyStore.location=%s\nzookeeper.ssl.keyStore.password=changeit\n"+
				"zookeeper.ssl.trustStore.location=%s\nzookeeper.ssl.trustStore.password=changeit\n", file(test.key), file(test.trust))
			name := filepath.Join(t.TempDir(), "client.properties")
			if err := os.WriteFile(name, []byte(properties), 0o644); err != nil {
				t.Fatal(err)
			}
			out := e.run(t, "", "-server", fmt.Sprint("127.0.0.1:", port), "-client-configuration", name, "whoami")
			if ok := out.code == 0 && strings.Contains(out.stdout, test.want); ok != (test.want != "") {
				t.Errorf("%s and %s: %+v", test.key, test.trust, out)
			}
		}
	})
}

// TestShellReconfig does the same with an ensemble of one server, of either kind.
func TestShellReconfig(t *testing.T) {
	peer.RequireJVM(t)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			all := entrants(t)
			for _, e := range all {
				e.ensemble(t, kind)
			}
			session(t, table(t, "reconfig.txt"), all)
		})
	}
}

// ensemble makes an ensemble of one server the entrant's.
func (e *entrant) ensemble(t *testing.T, kind peer.Kind) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var ports [6]int
	for n := range ports {
		port, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[n] = port
		e.vars = append(e.vars, fmt.Sprint("PORT", n), strconv.Itoa(port))
	}
	own := fmt.Sprintf("server.1=127.0.0.1:%d:%d:participant;127.0.0.1:%d", ports[0], ports[1], ports[5])
	start := map[string]func(testing.TB, peer.Options) *peer.Server{"java": peer.Java, "quoll": peer.Quoll}[kind.Name]
	e.server = start(t, peer.Options{Dir: dir, Port: ports[5], Config: []string{
		"initLimit=10", "syncLimit=5", "standaloneEnabled=false", "reconfigEnabled=true", "skipACL=yes", own,
	}})
	file := filepath.Join(t.TempDir(), "members")
	if err := os.WriteFile(file, []byte(own+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.vars = append(e.vars, "FILE", file)
}
