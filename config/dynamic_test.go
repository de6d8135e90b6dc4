package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/ensemble"
	"quoll/txnlog/memfs"
)

// memory is a FileSystem on a disk in memory.
type memory struct{ *memfs.FS }

func (m memory) ReadFile(name string) ([]byte, error) {
	f, err := m.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

func (m memory) WriteFile(name string, data []byte, _ string) error {
	f, err := m.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

func (m memory) Canonical(name string) (string, error) { return name, nil }

// parse parses a config written with blanks for line ends.
func parse(t *testing.T, text string) *ensemble.Config {
	t.Helper()
	c, err := ensemble.Parse(strings.ReplaceAll(text, " ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tree is the content of a directory without the data, $ for its path, one file after the other.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "--- %s\n%s\n", e.Name(), strings.ReplaceAll(string(data), dir, "$"))
	}
	return b.String()
}

// TestDynamicGolden writes what ZooKeeper wrote of the same configs. A case is a directory: "before" is zoo.cfg and "myid" the server, and NN-step is a pair of configs and all
// files afterwards, recorded by compat/reconfig.
func TestDynamicGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/dynamic/*/before")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, before := range cases {
		t.Run(filepath.Base(filepath.Dir(before)), func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(before)
			if err != nil {
				t.Fatal(err)
			}
			sid, err := os.ReadFile(filepath.Join(filepath.Dir(before), "myid"))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "zoo.cfg")
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{file: strings.ReplaceAll(string(text), "$", dir), filepath.Join(dir, "data", "myid"): string(sid)} {
				if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, _, err := Load(Sources{File: file})
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDynamic(c, Files)
			if err != nil {
				t.Fatal(err)
			}
			steps, err := filepath.Glob(filepath.Join(filepath.Dir(before), "*-step"))
			if err != nil || len(steps) == 0 {
				t.Fatal("no steps", err)
			}
			for _, name := range steps {
				step, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				parts := strings.SplitN(string(step), "\n\n", 3)
				committed, lastSeen := parse(t, parts[0]), parse(t, parts[1])
				for range 2 { // the second time changes nothing
					if err := d.Write(committed, lastSeen); err != nil {
						t.Fatal(err)
					}
					if got := tree(t, dir); got != parts[2] {
						t.Fatalf("%s\n got\n%s\nwant\n%s", name, got, parts[2])
					}
				}
				again, _, err := Load(Sources{File: file})
				if err != nil {
					t.Fatal(err)
				}
				if got := again.Ensemble.String(); got != committed.String() {
					t.Errorf("%s: read back\n%s\nwant\n%s", name, got, committed)
				}
				if committed.Version == lastSeen.Version {
					lastSeen = nil
				}
				if got, want := fmt.Sprint(again.LastSeen), fmt.Sprint(lastSeen); got != want {
					t.Errorf("%s: read back as last seen\n%s\nwant\n%s", name, got, want)
				}
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the rewritten file: %v %v", info.Mode(), err)
			}
		})
	}
}

// TestDynamicWritesNothing has the cases in which no file is touched.
func TestDynamicWritesNothing(t *testing.T) {
	const members = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\n"
	for _, test := range []struct {
		name string
		w    world
	}{
		{"disabled", world{cfg: "initLimit=5\nsyncLimit=2\n" + members, files: map[string]string{"data/myid": "1"}}},
		{"standalone", world{cfg: "clientPort=3\nreconfigEnabled=true\nserver.1=a:1:2;3\n", files: map[string]string{"data/myid": "1"}}},
		{"set", world{cfg: "initLimit=5\nsyncLimit=2\nreconfigEnabled=true\n" + members, set: []string{"server.3=d:1:2;3"}, files: map[string]string{"data/myid": "1"}}},
		{"no file", world{args: []string{}, set: []string{"initLimit=5", "syncLimit=2", "dataDir=$/data", "reconfigEnabled=true", "server.1=a:1:2;2181", "server.2=a:1:2;4"}, files: map[string]string{"data/myid": "1"}}},
	} {
		c, _, problems := test.w.load(t)
		if problems != "" {
			t.Fatalf("%s: %s", test.name, problems)
		}
		d, err := NewDynamic(c, nil)
		if d != nil || err != nil {
			t.Errorf("%s: %v %v", test.name, d, err)
		}
		if err := d.Write(&c.Ensemble, &c.Ensemble); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestDynamicPowerCut cuts the power before every operation on the disk, and loads what is left: at any time that is a state between two steps, and it is the
// last one if it was complete. What failed is made up for by the next call.
func TestDynamicPowerCut(t *testing.T) {
	const one, two, three, four = "server.1=a:1:2:participant;0.0.0.0:3 ", "server.2=b:1:2:participant;0.0.0.0:3 ", "server.3=c:1:2:participant;0.0.0.0:3 ", "server.4=d:1:2:observer;0.0.0.0:3 "
	v0 := parse(t, one+two+three+"version=0")
	v1 := parse(t, one+two+three+"version=100000000")
	v2 := parse(t, one+two+three+four+"version=100000005")
	v3 := parse(t, one+two+four+"version=100000007")
	steps := [][2]*ensemble.Config{{v0, v1}, {v1, v1}, {v1, v2}, {v2, v2}, {v2, v3}, {v2, v2}, {v3, v3}}
	const text = "tickTime=2000\ndataDir=$/data\ninitLimit=5\nsyncLimit=2\nreconfigEnabled=true\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3\n"
	state := func(c, next *ensemble.Config) string {
		if next == nil || next.Version == c.Version {
			return fmt.Sprintf("%x", c.Version)
		}
		return fmt.Sprintf("%x next %x", c.Version, next.Version)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for cut, done := 0, false; !done; cut++ {
		dir := t.TempDir()
		disk := memory{memfs.New()}
		if err := disk.MkdirAll("/conf"); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteFile("/conf/zoo.cfg", []byte(strings.ReplaceAll(text, "$", dir)), ""); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{"/conf", "/"} {
			if err := disk.SyncDir(d); err != nil {
				t.Fatal(err)
			}
		}
		operations := 0
		failure := errors.New("the power is off")
		disk.Fail = func(op, name string) error {
			if operations++; operations > cut {
				return failure
			}
			return nil
		}
		c := &Config{File: "/conf/zoo.cfg", Distributed: true, ReconfigEnabled: true, MyID: 1, Ensemble: *v0}
		allowed := []string{state(v0, nil)}
		d, err := NewDynamic(c, disk)
		step := 0
		for ; err == nil && step < len(steps); step++ {
			before := allowed[len(allowed)-1]
			allowed = []string{before}
			if s := steps[step]; step > 0 && s[0].Version > steps[step-1][0].Version {
				allowed = append(allowed, state(s[0], steps[step-1][1]))
			}
			// Without dynamicConfigFile in zoo.cfg nobody looks for the next config, as with ZooKeeper.
			last := state(steps[step][0], steps[step][1])
			if step == 0 {
				last = state(v0, nil)
			}
			allowed = append(allowed, last)
			err = d.Write(steps[step][0], steps[step][1])
			if err == nil {
				allowed = allowed[len(allowed)-1:]
			}
		}
		done = err == nil
		for range 20 {
			after := memory{disk.Crash(rng)}
			got := loadFrom(t, after, dir)
			if !slices.Contains(allowed, got) {
				t.Fatalf("power cut before operation %d, in step %d (%v): loaded %s, allowed are %q", cut, step, err, got, allowed)
			}
			if step == 0 || done {
				continue
			}
			// The server starts again and is told the same.
			restarted := *c
			fmt.Sscanf(got, "%x", &restarted.Ensemble.Version)
			if restarted.Ensemble.Version > 0 {
				restarted.DynamicConfigFile = fmt.Sprintf("/conf/zoo.cfg.dynamic.%x", restarted.Ensemble.Version)
			}
			again, err := NewDynamic(&restarted, after)
			if err == nil {
				err = again.Write(v3, v3)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := loadFrom(t, after, dir); got != state(v3, nil) {
				t.Fatalf("after a power cut before operation %d, and all again: %s", cut, got)
			}
		}
		if !done && d != nil { // the same server goes on when the disk works again
			disk.Fail = nil
			if err := d.Write(v3, v3); err != nil {
				t.Fatal(err)
			}
			if got := loadFrom(t, disk, dir); got != state(v3, nil) {
				t.Fatalf("after a failure of operation %d, and all again: %s", cut, got)
			}
		}
	}
}

// loadFrom copies the files to dir and loads them. It returns the versions.
func loadFrom(t *testing.T, disk memory, dir string) string {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(dir, "zoo.cfg*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	names, err := disk.ReadDir("/conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := disk.ReadFile("/conf/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(string(data), "/conf/", dir+"/")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "myid"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(Sources{File: filepath.Join(dir, "zoo.cfg")})
	if err != nil {
		t.Fatalf("%v\n%s", err, tree(t, dir))
	}
	if c.LastSeen == nil {
		return fmt.Sprintf("%x", c.Ensemble.Version)
	}
	return fmt.Sprintf("%x next %x", c.Ensemble.Version, c.LastSeen.Version)
}
