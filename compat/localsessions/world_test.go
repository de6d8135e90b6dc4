// Package localsessions_test plays the same exchanges to ensembles of Apache ZooKeeper, of quoll, and of both: sessions that only one server knows, sessions that
// move, servers without a quorum, and leaders that take no clients.
package localsessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// patience ends every wait, whatever the load of the machine.
const patience = 2 * time.Minute

// tick is tickTime; a session lives for two of them at least.
const tick = 500 * time.Millisecond

// Sessions of a play end when it says so, however slow the machine is: the end of one is a transaction, and would be in the zxids of all that follow. Those that are to fall
// silent have time enough for what they do before.
const (
	lifetime = 5 * patience
	silence  = 4 * tick
)

// world is an ensemble of three servers, each a process. The third leads, since it has the largest id of those that begin.
type world struct {
	t       *testing.T
	kinds   [4]string // java or quoll, by id
	servers [4]*peer.Process
	addrs   [4]string // of clients
}

// newWorld prepares the servers 1 to 3 and starts none.
func newWorld(t *testing.T, kinds string, config, flags []string) *world {
	t.Helper()
	w := &world{t: t}
	lines := append([]string{"tickTime=" + strconv.FormatInt(tick.Milliseconds(), 10), "initLimit=40", "syncLimit=40", "maxSessionTimeout=" + strconv.FormatInt(lifetime.Milliseconds(), 10), "admin.enableServer=false", "4lw.commands.whitelist=*"}, config...)
	port := func() int {
		p, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for id := 1; id <= 3; id++ {
		lines = append(lines, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", id, port(), port()))
	}
	for id, kind := range strings.Fields(kinds) {
		w.prepare(id+1, kind, port(), lines, flags)
	}
	return w
}

func (w *world) prepare(id int, kind string, port int, lines, flags []string) {
	dir := w.t.TempDir()
	cfg := filepath.Join(dir, "zoo.cfg")
	own := append(slices.Clone(lines), "dataDir="+dir, "clientPort="+strconv.Itoa(port), "clientPortAddress=127.0.0.1")
	for name, text := range map[string]string{cfg: strings.Join(own, "\n"), filepath.Join(dir, "myid"): strconv.Itoa(id)} {
		if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	p := &peer.Process{Dir: dir, LogPath: filepath.Join(dir, kind+".log")}
	if kind == "java" {
		classpath, err := peer.Classpath("zookeeper")
		peer.Check(w.t, err)
		p.Args = slices.Concat([]string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1"}, flags, []string{"-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg})
	} else {
		bin, err := peer.Binary()
		peer.Check(w.t, err)
		p.Args, p.Env = []string{bin, "server", cfg}, []string{"SERVER_JVMFLAGS=" + strings.Join(flags, " ")}
	}
	w.kinds[id], w.servers[id], w.addrs[id] = kind, p, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	w.t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			w.t.Error(err)
		}
		peer.ShowLog(w.t, fmt.Sprintf("server %d, %s,", id, kind), p)
	})
}

func (w *world) start(ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		if err := w.servers[id].Start(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) stop(ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		if err := w.servers[id].Stop(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// startAll makes 3 the leader.
func (w *world) startAll() {
	w.t.Helper()
	w.start(2, 3)
	w.serves(2)
	w.start(1)
	w.serves(1)
}

// serves waits until a session can be made at the server.
func (w *world) serves(id int) {
	w.t.Helper()
	w.until(fmt.Sprintf("server %d serves", id), func() bool {
		c, resp, err := w.dial(id, jute.ConnectRequest{Timeout: int32(lifetime.Milliseconds()), HasReadOnly: true})
		if err != nil {
			return false
		}
		defer c.Close()
		if resp.SessionID == 0 || resp.ReadOnly {
			return false
		}
		_ = c.Request(1, jute.OpCloseSession, nil)
		h, _, err := c.Reply()
		return err == nil && h.Err == 0
	})
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-timeout:
			w.t.Fatalf("it did not come about that %s", what)
		}
	}
}

// dial connects and asks for a session.
func (w *world) dial(id int, req jute.ConnectRequest) (*client.RawConn, jute.ConnectResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, w.addrs[id])
	if err != nil {
		return nil, jute.ConnectResponse{}, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if req.Password == nil {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := c.Handshake(&req)
	if err != nil {
		c.Close()
		return nil, resp, err
	}
	return c, resp, nil
}

// word is the answer to a four-letter word.
func (w *world) word(id int, word string) string {
	c, err := net.DialTimeout("tcp", w.addrs[id], patience)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, word); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// line finds the line of an answer that begins so.
func line(answer, begin string) string {
	for l := range strings.Lines(answer) {
		if strings.HasPrefix(l, begin) {
			return strings.TrimSpace(l)
		}
	}
	return "no " + begin
}

// play is what happens in an exchange, in words that are the same for every ensemble that does the same.
type play struct {
	*world
	base  int64 // zxids are counted from that of the first create; what they are before one depends on how the server was synchronized
	lines []string
}

func (p *play) say(format string, args ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

// ses is a connection with a session.
type ses struct {
	p *play
	*client.RawConn
	name     string
	id       int64
	password []byte
	xid      int32
}

// connect asks a server for a session and says what it answers.
func (p *play) connect(name string, at int, req jute.ConnectRequest) *ses {
	if req.Timeout == 0 {
		req.Timeout = int32(lifetime.Milliseconds())
	}
	asks := "connects"
	if req.SessionID != 0 {
		asks = "reconnects"
	}
	req.HasReadOnly = true
	c, resp, err := p.dial(at, req)
	switch {
	case err != nil:
		p.say("%s %s: %s", name, asks, ending(err))
		return &ses{p: p, name: name}
	case resp.SessionID == 0:
		p.say("%s %s: refused %+v, then %s", name, asks, resp.Password, rest(c))
		return &ses{p: p, name: name}
	}
	same := "a new session"
	if resp.SessionID == req.SessionID {
		same = "the same session"
	}
	if owner := int(resp.SessionID >> 56); req.SessionID == 0 && owner != at {
		same += fmt.Sprintf(" of server %d", owner)
	}
	p.say("%s %s: %s, timeout %d, readOnly %v", name, asks, same, resp.Timeout, resp.ReadOnly)
	p.t.Cleanup(func() { c.Close() })
	return &ses{p: p, RawConn: c, name: name, id: resp.SessionID, password: slices.Clone(resp.Password[:])}
}

// again reconnects to the session at a server, after the connection of s or beside it.
func (s *ses) again(name string, at int) *ses {
	return s.p.connect(name, at, jute.ConnectRequest{SessionID: s.id, Password: s.password})
}

// sessions is how many sessions a server knows.
func (w *world) sessions(id int) (n int) {
	answer := w.word(id, "mntr")
	for _, key := range []string{"zk_local_sessions\t", "zk_global_sessions\t"} {
		v, err := strconv.Atoi(strings.TrimPrefix(line(answer, key), key))
		if err != nil {
			w.t.Fatal(err)
		}
		n += v
	}
	return n
}

// gone waits until the server says that the session has ended, and knows no more than so many: Java refuses one that is about to end. Java closes a connection that comes while it closes those of the session, and a silent
// one by a clock of its own (NIOServerCnxnFactory.ConnectionExpirerThread), at times before the session has ended: coming back has prolonged it then.
func (s *ses) gone(at, left int) {
	s.p.t.Helper()
	s.p.until("a session that has ended is refused", func() bool {
		c, resp, err := s.p.dial(at, jute.ConnectRequest{SessionID: s.id, Password: s.password})
		if err != nil {
			return false
		}
		defer c.Close()
		if resp.SessionID != 0 && s.p.kinds[at] == "java" {
			rest(c)
			return false
		}
		if resp.SessionID != 0 {
			s.p.t.Fatalf("%s lives on", s.name)
		}
		return true
	})
	s.p.until("the session is known no more", func() bool { return s.p.sessions(at) <= left })
}

// rest reads until the connection ends.
func rest(c *client.RawConn) string {
	if c == nil {
		return "none"
	}
	for n := 0; ; n++ {
		if _, err := c.Recv(); err != nil {
			if n > 0 {
				return fmt.Sprintf("%d frames and %s", n, ending(err))
			}
			return ending(err)
		}
	}
}

// ending says how a connection ended; a reset is only a question of what was under way.
func ending(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "open"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe") {
		return "closed"
	}
	return err.Error()
}

// ask sends requests in one write and says the answer to each.
func (s *ses) ask(requests ...call) {
	if s.RawConn == nil {
		return
	}
	var out []byte
	for _, r := range requests {
		s.xid++
		b := (&jute.RequestHeader{Xid: s.xid, Type: int32(r.op)}).Append(nil)
		if r.body != nil {
			b = r.body.Append(b)
		}
		out = append(jute.AppendInt32(out, int32(len(b))), b...)
	}
	if _, err := s.Write(out); err != nil {
		s.p.say("%s: %s", s.name, ending(err))
		return
	}
	for i, r := range requests {
		h, body, err := s.Reply()
		if err == nil && h.Xid == jute.XidEvent {
			s.p.say("%s: an event", s.name)
			h, body, err = s.Reply()
		}
		if err != nil {
			s.p.say("%s %s: %s", s.name, r.text, ending(err))
			return
		}
		if s.p.base == 0 && r.op == jute.OpCreate {
			s.p.base = h.Zxid
		}
		text := fmt.Sprintf("%s %s: %v", s.name, r.text, jute.Code(h.Err))
		switch {
		case s.p.base == 0:
		case h.Zxid>>32 != s.p.base>>32: // how many epochs an election takes does not matter
			text += fmt.Sprintf(", zxid %d of another epoch", uint32(h.Zxid))
		default:
			text += fmt.Sprintf(", zxid %+d", h.Zxid-s.p.base)
		}
		if want := s.xid - int32(len(requests)-1-i); h.Xid != want && r.op != jute.OpPing {
			text += fmt.Sprintf(", xid %d in place of %d", h.Xid, want)
		}
		if r.op == jute.OpMulti && h.Err == 0 {
			d := jute.NewDecoder(body)
			var m client.MultiResponse
			m.Decode(&d)
			for _, part := range m {
				text += fmt.Sprintf(", %v %v", part.Op, part.Err)
			}
		} else if h.Err != 0 && len(body) > 0 {
			text += fmt.Sprintf(", %d bytes", len(body))
		}
		s.p.say("%s", text)
	}
}

// call is a request.
type call struct {
	op   jute.Op
	text string
	body client.Body
}

var open = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}

func op(op jute.Op, path string, flags jute.CreateMode) jute.Operation {
	return jute.Operation{Op: op, Path: []byte(path), ACL: open, Flags: flags, TTL: -1, Version: -1}
}

func one(o jute.Op, path string, flags jute.CreateMode) call {
	if o == jute.OpExists || o == jute.OpGetData {
		return call{o, fmt.Sprintf("%v %s", o, path), &jute.PathWatchRequest{Path: []byte(path)}}
	}
	body := op(o, path, flags)
	text := fmt.Sprintf("%v %s", o, path)
	if flags != 0 {
		text += fmt.Sprintf(" flags %d", flags)
	}
	return call{o, text, &body}
}

func multi(parts ...jute.Operation) call {
	text := "multi of"
	for _, o := range parts {
		text += fmt.Sprintf(" %v %s", o.Op, o.Path)
	}
	return call{jute.OpMulti, text, client.MultiRequest(parts)}
}

var (
	ping = call{jute.OpPing, "ping", nil}
	end  = call{jute.OpCloseSession, "closeSession", nil}
	sync = call{jute.OpSync, "sync", &jute.PathRequest{Path: []byte("/")}}
)
