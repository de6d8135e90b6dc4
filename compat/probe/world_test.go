package probe

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/ensemble"
	"quoll/txnlog"
)

// patience ends every wait, whatever the load of the machine.
const patience = time.Minute

// tick is the server's, in milliseconds.
const tick = 300

// me is the server under test: there are fakes with smaller and with larger sids.
const me = 2

// setting is what a scene begins with.
type setting struct {
	voters    []int64 // me among them, or it is an observer
	observers []int64
	config    []string // further lines of zoo.cfg
	flags     []string // -D settings
	version   string   // of the config, in hexadecimal: written as a dynamic file
	dir       string   // the dataDir of a server before; empty is a new one
}

// world is one server under test among fakes.
type world struct {
	*testing.T // of the scene, or of the probe that runs
	scene      *testing.T
	kind       string // java or quoll
	client     string // the server's addresses
	quorum     string //
	election   string //
	dir        string // its dataDir
	work       string // where its zoo.cfg is
	config     *ensemble.Config
	proc       *peer.Process
	mayDie     bool // the scene ends the process by what it sends
	chain      bool // a probe that failed leaves no state for the next one
	stuck      bool // nothing comes from the server any more; the rest of the scene would only wait

	mu    sync.Mutex
	links []*link // all that there were

	fakes  map[int64]*fake
	came   chan *link // learners that dialled a fake's quorum port
	saying string     // the vote that the server repeats
	epoch  int64      // the last one that a fake leader offered, or that the server leads
	last   int64      // the last zxid that the server claimed
}

// scene runs f with a server of each kind.
func scene(t *testing.T, set setting, f func(w *world)) {
	t.Parallel()
	for _, kind := range []string{"java", "quoll"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := start(t, kind, set)
			f(w)
		})
	}
}

// probe runs one probe of the scene; rules are the places of the specification that it pins.
func (w *world) probe(name, rules string, f func()) {
	if w.stuck {
		return
	}
	w.scene.Run(name, func(t *testing.T) {
		w.T = t
		defer func() {
			w.T = w.scene
			if t.Failed() { // the next probe begins without what this one left behind
				w.stuck = w.stuck || w.chain
				w.mu.Lock()
				for _, l := range w.links {
					l.conn.Close()
				}
				w.mu.Unlock()
			}
		}()
		pinned(rules, w.kind, t.Name())
		f()
		if code, gone := w.gone(); gone && !w.mayDie {
			t.Errorf("the process has ended with %d", code)
		}
	})
}

// gone reports whether the process has ended, and how.
func (w *world) gone() (code int, gone bool) {
	if syscall.Kill(w.proc.PID(), 0) == nil {
		return 0, false
	}
	return w.proc.Wait(), true
}

func start(t *testing.T, kind string, set setting) *world {
	t.Helper()
	w := &world{T: t, scene: t, kind: kind, fakes: map[int64]*fake{}, came: make(chan *link, 100), work: t.TempDir()}
	w.dir = set.dir
	if w.dir == "" {
		w.dir = filepath.Join(w.work, "data")
	}
	listeners := map[int64][2]net.Listener{}
	var servers []string
	for _, sid := range slices.Sorted(slices.Values(slices.Concat(set.voters, set.observers))) {
		var ports [2]int
		var pair [2]net.Listener
		for i := range ports {
			var err error
			if ports[i], pair[i], err = listen(); err != nil {
				t.Fatal(err)
			}
			if sid == me {
				pair[i].Close()
			} else {
				t.Cleanup(func() { pair[i].Close() })
			}
		}
		if sid == me {
			w.quorum, w.election = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
		} else {
			listeners[sid] = pair
		}
		role := ensemble.Participant
		if slices.Contains(set.observers, sid) {
			role = ensemble.Observer
		}
		servers = append(servers, fmt.Sprintf("server.%d=127.0.0.1:%d:%d:%v", sid, ports[0], ports[1], role))
	}
	version := set.version
	if version == "" {
		version = "0"
	}
	var err error
	if w.config, err = ensemble.Parse(strings.Join(servers, "\n") + "\nversion=" + version); err != nil {
		t.Fatal(err)
	}
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	w.client = fmt.Sprintf("127.0.0.1:%d", port)
	lines := append([]string{
		fmt.Sprintf("tickTime=%d", tick), "initLimit=10", "syncLimit=5", "admin.enableServer=false", "4lw.commands.whitelist=*",
		"dataDir=" + w.dir, fmt.Sprintf("clientPort=%d", port), "clientPortAddress=127.0.0.1",
	}, set.config...)
	cfg := filepath.Join(w.work, "zoo.cfg")
	if set.version == "" {
		lines = append(lines, servers...)
	} else {
		dynamic := cfg + ".dynamic." + set.version
		lines = append(lines, "dynamicConfigFile="+dynamic)
		w.write(dynamic, strings.Join(servers, "\n"))
	}
	w.write(cfg, strings.Join(lines, "\n")+"\n")
	w.write(filepath.Join(w.dir, "myid"), fmt.Sprintln(me))
	for sid, pair := range listeners {
		w.fakes[sid] = &fake{w: w, sid: sid, ln: pair[0], addr: pair[1].Addr().String()}
		go w.fakes[sid].listen(pair[1])
		go w.listen(pair[0])
	}
	w.proc = &peer.Process{Dir: w.work, LogPath: filepath.Join(w.work, kind+".log")}
	switch kind {
	case "java":
		classpath, err := peer.Classpath("zookeeper")
		peer.Check(t, err)
		// What starts fast need not run long.
		w.proc.Args = slices.Concat([]string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"}, set.flags,
			[]string{"-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg})
	case "quoll":
		binary, err := peer.Binary()
		peer.Check(t, err)
		w.proc.Args = []string{binary, "server", cfg}
		w.proc.Env = []string{"SERVER_JVMFLAGS=" + strings.Join(set.flags, " ")}
	}
	t.Cleanup(func() {
		for _, f := range w.fakes {
			f.close()
		}
		w.proc.Kill()
		if bad := regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*`).FindString(w.proc.Log()); bad != "" {
			t.Errorf("the log has %q", bad)
		}
		peer.ShowLog(t, kind, w.proc)
		if dir := os.Getenv("QUOLL_PROBE_LOGS"); dir != "" {
			os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".log"), []byte(w.proc.Log()), 0o644)
		}
	})
	if err := w.proc.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// listen opens a free port, which another program may have taken since it was found.
func listen() (port int, l net.Listener, err error) {
	for range 10 {
		if port, err = peer.FreePort(); err != nil {
			return 0, nil, err
		}
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l, nil
		}
	}
	return 0, nil, err
}

// write makes a file with its directory.
func (w *world) write(name, text string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

// restart kills the server and starts it again on its directory.
func (w *world) restart() {
	w.Helper()
	if err := w.proc.Kill(); err != nil {
		w.Fatal(err)
	}
	if err := w.proc.Start(); err != nil {
		w.Fatal(err)
	}
}

// listen takes the learners at a fake's quorum port.
func (w *world) listen(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		w.came <- newLink(w, conn)
	}
}

// epochs is what the two epoch files say: accepted, current.
func (w *world) epochs() string {
	var texts []string
	for _, name := range []string{"acceptedEpoch", "currentEpoch"} {
		b, err := os.ReadFile(filepath.Join(w.dir, "version-2", name))
		text := string(bytes.TrimSpace(b))
		if err != nil {
			text = "none"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// log is the zxids of the transaction log on the disk, from the first one with at least the given zxid.
func (w *world) log(from int64) string {
	w.Helper()
	var zxids []string
	_, err := txnlog.ReadLogs(txnlog.OS, filepath.Join(w.dir, "version-2"), from, 0, func(r txnlog.Record) error {
		if r.Zxid >= from {
			zxids = append(zxids, z(r.Zxid))
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return strings.Join(zxids, " ")
}

// is fails unless the two are the same.
func (w *world) is(what string, got, want any) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %v, not %v", what, got, want)
	}
}

// eventually waits until a state is as it should be.
func (w *world) eventually(what string, want any, state func() any) {
	w.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for {
		got := state()
		if got == want {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout:
			w.Fatalf("%s: %v, not %v", what, got, want)
		}
	}
}

// z is a zxid as epoch.counter, in decimal.
func z(zxid int64) string {
	switch {
	case zxid == -1<<63:
		return "MIN"
	case zxid < 0:
		return strconv.FormatInt(zxid, 10)
	}
	return fmt.Sprintf("%d.%d", zxid>>32, zxid&0xffffffff)
}

// at is the zxid of an epoch and a counter.
func at(epoch, counter int64) int64 { return epoch<<32 | counter }

var pins struct {
	sync.Mutex
	probes map[string]bool
	rules  map[string]bool
}

// pinned counts probes and the rules that they pin.
func pinned(rules, kind, name string) {
	pins.Lock()
	defer pins.Unlock()
	if pins.rules == nil {
		pins.probes, pins.rules = map[string]bool{}, map[string]bool{}
	}
	pins.probes[strings.Replace(name, "/"+kind+"/", "/", 1)] = true
	for rule := range strings.FieldsSeq(rules) {
		pins.rules[rule] = true
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("%d probes of %d rules\n", len(pins.probes), len(pins.rules))
	if code == 0 {
		if err := record(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}
