package compat

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"quoll/compat/peer"
)

// patience bounds every wait for something that a server has to do.
const patience = 30 * time.Second

// TestGoZK uses the API of go-zookeeper/zk against both servers. The subtests share a server and
// have a znode each; the ones that stop the server are the last.
func TestGoZK(t *testing.T) {
	opts := peer.Options{Config: []string{
		"extendedTypesEnabled=true",
		"tickTime=500", // sessions of a second are possible
		"4lw.commands.whitelist=*",
	}}
	peer.Each(t, opts, func(t *testing.T, s *peer.Server) {
		for _, test := range []struct {
			name string
			run  func(*testing.T, gozk)
		}{
			{"modes", gozkModes},
			{"versions", gozkVersions},
			{"errors", gozkErrors},
			{"watches", gozkWatches},
			{"multi", gozkMulti},
			{"acl", gozkACL},
			{"sizes", gozkSizes},
			{"counter", gozkCounter},
			{"lock", gozkLock},
			{"pipeline", gozkPipeline},
			{"words", gozkWords},
			{"ephemerals", gozkEphemerals},
			{"expiry", gozkExpiry},
			{"restart", gozkRestart},
		} {
			t.Run(test.name, func(t *testing.T) {
				g := gozk{s: s, dir: "/gozk-" + test.name}
				g.Conn, _ = g.connect(t, patience)
				_, err := g.Create(g.dir, nil, 0, zk.WorldACL(zk.PermAll))
				must(t, err)
				test.run(t, g)
			})
		}
	})
}

// gozk is a session and the znode that a test has for itself.
type gozk struct {
	*zk.Conn
	s   *peer.Server
	dir string
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// connect opens a further session, which is closed when the test ends.
func (g gozk) connect(t *testing.T, timeout time.Duration) (*zk.Conn, *gate) {
	t.Helper()
	gate := new(gate)
	c, events, err := zk.Connect([]string{g.s.Addr()}, timeout, zk.WithLogger(quiet{}), zk.WithDialer(gate.dial))
	must(t, err)
	t.Cleanup(c.Close)
	go func() {
		for range events {
		}
	}()
	return c, gate
}

// A gate is the dialer of a session. Closed, it cuts the connection and lets no other through.
type gate struct {
	mu     sync.Mutex
	closed bool
	conn   net.Conn
}

func (g *gate) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errors.New("the gate is closed")
	}
	conn, err := net.DialTimeout(network, address, timeout)
	g.conn = conn
	return conn, err
}

func (g *gate) set(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = closed
	if closed {
		g.conn.Close()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks that an operation ended with the error.
func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, not %v", what, err, want)
	}
}

// event is the next event of a watch.
func event(t *testing.T, what string, watch <-chan zk.Event, want zk.EventType, path string) {
	t.Helper()
	select {
	case e := <-watch:
		if e.Type != want || e.Path != path {
			t.Errorf("%s: event %v on %s, not %v on %s", what, e.Type, e.Path, want, path)
		}
	case <-time.After(patience):
		t.Fatalf("%s: no event", what)
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func gozkModes(t *testing.T, g gozk) {
	world := zk.WorldACL(zk.PermAll)
	for _, mode := range []struct {
		name      string
		path      string // as created, below the directory
		ephemeral bool
		create    func(path string) (string, error)
	}{
		{"p", "/p", false, func(p string) (string, error) { return g.Create(p, []byte("x"), zk.FlagPersistent, world) }},
		{"e", "/e", true, func(p string) (string, error) { return g.Create(p, nil, zk.FlagEphemeral, world) }},
		{"s", "/s0000000002", false, func(p string) (string, error) { return g.Create(p, nil, zk.FlagSequence, world) }},
		{"es", "/es0000000003", true, func(p string) (string, error) { return g.Create(p, nil, zk.FlagEphemeralSequential, world) }},
		{"c", "/c", false, func(p string) (string, error) { return g.CreateContainer(p, nil, zk.FlagContainer, world) }},
		{"t", "/t", false, func(p string) (string, error) { return g.CreateTTL(p, nil, zk.FlagTTL, world, time.Hour) }},
		{"ts", "/ts0000000006", false, func(p string) (string, error) {
			return g.CreateTTL(p, nil, zk.FlagPersistentSequentialWithTTL, world, time.Hour)
		}},
	} {
		path, err := mode.create(g.dir + "/" + mode.name)
		must(t, err)
		if path != g.dir+mode.path {
			t.Errorf("created %s, not %s", path, g.dir+mode.path)
		}
		ok, stat, err := g.Exists(path)
		must(t, err)
		if !ok || (stat.EphemeralOwner == g.SessionID()) != mode.ephemeral {
			t.Errorf("%s: exists %v, owner %x of session %x", path, ok, stat.EphemeralOwner, g.SessionID())
		}
	}
	path, err := g.CreateProtectedEphemeralSequential(g.dir+"/lock-", nil, world)
	must(t, err)
	children, _, err := g.Children(g.dir)
	must(t, err)
	if len(children) != 8 || !slices.Contains(children, path[len(g.dir)+1:]) {
		t.Errorf("children %q, with %s", children, path)
	}
}

func gozkVersions(t *testing.T, g gozk) {
	path := g.dir + "/n"
	_, err := g.Create(path, []byte("zero"), 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	stat, err := g.Set(path, []byte("one"), 0)
	must(t, err)
	if stat.Version != 1 || stat.Mzxid <= stat.Czxid || stat.DataLength != 3 {
		t.Errorf("stat after a set: %+v", stat)
	}
	_, err = g.Set(path, nil, 0)
	fails(t, "set", err, zk.ErrBadVersion)
	fails(t, "delete", g.Delete(path, 0), zk.ErrBadVersion)
	data, got, err := g.Get(path)
	must(t, err)
	if string(data) != "one" || *got != *stat {
		t.Errorf("got %q %+v, not %+v", data, got, stat)
	}
	_, err = g.Create(path+"/c", nil, 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	_, after, err := g.Exists(path)
	must(t, err)
	if after.NumChildren != 1 || after.Cversion != 1 || after.Pzxid <= stat.Mzxid || after.Mzxid != stat.Mzxid {
		t.Errorf("stat with a child: %+v", after)
	}
	must(t, g.Delete(path+"/c", 0))
	must(t, g.Delete(path, 1))
	if p, err := g.Sync(g.dir); err != nil || p != g.dir {
		t.Errorf("sync: %s, %v", p, err)
	}
}

func gozkErrors(t *testing.T, g gozk) {
	world := zk.WorldACL(zk.PermAll)
	_, err := g.Create(g.dir, nil, 0, world)
	fails(t, "create again", err, zk.ErrNodeExists)
	_, err = g.Create(g.dir+"/a/b", nil, 0, world)
	fails(t, "create without a parent", err, zk.ErrNoNode)
	_, _, err = g.Get(g.dir + "/a")
	fails(t, "get", err, zk.ErrNoNode)
	_, _, err = g.Children(g.dir + "/a")
	fails(t, "children", err, zk.ErrNoNode)
	_, _, err = g.GetACL(g.dir + "/a")
	fails(t, "acl", err, zk.ErrNoNode)
	if ok, _, err := g.Exists(g.dir + "/a"); ok || err != nil {
		t.Errorf("exists: %v, %v", ok, err)
	}
	_, err = g.Create(g.dir+"/e", nil, zk.FlagEphemeral, world)
	must(t, err)
	_, err = g.Create(g.dir+"/e/c", nil, 0, world)
	fails(t, "child of an ephemeral", err, zk.ErrNoChildrenForEphemerals)
	fails(t, "delete with children", g.Delete(g.dir, -1), zk.ErrNotEmpty)
	_, err = g.Create(g.dir+"/n", nil, 0, nil)
	fails(t, "no ACL", err, zk.ErrInvalidACL)
	_, err = g.Create(g.dir+"/n", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "nobody", ID: "knows"}})
	fails(t, "unknown scheme", err, zk.ErrInvalidACL)
	_, err = g.IncrementalReconfig(nil, nil, -1)
	fails(t, "reconfig", err, zk.ErrReconfigDisabled)
}

func gozkWatches(t *testing.T, g gozk) {
	other, _ := g.connect(t, patience)
	path := g.dir + "/w"
	_, _, exists, err := g.ExistsW(path)
	must(t, err)
	_, _, children, err := g.ChildrenW(g.dir)
	must(t, err)
	_, err = other.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	event(t, "exists", exists, zk.EventNodeCreated, path)
	event(t, "children", children, zk.EventNodeChildrenChanged, g.dir)

	_, _, data, err := g.GetW(path)
	must(t, err)
	_, err = other.Set(path, []byte("1"), -1)
	must(t, err)
	event(t, "data", data, zk.EventNodeDataChanged, path)

	// A watch fires once, and a read after its event sees at least the change.
	got, _, data, err := g.GetW(path)
	must(t, err)
	if string(got) != "1" {
		t.Errorf("data %q after the event", got)
	}
	_, _, children, err = g.ChildrenW(path)
	must(t, err)
	must(t, other.Delete(path, -1))
	event(t, "data", data, zk.EventNodeDeleted, path)
	event(t, "children", children, zk.EventNodeDeleted, path)
}

func gozkMulti(t *testing.T, g gozk) {
	world := zk.WorldACL(zk.PermAll)
	a, b := g.dir+"/a", g.dir+"/b"
	results, err := g.Multi(
		&zk.CreateRequest{Path: a, Data: []byte("1"), Acl: world},
		&zk.CreateRequest{Path: a + "/", Acl: world, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: a, Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: a, Version: 1},
		&zk.CreateRequest{Path: b, Acl: world},
		&zk.DeleteRequest{Path: b, Version: 0},
	)
	must(t, err)
	if len(results) != 6 || results[0].String != a || results[1].String != a+"/0000000000" || results[2].Stat.Version != 1 {
		t.Errorf("results %+v", results)
	}
	results, err = g.Multi(
		&zk.SetDataRequest{Path: a, Data: []byte("3"), Version: -1},
		&zk.CheckVersionRequest{Path: a, Version: 1},
		&zk.DeleteRequest{Path: b, Version: -1},
	)
	fails(t, "multi", err, zk.ErrBadVersion)
	if len(results) == 3 {
		fails(t, "first operation", results[0].Error, nil)
		fails(t, "second operation", results[1].Error, zk.ErrBadVersion)
	} else {
		t.Errorf("results %+v", results)
	}
	data, stat, err := g.Get(a)
	must(t, err)
	if string(data) != "2" || stat.Version != 1 {
		t.Errorf("a failed multi left %q, version %d", data, stat.Version)
	}
}

func gozkACL(t *testing.T, g gozk) {
	path := g.dir + "/secret"
	alice, gate := g.connect(t, patience)
	must(t, alice.AddAuth("digest", []byte("alice:pw")))
	_, err := alice.Create(path, []byte("x"), 0, zk.AuthACL(zk.PermAll))
	must(t, err)
	acl, _, err := alice.GetACL(path)
	must(t, err)
	if want := zk.DigestACL(zk.PermAll, "alice", "pw"); !slices.Equal(acl, want) {
		t.Errorf("acl %v, not %v", acl, want)
	}
	_, _, err = g.Get(path)
	fails(t, "get without auth", err, zk.ErrNoAuth)
	must(t, g.AddAuth("digest", []byte("alice:wrong")))
	_, err = g.Set(path, nil, -1)
	fails(t, "set with another password", err, zk.ErrNoAuth)

	stat, err := alice.SetACL(path, append(acl, zk.WorldACL(zk.PermRead)...), 0)
	must(t, err)
	if stat.Aversion != 1 {
		t.Errorf("aversion %d", stat.Aversion)
	}
	_, err = alice.SetACL(path, acl, 0)
	fails(t, "second set of the ACL", err, zk.ErrBadVersion)
	_, _, err = g.Get(path)
	must(t, err)
	_, err = g.Set(path, nil, -1)
	fails(t, "set with read permission", err, zk.ErrNoAuth)

	// The client authenticates again on its next connection.
	session := alice.SessionID()
	gate.set(true)
	gate.set(false)
	eventually(t, "a set after the connection was lost", func() bool {
		_, err := alice.Set(path, []byte("y"), -1)
		if err != nil && !errors.Is(err, zk.ErrConnectionClosed) && !errors.Is(err, zk.ErrNoServer) && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
		return err == nil
	})
	if alice.SessionID() != session {
		t.Error("the session was replaced")
	}
	_, err = g.Create(g.dir+"/auth", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "ip", ID: "not an address"}})
	fails(t, "wrong address", err, zk.ErrInvalidACL)
}

func gozkSizes(t *testing.T, g gozk) {
	path := g.dir + "/n"
	_, err := g.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	for _, size := range []int{0, 1, 4095, 4096, 65536, 1 << 19, 1<<20 - 1024} {
		want := bytes.Repeat([]byte{byte(size), 7}, size/2+1)[:size]
		_, err := g.Set(path, want, -1)
		must(t, err)
		got, stat, err := g.Get(path)
		must(t, err)
		if !bytes.Equal(got, want) || int(stat.DataLength) != size {
			t.Errorf("%d bytes came back as %d, length %d", size, len(got), stat.DataLength)
		}
	}
	// jute.maxbuffer: the server closes the connection of a request that is too long. Whether the client
	// has written it all by then decides between its errors.
	other, _ := g.connect(t, patience)
	if _, err = other.Set(path, make([]byte, 1<<20+1024), -1); err == nil {
		t.Error("a set of more than jute.maxbuffer is accepted")
	}
	_, stat, err := g.Get(path)
	must(t, err)
	if stat.DataLength != 1<<20-1024 {
		t.Errorf("%d bytes are left by a set that failed", stat.DataLength)
	}
}

// gozkCounter has sessions that add to a number by conditional sets: no addition may be lost.
func gozkCounter(t *testing.T, g gozk) {
	const sessions, additions = 8, 25
	path := g.dir + "/n"
	_, err := g.Create(path, []byte("0"), 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	var wg sync.WaitGroup
	for range sessions {
		c, _ := g.connect(t, patience)
		wg.Go(func() {
			for done := 0; done < additions; {
				data, stat, err := c.Get(path)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(data))
				_, err = c.Set(path, []byte(strconv.Itoa(n+1)), stat.Version)
				if err == nil {
					done++
				} else if !errors.Is(err, zk.ErrBadVersion) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, stat, err := g.Get(path)
	must(t, err)
	if want := strconv.Itoa(sessions * additions); string(data) != want || stat.Version != sessions*additions {
		t.Errorf("%s additions at version %d, not %s", data, stat.Version, want)
	}
}

func gozkLock(t *testing.T, g gozk) {
	var wg sync.WaitGroup
	var inside, entered int
	var mu sync.Mutex
	for range 6 {
		c, _ := g.connect(t, patience)
		wg.Go(func() {
			for range 5 {
				lock := zk.NewLock(c, g.dir+"/lock", zk.WorldACL(zk.PermAll))
				if err := lock.Lock(); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				entered++
				if inside != 1 {
					t.Errorf("%d sessions hold the lock", inside)
				}
				inside--
				mu.Unlock()
				if err := lock.Unlock(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if entered != 30 {
		t.Errorf("the lock was held %d times, not 30", entered)
	}
}

// gozkPipeline has many requests of one session under way at once.
func gozkPipeline(t *testing.T, g gozk) {
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			path := fmt.Sprintf("%s/%03d", g.dir, i)
			if _, err := g.Create(path, []byte(path), 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Error(err)
				return
			}
			if data, _, err := g.Get(path); err != nil || string(data) != path {
				t.Errorf("%s: %q, %v", path, data, err)
			}
		})
	}
	wg.Wait()
	children, stat, err := g.Children(g.dir)
	must(t, err)
	if len(children) != 200 || stat.NumChildren != 200 || stat.Cversion != 200 {
		t.Errorf("%d children, stat %+v", len(children), stat)
	}
}

func gozkWords(t *testing.T, g gozk) {
	servers := []string{g.s.Addr()}
	if ok := zk.FLWRuok(servers, patience); !ok[0] {
		t.Error("ruok is not answered")
	}
	// The client's pattern for srvr knows no build date of the releases since 3.5. It can read cons,
	// except for the connection without a session that asks.
	clients, _ := zk.FLWCons(servers, patience)
	must(t, clients[0].Error)
	if !slices.ContainsFunc(clients[0].Clients, func(c *zk.ServerClient) bool { return c.SessionID == g.SessionID() }) {
		t.Errorf("cons does not list session %x", g.SessionID())
	}
}

func gozkEphemerals(t *testing.T, g gozk) {
	c, _ := g.connect(t, patience)
	for i := range 20 {
		_, err := c.Create(fmt.Sprintf("%s/%d", g.dir, i), nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		must(t, err)
	}
	_, _, watch, err := g.ExistsW(g.dir + "/7")
	must(t, err)
	c.Close()
	event(t, "end of the session", watch, zk.EventNodeDeleted, g.dir+"/7")
	children, _, err := g.Children(g.dir)
	must(t, err)
	if len(children) != 0 {
		t.Errorf("ephemerals of a closed session: %q", children)
	}
}

// gozkExpiry lets a session expire while its client cannot reach the server.
func gozkExpiry(t *testing.T, g gozk) {
	c, gate := g.connect(t, time.Second)
	path := g.dir + "/e"
	_, err := c.Create(path, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	must(t, err)
	session := c.SessionID()
	_, _, watch, err := g.ExistsW(path)
	must(t, err)
	gate.set(true)
	event(t, "expiry", watch, zk.EventNodeDeleted, path)
	gate.set(false)
	eventually(t, "a new session", func() bool {
		_, _, err := c.Get("/")
		return err == nil
	})
	if c.SessionID() == session {
		t.Errorf("session %x is still there", session)
	}
}

// gozkRestart kills the server: data, sessions and ephemerals stay, and a watch fires for a change
// that was made before its client was back.
func gozkRestart(t *testing.T, g gozk) {
	c, gate := g.connect(t, 10*time.Second)
	_, err := c.Create(g.dir+"/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	must(t, err)
	_, err = c.Create(g.dir+"/n", []byte("before"), 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	session := c.SessionID()
	_, _, data, err := c.GetW(g.dir + "/n")
	must(t, err)
	_, _, created, err := c.ExistsW(g.dir + "/new")
	must(t, err)
	_, _, children, err := c.ChildrenW(g.dir)
	must(t, err)
	gate.set(true)
	must(t, g.s.Kill())
	must(t, g.s.Restart())
	eventually(t, "a set by a session from before", func() bool {
		_, err := g.Set(g.dir+"/n", []byte("after"), -1)
		return err == nil
	})
	_, err = g.Create(g.dir+"/new", nil, 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	gate.set(false)
	event(t, "data", data, zk.EventNodeDataChanged, g.dir+"/n")
	event(t, "exists", created, zk.EventNodeCreated, g.dir+"/new")
	event(t, "children", children, zk.EventNodeChildrenChanged, g.dir)
	ok, stat, err := c.Exists(g.dir + "/e")
	must(t, err)
	if !ok || stat.EphemeralOwner != session || c.SessionID() != session {
		t.Errorf("ephemeral: exists %v, stat %+v, session %x, before %x", ok, stat, c.SessionID(), session)
	}
}
