package quorum_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"quoll/compat/peer"
	"quoll/config"
	"quoll/quorum"
	"quoll/server"
	"quoll/txnlog/memfs"
	"quoll/zab"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// cluster is an ensemble in this process, each server with a disk in memory.
type cluster struct {
	t       *testing.T
	members []*member
	set     []string
	change  func(*quorum.Options) // before a member starts; may be nil
}

type member struct {
	c    *cluster
	id   int
	addr string // of clients
	// quorum and election are the other ports.
	quorum, election int

	dir   string // dataDir: its file myid is real, everything else is on disk
	disk  *memfs.FS
	log   *logBuffer
	more  []string
	s     *server.Server
	peer  *quorum.Peer
	alive bool

	mu     sync.Mutex
	faults int // syncs of the log that are still to fail
}

// fail lets some syncs of the log fail.
func (m *member) fail(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = n
}

// failed reports whether they have.
func (m *member) failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults == 0
}

func (m *member) operation(op, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults > 0 && op == "sync" && strings.Contains(name, "version-2") {
		m.faults--
		return syscall.EIO
	}
	return nil
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t *testing.T) int {
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// newCluster makes servers 1 to n, with the same settings for all, and starts them. The fourth is an observer.
func newCluster(t *testing.T, n int, set ...string) *cluster {
	c := layOut(t, n, set...)
	c.start()
	return c
}

// start starts all servers.
func (c *cluster) start() {
	for _, m := range c.members {
		m.start()
	}
}

// layOut makes the servers and starts none.
func layOut(t *testing.T, n int, set ...string) *cluster {
	c := &cluster{t: t, set: append([]string{"tickTime=200", "initLimit=20", "syncLimit=10", "maxClientCnxns=0", "maxSessionTimeout=60000"}, set...)}
	for i := 1; i <= n; i++ {
		role := ""
		if i == 4 {
			role = ":observer"
		}
		m := &member{c: c, id: i, dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), quorum: freePort(t), election: freePort(t), disk: memfs.New(), log: &logBuffer{}}
		c.set = append(c.set, fmt.Sprintf("server.%d=127.0.0.1:%d:%d%s", i, m.quorum, m.election, role))
		if err := os.WriteFile(filepath.Join(m.dir, "myid"), fmt.Append(nil, i), 0o644); err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.stop()
		}
		if t.Failed() {
			for _, m := range c.members {
				t.Logf("server %d:\n%s", m.id, m.log)
			}
		}
	})
	return c
}

func (m *member) start() {
	t := m.c.t
	m.disk.WriteFile(filepath.Join(m.dir, "initialize"), nil)
	m.disk.Fail = m.operation
	cfg, _, err := config.Load(config.Sources{Set: append(append([]string{"dataDir=" + m.dir}, m.c.set...), m.more...)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(m.log, nil))
	if m.s, err = server.Start(server.Options{Config: cfg, Listeners: []net.Listener{l}, FS: m.disk, StoreFS: m.disk.VFS(), Logger: log}); err != nil {
		t.Fatal(err)
	}
	o := quorum.Options{Config: cfg, Logger: log, Metrics: m.s.Metrics()}
	if m.c.change != nil {
		m.c.change(&o)
	}
	if m.peer, err = quorum.Start(o, m.s.Member()); err != nil {
		t.Fatal(err)
	}
	m.s.Member().Show(m.peer)
	m.alive = true
}

func (m *member) stop() {
	if !m.alive {
		return
	}
	m.alive = false
	if err := errors.Join(m.peer.Close(), m.s.Close()); err != nil {
		m.c.t.Errorf("server %d: %v", m.id, err)
	}
}

// crash stops the server and takes away what it had not made durable.
func (m *member) crash() {
	disk := m.disk.Crash(nil)
	m.alive = false
	_ = m.peer.Close()
	_ = m.s.Close()
	m.disk = disk
}

func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("in %v it did not come about that %s", patience, what)
		}
	}
}

// leader waits until there is one with all living servers behind it.
func (c *cluster) leader() (leader *member) {
	c.t.Helper()
	c.eventually("a leader has all others", func() bool {
		serving := 0
		leader = nil
		living := 0
		for _, m := range c.members {
			if !m.alive {
				continue
			}
			living++
			st := m.peer.Status()
			if st.Serving {
				serving++
			}
			if st.Role == zab.Leading && st.Serving {
				leader = m
			}
		}
		return leader != nil && serving == living
	})
	return leader
}

func (m *member) dial() *zk.Conn {
	m.c.t.Helper()
	conn, _, err := zk.Connect([]string{m.addr}, 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		m.c.t.Fatal(err)
	}
	m.c.t.Cleanup(conn.Close)
	return conn
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// create makes a znode, however often the connection is lost.
func (c *cluster) create(conn *zk.Conn, path string, data []byte) {
	c.t.Helper()
	var err error
	c.eventually("a znode is made", func() bool {
		_, err = conn.Create(path, data, 0, zk.WorldACL(zk.PermAll))
		return err == nil || errors.Is(err, zk.ErrNodeExists)
	})
}

// same waits until all living servers have the same state.
func (c *cluster) same() {
	c.t.Helper()
	var have []string
	c.eventually("all servers have the same state", func() bool {
		have = have[:0]
		for _, m := range c.members {
			if m.alive {
				zxid, digest := m.s.State()
				have = append(have, fmt.Sprintf("%#x %d", zxid, digest))
			}
		}
		for _, h := range have {
			if h != have[0] {
				return false
			}
		}
		return true
	})
}

func TestEverybodyWrites(t *testing.T) {
	c := newCluster(t, 3)
	c.leader()
	conns := []*zk.Conn{}
	for _, m := range c.members {
		conns = append(conns, m.dial())
	}
	for i, conn := range conns {
		c.create(conn, fmt.Sprintf("/n%d", i), []byte("x"))
		if _, err := conn.Create(fmt.Sprintf("/e%d", i), nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		if _, err := conn.Sync("/"); err != nil {
			t.Fatal(err)
		}
		for i := range conns {
			for _, kind := range "ne" {
				if ok, _, err := conn.Exists(fmt.Sprintf("/%c%d", kind, i)); !ok || err != nil {
					t.Errorf("/%c%d: %v %v", kind, i, ok, err)
				}
			}
		}
	}
	_, _, events, err := conns[0].ExistsW("/e2")
	if err != nil {
		t.Fatal(err)
	}
	conns[2].Close()
	select {
	case e := <-events:
		if e.Type != zk.EventNodeDeleted {
			t.Errorf("%v", e)
		}
	case <-time.After(patience):
		t.Error("an ephemeral outlives its session")
	}
	c.same()
}

// TestLeaderChanges stops and crashes leaders while a client writes through each server; what was acknowledged is there in the end, once.
func TestLeaderChanges(t *testing.T) {
	c := newCluster(t, 3)
	c.leader()
	c.create(c.members[0].dial(), "/w", nil)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	acked := make([]int, 3)
	for i, m := range c.members {
		conn := m.dial()
		writers.Go(func() {
			for n := 0; ; n++ {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, err := conn.Create(fmt.Sprintf("/w/%d-%06d", i, n), []byte("x"), 0, zk.WorldACL(zk.PermAll))
					if err == nil || errors.Is(err, zk.ErrNodeExists) {
						break
					}
				}
				acked[i] = n + 1
			}
		})
	}
	for round := range 6 {
		m := c.leader()
		if round%2 == 0 {
			m.stop()
		} else {
			m.crash()
		}
		c.leader()
		m.start()
		c.leader()
	}
	close(stop)
	writers.Wait()
	c.same()
	for _, m := range c.members {
		conn := m.dial()
		children, _, err := conn.Children("/w")
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, name := range children {
			have[name] = true
		}
		for i, n := range acked {
			if n == 0 {
				t.Errorf("writer %d wrote nothing", i)
			}
			for k := range n {
				if !have[fmt.Sprintf("%d-%06d", i, k)] {
					t.Errorf("server %d lacks %d-%06d", m.id, i, k)
				}
			}
		}
	}
}

// TestSnapshotForANewcomer takes the disk of a server away while others write.
func TestSnapshotForANewcomer(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.leader()
	newcomer := c.members[0]
	if newcomer == leader {
		newcomer = c.members[1]
	}
	newcomer.stop()
	conn := leader.dial()
	for i := range 300 {
		c.create(conn, fmt.Sprintf("/a%d", i), bytes.Repeat([]byte("d"), 5000))
	}
	newcomer.disk = memfs.New()
	newcomer.start()
	for i := range 300 {
		c.create(conn, fmt.Sprintf("/b%d", i), bytes.Repeat([]byte("d"), 500))
	}
	c.leader()
	c.same()
	if !strings.Contains(newcomer.log.String(), "SNAP") {
		t.Error("the newcomer got no snapshot")
	}
	other := newcomer.dial()
	c.create(other, "/mine", nil)
	c.same()
	newcomer.crash()
	newcomer.start()
	c.leader()
	c.same()
}

// TestFailingDisk lets the disk of each server fail in turn: it leaves the ensemble, the others go on, and it comes back.
func TestFailingDisk(t *testing.T) {
	c := newCluster(t, 3)
	for i, m := range c.members {
		c.leader()
		m.fail(3)
		conn := c.members[(i+1)%3].dial()
		for n := range 20 {
			c.create(conn, fmt.Sprintf("/f%d-%d", i, n), []byte("x"))
		}
		c.eventually("the disk failed", m.failed)
		c.leader()
		c.create(conn, fmt.Sprintf("/g%d", i), nil)
		c.same()
		conn.Close()
	}
}

// TestObserver has an observer that reaches the leader by a follower.
func TestObserver(t *testing.T) {
	c := newCluster(t, 4, fmt.Sprintf("observerMasterPort=%d", freePort(t)))
	c.leader()
	o := c.members[3]
	o.stop()
	c.leader()
	o.start() // and finds followers that serve
	c.leader()
	if role := o.peer.Status().Role; role != zab.Observing {
		t.Fatalf("server 4 is %v", role)
	}
	conn := o.dial()
	c.create(conn, "/from-observer", []byte("x"))
	if _, err := conn.Sync("/"); err != nil {
		t.Fatal(err)
	}
	c.same()
	passed := false
	for _, m := range c.members {
		passed = passed || strings.Contains(m.log.String(), "an observer is passed on")
	}
	if !passed {
		t.Error("no follower has passed the observer on")
	}
	c.leader().crash()
	c.leader()
	c.create(conn, "/again", nil)
	c.same()
}

// TestSyncsAmongWrites sends syncs and writes without waiting for answers, to every server.
func TestSyncsAmongWrites(t *testing.T) {
	c := newCluster(t, 3)
	c.leader()
	for i, m := range c.members {
		conn := m.dial()
		var clients sync.WaitGroup
		for k := range 8 {
			clients.Go(func() {
				for n := range 50 {
					if _, err := conn.Sync("/"); err != nil {
						t.Errorf("sync at server %d: %v", m.id, err)
					}
					if _, err := conn.Create(fmt.Sprintf("/s%d-%d-%d", i, k, n), nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
						t.Errorf("create at server %d: %v", m.id, err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() {
			clients.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("server %d does not answer", m.id)
		}
	}
	c.same()
}
