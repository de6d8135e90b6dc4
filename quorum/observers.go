package quorum

import (
	"sync/atomic"
	"time"

	"quoll/ensemble"
	"quoll/zab/wire"
)

// traffic counts the packets of a link.
type traffic struct {
	begun                    time.Time
	received, sent, requests atomic.Int64
	lastZxid                 atomic.Int64
}

func (t *traffic) reset() {
	t.received.Store(0)
	t.sent.Store(0)
	t.requests.Store(0)
	t.lastZxid.Store(-1)
}

// arrived counts packets that were read.
func (t *traffic) arrived(packets []wire.Packet) {
	t.received.Add(int64(len(packets)))
	for i := range packets {
		if packets[i].Type == wire.TypeRequest {
			t.requests.Add(1)
		}
	}
}

// leaves counts a packet that is sent.
func (t *traffic) leaves(p *wire.Packet) {
	t.sent.Add(1)
	if p.Zxid > 0 {
		t.lastZxid.Store(p.Zxid)
	}
}

// observerLinks calls fn for the link of each synchronized observer of a leader. No turn is taken meanwhile.
func (p *Peer) observerLinks(fn func(sid int64, l *link)) {
	p.turn.Lock()
	for _, s := range p.node.Status().Learners {
		if l := p.links[s.Link]; l != nil && s.Observer {
			fn(s.SID, l)
		}
	}
	p.turn.Unlock()
	if p.turn.news.Load() {
		p.poke()
	}
}

// ObserverLinks are the observers that a leader serves, or those that a follower passes on, of which it counts no packets.
func (p *Peer) ObserverLinks() (list []ensemble.Link) {
	p.observerLinks(func(sid int64, l *link) {
		t := &l.traffic
		entry := ensemble.Link{Remote: l.conn.RemoteAddr().String(), SID: sid, Established: t.begun.UnixMilli(), Received: t.received.Load(), Sent: t.sent.Load(),
			Requests: t.requests.Load(), LastZxid: t.lastZxid.Load()}
		entry.QueuedPackets, entry.QueuedBytes = l.queue()
		list = append(list, entry)
	})
	p.passedOn.Lock()
	defer p.passedOn.Unlock()
	for c, begun := range p.passedOn.since {
		list = append(list, ensemble.Link{Remote: c.RemoteAddr().String(), SID: c.sid, Established: begun.UnixMilli(), LastZxid: -1})
	}
	return list
}

// ResetObserverLinks makes the numbers of a leader's links begin anew.
func (p *Peer) ResetObserverLinks() { p.observerLinks(func(_ int64, l *link) { l.traffic.reset() }) }

// queue is what waits to be written, in packets and bytes.
func (l *link) queue() (packets, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.out {
		packets += l.out[i].queued.packets
		bytes += int64(len(l.out[i].b))
	}
	return packets, bytes
}

// passes notes that an observer is passed on, until the function that it returns is called.
func (p *Peer) passes(observer *conn) (ended func()) {
	p.passedOn.Lock()
	defer p.passedOn.Unlock()
	if p.passedOn.since == nil {
		p.passedOn.since = map[*conn]time.Time{}
	}
	p.passedOn.since[observer] = time.Now()
	return func() {
		p.passedOn.Lock()
		defer p.passedOn.Unlock()
		delete(p.passedOn.since, observer)
	}
}

// Observers is how many connections of observers are passed on to the leader.
func (p *Peer) Observers() int {
	p.passedOn.Lock()
	defer p.passedOn.Unlock()
	return len(p.passedOn.since)
}
