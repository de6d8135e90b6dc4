package faultnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Network is some hosts and a switch between them.
type Network struct {
	Hosts []*Host
	ways  map[[2]*Host]*way // from, to
	work  sync.WaitGroup    // a reader of each device
}

// Link is what happens to packets on their way from one host to another. The zero value passes all of them at once.
type Link struct {
	Cut   bool          // none arrives
	Reset bool          // those of TCP arrive as resets of their connections, as from a firewall that has forgotten them
	Loss  float64       // how many of them are lost, 0 to 1
	Delay time.Duration // until they arrive
	Rate  int           // bytes per second, 0 for any number
}

// MaxQueue is how many bytes may be under way on a link with a delay or a rate; packets that come then are lost.
const MaxQueue = 128 << 10

// maxHosts have addresses.
const maxHosts = 250

// New makes a network without faults. The seed is that of the losses. The error wraps ErrUnavailable where there can be no such network.
func New(hosts int, seed uint64) (*Network, error) {
	if hosts > maxHosts {
		return nil, fmt.Errorf("%d hosts, and %d have addresses", hosts, maxHosts)
	}
	n := &Network{ways: map[[2]*Host]*way{}}
	for i := range hosts {
		h, err := newHost(byte(i + 1))
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.Hosts = append(n.Hosts, h)
	}
	for i, from := range n.Hosts {
		for j, to := range n.Hosts {
			w := &way{to: to, rng: rand.New(rand.NewPCG(seed, uint64(i<<8|j)))}
			w.timer = time.AfterFunc(0, w.deliver)
			n.ways[[2]*Host{from, to}] = w
		}
	}
	for _, h := range n.Hosts {
		n.work.Go(func() { n.read(h) })
	}
	return n, nil
}

// Close ends the network. What still runs on a host is alone.
func (n *Network) Close() error {
	n.Heal()
	var all error
	for _, h := range n.Hosts {
		all = errors.Join(all, h.close())
	}
	n.work.Wait()
	return all
}

// Set says what happens to packets from one host to another from now on. Those under way arrive at once, or never if the link is cut.
func (n *Network) Set(from, to *Host, l Link) { n.ways[[2]*Host{from, to}].set(l) }

// Heal ends all faults.
func (n *Network) Heal() {
	for _, w := range n.ways {
		w.set(Link{})
	}
}

// read hands over what a host sends, until its device is closed.
func (n *Network) read(from *Host) {
	buf := make([]byte, 64<<10)
	for {
		size, err := from.device.Read(buf)
		if err != nil {
			return
		}
		// The kernel also looks for neighbours with IPv6, of which there are none.
		if p := packet(buf[:size]); p.valid() && p.to() >= 1 && p.to() <= len(n.Hosts) {
			n.ways[[2]*Host{from, n.Hosts[p.to()-1]}].carry(p)
		}
	}
}

// way is from one host to another.
type way struct {
	to    *Host
	timer *time.Timer // calls deliver when the first of the queue is due

	mu    sync.Mutex
	link  Link
	rng   *rand.Rand
	queue []late    // in the order in which they are due
	bytes int       // in the queue
	free  time.Time // when the rate lets the next packet begin
}

// late is a packet under way.
type late struct {
	packet
	due time.Time
}

// carry takes a packet, which belongs to the caller again afterwards.
func (w *way) carry(p packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.link
	switch {
	case l.Cut || w.rng.Float64() < l.Loss:
		return
	case l.Reset:
		p = p.reset()
	}
	if l.Delay == 0 && l.Rate == 0 {
		w.to.device.Write(p)
		return
	}
	if w.bytes+len(p) > MaxQueue {
		return
	}
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	if l.Rate > 0 {
		w.free = w.free.Add(time.Duration(len(p)) * time.Second / time.Duration(l.Rate))
	}
	w.queue = append(w.queue, late{append(packet(nil), p...), w.free.Add(l.Delay)})
	w.bytes += len(p)
	if len(w.queue) == 1 {
		w.timer.Reset(time.Until(w.queue[0].due))
	}
}

// deliver lets those arrive that are due.
func (w *way) deliver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for now := time.Now(); len(w.queue) > 0; w.pop() {
		if wait := w.queue[0].due.Sub(now); wait > 0 {
			w.timer.Reset(wait)
			return
		}
	}
}

// pop lets the first of the queue arrive. A device that does not take it has no process any more that waits for it.
func (w *way) pop() {
	p := w.queue[0].packet
	w.queue = w.queue[1:]
	w.bytes -= len(p)
	w.to.device.Write(p)
}

func (w *way) set(l Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	for !l.Cut && len(w.queue) > 0 {
		w.pop()
	}
	w.link, w.queue, w.bytes, w.free = l, nil, 0, time.Time{}
}
