package backup_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quoll"
	"quoll/backup"
	"quoll/client"
	"quoll/jute"
	"quoll/txnlog"
)

// change is what a writer was told about one of its requests.
type change struct {
	zxid    int64
	path    string
	exists  bool
	data    string
	version int32
}

// writer changes the znodes below a root of its own and writes down what the server acknowledged, until stop.
func writer(ctx context.Context, addr, root string, seed uint64, stop <-chan struct{}) ([]change, error) {
	c, err := client.Connect(ctx, addr, client.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(seed, 1))
	if _, err := c.Create(ctx, root, nil, client.OpenACL, jute.ModePersistent); err != nil {
		return nil, err
	}
	changes := []change{{c.LastZxid(), root, true, "", 0}}
	versions := map[string]int32{}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return changes, nil
		default:
		}
		at := path.Join(root, fmt.Sprint(rng.IntN(40)))
		data := fmt.Sprint(at, " ", n)
		version, exists := versions[at]
		switch {
		case !exists:
			_, err = c.Create(ctx, at, []byte(data), client.OpenACL, jute.ModePersistent)
			versions[at] = 0
			changes = append(changes, change{c.LastZxid(), at, true, data, 0})
		case rng.IntN(3) == 0:
			err = c.Delete(ctx, at, -1)
			delete(versions, at)
			changes = append(changes, change{c.LastZxid(), at, false, "", 0})
		case rng.IntN(10) == 0: // fails and uses up a zxid
			if err = c.Delete(ctx, at, version+7); errors.Is(err, jute.ErrBadVersion) {
				err = nil
			}
		default:
			_, err = c.Set(ctx, at, []byte(data), -1)
			versions[at]++
			changes = append(changes, change{c.LastZxid(), at, true, data, version + 1})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
}

// modelAt is every znode below the writers' roots after a transaction.
func modelAt(changes []change, zxid int64) map[string]string {
	model := map[string]string{}
	for _, c := range changes { // of one path in order
		if c.zxid > zxid {
			continue
		}
		if delete(model, c.path); c.exists {
			model[c.path] = fmt.Sprintf("%q version %d mzxid 0x%x", c.data, c.version, c.zxid)
		}
	}
	return model
}

// walk is the same of a running server.
func walk(ctx context.Context, t *testing.T, addr string) map[string]string {
	t.Helper()
	c, err := client.Connect(ctx, addr, client.Options{})
	must(t, err)
	defer c.Close()
	seen := map[string]string{}
	var visit func(at string)
	visit = func(at string) {
		names, _, err := c.Children(ctx, at, false)
		must(t, err)
		for _, name := range names {
			at := path.Join(at, name)
			if at == "/zookeeper" {
				continue
			}
			data, stat, err := c.Get(ctx, at, false)
			must(t, err)
			seen[at] = fmt.Sprintf("%q version %d mzxid 0x%x", data, stat.Version, stat.Mzxid)
			visit(at)
		}
	}
	visit("/")
	return seen
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnderLoad follows a server under load that rolls its log and writes snapshots all the time, without and with files being purged, and
// restores the backup to transactions at random: what a server then shows must be what the writers had been told.
func TestUnderLoad(t *testing.T) {
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprintf("purge=%v", purge), func(t *testing.T) { underLoad(t, purge) })
	}
}

func underLoad(t *testing.T, purge bool) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir, to := t.TempDir(), t.TempDir()
	s, err := quoll.Start(quoll.Options{Dir: dir, Set: map[string]string{"snapCount": "150", "preAllocSize": "64"}})
	must(t, err)
	stopped := false
	defer func() {
		if !stopped {
			s.Close()
		}
	}()

	following, endFollowing := context.WithCancel(ctx)
	passes, followed := 0, make(chan error, 1)
	enough, o := make(chan struct{}), backup.Options{DataDir: dir, To: to}
	go func() {
		followed <- backup.Follow(following, o, 5*time.Millisecond, func(r *backup.Report, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			for _, note := range r.Notes {
				t.Log(note)
			}
			if passes++; len(r.Manifest.Snapshots) >= 6 && passes > 20 {
				select {
				case <-enough:
				default:
					close(enough)
				}
			}
		})
	}()
	var work sync.WaitGroup
	stop := make(chan struct{})
	var mu sync.Mutex
	var changes []change
	for n := range 3 {
		work.Go(func() {
			made, err := writer(ctx, s.Addr(), fmt.Sprintf("/w%d", n), seed+uint64(n), stop)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			changes = append(changes, made...)
			mu.Unlock()
		})
	}
	if purge {
		work.Go(func() {
			files := filepath.Join(dir, "version-2")
			often := time.NewTicker(time.Millisecond)
			defer often.Stop()
			for {
				select {
				case <-stop:
					return
				case <-often.C:
					if _, err := txnlog.Purge(txnlog.OS, files, files, txnlog.MinRetain); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Error("the backup has not enough snapshots in time")
	}
	close(stop)
	work.Wait()
	must(t, s.Close())
	stopped = true
	endFollowing()
	must(t, <-followed)

	problems, err := backup.Verify(ctx, nil, to)
	must(t, err)
	for _, p := range problems {
		t.Error(p)
	}
	m, err := backup.Load(nil, to)
	must(t, err)
	ranges := m.Ranges()
	if last := int64(m.End()); len(changes) == 0 || last < slices.MaxFunc(changes, func(a, b change) int { return int(a.zxid - b.zxid) }).zxid {
		t.Fatalf("the backup ends at 0x%x, before the last acknowledged write", last)
	}
	if !purge && len(ranges) != 1 {
		t.Errorf("the history has gaps: %v", ranges)
	}
	t.Logf("%d passes, %d snapshots, %d logs, %d changes, %v", passes, len(m.Snapshots), len(m.Logs), len(changes), ranges)
	for range 20 {
		r := ranges[rng.IntN(len(ranges))]
		zxid := max(1, r.From+backup.Zxid(rng.Int64N(int64(r.To-r.From)+1))) // no record says what the digest at 0 is
		restored := t.TempDir()
		out, err := backup.Restore(ctx, backup.RestoreOptions{From: to, DataDir: restored, Target: backup.AtZxid(zxid)})
		must(t, err)
		if !out.Verified || out.Zxid != zxid {
			t.Errorf("%v: %+v", zxid, out)
		}
		again, err := quoll.Start(quoll.Options{Dir: restored})
		must(t, err)
		got, want := walk(ctx, t, again.Addr()), modelAt(changes, int64(zxid))
		must(t, again.Close())
		if !maps.Equal(got, want) {
			for at := range want {
				if got[at] != want[at] {
					t.Errorf("%v: %s is %s and was %s", zxid, at, got[at], want[at])
				}
			}
			for at := range got {
				if _, ok := want[at]; !ok {
					t.Errorf("%v: %s is there, %s", zxid, at, got[at])
				}
			}
			return
		}
	}
}
