// Package zkserver has a stand-in for zkServer.sh in the test-suites of other projects, and compares what quoll does under the names of zkServer.sh and
// zkServer-initialize.sh with what the scripts of Apache ZooKeeper 3.9.5 did.
//
// The scripts are in no package registry, so their outputs are recorded. To record them anew, or to compare with the scripts themselves, unpack the release, and
//
//	QUOLL_ZOOKEEPER_HOME=.../apache-zookeeper-3.9.5-bin go test ./compat/zkserver -update
package zkserver

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
)

var update = flag.Bool("update", false, "record what the scripts in $QUOLL_ZOOKEEPER_HOME do")

// step is one call of a script in the directory of a run, in which @DIR stands for that directory and @PORT for a free port.
type step struct {
	env  string // words key=value
	line string // the script and its arguments
	// before changes files first.
	before func(t *testing.T, dir string)
}

func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		name := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// shared is what environment and files the steps have in common.
const shared = "ZOOCFGDIR=@DIR/conf ZOO_LOG_DIR=@DIR/logs"

var steps = []step{
	{shared, "zkServer.sh bogus", nil},
	{shared, "zkServer.sh upgrade", nil},
	{shared, "zkServer.sh", nil},
	{shared, "zkServer.sh status", nil},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh start", nil},
	{shared, "zkServer.sh start", nil},
	{shared, "zkServer.sh status", waitServing},
	{"ZOO_LOG_DIR=@DIR/logs", "zkServer.sh --config @DIR/conf status", nil},
	{"ZOO_LOG_DIR=@DIR/logs", "zkServer.sh status @DIR/conf/zoo.cfg", nil},
	{shared, "zkServer.sh version", nil},
	{shared, "zkServer.sh restart", nil},
	{shared, "zkServer.sh status", waitServing},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh status", nil},
	{shared, "zkServer.sh stop", write("data/zookeeper_server.pid", "4194300\n")},
	{shared + " ZOOPIDFILE=@DIR/run/pid", "zkServer.sh start", nil},
	{shared + " ZOOPIDFILE=@DIR/run/pid", "zkServer.sh stop", nil},
	{shared, "zkServer.sh status", write("conf/zookeeper-env.sh", "ZOOCFG=other.cfg\n[ -n \"$ZOOBINDIR\" ] || ZOOCFG=wrong.cfg\n")},
	{shared, "zkServer.sh status", write("conf/other.cfg", "dataDir=@DIR/data\nserver.1=localhost:2888:3888;localhost:@PORT\nadmin.enableServer=false\n")},
	{shared, "zkServer.sh start", write("data/myid", "1\n")},
	{shared, "zkServer.sh status", waitServing},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh status", write("conf/other.cfg", "dataDir=@DIR/data\ndynamicConfigFile=@DIR/conf/dynamic\n")},
	{shared, "zkServer.sh status", write("conf/dynamic", "server.1=localhost:2888:3888;@PORT\n")},
	{shared, "zkServer.sh status", write("conf/other.cfg", "dataDir=@DIR/data\nsecureClientPort=@PORT\ndynamicConfigFile=@DIR/conf/none\n")},
	{shared + " ZOOCFG=zoo.cfg", "zkServer.sh start", write("conf/zookeeper-env.sh", "ZOO_DATADIR_AUTOCREATE_DISABLE=yes; ZOOCFG=zoo.cfg\n")},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh version", remove("data/version-2")},
	{shared, "zkServer.sh start", write("conf/zookeeper-env.sh", "")},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh start", write("conf/java.env", "export SERVER_JVMFLAGS=\"$SERVER_JVMFLAGS -Dzookeeper.4lw.commands.whitelist=ruok\"\n")},
	{shared, "zkServer.sh status", expectWord("ruok", "imok")},
	{shared, "zkServer.sh stop", nil},
	{shared, "zkServer.sh start-foreground broken.cfg", write("conf/broken.cfg", "dataDir=@DIR/data\nclientPort=none\n")},
	{shared, "zkServer.sh start-foreground missing.cfg", nil},

	{shared, "zkServer-initialize.sh", remove("data")},
	{shared, "zkServer-initialize.sh", nil},
	{shared, "zkServer-initialize.sh --force --myid=7", nil},
	{shared, "zkServer-initialize.sh --force --myid 8 --configfile @DIR/conf/logs.cfg", write("conf/logs.cfg", "dataDir=@DIR/data\ndataLogDir=@DIR/log\n")},
	{shared, "zkServer-initialize.sh --configfile=@DIR/conf/logs.cfg", remove("data")},
	{shared, "zkServer-initialize.sh --configfile=@DIR/nope", nil},
	{shared, "zkServer-initialize.sh --configfile=@DIR/conf/empty.cfg", write("conf/empty.cfg", "tickTime=2000\n")},
	{shared, "zkServer-initialize.sh --bogus", nil},
	{shared, "zkServer-initialize.sh --myid=", nil},
	{shared, "zkServer-initialize.sh -h", nil},
	{shared, "zkServer.sh start", write("data/zookeeper_server.pid", "")},
	{shared, "zkServer.sh status", waitServing},
	{shared, "zkServer.sh stop", nil},
}

// port is the one of the run.
func port(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "port"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func waitServing(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if answer, err := peer.AskWord("localhost:"+port(t, dir), "srvr", time.Second); err == nil && strings.Contains(answer, "Mode: ") {
			return
		}
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*.out"))
	for _, name := range logs {
		text, _ := os.ReadFile(name)
		t.Logf("%s", text)
	}
	t.Fatal("nobody serves the port")
}

func expectWord(word, want string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		waitServing(t, dir)
		if answer, err := peer.AskWord("localhost:"+port(t, dir), word, 20*time.Second); err != nil || answer != want {
			t.Errorf("%s: %q, %v", word, answer, err)
		}
	}
}

// TestScripts runs the steps with quoll under the scripts' names and compares output, exit codes and files with the record.
func TestScripts(t *testing.T) {
	binary, err := peer.Binary()
	peer.Check(t, err)
	bin := filepath.Join(t.TempDir(), "bin")
	if text, err := exec.Command(binary, "scripts", bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	const record = "testdata/scripts.txt"
	if home := os.Getenv("QUOLL_ZOOKEEPER_HOME"); home != "" {
		peer.RequireJVM(t)
		text := play(t, filepath.Join(home, "bin"))
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(record, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	have := strings.SplitAfter(play(t, bin), "\n\n")
	for i, part := range strings.SplitAfter(string(want), "\n\n") {
		if i >= len(have) || part != have[i] {
			t.Errorf("step %d: ZooKeeper's script does\n%squoll does\n%s", i, part, append(have, make([]string, i+1)...)[i])
		}
	}
}

// TestStartFails has a server that ends at once, for which the wait of the script is too short on a machine that starts a JVM slowly.
func TestStartFails(t *testing.T) {
	binary, err := peer.Binary()
	peer.Check(t, err)
	dir := t.TempDir()
	write("zoo.cfg", "dataDir="+dir+"\nclientPort=none\n")(t, dir)
	cmd := exec.CommandContext(t.Context(), binary, "zkServer.sh", "start", filepath.Join(dir, "zoo.cfg"))
	cmd.Env = []string{"ZOO_LOG_DIR=" + dir}
	out, err := cmd.Output()
	if string(out) != "Starting zookeeper ... FAILED TO START\n" || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v: %s", err, out)
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.out"))
	if len(logs) != 1 {
		t.Fatalf("logs: %q", logs)
	}
	if text, err := os.ReadFile(logs[0]); err != nil || !strings.Contains(string(text), "clientPort") {
		t.Errorf("%v: %s", err, text)
	}
}

// TestCleanup finds the directories as zkServer.sh does, and removes what is too old.
func TestCleanup(t *testing.T) {
	binary, err := peer.Binary()
	peer.Check(t, err)
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if text, err := exec.Command(binary, "scripts", bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	write("conf/other.cfg", "dataDir="+dir+"/data\ndataLogDir="+dir+"/log\n")(t, dir)
	write("conf/zookeeper-env.sh", "ZOOCFG=other.cfg\n")(t, dir)
	snapshot, err := os.ReadFile("../../testdata/storage/g2-snapshot.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"1", "2", "3", "4"} {
		write("data/version-2/snapshot."+n, string(snapshot))(t, dir)
		write("log/version-2/log."+n, "x")(t, dir)
	}
	// As a shell that found it in PATH starts it: under its name alone.
	cmd := &exec.Cmd{Path: filepath.Join(bin, "zkCleanup.sh"), Args: []string{"zkCleanup.sh", "-n", "3"}, Env: []string{"PATH=" + bin}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "version-2", "*"))
	if len(left) != 6 {
		t.Errorf("%s leaves %q", out, left)
	}
}

// What is different on purpose, or from run to run.
var differences = []struct{ pattern, with string }{
	{`(?m)^(ZooKeeper JMX enabled by default|JMX disabled: there is no JVM)$`, "JMX"},
	{`(?:JMX\nUsing config: (.*)\n)+`, "JMX\nUsing config: $1\n"}, // restart calls the script again
	{`(?m)^(grep|mkdir|.*/zkServer.sh: line \d+): .*\n`, ""},      // what the tools of a script complain about
	{`(?m)^.*zookeeper_server.pid names no process that runs\n`, ""},
	{`version 3\.9\.5 \d{4}-\d\d-\d\d \d\d:\d\d UTC`, "version 3.9.5 DATE"},
	{`as process \d+`, "as process PID"},
	{`(?s)\n \nNote: We used secureClientPort.*?\n \n`, "\n"},
	{`(?m)^The client port is one of TLS: .*\n`, ""},
	{`(?m)^quoll: .*\n`, ""},
}

// play runs the steps with the scripts in a directory and returns what they did.
func play(t *testing.T, bin string) string {
	t.Helper()
	dir := t.TempDir()
	free, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("@DIR", dir, "@PORT", strconv.Itoa(free))
	write("port", strconv.Itoa(free))(t, dir)
	write("conf/zoo.cfg", fill.Replace("dataDir=@DIR/data\nclientPort=@PORT\nadmin.enableServer=false\n"))(t, dir)
	t.Cleanup(func() {
		for _, name := range []string{"data/zookeeper_server.pid", "run/pid"} { // of a server that a failure left
			text, _ := os.ReadFile(filepath.Join(dir, name))
			if pid, err := strconv.Atoi(string(text)); err == nil && pid > 1 && pid != 4194300 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	var b strings.Builder
	for i, s := range steps {
		if s.before != nil {
			s.before(t, dir)
			configs, _ := filepath.Glob(filepath.Join(dir, "conf", "*"))
			for _, name := range configs {
				text, err := os.ReadFile(name)
				if err == nil {
					err = os.WriteFile(name, []byte(fill.Replace(string(text))), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		args := strings.Fields(fill.Replace(s.line))
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...)
		cmd.Dir = dir
		// Not the whole environment: what it has of these variables counts.
		cmd.Env = append(strings.Fields(fill.Replace(s.env)), "PATH="+os.Getenv("PATH"), "JAVA_HOME="+javaHome(), "USER=u", "TZ=UTC", "SERVER_JVMFLAGS=-Xmx128m")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d $ %s\n", i, s.line)
		errors := stderr.String()
		if strings.Contains(s.line, "start-foreground") { // the server's own log, which says things its own way
			errors = ""
			stdout.Reset()
		}
		out := stdout.String() + "-- stderr\n" + errors
		for _, d := range differences {
			out = regexp.MustCompile(d.pattern).ReplaceAllString(out, d.with)
		}
		out = strings.NewReplacer(bin, "BIN", dir, "@DIR", strconv.Itoa(free), "@PORT").Replace(out)
		// The usage pads a path, whose length is that of a temporary directory.
		out = regexp.MustCompile(`--configfile=(\S+) +`).ReplaceAllString(out, "--configfile=$1 ")
		fmt.Fprintf(&b, "%sexit %d\n", out, cmd.ProcessState.ExitCode())
		names := []string{"data/myid", "data/initialize", "log/version-2", "data/zookeeper_server.pid", "run/pid", "logs/zookeeper-u-server-HOST.out"}
		if args[0] == "zkServer-initialize.sh" { // later a server makes it, at some time
			names = append(names, "data/version-2")
		}
		for _, name := range names {
			host, _ := os.Hostname()
			if info, err := os.Stat(filepath.Join(dir, strings.Replace(name, "HOST", host, 1))); err == nil {
				kind := "file"
				if info.IsDir() {
					kind = "directory"
				}
				fmt.Fprintf(&b, "%s: %s\n", name, kind)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// javaHome is where java is, so that the scripts do not print that.
func javaHome() string {
	java, err := exec.LookPath("java")
	if err != nil {
		return ""
	}
	java, _ = filepath.EvalSymlinks(java)
	return filepath.Dir(filepath.Dir(java))
}
