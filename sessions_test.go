package quoll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"quoll"
	"quoll/client"
	"quoll/compat/peer"
	"quoll/config"
	"quoll/jute"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// trio is an ensemble of three servers in this process.
type trio struct {
	t       *testing.T
	configs [3]*config.Config
	servers [3]*quoll.Server
}

func newTrio(t *testing.T, set ...string) *trio {
	t.Helper()
	c := &trio{t: t}
	set = append([]string{"tickTime=200", "initLimit=50", "syncLimit=50", "4lw.commands.whitelist=*"}, set...)
	for i := range c.servers {
		set = append(set, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i+1, freePort(t), freePort(t)))
	}
	for i := range c.configs {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "myid"), fmt.Append(nil, i+1), 0o644); err != nil {
			t.Fatal(err)
		}
		own := append(slices.Clone(set), "dataDir="+dir, fmt.Sprintf("clientPort=%d", freePort(t)), "clientPortAddress=127.0.0.1")
		var err error
		if c.configs[i], _, err = config.Load(config.Sources{Set: own}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { c.stop(0, 1, 2) })
	c.start(0, 1, 2)
	return c
}

// freePort is a port that no outgoing connection takes meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (c *trio) start(list ...int) {
	c.t.Helper()
	for _, i := range list {
		var err error
		if c.servers[i], err = quoll.Start(quoll.Options{Config: c.configs[i]}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *trio) stop(list ...int) {
	c.t.Helper()
	for _, i := range list {
		if s := c.servers[i]; s != nil {
			if err := s.Close(); err != nil {
				c.t.Error(err)
			}
			c.servers[i] = nil
		}
	}
}

func (c *trio) eventually(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("in %v it did not come about that %s", patience, what)
		}
	}
}

// word is the answer of a server to a four-letter word.
func (c *trio) word(i int, word string) string {
	nc, err := net.Dial("tcp", c.configs[i].ClientAddr())
	if err != nil {
		return err.Error()
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(nc, word)
	answer, _ := io.ReadAll(nc)
	return string(answer)
}

// roles waits until all serve, and returns the leader and two followers.
func (c *trio) roles() (leader, one, other int) {
	c.t.Helper()
	var followers []int
	c.eventually("all serve", func() bool {
		leader, followers = -1, nil
		for i := range c.servers {
			switch answer := c.word(i, "srvr"); {
			case regexp.MustCompile("Mode: leader").MatchString(answer):
				leader = i
			case regexp.MustCompile("Mode: follower").MatchString(answer):
				followers = append(followers, i)
			}
		}
		return leader >= 0 && len(followers) == 2
	})
	return leader, followers[0], followers[1]
}

// raw is a session on a connection of which the test sees every frame.
type raw struct {
	c *trio
	*client.RawConn
	jute.ConnectResponse
	xid int32
}

// connect asks a server for a session. An error is a connection that ended without an answer.
func (c *trio) connect(i int, req jute.ConnectRequest) (*raw, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	conn, err := client.Dial(ctx, c.configs[i].ClientAddr())
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if req.Timeout == 0 {
		req.Timeout = 4000
	}
	if req.Password == nil {
		req.Password = make([]byte, jute.PasswordLength)
	}
	req.HasReadOnly = true
	r := &raw{c: c, RawConn: conn}
	r.ConnectResponse, err = conn.Handshake(&req)
	return r, err
}

// session is connect that must give a new one.
func (c *trio) session(i int, req jute.ConnectRequest) *raw {
	c.t.Helper()
	r, err := c.connect(i, req)
	if err != nil || r.SessionID == 0 {
		c.t.Fatalf("no session at server %d: %v", i+1, err)
	}
	return r
}

// again connects to the session at a server.
func (r *raw) again(i int, readOnly bool) (*raw, error) {
	r.c.t.Helper()
	return r.c.connect(i, jute.ConnectRequest{SessionID: r.SessionID, Password: r.Password[:], ReadOnly: readOnly})
}

func (r *raw) ask(op jute.Op, body client.Body) {
	r.c.t.Helper()
	r.xid++
	if err := r.Request(r.xid, op, body); err != nil && !errors.Is(err, net.ErrClosed) {
		r.c.t.Logf("%v: %v", op, err)
	}
}

// wants asks and looks at the answer.
func (r *raw) wants(code jute.Code, op jute.Op, body client.Body) jute.ReplyHeader {
	r.c.t.Helper()
	r.ask(op, body)
	h, _, err := r.Reply()
	if err != nil || jute.Code(h.Err) != code || op != jute.OpPing && h.Xid != r.xid {
		r.c.t.Fatalf("%v: %+v, %v, but error %v was expected", op, h, err, code)
	}
	return h
}

// ends waits until the server closes the connection, and fails if there is an answer before that.
func (r *raw) ends() {
	r.c.t.Helper()
	var timeout net.Error
	if frame, err := r.Recv(); err == nil {
		r.c.t.Fatalf("an answer in place of the end: %x", frame)
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		r.c.t.Fatal("the connection stays open")
	}
}

func create(path string, mode jute.CreateMode) client.Body {
	return &jute.CreateRequest{Path: []byte(path), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}, Flags: int32(mode)}
}

func where(path string) client.Body { return &jute.PathWatchRequest{Path: []byte(path)} }

var root = &jute.PathRequest{Path: []byte("/")}

func (c *trio) knows(i int, session int64) bool {
	return slices.Contains(c.servers[i].Sessions(), session)
}

// TestLocalSessions is the life of sessions that begin as local ones, at a leader and at a follower.
func TestLocalSessions(t *testing.T) {
	c := newTrio(t, "localSessionsEnabled=true", "localSessionsUpgradingEnabled=true")
	leader, one, other := c.roles()
	for _, home := range []int{leader, one} {
		name := fmt.Sprintf("/%d", home)
		s := c.session(home, jute.ConnectRequest{})
		before := s.wants(jute.OK, jute.OpPing, nil).Zxid
		if before>>32 == 0 {
			t.Errorf("the zxid %#x has no epoch", before)
		}
		s.wants(jute.OK, jute.OpCreate, create(name, 0))
		if zxid := s.wants(jute.OK, jute.OpPing, nil).Zxid; zxid != before+1 {
			t.Errorf("a session and a write have taken %d zxids", zxid-before)
		}
		s.wants(jute.OK, jute.OpSync, root)
		for i := range c.servers {
			if c.knows(i, s.SessionID) != (i == home) {
				t.Errorf("server %d of %d: a local session is known %v", i+1, home+1, i != home)
			}
		}
		if r, err := s.again(other, false); err != nil || r.SessionID != 0 {
			t.Errorf("a local session elsewhere: %+v, %v", r.ConnectResponse, err)
		}
		s.wants(jute.OK, jute.OpExists, where(name))

		// All comes in one go: the session becomes global once, and what decides about its end is what it is when the end's turn is there.
		s.ask(jute.OpCreate, create(name+"-e", jute.ModeEphemeral))
		s.ask(jute.OpCreate, create(name+"-f", jute.ModeEphemeral))
		s.ask(jute.OpCloseSession, nil)
		for _, zxid := range []int64{before + 3, before + 4, before + 5} {
			if h, _, err := s.Reply(); err != nil || h.Err != 0 || h.Zxid != zxid {
				t.Errorf("%+v %v, expected zxid %#x", h, err, zxid)
			}
		}
		s.ends()
		local := c.session(home, jute.ConnectRequest{})
		local.wants(jute.ErrNoNode, jute.OpExists, where(name+"-e"))
		if zxid := local.wants(jute.OK, jute.OpCloseSession, nil).Zxid; zxid != before+5 {
			t.Errorf("the end of a local session took %d zxids", zxid-before-5)
		}
		local.ends()
		if c.knows(home, local.SessionID) {
			t.Error("a local session outlives its end")
		}

		// One that has become global is at home everywhere.
		s = c.session(home, jute.ConnectRequest{})
		s.wants(jute.OK, jute.OpMulti, client.MultiRequest{{Op: jute.OpCreate2, Path: []byte(name + "-m"), ACL: create("", 0).(*jute.CreateRequest).ACL, Flags: jute.ModeEphemeral, TTL: -1}})
		r, err := s.again(other, false)
		if err != nil || r.SessionID != s.SessionID {
			t.Fatalf("a global session elsewhere: %+v, %v", r, err)
		}
		r.wants(jute.OK, jute.OpSync, root)
		r.wants(jute.OK, jute.OpExists, where(name+"-m"))

		// Silence ends both kinds where their time is kept.
		quiet := c.session(home, jute.ConnectRequest{Timeout: 1})
		quiet.ends()
		upgraded := c.session(home, jute.ConnectRequest{Timeout: 1})
		upgraded.wants(jute.OK, jute.OpCreate, create(name+"-q", jute.ModeEphemeral))
		upgraded.ends()
		r.wants(jute.OK, jute.OpSync, root)
		r.wants(jute.ErrNoNode, jute.OpExists, where(name+"-q"))
		r.wants(jute.OK, jute.OpCloseSession, nil)
		for i := range c.servers {
			c.eventually("ended sessions are forgotten", func() bool { return len(c.servers[i].Sessions()) == 0 })
		}
	}
}

// TestNoUpgrade is a local session that has to remain one.
func TestNoUpgrade(t *testing.T) {
	c := newTrio(t, "localSessionsEnabled=true")
	leader, one, _ := c.roles()
	for _, home := range []int{leader, one} {
		s := c.session(home, jute.ConnectRequest{})
		s.wants(jute.ErrEphemeralOnLocalSession, jute.OpCreate, create("/e", jute.ModeEphemeral))
		s.wants(jute.ErrSessionExpired, jute.OpCreateContainer, create("/e", jute.ModeEphemeral))
		s.wants(jute.OK, jute.OpCreate, create(fmt.Sprintf("/p%d", home), 0))
		if id := s.SessionID; c.servers[home].ExpireSession(id) != nil || c.knows(home, id) {
			t.Error("a local session is not expired")
		}
		s.ends()
	}
}

// TestSessionMoved uses connections whose sessions are at another server by now: nothing is answered behind a write.
func TestSessionMoved(t *testing.T) {
	c := newTrio(t)
	_, one, other := c.roles()
	for name, body := range map[jute.Op]client.Body{
		jute.OpCreate: create("/moved", 0),
		jute.OpMulti:  client.MultiRequest{{Op: jute.OpDelete, Path: []byte("/stays"), Version: -1}},
	} {
		s := c.session(one, jute.ConnectRequest{})
		r, err := s.again(other, false)
		if err != nil || r.SessionID != s.SessionID {
			t.Fatalf("%+v %v", r, err)
		}
		s.wants(jute.OK, jute.OpExists, where("/"))
		s.ask(name, body)
		s.ask(jute.OpExists, where("/"))
		s.ask(jute.OpPing, nil)
		s.ends()
		r.wants(jute.OK, jute.OpSync, root)
		r.wants(jute.ErrNoNode, jute.OpExists, where("/moved"))
		r.wants(jute.OK, jute.OpCloseSession, nil)
	}
}

// TestIdentitiesStayShort gives sessions at a follower as many and as long identities as it takes: what it forwards must be no more than the leader reads, or it loses its leader.
func TestIdentitiesStayShort(t *testing.T) {
	for _, limit := range []int{4 << 10, 1 << 20} { // of a frame
		c := newTrio(t, fmt.Sprintf("jute.maxbuffer=%d", limit))
		_, one, _ := c.roles()
		witness := c.session(one, jute.ConnectRequest{})
		for _, size := range []int{20, limit / 100, limit / 40, limit - 100} {
			// add authenticates until it is refused, most times at most.
			add := func(s *raw, most int) (n int) {
				for ; n < most; n++ {
					user := append(make([]byte, size-1), byte(n)) // without a colon all of it is the name
					if err := s.Request(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: []byte("digest"), Auth: user}); err != nil {
						t.Fatal(err)
					}
					if h, _, err := s.Reply(); err != nil {
						t.Fatal(err)
					} else if h.Err != 0 {
						s.ends()
						break
					}
				}
				return n
			}
			fit := add(c.session(one, jute.ConnectRequest{}), 200)
			if fit > 100 || fit*size > 64<<10 {
				t.Errorf("%d identities of %d bytes", fit, size)
			}
			s := c.session(one, jute.ConnectRequest{})
			add(s, fit)
			s.wants(jute.OK, jute.OpCreate, &jute.CreateRequest{
				Path: []byte("/long"), Data: make([]byte, limit-200), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}, Flags: int32(jute.ModeEphemeral),
			})
			s.wants(jute.OK, jute.OpCloseSession, nil)
		}
		witness.wants(jute.OK, jute.OpCreate, create("/survived", 0)) // its connection would have ended with the follower's service
	}
}

// TestNobodyMovesASession renews a session with its password, which follows from its id, where clients have to authenticate: nothing happens to it until the client has.
func TestNobodyMovesASession(t *testing.T) {
	c := newTrio(t, "enforce.auth.enabled=true", "enforce.auth.schemes=digest", "minSessionTimeout=1000")
	leader, one, other := c.roles()
	authenticate := func(s *raw) {
		t.Helper()
		if err := s.Request(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: []byte("digest"), Auth: []byte("bob:pw")}); err != nil {
			t.Fatal(err)
		}
		if h, _, err := s.Reply(); err != nil || h.Err != 0 {
			t.Fatalf("%+v %v", h, err)
		}
	}
	s := c.session(one, jute.ConnectRequest{Timeout: 30_000})
	authenticate(s)
	for _, at := range []int{one, other, leader} {
		stranger, err := c.connect(at, jute.ConnectRequest{SessionID: s.SessionID, Password: s.Password[:], Timeout: 1})
		if err != nil || stranger.SessionID != s.SessionID {
			t.Fatalf("%+v %v", stranger, err)
		}
		stranger.wants(jute.ErrSessionClosedRequireSASL, jute.OpGetChildren, where("/"))
		stranger.ends()
		s.wants(jute.OK, jute.OpCreate, create(fmt.Sprint("/still-here-", at), jute.ModeEphemeral))
		quiet, err := c.connect(at, jute.ConnectRequest{SessionID: s.SessionID, Password: s.Password[:], Timeout: 1})
		if err != nil || quiet.SessionID != s.SessionID {
			t.Fatalf("%+v %v", quiet, err)
		}
		quiet.ends() // when its session would have expired
		s.wants(jute.OK, jute.OpExists, where("/"))
	}
	for _, at := range []int{one, other, leader} {
		r, err := s.again(at, false)
		if err != nil || r.SessionID != s.SessionID {
			t.Fatalf("%+v %v", r, err)
		}
		authenticate(r)
		r.wants(jute.OK, jute.OpSetData, &jute.SetDataRequest{Path: fmt.Append(nil, "/still-here-", at), Version: -1})
		if at == one {
			s.ends()
		}
		s = r
	}
	s.wants(jute.OK, jute.OpCloseSession, nil)
}

// TestEagerACLCheck has what a follower refuses by itself, which the zxid 0 tells from what the leader has refused, and what is the leader's to judge.
func TestEagerACLCheck(t *testing.T) {
	c := newTrio(t, "enableEagerACLCheck=true")
	_, one, _ := c.roles()
	s := c.session(one, jute.ConnectRequest{})
	acl := func(perms int32) []jute.ACLText {
		return []jute.ACLText{{Perms: perms, Scheme: []byte("world"), ID: []byte("anyone")}}
	}
	s.wants(jute.OK, jute.OpCreate, &jute.CreateRequest{Path: []byte("/a"), ACL: acl(jute.PermAll)})
	s.wants(jute.OK, jute.OpCreate, create("/a/child", 0))
	s.wants(jute.OK, jute.OpSetACL, &jute.SetACLRequest{Path: []byte("/a"), ACL: acl(jute.PermRead), Version: -1})
	for _, test := range []struct {
		op   jute.Op
		body client.Body
		code jute.Code
		here bool
	}{
		{jute.OpCreate, create("/a/b", 0), jute.ErrNoAuth, true}, {jute.OpCreate2, create("/a/b", 0), jute.ErrNoAuth, true},
		{jute.OpDelete, &jute.DeleteRequest{Path: []byte("/a/child"), Version: -1}, jute.ErrNoAuth, true},
		{jute.OpSetData, &jute.SetDataRequest{Path: []byte("/a"), Version: -1}, jute.ErrNoAuth, true},
		{jute.OpSetACL, &jute.SetACLRequest{Path: []byte("/a"), ACL: acl(jute.PermAll), Version: -1}, jute.ErrNoAuth, true},
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/c")}, jute.ErrInvalidACL, true},
		{jute.OpSetACL, &jute.SetACLRequest{Path: []byte("/a/child"), Version: -1}, jute.ErrInvalidACL, true},
		{jute.OpSetACL, &jute.SetACLRequest{Path: []byte("no path"), Version: -1}, jute.ErrInvalidACL, true}, {jute.OpDelete, &jute.DeleteRequest{Path: []byte("/zookeeper"), Version: -1}, jute.ErrBadArguments, false},
		{jute.OpCreate, create("/none/b", 0), jute.ErrNoNode, false}, {jute.OpSetData, &jute.SetDataRequest{Path: []byte("/none"), Version: -1}, jute.ErrNoNode, false},
		{jute.OpCreate, create("nopath", 0), jute.ErrBadArguments, false}, {jute.OpSetData, &jute.SetDataRequest{Path: []byte("/a/child"), Version: 7}, jute.ErrBadVersion, false},
		{jute.OpMulti, client.MultiRequest{{Op: jute.OpDelete, Path: []byte("/a/child"), Version: -1}}, jute.OK, false},
	} {
		if h := s.wants(test.code, test.op, test.body); (h.Zxid == 0) != test.here {
			t.Errorf("%v: zxid %#x", test.op, h.Zxid)
		}
	}
	// What opens a list, and what it lets the client do, at once: nothing is refused by the old list, and answers keep their order.
	s.wants(jute.OK, jute.OpCreate, &jute.CreateRequest{Path: []byte("/d"), ACL: acl(jute.PermRead | jute.PermAdmin)})
	s.ask(jute.OpSetACL, &jute.SetACLRequest{Path: []byte("/d"), ACL: acl(jute.PermAll), Version: -1})
	s.ask(jute.OpSetData, &jute.SetDataRequest{Path: []byte("/d"), Version: -1})
	for i := range int32(2) {
		if h, _, err := s.Reply(); err != nil || h.Err != 0 || h.Xid != s.xid-1+i {
			t.Errorf("%+v, %v", h, err)
		}
	}
}

// TestReadOnly takes the quorum away from a server. Its sessions are local whatever the settings say.
func TestReadOnly(t *testing.T) {
	c := newTrio(t, "readonlymode.enabled=true")
	leader, one, other := c.roles()
	global := c.session(one, jute.ConnectRequest{Timeout: 4000})
	global.wants(jute.OK, jute.OpCreate, create("/p", 0))
	c.stop(leader, other)
	global.ends()
	c.eventually("the server is read-only", func() bool { return c.word(one, "isro") == "ro" })

	if _, err := c.connect(one, jute.ConnectRequest{}); err == nil {
		t.Error("a client that is not read-only gets an answer")
	}
	if _, err := global.again(one, true); err == nil {
		t.Error("a global session gets an answer")
	}
	// The password of session 1 belongs to it on all servers.
	stranger := &raw{c: c, ConnectResponse: jute.ConnectResponse{SessionID: 0x0100001788e50000, Password: [16]byte{0xf1, 0x59, 0xe2, 0x16, 0x2a, 0x03, 0xf0, 0xcf, 0xb7, 0xe0, 0xc1, 0x2a, 0x83, 0x60, 0xc7, 0xd4}}}
	if _, err := stranger.again(one, true); err == nil {
		t.Error("a session of which nobody here knows whether it lives gets an answer")
	}
	s := c.session(one, jute.ConnectRequest{ReadOnly: true})
	if !s.ReadOnly {
		t.Error("the session is not said to be read-only")
	}
	// All at once: answers keep their order.
	requests := []struct {
		op   jute.Op
		body client.Body
		code jute.Code
	}{
		{jute.OpExists, where("/p"), jute.OK}, {jute.OpCreate, create("/x", 0), jute.ErrNotReadOnly}, {jute.OpSync, root, jute.ErrNotReadOnly},
		{jute.OpGetData, where("/none"), jute.ErrNoNode}, {jute.OpCreate, nil, jute.ErrNotReadOnly}, {jute.OpMulti, client.MultiRequest{}, jute.ErrNotReadOnly},
		{jute.OpGetChildren, where("/"), jute.OK},
	}
	for _, q := range requests {
		s.ask(q.op, q.body)
	}
	for i, q := range requests {
		if h, _, err := s.Reply(); err != nil || h.Xid != int32(i+1) || jute.Code(h.Err) != q.code {
			t.Fatalf("%v: %+v %v", q.op, h, err)
		}
	}
	r, err := s.again(one, true)
	if err != nil || r.SessionID != s.SessionID || !r.ReadOnly {
		t.Fatalf("%+v %v", r, err)
	}
	s.ends()
	quiet := c.session(one, jute.ConnectRequest{ReadOnly: true, Timeout: 1})
	quiet.ends()
	if r, err := quiet.again(one, true); err != nil || r.SessionID != 0 {
		t.Errorf("an ended session of its own: %+v %v", r, err)
	}
	ended := c.session(one, jute.ConnectRequest{ReadOnly: true})
	ended.wants(jute.OK, jute.OpCloseSession, nil)
	ended.ends()

	last := c.session(one, jute.ConnectRequest{ReadOnly: true})
	c.start(leader, other)
	last.ends()
	c.roles()
	if r, err := last.again(one, true); err != nil || r.SessionID != 0 || r.ReadOnly {
		t.Errorf("a read-only session where there is a quorum: %+v %v", r, err)
	}
	s = c.session(one, jute.ConnectRequest{ReadOnly: true})
	if s.ReadOnly {
		t.Error("a session of a server with a quorum is read-only")
	}
	s.wants(jute.OK, jute.OpCreate, create("/x", 0))
}

// TestLeaderServesNot is a leader without clients; what its followers' clients ask for it decides all the same.
func TestLeaderServesNot(t *testing.T) {
	c := newTrio(t, "leaderServes=no")
	var leader int
	var s *raw
	c.eventually("a leader serves its followers", func() bool {
		leader = -1
		serving := 0
		for i := range c.servers {
			r, err := c.connect(i, jute.ConnectRequest{})
			if err != nil {
				leader = i
				continue
			}
			serving++
			s = r
		}
		return serving == 2
	})
	s.wants(jute.OK, jute.OpCreate, create("/a", jute.ModeEphemeral))
	s.wants(jute.OK, jute.OpSync, root)
	if answer := c.word(leader, "srvr"); answer != "This ZooKeeper instance is not currently serving requests\n" {
		t.Errorf("%q", answer)
	}
}
