package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll"
	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// deadline ends every wait, whatever the load of the machine.
const deadline = 2 * time.Minute

// size is the small form of a test's size, or with QUOLL_BIG=1 the big one.
func size(small, big int) int {
	if os.Getenv("QUOLL_BIG") == "1" {
		return big
	}
	return small
}

// poll waits until done returns nil.
func poll(t testing.TB, done func() error) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// journal collects what a server in this process logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// start starts a server in this process. When the test ends it is closed, must have no error in its log, and must have left no
// goroutine behind.
func start(t *testing.T, dir string, set map[string]string) (*quoll.Server, *journal) {
	t.Helper()
	before := runtime.NumGoroutine()
	j := &journal{}
	s, err := quoll.Start(quoll.Options{Dir: dir, Set: set, Logger: slog.New(slog.NewTextHandler(j, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(j.String()) {
			if strings.Contains(line, "level=ERROR") {
				t.Error(line)
			}
		}
		poll(t, func() error {
			if now := runtime.NumGoroutine(); now > before {
				stacks := make([]byte, 64<<10)
				return fmt.Errorf("%d goroutines after Close, %d before Start:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
			}
			return nil
		})
	})
	return s, j
}

// connect is a client whose session ends with the test.
func connect(t testing.TB, addr string) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	c, err := client.Connect(ctx, addr, client.Options{Timeout: 40 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	return c
}

// session is a connection with a session of its own, without a client's good manners.
func session(t testing.TB, addr string, timeout time.Duration) *client.RawConn {
	t.Helper()
	conn, err := openSession(addr, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func openSession(addr string, timeout time.Duration) (*client.RawConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	conn, err := client.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	resp, err := conn.Handshake(&jute.ConnectRequest{Timeout: int32(timeout.Milliseconds()), Password: make([]byte, jute.PasswordLength), HasReadOnly: true})
	if err == nil && resp.SessionID == 0 {
		err = errors.New("the session was refused")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// workBeside has a good client do every kind of operation again and again until the returned function is called. None may fail.
func workBeside(t *testing.T, addr string) (stop func()) {
	t.Helper()
	var events sync.Map
	ctx, cancel := context.WithTimeout(context.Background(), 10*deadline)
	c, err := client.Connect(ctx, addr, client.Options{Timeout: 40 * time.Second, OnEvent: func(e client.Event) { events.Store(e.Path, true) }})
	if err != nil {
		t.Fatal(err)
	}
	auth := []jute.ACL{{Perms: jute.PermAll, Scheme: "auth"}}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.AddAuth(ctx, "digest", []byte("good:secret")))
	if _, err := c.Create(ctx, "/good", nil, auth, jute.ModePersistent); err != nil && err != jute.ErrNodeExists {
		t.Fatal(err)
	}
	enough := make(chan struct{})
	done := make(chan error, 1)
	rounds, longest := 0, time.Duration(0)
	go func() {
		done <- func() error {
			for {
				select {
				case <-enough:
					return nil
				default:
				}
				begin := time.Now()
				if err := good(ctx, c, auth, rounds); err != nil {
					return fmt.Errorf("round %d of the good client: %w", rounds, err)
				}
				rounds++
				longest = max(longest, time.Since(begin))
			}
		}()
	}()
	t.Cleanup(func() { // in case the test ends before
		cancel()
		c.Abandon()
	})
	return func() {
		t.Helper()
		close(enough)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("closing the good client: %v", err)
		}
		if _, ok := events.Load("/good/watched"); !ok && rounds > 0 {
			t.Error("the good client had no event")
		}
		t.Logf("the good client made %d rounds of 8 operations, the slowest took %v", rounds, longest.Round(time.Millisecond))
	}
}

func good(ctx context.Context, c *client.Client, acl []jute.ACL, round int) error {
	const watched = "/good/watched"
	data := []byte(strconv.Itoa(round))
	if _, err := c.Create(ctx, watched, data, acl, jute.ModeEphemeral); err != nil {
		return err
	}
	got, stat, err := c.Get(ctx, watched, true)
	if err != nil || !bytes.Equal(got, data) {
		return fmt.Errorf("get: %q, %w", got, err)
	}
	if _, err := c.Set(ctx, watched, data, stat.Version); err != nil {
		return err
	}
	ops := []jute.Operation{
		{Op: jute.OpCreate, Path: []byte("/good/m"), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("auth")}}, Flags: jute.ModePersistentSequential},
		{Op: jute.OpCheck, Path: []byte(watched), Version: 1},
	}
	made, err := c.Multi(ctx, ops...)
	if err != nil {
		return fmt.Errorf("multi: %w", err)
	}
	if names, _, err := c.Children(ctx, "/good", false); err != nil || len(names) != 2 {
		return fmt.Errorf("children: %v, %w", names, err)
	}
	if err := c.Delete(ctx, made[0].Path, 0); err != nil {
		return err
	}
	if err := c.Delete(ctx, watched, 1); err != nil {
		return err
	}
	return c.Ping(ctx)
}

// nodes is the number of znodes that the server says it has.
func nodes(answer string) (int, error) {
	for line := range strings.Lines(answer) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Node count: "); ok {
			return strconv.Atoi(text)
		}
	}
	return 0, fmt.Errorf("no node count in %q", answer)
}

// reopen starts quoll and then Apache ZooKeeper on the directory of a server that was closed: both must have the same number of znodes.
func reopen(t *testing.T, dir string, java peer.Options) {
	t.Helper()
	begin := time.Now()
	s := peer.Quoll(t, peer.Options{Dir: dir, Config: java.Config})
	answer, err := s.FourLetter("srvr")
	if err != nil {
		t.Fatal(err)
	}
	count, err := nodes(answer)
	if err != nil {
		t.Fatal(err)
	}
	quollTook := time.Since(begin)
	noMismatch(t, s)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Classpath("zookeeper"); err != nil {
		peer.Check(skipless{t}, err)
		return
	}
	java.Dir = dir
	begin = time.Now()
	j := peer.Java(t, java)
	javaTook := time.Since(begin)
	if answer, err = j.FourLetter("srvr"); err != nil {
		t.Fatal(err)
	}
	if got, err := nodes(answer); err != nil || got != count {
		t.Errorf("ZooKeeper counts %d znodes, quoll %d (%v)", got, count, err)
	}
	noMismatch(t, j)
	t.Logf("%d znodes again: quoll after %v, ZooKeeper after %v", count, quollTook.Round(time.Millisecond), javaTook.Round(time.Millisecond))
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// skipless says what a test leaves out, and does not end it.
type skipless struct{ *testing.T }

func (s skipless) Skip(args ...any) { s.Log(append([]any{"not with ZooKeeper:"}, args...)...) }

func noMismatch(t *testing.T, s *peer.Server) {
	t.Helper()
	for line := range strings.Lines(s.Log()) {
		if lower := strings.ToLower(line); strings.Contains(lower, "digest") && (strings.Contains(lower, "match") || strings.Contains(lower, "is not the")) {
			t.Errorf("%s says: %s", s.Kind(), line)
		}
	}
}

// resident is the memory that a process has, in bytes.
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Skipf("no way to know the memory of a process here: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no VmRSS in %s", b)
	return 0
}
