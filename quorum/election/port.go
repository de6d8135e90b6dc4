package election

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"quoll/ensemble"
	"quoll/ratelog"
	"quoll/zab/wire"
)

const (
	// maxGreetings is how many connections may be open that have not said who they are.
	maxGreetings = 128
	// maxStrangers is how many servers that are no members are known at a time.
	maxStrangers = 32
	// ringPause is how long a doorbell is left to be answered before it is rung again. A second one would end the connection that
	// answers the first; votes are repeated after 200 ms at the earliest.
	ringPause = 200 * time.Millisecond
)

// Options says how a [Port] runs.
type Options struct {
	// SID is the id of this server.
	SID int64
	// ListenOnAllIPs binds the ports of the own election addresses on all addresses of the machine (quorumListenOnAllIPs).
	ListenOnAllIPs bool
	// Listeners are used instead of binding the own election addresses, until those change. The Port closes them.
	Listeners []net.Listener
	// BindRetries is how often an address is tried, a second apart, until it is given up; 0 is for ever (zookeeper.electionPortBindRetry).
	BindRetries int
	// CnxTimeout is how long one attempt to connect may take (zookeeper.cnxTimeout); 0 is 5 seconds.
	CnxTimeout time.Duration
	// HandshakeTimeout is how long it may take a peer to say who it is, with TLS and SASL, and later to take a vote
	// (zookeeper.quorumCnxnTimeoutMs, or syncLimit ticks); 0 is 10 seconds.
	HandshakeTimeout time.Duration
	// KeepAlive makes the kernel look for dead peers on idle connections (zookeeper.tcpKeepAlive).
	KeepAlive bool
	// MultiAddress tells all own election addresses to peers (multiAddress.enabled), which servers before 3.6 do not understand.
	MultiAddress bool
	// RefuseStrangers closes the connections of servers that are in neither config. Apache ZooKeeper lets them ask, and who is to join by a
	// reconfig depends on it.
	RefuseStrangers bool
	// Heard gets each vote that comes in, in the order of its connection, with the sid of its sender: a negative one is made up, for an observer without a sid of its
	// own. It is called by several goroutines and holds up the connection until it returns. It may call Notify, but not Close.
	Heard func(from int64, vote wire.Notification)
	// BindFailed is called when all own addresses were given up; the Port goes on without listening. Java exits with code 14. Nil is only a line in
	// the log. It must not call Close.
	BindFailed func(error)
	// Secure comes first on a new connection: it returns the connection that is to be used, for example a TLS one. host is the one that
	// was dialled, as in the config, and empty on an accepted connection. conn has a deadline. Nil is TCP.
	Secure func(conn net.Conn, host string) (net.Conn, error)
	// Authenticate comes behind the initial message: as the client on a connection that was dialled, if sid is in the committed config, and as the
	// server on one that was accepted. Everything is read from r. conn has a deadline. Nil is none.
	Authenticate func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error
	// Logger gets what an operator should know; nil is silence.
	Logger *slog.Logger
}

// Port is the election port of a server. Its methods may be called from several goroutines.
type Port struct {
	opts     Options
	log      *slog.Logger
	rated    *ratelog.Logger // of what others can bring about as often as they like
	dialer   net.Dialer
	bindWait time.Duration // between two attempts to bind
	wg       sync.WaitGroup

	mu                  sync.Mutex
	closed              bool
	committed, lastSeen *ensemble.Config
	own                 []ensemble.Addr // of the newest config that has this server
	listening           *listening
	greetings           []net.Conn // accepted and not yet greeted, in the order they came
	peers               map[int64]*peer
	clock               uint64 // counts what makes a peer the newest
	lastGeneric         int64  // the sid given to the last observer without one
}

// Open returns a Port that is about to listen on the own election addresses: binding goes on in the background, and its end is in BindFailed. It is an error
// if this server is in neither config. Without a last seen config (nil) that is the committed one.
func Open(opts Options, committed, lastSeen *ensemble.Config) (*Port, error) {
	p := newPort(opts, committed, lastSeen)
	if len(p.own) == 0 {
		return nil, fmt.Errorf("election: server %d has no election address: it is not in the config; add its server line or correct myid", opts.SID)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(opts.Listeners) > 0 {
		p.accept(opts.Listeners)
	} else {
		p.bind()
	}
	return p, nil
}

func newPort(opts Options, committed, lastSeen *ensemble.Config) *Port {
	if opts.CnxTimeout <= 0 {
		opts.CnxTimeout = 5 * time.Second
	}
	if opts.HandshakeTimeout <= 0 {
		opts.HandshakeTimeout = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Port{opts: opts, log: opts.Logger, rated: ratelog.New(opts.Logger), bindWait: time.Second, peers: make(map[int64]*peer)}
	p.configure(committed, lastSeen)
	return p
}

// Notify sends a vote to a server, in place of one that is not sent yet. It never blocks. Without a connection the server is dialled, if it is a member; the
// vote for a stranger goes over its connection or nowhere.
func (p *Port) Notify(to int64, vote wire.Notification) {
	if to == p.opts.SID {
		return // a node hears itself without a port
	}
	frame := vote.AppendFrame(nil)
	if len(frame)-4 > wire.MaxFrame {
		p.log.Error("cannot send a vote: the config in it is too large", "sid", to, "bytes", len(vote.Config))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.peers[to] == nil && !p.member(to) {
		p.log.Debug("no connection to who is no member", "sid", to)
		return
	}
	pe := p.peer(to)
	pe.unsent = frame
	if pe.link != nil {
		pe.link.wakeUp()
		return
	}
	p.dial(pe, nil)
}

// Connected reports whether there is a connection to a server on which votes go.
func (p *Port) Connected(sid int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pe := p.peers[sid]
	return pe != nil && pe.link != nil
}

// Configure takes over new configs, which are not changed any more. When the own election addresses have changed they are bound and the old ones given up;
// connections to servers that are no members any more, or have other addresses now, are closed.
func (p *Port) Configure(committed, lastSeen *ensemble.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	before := make(map[int64][]ensemble.Addr)
	for sid := range p.peers {
		before[sid] = p.addrs(sid)
	}
	own := p.own
	p.configure(committed, lastSeen)
	for sid, was := range before {
		is := p.addrs(sid)
		if was == nil || ensemble.SameAddrs(was, is) {
			continue // a stranger may have become a member
		}
		old := p.peers[sid]
		p.forget(old)
		if is != nil {
			pe := p.peer(sid)
			pe.unsent, pe.last = old.unsent, old.last
		}
	}
	if !ensemble.SameAddrs(own, p.own) {
		p.bind()
	}
}

// Close ends all connections and returns when everything has ended.
func (p *Port) Close() {
	p.mu.Lock()
	p.closed = true
	p.stopListening()
	for _, conn := range p.greetings {
		_ = conn.Close()
	}
	for _, pe := range p.peers {
		p.forget(pe)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// configure sets the configs and what follows from them.
func (p *Port) configure(committed, lastSeen *ensemble.Config) {
	if lastSeen == nil {
		lastSeen = committed
	}
	p.committed, p.lastSeen = committed, lastSeen
	if own := p.addrs(p.opts.SID); own != nil {
		p.own = own // who was removed stays where it is
	}
}

// addrs returns the election addresses of a member, nil of a stranger.
func (p *Port) addrs(sid int64) []ensemble.Addr {
	for _, c := range []*ensemble.Config{p.committed, p.lastSeen} {
		if s := c.Server(sid); s != nil {
			return s.Election
		}
	}
	return nil
}

func (p *Port) member(sid int64) bool { return p.addrs(sid) != nil }

// peer is another server: a member, or a stranger that has a connection or is dialled.
type peer struct {
	sid      int64
	unsent   []byte             // the newest vote, as a frame, if it is not sent
	last     []byte             // the vote that was sent last
	link     *link              // nil if there is no connection
	dialling bool               // there is one dial at a time
	rang     time.Time          // when the doorbell was rung last
	newest   uint64             // the clock when it came or got its connection
	ctx      context.Context    // ends with the peer
	cancel   context.CancelFunc // by forget
}

// peer returns the server with the sid. For a new stranger the oldest one may go.
func (p *Port) peer(sid int64) *peer {
	if pe := p.peers[sid]; pe != nil {
		return pe
	}
	if !p.member(sid) {
		p.makeRoom()
	}
	pe := &peer{sid: sid, newest: p.tick()}
	pe.ctx, pe.cancel = context.WithCancel(context.Background())
	p.peers[sid] = pe
	return pe
}

func (p *Port) tick() uint64 {
	p.clock++
	return p.clock
}

// makeRoom forgets the oldest stranger if there are as many as may be: who asks needs its answer soon or not at all.
func (p *Port) makeRoom() {
	n := 0
	var oldest *peer
	for sid, pe := range p.peers {
		if p.member(sid) {
			continue
		}
		n++
		if oldest == nil || pe.newest < oldest.newest {
			oldest = pe
		}
	}
	if n >= maxStrangers {
		p.forget(oldest)
	}
}

// forget ends whatever there is of a peer.
func (p *Port) forget(pe *peer) {
	delete(p.peers, pe.sid)
	pe.cancel()
	if pe.link != nil {
		pe.link.close()
	}
}

// prune forgets a stranger that has nothing any more.
func (p *Port) prune(pe *peer) {
	if p.peers[pe.sid] == pe && pe.link == nil && !pe.dialling && !p.member(pe.sid) {
		p.forget(pe)
	}
}
