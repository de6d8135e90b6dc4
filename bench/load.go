package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"quoll/jute"
)

const (
	sessionTimeout = 40 * time.Second // what servers grant at most with tickTime=2000
	replyTimeout   = 60 * time.Second // a server that is silent for so long has failed
	readBuffer     = 64 << 10         // bytes of a connection under load
	longestReply   = 4 << 20          // bytes
	maxLatency     = int64(replyTimeout)
)

// replyHeader is the length of a reply without a body: xid, zxid and err.
const replyHeader = 16

// source is where a connection takes its requests from.
type source interface {
	// next appends the next request to b as a whole frame, with an xid of 0, and returns the length that its reply has after
	// the length field. A length of 0 says that there is no further request, and nothing was appended.
	next(b []byte) ([]byte, int)
	// whole reports whether the requests so far may be the last ones.
	whole() bool
}

// conn is a session on a connection of its own. One goroutine may use it.
type conn struct {
	net.Conn
	session int64
	xid     int32  // of the request sent last
	reply   int32  // xid of the reply read last
	out     []byte // requests of the next write
	in      []byte // in[start:end] has arrived and is not looked at yet
	start   int
	end     int
	flight  []request // ring: the requests from reply+1 to xid, each at its xid modulo the length
}

// request is what a conn remembers of a request in flight.
type request struct {
	sent time.Duration
	want int // length of the reply
}

// wrongReply is the error for a reply that no correct server gives to the request.
type wrongReply struct {
	addr net.Addr
	what string
}

func (e *wrongReply) Error() string { return fmt.Sprintf("wrong reply from %v: %s", e.addr, e.what) }

func (c *conn) wrong(format string, args ...any) error {
	return &wrongReply{c.RemoteAddr(), fmt.Sprintf(format, args...)}
}

// dial connects and opens a session.
func dial(addr string) (*conn, error) {
	nc, err := net.DialTimeout("tcp", addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	c, err := open(nc, replyTimeout)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open a session on %s: %w", addr, err)
	}
	return c, nil
}

// open opens a session on a connection.
func open(nc net.Conn, timeout time.Duration) (*conn, error) {
	c := &conn{Conn: nc}
	req := jute.ConnectRequest{Timeout: int32(sessionTimeout / time.Millisecond), Password: make([]byte, jute.PasswordLength), HasReadOnly: true}
	b := req.Append(make([]byte, 4, 64))
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	// Small until a load starts: an idle connection costs the generator little.
	c.in = make([]byte, 128)
	frame, err := c.frame()
	if err != nil {
		return nil, err
	}
	d := jute.NewDecoder(frame)
	var resp jute.ConnectResponse
	resp.Decode(&d)
	switch {
	case d.Err() != nil:
		return nil, c.wrong("to a connect request: %v", d.Err())
	case resp.Timeout <= 0 || resp.SessionID == 0:
		return nil, errors.New("the server refused a session")
	}
	c.session = resp.SessionID
	c.SetDeadline(time.Time{})
	return c, nil
}

// frame returns the next frame without its length field. It is valid until the next call.
func (c *conn) frame() ([]byte, error) {
	for {
		frame, err := c.buffered()
		if frame != nil || err != nil {
			return frame, err
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// buffered is frame for what has arrived already; nil if that is not a whole frame.
func (c *conn) buffered() ([]byte, error) {
	if c.end-c.start < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(c.in[c.start:])
	if n > longestReply {
		return nil, c.wrong("a frame of %d bytes", int32(n))
	}
	if c.end-c.start < 4+int(n) {
		return nil, nil
	}
	frame := c.in[c.start+4 : c.start+4+int(n)]
	c.start += 4 + int(n)
	return frame, nil
}

// fill waits until more has arrived.
func (c *conn) fill() error {
	if c.start > 0 {
		copy(c.in, c.in[c.start:c.end])
		c.start, c.end = 0, c.end-c.start
	}
	if c.end == len(c.in) {
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
	n, err := c.Read(c.in[c.end:])
	c.end += n
	return err
}

// check is the error of a reply that does not answer the oldest request in flight with success and the right length.
func (c *conn) check(frame []byte, want int) error {
	if len(frame) < replyHeader {
		return c.wrong("a frame of %d bytes where a reply was due", len(frame))
	}
	xid := int32(binary.BigEndian.Uint32(frame))
	code := jute.Code(binary.BigEndian.Uint32(frame[12:]))
	switch {
	case xid != c.reply:
		return c.wrong("xid %d, expected %d", xid, c.reply)
	case code != jute.OK:
		return c.wrong("xid %d: %v", xid, code)
	case len(frame) != want:
		return c.wrong("xid %d: %d bytes, expected %d", xid, len(frame), want)
	}
	return nil
}

// window is the part of a run that counts. The zero value counts nothing and never ends.
type window struct{ from, to time.Time }

// result is what one connection, or all of a run together, have counted.
type result struct {
	ops     int64
	latency *hdrhistogram.Histogram // nanoseconds
}

func newResult() *result { return &result{latency: hdrhistogram.New(1, maxLatency, 3)} }

func (r *result) add(other *result) {
	r.ops += other.ops
	r.latency.Merge(other.latency)
}

// drive keeps depth requests of src in flight until src has no more or the window has ended, and then waits for the replies of
// those in flight. What it counts goes into res.
func (c *conn) drive(src source, depth int, w window, res *result) error {
	if len(c.in) < readBuffer {
		c.in = append(make([]byte, 0, readBuffer), c.in...)[:readBuffer]
	}
	c.flight = make([]request, depth)
	base := time.Now()
	from, to := w.from.Sub(base), w.to.Sub(base)
	now, due := time.Duration(0), time.Duration(0)
	more := true
	for room := depth; ; {
		c.out = c.out[:0]
		for more && room > 0 {
			if !w.to.IsZero() && now >= to && src.whole() {
				more = false
				break
			}
			at := len(c.out)
			var want int
			if c.out, want = src.next(c.out); want == 0 {
				more = false
				break
			}
			c.xid++
			binary.BigEndian.PutUint32(c.out[at+4:], uint32(c.xid))
			c.flight[int(c.xid)%depth] = request{now, want}
			room--
		}
		if room == depth {
			return nil
		}
		// Moving the deadline with every batch would cost more than it is worth.
		if now >= due {
			c.SetDeadline(base.Add(now + replyTimeout))
			due = now + replyTimeout/4
		}
		if len(c.out) > 0 {
			if _, err := c.Write(c.out); err != nil {
				return err
			}
		}
		frame, err := c.frame()
		now = time.Since(base)
		for ; frame != nil && err == nil; frame, err = c.buffered() {
			if room == depth {
				return c.wrong("a frame while no request is in flight")
			}
			c.reply++
			req := c.flight[int(c.reply)%depth]
			if err := c.check(frame, req.want); err != nil {
				return err
			}
			if now >= from && now < to {
				res.ops++
				res.latency.RecordValue(int64(now - req.sent))
			}
			room++
		}
		if err != nil {
			return err
		}
	}
}

// ask sends one request and waits for its answer, without the buffers of a load.
func (c *conn) ask(s step) error {
	c.SetDeadline(time.Now().Add(replyTimeout))
	c.xid++
	c.out = append(append(c.out[:0], s.head...), s.tail...)
	binary.BigEndian.PutUint32(c.out[4:], uint32(c.xid))
	if _, err := c.Write(c.out); err != nil {
		return err
	}
	frame, err := c.frame()
	if err != nil {
		return err
	}
	c.reply++
	return c.check(frame, s.want)
}

// ping sends a ping and waits for its answer.
func (c *conn) ping() error {
	c.SetDeadline(time.Now().Add(replyTimeout))
	req := jute.RequestHeader{Xid: jute.XidPing, Type: int32(jute.OpPing)}
	if _, err := c.Write(req.Append([]byte{0, 0, 0, 8})); err != nil {
		return err
	}
	frame, err := c.frame()
	if err != nil {
		return err
	}
	if len(frame) != replyHeader || int32(binary.BigEndian.Uint32(frame)) != jute.XidPing {
		return c.wrong("%x to a ping", frame)
	}
	return nil
}

// finish closes the session and the connection.
func (c *conn) finish() error {
	defer c.Close()
	return c.ask(newStep(jute.OpCloseSession, "", nil))
}

// fleet is a number of connections.
type fleet []*conn

// dialFleet opens n sessions, on the addresses in turn.
func dialFleet(n int, addrs ...string) (fleet, error) {
	f := make(fleet, n)
	err := make(fleet, n).each(dialing, func(i int, _ *conn) (err error) {
		f[i], err = dial(addrs[i%len(addrs)])
		return err
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// each calls do for every connection, so many of them at the same time, and returns the first error. That error closes every
// connection, so that the other calls end too.
func (f fleet) each(parallel int, do func(i int, c *conn) error) error {
	var (
		wg    sync.WaitGroup
		turns = make(chan struct{}, parallel)
		first = make(chan error, 1)
	)
	for i, c := range f {
		turns <- struct{}{}
		if len(first) > 0 {
			break
		}
		wg.Go(func() {
			defer func() { <-turns }()
			if err := do(i, c); err != nil {
				select {
				case first <- err:
					f.close()
				default:
				}
			}
		})
	}
	wg.Wait()
	close(first)
	return <-first
}

// finish closes every session.
func (f fleet) finish() error {
	return f.each(dialing, func(_ int, c *conn) error { return c.finish() })
}

func (f fleet) close() {
	for _, c := range f {
		if c != nil {
			c.Close()
		}
	}
}
