package hostile

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

func javaOptions() peer.Options {
	return peer.Options{Config: []string{"extendedTypesEnabled=true"}, Heap: "2g"}
}

// pipeline sends requests 0 to n-1 without waiting for the answers, and returns when all are there. None may fail.
func pipeline(t testing.TB, c *client.Client, n int, request func(i int) (jute.Op, client.Body)) {
	t.Helper()
	var replies sync.WaitGroup
	window := make(chan struct{}, 64)
	var mu sync.Mutex
	var failed error
	for i := range n {
		window <- struct{}{}
		op, body := request(i)
		replies.Add(1)
		err := c.Send(op, body, func(r client.Reply) {
			defer replies.Done()
			var results client.MultiResponse
			err := r.Err
			if op == jute.OpMulti && err == nil {
				d := jute.NewDecoder(r.Body)
				results.Decode(&d)
				err = results.Err()
			}
			mu.Lock()
			if err != nil && failed == nil {
				failed = fmt.Errorf("%v number %d: %w", op, i, err)
			}
			mu.Unlock()
			<-window
		})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		err = failed
		mu.Unlock()
		if err != nil {
			break
		}
	}
	replies.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
}

var openACL = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}

func create(path string, mode jute.CreateMode) jute.Operation {
	return jute.Operation{Op: jute.OpCreate, Path: []byte(path), ACL: openACL, Flags: mode}
}

// TestDeepTree makes a znode thousands of levels down. Its size on disk and in memory is the sum of all paths, for ZooKeeper too.
func TestDeepTree(t *testing.T) {
	depth := size(8_000, 40_000)
	abysmal, err := strconv.Atoi(os.Getenv("QUOLL_DEPTH"))
	patience := deadline
	if err == nil {
		depth, patience = abysmal, 10*time.Minute
	}
	deepest := strings.Repeat("/a", depth)
	dir := t.TempDir()
	t.Run("attack", func(t *testing.T) {
		s, _ := start(t, dir, nil)
		stop := workBeside(t, s.Addr())
		c := connect(t, s.Addr())
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		begin := time.Now()
		pipeline(t, c, depth, func(i int) (jute.Op, client.Body) {
			o := create(deepest[:2*i+2], jute.ModePersistent)
			return o.Op, &o
		})
		t.Logf("%d levels made in %v", depth, time.Since(begin).Round(time.Millisecond))
		if err := c.AddWatch(ctx, "/", jute.AddWatchPersistentRecursive); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		if _, err := c.Set(ctx, deepest, []byte("bottom"), 0); err != nil {
			t.Error(err)
		}
		if data, _, err := c.Get(ctx, deepest, true); err != nil || string(data) != "bottom" {
			t.Errorf("%q, %v", data, err)
		}
		if err := c.Delete(ctx, deepest, 1); err != nil {
			t.Error(err)
		}
		if n, err := c.AllChildrenNumber(ctx, "/a"); err != nil || n != depth-2 {
			t.Errorf("%d descendants, %v", n, err)
		}
		t.Logf("set, get, delete and count at the bottom under a recursive watch in %v", time.Since(begin).Round(time.Millisecond))
		// As long as a frame can hold, where nothing is.
		abyss := strings.Repeat("/a", 500_000)
		if _, _, err := c.Get(ctx, abyss, true); err != jute.ErrNoNode {
			t.Errorf("get gives %v", err)
		}
		if _, err := c.Set(ctx, abyss, nil, -1); err != jute.ErrNoNode {
			t.Errorf("set gives %v", err)
		}
		if err := c.Delete(ctx, abyss, -1); err != jute.ErrNoNode {
			t.Errorf("delete gives %v", err)
		}
		if _, err := c.Create(ctx, abyss, nil, client.OpenACL, jute.ModePersistentSequential); err != jute.ErrNoNode {
			t.Errorf("create gives %v", err)
		}
		stop()
	})
	if err == nil {
		debug.FreeOSMemory()                       // the tree of the server that was in this process
		s := peer.Quoll(t, peer.Options{Dir: dir}) // a JVM has no heap for such a tree here
		noMismatch(t, s)
		answer, err := s.FourLetter("srvr")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := nodes(answer); err != nil || n < depth {
			t.Errorf("after the restart: %d znodes, %v", n, err)
		}
		return
	}
	java := javaOptions()
	java.Heap = "4g"
	java.Flags = []string{"-Xss512m"} // it writes snapshots by recursion
	reopen(t, dir, java)
}

// TestManyChildren has one znode with a great many children.
func TestManyChildren(t *testing.T) {
	const each = 5000
	total := size(100_000, 1_000_000)
	dir := t.TempDir()
	t.Run("attack", func(t *testing.T) {
		s, _ := start(t, dir, map[string]string{"snapCount": "100"})
		stop := workBeside(t, s.Addr())
		c := connect(t, s.Addr())
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		if _, err := c.Create(ctx, "/many", nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
		name := func(i int) string { return fmt.Sprintf("/many/child-%09d", i) }
		begin := time.Now()
		pipeline(t, c, total/each, func(i int) (jute.Op, client.Body) {
			m := client.MultiRequest{}
			for k := range each {
				m = append(m, create(name(i*each+k), jute.ModePersistent))
			}
			return jute.OpMulti, m
		})
		t.Logf("%d children made in %v", total, time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
		names, _, err := c.Children(ctx, "/many", true)
		if err != nil || len(names) != total {
			t.Fatalf("%d children, %v", len(names), err)
		}
		t.Logf("listed in %v", time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
		pipeline(t, c, total/each/2, func(i int) (jute.Op, client.Body) {
			m := client.MultiRequest{}
			for k := range each {
				m = append(m, jute.Operation{Op: jute.OpDelete, Path: []byte(name(2*i*each + k)), Version: -1})
			}
			return jute.OpMulti, m
		})
		t.Logf("half of them deleted in %v", time.Since(begin).Round(time.Millisecond))
		names, stat, err := c.Children(ctx, "/many", false)
		left := total - total/each/2*each
		if err != nil || len(names) != left || stat.NumChildren != int32(left) {
			t.Errorf("%d children, %+v, %v", len(names), stat, err)
		}
		stop()
	})
	reopen(t, dir, javaOptions())
}

// TestManyEphemerals closes a session that has more ephemerals than a transaction can name.
func TestManyEphemerals(t *testing.T) {
	const each = 5000
	total := size(50_000, 100_000)
	for _, how := range []string{"close", "expire"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			t.Run("attack", func(t *testing.T) {
				s, _ := start(t, dir, nil)
				stop := workBeside(t, s.Addr())
				c, watcher := connect(t, s.Addr()), connect(t, s.Addr())
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				if _, err := c.Create(ctx, "/many", nil, client.OpenACL, jute.ModePersistent); err != nil {
					t.Fatal(err)
				}
				if err := watcher.AddWatch(ctx, "/", jute.AddWatchPersistentRecursive); err != nil {
					t.Fatal(err)
				}
				pipeline(t, c, total/each, func(i int) (jute.Op, client.Body) {
					m := client.MultiRequest{}
					for k := range each {
						m = append(m, create(fmt.Sprintf("/many/ephemeral-of-the-session-%07d", i*each+k), jute.ModeEphemeral))
					}
					return jute.OpMulti, m
				})
				if list, err := c.Ephemerals(ctx, "/"); err != nil || len(list) != total {
					t.Errorf("%d ephemerals, %v", len(list), err)
				}
				begin := time.Now()
				if how == "close" {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				} else {
					id, _, _ := c.Session()
					if err := s.ExpireSession(id); err != nil {
						t.Error(err)
					}
				}
				poll(t, func() error {
					stat, err := watcher.Exists(ctx, "/many", false)
					if err == nil && stat.NumChildren != 0 {
						err = fmt.Errorf("%d ephemerals are left", stat.NumChildren)
					}
					return err
				})
				t.Logf("the end of the session took %v", time.Since(begin).Round(time.Millisecond))
				stop()
			})
			reopen(t, dir, javaOptions())
		})
	}
}
