package compat

import (
	"context"
	"slices"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestClient runs package client against both servers: what only a real server can confirm of it.
func TestClient(t *testing.T) {
	peer.Each(t, peer.Options{Config: []string{"extendedTypesEnabled=true"}}, func(t *testing.T, s *peer.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		connect := func(servers string, opts client.Options) *client.Client {
			t.Helper()
			c, err := client.Connect(ctx, servers, opts)
			must(err)
			t.Cleanup(c.Abandon)
			return c
		}
		other := connect(s.Addr(), client.Options{})
		_, err := other.Create(ctx, "/root", nil, client.OpenACL, jute.ModePersistent)
		must(err)
		events := make(chan client.Event, 100)
		c := connect(s.Addr()+"/root", client.Options{Timeout: 20 * time.Second, OnEvent: func(e client.Event) { events <- e }})
		expect := func(want ...client.Event) {
			t.Helper()
			for _, w := range want {
				select {
				case e := <-events:
					e.Zxid = 0
					if e != w {
						t.Errorf("event %v, want %v", e, w)
					}
				case <-ctx.Done():
					t.Fatalf("no event, want %v", w)
				}
			}
		}
		state := func(s client.State) client.Event { return client.Event{Type: client.EventNone, State: s} }
		znode := func(e jute.EventType, path string) client.Event {
			return client.Event{Type: e, State: client.StateConnected, Path: path}
		}
		expect(state(client.StateConnected))
		must(c.AddAuth(ctx, "digest", []byte("ann:secret")))

		// Every way to create, under a chroot.
		for mode := range jute.ModePersistentSequentialWithTTL + 1 {
			if mode.TTL() {
				path, stat, err := c.CreateTTL(ctx, "/ttl", []byte("x"), client.OpenACL, mode, 100000)
				if err != nil || stat.DataLength != 1 || mode.Sequential() != (path != "/ttl") {
					t.Errorf("mode %d: %q %+v %v", mode, path, stat, err)
				}
				continue
			}
			path, stat, err := c.Create2(ctx, "/two"+string(rune('a'+mode)), nil, client.OpenACL, mode)
			if err != nil || mode.Sequential() != (len(path) == 15) || mode.Ephemeral() != (stat.EphemeralOwner != 0) {
				t.Errorf("mode %d: %q %+v %v", mode, path, stat, err)
			}
			if path, err = c.Create(ctx, "/one"+string(rune('a'+mode)), nil, client.OpenACL, mode); err != nil || path[0] != '/' {
				t.Errorf("mode %d: %q %v", mode, path, err)
			}
		}

		// A lost connection: the session, its identities and its watches come back, and what happened meanwhile is told.
		for _, path := range []string{"/data", "/child", "/p", "/r", "/both"} {
			_, err := c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
			must(err)
		}
		_, _, err = c.Get(ctx, "/data", true)
		must(err)
		_, _, err = c.Children(ctx, "/child", true)
		must(err)
		if _, err := c.Exists(ctx, "/absent", true); err != jute.ErrNoNode {
			t.Errorf("exists: %v", err)
		}
		must(c.AddWatch(ctx, "/p", jute.AddWatchPersistent))
		must(c.AddWatch(ctx, "/r", jute.AddWatchPersistentRecursive))
		id, password, timeout := c.Session()
		if id == 0 || timeout != 20*time.Second {
			t.Errorf("session %#x %v", id, timeout)
		}
		c.Disconnect()
		expect(state(client.StateDisconnected), state(client.StateConnected))
		if again, _, _ := c.Session(); again != id {
			t.Errorf("session %#x became %#x", id, again)
		}
		if err := c.CheckWatches(ctx, "/r", jute.WatcherPersistentRecursive); err != nil {
			t.Errorf("the recursive watch is gone: %v", err)
		}
		_, err = other.Set(ctx, "/root/data", []byte("1"), -1)
		must(err)
		for _, path := range []string{"/root/child/x", "/root/absent", "/root/p/x", "/root/r/x"} {
			_, err := other.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
			must(err)
		}
		expect(znode(jute.EventNodeDataChanged, "/data"), znode(jute.EventNodeChildrenChanged, "/child"),
			znode(jute.EventNodeCreated, "/absent"), znode(jute.EventNodeChildrenChanged, "/p"), znode(jute.EventNodeCreated, "/r/x"))
		who, err := c.WhoAmI(ctx)
		if err != nil || !slices.Contains(who, jute.ClientInfo{AuthScheme: "digest", User: "ann"}) {
			t.Errorf("identities after the reconnect: %v %v", who, err)
		}
		must(c.RemoveWatches(ctx, "/r", jute.WatcherPersistentRecursive, false))
		expect(znode(client.EventPersistentWatchRemoved, "/r"))
		if err := c.CheckWatches(ctx, "/r", jute.WatcherPersistentRecursive); err != jute.ErrNoWatcher {
			t.Errorf("the removed watch: %v", err)
		}

		// multi and multiRead.
		results, err := c.Multi(ctx,
			jute.Operation{Op: jute.OpCreate, Path: []byte("/m"), ACL: []jute.ACLText{{Perms: 31, Scheme: []byte("world"), ID: []byte("anyone")}}},
			jute.Operation{Op: jute.OpCheck, Path: []byte("/m"), Version: 0},
			jute.Operation{Op: jute.OpSetData, Path: []byte("/m"), Data: []byte("2"), Version: -1})
		if err != nil || len(results) != 3 || results[0].Path != "/m" || results[2].Stat.Version != 1 {
			t.Errorf("multi: %+v %v", results, err)
		}
		if results, err = c.Multi(ctx, jute.Operation{Op: jute.OpDelete, Path: []byte("/m"), Version: 9}); err != jute.ErrBadVersion {
			t.Errorf("failing multi: %+v %v", results, err)
		}
		results, err = c.MultiRead(ctx, jute.Operation{Op: jute.OpGetData, Path: []byte("/m")}, jute.Operation{Op: jute.OpGetChildren, Path: []byte("/p")})
		if err != nil || len(results) != 2 || string(results[0].Data) != "2" || !slices.Equal(results[1].Children, []string{"x"}) {
			t.Errorf("multiRead: %+v %v", results, err)
		}
		must(c.Ping(ctx))

		// Another client takes the session over; closing it ends it, and its ephemerals go.
		c.Abandon()
		expect(state(client.StateClosed))
		heir := connect(s.Addr()+"/root", client.Options{SessionID: id, Password: password, Timeout: 20 * time.Second})
		paths, err := heir.Ephemerals(ctx, "/root")
		if err != nil || len(paths) != 4 {
			t.Errorf("ephemerals of the session: %q %v", paths, err)
		}
		must(heir.Close())
		for _, path := range paths {
			if _, err := other.Exists(ctx, path, false); err != jute.ErrNoNode {
				t.Errorf("%s after the end of its session: %v", path, err)
			}
		}
		if _, err := client.Connect(ctx, s.Addr(), client.Options{SessionID: id, Password: password}); err != jute.ErrSessionExpired {
			t.Errorf("a closed session: %v", err)
		}
	})
}
