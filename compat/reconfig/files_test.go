package reconfig

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/config"
	"quoll/ensemble"
	"quoll/jute"
)

// filler are keys that mean nothing, enough of them for Java's table of properties to grow twice.
func filler(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("filler.%d.%c = %d", i*i, 'a'+i%26, i))
	}
	return lines
}

// TestFiles has ZooKeeper go through reconfigs and compares all files at its leader, while a reconfig is under way too, with those that package config writes
// of the same configs. With QUOLL_RECORD=1 they become the golden files of config.
func TestFiles(t *testing.T) {
	peer.RequireJVM(t)
	for _, test := range []struct {
		name   string
		static bool // the address of the clients is in zoo.cfg alone, to begin with
		extra  []string
		group  bool
	}{
		{name: "plain", extra: []string{"# a comment", "peerType=participant", "peerTypes=x", "clientPortListenBacklog=50"}},
		{name: "static", static: true, extra: filler(5)},
		{name: "groups", group: true, extra: filler(40)},
		{name: "spelling", extra: slices.Concat(filler(18), []string{"a.b : c = d", "windows = C:/x", "long = a\\", "   b", "! another comment", "twice=1", "twice=2", "empty="})},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, peer.Kinds[0], test.extra...)
			w.static = test.static
			members := w.members(3)
			if test.group {
				members = append(members, "group.1=1:2:3", "weight.1=1", "weight.2=1")
			}
			w.start(members, 1, 2, 3)
			leader, _ := w.leader()
			g := newGolden(w, leader, members)

			c, reader := w.connect(true, nil, leader), w.connect(false, nil, leader) // a read waits for the writes before it
			g.step(reader)
			w.static = false
			list := strings.Join(w.members(3), ",")
			if test.group {
				list += ",group.1=1:2:3"
			}
			for _, members := range []string{list, list + ",server.4=" + w.line(4, "observer"), list} {
				w.stopOthers(leader)
				answer := make(chan error, 1)
				go func() {
					var resp jute.GetDataResponse
					answer <- c.Do(w.ctx, jute.OpReconfig, &jute.ReconfigRequest{NewMembers: []byte(members), CurConfigID: -1}, &resp)
				}()
				w.await("the file of a reconfig under way", func() bool { return w.files(leader)["zoo.cfg.dynamic.next"] != "" })
				g.step(reader)
				w.continueOthers(leader)
				if err := <-answer; err != nil {
					t.Fatal(err)
				}
				g.step(reader)
			}
		})
	}
}

// members are the server lines of the first servers.
func (w *world) members(n int) (lines []string) {
	for sid := int64(1); sid <= int64(n); sid++ {
		lines = append(lines, fmt.Sprintf("server.%d=%s", sid, w.line(sid, "participant")))
	}
	return lines
}

// golden replays what the leader of a world does to its files.
type golden struct {
	w       *world
	leader  int64
	dir     string // where config writes
	dynamic *config.Dynamic
	record  string // where golden files go; empty for nowhere
	steps   int
}

func newGolden(w *world, leader int64, members []string) *golden {
	w.t.Helper()
	dir, err := filepath.EvalSymlinks(w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	g := &golden{w: w, leader: leader, dir: dir}
	before := w.files(leader)["zoo.cfg.bak"]
	file := filepath.Join(dir, "zoo.cfg")
	g.write(file, strings.ReplaceAll(before, "$", dir))
	g.write(filepath.Join(dir, "data", "myid"), strconv.FormatInt(leader, 10))
	c, _, err := config.Load(config.Sources{File: file})
	if err != nil {
		w.t.Fatal(err)
	}
	if g.dynamic, err = config.NewDynamic(c, config.Files); err != nil {
		w.t.Fatal(err)
	}
	if os.Getenv("QUOLL_RECORD") == "1" {
		_, name, _ := strings.Cut(w.t.Name(), "/")
		g.record = filepath.Join("..", "..", "config", "testdata", "dynamic", name)
		if err := os.RemoveAll(g.record); err != nil {
			w.t.Fatal(err)
		}
		g.write(filepath.Join(g.record, "before"), g.fixed(before))
		g.write(filepath.Join(g.record, "myid"), strconv.FormatInt(leader, 10))
	}
	return g
}

// fixed gives the ports numbers that are the same in every recording.
func (g *golden) fixed(text string) string {
	for sid, ports := range g.w.ports {
		for i, port := range ports {
			text = strings.ReplaceAll(text, strconv.Itoa(port), strconv.Itoa(2000+10*int(sid)+i))
		}
	}
	return text
}

func (g *golden) write(name, text string) {
	g.w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		g.w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		g.w.t.Fatal(err)
	}
}

// step compares the files as they are now.
func (g *golden) step(c *client.Client) {
	t := g.w.t
	t.Helper()
	data, _, err := c.GetConfig(g.w.ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	want := g.w.files(g.leader)
	committed := g.parse(string(data))
	lastSeen := committed
	if next := want["zoo.cfg.dynamic.next"]; next != "" {
		lastSeen = g.parse(next)
	}
	if err := g.dynamic.Write(committed, lastSeen); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	names, err := filepath.Glob(filepath.Join(g.dir, "zoo.cfg*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(name)] = strings.ReplaceAll(string(data), g.dir, "$")
	}
	if !maps.Equal(got, want) {
		t.Errorf("step %d: the files are\n%s\nand those of ZooKeeper\n%s", g.steps, list(got), list(want))
	}
	if g.record != "" {
		g.write(filepath.Join(g.record, fmt.Sprintf("%02d-step", g.steps)), g.fixed(committed.String()+"\n\n"+lastSeen.String()+"\n\n"+list(want)))
	}
	g.steps++
}

func (g *golden) parse(text string) *ensemble.Config {
	g.w.t.Helper()
	c, err := ensemble.Parse(text)
	if err != nil {
		g.w.t.Fatal(err)
	}
	return c
}

// list prints files.
func list(files map[string]string) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "--- %s\n%s\n", name, files[name])
	}
	return b.String()
}

// stopOthers has everybody but the leader stand still, so that nothing is committed, and returns when they do.
func (w *world) stopOthers(leader int64) {
	w.t.Helper()
	if runtime.GOOS != "linux" {
		w.t.Skip("only Linux says in /proc that all threads of a process stand still")
	}
	w.signalOthers(leader, syscall.SIGSTOP)
	for sid, s := range w.servers {
		if sid == leader {
			continue
		}
		w.await(fmt.Sprintf("server %d to stand still", sid), func() bool {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID()))
			if err != nil || len(threads) == 0 {
				w.t.Fatalf("no threads of process %d: %v", s.PID(), err)
			}
			return !slices.ContainsFunc(threads, func(name string) bool {
				stat, err := os.ReadFile(name)
				return err == nil && !bytes.Contains(stat, []byte(") T "))
			})
		})
	}
}

func (w *world) continueOthers(leader int64) { w.t.Helper(); w.signalOthers(leader, syscall.SIGCONT) }

func (w *world) signalOthers(leader int64, signal syscall.Signal) {
	w.t.Helper()
	for sid, s := range w.servers {
		if sid == leader {
			continue
		}
		if err := syscall.Kill(s.PID(), signal); err != nil {
			w.t.Fatal(err)
		}
	}
}
