package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/backup"
	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settings make a server roll its log and write snapshots all the time.
var settings = []string{"snapCount=100", "preAllocSize=64", "extendedTypesEnabled=true"}

// change is what a writer was told: what a znode is after a transaction, empty if it is gone.
type change struct {
	zxid int64
	path string
	is   string
}

// write changes znodes below a root of its own until stop: persistent ones, and one that changes all the time so that snapshots are fuzzy.
func write(ctx context.Context, addr, root string, rng *rand.Rand, stop <-chan struct{}) (changes []change, err error) {
	c, err := client.Connect(ctx, addr, client.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	note := func(at, is string) { changes = append(changes, change{c.LastZxid(), at, is}) }
	data := ""
	create := func(at string) {
		if err == nil {
			data = fmt.Sprint(at, " at ", len(changes))
			_, err = c.Create(ctx, at, []byte(data), client.OpenACL, jute.ModePersistent)
			note(at, data+" 0")
		}
	}
	create(root)
	versions := map[string]int32{}
	for n := 0; err == nil; n++ {
		select {
		case <-stop:
			return changes, nil
		default:
		}
		at := path.Join(root, fmt.Sprint(rng.IntN(60)))
		version, exists := versions[at]
		switch {
		case !exists:
			versions[at] = 0
			create(at)
		case rng.IntN(4) == 0:
			delete(versions, at)
			err = c.Delete(ctx, at, version)
			note(at, "")
		case rng.IntN(8) == 0:
			if _, err = c.Set(ctx, at, nil, version+1); errors.Is(err, jute.ErrBadVersion) { // uses up a zxid
				err = nil
			}
		default:
			data = fmt.Sprint(at, " at ", len(changes))
			versions[at]++
			_, err = c.Set(ctx, at, []byte(data), version)
			note(at, fmt.Sprintf("%s %d", data, version+1))
		}
	}
	return nil, err
}

func modelAt(changes []change, zxid backup.Zxid) map[string]string {
	model := map[string]string{}
	for _, c := range changes {
		if backup.Zxid(c.zxid) > zxid {
			continue
		}
		if delete(model, c.path); c.is != "" {
			model[c.path] = c.is
		}
	}
	return model
}

// shown is every znode that a server shows, as the model has it, and in full.
func shown(ctx context.Context, t *testing.T, addr string) (model, full map[string]string) {
	t.Helper()
	c, err := client.Connect(ctx, addr, client.Options{})
	must(t, err)
	defer c.Close()
	model, full = map[string]string{}, map[string]string{}
	var walk func(at string)
	walk = func(at string) {
		data, stat, err := c.Get(ctx, at, false)
		must(t, err)
		acl, _, err := c.GetACL(ctx, at)
		must(t, err)
		full[at] = fmt.Sprintf("%q %+v %v", data, stat, acl)
		if at != "/" && !strings.HasPrefix(at, "/zookeeper") {
			model[at] = fmt.Sprintf("%s %d", data, stat.Version)
		}
		names, _, err := c.Children(ctx, at, false)
		must(t, err)
		for _, name := range names {
			walk(path.Join(at, name))
		}
	}
	walk("/")
	return model, full
}

// TestBackup follows a server of each kind under load, restores the backup to transactions at random, and starts both kinds of server on the
// result: they must show the same, which must be what the writers had been told.
func TestBackup(t *testing.T) {
	peer.RequireJVM(t)
	peer.Each(t, peer.Options{Config: settings}, func(t *testing.T, s *peer.Server) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		to := t.TempDir()
		following, end := context.WithCancel(ctx)
		followed, enough := make(chan error, 1), make(chan struct{})
		var once sync.Once
		o, fuzzy := backup.Options{DataDir: s.Dir(), To: to}, 0
		go func() {
			followed <- backup.Follow(following, o, 20*time.Millisecond, func(r *backup.Report, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				for _, note := range r.Notes {
					t.Log(note)
				}
				if fuzzy = 0; len(r.Manifest.Snapshots) >= 8 {
					once.Do(func() { close(enough) })
				}
				for _, s := range r.Manifest.Snapshots {
					if s.Through > s.Zxid {
						fuzzy++
					}
				}
			})
		}()
		stop := make(chan struct{})
		var work sync.WaitGroup
		var mu sync.Mutex
		var changes []change
		for n := range 3 {
			work.Go(func() {
				made, err := write(ctx, s.Addr(), fmt.Sprintf("/w%d", n), rand.New(rand.NewPCG(seed, uint64(n))), stop)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				changes = append(changes, made...)
				mu.Unlock()
			})
		}
		select {
		case <-enough:
		case <-ctx.Done():
			t.Error("no 8 snapshots in time")
		}
		close(stop)
		work.Wait()
		must(t, s.Kill())
		end()
		must(t, <-followed)
		problems, err := backup.Verify(ctx, nil, to)
		must(t, err)
		for _, p := range problems {
			t.Error(p)
		}
		m, err := backup.Load(nil, to)
		must(t, err)
		ranges := m.Ranges()
		t.Logf("%d snapshots, %d of them fuzzy, %d logs, %d changes, %v", len(m.Snapshots), fuzzy, len(m.Logs), len(changes), ranges)
		if last := slices.MaxFunc(changes, func(a, b change) int { return int(a.zxid - b.zxid) }); m.End() < backup.Zxid(last.zxid) {
			t.Fatalf("the backup ends at %v, before what was acknowledged, 0x%x", m.End(), last.zxid)
		}
		rng := rand.New(rand.NewPCG(seed, 9))
		for n := range 20 {
			r := ranges[rng.IntN(len(ranges))]
			zxid := r.From + backup.Zxid(rng.Int64N(int64(r.To-r.From)+1))
			dir := t.TempDir()
			out, err := backup.Restore(ctx, backup.RestoreOptions{From: to, DataDir: dir, Target: backup.AtZxid(zxid)})
			must(t, err)
			if !out.Verified && zxid > 0 {
				t.Errorf("%v is not verified", zxid)
			}
			views := map[string]map[string]string{}
			for _, kind := range peer.Kinds {
				if kind.Name == "java" && n%5 != 0 { // which takes seconds to start
					continue
				}
				copied := t.TempDir()
				must(t, os.CopyFS(copied, os.DirFS(dir)))
				started, err := kind.Start(peer.Options{Dir: copied, Config: []string{"extendedTypesEnabled=true"}})
				must(t, err)
				model, full := shown(ctx, t, started.Addr())
				views[kind.Name] = full
				log := started.Log()
				must(t, started.Close())
				if want := modelAt(changes, zxid); !maps.Equal(model, want) {
					t.Fatalf("%s at %v has\n%v\ninstead of\n%v", kind.Name, zxid, model, want)
				}
				if strings.Contains(strings.ToLower(log), "mismatch") {
					t.Errorf("%s at %v: %s", kind.Name, zxid, log)
				}
			}
			if java := views["java"]; java != nil {
				for at, want := range java {
					if got := views["quoll"][at]; got != want {
						t.Errorf("%v: %s is %s on quoll and %s on java", zxid, at, got, want)
					}
				}
			}
		}
	})
}

// TestUnfinishedRestore proves that neither kind of server starts on a directory in which a restore did not end.
func TestUnfinishedRestore(t *testing.T) {
	peer.RequireJVM(t)
	s := peer.Java(t, peer.Options{})
	must(t, s.Stop())
	const name = "log.7fffffffffffffff.quoll-restore-unfinished"
	for _, left := range []string{"everything", "snapshots", "logs", "nothing"} {
		for _, kind := range peer.Kinds {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(s.Dir())))
			for _, pattern := range map[string][]string{"everything": nil, "snapshots": {"log.*"}, "logs": {"snapshot.*"}, "nothing": {"log.*", "snapshot.*"}}[left] {
				files, err := filepath.Glob(filepath.Join(dir, "version-2", pattern))
				must(t, err)
				for _, file := range files {
					must(t, os.Remove(file))
				}
			}
			must(t, os.RemoveAll(filepath.Join(dir, "quoll")))
			must(t, os.WriteFile(filepath.Join(dir, "version-2", name), []byte("A restore into this directory did not end."), 0o644))
			started, err := kind.Start(peer.Options{Dir: dir})
			if err == nil {
				must(t, started.Close())
			}
			if err == nil || !strings.Contains(err.Error(), name) && left != "logs" && left != "nothing" {
				t.Errorf("%s with %s left: %v", kind.Name, left, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "version-2", name)); err != nil {
				t.Errorf("%s with %s left: %v", kind.Name, left, err)
			}
		}
	}
}
