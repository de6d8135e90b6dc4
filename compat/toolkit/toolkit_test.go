// Package toolkit runs the tools of Apache ZooKeeper and those of quoll on the same files and compares what they print and write.
package toolkit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/inspect"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

const storage = "../../testdata/storage/"

// answer is what a program printed and how it ended.
type answer struct {
	out, err string
	code     int
}

// execute runs a program in dir with times in the given zone.
func execute(t *testing.T, dir, zone, input string, name string, args ...string) answer {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ="+zone, "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(input)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return answer{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// java runs a tool of Apache ZooKeeper.
func java(t *testing.T, dir, zone, input, class string, args ...string) answer {
	t.Helper()
	cp, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	words := append([]string{"java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dzookeeper.log.level=OFF", "-Duser.language=en", "-Duser.country=US",
		"-Dzookeeper.preAllocSize=64", "-cp", cp, "org.apache.zookeeper.server." + class}, args...)
	return execute(t, dir, zone, input, "nice", words...)
}

// quoll runs the binary under the name of a script.
func quoll(t *testing.T, dir, zone, input, script string, args ...string) answer {
	t.Helper()
	bin, err := peer.Binary()
	peer.Check(t, err)
	link := filepath.Join(t.TempDir(), script)
	if err := os.Symlink(bin, link); err != nil {
		t.Fatal(err)
	}
	return execute(t, dir, zone, input, link, args...)
}

// tools are the scripts and their classes.
var tools = map[string]string{
	"zkSnapShotToolkit.sh":                 "SnapshotFormatter",
	"zkSnapshotComparer.sh":                "SnapshotComparer",
	"zkSnapshotRecursiveSummaryToolkit.sh": "SnapshotRecursiveSummary",
	"zkTxnLogToolkit.sh":                   "persistence.TxnLogToolkit",
	"zkCleanup.sh":                         "PurgeTxnLog",
}

// same demands that both print the same lines on stdout once normal has made them comparable, and end with the same code.
func same(t *testing.T, dir, input string, normal func(string) string, script string, args ...string) {
	t.Helper()
	sameIn(t, dir, "UTC", input, normal, script, args...)
}

func sameIn(t *testing.T, dir, zone, input string, normal func(string) string, script string, args ...string) {
	t.Helper()
	want := java(t, dir, zone, input, tools[script], args...)
	got := quoll(t, dir, zone, input, script, args...)
	if a, b := normal(want.out), normal(got.out); a != b {
		t.Errorf("%s %q:\n%s", script, args, difference(a, b))
	}
	if want.code != got.code {
		t.Errorf("%s %q: exit code %d, Java's is %d\n%s%s", script, args, got.code, want.code, got.err, want.err)
	}
}

func exact(s string) string { return s }

// difference shows the first lines that differ.
func difference(java, quoll string) string {
	a, b := strings.Split(java, "\n"), strings.Split(quoll, "\n")
	for i := range max(len(a), len(b)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(nothing)"
		}
		if line(a) != line(b) {
			return fmt.Sprintf("line %d of %d and %d\njava:  %.500q\nquoll: %.500q", i+1, len(a), len(b), line(a), line(b))
		}
	}
	return ""
}

// blocks sorts what the tools print in the order of the file or of a hash table.
func blocks(s string) string {
	parts := strings.Split(s, "----\n")
	slices.Sort(parts)
	return strings.Join(parts, "----\n")
}

var stamps = regexp.MustCompile(`"timestamp":\d+|\d+\.\d+ seconds`)

func noStamps(s string) string { return stamps.ReplaceAllString(s, "?") }

// state is a tree and the log that made it.
type state struct {
	t    *testing.T
	tree *tree.Tree
	log  *txnlog.Log
	zxid int64
}

// newState logs into dir.
func newState(t *testing.T, dir string) *state {
	s := &state{t: t, tree: tree.New(), log: txnlog.NewLog(txnlog.LogOptions{Dir: dir, PreAlloc: 64 << 10})}
	t.Cleanup(func() { must(t, s.log.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// apply gives a transaction its zxid and digest, applies and logs it.
func (s *state) apply(session int64, op jute.Op, txn tree.Txn) {
	s.zxid++
	txn.TxnHeader = jute.TxnHeader{ClientID: session, Cxid: int32(s.zxid), Zxid: s.zxid, Time: 1760000000000 + 7654321*s.zxid, Type: int32(op)}
	var result tree.Result
	s.tree.Apply(&txn, &result, nil)
	txn.Digest, txn.HasDigest = s.tree.Digest(), true
	s.log.Append(s.zxid, txn.Append(nil))
	must(s.t, s.log.Sync())
}

func (s *state) create(session int64, op jute.Op, path string, data []byte, fill func(*tree.Txn)) {
	txn := tree.Txn{Path: path, Data: data, ACL: tree.OpenACL, ParentCVersion: s.tree.Lookup(tree.ParentPath(path)).Persisted().Cversion + 1}
	if fill != nil {
		fill(&txn)
	}
	s.apply(session, op, txn)
}

func sub(op jute.Op, txn tree.Txn) tree.Txn {
	txn.Type = int32(op)
	return txn
}

const (
	sessionA = 0x100000000000001
	sessionB = -0x7ffffffffffffff0 // of a server whose id has the highest bit
)

// everyKind logs at least one transaction of every kind, with whatever makes printing hard.
func (s *state) everyKind() {
	acl := []jute.ACL{
		{Perms: 31, Scheme: "digest", ID: "user:2Om+GBbT2q/tS6pdvACZbbm7/1A="},
		{Perms: -1, Scheme: "weird,}%\n\r\x00'", ID: "ünï{c}ode \U0001F43E"},
		{Perms: 0, Scheme: "", ID: ""},
	}
	s.apply(sessionA, jute.OpCreateSession, tree.Txn{Timeout: 30000})
	s.apply(sessionB, jute.OpCreateSession, tree.Txn{Timeout: -5})
	s.create(sessionA, jute.OpCreate, "/a", []byte("text, with\nlines\x00 and \xff\xfe bad \xe2\x82 bytes"), nil)
	s.create(sessionA, jute.OpCreate, "/a/null", nil, nil)
	s.create(sessionA, jute.OpCreate2, "/a/empty", []byte{}, func(t *tree.Txn) { t.ACL = acl })
	s.create(sessionA, jute.OpCreate, "/a/noacl", nil, func(t *tree.Txn) { t.ACL = nil })
	s.create(sessionA, jute.OpCreate, "/a/emptyacl", nil, func(t *tree.Txn) { t.ACL = []jute.ACL{} })
	s.create(sessionB, jute.OpCreate, "/eph,em}eral%", nil, func(t *tree.Txn) { t.Ephemeral = true })
	s.create(sessionB, jute.OpCreate2, "/eph2", []byte("2"), func(t *tree.Txn) { t.Ephemeral = true })
	s.create(sessionA, jute.OpCreateContainer, "/c", []byte("container"), nil)
	s.create(sessionA, jute.OpCreate, "/c/x", nil, nil)
	s.create(sessionA, jute.OpCreateTTL, "/ttl", []byte("t"), func(t *tree.Txn) { t.TTL = tree.MaxTTL })
	s.apply(sessionA, jute.OpSetData, tree.Txn{Path: "/a", Data: []byte("new\n"), Version: 1})
	s.apply(sessionA, jute.OpSetData, tree.Txn{Path: "/a", Data: nil, Version: 2})
	s.apply(sessionA, jute.OpSetACL, tree.Txn{Path: "/a", ACL: acl, Version: 1})
	s.apply(sessionA, jute.OpSetACL, tree.Txn{Path: "/a/null", ACL: []jute.ACL{}, Version: 1})
	s.apply(sessionA, jute.OpError, tree.Txn{Err: jute.ErrNoNode})
	s.apply(sessionA, jute.OpMulti, tree.Txn{Multi: []tree.Txn{
		sub(jute.OpCheck, tree.Txn{Path: "/a", Version: 3}),
		sub(jute.OpCreate, tree.Txn{Path: "/m", Data: []byte("multi\xf0\x9f"), ACL: acl, ParentCVersion: 6}),
		sub(jute.OpCreateTTL, tree.Txn{Path: "/m/ttl", ACL: tree.OpenACL, TTL: 5, ParentCVersion: 1}),
		sub(jute.OpCreateContainer, tree.Txn{Path: "/m/c", ACL: tree.OpenACL, ParentCVersion: 2}),
		sub(jute.OpSetData, tree.Txn{Path: "/m", Data: []byte("x"), Version: 1}),
		sub(jute.OpDelete, tree.Txn{Path: "/a/empty"}),
	}})
	s.apply(sessionA, jute.OpMulti, tree.Txn{Multi: []tree.Txn{
		sub(jute.OpCreate2, tree.Txn{Path: "/z", ACL: tree.OpenACL, ParentCVersion: 7}),
		sub(jute.OpError, tree.Txn{Err: jute.ErrBadVersion}),
		sub(jute.OpError, tree.Txn{Err: jute.ErrRuntimeInconsistency}),
	}})
	s.apply(sessionA, jute.OpMulti, tree.Txn{})
	s.apply(sessionA, jute.OpReconfig, tree.Txn{Path: tree.ConfigPath, Data: []byte("server.1=h:1:2:participant\nversion=100000001"), Version: -1})
	s.apply(sessionA, jute.OpDelete, tree.Txn{Path: "/c/x"})
	s.apply(0, jute.OpDeleteContainer, tree.Txn{Path: "/c"})
	s.apply(sessionB, jute.OpCloseSession, tree.Txn{Paths: []string{"/eph2", "/eph,em}eral%"}})
	s.apply(sessionA, jute.OpCloseSession, tree.Txn{Paths: []string{}})
}

// grow adds znodes at random places, n in all.
func (s *state) grow(n int) {
	rng := rand.New(rand.NewPCG(1, 2))
	paths := []string{"", ""}
	for range 40 {
		s.apply(int64(rng.Uint64()), jute.OpCreateSession, tree.Txn{Timeout: rng.Int32N(60000)})
	}
	sessions := []int64{0}
	s.tree.EachSession(func(id int64, _ int32) { sessions = append(sessions, id) })
	slices.Sort(sessions)
	names := []string{"n", "item-", "größe", "名前", `quo"te\`, "tab\u00a0", "%"}
	for i := range n {
		path := fmt.Sprintf("%s/%s%d", paths[rng.IntN(len(paths))], names[rng.IntN(len(names))], i)
		data := make([]byte, rng.IntN(200))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		if rng.IntN(4) == 0 {
			session := sessions[rng.IntN(len(sessions))]
			s.create(session, jute.OpCreate, path, data, func(t *tree.Txn) { t.Ephemeral = session != 0 })
			continue
		}
		s.create(1, jute.OpCreate, path, data, nil)
		if rng.IntN(3) == 0 {
			paths = append(paths, path)
		}
	}
}

func (s *state) snapshot(to string) string {
	s.t.Helper()
	_, _, err := inspect.WriteState(s.tree, "", to, txnlog.Plain, inspect.Options{})
	must(s.t, err)
	return to
}

// golden copies the files that a real server has written to the names that it gave them.
func golden(t *testing.T) (dir string, snapshots, logs []string) {
	t.Helper()
	dir = t.TempDir()
	for from, to := range map[string]string{
		"g1-log.1": "log.1", "g7-log.100000001": "log.100000001", "g6-log.1": "log.1.g6",
		"g2-snapshot.0": "snapshot.0", "g3-snapshot.1a": "snapshot.1a", "g4-snapshot.1a.gz": "snapshot.1a.gz", "g5-snapshot.1a.snappy": "snapshot.1a.snappy",
	} {
		b, err := os.ReadFile(storage + from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, to), b, 0o644))
		if strings.HasPrefix(to, "log") {
			logs = append(logs, to)
		} else {
			snapshots = append(snapshots, to)
		}
	}
	slices.Sort(snapshots)
	slices.Sort(logs)
	return dir, snapshots, logs
}

// TestSnapshotsOfJava compares what is printed of snapshots that Java has written: byte for byte, because its order is that of the file.
func TestSnapshotsOfJava(t *testing.T) {
	peer.RequireJVM(t)
	dir, snapshots, _ := golden(t)
	for _, file := range snapshots {
		for _, args := range [][]string{{file}, {"-d", file}, {"-json", file}} {
			same(t, dir, "", noStamps, "zkSnapShotToolkit.sh", args...)
		}
	}
}

// TestSnapshots compares what is printed of large snapshots that quoll has written.
func TestSnapshots(t *testing.T) {
	peer.RequireJVM(t)
	dir := t.TempDir()
	s := newState(t, dir)
	s.everyKind()
	small := filepath.Base(s.snapshot(filepath.Join(dir, "snapshot.19")))
	s.grow(4000)
	for _, suffix := range []string{"", ".gz", ".snappy"} {
		file := filepath.Base(s.snapshot(fmt.Sprintf("%s/snapshot.%x%s", dir, s.zxid, suffix)))
		same(t, dir, "", blocks, "zkSnapShotToolkit.sh", "-d", file)
		if suffix != "" {
			continue
		}
		sameIn(t, dir, "America/New_York", "", blocks, "zkSnapShotToolkit.sh", file)
		same(t, dir, "", noStamps, "zkSnapShotToolkit.sh", "-json", file)
		for _, depth := range []string{"0", "1", "3", "-1"} {
			same(t, dir, "", exact, "zkSnapshotRecursiveSummaryToolkit.sh", file, "/", depth)
		}
		same(t, dir, "", exact, "zkSnapshotRecursiveSummaryToolkit.sh", file, "/zookeeper", "0")
		for _, args := range [][]string{
			{"-l", small, "-r", file, "-b", "2", "-n", "1"},
			{"--left", file, "--right", small, "--bytes", "100", "--nodes", "100"},
			{"-l", small, "-r", file, "-b", "1000", "-n", "1000", "-d"},
			{"-l", small, "-r", small, "-b", "0", "-n", "0"},
		} {
			same(t, dir, "", noStamps, "zkSnapshotComparer.sh", args...)
		}
		same(t, dir, "\n/m\n7\nx\n/zookeeper\n/none\n-3\n2\n\n"+strings.Repeat("\n", 20), noStamps, "zkSnapshotComparer.sh",
			"-i", "-l", small, "-r", file, "-b", "50", "-n", "50")
	}
	for _, args := range [][]string{{"-l", small}, {"-l", small, "-r", small, "-b", "1"}, {}} {
		if want, got := java(t, dir, "UTC", "", "SnapshotComparer", args...), quoll(t, dir, "UTC", "", "zkSnapshotComparer.sh", args...); want.code != got.code {
			t.Errorf("zkSnapshotComparer.sh %q: exit code %d, Java's is %d", args, got.code, want.code)
		}
	}
}

// TestLogs compares what is printed of logs.
func TestLogs(t *testing.T) {
	peer.RequireJVM(t)
	dir, _, logs := golden(t)
	for _, file := range logs {
		same(t, dir, "", exact, "zkTxnLogToolkit.sh", file)
	}
	dir = t.TempDir()
	s := newState(t, dir)
	s.everyKind()
	s.grow(500)
	same(t, dir, "", exact, "zkTxnLogToolkit.sh", "log.1")
	sameIn(t, dir, "Europe/Berlin", "", exact, "zkTxnLogToolkit.sh", "-d", "log.1")
}

// damagedLog has a wrong checksum in its fifth and its ninth record.
func damagedLog(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile(storage + "g1-log.1")
	must(t, err)
	for _, at := range places(b, 5, 9) {
		b[at+3] ^= 0x10
		b[at+7] ^= 0x10
	}
	must(t, os.WriteFile(filepath.Join(dir, "log.1"), b, 0o644))
}

// places are the offsets of some records of a log, counted from 1.
func places(log []byte, numbers ...int) (at []int) {
	for i, n := 16, 1; i+12 < len(log) && log[i+8]|log[i+9]|log[i+10]|log[i+11] != 0; n++ {
		if slices.Contains(numbers, n) {
			at = append(at, i)
		}
		i += 12 + int(log[i+9])<<16 + int(log[i+10])<<8 + int(log[i+11]) + 1
	}
	return at
}

// TestLogRepair compares -r and -c: what is printed up to where quoll says more, and the records in the file that is written.
func TestLogRepair(t *testing.T) {
	peer.RequireJVM(t)
	beginning := func(s string) string {
		s, _, _ = strings.Cut(s, "kept: ")
		return s
	}
	for _, c := range []struct {
		args   []string
		input  string
		normal func(string) string
		writes string
	}{
		{args: []string{"-r", "-y", "log.1"}, writes: "log.1.fixed"},
		{args: []string{"-rvy", "log.1"}, writes: "log.1.fixed"},
		{args: []string{"--recover", "--yes", "log.1"}, writes: "log.1.fixed"},
		{args: []string{"-r", "log.1"}, input: "yes\nx\ny\n", writes: "log.1.fixed"},
		{args: []string{"-c", "-z", "0x3", "log.1"}, writes: "log.1.chopped3"},
		{args: []string{"log.1", "-c", "--zxid", "2"}, writes: "log.1.chopped2"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			javas, ours := t.TempDir(), t.TempDir()
			damagedLog(t, javas)
			damagedLog(t, ours)
			want, got := java(t, javas, "UTC", c.input, "persistence.TxnLogToolkit", c.args...), quoll(t, ours, "UTC", c.input, "zkTxnLogToolkit.sh", c.args...)
			a := want.out
			if i := strings.Index(a, "Recovery file "); i >= 0 { // quoll says so at its end
				if !strings.Contains(got.out, a[i:]) {
					t.Errorf("quoll does not say %q", a[i:])
				}
			}
			if b := beginning(got.out); a != b {
				t.Error(difference(a, b))
			}
			if want.code != got.code {
				t.Errorf("exit code %d, Java's is %d\n%s", got.code, want.code, got.err)
			}
			x, err := os.ReadFile(filepath.Join(javas, c.writes))
			must(t, err)
			y, err := os.ReadFile(filepath.Join(ours, c.writes))
			must(t, err)
			if !bytes.Equal(bytes.TrimRight(x, "\x00"), y) {
				t.Errorf("%s: %d bytes, Java's has %d and others", c.writes, len(y), len(x))
			}
		})
	}
}

// TestDamagedLog compares the print of a log with wrong checksums. The exit code is 1, where Java's is 0 all the same.
func TestDamagedLog(t *testing.T) {
	peer.RequireJVM(t)
	dir := t.TempDir()
	damagedLog(t, dir)
	want, got := java(t, dir, "UTC", "", "persistence.TxnLogToolkit", "log.1"), quoll(t, dir, "UTC", "", "zkTxnLogToolkit.sh", "log.1")
	if want.out != got.out {
		t.Error(difference(want.out, got.out))
	}
	if strings.Count(got.out, "CRC ERROR - ") != 2 || got.code != 1 || !strings.Contains(got.err, "offset ") {
		t.Errorf("exit code %d and %q", got.code, got.err)
	}
}

// TestPurge compares which files are left.
func TestPurge(t *testing.T) {
	peer.RequireJVM(t)
	fill := func() string {
		dir := t.TempDir()
		version := filepath.Join(dir, "version-2")
		must(t, os.MkdirAll(version, 0o755))
		b, err := os.ReadFile(storage + "g3-snapshot.1a")
		must(t, err)
		for _, name := range []string{"snapshot.a", "snapshot.1a", "snapshot.2a", "snapshot.3a", "snapshot.4a", "snapshot.foo"} {
			must(t, os.WriteFile(filepath.Join(version, name), b, 0o644))
		}
		must(t, os.WriteFile(filepath.Join(version, "snapshot.5a"), b[:100], 0o644)) // does not count
		for _, name := range []string{"log.1", "log.b", "log.1b", "log.29", "log.2b", "log.foo"} {
			must(t, os.WriteFile(filepath.Join(version, name), nil, 0o644))
		}
		return dir
	}
	for _, args := range [][]string{{"-n", "3"}, {"-n", "4"}, {"-n", "9"}, {"-n", "2"}, {"-n", "x"}, {"-m", "3"}} {
		javas, ours := fill(), fill()
		want, got := java(t, javas, "UTC", "", "PurgeTxnLog", append([]string{javas}, args...)...), quoll(t, ours, "UTC", "", "zkCleanup.sh", append([]string{ours}, args...)...)
		if want.code != got.code {
			t.Errorf("%q: exit code %d, Java's is %d\n%s", args, got.code, want.code, got.err)
		}
		left := func(dir string) (names []string) {
			entries, err := os.ReadDir(filepath.Join(dir, "version-2"))
			must(t, err)
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return names
		}
		if a, b := left(javas), left(ours); !slices.Equal(a, b) {
			t.Errorf("%q: left are %q, of Java %q", args, b, a)
		}
		lines := func(out, dir string) []string {
			list := strings.Split(strings.ReplaceAll(out, dir, ""), "\n")
			slices.Sort(list)
			return list
		}
		if a, b := lines(want.out, javas), lines(got.out, ours); want.code == 0 && !slices.Equal(a, b) {
			t.Errorf("%q: printed are %q, by Java %q", args, b, a)
		}
	}
}
