package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quoll/jute"
)

// ErrClosed is the error of requests on a client that has been closed, and of those that its closing interrupted.
var ErrClosed = errors.New("client is closed")

// ErrQueueFull is the error of a request that would make more than 64 MiB of unsent requests wait for the network.
var ErrQueueFull = errors.New("too many unsent requests")

// sendQueueLimit is the most bytes of requests that wait for the network. One request above it is taken if nothing else waits.
const sendQueueLimit = 64 << 20

// DefaultPort is the port of a server given without one.
const DefaultPort = "2181"

// Options of a client. The zero value is good.
type Options struct {
	Timeout  time.Duration // of the session, to be clamped by the server; 0 means 30 s
	ReadOnly bool          // accept a server that is cut off from its quorum, and leave it when another has one
	MaxFrame int           // bytes that a frame from the server may have; 0 means DefaultMaxFrame

	// SessionID and Password take over a session that exists; zero for a new one.
	SessionID int64
	Password  []byte

	// OnEvent is called with one event at a time, in order. It may call the client, but not Close or Abandon.
	OnEvent func(Event)

	// Dial connects to host:port, for TLS or for tests; nil means plain TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// SASL begins the authentication of each connection, before it is dialled; addr is the server's host:port. Nil means that there is none. An error ends the attempt, as one of
	// Dial does. If the server refuses the client is at its end in StateAuthFailed.
	SASL func(ctx context.Context, addr string) (Authenticator, error)
}

// Reply is the outcome of a request.
type Reply struct {
	Zxid int64  // of the header
	Body []byte // after the header; valid until the callback returns
	Err  error  // the jute.Code of the header unless that is OK; without a reply, why there is none
}

// Client is one session. Its methods may be called from any goroutine.
type Client struct {
	opts    Options
	servers []string // in the order of attempts
	chroot  string   // empty or /path
	cancel  context.CancelFunc
	work    sync.WaitGroup // every goroutine

	mu      sync.Mutex
	state   State
	err     error         // why the state is final
	lastErr error         // why the last attempt or connection ended
	changed chan struct{} // closed and replaced when state changes

	session  jute.ConnectResponse // the last one granted
	lastZxid int64
	seenRW   bool // the session is known to a quorum, not only to one read-only server
	auths    []*authentication
	watches  watchTable

	link    *link // nil while there is no connection
	xid     int32
	queued  []byte        // frames that wait for a connection
	pending []func(Reply) // in order of their requests, from oldest on
	oldest  int
	xids    []int32 // of pending

	events     []Event
	eventBytes int
	delivering bool
	arrived    uint64    // events queued ever
	handled    uint64    // events that the handler has had
	settled    sync.Cond // handled has grown
}

// authentication is what addauth sends, now and on each new connection.
type authentication struct {
	packet jute.AuthPacket
	done   func(error) // nil once it has been called
}

// link is one connection. All but its first two fields are guarded by Client.mu. Answers to auth packets and pings have xids of their
// own, so each kind has its own queue.
type link struct {
	*RawConn
	heard    atomic.Bool // something came since the last ping
	out      []byte
	spare    []byte
	flushing bool
	auths    []*authentication // whose answers are due
	pings    []func(Reply)     // whose answers are due; nil for those of keepAlive
}

// ParseServers splits a connect string host:port,host:port/chroot. A port left out is DefaultPort; the chroot is empty or starts
// with a slash and does not end with one.
func ParseServers(s string) (servers []string, chroot string, err error) {
	hosts := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		hosts, chroot = s[:i], s[i:]
		if chroot == "/" {
			chroot = ""
		} else if err := ValidatePath(chroot); err != nil {
			return nil, "", fmt.Errorf("connect string %q: chroot: %w", s, err)
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
			host = net.JoinHostPort(bare, DefaultPort)
			if _, _, err := net.SplitHostPort(host); err != nil {
				return nil, "", fmt.Errorf("connect string %q: %w", s, err)
			}
		}
		servers = append(servers, host)
	}
	if len(servers) == 0 {
		return nil, "", fmt.Errorf("connect string %q names no server", s)
	}
	return servers, chroot, nil
}

// New starts a client for a connect string, see [ParseServers], and returns before it is connected.
func New(servers string, opts Options) (*Client, error) {
	list, chroot, err := ParseServers(servers)
	if err != nil {
		return nil, err
	}
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Timeout < time.Millisecond || opts.Timeout > math.MaxInt32*time.Millisecond {
		return nil, fmt.Errorf("session timeout %v is not between 1 ms and 2^31-1 ms", opts.Timeout)
	}
	if opts.MaxFrame == 0 {
		opts.MaxFrame = DefaultMaxFrame
	}
	if opts.Dial == nil {
		opts.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{opts: opts, servers: list, chroot: chroot, cancel: cancel, state: StateConnecting, changed: make(chan struct{})}
	c.settled.L = &c.mu
	c.session.Timeout = int32(opts.Timeout.Milliseconds())
	c.session.SessionID = opts.SessionID
	copy(c.session.Password[:], opts.Password)
	c.seenRW = opts.SessionID != 0
	c.work.Go(func() { c.run(ctx) })
	return c, nil
}

// Connect is New followed by WaitConnected; if that fails the client is closed.
func Connect(ctx context.Context, servers string, opts Options) (*Client, error) {
	c, err := New(servers, opts)
	if err != nil {
		return nil, err
	}
	if err := c.WaitConnected(ctx); err != nil {
		c.Abandon()
		return nil, err
	}
	return c, nil
}

// WaitConnected returns when there is a connection, or with an error when there can be none any more or ctx ends.
func (c *Client) WaitConnected(ctx context.Context) error {
	for {
		c.mu.Lock()
		connected, err, changed := c.link != nil, c.err, c.changed
		c.mu.Unlock()
		switch {
		case connected:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.lastErr != nil {
				return fmt.Errorf("%w; the last attempt: %w", ctx.Err(), c.lastErr)
			}
			return ctx.Err()
		}
	}
}

// State returns the state of the client.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Session returns the id, the password and the negotiated timeout of the session; the id is 0 before the first connection.
func (c *Client) Session() (id int64, password []byte, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.SessionID, append([]byte(nil), c.session.Password[:]...), time.Duration(c.session.Timeout) * time.Millisecond
}

// LastZxid returns the largest zxid that a reply has shown.
func (c *Client) LastZxid() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastZxid
}

// LastError returns why the last attempt to connect failed or the last connection ended, nil while there is a connection.
func (c *Client) LastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastErr
}

// RemoteAddr returns the address of the server, nil while there is no connection.
func (c *Client) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return nil
	}
	return c.link.RemoteAddr()
}

// LocalAddr returns the client's own address, nil while there is no connection.
func (c *Client) LocalAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return nil
	}
	return c.link.LocalAddr()
}

// Disconnect drops the connection, if there is one, as a fault of the network would; the session goes on at the next.
func (c *Client) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.Close()
	}
}

// Close ends the session, which removes its ephemeral znodes, and returns when every goroutine of the client is gone. It waits for
// the server's answer as long as the session's timeout; without a connection the session is left to expire.
func (c *Client) Close() error {
	c.mu.Lock()
	connected, timeout := c.link != nil, time.Duration(c.session.Timeout)*time.Millisecond
	c.mu.Unlock()
	var err error
	if connected {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		err = c.do(ctx, jute.OpCloseSession, nil, nil, func(err error) {
			if err == nil { // before the end of the connection is seen, which would be an event of its own
				c.finish(StateClosed, ErrClosed)
			}
		})
		if errors.Is(err, ErrClosed) { // somebody else has closed it
			err = nil
		}
	}
	c.Abandon()
	return err
}

// Abandon closes the client but not the session, which lives on until it expires or another client takes it over. It returns when
// every goroutine of the client is gone.
func (c *Client) Abandon() {
	c.finish(StateClosed, ErrClosed)
	c.work.Wait()
}

// finish brings the client into a final state, unless it is in one.
func (c *Client) finish(state State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.setState(state)
	c.deliver(Event{Type: EventNone, State: state, Zxid: -1})
	c.cancel()
	if c.link != nil {
		c.link.Close()
	}
}

// setState is called with mu held.
func (c *Client) setState(s State) {
	c.state = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// Between two attempts to connect there is a random pause, up to these limits.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// run connects again and again until the client is in a final state.
func (c *Client) run(ctx context.Context) {
	next, failed, pause := 0, 0, firstPause
	for {
		addr := c.servers[next%len(c.servers)]
		next++
		began := time.Now()
		l, err := c.connect(ctx, addr)
		failed++
		if err == nil {
			failed = len(c.servers)
			var better int
			better, err = c.serve(ctx, l, next-1)
			if better >= 0 {
				next = better
			}
		}
		if c.lost(fmt.Errorf("%s: %w", addr, err), failed >= len(c.servers)) {
			return
		}
		failed %= len(c.servers)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		// Many clients that lose one server must not come back at the same moment.
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// connect makes a connection and renews the session, or makes one.
func (c *Client) connect(ctx context.Context, addr string) (*link, error) {
	c.mu.Lock()
	req := jute.ConnectRequest{
		LastZxidSeen: c.lastZxid, Timeout: int32(c.opts.Timeout.Milliseconds()), ReadOnly: c.opts.ReadOnly, HasReadOnly: true,
		Password: append([]byte(nil), c.session.Password[:]...),
	}
	if c.seenRW {
		req.SessionID = c.session.SessionID
	}
	timeout := time.Duration(c.session.Timeout) * time.Millisecond / time.Duration(len(c.servers))
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var authenticator Authenticator
	if c.opts.SASL != nil {
		var err error
		if authenticator, err = c.opts.SASL(ctx, addr); err != nil {
			return nil, fmt.Errorf("authentication with SASL: %w", err)
		}
	}
	conn, err := c.opts.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	l := &link{RawConn: NewRawConn(conn)}
	l.MaxFrame = c.opts.MaxFrame
	// The end of ctx, by time or by Close, ends the handshake.
	stop := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	session, err := l.Handshake(&req)
	expired := session.Timeout <= 0 || session.SessionID == 0
	if err != nil {
		err = fmt.Errorf("no answer to the connect request: %w", err)
	} else if authenticator != nil && !expired {
		err = c.authenticate(l, authenticator)
	}
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	if expired {
		l.Close()
		c.finish(StateExpired, jute.ErrSessionExpired)
		return nil, jute.ErrSessionExpired
	}
	c.established(l, session)
	return l, nil
}

// established makes l the connection. What waited is sent: first authentication, then the watches, which need it, then requests.
func (c *Client) established(l *link, session jute.ConnectResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil { // closed in between; serve will notice
		l.Close()
		return
	}
	c.session = session
	c.lastErr = nil
	c.link = l
	state := StateConnected
	if session.ReadOnly {
		state = StateConnectedReadOnly
	} else {
		c.seenRW = true
	}
	for _, a := range c.auths {
		l.out = appendFrame(l.out, jute.XidAuth, jute.OpAuth, &a.packet)
		l.auths = append(l.auths, a)
	}
	l.out = c.watches.appendSetWatches(l.out, c.lastZxid)
	l.out = append(l.out, c.queued...)
	c.queued = nil
	c.setState(state)
	c.deliver(Event{Type: EventNone, State: state, Zxid: -1})
	if c.opts.SASL != nil {
		c.deliver(Event{Type: EventNone, State: StateSaslAuthenticated, Zxid: -1})
	}
	c.flush(l)
}

// serve reads from the connection until it ends. For a read-only connection better is the index of a server with a quorum, if that is
// why the connection has ended, else -1.
func (c *Client) serve(ctx context.Context, l *link, index int) (better int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { c.keepAlive(ctx, l) })
	better = -1
	if c.State() == StateConnectedReadOnly {
		helpers.Go(func() { better = c.findReadWrite(ctx, l, index) })
	}
	for err == nil {
		var frame []byte
		if frame, err = l.Recv(); err == nil {
			l.heard.Store(true)
			err = c.receive(l, frame)
		}
	}
	cancel()
	l.Close()
	helpers.Wait()
	return better, err
}

// keepAlive pings after each third of the timeout, and closes the connection if then for a third nothing came.
func (c *Client) keepAlive(ctx context.Context, l *link) {
	_, _, timeout := c.Session()
	tick := time.NewTicker(max(timeout/3, time.Millisecond))
	defer tick.Stop()
	l.heard.Store(true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.heard.Swap(false) {
			l.Close()
			return
		}
		c.mu.Lock()
		c.sendPing(l, nil)
		c.mu.Unlock()
	}
}

// sendPing is called with mu held.
func (c *Client) sendPing(l *link, done func(Reply)) {
	l.out = appendFrame(l.out, jute.XidPing, jute.OpPing, nil)
	l.pings = append(l.pings, done)
	c.flush(l)
}

// findReadWrite asks the servers in turn, ever more seldom, until one has a quorum. Then it closes l and returns that one's index.
func (c *Client) findReadWrite(ctx context.Context, l *link, index int) int {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Minute) {
		select {
		case <-ctx.Done():
			return -1
		case <-time.After(pause):
		}
		index++
		if c.isReadWrite(ctx, c.servers[index%len(c.servers)]) {
			l.Close()
			return index
		}
	}
}

func (c *Client) isReadWrite(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := c.opts.Dial(ctx, addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write([]byte("isro")); err != nil {
		return false
	}
	var answer [2]byte
	n, _ := conn.Read(answer[:])
	return string(answer[:n]) == "rw"
}

// lost follows each connection and each failed attempt. It fails the requests that wait, unless there are servers that have not been
// tried yet, and reports whether the client is in a final state.
func (c *Client) lost(cause error, triedAll bool) bool {
	c.mu.Lock()
	final := c.err
	err := final
	if err == nil {
		err = jute.ErrConnectionLoss
		c.lastErr = cause
		if c.link != nil {
			c.setState(StateDisconnected)
			c.deliver(Event{Type: EventNone, State: StateDisconnected, Zxid: -1})
		}
	}
	var failed []func(Reply)
	var auths []func(error)
	if triedAll || final != nil {
		failed = c.pending[c.oldest:]
		if c.link != nil {
			failed = append(failed, c.link.pings...)
		}
		c.pending, c.xids, c.oldest, c.queued = nil, nil, 0, nil
		for _, a := range c.auths {
			if a.done != nil {
				auths = append(auths, a.done)
				a.done = nil
			}
		}
	}
	c.link = nil
	c.mu.Unlock()
	for _, done := range failed {
		if done != nil {
			done(Reply{Err: err})
		}
	}
	for _, done := range auths {
		done(err)
	}
	return final != nil
}

// receive handles one frame from the server.
func (c *Client) receive(l *link, frame []byte) error {
	d := jute.NewDecoder(frame)
	var h jute.ReplyHeader
	h.Decode(&d)
	if d.Err() != nil {
		return fmt.Errorf("reply header: %w", d.Err())
	}
	switch h.Xid {
	case jute.XidPing:
		return c.receivePing(l, &h)
	case jute.XidEvent:
		return c.receiveEvent(h.Zxid, &d)
	case jute.XidAuth:
		return c.receiveAuth(l, jute.Code(h.Err))
	case jute.XidSetWatches:
		if h.Err != 0 {
			return fmt.Errorf("setWatches: %w", jute.Code(h.Err))
		}
		return nil
	}
	c.mu.Lock()
	if c.oldest == len(c.pending) || c.xids[c.oldest] != h.Xid {
		c.mu.Unlock()
		return fmt.Errorf("reply with xid %d out of order", h.Xid)
	}
	done := c.pending[c.oldest]
	c.pending[c.oldest] = nil
	c.oldest++
	if c.oldest == len(c.pending) {
		c.pending, c.xids, c.oldest = c.pending[:0], c.xids[:0], 0
	} else if c.oldest >= 1024 && c.oldest*2 >= len(c.pending) {
		n := copy(c.pending, c.pending[c.oldest:])
		clear(c.pending[n:])
		copy(c.xids, c.xids[c.oldest:])
		c.pending, c.xids, c.oldest = c.pending[:n], c.xids[:n], 0
	}
	c.lastZxid = max(c.lastZxid, h.Zxid)
	c.mu.Unlock()
	done(newReply(&h, d.Rest()))
	return nil
}

func newReply(h *jute.ReplyHeader, body []byte) Reply {
	r := Reply{Zxid: h.Zxid, Body: body}
	if h.Err != 0 {
		r.Err = jute.Code(h.Err)
	}
	return r
}

func (c *Client) receivePing(l *link, h *jute.ReplyHeader) error {
	c.mu.Lock()
	if len(l.pings) == 0 {
		c.mu.Unlock()
		return errors.New("reply to a ping that was not sent")
	}
	done := l.pings[0]
	l.pings = l.pings[1:]
	c.mu.Unlock()
	if done != nil {
		done(newReply(h, nil))
	}
	return nil
}

func (c *Client) receiveEvent(zxid int64, d *jute.Decoder) error {
	var e jute.WatcherEvent
	e.Decode(d)
	if d.Err() != nil {
		return fmt.Errorf("watch event: %w", d.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches.fired(jute.EventType(e.Type), e.Path)
	if !c.deliver(Event{Type: jute.EventType(e.Type), State: State(e.State), Path: c.clientPath(e.Path), Zxid: zxid}) {
		return errors.New("the handler of events is too slow")
	}
	return nil
}

func (c *Client) receiveAuth(l *link, code jute.Code) error {
	c.mu.Lock()
	if len(l.auths) == 0 {
		c.mu.Unlock()
		return errors.New("reply to an auth packet that was not sent")
	}
	var done func(error)
	if code == jute.OK {
		a := l.auths[0]
		l.auths = l.auths[1:]
		done, a.done = a.done, nil
	}
	c.mu.Unlock()
	if code != jute.OK {
		c.finish(StateAuthFailed, jute.ErrAuthFailed)
		return code
	}
	if done != nil {
		done(nil)
	}
	return nil
}

// AddAuth authenticates the session's connections, this one and all that follow: those that follow also if the error is
// jute.ErrConnectionLoss. If the server refuses, the client is at its end in StateAuthFailed.
func (c *Client) AddAuth(ctx context.Context, scheme string, auth []byte) error {
	result := make(chan error, 1)
	a := &authentication{packet: jute.AuthPacket{Scheme: []byte(scheme), Auth: auth}, done: func(err error) { result <- err }}
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.auths = append(c.auths, a)
	if l := c.link; l != nil {
		l.out = appendFrame(l.out, jute.XidAuth, jute.OpAuth, &a.packet)
		l.auths = append(l.auths, a)
		c.flush(l)
	}
	c.mu.Unlock()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send sends a request and returns at once. If it returns nil, done is called exactly once with the outcome, on the goroutine that
// reads from the connection: it must not block, and must not wait for another request. req is nil for opcodes without a record, and
// is not used after the return. Paths in req are the server's, with the chroot.
func (c *Client) Send(op jute.Op, req Body, done func(Reply)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if op == jute.OpPing {
		if c.link == nil {
			return jute.ErrConnectionLoss
		}
		c.sendPing(c.link, done)
		return nil
	}
	out := &c.queued
	if c.link != nil {
		out = &c.link.out
	}
	before := len(*out)
	if c.xid == math.MaxInt32 {
		c.xid = 0
	}
	c.xid++
	*out = appendFrame(*out, c.xid, op, req)
	if before > 0 && len(*out) > sendQueueLimit {
		*out = (*out)[:before]
		return ErrQueueFull
	}
	c.pending = append(c.pending, done)
	c.xids = append(c.xids, c.xid)
	if c.link != nil {
		c.flush(c.link)
	}
	return nil
}

// flush has what is in l.out written, by a goroutine that lives as long as there is something. mu is held.
func (c *Client) flush(l *link) {
	if l.flushing || len(l.out) == 0 {
		return
	}
	l.flushing = true
	c.work.Go(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for len(l.out) > 0 {
			batch := l.out
			l.out, l.spare = l.spare[:0], nil
			c.mu.Unlock()
			_, err := l.Write(batch)
			c.mu.Lock()
			l.spare = batch
			if err != nil { // the reader will see the end
				l.Close()
				return
			}
		}
		l.flushing = false
	})
}

// Do sends a request, waits for the reply and decodes its body into resp, which may be nil. What resp holds afterwards is the caller's own. The
// error is a jute.Code if the server refused. When ctx ends first the request may still take effect. Paths in req and resp are the
// server's, with the chroot.
func (c *Client) Do(ctx context.Context, op jute.Op, req Body, resp Result) error {
	return c.do(ctx, op, req, resp, nil)
}

// do is Do with a function that the reader calls with the reply's error before it reads on: what it records of a watch is there before
// that watch can fire.
func (c *Client) do(ctx context.Context, op jute.Op, req Body, resp Result, onReply func(error)) error {
	replies := make(chan Reply, 1)
	err := c.Send(op, req, func(r Reply) {
		if onReply != nil {
			onReply(r.Err)
		}
		if resp != nil {
			r.Body = append([]byte(nil), r.Body...)
		}
		replies <- r
	})
	if err != nil {
		return err
	}
	select {
	case r := <-replies:
		if r.Err != nil || resp == nil {
			return r.Err
		}
		d := jute.NewDecoder(r.Body)
		resp.Decode(&d)
		if d.Err() != nil {
			return fmt.Errorf("answer of %v: %w", op, d.Err())
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
