package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"quoll/client"
	"quoll/history"
	"quoll/jute"
)

var (
	// ErrWrong is the error of an answer that no server may give.
	ErrWrong = errors.New("wrong answer")

	// ErrRefused is the error of a session that the server does not know any more, which may be right: the checker judges. The next
	// connection makes a new one.
	ErrRefused = errors.New("the session was refused")
)

// began is where instants count from, for all clients.
var began = time.Now()

func now() int64 { return int64(time.Since(began)) }

// Options of a client.
type Options struct {
	ID      int // no two clients of a history have the same
	Seed    int64
	Timeout time.Duration // of its sessions
	Ends    bool          // its sessions may end at any time, whatever the timeout says; it has no ephemeral znodes below Certain
	Window  int           // the most requests under way
	Length  int           // the most requests of one connection
	Pause   time.Duration // before it sends again
	Silence time.Duration // after which it gives a connection up that has no answer; 0 is never
}

// Client is one client. It goes from connection to connection with its session; one goroutine uses it.
type Client struct {
	Options
	Rand    *rand.Rand
	Answers atomic.Int64 // so far; any goroutine may read it

	session  int64
	password []byte
	seen     int64    // the last zxid
	closing  bool     // closeSession was sent, and perhaps not carried out
	queue    []string // sequential znodes that it may delete
	number   uint64   // of the data written so far
	versions map[string]int32

	records []*history.Connection
	rec     *history.Connection
	conn    *client.RawConn
	out     []byte
	looking bool // at everything
}

// New makes a client that has no session yet.
func New(o Options) *Client {
	return &Client{Options: o, Rand: rand.New(rand.NewPCG(uint64(o.Seed), uint64(o.ID))), versions: map[string]int32{}}
}

// Take returns the records since the last call.
func (c *Client) Take() []*history.Connection {
	records := c.records
	c.records = nil
	return records
}

// Play sends and receives until the connection ends, until the client has had enough of it, which is no error, or until stop is closed and
// all its requests are answered.
func (c *Client) Play(conn net.Conn, stop <-chan struct{}) error {
	defer c.leave(conn)
	if err := c.connect(conn); err != nil {
		return err
	}
	window := 1 + c.Rand.IntN(c.Window)
	left := 1 + c.Rand.IntN(c.Length) // requests before something else is done
	drop := c.Rand.IntN(2) == 0       // the connection, with requests under way; otherwise the session is closed
	stopping := false
	for {
		select {
		case <-stop:
			stopping = true
		default:
			time.Sleep(c.Pause)
		}
		c.out = c.out[:0]
		for c.waiting() < window && !c.closing && !stopping {
			if left--; left <= 0 {
				if !drop {
					c.request(history.Op{Part: history.Part{Op: jute.OpCloseSession}})
					c.closing = true
				}
				break
			}
			c.request(c.generate())
		}
		if err := c.send(); err != nil {
			return err
		}
		if left <= 0 && drop {
			return nil
		}
		goal := window / 2
		if c.closing || stopping {
			goal = 0
		}
		for c.waiting() > goal {
			if err := c.receive(); err != nil {
				return err
			}
		}
		if c.closing {
			c.forget()
			return nil
		}
		if stopping {
			return nil
		}
	}
}

// leave closes a connection. Of requests that are under way nothing is sent any more: on a network with faults the kernel would bring them to the server at a time when everybody
// takes it for certain that they were not carried out.
func (c *Client) leave(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok && c.rec != nil && c.waiting() > 0 {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// Prepare makes the directories of an empty server.
func (c *Client) Prepare(conn net.Conn) error {
	return c.visit(conn, func() {
		for _, dir := range dirs {
			c.request(history.Op{Part: history.Part{Op: jute.OpCreate, Path: dir}})
		}
	})
}

// Look reads everything: then it is known what the writes have done that nobody answered.
func (c *Client) Look(conn net.Conn) error {
	c.looking, c.queue = true, nil
	defer func() { c.looking = false }()
	read := func(op jute.Op, paths []string) {
		for _, path := range paths {
			c.request(history.Op{Part: history.Part{Op: op, Path: path}})
		}
	}
	return c.visit(conn,
		func() { read(jute.OpSync, upper[:1]) },
		func() { read(jute.OpGetChildren2, upper); read(jute.OpGetData, hot) },
		func() { read(jute.OpGetData, c.queue) })
}

// visit has a connection for some rounds of requests, each answered before the next.
func (c *Client) visit(conn net.Conn, rounds ...func()) error {
	defer conn.Close()
	if err := c.connect(conn); err != nil {
		return err
	}
	for _, round := range rounds {
		c.out = c.out[:0]
		round()
		if err := c.send(); err != nil {
			return err
		}
		for c.waiting() > 0 {
			if err := c.receive(); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect renews the session, or makes one.
func (c *Client) connect(conn net.Conn) error {
	c.conn = client.NewRawConn(conn)
	c.extend()
	rec := &history.Connection{Client: c.ID, New: c.session == 0, Call: now()}
	req := jute.ConnectRequest{LastZxidSeen: c.seen, Timeout: int32(c.Timeout.Milliseconds()), SessionID: c.session, Password: c.password, HasReadOnly: true}
	if c.session == 0 {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := c.conn.Handshake(&req)
	if err != nil {
		return err
	}
	rec.Return = now()
	c.records = append(c.records, rec)
	if resp.SessionID == 0 {
		rec.Refused, rec.New = c.session, false
		c.forget()
		return ErrRefused
	}
	rec.Session, rec.Timeout = resp.SessionID, int64(resp.Timeout)*int64(time.Millisecond)
	if c.Ends {
		rec.Timeout = history.Anytime
	}
	if !rec.New { // a log says which request of a session it has
		rec.First = c.rec.First + len(c.rec.Ops)
	}
	c.rec, c.session, c.password, c.closing = rec, resp.SessionID, slices.Clone(resp.Password[:]), false
	return nil
}

// forget has the next connection make a session.
func (c *Client) forget() { c.session, c.password, c.closing = 0, nil, false }

// waiting is how many requests have no answer yet.
func (c *Client) waiting() int { return len(c.rec.Ops) - c.rec.Replies }

// extend gives the server time for the next answer.
func (c *Client) extend() {
	if c.Silence > 0 {
		c.conn.SetDeadline(time.Now().Add(c.Silence))
	}
}

// send sends the requests that were made.
func (c *Client) send() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	return err
}

// request appends a request to what is sent next.
func (c *Client) request(o history.Op) {
	o.Call, o.Return = now(), history.Never
	at := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0)
	c.out = (&jute.RequestHeader{Xid: int32(c.rec.First + len(c.rec.Ops) + 1), Type: int32(o.Op)}).Append(c.out)
	if o.Op == jute.OpMulti {
		for i := range o.Parts {
			c.out = (&jute.MultiHeader{Type: int32(o.Parts[i].Op), Err: -1}).Append(c.out)
			c.out = c.body(c.out, &o.Parts[i])
		}
		c.out = jute.MultiEnd.Append(c.out)
	} else {
		c.out = c.body(c.out, &o.Part)
	}
	binary.BigEndian.PutUint32(c.out[at:], uint32(len(c.out)-at-4))
	c.rec.Ops = append(c.rec.Ops, o)
}

// body appends the record of one operation, and gives it its data.
func (c *Client) body(b []byte, o *history.Part) []byte {
	path := []byte(o.Path)
	switch o.Op {
	case jute.OpCreate, jute.OpCreate2:
		return (&jute.CreateRequest{Path: path, Data: c.data(o), ACL: openACL, Flags: o.Mode}).Append(b)
	case jute.OpSetData:
		return (&jute.SetDataRequest{Path: path, Data: c.data(o), Version: o.Version}).Append(b)
	case jute.OpSetACL:
		return (&jute.SetACLRequest{Path: path, ACL: openACL, Version: o.Version}).Append(b)
	case jute.OpDelete, jute.OpCheck:
		return (&jute.DeleteRequest{Path: path, Version: o.Version}).Append(b)
	case jute.OpSync:
		return (&jute.PathRequest{Path: path}).Append(b)
	case jute.OpAddWatch:
		return (&jute.AddWatchRequest{Path: path, Mode: o.Mode}).Append(b)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		return (&jute.WatchesRequest{Path: path, Type: o.Mode}).Append(b)
	case jute.OpCloseSession:
		return b
	}
	return (&jute.PathWatchRequest{Path: path, Watch: o.Watch}).Append(b)
}

// data makes data that nobody else writes, of several sizes; now and then null and empty.
func (c *Client) data(o *history.Part) []byte {
	var data []byte
	switch k := c.Rand.IntN(200); k {
	case 0:
	case 1:
		data = []byte{}
	default:
		c.number++
		data = make([]byte, 16+k/4)
		binary.BigEndian.PutUint64(data, uint64(c.ID))
		binary.BigEndian.PutUint64(data[8:], c.number)
	}
	o.Data = history.DataOf(data)
	return data
}

// receive reads one frame: a reply or an event.
func (c *Client) receive() error {
	c.extend()
	h, body, err := c.conn.Reply()
	if err != nil {
		return err
	}
	d := jute.NewDecoder(body)
	if h.Xid == jute.XidEvent {
		var e jute.WatcherEvent
		e.Decode(&d)
		c.rec.Events = append(c.rec.Events, history.Event{After: c.rec.Replies, Type: jute.EventType(e.Type), Path: once(e.Path), Zxid: h.Zxid})
		return d.Err()
	}
	if c.waiting() == 0 || h.Xid != int32(c.rec.First+c.rec.Replies+1) {
		return fmt.Errorf("%w: a reply with xid %d after %d replies to %d requests", ErrWrong, h.Xid, c.rec.Replies, len(c.rec.Ops))
	}
	o := &c.rec.Ops[c.rec.Replies]
	if jute.Code(h.Err) == jute.ErrSessionMoved {
		return jute.ErrSessionMoved // back: the request counts as not answered
	}
	o.Zxid, o.Err = h.Zxid, jute.Code(h.Err)
	if o.Op == jute.OpMulti {
		var r client.MultiResponse
		r.Decode(&d)
		if o.Err == jute.OK && len(r) != len(o.Parts) {
			return fmt.Errorf("%w: a multi of %d operations has %d results", ErrWrong, len(o.Parts), len(r))
		}
		for i := range r {
			o.Parts[i].Err, o.Parts[i].Made, o.Parts[i].Stat = r[i].Err, r[i].Path, r[i].Stat
			c.learn(&o.Parts[i])
		}
	} else if o.Err == jute.OK {
		c.decode(&d, &o.Part)
		c.learn(&o.Part)
	}
	if d.Err() != nil {
		return fmt.Errorf("%w: the reply to %v: %w", ErrWrong, o.Op, d.Err())
	}
	o.Return = now()
	c.rec.Replies++
	c.seen = max(c.seen, h.Zxid)
	c.Answers.Add(1)
	return nil
}

func (c *Client) decode(d *jute.Decoder, o *history.Part) {
	switch o.Op {
	case jute.OpCreate:
		o.Made = once(d.String())
	case jute.OpCreate2:
		o.Made = once(d.String())
		o.Stat.Decode(d)
	case jute.OpSetData, jute.OpSetACL, jute.OpExists:
		o.Stat.Decode(d)
	case jute.OpGetData:
		o.Data = history.DataOf(d.Buffer())
		o.Stat.Decode(d)
	case jute.OpGetChildren, jute.OpGetChildren2:
		for range d.Count() {
			name := d.Text()
			o.Children.Add(name)
			if c.looking && o.Path == queueDir {
				c.queue = append(c.queue, queueDir+"/"+string(name))
			}
		}
		if o.Op == jute.OpGetChildren2 {
			o.Stat.Decode(d)
		}
	}
}

// learn remembers versions and names, so that requests have a fair chance.
func (c *Client) learn(o *history.Part) {
	switch o.Op {
	case jute.OpSetData, jute.OpExists, jute.OpGetData:
		if _, ok := known[o.Path]; ok {
			c.versions[o.Path] = o.Stat.Version
		}
	case jute.OpCreate, jute.OpCreate2:
		if o.Path == sequence && o.Err == jute.OK && o.Made != "" {
			c.queue = append(c.queue, o.Made)
		}
	}
}
