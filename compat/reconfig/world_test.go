package reconfig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// patience ends every wait, whatever the load of the machine.
const patience = 1 * time.Minute

// super is the password of the superuser of these ensembles, and its digest.
const (
	super       = "super:test"
	superDigest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
)

// world is an ensemble of servers of one kind.
type world struct {
	t       *testing.T
	kind    peer.Kind
	ctx     context.Context
	ports   map[int64][3]int // quorum, election and client port of each server there may be
	extra   []string         // lines of every zoo.cfg
	static  bool             // the server lines have no client part
	mu      sync.Mutex
	servers map[int64]*peer.Server
}

func newWorld(t *testing.T, kind peer.Kind, extra ...string) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	w := &world{t: t, kind: kind, ctx: ctx, ports: map[int64][3]int{}, extra: extra, servers: map[int64]*peer.Server{}}
	for sid := int64(1); sid <= 9; sid++ {
		var p [3]int
		for i := range p {
			var err error
			if p[i], err = peer.FreePort(); err != nil {
				t.Fatal(err)
			}
		}
		w.ports[sid] = p
	}
	return w
}

// line is the server line of a server, without its key.
func (w *world) line(sid int64, role string) string {
	p := w.ports[sid]
	if w.static {
		return fmt.Sprintf("127.0.0.1:%d:%d:%s", p[0], p[1], role)
	}
	return fmt.Sprintf("127.0.0.1:%d:%d:%s;127.0.0.1:%d", p[0], p[1], role, p[2])
}

// start starts servers with the same members in their files, and waits until they serve.
func (w *world) start(members []string, sids ...int64) {
	w.t.Helper()
	var wg sync.WaitGroup
	failures := make([]error, len(sids))
	for i, sid := range sids {
		work := w.t.TempDir()
		dir := filepath.Join(work, "data")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "myid"), fmt.Appendf(nil, "%d\n", sid), 0o644); err != nil {
			w.t.Fatal(err)
		}
		lines := slices.Concat([]string{"tickTime=1000", "initLimit=10", "syncLimit=5", "reconfigEnabled=true", "4lw.commands.whitelist=*"}, w.extra, members)
		wg.Go(func() {
			s, err := w.kind.Start(peer.Options{Work: work, Dir: dir, Port: w.ports[sid][2], Config: lines, Heap: "128m",
				Flags: []string{"-Dzookeeper.DigestAuthenticationProvider.superDigest=" + superDigest}})
			if err != nil {
				failures[i] = fmt.Errorf("server %d: %w", sid, err)
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.servers[sid] = s
		})
	}
	wg.Wait()
	w.t.Cleanup(func() {
		for _, sid := range sids {
			if s := w.servers[sid]; s != nil {
				s.Close()
				peer.ShowLog(w.t, fmt.Sprint(w.kind.Name, " ", sid), &s.Process)
			}
		}
	})
	for _, err := range failures {
		peer.Check(w.t, err)
	}
}

// connect connects a client to servers; it is the superuser if wanted.
func (w *world) connect(asSuper bool, events func(client.Event), sids ...int64) *client.Client {
	w.t.Helper()
	var hosts []string
	for _, sid := range sids {
		hosts = append(hosts, "127.0.0.1:"+strconv.Itoa(w.ports[sid][2]))
	}
	c, err := client.Connect(w.ctx, strings.Join(hosts, ","), client.Options{Timeout: 20 * time.Second, OnEvent: events})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Abandon)
	if asSuper {
		if err := c.AddAuth(w.ctx, "digest", []byte(super)); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// await waits until a condition is true.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: waited %v for %s", w.kind.Name, patience, what)
		}
	}
}

// mode is what the word srvr says that the server is, empty if it does not serve.
func (w *world) mode(sid int64) string {
	s := w.servers[sid]
	text, err := s.FourLetter("srvr")
	if err != nil {
		return ""
	}
	_, mode, _ := strings.Cut(text, "Mode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	return mode
}

// leader is the server that leads, and another one that follows.
func (w *world) leader() (leader, follower int64) {
	w.t.Helper()
	w.await("a leader", func() bool {
		leader, follower = 0, 0
		for sid := range w.servers {
			switch w.mode(sid) {
			case "leader":
				leader = sid
			case "follower":
				follower = sid
			}
		}
		return leader != 0 && follower != 0
	})
	return leader, follower
}

// files are the contents of the configuration files of a server by their names, with $ for the directory and zoo.cfg for the name that the test gave it.
func (w *world) files(sid int64) map[string]string {
	w.t.Helper()
	dir := filepath.Dir(w.servers[sid].Dir())
	names, err := filepath.Glob(filepath.Join(dir, w.kind.Name+".cfg*"))
	if err != nil {
		w.t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // renamed meanwhile
		}
		if err != nil {
			w.t.Fatal(err)
		}
		replace := strings.NewReplacer(dir, "$", w.kind.Name+".cfg", "zoo.cfg")
		files[replace.Replace(filepath.Base(name))] = replace.Replace(string(data))
	}
	return files
}

// show prints a stat without its times.
func show(s jute.Stat) string {
	return fmt.Sprintf("czxid=%x mzxid=%x pzxid=%x version=%d cversion=%d aversion=%d owner=%x length=%d children=%d ctime0=%v",
		s.Czxid, s.Mzxid, s.Pzxid, s.Version, s.Cversion, s.Aversion, s.EphemeralOwner, s.DataLength, s.NumChildren, s.Ctime == 0)
}
