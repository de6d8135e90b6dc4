package zabtest

import (
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// voteSlot is the connection between two servers' election ports in one direction: of votes that wait only the newest is kept, and the last one
// that was sent comes again with a new connection (section 2.2).
type voteSlot struct {
	waiting, last []byte
	planned       bool
	rng           stream
}

func (w *World) votes(from, to *server) *voteSlot { return &w.slots[from.index][to.index] }

// notify sends a vote.
func (s *server) notify(e *zab.Notify) {
	w := s.w
	to := w.server(e.To)
	if to == nil || to == s {
		return
	}
	slot := w.votes(s, to)
	at := len(w.arena)
	w.arena = e.Vote.AppendFrame(w.arena)
	slot.waiting = w.arena[at:len(w.arena):len(w.arena)]
	w.turnVotes(s, to)
}

// turnVotes plans the arrival of the vote that waits.
func (w *World) turnVotes(from, to *server) {
	slot := w.votes(from, to)
	if slot.planned || slot.waiting == nil || w.blocked(from, to) {
		return
	}
	slot.planned = true
	w.plan(due{kind: dueVote, server: to.index, from: from.index, life: to.life}, w.draw.latency(&slot.rng))
}

// voteArrives delivers a vote. With a server that is down it waits.
func (w *World) voteArrives(from, to *server) {
	slot := w.votes(from, to)
	slot.planned = false
	if !to.up || w.blocked(from, to) || slot.waiting == nil {
		return
	}
	b := slot.waiting
	slot.last, slot.waiting = b, nil
	if slot.rng.chance(w.draw.voteLoss) {
		return
	}
	d := jute.NewDecoder(b[4:])
	var v wire.Notification
	v.Decode(&d)
	if d.Err() != nil {
		w.violate("codec", "a notification does not decode: %v", d.Err())
	}
	to.heard(from, &v)
}

// reconnectVotes lets votes to a server come, old ones among them, as a new connection does.
func (w *World) reconnectVotes(from, to *server) {
	slot := w.votes(from, to)
	if slot.waiting == nil && slot.last != nil && slot.rng.chance(w.draw.staleVotes) {
		slot.waiting = slot.last
		w.cover.hit(pointStaleVote)
	}
	w.turnVotes(from, to)
}

// forgetVotes empties the slots of a server that crashed.
func (w *World) forgetVotes(s *server) {
	for _, to := range w.servers {
		slot := w.votes(s, to)
		slot.waiting, slot.last = nil, nil
	}
}
