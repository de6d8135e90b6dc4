package crash

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/observe"
	"quoll/compat/peer"
	"quoll/compat/script"
	"quoll/jute"
)

const (
	writers    = 4
	flyDir     = "/fly"     // ephemerals of short sessions
	ballastDir = "/ballast" // makes snapshots take a while
	ballast    = 2000
	// sessionTimeout is longer than any pause between two servers.
	sessionTimeout = 10 * time.Minute
	// superUser is who may do everything, under the settings of superConfig.
	superUser = "super:secret"
	// javaEvery is how often Apache ZooKeeper takes the directory over, from the fifth restart on.
	javaEvery = 10
	// deadline ends every wait, whatever the load of the machine.
	deadline = time.Minute
)

// superConfig makes superUser what it is.
var superConfig = func() string {
	sum := sha1.Sum([]byte(superUser))
	name, _, _ := strings.Cut(superUser, ":")
	return "DigestAuthenticationProvider.superDigest=" + name + ":" + base64.StdEncoding.EncodeToString(sum[:])
}()

func TestCrash(t *testing.T) {
	cycles := int(peer.Setting(t, "QUOLL_CRASH_CYCLES", 20))
	seed := peer.Setting(t, "QUOLL_CRASH_SEED", time.Now().UnixNano())
	t.Logf("%d cycles; QUOLL_CRASH_SEED=%d", cycles, seed)
	r := newRun(t, seed)
	began := time.Now()
	quollTime, quolls := time.Duration(0), 0
	for r.cycle = 1; r.cycle <= cycles; r.cycle++ {
		start := time.Now()
		r.run(r.cycle%javaEvery == 5)
		if !r.java {
			quollTime += time.Since(start)
			quolls++
		}
		if r.cycle%50 == 0 {
			t.Logf("cycle %d after %v: %d requests acknowledged, none of them lost", r.cycle, time.Since(began).Round(time.Second), r.history.acked)
		}
	}
	// The last kill is looked at too.
	r.start(false)
	r.verify()
	r.how = "looked at"
	r.stop()
	t.Logf("%d cycles in %v, %v each with quoll; %d requests acknowledged, none of them lost; of those that nobody answered %d were done and %d were not; %d znodes were the same for quoll and ZooKeeper",
		cycles, time.Since(began).Round(time.Second), (quollTime / time.Duration(max(quolls, 1))).Round(time.Millisecond), r.history.acked, r.done, r.undone, r.compared)
	t.Logf("ends %v; snapshots in %d starts; acknowledged %v", r.ends, r.snapshots, r.history.kinds)
	t.Logf("the store was %v; and built anew because %v", r.spoilt, r.rebuilt)
}

func newRun(t *testing.T, seed int64) *run {
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{
		T: t, rng: rand.New(rand.NewPCG(uint64(seed), 0)), dir: t.TempDir(), port: port, ends: map[string]int{}, spoilt: map[string]int{}, rebuilt: map[string]int{},
		history: &history{names: map[string]string{}, zxids: map[int64]*op{}, kinds: map[string]int{}},
	}
	for id := range writers {
		r.writers = append(r.writers, newWriter(id, rand.New(rand.NewPCG(uint64(seed), uint64(id)+1)), r.history))
	}
	return r
}

// run is one directory and the servers that follow each other on it.
type run struct {
	*testing.T
	rng     *rand.Rand
	dir     string
	port    int
	cycle   int
	writers []*writer
	history *history
	flies   []*fly

	java     bool // the server is Apache ZooKeeper
	server   *peer.Server
	how      string   // it is going to end
	flags    []string // further ones of the next server
	config   string
	observer *client.Client

	ends         map[string]int // how servers ended
	spoilt       map[string]int // what was done to the store in between
	stores       []string       // older ones of this directory
	foreign      string         // one of another directory
	rebuilt      map[string]int // why quoll has built the store anew
	early        bool           // the last start was the second one
	snapshots    int            // starts that wrote one
	compared     int            // znodes, as two servers show them
	done, undone int            // requests that nobody answered
}

// fly is a session that ends soon.
type fly struct {
	client *client.Client
	paths  []string
	closed bool // and the server has acknowledged that
}

func (r *run) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), deadline)
}

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("cycle %d, %s: %v\nthe server's log ends:\n%s", r.cycle, r.config, err, r.logTail())
	}
}

func (r *run) logTail() string {
	if r.server == nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(r.server.Log(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// run starts a server, looks at what it shows, has the writers write, and kills it.
func (r *run) run(java bool) {
	if java {
		if _, err := peer.Classpath("zookeeper"); errors.Is(err, peer.ErrMissing) && os.Getenv("QUOLL_REQUIRE_PEERS") != "1" {
			r.Logf("cycle %d has no server of Apache ZooKeeper: %v", r.cycle, err)
			java = false
		}
	}
	var quollShows map[string]observe.Znode
	if java {
		quollShows = r.showCopy()
	} else if r.rng.IntN(3) == 0 {
		r.spoil()
	}
	r.start(java)
	if r.cycle == 1 {
		r.prepare()
	} else {
		r.verify()
	}
	if java {
		r.same(quollShows, r.everything(r.observer))
	}

	r.load(func() {
		r.newFly()
		if r.cycle%3 == 0 {
			r.awaitFlies()
		}
		r.awaitMoment()
	})
}

// load has the writers write until meanwhile returns, and then ends the server under them.
func (r *run) load(meanwhile func()) {
	errs := make(chan error, writers)
	var killed atomic.Bool
	for _, w := range r.writers {
		r.must(w.connect(r.server.Addr()))
		go func() {
			err := w.work(r.server.Addr())
			if err == nil && !killed.Load() {
				err = errors.New("the connection was lost while the server lived")
			}
			if err != nil {
				err = fmt.Errorf("writer %d: %w", w.id, err)
			}
			errs <- err
		}()
	}
	meanwhile()
	killed.Store(true)
	r.stop()
	for range r.writers {
		r.must(<-errs)
	}
}

// start starts a server with other settings than the last. Now and then it is killed once while it starts.
func (r *run) start(java bool) {
	pick := func(values ...string) string { return values[r.rng.IntN(len(values))] }
	opts := peer.Options{
		Dir: r.dir, Port: r.port, Work: r.TempDir(),
		Config: []string{
			"tickTime=200", "minSessionTimeout=400", "maxSessionTimeout=600000", "maxClientCnxns=0", "4lw.commands.whitelist=*",
			"autopurge.purgeInterval=1", "autopurge.snapRetainCount=3", "extendedTypesEnabled=true", superConfig,
			"snapCount=" + pick("30", "200", "200", "1000", "100000"), "preAllocSize=" + pick("64", "1024", "65536"),
		},
		Flags: append([]string{"-Dzookeeper.snapshot.compression.method=" + pick("", "", "gz", "snappy")}, r.flags...),
	}
	if r.rng.IntN(4) == 0 {
		opts.Flags = append(opts.Flags, "-Dzookeeper.txnLogSizeLimitInKb=256")
	}
	r.early = false
	// Now and then so much is written that the store is brought up to date for that alone.
	heavy := opts.Config[len(opts.Config)-2] == "snapCount=100000" && r.rng.IntN(3) == 0
	for _, w := range r.writers {
		w.heavy = heavy
	}
	r.java, r.config = java, fmt.Sprint(opts.Config[9:], opts.Flags)
	begin := peer.StartQuoll
	if java {
		begin = peer.StartJava
	} else if r.cycle > 1 && r.rng.IntN(4) == 0 {
		r.killEarly(opts)
	}
	var err error
	r.server, err = begin(opts)
	peer.Check(r, err)
	server := r.server
	r.Cleanup(func() { server.Close() })
	r.observer = r.connect(r.server.Addr())
}

// connect opens a session that may see everything.
func (r *run) connect(addr string) *client.Client {
	ctx, cancel := r.ctx()
	defer cancel()
	c, err := client.Connect(ctx, addr, client.Options{Timeout: sessionTimeout})
	r.must(err)
	r.must(c.AddAuth(ctx, "digest", []byte(superUser)))
	return c
}

// killEarly starts quoll and kills it before it has had the time to say that it serves.
func (r *run) killEarly(opts peer.Options) {
	bin, err := peer.Binary()
	peer.Check(r, err)
	cfg := filepath.Join(opts.Work, "early.cfg")
	lines := append([]string{"dataDir=" + r.dir, fmt.Sprintf("clientPort=%d", r.port), "clientPortAddress=127.0.0.1", "admin.enableServer=false"}, opts.Config...)
	r.must(os.WriteFile(cfg, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	cmd := exec.Command(bin, "server", cfg)
	r.must(cmd.Start())
	// Not a wait for something: a random moment.
	time.Sleep(time.Duration(r.rng.IntN(60)) * time.Millisecond)
	r.must(cmd.Process.Kill())
	cmd.Wait()
	r.early = true
	r.ends["killed while starting"]++
}

// prepare makes what a new directory must have.
func (r *run) prepare() {
	ctx, cancel := r.ctx()
	defer cancel()
	for _, dir := range []string{sharedDir, flyDir, ballastDir} {
		_, err := r.observer.Create(ctx, dir, nil, client.OpenACL, jute.ModePersistent)
		r.must(err)
	}
	for at := 0; at < ballast; at += 100 {
		var ops []jute.Operation
		for i := range 100 {
			ops = append(ops, jute.Operation{
				Op: jute.OpCreate, Path: fmt.Appendf(nil, "%s/%d", ballastDir, at+i), Data: make([]byte, 500+at), ACL: aclText(acls[i%len(acls)]),
			})
		}
		_, err := r.observer.Multi(ctx, ops...)
		r.must(err)
	}
	for _, w := range r.writers {
		_, err := r.observer.Create(ctx, w.dir, nil, client.OpenACL, jute.ModePersistent)
		r.must(err)
		if w.id%2 == 1 {
			for _, z := range [][2]string{{"", ""}, {"/zookeeper_limits", "count=1000000,bytes=-1"}, {"/zookeeper_stats", "count=0,bytes=0"}} {
				_, err := r.observer.Create(ctx, "/zookeeper/quota"+w.dir+z[0], []byte(z[1]), client.OpenACL, jute.ModePersistent)
				r.must(err)
			}
		}
		w.adopt(model{w.dir: {}}, r.everything(r.observer), 0)
	}
}

// everything is what a server shows, but for the sessions that are about to end.
func (r *run) everything(c *client.Client) map[string]observe.Znode {
	all, err := observe.Tree(c, []string{"/"}, flyDir)
	r.must(err)
	return all
}

// verify looks at what a server shows after the last one was killed.
func (r *run) verify() {
	ctx, cancel := r.ctx()
	defer cancel()
	roots := []string{sharedDir}
	for _, w := range r.writers {
		roots = append(roots, w.dir)
	}
	all, err := observe.Tree(r.observer, roots, "")
	r.must(err)
	for _, w := range r.writers {
		acked, sent := w.acked, len(w.ops)
		done, err := w.verify(all)
		r.must(err)
		r.done += done - acked
		r.undone += sent - done
	}
	r.must(r.sequence(all))
	r.must(r.quotas(all))
	n, err := r.observer.AllChildrenNumber(ctx, ballastDir)
	if err == nil && n != ballast {
		err = fmt.Errorf("%s has %d znodes, not %d", ballastDir, n, ballast)
	}
	r.must(err)
	for _, f := range r.flies {
		present := r.present(f)
		if f.closed && present > 0 || present > 0 && present < len(f.paths) {
			r.must(fmt.Errorf("session %#x (closed and acknowledged: %v) has %d of its %d ephemerals", flySession(f), f.closed, present, len(f.paths)))
		}
	}
	zxid, err := script.Zxid(r.server.Addr())
	r.must(err)
	for have, o := range r.history.zxids {
		if have > zxid {
			r.must(fmt.Errorf("the server is at zxid %#x, but %v was acknowledged", zxid, o))
		}
	}
	r.history.zxids, r.history.floor = map[int64]*op{}, zxid-1 // the observer's session is above
}

// sequence checks the znodes that all writers make in one directory: numbers rise with zxids and are never given out again.
func (r *run) sequence(all map[string]observe.Znode) error {
	type entry struct {
		name string
		observe.Znode
	}
	var entries []entry
	for name, s := range all {
		if strings.HasPrefix(name, sharedDir+"/") {
			entries = append(entries, entry{name, s})
			if err := r.history.name(name, string(s.Data)); err != nil {
				return err
			}
		}
	}
	// Those of one multi have one zxid.
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Stat.Czxid, b.Stat.Czxid), cmp.Compare(a.name, b.name))
	})
	for i := 1; i < len(entries); i++ {
		if a, b := entries[i-1], entries[i]; a.name >= b.name {
			return fmt.Errorf("%s, made by zxid %#x, has a higher number than %s of zxid %#x", a.name, a.Stat.Czxid, b.name, b.Stat.Czxid)
		}
	}
	stat := all[sharedDir].Stat
	if made := (stat.Cversion + stat.NumChildren) / 2; len(r.history.names) > 0 {
		last := slices.Max(slices.Collect(maps.Keys(r.history.names)))
		if next := fmt.Sprintf("%s/s-%010d", sharedDir, made); next <= last {
			return fmt.Errorf("the next sequence number would be that of %s, but there was %s", next, last)
		}
	}
	return nil
}

// quotas checks what the server counts below the directories that have a quota.
func (r *run) quotas(all map[string]observe.Znode) error {
	ctx, cancel := r.ctx()
	defer cancel()
	for _, w := range r.writers {
		have, _, err := r.observer.Get(ctx, "/zookeeper/quota"+w.dir+"/zookeeper_stats", false)
		if errors.Is(err, jute.ErrNoNode) && w.id%2 == 0 {
			continue
		}
		if err != nil {
			return err
		}
		count, size := 0, 0
		for p, s := range all {
			if p == w.dir || strings.HasPrefix(p, w.dir+"/") {
				count, size = count+1, size+len(s.Data)
			}
		}
		if want := fmt.Sprintf("count=%d,bytes=%d", count, size); string(have) != want && !strings.HasPrefix(string(have), want+"=") {
			return fmt.Errorf("the counters of the quota of %s are %s, not %s", w.dir, have, want)
		}
	}
	return nil
}

// newFly has a session of half a second make some ephemerals. Sometimes it is closed, sometimes left to expire.
func (r *run) newFly() {
	ctx, cancel := r.ctx()
	defer cancel()
	c, err := client.Connect(ctx, r.server.Addr(), client.Options{Timeout: 500 * time.Millisecond})
	r.must(err)
	f := &fly{client: c}
	for i := range 3 {
		path := fmt.Sprintf("%s/%d.%d", flyDir, r.cycle, i)
		if _, err := c.Create(ctx, path, nil, client.OpenACL, jute.ModeEphemeral); err != nil {
			break // the machine is so slow that it expired, or the connection was thought dead
		}
		f.paths = append(f.paths, path)
	}
	r.flies = append(r.flies, f)
	if r.rng.IntN(3) == 0 {
		// Not Close, which is also content when there is no connection.
		f.closed = c.Do(ctx, jute.OpCloseSession, nil, nil) == nil
	}
	c.Abandon()
}

func flySession(f *fly) int64 {
	id, _, _ := f.client.Session()
	return id
}

func (r *run) present(f *fly) (n int) {
	ctx, cancel := r.ctx()
	defer cancel()
	names, _, err := r.observer.Children(ctx, flyDir, false)
	r.must(err)
	for _, p := range f.paths {
		if slices.Contains(names, path.Base(p)) {
			n++
		}
	}
	return n
}

// awaitFlies waits until all sessions have expired that nobody has gone on with.
func (r *run) awaitFlies() {
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, f := range r.flies {
			left += r.present(f)
		}
		if left == 0 {
			r.flies = nil
			return
		}
		if time.Now().After(end) {
			r.must(fmt.Errorf("%d ephemerals of expired sessions are still there", left))
		}
	}
}

// awaitMoment waits for when to end the server: at some time, or while it writes a new file.
func (r *run) awaitMoment() {
	delay := time.Duration(r.rng.IntN(500)) * time.Millisecond
	r.how = "killed at a random moment"
	switch r.rng.IntN(6) {
	case 0:
		r.awaitFile("version-2/quoll-tmp.*snapshot*", "snapshot")
	case 1:
		r.awaitFile("version-2/quoll-tmp.*log*", "log")
	case 2:
		r.awaitFile("quoll/store/*/*", "file in the store")
	default:
		if r.rng.IntN(8) == 0 {
			r.how = "killed while stopping"
		}
		time.Sleep(delay) // not a wait for something
	}
}

// awaitFile waits until a file appears, but not for long.
func (r *run) awaitFile(pattern, what string) {
	known := map[string]bool{}
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
		names, err := filepath.Glob(filepath.Join(r.dir, pattern))
		r.must(err)
		fresh := len(known) > 0 || strings.Contains(pattern, "-tmp")
		for _, name := range names {
			if fresh && !known[name] {
				r.how = "killed with a new " + what
				return
			}
			known[name] = true
		}
	}
}

// stop kills the server and reads what it has said.
func (r *run) stop() {
	r.digests()
	switch r.how {
	case "stopped":
		r.must(r.server.Stop())
	case "killed while stopping":
		r.must(syscall.Kill(r.server.PID(), syscall.SIGTERM))
		time.Sleep(time.Duration(r.rng.IntN(100)) * time.Millisecond) // a random moment
	}
	r.must(r.server.Kill())
	r.ends[r.how]++
	r.read()
}

// read looks at what the server has said, once it has ended.
func (r *run) read() {
	r.observer.Abandon()
	log := r.server.Log()
	for line := range strings.Lines(log) {
		if lower := strings.ToLower(line); strings.Contains(lower, "digest") && (strings.Contains(lower, "match") || strings.Contains(lower, "is not the")) ||
			strings.Contains(line, "level=ERROR") && !r.aboutSpoiltStore(line) || strings.Contains(line, "panic:") {
			r.Errorf("cycle %d, %s: the server says: %s", r.cycle, r.config, line)
		}
	}
	for _, reason := range reasons(log) {
		r.rebuilt[reason]++
	}
	if strings.Contains(log, "Snapshot taken") {
		r.snapshots++
	}
	if r.Failed() {
		r.FailNow()
	}
}

// digests asks the server itself whether its tree is what the log says.
func (r *run) digests() {
	answer, err := r.server.FourLetter("mntr")
	r.must(err)
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "zk_digest_mismatches_count" && f[1] != "0" {
			r.must(errors.New(strings.TrimSpace(line)))
		}
	}
}

// copyDir copies a directory as a kill has left it.
func (r *run) copyDir(dir string) string {
	to := filepath.Join(r.TempDir(), "copy")
	if msg, err := exec.Command("cp", "-r", "--sparse=always", dir, to).CombinedOutput(); err != nil {
		r.must(fmt.Errorf("%w: %s", err, msg))
	}
	return to
}

// showCopy is what quoll shows on a copy of the directory.
func (r *run) showCopy() map[string]observe.Znode {
	dir := r.copyDir(r.dir)
	defer os.RemoveAll(dir)
	s, err := peer.StartQuoll(peer.Options{
		Dir: dir, Work: r.TempDir(), Config: []string{"maxSessionTimeout=600000", "extendedTypesEnabled=true", superConfig},
	})
	peer.Check(r, err)
	defer s.Close()
	c := r.connect(s.Addr())
	defer c.Abandon()
	return r.everything(c)
}

// same compares what two servers show of one directory.
func (r *run) same(quoll, java map[string]observe.Znode) {
	// Ephemerals that are about to end may be there for one and not for the other.
	for _, p := range []string{flyDir} {
		delete(quoll, p)
		delete(java, p)
	}
	for _, p := range slices.Sorted(maps.Keys(quoll)) {
		if j, ok := java[p]; !ok {
			r.Errorf("cycle %d, %s: quoll shows %s, ZooKeeper does not: %v", r.cycle, r.config, p, quoll[p])
		} else if !j.Equal(quoll[p]) {
			r.Errorf("cycle %d: %s\nquoll shows     %v\nZooKeeper shows %v", r.cycle, p, quoll[p], j)
		}
	}
	for p := range java {
		if _, ok := quoll[p]; !ok {
			r.Errorf("cycle %d: ZooKeeper shows %s, quoll does not: %v", r.cycle, p, java[p])
		}
	}
	if r.Failed() {
		r.FailNow()
	}
	r.compared += len(java)
}
