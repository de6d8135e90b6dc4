package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog/memfs"
)

// The tests of this file run a whole server on a disk in memory (package memfs), write through several clients at once, and take from
// the running disk what a loss of power would leave at that moment. A server is then started on each of these remains. Its state must be
// that after some zxid Z: exactly what the first Z transactions make, Z being no less than any zxid that a client has seen.
//
// What is expected does not come from the code under test: a model of a few lines (see znode) applies what the clients asked for, in
// the order that the log of the living server has.
//
// A seed decides what the clients do, when the power goes and what survives. Which goroutine is how far at that moment, it does not.

const (
	powerCutsEnv = "QUOLL_POWER_CUTS" // how many; `make powercuts` sets it
	seedEnv      = "QUOLL_SEED"       // of an earlier run
	shortCuts    = 600

	livesPerDisk  = 4
	cutsStarting  = 2  // at most
	cutsUnderLoad = 12 // with those; then the server is stopped
	cutsPerLife   = 14
	loadClients   = 4
)

// seeded returns the seed of a test, which it logs.
func seeded(t testing.TB) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s=%s: %v", seedEnv, s, err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	return seed
}

// TestPowerCuts takes the power from servers under load, while they start, and while they start again after that.
func TestPowerCuts(t *testing.T) {
	want := shortCuts
	if s := os.Getenv(powerCutsEnv); s != "" {
		var err error
		if want, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s=%s: %v", powerCutsEnv, s, err)
		}
	} else if testing.Short() {
		want /= 4
	}
	seed := seeded(t)
	counts := coverage{}
	begin := time.Now()
	for run := uint64(0); counts["cuts"] < want && !t.Failed(); run++ {
		w := newWorld(rand.New(rand.NewPCG(seed, run)))
		w.counts = counts
		if err := w.run(); err != nil {
			t.Errorf("run %d: %v", run, err)
		}
	}
	t.Logf("%d power cuts in %v, by the phase of the server and the operation that came next:\n%v", counts["cuts"], time.Since(begin).Round(time.Millisecond), counts)
	for _, kind := range []string{"load: sync log", "load: rename log", "load: rename snapshot", "load: remove log", "load: link sst", "start: create marker", "stop: link sst"} {
		if counts[kind] == 0 && !t.Failed() && want > shortCuts {
			t.Errorf("no power cut before %q", kind)
		}
	}
}

// TestPowerCutsFindLies lets the disk report as done what it has not done. Each lie stands for a mistake that the code could make, and must be
// found.
func TestPowerCutsFindLies(t *testing.T) {
	seed := seeded(t)
	for _, lie := range []struct{ op, kind, mistake string }{
		{"sync", "log", "acknowledged before the log was synced"},
		{"syncdir", "", "directories not synced"},
		{"sync", "sst", "the store's state written before its data"},
		{"sync", "snapshot", "a snapshot named before it was synced"},
	} {
		t.Run(lie.mistake, func(t *testing.T) {
			counts := coverage{}
			for run := uint64(0); counts["cuts"] < 1000; run++ {
				w := newWorld(rand.New(rand.NewPCG(seed, run)))
				w.counts = counts
				w.fault = func(op, name string) error {
					if op == lie.op && (lie.kind == "" || fileKind(name) == lie.kind) {
						return memfs.ErrLie
					}
					return nil
				}
				if err := w.run(); err != nil {
					t.Logf("found after %d power cuts: %v", counts["cuts"], err)
					return
				}
			}
			t.Errorf("not found in %d power cuts", counts["cuts"])
		})
	}
}

// coverage counts power cuts by what the disk was doing.
type coverage map[string]int

func (c coverage) String() string {
	var lines []string
	for kind, n := range c {
		lines = append(lines, fmt.Sprintf("%7d  %s", n, kind))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(b, a) })
	return strings.Join(lines, "\n")
}

// fileKind is what a file or directory is: its name without numbers and the mark of temporary files.
func fileKind(name string) string {
	base := strings.TrimPrefix(filepath.Base(name), "quoll-tmp.")
	kind := strings.Trim(base, "0123456789.-")
	if i := strings.IndexAny(kind, ".-"); i >= 0 {
		kind = kind[:i]
	}
	if kind == "" {
		return filepath.Base(filepath.Dir(name)) + "/"
	}
	return kind
}

// world is one disk through several lives of a server.
type world struct {
	rng    *rand.Rand
	disk   *memfs.FS
	script script
	past   history
	counts coverage
	fault  func(op, name string) error // of the disk under load; nil for none

	settings []string // of the server, beside those that are always the same
	logs     string   // dataLogDir
}

// cut is a loss of power.
type cut struct {
	moment string
	disk   *memfs.FS
	own    bool // its own log is all that is known of the past
	// What was acknowledged: script has the same fields.
	floor    int64
	acked    map[int64]opKey
	sessions []int64
}

func newWorld(rng *rand.Rand) *world {
	w := &world{rng: rng, disk: memfs.New(), script: newScript(), counts: coverage{}, logs: "/data"}
	w.disk.Buffered = rng.IntN(2) == 0
	if rng.IntN(2) == 0 {
		w.logs = "/elsewhere/log"
	}
	w.past.dir = w.logs + "/version-2"
	w.settings = []string{
		"dataLogDir=" + w.logs,
		"preAllocSize=" + []string{"0", "16"}[rng.IntN(2)],
		"txnLogSizeLimitInKb=" + []string{"-1", "24"}[rng.IntN(2)],
		"snapshot.compression.method=" + []string{"", "gz", "snappy"}[rng.IntN(3)],
	}
	return w
}

// run leads a server through its lives, each but the first on what a power cut has left of the one before.
func (w *world) run() error {
	for range livesPerDisk {
		cuts, err := w.live()
		if err != nil {
			return err
		}
		next := cuts[w.rng.IntN(len(cuts))]
		heir := next.disk.Crash(nil)
		zxid, err := w.examineAll(cuts, next)
		if err != nil {
			return err
		}
		w.disk = heir
		w.past.forget(zxid)
		w.script.restart(next, zxid)
	}
	return nil
}

// live runs a server under load until the disk has lost its power often enough, and returns what it left each time.
func (w *world) live() ([]*cut, error) {
	var mu sync.Mutex
	var cuts []*cut
	rng := rand.New(rand.NewPCG(w.rng.Uint64(), 0))
	wait, phase := rng.IntN(20), "start"
	enough := make(chan struct{})
	disk, fault := w.disk, w.fault
	disk.Fail = func(op, name string) error {
		kind := fileKind(name)
		if op == "remove" && kind == "log" {
			w.past.harvest(disk)
		}
		mu.Lock()
		defer mu.Unlock()
		wait--
		if kind != "log" && kind != "synced" {
			wait -= 7 // what is done for each transaction would be nearly all
		}
		if most := map[string]int{"start": cutsStarting, "load": cutsUnderLoad}[phase]; wait < 0 && (len(cuts) < most || phase == "stop" && len(cuts) < cutsPerLife) {
			wait = rng.IntN(120)
			c := w.script.now(phase + ": " + op + " " + kind)
			c.disk = disk.Crash(rng)
			w.past.harvest(disk)
			if cuts = append(cuts, c); len(cuts) == cutsUnderLoad {
				close(enough)
			}
		}
		if fault != nil {
			return fault(op, name)
		}
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s, err := Start(Options{Config: w.config(false), Listeners: []net.Listener{l}, FS: disk, StoreFS: disk.VFS(), CheckpointBytes: 4 << 10})
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	enter := func(next string) {
		mu.Lock()
		defer mu.Unlock()
		phase = next
	}
	enter("load")
	var load sync.WaitGroup
	stop := make(chan struct{})
	for i := range loadClients {
		seed := w.rng.Uint64()
		load.Go(func() { w.script.client(s.addr(), i, rand.New(rand.NewPCG(seed, 1)), stop) })
	}
	select {
	case <-enough:
	case <-s.Done():
	case <-time.After(patience):
	}
	close(stop)
	load.Wait()
	enter("stop")
	if err := s.Close(); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(cuts) < cutsUnderLoad {
		return nil, fmt.Errorf("only %d operations of the disk were met in %v", len(cuts), patience)
	}
	return cuts, w.past.bad
}

// examineAll examines power cuts, several at a time, and returns the zxid that one of them came back with.
func (w *world) examineAll(cuts []*cut, chosen *cut) (zxid int64, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	queue := make(chan *cut, len(cuts))
	for _, c := range cuts {
		queue <- c
	}
	close(queue)
	for range runtime.GOMAXPROCS(0) {
		rng := rand.New(rand.NewPCG(w.rng.Uint64(), 2))
		work.Go(func() {
			for c := range queue {
				counts := coverage{}
				z, e := w.examine(c, rng, counts)
				mu.Lock()
				for kind, n := range counts {
					w.counts[kind] += n
				}
				if e != nil && err == nil {
					err = fmt.Errorf("power lost at %s: %w", c.moment, e)
				}
				if c == chosen {
					zxid = z
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return zxid, err
}

// examine starts a server on what a power cut has left and returns the zxid of its state. At a random moment of that server's life the
// power goes once more, and what that leaves must come to the same state. So must ZooKeeper's files alone.
func (w *world) examine(c *cut, rng *rand.Rand, counts coverage) (zxid int64, err error) {
	var mu sync.Mutex
	var second *memfs.FS
	moment, wait := "", rng.IntN(60)
	c.disk.Fail = func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if wait--; wait == 0 {
			moment = op + " " + fileKind(name)
			second = c.disk.Crash(rng)
		}
		return nil
	}
	counts["cuts"]++
	counts[c.moment]++
	zxid, err = w.reopen(c.disk, c)
	if err != nil {
		return zxid, err
	}
	if second != nil {
		counts["cuts"]++
		counts["start after a cut: "+moment]++
	}
	alone := c.disk.Crash(nil)
	for _, dir := range []string{"/data/quoll", w.logs + "/quoll"} {
		if err := alone.VFS().RemoveAll(dir); err != nil {
			return zxid, err
		}
	}
	for what, disk := range map[string]*memfs.FS{"and once more at " + moment: second, "and the directory quoll is lost": alone} {
		if disk == nil {
			continue
		}
		again, err := w.reopen(disk, c)
		switch {
		case err != nil:
			return zxid, fmt.Errorf("%s: %w", what, err)
		case again != zxid:
			return zxid, fmt.Errorf("%s: zxid 0x%x, before it was 0x%x", what, again, zxid)
		}
	}
	return zxid, nil
}

// reopen starts a server on a disk, compares its state with what it must be, and returns its zxid.
func (w *world) reopen(disk *memfs.FS, c *cut) (zxid int64, err error) {
	var said tale
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, said.String())
		}
	}()
	config := w.config(true)
	if c.own {
		config.AutopurgePurgeInterval = 0
	}
	s, err := Start(Options{Config: config, Logger: slog.New(slog.NewTextHandler(&said, nil)), FS: disk, StoreFS: disk.VFS()})
	if err != nil {
		return 0, fmt.Errorf("the server does not start: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }() // before what it said is read
	if n := s.metrics.DigestMismatches.Load(); n > 0 {
		return 0, fmt.Errorf("%d digests do not match", n)
	}
	if !c.own && said.has("the store is built anew") {
		return 0, errors.New("the store is not as one of its commits left it")
	}
	if c.own {
		w.past = history{dir: w.past.dir}
		w.past.harvest(disk)
	}
	zxid = s.lastZxid.Load()
	if zxid < c.floor {
		return zxid, fmt.Errorf("LOST: zxid 0x%x was acknowledged, the state is that of 0x%x", c.floor, zxid)
	}
	s.readTree(func(t *tree.Tree) { err = w.compare(t, zxid, c.acked) })
	if err == nil {
		err = w.past.hasSessions(zxid, c.sessions)
	}
	return zxid, err
}

// config is a configuration in which everything that happens to files happens within some hundred transactions. In a quiet one no session
// ends by itself.
func (w *world) config(quiet bool) *config.Config {
	set := append([]string{
		"dataDir=/data", "tickTime=20", "maxSessionTimeout=7200000", "maxClientCnxns=0", "snapCount=80", "znode.container.checkIntervalMs=20",
	}, w.settings...)
	if quiet {
		set = append(set, "tickTime=3600000", "znode.container.checkIntervalMs=3600000")
	}
	c, _, err := config.Load(config.Sources{Set: set})
	if err != nil {
		panic(err)
	}
	c.AutopurgePurgeInterval = 20 * time.Millisecond // the key counts hours
	return c
}

// opKey names a request; the xids of this test never repeat within a session.
type opKey struct {
	session int64
	xid     int32
}

// script is what clients asked for, and what they have heard.
type script struct {
	mu       sync.Mutex
	ops      map[opKey]asked
	xid      int32
	conns    [][]int32       // the writes that were asked for through each connection, by xid
	floor    int64           // the highest zxid in a reply
	acked    map[int64]opKey // the writes that were answered, by their zxids
	refused  map[opKey]bool  // those that were answered without a transaction
	sessions []int64         // that were granted
}

// asked is a request: a write of one or more parts (of none if it closes the session), or a read.
type asked struct {
	ops  []jute.Operation
	conn int
}

func (a *asked) read() bool { return len(a.ops) > 0 && a.ops[0].Op == jute.OpGetData }

func newScript() script {
	return script{ops: map[opKey]asked{}, acked: map[int64]opKey{}, refused: map[opKey]bool{}}
}

// now returns a power cut, as yet without a disk, that must keep what has been acknowledged until now.
func (sc *script) now(moment string) *cut {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return &cut{moment: moment, floor: sc.floor, acked: maps.Clone(sc.acked), sessions: slices.Clone(sc.sessions)}
}

// restart goes back to the moment of a power cut, after which the server served the state of zxid.
func (sc *script) restart(c *cut, zxid int64) {
	sc.floor, sc.acked, sc.sessions = zxid, c.acked, c.sessions
}

// connect returns the number of a new connection.
func (sc *script) connect() (conn int) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.conns = append(sc.conns, nil)
	return len(sc.conns) - 1
}

// ask notes what is going to be asked for under a new xid, before it is.
func (sc *script) ask(session int64, conn int, ops []jute.Operation) (xid int32) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.xid++
	a := asked{ops, conn}
	sc.ops[opKey{session, sc.xid}] = a
	if !a.read() {
		sc.conns[conn] = append(sc.conns[conn], sc.xid)
	}
	return sc.xid
}

// hear notes a reply.
func (sc *script) hear(session int64, h *jute.ReplyHeader) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.floor = max(sc.floor, h.Zxid)
	key := opKey{session, h.Xid}
	switch a := sc.ops[key]; {
	case h.Err == int32(jute.ErrNotReadOnly):
		sc.refused[key] = true
	case !a.read():
		sc.acked[h.Zxid] = key
	}
}

// client comes, writes, and goes in one way or another, until stop is closed. Errors end its connection: the server may be stopping.
func (sc *script) client(addr string, number int, rng *rand.Rand, stop chan struct{}) {
	session := jute.ConnectRequest{}
	for {
		select {
		case <-stop:
			return
		default:
		}
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		unhook := make(chan struct{})
		go func() { // a server that stops answering must not keep the test
			select {
			case <-stop:
				_ = nc.SetDeadline(time.Now().Add(time.Second))
			case <-unhook:
			}
		}()
		if session.SessionID == 0 {
			session.Timeout = []int32{40, 100, 60_000}[rng.IntN(3)]
		}
		c := client.NewRawConn(nc)
		if answer, err := c.Handshake(&session); err != nil || answer.SessionID == 0 {
			session = jute.ConnectRequest{}
			select { // a disk that takes no writes makes no sessions either
			case <-stop:
			case <-time.After(5 * time.Millisecond):
			}
		} else {
			if session.SessionID == 0 {
				sc.mu.Lock()
				sc.sessions = append(sc.sessions, answer.SessionID)
				sc.mu.Unlock()
			}
			session.SessionID, session.Password = answer.SessionID, answer.Password[:]
			if sc.talk(c, session.SessionID, number, rng, stop) || rng.IntN(2) == 0 {
				session = jute.ConnectRequest{}
			}
		}
		close(unhook)
		_ = nc.Close()
	}
}

// talk sends requests while it waits for others, and reads the replies. It reports whether the session is over.
func (sc *script) talk(c *client.RawConn, session int64, number int, rng *rand.Rand, stop chan struct{}) (closed bool) {
	conn := sc.connect()
	for left, waiting := rng.IntN(100), 0; left > 0 || waiting > 0; {
		select {
		case <-stop:
			return false
		default:
		}
		for most := 1 + rng.IntN(8); left > 0 && waiting < most; waiting++ {
			op, ops := randomWrite(number, rng)
			var body client.Body
			switch {
			case op == jute.OpMulti:
				body = client.MultiRequest(ops)
			case op == jute.OpGetData:
				body = &jute.PathWatchRequest{Path: ops[0].Path}
			default:
				body = &ops[0]
			}
			if c.Request(sc.ask(session, conn, ops), op, body) != nil {
				return false
			}
			left--
		}
		h, _, err := c.Reply()
		if err != nil {
			return false
		}
		sc.hear(session, &h)
		waiting--
	}
	if rng.IntN(3) > 0 {
		return false
	}
	if c.Request(sc.ask(session, conn, nil), jute.OpCloseSession, nil) != nil {
		return false
	}
	if h, _, err := c.Reply(); err == nil {
		sc.hear(session, &h)
	}
	return true
}

var openACL = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}

// randomWrite returns a request: what a client would send, on paths that it shares with others or not. Many fail.
func randomWrite(number int, rng *rand.Rand) (jute.Op, []jute.Operation) {
	path := func() []byte {
		p := []byte("/" + []string{"a", "b", strconv.Itoa(number)}[rng.IntN(3)])
		if rng.IntN(3) > 0 {
			p = fmt.Appendf(p, "/%d", rng.IntN(12))
		}
		return p
	}
	data := func() []byte {
		if rng.IntN(10) == 0 {
			return nil
		}
		b := make([]byte, []int{10, 600, 5000}[min(rng.IntN(8)/3, 2)]*rng.IntN(10)/10)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	create := func(mode jute.CreateMode) jute.Operation {
		return jute.Operation{Op: []jute.Op{jute.OpCreate, jute.OpCreate2}[rng.IntN(2)], Path: path(), Data: data(), ACL: openACL, Flags: mode}
	}
	one := func() jute.Operation {
		version := int32(-1)
		if rng.IntN(4) == 0 {
			version = rng.Int32N(3)
		}
		switch rng.IntN(12) {
		case 0, 1, 2:
			return create(jute.ModePersistent)
		case 3:
			return create(jute.ModePersistentSequential)
		case 4:
			return create(jute.ModeEphemeral)
		case 5:
			return create(jute.ModeEphemeralSequential)
		case 6:
			o := create(jute.ModeContainer)
			o.Op = jute.OpCreateContainer
			return o
		case 7, 8:
			return jute.Operation{Op: jute.OpDelete, Path: path(), Version: version}
		}
		return jute.Operation{Op: jute.OpSetData, Path: path(), Data: data(), Version: version}
	}
	switch rng.IntN(10) {
	case 0:
		return jute.OpGetData, []jute.Operation{{Op: jute.OpGetData, Path: path()}}
	case 1, 2:
		ops := []jute.Operation{one()}
		for range rng.IntN(3) {
			ops = append(ops, one())
		}
		if rng.IntN(3) == 0 {
			ops = append(ops, jute.Operation{Op: jute.OpCheck, Path: path(), Version: rng.Int32N(3)})
		}
		return jute.OpMulti, ops
	}
	o := one()
	return o.Op, []jute.Operation{o}
}

// history is what the log of the living server has held, whatever was purged: the transaction of zxid i+1 at index i.
type history struct {
	dir  string // of the log
	mu   sync.Mutex
	raw  [][]byte
	txns []tree.Txn
	bad  error
}

// harvest adds what the log files on the disk hold now. It reads them by itself, as far as their checksums go.
func (h *history) harvest(disk *memfs.FS) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names, _ := disk.ReadDir(h.dir)
	var starts []int64
	for _, name := range names {
		if zxid, err := strconv.ParseInt(strings.TrimPrefix(name, "log."), 16, 64); err == nil {
			starts = append(starts, zxid)
		}
	}
	slices.Sort(starts)
	for _, start := range starts {
		b, err := disk.ReadFile(filepath.Join(h.dir, fmt.Sprintf("log.%x", start)))
		if err != nil {
			continue
		}
		for at := 16; at+12 <= len(b); {
			n := int(binary.BigEndian.Uint32(b[at+8:]))
			if n < 20 || at+12+n+1 > len(b) || uint64(adler32.Checksum(b[at+12:at+12+n])) != binary.BigEndian.Uint64(b[at:]) {
				break
			}
			h.add(b[at+12 : at+12+n])
			at += 12 + n + 1
		}
	}
}

func (h *history) add(entry []byte) {
	zxid := int64(binary.BigEndian.Uint64(entry[12:]))
	switch {
	case h.bad != nil:
	case zxid <= int64(len(h.raw)):
		if !bytes.Equal(h.raw[zxid-1], entry) {
			h.bad = fmt.Errorf("zxid 0x%x was used for two transactions", zxid)
		}
	case zxid > int64(len(h.raw))+1:
		h.bad = fmt.Errorf("the log has no zxid 0x%x", len(h.raw)+1)
	default:
		entry = bytes.Clone(entry)
		txn, err := tree.DecodeTxn(entry)
		h.raw, h.txns, h.bad = append(h.raw, entry), append(h.txns, txn), err
	}
}

// forget takes back what is not to have happened: the transactions after zxid, which the server has not come back with.
func (h *history) forget(zxid int64) { h.raw, h.txns = h.raw[:zxid], h.txns[:zxid] }

// hasSessions checks that sessions were made by a transaction up to zxid.
func (h *history) hasSessions(zxid int64, granted []int64) error {
	made := map[int64]bool{}
	for i := range h.txns[:zxid] {
		if h.txns[i].Op() == jute.OpCreateSession {
			made[h.txns[i].ClientID] = true
		}
	}
	for _, id := range granted {
		if !made[id] {
			return fmt.Errorf("LOST: session 0x%x was granted", id)
		}
	}
	return nil
}

// znode is a znode of the model: what clients can see of it, but for times and the ACL.
type znode struct {
	data                string
	null                bool
	version, creations  int32
	czxid, mzxid, pzxid int64
	owner               int64
}

func (n znode) String() string {
	return fmt.Sprintf("%d bytes beginning with %.8q (null: %v), version %d, %d creations, czxid 0x%x, mzxid 0x%x, pzxid 0x%x, owner 0x%x",
		len(n.data), n.data, n.null, n.version, n.creations, n.czxid, n.mzxid, n.pzxid, n.owner)
}

// model is the state that the clients' requests lead to.
type model struct {
	nodes    map[string]*znode
	sessions map[int64]bool
	bad      error
}

// after returns the model of the first zxid transactions.
func (w *world) after(zxid int64) *model {
	m := &model{nodes: map[string]*znode{"": {}}, sessions: map[int64]bool{}}
	for i := range w.past.txns[:zxid] {
		txn := &w.past.txns[i]
		switch txn.Op() {
		case jute.OpCreateSession:
			m.sessions[txn.ClientID] = true
		case jute.OpCloseSession:
			delete(m.sessions, txn.ClientID)
			for path, n := range m.nodes {
				if n.owner == txn.ClientID {
					m.delete(path, txn.Zxid)
				}
			}
		case jute.OpDeleteContainer: // the server's own
			if n := m.nodes[txn.Path]; n == nil || n.owner != int64(tree.ContainerOwner) {
				m.bad = fmt.Errorf("zxid 0x%x deletes %s as a container", txn.Zxid, txn.Path)
				return m
			}
			m.delete(txn.Path, txn.Zxid)
		case jute.OpError:
		default:
			key := opKey{txn.ClientID, txn.Cxid}
			a, ok := w.script.ops[key]
			if !ok || w.script.refused[key] {
				m.bad = fmt.Errorf("nobody asked for zxid 0x%x, a %s", txn.Zxid, txn.Op())
				return m
			}
			if slices.ContainsFunc(txn.Multi, func(part tree.Txn) bool { return part.Op() == jute.OpError }) {
				continue
			}
			for i := range a.ops {
				m.apply(&a.ops[i], txn.ClientID, txn.Zxid)
			}
		}
	}
	return m
}

func (m *model) apply(o *jute.Operation, session, zxid int64) {
	path := string(o.Path)
	n, parent := m.nodes[path], m.nodes[tree.ParentPath(path)]
	failed := func() {
		m.bad = errors.Join(m.bad, fmt.Errorf("zxid 0x%x: %s of %s cannot have worked", zxid, o.Op, path))
	}
	switch o.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer:
		if parent == nil {
			failed()
			return
		}
		if o.Flags.Sequential() {
			path += fmt.Sprintf("%010d", parent.creations)
			n = m.nodes[path]
		}
		if n != nil {
			failed()
			return
		}
		parent.creations++
		parent.pzxid = zxid
		n = &znode{data: string(o.Data), null: o.Data == nil, czxid: zxid, mzxid: zxid, pzxid: zxid}
		switch {
		case o.Flags.Ephemeral():
			n.owner = session
		case o.Flags == jute.ModeContainer:
			n.owner = int64(tree.ContainerOwner)
		}
		m.nodes[path] = n
	case jute.OpDelete:
		if n == nil {
			failed()
			return
		}
		m.delete(path, zxid)
	case jute.OpSetData:
		if n == nil || o.Version >= 0 && o.Version != n.version {
			failed()
			return
		}
		n.data, n.null, n.mzxid = string(o.Data), o.Data == nil, zxid
		n.version++
	case jute.OpCheck:
		if n == nil || o.Version != n.version {
			failed()
		}
	}
}

func (m *model) delete(path string, zxid int64) {
	delete(m.nodes, path)
	m.nodes[tree.ParentPath(path)].pzxid = zxid
}

// inTurn checks that of what was asked for through one connection nothing was left out before something that was carried out by zxid.
func (w *world) inTurn(zxid int64) error {
	next := make([]int, len(w.script.conns))
	for i := range w.past.txns[:zxid] {
		txn := &w.past.txns[i]
		a, ok := w.script.ops[opKey{txn.ClientID, txn.Cxid}]
		if !ok {
			continue // the server's own, or a new session
		}
		sent, n := w.script.conns[a.conn], &next[a.conn]
		for *n < len(sent) && w.script.refused[opKey{txn.ClientID, sent[*n]}] {
			*n++
		}
		if *n == len(sent) || sent[*n] != txn.Cxid {
			return fmt.Errorf("zxid 0x%x is request %d of session 0x%x out of its turn: %v were sent through the connection, %d of which came before", txn.Zxid, txn.Cxid, txn.ClientID, sent, *n)
		}
		*n++
	}
	return nil
}

// compare checks that a tree is the state after zxid: znode by znode, and as a whole by the digest that the log has for it. What was
// acknowledged with a zxid must be what the log has under it.
func (w *world) compare(t *tree.Tree, zxid int64, acked map[int64]opKey) error {
	w.past.mu.Lock()
	defer w.past.mu.Unlock()
	if w.past.bad != nil {
		return w.past.bad
	}
	if zxid > int64(len(w.past.txns)) {
		return fmt.Errorf("the state is that of 0x%x, but the log ended at 0x%x", zxid, len(w.past.txns))
	}
	for zxid, key := range acked {
		if txn := &w.past.txns[zxid-1]; txn.ClientID != key.session || txn.Cxid != key.xid {
			return fmt.Errorf("LOST: zxid 0x%x is request %d of session 0x%x, but request %d of 0x%x was acknowledged with it", zxid, txn.Cxid, txn.ClientID, key.xid, key.session)
		}
	}
	if err := w.inTurn(zxid); err != nil {
		return err
	}
	m := w.after(zxid)
	if m.bad != nil {
		return m.bad
	}
	left := len(m.nodes)
	if err := t.Each(func(n *tree.Node) error {
		path := n.Path()
		if path == tree.ZookeeperPath || strings.HasPrefix(path, tree.ZookeeperPath+"/") {
			return nil
		}
		st := n.Persisted()
		have := znode{string(n.Data()), n.Data() == nil, st.Version, st.Cversion, st.Czxid, st.Mzxid, st.Pzxid, st.EphemeralOwner}
		want := m.nodes[path]
		switch {
		case want == nil:
			return fmt.Errorf("znode %s at zxid 0x%x comes from nowhere: %v", path, zxid, have)
		case path != "" && have != *want:
			return fmt.Errorf("znode %s at zxid 0x%x is %v, must be %v", path, zxid, have, *want)
		}
		left--
		return nil
	}); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d znodes are missing at zxid 0x%x", left, zxid)
	}
	sessions := 0
	t.EachSession(func(id int64, _ int32) {
		if m.sessions[id] {
			sessions++
		}
	})
	if sessions != len(m.sessions) || t.Sessions() != sessions {
		return fmt.Errorf("%d sessions at zxid 0x%x, must be %d", t.Sessions(), zxid, len(m.sessions))
	}
	for i := zxid - 1; i >= 0; i-- {
		if txn := &w.past.txns[i]; txn.HasDigest {
			if t.Digest() != txn.Digest {
				return fmt.Errorf("the digest at zxid 0x%x is %d, the log has %d", zxid, t.Digest(), txn.Digest)
			}
			break
		}
	}
	return nil
}
