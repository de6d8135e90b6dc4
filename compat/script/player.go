package script

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quoll/jute"
	"quoll/sasl"
)

// deadline is how long a step may wait for its answers.
const deadline = 30 * time.Second

// maxFrame is the largest frame taken from a server.
const maxFrame = 64 << 20

// Player does the steps of scripts, one after the other, against one server, and knows the connections and sessions that they have made.
type Player struct {
	// Wrap, if not nil, gives what takes the place of a new connection of this name.
	Wrap func(name string, c net.Conn) net.Conn

	// Tickets is the client's side of GSSAPI for a principal that logs in.
	Tickets func(principal string) (sasl.Exchange, error)

	addr  string
	norm  *normaliser
	conns map[string]*conn
}

// conn is a client connection of a script. A connection that has ended stays, so that further
// steps on it show just that.
type conn struct {
	net.Conn
	in      *bufio.Reader
	name    string
	xid     int32 // of the last request
	pending []pending
	setUp   bool // the ConnectRequest has been answered
	ended   bool
}

// pending is a request without its answer.
type pending struct {
	xid int32
	op  jute.Op
}

// Play runs the steps of s and gives each one's answer to got. It ends with an error where the
// script cannot go on: at a step that is wrong or that has no answer in time.
func Play(addr string, s *Script, got func(*Step, []string)) error {
	r, err := NewPlayer(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer r.Close()
	return r.Play(s, got)
}

// Play is that of the package, with this player, which goes on from where it is.
func (r *Player) Play(s *Script, got func(*Step, []string)) error {
	for _, l := range s.Lines {
		if l.Step == nil {
			continue
		}
		answer, err := r.Step(l.Step)
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", s.Name, l.Step.Number, strings.TrimSpace(strings.Join(l.Step.Source, " ")), err)
		}
		got(l.Step, answer)
	}
	return nil
}

// NewPlayer is a player for the server at addr, host:port. Zxids count from what the server has now; finding that out takes two of them.
func NewPlayer(addr string) (*Player, error) {
	r := &Player{addr: addr, conns: map[string]*conn{}}
	last, err := r.lastZxid()
	if err != nil {
		return nil, err
	}
	r.norm = newNormaliser(last)
	return r, nil
}

// Move goes on at another server, or the same one after a restart: no connection is left, all else that is known stays.
func (r *Player) Move(addr string) {
	r.Close()
	r.addr, r.conns = addr, map[string]*conn{}
}

// Close closes the connections. Their sessions live on.
func (r *Player) Close() {
	for _, c := range r.conns {
		if !c.ended {
			c.Close()
		}
	}
}

// lastZxid is the zxid of a session's end, made for this purpose. The session authenticates
// itself if it has to. A server that refuses that too counts from its beginning.
func (r *Player) lastZxid() (int64, error) {
	end := Call{Verb: "closeSession"}
	login := Call{Verb: "auth", Fields: []Field{{"scheme", "digest"}, {"auth", "golden:golden"}}}
	for _, requests := range [][]Call{{end}, {login, end}} {
		h, err := r.session(requests)
		if err != nil {
			return 0, err
		}
		if h.Err == 0 {
			return h.Zxid, nil
		}
	}
	return 0, nil
}

// session makes a session that sends these requests, one after the other, and gives the header of the last answer.
func (r *Player) session(requests []Call) (h jute.ReplyHeader, err error) {
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		return h, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(deadline))
	b, err := appender().appendConnect(make([]byte, 4), Call{Verb: "connect"})
	if err != nil {
		return h, err
	}
	for i := 0; ; i++ {
		if _, err := nc.Write(seal(b)); err != nil {
			return h, err
		}
		p, err := readFrame(nc)
		if err != nil {
			return h, fmt.Errorf("a session to find the last zxid: %w", err)
		}
		if i == len(requests) {
			// The server closes the connection, and only then has forgotten it.
			if _, err := io.Copy(io.Discard, nc); err != nil {
				return h, err
			}
			d := jute.NewDecoder(p)
			h.Decode(&d)
			return h, d.Err()
		}
		if b, _, _, err = r.appendRequest(make([]byte, 4), requests[i], int32(i)); err != nil {
			return h, err
		}
	}
}

// appender is a player that only makes bytes.
func appender() *Player { return &Player{norm: newNormaliser(0)} }

// seal writes the length into the first four bytes of a frame.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrame {
		return nil, fmt.Errorf("the server sends a frame of %d bytes", n)
	}
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, err
}

// closedLine is the answer of a connection that the server has closed.
const closedLine = "< closed"

// Step does one step and returns its answer, in the lines of a script.
func (r *Player) Step(s *Step) ([]string, error) {
	if s.Conn == "*" {
		if s.Request.Verb != "rebase" {
			return nil, fmt.Errorf("unknown verb %q", s.Request.Verb)
		}
		last, err := r.lastZxid()
		if err == nil {
			r.norm.rebase(last)
		}
		return nil, err
	}
	if s.Request.Verb == "expire" {
		return r.expire(s)
	}
	c, err := r.open(s)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Request.Verb == "dial":
		return nil, nil
	case c.ended:
		return []string{closedLine}, nil
	}
	c.SetDeadline(time.Now().Add(deadline))
	f := &fields{r: r, call: s.Request}
	sort := f.int("sort", 0) != 0
	switch s.Request.Verb {
	case "event":
		return c.collect(r.norm, sort, func(events int) bool { return events > 0 })
	case "closed":
		answer, err := c.collect(r.norm, sort, func(int) bool { return false })
		if err == nil && f.int("any", 0) != 0 {
			answer = []string{closedLine}
		}
		return answer, err
	case "halfclose":
		return nil, c.Conn.(*net.TCPConn).CloseWrite()
	case "kill":
		c.ended = true
		return nil, c.Close()
	case "login":
		exchange, err := r.exchange(f.word("principal", ""), f.word("user", ""), f.word("password", ""))
		if err != nil {
			return nil, err
		}
		return r.login(c, exchange)
	}
	before := len(c.pending)
	b, err := r.appendCall(nil, c, s.Request)
	if err != nil {
		return nil, err
	}
	// If the server has gone, reading will show it. What it sent before it went counts.
	c.Write(b)
	replies, err := strconv.Atoi(f.word("replies", strconv.Itoa(len(c.pending)-before)))
	if err != nil {
		return nil, err
	}
	left := max(len(c.pending)-replies, 0)
	return c.collect(r.norm, sort, func(int) bool { return len(c.pending) <= left })
}

// exchange is the client's side of SASL: of GSSAPI for a principal, of DIGEST-MD5 for a user.
func (r *Player) exchange(principal, user, password string) (sasl.Exchange, error) {
	if principal != "" {
		return r.Tickets(principal)
	}
	file, err := sasl.ParseFile("login", fmt.Sprintf("Client { org.apache.zookeeper.server.auth.DigestLoginModule required username=%q password=%q; };", user, password), nil)
	if err != nil {
		return nil, err
	}
	login, err := file.Login("Client", nil)
	if err != nil {
		return nil, err
	}
	return login.Client("zookeeper", "zk-sasl-md5", "")
}

// login authenticates by SASL. Tokens are others each time, so what it answers is how that ended.
func (r *Player) login(c *conn, exchange sasl.Exchange) ([]string, error) {
	for answer := []byte(nil); ; {
		token, err := exchange.Step(answer)
		if err != nil {
			return nil, err
		}
		if token != nil {
			b, err := r.appendCall(nil, c, Call{Verb: "sasl", Fields: []Field{{"token", "0x" + hex.EncodeToString(token)}}})
			if err != nil {
				return nil, err
			}
			c.Write(b)
			p, err := readFrame(c.in)
			if err != nil {
				return nil, err
			}
			c.match(p)
			d := jute.NewDecoder(p)
			var h jute.ReplyHeader
			if h.Decode(&d); h.Err != 0 {
				return []string{fmt.Sprintf("< err=%d", h.Err)}, nil
			}
			answer = d.Buffer()
			if d.Err() != nil {
				return nil, d.Err()
			}
		}
		if exchange.Done() {
			return []string{"< authenticated"}, nil
		}
	}
}

// expire lets a session end by itself, the one that the connection got first if the step names none: a connection that then goes away renews
// it with the shortest timeout that the server grants. Nothing else may be going on.
func (r *Player) expire(s *Step) ([]string, error) {
	name, f := s.Conn, &fields{r: r, call: s.Request}
	session := f.word("session", "@"+name)
	if err := f.done(); err != nil {
		return nil, err
	}
	if c := r.conns[name]; c != nil && !c.ended {
		c.ended = true
		c.Close()
	}
	before, err := Zxid(r.addr)
	if err != nil {
		return nil, err
	}
	answer, err := r.Step(NewStep(name, Call{Verb: "connect", Fields: []Field{{"timeout", "0"}, {"session", session}, {"passwd", session}}}))
	if err != nil || len(answer) == 0 || !strings.Contains(answer[0], " session=@") {
		return answer, err
	}
	c := r.conns[name]
	c.ended = true
	c.Close()
	for limit := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		now, err := Zxid(r.addr)
		if err != nil {
			return nil, err
		}
		if now > before {
			_, text := r.norm.relative(now)
			return append(answer, "< expired zxid="+text), nil
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("the session is still there after %v", deadline)
		}
	}
}

// Zxid is that of the last transaction that a server has applied, asked for without a session.
func Zxid(addr string) (int64, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(deadline))
	if _, err := nc.Write([]byte("srvr")); err != nil {
		return 0, err
	}
	b, err := io.ReadAll(nc)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "Zxid: ")
	text, _, _ := strings.Cut(after, "\n")
	return strconv.ParseInt(text, 0, 64)
}

// open gives the step's connection, dialling it if it is not there and the verb asks for one.
func (r *Player) open(s *Step) (*conn, error) {
	c := r.conns[s.Conn]
	first := s.Request.Verb
	if first == "pipe" && len(s.Request.Parts) > 0 {
		first = s.Request.Parts[0].Verb
	}
	wanted := first == "dial" || first == "connect"
	if c != nil && (!wanted || !c.ended && !c.setUp) {
		return c, nil
	}
	if !wanted {
		return nil, fmt.Errorf("no connection %s", s.Conn)
	}
	if c != nil && !c.ended {
		return nil, fmt.Errorf("connection %s is open", s.Conn)
	}
	f := &fields{r: r, call: s.Request}
	d := net.Dialer{Timeout: deadline}
	if from := f.word("from", ""); from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	addr := r.addr
	if via := f.word("via", ""); via != "" {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(via, port)
	}
	nc, err := d.Dial("tcp", addr)
	// A server that closes a connection as soon as it is there may be faster than Dial.
	gone := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
	if err != nil && !gone {
		return nil, err
	}
	if r.Wrap != nil && !gone {
		nc = r.Wrap(s.Conn, nc)
	}
	c = &conn{Conn: nc, in: bufio.NewReader(nc), name: s.Conn, ended: gone}
	r.conns[s.Conn] = c
	return c, nil
}

// appendCall appends the bytes of a step and notes the answers that they will get.
func (r *Player) appendCall(b []byte, c *conn, q Call) ([]byte, error) {
	at := len(b)
	f := &fields{r: r, call: q}
	switch q.Verb {
	case "pipe":
		for _, part := range q.Parts {
			var err error
			if b, err = r.appendCall(b, c, part); err != nil {
				return b, err
			}
		}
		return b, nil
	case "bytes":
		p, err := hex.DecodeString(strings.TrimPrefix(f.required("path"), "0x"))
		return append(b, p...), err
	case "frame":
		p, err := hex.DecodeString(strings.TrimPrefix(f.required("path"), "0x"))
		if err != nil {
			return b, err
		}
		b = append(append(b, 0, 0, 0, 0), p...)
		seal(b[at:])
		d := jute.NewDecoder(p)
		var h jute.RequestHeader
		h.Decode(&d)
		c.expect(h.Xid, jute.Op(h.Type))
		return b, nil
	case "connect":
		b, err := r.appendConnect(append(b, 0, 0, 0, 0), q)
		seal(b[at:])
		c.pending = append(c.pending, pending{op: opConnect})
		return b, err
	}
	b, xid, op, err := r.appendRequest(append(b, 0, 0, 0, 0), q, c.xid+1)
	seal(b[at:])
	if xid == c.xid+1 {
		c.xid = xid
	}
	c.expect(xid, op)
	return b, err
}

func (c *conn) expect(xid int32, op jute.Op) {
	if !c.setUp && len(c.pending) == 0 {
		op = opConnect // whatever it is, the server takes it for that
	}
	if op == jute.OpPing {
		xid = jute.XidPing
	}
	c.pending = append(c.pending, pending{xid, op})
}

// collect reads frames until enough says so, given the number of events so far, or the server
// closes the connection, and gives them as lines.
func (c *conn) collect(n *normaliser, sort bool, enough func(events int) bool) ([]string, error) {
	var frames [][]string
	events := 0 // at the end of frames
	for seen := 0; !enough(seen); {
		p, err := readFrame(c.in)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, fmt.Errorf("no answer within %v; until then:\n%s", deadline, strings.Join(slices.Concat(frames...), "\n"))
			}
			c.ended = true
			c.Close()
			frames = append(frames, []string{closedLine})
			break
		}
		op, event := c.match(p)
		frames = append(frames, n.frame(c.name, p, op))
		if event {
			seen++
			events++
		} else {
			events = 0
		}
		if sort {
			slices.SortFunc(frames[len(frames)-events:], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		}
	}
	return slices.Concat(frames...), nil
}

// match finds the request that a frame answers and takes it from the pending ones. Servers may
// answer out of order, so it is the first one of that xid; a frame that answers none counts as
// the answer of the first, and the recording will show the difference.
func (c *conn) match(p []byte) (op jute.Op, event bool) {
	if !c.setUp {
		c.setUp = true
		if len(c.pending) > 0 {
			c.pending = c.pending[1:]
		}
		return opConnect, false
	}
	if len(p) < 4 {
		return jute.OpError, false
	}
	xid := int32(binary.BigEndian.Uint32(p))
	i := slices.IndexFunc(c.pending, func(q pending) bool { return q.xid == xid })
	switch {
	case i >= 0:
		op = c.pending[i].op
	case xid == jute.XidEvent:
		return jute.OpNotification, true
	case len(c.pending) == 0:
		return jute.OpError, false
	case c.pending[0].op == jute.OpCreateSession:
		i, op = 0, opConnect // what the real server sends to a client that tries
	default:
		i, op = 0, jute.OpError
	}
	c.pending = slices.Delete(c.pending, i, i+1)
	return op, false
}

// Stat is a znode's stat in the normalisation of the answers. What that cannot place stays as it is.
func (r *Player) Stat(s jute.Stat) jute.Stat {
	s.Ctime, _ = r.norm.time(s.Ctime, s.Czxid)
	s.Mtime, _ = r.norm.time(s.Mtime, s.Mzxid)
	s.Czxid, _ = r.norm.relative(s.Czxid)
	s.Mzxid, _ = r.norm.relative(s.Mzxid)
	s.Pzxid, _ = r.norm.relative(s.Pzxid)
	s.EphemeralOwner = r.Session(s.EphemeralOwner)
	return s
}

// SortACL brings the entries of an ACL into the order of the answers.
func (*Player) SortACL(acl []jute.ACL) {
	sortACL(acl, func(a jute.ACL) (int32, bool) { return a.Perms, a.Scheme == "digest" }, func(a, b jute.ACL) int { return strings.Compare(a.ID, b.ID) })
}

// Session is a session id in the normalisation of the answers.
func (r *Player) Session(id int64) int64 {
	id, _ = r.norm.session(id)
	return id
}
