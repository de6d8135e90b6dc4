package client

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quoll/jute"
)

// rawBody is a request record given as bytes.
type rawBody []byte

func (r rawBody) Append(b []byte) []byte { return append(b, r...) }

func stat(t *testing.T, got jute.Stat, czxid int64, version int32, children int32) {
	t.Helper()
	if got.Czxid != czxid || got.Version != version || got.NumChildren != children {
		t.Errorf("Stat %+v, want czxid %d, version %d, %d children", got, czxid, version, children)
	}
}

func TestRecordedSession(t *testing.T) {
	f := newFake(t)
	frames := transcript(t, "testdata/session.txt")
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.replay(frames)
	}()
	events := make(chan Event, 10)
	c, err := Connect(t.Context(), f.addr(), Options{Timeout: 10 * time.Second, OnEvent: func(e Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	code := func(err error, want jute.Code) {
		t.Helper()
		if err != want {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	equal := func(got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}

	if id, password, timeout := c.Session(); id != 0x0100001788e50000 || password[0] != 0xf1 || timeout != 10*time.Second {
		t.Errorf("session %#x %x %v", id, password, timeout)
	}
	equal(next(t, events), Event{EventNone, StateConnected, "", -1})
	path, err := c.Create(ctx, "/g", []byte("hi"), OpenACL, jute.ModePersistent)
	check(err)
	equal(path, "/g")
	path, st, err := c.Create2(ctx, "/g/a", []byte("hi"), OpenACL, jute.ModePersistent)
	check(err)
	equal(path, "/g/a")
	stat(t, st, 4, 0, 0)
	path, err = c.Create(ctx, "/g/s-", []byte{}, OpenACL, jute.ModeEphemeralSequential)
	check(err)
	equal(path, "/g/s-0000000001")
	_, err = c.Create(ctx, "/g", []byte("hi"), OpenACL, jute.ModePersistent)
	code(err, jute.ErrNodeExists)
	_, err = c.Exists(ctx, "/g/none", true)
	code(err, jute.ErrNoNode)
	data, st, err := c.Get(ctx, "/g/a", true)
	check(err)
	equal(string(data), "hi")
	stat(t, st, 4, 0, 0)
	names, st, err := c.Children(ctx, "/g", false)
	check(err)
	equal(names, []string{"a", "s-0000000001"})
	stat(t, st, 3, 0, 2)
	equal(next(t, events), Event{jute.EventNodeDataChanged, StateConnected, "/g/a", 8})
	_, err = c.Set(ctx, "/g/a", []byte("zz"), 9)
	code(err, jute.ErrBadVersion)

	openACL := aclTexts(OpenACL)
	results, err := c.Multi(ctx,
		jute.Operation{Op: jute.OpCreate, Path: []byte("/g/m"), Data: []byte("x"), ACL: openACL},
		jute.Operation{Op: jute.OpSetData, Path: []byte("/g/a"), Data: []byte("y"), Version: -1},
		jute.Operation{Op: jute.OpCheck, Path: []byte("/g/m")},
		jute.Operation{Op: jute.OpDelete, Path: []byte("/g/m"), Version: -1})
	check(err)
	equal(results[0], OpResult{Op: jute.OpCreate, Path: "/g/m"})
	stat(t, results[1].Stat, 4, 2, 0)
	equal(results[2:], MultiResponse{{Op: jute.OpCheck}, {Op: jute.OpDelete}})
	results, err = c.Multi(ctx,
		jute.Operation{Op: jute.OpCreate, Path: []byte("/g/m"), Data: []byte("x"), ACL: openACL},
		jute.Operation{Op: jute.OpCheck, Path: []byte("/g/a"), Version: 99},
		jute.Operation{Op: jute.OpDelete, Path: []byte("/g/a"), Version: -1})
	code(err, jute.ErrBadVersion)
	equal(results, MultiResponse{{Op: jute.OpError}, {Op: jute.OpError, Err: jute.ErrBadVersion}, {Op: jute.OpError, Err: jute.ErrRuntimeInconsistency}})
	results, err = c.MultiRead(ctx,
		jute.Operation{Op: jute.OpGetData, Path: []byte("/g/a")},
		jute.Operation{Op: jute.OpGetChildren, Path: []byte("/g/a")},
		jute.Operation{Op: jute.OpGetData, Path: []byte("/nope")})
	check(err)
	equal(string(results[0].Data), "y")
	equal(results[1], OpResult{Op: jute.OpGetChildren, Children: []string{}})
	equal(results[2].Err, jute.ErrNoNode)

	check(c.AddWatch(ctx, "/g", jute.AddWatchPersistentRecursive))
	equal(next(t, events), Event{jute.EventNodeCreated, StateConnected, "/g/z", 12})
	check(c.CheckWatches(ctx, "/g", jute.WatcherPersistentRecursive))
	code(c.Do(ctx, jute.OpRemoveWatches, &jute.WatchesRequest{Path: []byte("/g"), Type: int32(jute.WatcherData)}, nil), jute.ErrNoWatcher)
	check(c.Ping(ctx))
	check(c.Sync(ctx, "/g"))
	acl, st, err := c.GetACL(ctx, "/g")
	check(err)
	equal(acl, OpenACL)
	stat(t, st, 3, 0, 3)
	check(c.AddAuth(ctx, "digest", []byte("alice:pw")))
	who, err := c.WhoAmI(ctx)
	check(err)
	equal(who, []jute.ClientInfo{{AuthScheme: "ip", User: "127.0.0.1"}, {AuthScheme: "digest", User: "alice"}})
	paths, err := c.Ephemerals(ctx, "/g")
	check(err)
	equal(paths, []string{"/g/s-0000000001"})
	n, err := c.AllChildrenNumber(ctx, "/")
	check(err)
	equal(n, 7)
	equal(c.LastZxid(), int64(12))
	<-done
}

func TestRecordedCreation(t *testing.T) {
	f := newFake(t)
	go f.replay(transcript(t, "testdata/creation.txt"))
	c, err := Connect(t.Context(), f.addr(), Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Do(ctx, jute.OpGetData, rawBody("\x00\x00\x00\x02/g"), nil); err != jute.ErrMarshalling {
		t.Errorf("truncated getData: %v", err)
	}
	if _, err := c.Create(ctx, "/g/null", nil, OpenACL, jute.ModePersistent); err != nil {
		t.Error(err)
	}
	if data, _, err := c.Get(ctx, "/g/null", false); data != nil || err != nil {
		t.Errorf("null data reads as %q, %v", data, err)
	}
	path, st, err := c.Create2(ctx, "/g/cont", []byte{}, OpenACL, jute.ModeContainer)
	if path != "/g/cont" || err != nil {
		t.Errorf("container %q, %v", path, err)
	}
	stat(t, st, 0x15, 0, 0)
	if _, _, err := c.CreateTTL(ctx, "/g/ttl", []byte{}, OpenACL, jute.ModePersistentWithTTL, 1000); err != jute.ErrUnimplemented {
		t.Errorf("createTTL: %v", err)
	}
	if _, _, err := c.Reconfig(ctx, "server.1=x", "", "", -1); err != jute.ErrReconfigDisabled {
		t.Errorf("reconfig: %v", err)
	}
}

func TestReconnectRestoresTheSession(t *testing.T) {
	f := newFake(t)
	c, events := f.start(Options{})
	conn, _ := f.session(30 * time.Second)

	// Watches of all kinds, one of them used up; authentication; and a request in flight.
	read := func(op jute.Op, code jute.Code, resp Body, call func(context.Context) error) {
		t.Helper()
		done := start(call)
		xid, _ := conn.expect(op)
		conn.reply(xid, 5, code, resp)
		if err := next(t, done); err != nil && err != code {
			t.Fatal(err)
		}
	}
	none := &jute.Stat{}
	read(jute.OpGetData, 0, &jute.GetDataResponse{}, func(ctx context.Context) error { _, _, err := c.Get(ctx, "/used", true); return err })
	read(jute.OpGetData, 0, &jute.GetDataResponse{}, func(ctx context.Context) error { _, _, err := c.Get(ctx, "/data", true); return err })
	read(jute.OpGetData, 0, &jute.GetDataResponse{}, func(ctx context.Context) error { _, _, err := c.Get(ctx, "/unwatched", false); return err })
	read(jute.OpExists, 0, none, func(ctx context.Context) error { _, err := c.Exists(ctx, "/there", true); return err })
	read(jute.OpExists, jute.ErrNoNode, nil, func(ctx context.Context) error { _, err := c.Exists(ctx, "/absent", true); return err })
	read(jute.OpGetData, jute.ErrNoNode, nil, func(ctx context.Context) error { _, _, err := c.Get(ctx, "/nothing", true); return err })
	read(jute.OpGetChildren2, 0, &jute.GetChildren2Response{}, func(ctx context.Context) error { _, _, err := c.Children(ctx, "/", true); return err })
	read(jute.OpAddWatch, 0, &jute.ErrorResponse{}, func(ctx context.Context) error { return c.AddWatch(ctx, "/p", jute.AddWatchPersistent) })
	read(jute.OpAddWatch, 0, &jute.ErrorResponse{}, func(ctx context.Context) error { return c.AddWatch(ctx, "/r", jute.AddWatchPersistentRecursive) })
	conn.reply(jute.XidEvent, 6, 0, &jute.WatcherEvent{Type: int32(jute.EventNodeDeleted), State: 3, Path: "/root/used"})
	conn.reply(jute.XidEvent, 7, 0, &jute.WatcherEvent{Type: int32(jute.EventNodeDeleted), State: 3, Path: "/root/r"})
	auth := start(func(ctx context.Context) error { return c.AddAuth(ctx, "digest", []byte("a:b")) })
	xid, _ := conn.expect(jute.OpAuth)
	conn.reply(xid, 0, 0, nil)
	if err := next(t, auth); err != nil {
		t.Fatal(err)
	}
	lost := start(func(ctx context.Context) error { return c.Delete(ctx, "/x", -1) })
	conn.expect(jute.OpDelete)
	f.t.Log("drop")
	conn.Close()
	if err := next(t, lost); err != jute.ErrConnectionLoss {
		t.Errorf("request in flight: %v", err)
	}
	later := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })

	conn, req := f.session(30 * time.Second)
	if req.SessionID != 77 || string(req.Password) != "0123456789abcdef" || req.LastZxidSeen != 5 {
		t.Errorf("connect request %+v", req)
	}
	if xid, body := conn.expect(jute.OpAuth); xid != jute.XidAuth || !bytes.HasSuffix(body, []byte("a:b")) {
		t.Errorf("auth is replayed as %d %q", xid, body)
	}
	conn.reply(jute.XidAuth, 0, 0, nil)
	xid, body := conn.expect(jute.OpSetWatches2)
	var watches jute.SetWatches2Request
	d := jute.NewDecoder(body)
	watches.Decode(&d)
	text := func(paths ...string) [][]byte {
		b := [][]byte{}
		for _, p := range paths {
			b = append(b, []byte(p))
		}
		return b
	}
	want := jute.SetWatches2Request{RelativeZxid: 5, Data: text("/root/data", "/root/there"), Exist: text("/root/absent"), Child: text("/root"),
		Persistent: text("/root/p"), PersistentRecursive: text("/root/r")}
	if xid != jute.XidSetWatches || d.Err() != nil || !reflect.DeepEqual(watches, want) {
		t.Errorf("watches are restored as %d %s, %v", xid, body, d.Err())
	}
	conn.reply(jute.XidEvent, -1, 0, &jute.WatcherEvent{Type: int32(jute.EventNodeCreated), State: 3, Path: "/root/absent"})
	conn.reply(xid, 9, 0, nil)
	xid, body = conn.expect(jute.OpSync)
	if string(body[4:]) != "/root" {
		t.Errorf("sync of %q", body)
	}
	conn.reply(xid, 9, 0, &jute.PathResponse{Path: "/root"})
	if err := next(t, later); err != nil {
		t.Errorf("request made without a connection: %v", err)
	}
	for _, want := range []Event{
		{EventNone, StateConnected, "", -1},
		{jute.EventNodeDeleted, StateConnected, "/used", 6},
		{jute.EventNodeDeleted, StateConnected, "/r", 7},
		{EventNone, StateDisconnected, "", -1},
		{EventNone, StateConnected, "", -1},
		{jute.EventNodeCreated, StateConnected, "/absent", -1},
	} {
		if got := next(t, events); got != want {
			t.Errorf("event %v, want %v", got, want)
		}
	}
}

func TestFinalStates(t *testing.T) {
	for name, test := range map[string]struct {
		state State
		err   error
		end   func(f *fake, conn *fakeConn, c *Client)
	}{
		"expired": {StateExpired, jute.ErrSessionExpired, func(f *fake, conn *fakeConn, c *Client) {
			conn.Close()
			again := f.accept()
			again.recv()
			again.send((&jute.ConnectResponse{HasReadOnly: true}).Append(nil))
		}},
		"authentication refused": {StateAuthFailed, jute.ErrAuthFailed, func(f *fake, conn *fakeConn, c *Client) {
			auth := start(func(ctx context.Context) error { return c.AddAuth(ctx, "nonsense", nil) })
			conn.expect(jute.OpAuth)
			conn.reply(jute.XidAuth, 0, jute.ErrAuthFailed, nil)
			if err := next(f.t, auth); err != jute.ErrAuthFailed {
				f.t.Errorf("AddAuth: %v", err)
			}
		}},
		"closed": {StateClosed, ErrClosed, func(f *fake, conn *fakeConn, c *Client) {
			closed := start(func(context.Context) error { return c.Close() })
			xid, _ := conn.expect(jute.OpCloseSession)
			conn.reply(xid, 1, 0, nil)
			conn.Close()
			if err := next(f.t, closed); err != nil {
				f.t.Error(err)
			}
			if err := c.Close(); err != nil {
				f.t.Errorf("second Close: %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, events := f.start(Options{})
			conn, _ := f.session(30 * time.Second)
			if e := next(t, events); e.State != StateConnected {
				t.Fatal(e)
			}
			test.end(f, conn, c)
			e := next(t, events)
			if e.State == StateDisconnected && name == "expired" {
				e = next(t, events)
			}
			if e != (Event{EventNone, test.state, "", -1}) || c.State() != test.state || !c.State().Final() {
				t.Errorf("event %v, state %v", e, c.State())
			}
			if err := c.Sync(t.Context(), "/"); err != test.err {
				t.Errorf("request: %v, want %v", err, test.err)
			}
			if err := c.WaitConnected(t.Context()); !errors.Is(err, test.err) {
				t.Errorf("WaitConnected: %v", err)
			}
		})
	}
}

func TestBrokenConnectionIsDropped(t *testing.T) {
	for name, spoil := range map[string]func(conn *fakeConn, xid int32){
		"wrong xid":      func(conn *fakeConn, xid int32) { conn.reply(xid+1, 1, 0, nil) },
		"short header":   func(conn *fakeConn, xid int32) { conn.send([]byte{0, 0, 0, 1}) },
		"short event":    func(conn *fakeConn, xid int32) { conn.reply(jute.XidEvent, 1, 0, nil) },
		"huge frame":     func(conn *fakeConn, xid int32) { conn.Write([]byte{0x7f, 0xff, 0xff, 0xff}) },
		"negative frame": func(conn *fakeConn, xid int32) { conn.Write([]byte{0xff, 0xff, 0xff, 0xff}) },
		"stray ping":     func(conn *fakeConn, xid int32) { conn.reply(jute.XidPing, 1, 0, nil) },
		"stray auth":     func(conn *fakeConn, xid int32) { conn.reply(jute.XidAuth, 1, 0, nil) },
		"silence":        func(conn *fakeConn, xid int32) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, _ := f.start(Options{})
			timeout := 30 * time.Second
			if name == "silence" {
				timeout = 300 * time.Millisecond
			}
			conn, _ := f.session(timeout)
			done := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
			xid, _ := conn.expect(jute.OpSync)
			spoil(conn, xid)
			if err := next(t, done); err != jute.ErrConnectionLoss {
				t.Errorf("request: %v", err)
			}
			f.session(timeout)
		})
	}
}

func TestContextEndsTheWaitOnly(t *testing.T) {
	f := newFake(t)
	c, _ := f.start(Options{})
	conn, _ := f.session(30 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := start(func(context.Context) error { return c.Sync(ctx, "/") })
	xid, _ := conn.expect(jute.OpSync)
	cancel()
	if err := next(t, done); err != context.Canceled {
		t.Errorf("request: %v", err)
	}
	conn.reply(xid, 1, 0, nil)
	done = start(func(ctx context.Context) error { return c.Delete(ctx, "/x", -1) })
	xid, _ = conn.expect(jute.OpDelete)
	conn.reply(xid, 1, 0, nil)
	if err := next(t, done); err != nil {
		t.Errorf("the request after it: %v", err)
	}
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	f := newFake(t)
	f.listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Connect(ctx, f.addr(), Options{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v: does not say what is wrong", err)
	}
}

func TestRequestsWaitUntilAllServersWereTried(t *testing.T) {
	down := newFake(t)
	down.listener.Close()
	f := newFake(t)
	c, err := New(down.addr()+","+down.addr()+","+f.addr(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	done := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
	conn, _ := f.session(30 * time.Second)
	xid, _ := conn.expect(jute.OpSync)
	conn.reply(xid, 1, 0, nil)
	if err := next(t, done); err != nil {
		t.Errorf("request: %v", err)
	}

	c, err = New(down.addr()+","+down.addr(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	if err := c.Sync(t.Context(), "/"); err != jute.ErrConnectionLoss {
		t.Errorf("no server: %v", err)
	}
	if err := c.AddAuth(t.Context(), "digest", []byte("a:b")); err != jute.ErrConnectionLoss {
		t.Errorf("no server: AddAuth: %v", err)
	}
	if err := c.LastError(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no server: LastError: %v", err)
	}
}

func TestSettle(t *testing.T) {
	f := newFake(t)
	var seen atomic.Int32
	release := make(chan struct{})
	c, err := New(f.addr(), Options{OnEvent: func(Event) { <-release; seen.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	conn, _ := f.session(30 * time.Second)
	done := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
	xid, _ := conn.expect(jute.OpSync)
	conn.reply(jute.XidEvent, 1, 0, &jute.WatcherEvent{Type: 1, State: 3, Path: "/x"})
	conn.reply(xid, 1, 0, nil)
	if err := next(t, done); err != nil {
		t.Fatal(err)
	}
	if n := seen.Load(); n != 0 {
		t.Fatalf("%d events", n)
	}
	close(release)
	c.Settle()
	if n := seen.Load(); n != 2 {
		t.Errorf("%d events after Settle, want connected and created", n)
	}
}

func TestRemoveWatches(t *testing.T) {
	f := newFake(t)
	c, events := f.start(Options{})
	conn, _ := f.session(30 * time.Second)
	next(t, events)
	if err := c.RemoveWatches(t.Context(), "/x", jute.WatcherAny, false); err != jute.ErrNoWatcher {
		t.Errorf("removal of a watch never set: %v", err)
	}
	for _, op := range []jute.Op{jute.OpGetChildren2, jute.OpExists} {
		done := start(func(ctx context.Context) error {
			if op == jute.OpExists {
				_, err := c.Exists(ctx, "/x", true)
				return err
			}
			_, _, err := c.Children(ctx, "/x", true)
			return err
		})
		xid, _ := conn.expect(op)
		if op == jute.OpExists {
			conn.reply(xid, 1, 0, &jute.Stat{})
		} else {
			conn.reply(xid, 1, 0, &jute.GetChildren2Response{})
		}
		if err := next(t, done); err != nil {
			t.Fatal(err)
		}
	}
	done := start(func(ctx context.Context) error { return c.RemoveWatches(ctx, "/x", jute.WatcherAny, false) })
	xid, body := conn.expect(jute.OpRemoveWatches)
	if !bytes.Equal(body, []byte("\x00\x00\x00\x07/root/x\x00\x00\x00\x03")) {
		t.Errorf("request %q", body)
	}
	conn.reply(xid, 1, 0, nil)
	if err := next(t, done); err != nil {
		t.Fatal(err)
	}
	for _, want := range []jute.EventType{EventChildWatchRemoved, EventDataWatchRemoved} {
		if e := next(t, events); e != (Event{want, StateConnected, "/x", -1}) {
			t.Errorf("event %v, want type %d", e, want)
		}
	}
	if err := c.RemoveWatches(t.Context(), "/x", jute.WatcherData, false); err != jute.ErrNoWatcher {
		t.Errorf("second removal: %v", err)
	}
}

func TestReadOnlyClientLeavesForAQuorum(t *testing.T) {
	f := newFake(t)
	events := make(chan Event, 10)
	c, err := New(f.addr(), Options{ReadOnly: true, OnEvent: func(e Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	conn := f.accept()
	conn.recv()
	conn.send((&jute.ConnectResponse{Timeout: 30000, SessionID: 5, ReadOnly: true, HasReadOnly: true}).Append(nil))
	if e := next(t, events); e.State != StateConnectedReadOnly {
		t.Fatal(e)
	}
	for _, answer := range []string{"ro", "rw"} {
		probe := f.accept()
		word := make([]byte, 4)
		if _, err := probe.Read(word); err != nil || string(word) != "isro" {
			t.Fatalf("%q, %v", word, err)
		}
		probe.Write([]byte(answer))
		probe.Close()
	}
	if _, req := f.session(30 * time.Second); req.SessionID != 0 || !req.ReadOnly {
		t.Errorf("connect request %+v: no quorum knows the session", req)
	}
}

func TestXidsWrapAround(t *testing.T) {
	f := newFake(t)
	c, _ := f.start(Options{})
	conn, _ := f.session(30 * time.Second)
	c.mu.Lock()
	c.xid = math.MaxInt32 - 1
	c.mu.Unlock()
	for _, want := range []int32{math.MaxInt32, 1} {
		done := start(func(ctx context.Context) error { return c.Sync(ctx, "/") })
		xid, _ := conn.expect(jute.OpSync)
		if xid != want {
			t.Errorf("xid %d, want %d", xid, want)
		}
		conn.reply(xid, 1, 0, nil)
		if err := next(t, done); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyRequestsInFlight(t *testing.T) {
	f := newFake(t)
	c, _ := f.start(Options{})
	conn, _ := f.session(30 * time.Second)
	const n = 5000
	order := make(chan int32, n)
	for i := range int32(n) {
		err := c.Send(jute.OpSync, &jute.PathRequest{}, func(r Reply) { order <- i })
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		xid, _ := conn.expect(jute.OpSync)
		conn.reply(xid, 1, 0, nil)
	}
	for i := range int32(n) {
		if got := next(t, order); got != i {
			t.Fatalf("reply %d comes as %d", got, i)
		}
	}
}

func TestSendQueueIsBounded(t *testing.T) {
	f := newFake(t)
	c, _ := f.start(Options{})
	megabyte := rawBody(make([]byte, 1<<20))
	full := false
	for i := 0; i <= sendQueueLimit>>20 && !full; i++ {
		err := c.Send(jute.OpSetData, megabyte, func(Reply) {})
		if err != nil && err != ErrQueueFull {
			t.Fatal(err)
		}
		full = err == ErrQueueFull
	}
	if !full {
		t.Error("the queue takes everything")
	}
}

// TestSetWatchesAreSplit restores many watches. A request has setWatches2, which old servers do not know, only for watches that they cannot have.
func TestSetWatchesAreSplit(t *testing.T) {
	var table watchTable
	long := strings.Repeat("x", 1000)
	for i := range 1000 {
		table.add(watchKind(i%int(watchKinds)), "/"+long+string(rune('a'+i%26))+strings.Repeat("y", i/26))
	}
	rest := table.appendSetWatches(nil, 3)
	seen, frames := 0, map[jute.Op]int{}
	for len(rest) > 0 {
		d := jute.NewDecoder(rest)
		n := int(d.Int32())
		if n > 2*setWatchesLimit {
			t.Errorf("a frame of %d bytes", n)
		}
		var h jute.RequestHeader
		h.Decode(&d)
		d = jute.NewDecoder(rest[12 : 4+n])
		rest = rest[4+n:]
		var lists [][][]byte
		switch op := jute.Op(h.Type); op {
		case jute.OpSetWatches:
			var req jute.SetWatchesRequest
			req.Decode(&d)
			lists = [][][]byte{req.Data, req.Exist, req.Child}
		case jute.OpSetWatches2:
			var req jute.SetWatches2Request
			req.Decode(&d)
			lists = [][][]byte{req.Data, req.Exist, req.Child, req.Persistent, req.PersistentRecursive}
			if len(req.Persistent)+len(req.PersistentRecursive) == 0 {
				t.Error("setWatches2 without a persistent watch")
			}
		default:
			t.Fatalf("a request %v", op)
		}
		if d.Err() != nil || d.Len() > 0 || h.Xid != jute.XidSetWatches {
			t.Fatalf("xid %d, %v, %d bytes more", h.Xid, d.Err(), d.Len())
		}
		for _, list := range lists {
			if list == nil {
				t.Fatal("a null list")
			}
			seen += len(list)
		}
		frames[jute.Op(h.Type)]++
	}
	if seen != 1000 || frames[jute.OpSetWatches] < 2 || frames[jute.OpSetWatches2] < 2 {
		t.Errorf("%d watches in the frames %v", seen, frames)
	}
}

func TestParseServers(t *testing.T) {
	for _, test := range []struct {
		in      string
		servers []string
		chroot  string
	}{
		{"localhost:2181", []string{"localhost:2181"}, ""},
		{"a,b:1,[::1]:2,[::1]", []string{"a:2181", "b:1", "[::1]:2", "[::1]:2181"}, ""},
		{"a:1,b:2/x/y", []string{"a:1", "b:2"}, "/x/y"},
		{"a/", []string{"a:2181"}, ""},
		{"", nil, ""},
		{"a/x/", nil, ""},
		{"/x", nil, ""},
	} {
		servers, chroot, err := ParseServers(test.in)
		if !slices.Equal(servers, test.servers) || chroot != test.chroot || (err == nil) != (test.servers != nil) {
			t.Errorf("%q: %q %q %v", test.in, servers, chroot, err)
		}
	}
}

func TestValidatePath(t *testing.T) {
	for path, want := range map[string]string{
		"/": "", "/a": "", "/...": "", "/a..b": "", "/.a": "", "/a/.b/c": "", "/\u00a0": "", "/\ud7ff": "", "/\uf900": "", "/\uffef": "",
		"":         "Path length must be > 0",
		"a":        "Path must start with / character",
		"/a/":      "Path must not end with / character",
		"/a//b":    `Invalid path string "/a//b" caused by empty node name specified @3`,
		"/a/./b":   `Invalid path string "/a/./b" caused by relative paths not allowed @3`,
		"/a/..":    `Invalid path string "/a/.." caused by relative paths not allowed @4`,
		"/a\x00b":  "Invalid path string \"/a\x00b\" caused by null character not allowed @2",
		"/\x7f":    "Invalid path string \"/\x7f\" caused by invalid character @1",
		"/\uf8ff":  "Invalid path string \"/\uf8ff\" caused by invalid character @1",
		"/é😀":      "Invalid path string \"/é😀\" caused by invalid character @2",
		"/\ufff0x": "Invalid path string \"/\ufff0x\" caused by invalid character @1",
	} {
		got := ""
		if err := ValidatePath(path); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(jute.AppendReplyHeader(nil, 1, 1, 0))
	f.Add((&jute.WatcherEvent{Path: "/x"}).Append(jute.AppendReplyHeader(nil, jute.XidEvent, 1, 0)))
	f.Add(jute.MultiEnd.Append(jute.AppendReplyHeader(nil, 1, 1, 0)))
	f.Fuzz(func(t *testing.T, frame []byte) {
		c := &Client{cancel: func() {}, changed: make(chan struct{}), pending: []func(Reply){func(r Reply) {
			d := jute.NewDecoder(r.Body)
			var resp MultiResponse
			resp.Decode(&d)
		}}, xids: []int32{1}}
		c.receive(&link{}, frame)
	})
}
