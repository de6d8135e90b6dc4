package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/observe"
	"quoll/compat/peer"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

const (
	churnDir = "/churn" // what no writer keeps account of
	// instantsPerDir is how often a directory changes hands before a new one is begun.
	instantsPerDir = 10
)

// TestWayBack kills quoll at a random instant under load, has Apache ZooKeeper take the directory over and write, and goes back to quoll.
// Each time the directory has changed hands, both servers must show the same znodes, data, Stats and ACLs, with the same digest, and
// everything that either has acknowledged.
func TestWayBack(t *testing.T) {
	if os.Getenv("QUOLL_REQUIRE_PEERS") != "1" {
		peer.RequireJVM(t)
	}
	instants := int(peer.Setting(t, "QUOLL_WAYBACK_INSTANTS", 5))
	seed := peer.Setting(t, "QUOLL_WAYBACK_SEED", time.Now().UnixNano())
	t.Logf("%d instants; QUOLL_WAYBACK_SEED=%d", instants, seed)
	began := time.Now()
	var all struct{ compared, digests, acked, done, undone int }
	ends, kinds, store := map[string]int{}, map[string]int{}, map[string]int{}
	for at := 0; at < instants; at += instantsPerDir {
		w := &wayBack{run: newRun(t, seed+int64(at))}
		for w.cycle = at + 1; w.cycle <= min(instants, at+instantsPerDir); w.cycle++ {
			w.instant(w.cycle == at+1)
		}
		t.Logf("instant %d after %v: %d znodes compared", min(instants, at+instantsPerDir), time.Since(began).Round(time.Second), all.compared+w.compared)
		all.compared += w.compared
		all.digests += w.digested
		all.acked += w.history.acked
		all.done += w.done
		all.undone += w.undone
		for name, n := range w.ends {
			ends[name] += n
		}
		for name, n := range w.rebuilt {
			store[name] += n
		}
		for name, n := range w.history.kinds {
			kinds[name] += n
		}
	}
	t.Logf("%d instants in %v: %d znodes and %d digests compared, none differs; %d requests acknowledged, none of them lost; of those that nobody answered %d were done and %d were not",
		instants, time.Since(began).Round(time.Second), all.compared, all.digests, all.acked, all.done, all.undone)
	t.Logf("ends %v; acknowledged %v; the store was built anew because %v", ends, kinds, store)
}

// wayBack is a directory that changes hands.
type wayBack struct {
	*run
	digested int
}

// view is all that a server shows when it has just taken a directory over.
type view struct {
	nodes   map[string]observe.Znode
	counts  map[string]string // from mntr
	digests map[int64]string  // by zxid; see hash
}

func (w *wayBack) instant(first bool) {
	// Empty containers and expired TTL znodes go while quoll serves its load, and stay as they are while two servers are compared.
	busy, still := []string{"-Dznode.container.checkIntervalMs=50"}, []string{"-Dznode.container.checkIntervalMs=86400000"}
	w.flags = busy
	w.start(false)
	if first {
		w.prepare()
		ctx, cancel := w.ctx()
		defer cancel()
		for _, dir := range []string{churnDir, "/zookeeper/quota" + churnDir} {
			_, err := w.observer.Create(ctx, dir, nil, client.OpenACL, jute.ModePersistent)
			w.must(err)
		}
	} else {
		w.verify()
	}
	churned := make(chan error, 1)
	ctx, cancel := w.ctx()
	defer cancel()
	w.load(func() {
		go func(addr string, at int) { churned <- churn(ctx, addr, at) }(w.server.Addr(), w.cycle)
		w.awaitMoment()
	})
	cancel()
	w.must(<-churned)

	w.flags = still
	quoll := w.aside(false)
	w.start(true)
	w.compare(quoll, w.look(w.server))
	w.verify()
	w.load(func() {
		time.Sleep(time.Duration(w.rng.IntN(500)) * time.Millisecond) // a random moment
		if w.how = "ZooKeeper killed"; w.rng.IntN(3) == 0 {
			w.how = "stopped"
		}
	})

	java := w.aside(true)
	w.start(false)
	w.compare(w.look(w.server), java)
	w.verify()
	// Its store is not of this state, and it has seen that: once, unless a start before, which was killed, has.
	if why := reasons(w.server.Log()); len(why) != 1 && !(w.early && len(why) == 0) {
		w.must(fmt.Errorf("after ZooKeeper quoll has built its store anew %d times: %s", len(why), why))
	}
	if w.how = "killed after a look"; w.rng.IntN(2) == 0 {
		w.how = "stopped"
	}
	w.stop()
}

// aside is the view of a server on a copy of the directory.
func (w *wayBack) aside(java bool) view {
	begin := peer.StartQuoll
	if java {
		begin = peer.StartJava
	}
	dir := w.copyDir(w.dir)
	defer os.RemoveAll(dir)
	s, err := begin(peer.Options{
		Dir: dir, Work: w.TempDir(), Flags: w.flags,
		Config: []string{"maxSessionTimeout=600000", "extendedTypesEnabled=true", "4lw.commands.whitelist=*", superConfig},
	})
	peer.Check(w, err)
	defer s.Close()
	keep := w.observer
	w.observer = w.connect(s.Addr())
	defer func() {
		w.observer.Abandon()
		w.observer = keep
	}()
	return w.look(s)
}

// look reads everything that a server shows; it has just been started.
func (w *wayBack) look(s *peer.Server) view {
	v := view{nodes: w.everything(w.observer), counts: map[string]string{}, digests: map[int64]string{}}
	words, err := s.FourLetter("mntr")
	w.must(err)
	for line := range strings.Lines(words) {
		if f := strings.Fields(line); len(f) == 2 && slices.Contains([]string{"zk_znode_count", "zk_ephemerals_count", "zk_digest_mismatches_count"}, f[0]) {
			v.counts[f[0]] = f[1]
		}
	}
	hash, err := s.FourLetter("hash")
	w.must(err)
	for line := range strings.Lines(hash) {
		zxid, digest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseInt(zxid, 16, 64)
		if !ok || err != nil {
			w.must(fmt.Errorf("hash answers %q", line))
		}
		v.digests[n] = digest
	}
	zxid, digest := w.loaded(s)
	v.digests[zxid] = digest
	return v
}

var loadedLine = regexp.MustCompile(`msg="loaded the data directory".* zxid=0x([0-9a-f]+) digest=(-?\d+)`)

// loaded is the zxid that a server had when it had loaded the directory, and the digest of its tree, ephemeral owners as they are stored
// included: quoll says so, ZooKeeper writes a snapshot.
func (w *wayBack) loaded(s *peer.Server) (zxid int64, digest string) {
	if s.Kind() == "quoll" {
		m := loadedLine.FindStringSubmatch(s.Log())
		if m == nil {
			w.must(fmt.Errorf("quoll does not say what it has loaded: %s", s.Log()))
		}
		zxid, err := strconv.ParseInt(m[1], 16, 64)
		w.must(err)
		return zxid, m[2]
	}
	// Without a transaction behind the snapshot that it has loaded itself, ZooKeeper writes one without a digest.
	var loader *tree.Loader
	info, ok, err := txnlog.LoadNewestSnapshot(txnlog.OS, filepath.Join(s.Dir(), "version-2"), 0, func() txnlog.SnapshotSink {
		loader = tree.NewLoader(false)
		return loader
	})
	w.must(err)
	if !ok || info.Ours || len(info.Skipped) > 0 {
		w.must(fmt.Errorf("ZooKeeper's snapshot of its start is %+v", info))
	}
	t, err := loader.Finish()
	w.must(err)
	if info.DigestZxid == info.Zxid && info.Digest != t.Digest() {
		w.must(fmt.Errorf("%s has the digest %d, its znodes have %d", info.File, info.Digest, t.Digest()))
	}
	return info.Zxid, fmt.Sprint(t.Digest())
}

// compare compares what two servers show of one directory.
func (w *wayBack) compare(quoll, java view) {
	w.same(quoll.nodes, java.nodes)
	if !maps.Equal(quoll.counts, java.counts) || len(quoll.counts) != 3 || quoll.counts["zk_digest_mismatches_count"] != "0" {
		w.must(fmt.Errorf("quoll counts %v, ZooKeeper %v", quoll.counts, java.counts))
	}
	same := 0
	for zxid, digest := range quoll.digests {
		if other, ok := java.digests[zxid]; ok && other != digest {
			w.must(fmt.Errorf("the digest at zxid %#x is %s for quoll and %s for ZooKeeper", zxid, digest, other))
		} else if ok {
			same++
		}
	}
	if last := slices.Max(slices.Collect(maps.Keys(quoll.digests))); java.digests[last] == "" {
		w.must(fmt.Errorf("quoll has loaded the directory up to zxid %#x, ZooKeeper up to %#x", last, slices.Max(slices.Collect(maps.Keys(java.digests)))))
	}
	w.digested += same
}

// churn writes what the servers themselves delete later, and quotas that come and go, until its connection ends: that is no error.
func churn(ctx context.Context, addr string, at int) error {
	err := churnSteps(ctx, addr, at)
	if code := jute.OK; errors.As(err, &code) && code != jute.ErrConnectionLoss && code != jute.ErrSessionExpired {
		return fmt.Errorf("churn: %w", err)
	}
	return nil
}

func churnSteps(ctx context.Context, addr string, at int) error {
	c, err := client.Connect(ctx, addr, client.Options{Timeout: sessionTimeout})
	if err != nil {
		return err
	}
	defer c.Abandon()
	if err := c.AddAuth(ctx, "digest", []byte(superUser)); err != nil {
		return err
	}
	open := client.OpenACL
	for i := 0; ; i++ {
		here := fmt.Sprintf("%s/%d-%d", churnDir, at, i)
		quota := "/zookeeper/quota" + here
		create := func(path string, data string, mode jute.CreateMode) func() error {
			return func() error {
				_, err := c.Create(ctx, path, []byte(data), open, mode)
				return err
			}
		}
		steps := []func() error{
			create(here, "x", jute.ModeContainer),
			create(here+"/child", "", jute.ModePersistent),
			func() error {
				_, _, err := c.CreateTTL(ctx, here+"/ttl", []byte("t"), open, jute.ModePersistentWithTTL, 20)
				return err
			},
			create(quota, "", jute.ModePersistent),
			create(quota+"/zookeeper_limits", "count=5,bytes=-1", jute.ModePersistent),
			create(quota+"/zookeeper_stats", "count=0,bytes=0", jute.ModePersistent),
			func() error {
				other, err := client.Connect(ctx, addr, client.Options{Timeout: sessionTimeout})
				if err != nil {
					return err
				}
				defer other.Abandon()
				for range 3 {
					if _, err := other.Create(ctx, here+"/e", nil, open, jute.ModeEphemeralSequential); err != nil {
						return err
					}
				}
				return other.Do(ctx, jute.OpCloseSession, nil, nil)
			},
			func() error { return c.Delete(ctx, here+"/child", -1) },
		}
		if i%2 == 0 {
			for _, name := range []string{"/zookeeper_limits", "/zookeeper_stats", ""} {
				steps = append(steps, func() error { return c.Delete(ctx, quota+name, -1) })
			}
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
}
