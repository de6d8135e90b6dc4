package compat

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestHandover has servers take over one data directory and one port from each other, after a
// kill and after a stop, while a session with ephemeral znodes stays. Each must show the client
// every znode as the one before it did.
func TestHandover(t *testing.T) {
	for _, order := range []string{"java java", "java quoll java quoll", "quoll java quoll java"} {
		t.Run(strings.ReplaceAll(order, " ", "-"), func(t *testing.T) { handover(t, strings.Fields(order)) })
	}
}

func handover(t *testing.T, order []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	opts := peer.Options{Dir: t.TempDir(), Port: port, Config: []string{
		"extendedTypesEnabled=true",
		"snapCount=40", // Several logs and snapshots in each turn.
	}}
	// Closed while no server is up: a Java server can leave a connection unanswered for ever that
	// comes while it starts.
	door := make(chan struct{}, 1)
	closeDoor := func() { door <- struct{}{} }
	openDoor := func() { <-door }
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		select {
		case door <- struct{}{}:
			defer openDoor()
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var c *client.Client
	var before map[string]string
	for turn, kind := range order {
		opts.Work = t.TempDir()
		s := peer.Java
		if kind == "quoll" {
			s = peer.Quoll
		}
		server := s(t, opts)
		if c == nil {
			if c, err = client.Connect(ctx, server.Addr(), client.Options{Timeout: 40 * time.Second, Dial: dial}); err != nil {
				t.Fatal(err)
			}
			defer c.Abandon()
			if err := c.AddAuth(ctx, "digest", []byte("ann:secret")); err != nil {
				t.Fatal(err)
			}
		} else {
			openDoor()
			after := dump(ctx, t, c, server)
			for name, want := range before {
				if after[name] != want {
					t.Errorf("turn %d, %s after %s: %s\nwas %s\nis  %s", turn, kind, order[turn-1], name, want, after[name])
				}
			}
			for name, got := range after {
				if _, ok := before[name]; !ok {
					t.Errorf("turn %d, %s after %s: %s was not there, is %s", turn, kind, order[turn-1], name, got)
				}
			}
		}
		mutate(ctx, t, c, turn)
		before = dump(ctx, t, c, server)
		closeDoor()
		end := server.Kill
		if turn%2 == 1 {
			end = server.Stop
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		// What the Java server says when its tree does not come out as the log says it should.
		for line := range strings.Lines(server.Log()) {
			if strings.Contains(strings.ToLower(line), "mismatch") {
				t.Errorf("turn %d, %s: %s", turn, kind, line)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// mutate makes every kind of change, some to what earlier turns have left.
func mutate(ctx context.Context, t *testing.T, c *client.Client, turn int) {
	t.Helper()
	var errs []error
	try := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	create := func(path string, data []byte, acl []jute.ACL, mode jute.CreateMode) {
		_, err := c.Create(ctx, path, data, acl, mode)
		try(err)
	}
	open := client.OpenACL
	sum := sha1.Sum([]byte("ann:secret"))
	mine := []jute.ACL{
		{Perms: jute.PermAll, Scheme: "digest", ID: "ann:" + base64.StdEncoding.EncodeToString(sum[:])},
		{Perms: jute.PermRead, Scheme: "ip", ID: "127.0.0.0/8"},
	}
	here := fmt.Sprintf("/turn%d", turn)
	create(here, []byte("data"), open, jute.ModePersistent)
	create(here+"/null", nil, open, jute.ModePersistent)
	create(here+"/empty", []byte{}, open, jute.ModePersistent)
	create(here+"/large", make([]byte, 300_000), open, jute.ModePersistent)
	create(here+"/ephemeral", []byte("e"), open, jute.ModeEphemeral)
	create(here+"/mine", []byte("m"), mine, jute.ModePersistent)
	create(here+"/container", nil, open, jute.ModeContainer)
	create(here+"/container/child", nil, open, jute.ModePersistent)
	_, _, err := c.CreateTTL(ctx, here+"/ttl", []byte("t"), open, jute.ModePersistentWithTTL, 3_600_000)
	try(err)
	for range 50 {
		create(here+"/s", []byte("s"), open, jute.ModePersistentSequential)
	}
	create("/s", nil, mine, jute.ModeEphemeralSequential)
	try(c.Delete(ctx, here+"/s0000000020", 0))
	_, err = c.Set(ctx, here, []byte("changed"), 0)
	try(err)
	_, err = c.SetACL(ctx, here+"/empty", mine, 0)
	try(err)
	// What fails takes a zxid all the same, and a place in the log.
	_, err = c.Multi(ctx,
		jute.Operation{Op: jute.OpSetData, Path: []byte(here), Data: []byte("never"), Version: 1},
		jute.Operation{Op: jute.OpCheck, Path: []byte(here), Version: 99},
	)
	if !errors.Is(err, jute.ErrBadVersion) {
		try(fmt.Errorf("a multi with a wrong version gives %v", err))
	}
	if err := c.Delete(ctx, here+"/missing", -1); !errors.Is(err, jute.ErrNoNode) {
		try(fmt.Errorf("the deletion of what is not there gives %v", err))
	}
	_, err = c.Multi(ctx,
		jute.Operation{Op: jute.OpSetData, Path: []byte(here), Data: []byte("multi"), Version: 1},
		jute.Operation{Op: jute.OpDelete, Path: []byte(here + "/s0000000021"), Version: -1},
		jute.Operation{Op: jute.OpCheck, Path: []byte(here), Version: 2},
	)
	try(err)
	if turn > 0 {
		last := fmt.Sprintf("/turn%d", turn-1)
		_, err = c.Set(ctx, last+"/null", []byte("no longer"), 0)
		try(err)
		try(c.Delete(ctx, last+"/ephemeral", 0))
		try(c.Delete(ctx, last+"/container/child", 0))
		create(last+"/s", nil, open, jute.ModePersistentSequential)
	}
	// A session that ends leaves nothing.
	other, err := client.Connect(ctx, c.RemoteAddr().String(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Create(ctx, here+"/closed", nil, open, jute.ModeEphemeral)
	try(err)
	try(other.Close())
	if len(errs) > 0 {
		t.Fatalf("turn %d: %v", turn, errors.Join(errs...))
	}
}

// dump is everything that a client can see: each znode with data, Stat and ACL, the session's
// ephemerals, and what the server says of itself.
func dump(ctx context.Context, t *testing.T, c *client.Client, s *peer.Server) map[string]string {
	t.Helper()
	seen := map[string]string{}
	var walk func(at string) error
	walk = func(at string) error {
		data, stat, err := c.Get(ctx, at, false)
		if err != nil {
			return fmt.Errorf("get %s: %w", at, err)
		}
		acl, _, err := c.GetACL(ctx, at)
		if err != nil {
			return fmt.Errorf("getACL %s: %w", at, err)
		}
		names, _, err := c.Children(ctx, at, false)
		if err != nil {
			return fmt.Errorf("children %s: %w", at, err)
		}
		shown := fmt.Sprintf("%q", data[:min(len(data), 20)])
		if data == nil {
			shown = "null"
		}
		seen[at] = fmt.Sprintf("%s %+v %v", shown, stat, acl)
		for _, name := range names {
			if err := walk(path.Join(at, name)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk("/"); err != nil {
		t.Fatal(err)
	}
	ephemerals, err := c.Ephemerals(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ephemerals)
	seen["ephemerals"] = fmt.Sprint(ephemerals)
	id, _, _ := c.Session()
	seen["session"] = fmt.Sprintf("%#x", id)
	answer, err := s.FourLetter("srvr")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(answer) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && (name == "Zxid" || name == "Node count") {
			seen[name] = value
		}
	}
	return seen
}
