package ensemble

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"quoll/compat/peer"
)

// Network carries all connections between the members of an ensemble, byte for byte, in user space. Each ordered pair of members has
// listeners of its own, which the zoo.cfg of the first names for the second, so that it is known whose bytes they are, and each direction
// can be cut or delayed by itself, whoever opened the connection. What is cut waits, as on a network that loses packets, and arrives when
// the cut is healed, unless the ends have given up by then.
type Network struct {
	members map[int64]*Member
	mu      sync.Mutex
	ways    map[way]*direction
	doors   map[way]*door
	conns   map[net.Conn]way // of both sides, by the pair that the connection was opened for
	closed  chan struct{}
	work    sync.WaitGroup
}

// way is from one member to another.
type way struct{ from, to int64 }

func (w way) back() way { return way{w.to, w.from} }

// door is where a member reaches another one.
type door struct {
	quorum, election net.Listener
}

// direction is what happens to bytes on a way.
type direction struct {
	open  chan struct{} // closed while bytes pass
	delay time.Duration
}

const (
	chunk = 32 << 10
	// queued is how many chunks may be under way, then the sender feels it.
	queued = 32
)

func newNetwork(members []*Member) (*Network, error) {
	n := &Network{members: map[int64]*Member{}, ways: map[way]*direction{}, doors: map[way]*door{}, conns: map[net.Conn]way{}, closed: make(chan struct{})}
	for _, from := range members {
		n.members[from.ID] = from
		for _, to := range members {
			if from == to {
				continue
			}
			w := way{from.ID, to.ID}
			open := make(chan struct{})
			close(open)
			n.ways[w] = &direction{open: open}
			d := &door{}
			for _, l := range []*net.Listener{&d.quorum, &d.election} {
				port, err := peer.FreePort()
				if err != nil {
					return nil, err
				}
				if *l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
					return nil, err
				}
			}
			n.doors[w] = d
		}
	}
	for w, d := range n.doors {
		n.work.Go(func() { n.accept(w, d.quorum, false) })
		n.work.Go(func() { n.accept(w, d.election, true) })
	}
	return n, nil
}

// ports are those at which a member reaches another.
func (n *Network) ports(from, to *Member) (quorum, election int) {
	d := n.doors[way{from.ID, to.ID}]
	return d.quorum.Addr().(*net.TCPAddr).Port, d.election.Addr().(*net.TCPAddr).Port
}

// Cut holds what one member sends to another. The other direction is not touched.
func (n *Network) Cut(from, to int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.ways[way{from, to}]
	select {
	case <-d.open:
		d.open = make(chan struct{})
	default:
	}
}

// Delay has each chunk of what one member sends to another arrive so much later.
func (n *Network) Delay(from, to int64, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ways[way{from, to}].delay = by
}

// Reset ends all connections between two members.
func (n *Network) Reset(a, b int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn, w := range n.conns {
		if w == (way{a, b}) || w == (way{b, a}) {
			conn.Close()
		}
	}
}

// Heal ends all cuts and delays.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.ways {
		d.delay = 0
		select {
		case <-d.open:
		default:
			close(d.open)
		}
	}
}

// Close ends all connections and listeners.
func (n *Network) Close() {
	n.Heal()
	n.mu.Lock()
	close(n.closed)
	for _, d := range n.doors {
		d.quorum.Close()
		d.election.Close()
	}
	for conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	n.work.Wait()
}

// keep remembers a connection, or closes it if the network is closed.
func (n *Network) keep(conn net.Conn, w way) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.closed:
		conn.Close()
		return false
	default:
	}
	n.conns[conn] = w
	return true
}

func (n *Network) forget(conn net.Conn) {
	conn.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, conn)
}

// state is whether and how bytes pass on a way now.
func (n *Network) state(w way) (open chan struct{}, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ways[w].open, n.ways[w].delay
}

// pass waits until bytes pass on a way.
func (n *Network) pass(w way) {
	for {
		open, _ := n.state(w)
		<-open
		if again, _ := n.state(w); again == open {
			return
		}
	}
}

func (n *Network) accept(w way, l net.Listener, election bool) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if n.keep(conn, w) {
			n.work.Go(func() { n.carry(w, conn, election) })
		}
	}
}

// carry connects a member that has dialled with the one that it wants, and carries what they say.
func (n *Network) carry(w way, conn net.Conn, election bool) {
	defer n.forget(conn)
	n.pass(w)
	n.pass(w.back())
	to, err := n.dial(w, election)
	if err != nil || !n.keep(to, w) {
		return
	}
	defer n.forget(to)
	var greeting func([]byte) []byte
	if election {
		greeting = n.greeting(w)
	}
	var both sync.WaitGroup
	both.Go(func() { n.copy(w, to, conn, greeting) })
	both.Go(func() { n.copy(w.back(), conn, to, nil) })
	both.Wait()
}

// dial goes on for a while when nobody listens: the member that dialled has been accepted already, and would take an end of the connection
// for more than it is.
func (n *Network) dial(w way, election bool) (net.Conn, error) {
	addr := n.members[w.to].QuorumAddr()
	if election {
		addr = n.members[w.to].ElectionAddr()
	}
	var err error
	for range 50 {
		var conn net.Conn
		if conn, err = net.Dial("tcp", addr); err == nil {
			return conn, nil
		}
		select {
		case <-n.closed:
			return nil, net.ErrClosed
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, err
}

// greeting changes the first message on an election connection: a member with a larger number dials back at the address that it names,
// which must lead through the network too. All ports have five digits, so that its length stays.
func (n *Network) greeting(w way) func([]byte) []byte {
	own := n.members[w.from].ElectionAddr()
	_, port := n.ports(n.members[w.to], n.members[w.from])
	return func(b []byte) []byte {
		return bytes.Replace(b, []byte(own), fmt.Appendf(nil, "127.0.0.1:%d", port), 1)
	}
}

// piece is some bytes, or the end of the stream.
type piece struct {
	data []byte
	due  time.Time
	end  error
}

// copy carries one direction of a connection until either end is gone. The end of a stream is told like bytes, after them.
func (n *Network) copy(w way, to, from net.Conn, first func([]byte) []byte) {
	pieces := make(chan piece, queued)
	n.work.Go(func() {
		defer close(pieces)
		for {
			b := make([]byte, chunk)
			size, err := from.Read(b)
			if b = b[:size]; first != nil && size > 0 {
				b, first = first(b), nil
			}
			_, delay := n.state(w)
			pieces <- piece{b, time.Now().Add(delay), err}
			if err != nil {
				return
			}
		}
	})
	broken := false
	for p := range pieces {
		if broken {
			continue
		}
		time.Sleep(time.Until(p.due))
		n.pass(w)
		if len(p.data) > 0 {
			if _, err := to.Write(p.data); err != nil {
				// Nobody reads there any more; the other direction tells, when it passes.
				n.pass(w.back())
				from.Close()
				broken = true
				continue
			}
		}
		var reset *net.OpError
		switch {
		case p.end == nil:
		case errors.As(p.end, &reset):
			to.Close()
		default:
			to.(*net.TCPConn).CloseWrite()
		}
	}
}
