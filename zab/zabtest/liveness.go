package zabtest

import (
	"fmt"
	"slices"
	"time"

	"quoll/jute"
	"quoll/zab"
)

// calm ends chaos and demands what section 8.3 calls liveness: a quorum that is left alone gets one leader, equal histories, a write and a sync, each within
// ten times initLimit, and in some runs nobody leaves its role any more. Servers outside the quorum stay down, or come back with it.
func (w *World) calm() {
	r := streamOf(w.seed, purposePlan+1)
	chosen := w.chooseQuorum(&r)
	if chosen == 0 {
		w.cover.hit(pointNoQuorum)
		return
	}
	w.draw.burst, w.draw.wireTail, w.draw.voteLoss = 1, 0, 0
	w.draw.groupCommit, w.draw.diskUnit = true, min(w.draw.diskUnit, 5*time.Millisecond) // fast enough for initLimit, however long the history
	for i := range w.draw.weights {
		w.draw.weights[i] = 0
	}
	w.actions, w.undos = nil, nil
	// With few zxids or little memory for learners, clients that go on keep the ensemble from settling.
	w.quiet = w.draw.maxCounter > 0 || w.draw.historyBytes > 0
	for _, s := range w.servers {
		s.disk.slow, s.disk.stuck, s.disk.failing = 1, false, false
		if s.whole != nil {
			s.whole.Heal()
			w.draw.powerCuts = 0
		}
		s.crashInEffects, s.crashAt, s.crashInPhases, s.pausedUntil = 0, crashNowhere, 0, 0
		s.line = slices.DeleteFunc(s.line, func(r request) bool { return r.op == jute.OpReconfig })
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
	if !w.await(bound, func() string { return w.unsettled(false) }) {
		return
	}
	w.quiet = true
	w.await(bound, func() string { return w.unsettled(true) })
	still := w.draw.maxCounter == 0 && r.chance(250)
	if still {
		w.runUntil(w.now + 2*time.Second + 2*time.Duration(w.draw.syncLimit)*tickTime) // pauses end, and what broke in chaos without a word shows by its silence
		w.await(bound, func() string { return w.unsettled(true) })
	}
	settled := w.turns()
	shown := len(w.shown)
	w.await(bound, func() string {
		if len(w.shown) > shown {
			return w.unsettled(true)
		}
		if l := w.leading(); l != nil && len(l.line) == 0 && l.tail == l.state.last() {
			l.enqueueRequest(request{op: jute.OpSetData}) // of no session: an error, which is a transaction too
			l.step(zab.Tick{})
		}
		return "a transaction is not committed"
	})
	c := &w.clients[0]
	c.disconnect()
	w.await(bound, func() string {
		switch {
		case c.server != nil && c.waiting == waitNothing:
			return ""
		case w.now-c.since > 4*time.Second:
			c.disconnect() // its server took no request
		}
		if s := w.servers[r.intn(len(w.servers))]; c.server == nil && s.serving {
			c.server, c.seen = s, 0
			c.sync()
		}
		return "a sync is not answered"
	})
	for i, s := range w.servers {
		if still && settled[i] > 0 && s.turns != settled[i] {
			w.violate("liveness", "server %d left its role while the ensemble was settled", s.sid)
		}
	}
}

// turns counts the roles that each of those who serve has begun in its life.
func (w *World) turns() (n [maxServers]int) {
	for i, s := range w.servers {
		if s.serving {
			n[i] = s.turns
		}
	}
	return n
}

// await lets time pass until nothing is missing, at most for a while. It reports whether that is so; it is not when what was on its way has left those who are up without a
// way to end a reconfig: one that only the new config lets vote has got more than all that the old one does, and those who have not seen the reconfig do not hear it.
func (w *World) await(bound time.Duration, missing func() string) bool {
	for w.deadline = w.now + bound; ; w.runUntil(w.now + tickTime/4) {
		what := missing()
		switch {
		case what == "":
			return true
		case w.now < w.deadline:
		case w.reconfiguring() && !w.live(w.mask(func(s *server) bool { return s.up })):
			w.cover.hit(pointNoQuorum)
			return false
		default:
			w.violate("liveness", "after %v %s", bound, what)
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
	case w.draw.healAll, w.reconfiguring():
		return all
	}
	for !w.live(chosen) {
		chosen |= 1 << r.intn(len(w.servers))
	}
	return chosen
}

// reconfiguring reports whether a reconfig was proposed and is not in force: who has seen it, or will, is not known, so nobody may be lost.
func (w *World) reconfiguring() bool {
	for i := len(w.txns) - 1; i > 0; i-- {
		if t := &w.txns[i]; t.config != nil {
			return t.zxid > w.inForce.Version
		}
	}
	return false
}

// unsettled returns what is missing: a leader, that all members that are up follow it and, if that is asked for, that they have what was shown.
func (w *World) unsettled(same bool) string {
	l := w.leading()
	switch {
	case l == nil:
		return "nobody leads"
	case l.committed.Version != l.seen.Version:
		return "a reconfig is not committed"
	}
	for _, s := range w.servers {
		switch {
		case !s.up || s.out || l.committed.Server(s.sid) == nil:
			continue
		case !l.committed.IsVoter(s.sid) && s.disk.epochs[zab.AcceptedEpoch] > l.ghost.serve.Epoch:
			continue // it has promised more than this leader is, which a leader makes good for voters only
		case !l.committed.IsVoter(s.sid) && !s.committed.IsVoter(l.sid) && s.node.Role() == zab.Looking:
			continue // it asks those who voted once, and they may all be gone
		case !s.serving:
			return w.missing("server %d does not serve", s)
		case s.leader != l.sid:
			return w.missing("server %d has another leader", s)
		case w.draw.reconfig && s.committed.Version != l.committed.Version:
			return w.missing("server %d has another config", s)
		case same && len(s.state) != len(w.shown):
			return w.missing("server %d has another history", s)
		case same && s.node.Full():
			return w.missing("server %d takes no request", s)
		}
	}
	return ""
}

// missing is the text for what a server lacks; it is asked for very often, and only wanted when time is over.
func (w *World) missing(format string, s *server) string {
	if w.now < w.deadline {
		return format
	}
	return fmt.Sprintf(format, s.sid)
}
