package zabtest

import (
	"time"

	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// frame is one thing on its way through a link.
type frame struct {
	kind frameKind
	// bytes is a packet, snapshot the state that follows a SNAP, and stream that of a whole server.
	bytes    []byte
	snapshot history
	stream   []byte
	// at is when it arrives, if nothing holds it up.
	at time.Duration
}

type frameKind uint8

const (
	framePacket frameKind = iota
	frameUp               // the connection, at the side that accepts
	frameEnd              // the other side closed it
)

// link is a connection on the quorum port. Its ends are that of the learner, which dialled, and that of the leader.
type link struct {
	w     *World
	id    zab.LinkID
	ends  [2]*server
	lives [2]uint32
	// open says that the node at the end may still use the link.
	open [2]bool
	// late says that what arrives at the end after it was closed reaches the node all the same.
	late [2]bool
	// held is an UPTODATE that waits, until others have overtaken it.
	held *frame
	// broken says that nothing gets through any more.
	broken bool
	// queue is what is on its way to an end, busy that its first frame is planned, paused that a snapshot is being installed first.
	queue  [2][]frame
	busy   [2]bool
	paused [2]bool
	// unsent is what an end has written and the network did not take; reporting that this is planned.
	unsent    [2]int
	snapshot  [2]bool
	reporting [2]bool
	rng       stream

	ghost linkGhost
}

const (
	learnerEnd = 0
	leaderEnd  = 1
)

// link returns the link with an id, or nil.
func (w *World) link(id zab.LinkID) *link {
	if id == 0 || int(id) > len(w.links) {
		return nil
	}
	return w.links[id-1]
}

// connect makes a link.
func (w *World) connect(learner, leader *server) *link {
	var l *link
	if n := len(w.spareLinks); n > 0 {
		l, w.spareLinks = w.spareLinks[n-1], w.spareLinks[:n-1]
		*l = link{queue: [2][]frame{l.queue[0][:0], l.queue[1][:0]}}
	} else {
		l = new(link)
	}
	l.w, l.id = w, zab.LinkID(len(w.links)+1)
	l.ends, l.lives, l.open = [2]*server{learner, leader}, [2]uint32{learner.life, leader.life}, [2]bool{true, true}
	l.rng = streamOf(w.seed, purposeLink+uint64(learner.index)<<8+uint64(leader.index)<<4+uint64(learner.dialled)<<16)
	w.links = append(w.links, l)
	learner.links = append(learner.links, l)
	leader.links = append(leader.links, l)
	return l
}

// endOf returns the end at which a server is.
func (l *link) endOf(s *server) int {
	if l.ends[leaderEnd] == s {
		return leaderEnd
	}
	return learnerEnd
}

// usable reports whether the node at an end still has the link.
func (l *link) usable(end int) bool {
	s := l.ends[end]
	return l.open[end] && s.up && s.life == l.lives[end]
}

// hand sends a packet, or holds it back: a leader in Java sends UPTODATE when it comes to it, and proposals and commits meanwhile.
func (l *link) hand(end int, t wire.Type, f frame) {
	if t == wire.TypeUpToDate && l.rng.chance(l.w.draw.holdUpToDate) {
		l.held = &f
		return
	}
	l.send(end, f)
	release := l.rng.chance(400)
	if l.w.draw.steady {
		release = t == wire.TypePing || t == wire.TypeCommit || t == wire.TypeCommitAndActivate
	}
	if l.held != nil && end == leaderEnd && release {
		held := *l.held
		l.held = nil
		l.send(end, held)
	}
}

// send puts a frame on the way from an end.
func (l *link) send(end int, f frame) {
	if l.broken {
		return
	}
	to := 1 - end
	at := l.w.now + l.w.draw.latency(&l.rng)
	if n := len(l.queue[to]); n > 0 {
		at = max(at, l.queue[to][n-1].at)
	}
	f.at = at
	l.queue[to] = append(l.queue[to], f)
	l.turn(to)
}

// turn plans the arrival of the next frame at an end.
func (l *link) turn(end int) {
	if l.busy[end] || l.paused[end] || len(l.queue[end]) == 0 || l.w.blocked(l.ends[1-end], l.ends[end]) {
		return
	}
	l.busy[end] = true
	l.w.planAt(due{kind: dueFrame, server: l.ends[end].index, end: int8(end), life: l.lives[end], link: l.id}, l.queue[end][0].at)
}

// arrive takes the next frame at an end.
func (l *link) arrive(end int) {
	l.busy[end] = false
	if l.paused[end] || len(l.queue[end]) == 0 || l.w.blocked(l.ends[1-end], l.ends[end]) {
		return
	}
	s := l.ends[end]
	if !l.usable(end) && !(l.late[end] && s.up && s.life == l.lives[end] && l.queue[end][0].kind == framePacket) {
		l.queue[end] = l.queue[end][:0]
		return
	}
	f := l.queue[end][0]
	l.queue[end] = append(l.queue[end][:0], l.queue[end][1:]...)
	switch f.kind {
	case frameUp:
		s.step(zab.LinkUp{Link: l.id})
	case frameEnd:
		l.open[end] = false
		s.step(zab.LinkDown{Link: l.id, Reason: "closed"})
	case framePacket:
		d := jute.NewDecoder(f.bytes)
		var p wire.Packet
		p.Decode(&d)
		if d.Err() != nil || d.Len() != 0 {
			l.w.violate("codec", "a packet does not decode: %v", d.Err())
		}
		s.incoming = f.stream
		if l.w.cutAt.cuts(s, &p) {
			l.cut()
			return
		}
		s.receive(l, &p, f.snapshot)
	}
	l.turn(end)
}

// resume goes on behind a snapshot.
func (l *link) resume(s *server) {
	end := l.endOf(s)
	l.paused[end] = false
	l.turn(end)
}

// wrote notes that an end has handed bytes to the network, which takes them a little later.
func (l *link) wrote(end, bytes int) {
	l.unsent[end] += bytes
	l.report(end)
}

func (l *link) report(end int) {
	if l.reporting[end] || l.unsent[end] == 0 && !l.snapshot[end] || l.w.draw.windows && l.w.blocked(l.ends[end], l.ends[1-end]) {
		return
	}
	l.reporting[end] = true
	l.w.plan(due{kind: dueSent, server: l.ends[end].index, end: int8(end), life: l.lives[end], link: l.id}, l.w.draw.latency(&l.rng))
}

// sent tells the node at an end what left.
func (l *link) sent(end int) {
	l.reporting[end] = false
	bytes, snapshot := l.unsent[end], l.snapshot[end]
	l.unsent[end], l.snapshot[end] = 0, false
	if !l.usable(end) {
		return
	}
	l.ends[end].step(zab.Sent{Link: l.id, Bytes: bytes, Snapshot: snapshot})
}

// close ends the link as a node wants it: what it sent may still arrive.
func (l *link) close(end int) {
	if !l.open[end] {
		return
	}
	l.open[end] = false
	l.late[end] = l.rng.chance(l.w.draw.late)
	if l.rng.chance(250) {
		l.lose(1 - end)
	}
	l.send(end, frame{kind: frameEnd})
}

// lose forgets a random end of what is on its way to an end.
func (l *link) lose(end int) {
	kept := l.rng.intn(len(l.queue[end]) + 1)
	if l.w.draw.steady {
		kept = 0
	}
	l.queue[end] = l.queue[end][:kept]
}

// cut breaks the link. Each end hears of it at its own time.
func (l *link) cut() {
	if l.broken {
		return
	}
	l.broken = true
	for end := range 2 {
		l.lose(end)
		l.downLater(end, 0)
	}
}

// desert breaks the link. The learner hears of it at once, the leader after a while.
func (l *link) desert(after time.Duration) {
	if l.broken {
		return
	}
	l.broken = true
	l.lose(learnerEnd)
	l.lose(leaderEnd)
	l.downLater(learnerEnd, 0)
	l.downLater(leaderEnd, after)
}

// downLater lets an end find out that the link is broken.
func (l *link) downLater(end int, after time.Duration) {
	if l.open[end] {
		l.w.plan(due{kind: dueDown, server: l.ends[end].index, end: int8(end), life: l.lives[end], link: l.id}, after+l.w.draw.latency(&l.rng))
	}
}

// down tells the node at an end that the link is broken.
func (l *link) down(end int) {
	if !l.usable(end) {
		return
	}
	l.open[end] = false
	l.ends[end].step(zab.LinkDown{Link: l.id, Reason: "broken"})
}

// crashed ends the links of a server that crashed. The others may hear of it at once, or not before it is back, or never.
func (s *server) crashed() {
	for _, l := range s.links {
		end := l.endOf(s)
		if !l.open[end] {
			continue
		}
		l.open[end] = false
		l.lose(1 - end)
		if l.rng.chance(s.w.draw.silentCrash) {
			l.broken = true
			continue
		}
		l.send(end, frame{kind: frameEnd})
	}
}

// back resets the links of a server's former lives, and forgets those that nobody has.
func (s *server) back() {
	kept := s.links[:0]
	for _, l := range s.links {
		end := l.endOf(s)
		if other := 1 - end; l.open[other] {
			l.broken = true
			l.downLater(other, 0)
		}
		if l.open[end] {
			kept = append(kept, l)
		}
	}
	clear(s.links[len(kept):])
	s.links = kept
}
