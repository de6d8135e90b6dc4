package zabtest

import (
	"time"

	"quoll/jute"
	"quoll/zab"
)

// calm ends chaos and demands what section 8.3 calls liveness: a quorum that is left alone gets one leader, equal histories, a write and a sync, each within
// ten times initLimit. Servers outside the quorum stay down, or come back with it.
func (w *World) calm() {
	r := streamOf(w.seed, purposePlan+1)
	chosen := w.chooseQuorum(&r)
	if chosen == 0 {
		w.cover.hit(pointNoQuorum)
		return
	}
	w.draw.burst, w.draw.wireTail, w.draw.voteLoss = 1, 0, 0
	for i := range w.draw.weights {
		w.draw.weights[i] = 0
	}
	w.actions, w.undos = nil, nil
	w.quiet = w.draw.maxCounter > 0 // or it would be used up all the time
	for _, s := range w.servers {
		s.disk.slow, s.disk.stuck, s.disk.failing = 1, false, false
		if s.whole != nil {
			s.whole.Heal()
		}
		s.crashInEffects, s.crashInPhases, s.pausedUntil = 0, 0, 0
		s.out = chosen>>s.index&1 == 0
		if s.out && s.up {
			s.crash()
		}
		s.turnDisk()
	}
	w.healNetwork()
	for _, s := range w.servers {
		if !s.out && !s.up {
			w.restartLater(s, s.rng.upTo(100*time.Millisecond))
		}
	}
	bound := 10 * time.Duration(w.draw.initLimit) * tickTime
	w.await(bound, "a leader whom all members follow", func() bool { return w.settled(false) })
	w.quiet = true
	w.await(bound, "the same history everywhere", func() bool { return w.settled(true) })
	shown := len(w.shown)
	l := w.leading()
	l.enqueueRequest(request{op: jute.OpSetData}) // of no session: an error, which is a transaction too
	l.step(zab.Tick{})
	w.await(bound, "one transaction more", func() bool { return len(w.shown) > shown && w.settled(true) })
	c := &w.clients[0]
	c.disconnect()
	w.await(bound, "an answer to a sync", func() bool {
		if c.server != nil {
			return c.waiting == waitNothing
		}
		if s := w.servers[r.intn(len(w.servers))]; s.serving {
			c.server, c.seen = s, 0
			c.sync()
		}
		return false
	})
}

// await lets time pass until something is so, at most for a while.
func (w *World) await(bound time.Duration, what string, done func() bool) {
	for end := w.now + bound; !done(); w.runUntil(w.now + tickTime/4) {
		if w.now >= end {
			w.violate("liveness", "after %v there is not %s", bound, what)
		}
	}
}

// chooseQuorum chooses who is left: everybody, or just enough; nobody if there is no quorum, since a config was proposed that needs a server that had just lost
// its disk.
func (w *World) chooseQuorum(r *stream) (chosen uint16) {
	all := uint16(1)<<len(w.servers) - 1
	switch {
	case !w.live(all):
		return 0
	case w.draw.healAll:
		return all
	}
	for !w.live(chosen) {
		chosen |= 1 << r.intn(len(w.servers))
	}
	return chosen
}

// settled reports whether there is a leader, and all members that are up follow it; and have what was shown, if that is asked for.
func (w *World) settled(same bool) bool {
	l := w.leading()
	if l == nil || l.committed.Version != l.seen.Version {
		return false
	}
	for _, s := range w.servers {
		switch {
		case !s.up || s.out, s.committed.Server(s.sid) == nil && l.committed.Server(s.sid) == nil:
			continue
		case !l.committed.IsVoter(s.sid) && s.disk.epochs[zab.AcceptedEpoch] > l.ghost.serve.Epoch:
			continue // it has promised more than this leader is, which a leader makes good for voters only
		}
		if !s.serving || s.leader != l.sid || same && len(s.state) != len(w.shown) || s.committed.Version != l.committed.Version {
			return false
		}
	}
	return true
}
