package zabtest

import (
	"time"

	"quoll/jute"
	"quoll/zab"
)

// fault is a kind of thing that is done to the world.
type fault uint8

const (
	faultCrash fault = iota
	faultCrashInEffects
	faultCrashInDisk
	faultCrashAll
	faultCut
	faultHalfOpen
	faultIsolate
	faultTail
	faultSplit
	faultOneWay
	faultBridge
	faultSlowDisk
	faultStuckDisk
	faultFailDisk
	faultWipe
	faultReconfig
	faultJump
	faultPause
	faultDelay
	faultKinds
)

// faultTable says how each is called, how often it is drawn next to the others, and what it does. b are 64 random bits that belong to it.
var faultTable = [faultKinds]struct {
	name   string
	weight int
	do     func(w *World, a *action)
}{
	faultCrash:          {"crash", 4, func(w *World, a *action) { w.crashFor(w.victim(a), a) }},
	faultCrashInEffects: {"crash in effects", 6, (*World).crashInEffects},
	faultCrashInDisk:    {"crash in disk", 6, func(w *World, a *action) { w.victim(a).crashInPhases = 1 + int(a.bits>>16%8) }},
	faultCrashAll:       {"crash all", 1, (*World).crashAll},
	faultCut:            {"cut", 4, (*World).cutSome},
	faultHalfOpen:       {"half-open link", 3, (*World).halfOpen},
	faultIsolate:        {"isolate", 3, func(w *World, a *action) { w.split(1<<w.victim(a).index, true, true) }},
	faultTail:           {"isolated tail", 3, (*World).tail},
	faultSplit:          {"split", 2, func(w *World, a *action) { w.split(a.bits>>16, true, true) }},
	faultOneWay:         {"one way", 2, func(w *World, a *action) { w.split(1<<w.victim(a).index, a.bits>>16&1 == 0, a.bits>>16&1 == 1) }},
	faultBridge:         {"bridge", 1, (*World).bridge},
	faultSlowDisk:       {"slow disk", 2, func(w *World, a *action) { w.victim(a).disk.slow = 20 }},
	faultStuckDisk:      {"stuck disk", 2, func(w *World, a *action) { w.victim(a).disk.stuck = true }},
	faultFailDisk:       {"failing disk", 3, func(w *World, a *action) { w.victim(a).disk.failing = true }},
	faultWipe:           {"wipe", 1, (*World).wipe},
	faultReconfig:       {"reconfig", 8, (*World).reconfigure},
	faultJump:           {"clock jump", 1, func(w *World, a *action) { w.victim(a).jump(a) }},
	faultPause:          {"pause", 2, func(w *World, a *action) { w.victim(a).pausedUntil = w.now + a.lasts }},
	faultDelay:          {"delay", 1, func(w *World, a *action) { w.draw.burst = 20 }},
}

// action is an entry of the plan: a fault with its time, how long it lasts, and its random bits.
type action struct {
	at, lasts time.Duration
	fault     fault
	bits      uint64
	// undo says that this is the end of the fault.
	undo bool
}

// newPlan draws what will be done.
func newPlan(d *draw, r *stream) []action {
	total := 0
	for _, w := range d.weights {
		total += w
	}
	var plan []action
	if total == 0 {
		return plan
	}
	for at := r.upTo(2 * d.every); at < d.chaos; at += r.upTo(2 * d.every) {
		n := r.intn(total)
		kind := fault(0)
		for n >= d.weights[kind] {
			n -= d.weights[kind]
			kind++
		}
		plan = append(plan, action{at: at, lasts: r.upTo(either[time.Duration](r, 100, 400, 1600) * time.Millisecond), fault: kind, bits: r.next()})
	}
	return plan
}

// act carries out an entry of the plan.
func (w *World) act(a *action) {
	w.mark('A', uint64(a.fault)<<1|b2u(a.undo))
	if a.undo {
		w.undo(a)
		return
	}
	w.cover.faults[a.fault]++
	if w.tracing() {
		w.tracef("fault: %s", faultTable[a.fault].name)
	}
	faultTable[a.fault].do(w, a)
	switch a.fault {
	case faultIsolate, faultTail, faultSplit, faultOneWay, faultBridge, faultSlowDisk, faultStuckDisk, faultDelay:
		end := *a
		end.undo = true
		w.undos = append(w.undos, end)
		w.plan(due{kind: dueAction, number: uint64(len(w.undos)-1) | undoBit}, a.lasts)
	}
}

// undoBit marks the number of an action that is the end of one.
const undoBit = 1 << 63

// undo ends a fault that lasts. Partitions end together.
func (w *World) undo(a *action) {
	switch a.fault {
	case faultSlowDisk, faultStuckDisk:
		for _, s := range w.servers {
			s.disk.slow, s.disk.stuck = 1, false
			s.turnDisk()
		}
	case faultDelay:
		w.draw.burst = 1
	case faultHalfOpen:
		w.askDeserted()
	default:
		w.healNetwork()
	}
}

// victim is whom a fault concerns: often the leader.
func (w *World) victim(a *action) *server {
	if a.bits>>8&3 == 0 {
		if l := w.leading(); l != nil {
			return l
		}
	}
	return w.servers[int(a.bits&0xff)%len(w.servers)]
}

// leading returns the server that leads and serves in the highest epoch, or nil.
func (w *World) leading() *server {
	var best *server
	for _, s := range w.servers {
		if s.up && s.serving && s.role == zab.Leading && (best == nil || s.ghost.serve.Epoch > best.ghost.serve.Epoch) {
			best = s
		}
	}
	return best
}

// crashFor lets a server crash, and come back.
func (w *World) crashFor(s *server, a *action) {
	if s.up {
		s.crash()
	}
	w.restartLater(s, a.lasts)
}

// rareEffects are crashed at more often than their share.
var rareEffects = [...]effectKind{effectTruncate, effectInstallSnapshot, effectReload, effectReadLog, effectServeReadOnly, effectSendSnapshot, effectConfigure}

// crashInEffects lets a server crash at an effect of some kind, after others.
func (w *World) crashInEffects(a *action) {
	s := w.victim(a)
	s.crashAt = crashPlace{effectKind(a.bits >> 16 % uint64(effectKinds)), a.bits>>24&1 == 0}
	if a.bits>>25&1 == 0 {
		s.crashAt.kind = rareEffects[a.bits>>16%uint64(len(rareEffects))]
	}
	s.crashInEffects = int(a.bits >> 32 % 6)
}

func (w *World) restartLater(s *server, d time.Duration) {
	w.plan(due{kind: dueRestart, server: s.index}, d)
}

// crashAll is the loss of power of everybody.
func (w *World) crashAll(a *action) {
	for i, s := range w.servers {
		if s.up {
			s.crash()
			w.restartLater(s, a.lasts>>(a.bits>>(2*i+16)&3))
		}
	}
}

// cutSome breaks one of the newest links.
func (w *World) cutSome(a *action) {
	if n := len(w.links); n > 0 {
		w.links[n-1-int(a.bits%uint64(min(n, 6)))].cut()
	}
}

// halfOpen breaks one of the newest links for the learner, or all of a leader's; the leader hears of it much later.
func (w *World) halfOpen(a *action) {
	if l := w.leading(); l != nil && a.bits>>40&1 == 0 {
		lasts := a.lasts + time.Second // time enough for another leader
		for _, link := range l.links {
			if link.ends[leaderEnd] == l {
				link.desert(lasts)
			}
		}
		end := *a
		end.undo = true
		w.undos = append(w.undos, end)
		w.plan(due{kind: dueAction, number: uint64(len(w.undos)-1) | undoBit}, lasts-lasts/8)
	} else if n := len(w.links); n > 0 {
		w.links[n-1-int(a.bits%uint64(min(n, 6)))].desert(a.lasts)
	}
}

// askDeserted lets a client sync at a leader that does not know of a later one, which has shown something.
func (w *World) askDeserted() {
	newest := w.leading()
	for _, s := range w.servers {
		if s != newest && s.up && s.serving && s.role == zab.Leading && !s.flushing {
			c := &w.clients[0]
			c.disconnect()
			c.server, c.seen = s, 0
			if c.whole != nil {
				c.session = 0 // that one must not see what is older
			}
			c.sync()
			return
		}
	}
}

// split keeps the servers of the mask and the others from reaching each other, in one direction or both.
func (w *World) split(mask uint64, out, in bool) {
	for _, a := range w.servers {
		for _, b := range w.servers {
			if mask>>a.index&1 == 1 && mask>>b.index&1 == 0 {
				w.block(a, b, out)
				w.block(b, a, in)
			}
		}
	}
}

func (w *World) block(a, b *server, on bool) {
	if on {
		w.walls[a.index] |= 1 << b.index
	}
}

// tail keeps a leader from the others and lets it propose what only it has then.
func (w *World) tail(a *action) {
	l := w.leading()
	if l == nil || l.flushing {
		return
	}
	w.split(1<<l.index, true, true)
	for range 1 + a.bits>>16%3 {
		l.enqueueRequest(request{op: jute.OpSetData}) // of no session: an error, which is a transaction too
	}
	if a.bits>>32&3 == 0 {
		l.crashAt = crashPlace{effectTruncate, a.bits>>34&1 == 0} // when it is back
	} else if a.bits>>32&3 == 1 {
		l.stopAt = stopPlace{kind: opTruncate, phase: int8(1 + a.bits>>34%3), on: true}
	}
	l.step(zab.Tick{})
}

// bridge splits the servers in two, but one of them reaches all.
func (w *World) bridge(a *action) {
	v := w.victim(a)
	before := w.walls
	w.split(a.bits>>16, true, true)
	for i := range w.walls {
		w.walls[i] = w.walls[i]&^(1<<v.index) | before[i]&(1<<v.index)
	}
	w.walls[v.index] = before[v.index]
}

// blocked reports whether nothing comes from a to b.
func (w *World) blocked(a, b *server) bool { return w.walls[a.index]>>b.index&1 == 1 }

// healNetwork takes all walls away. What waited goes on, and connections are made anew.
func (w *World) healNetwork() {
	if w.walls == [maxServers]uint16{} {
		return
	}
	walls := w.walls
	w.walls = [maxServers]uint16{}
	for _, s := range w.servers {
		for _, l := range s.links {
			for end := range 2 {
				l.turn(end)
				l.report(end)
			}
		}
		for _, o := range w.servers {
			if walls[s.index]>>o.index&1 == 1 {
				w.reconnectVotes(s, o)
			}
		}
	}
}

// wipe takes the disk of a server, if those that are left can still decide.
func (w *World) wipe(a *action) {
	s := w.victim(a)
	if int(s.index) == w.draw.rogue || !w.live(w.mask(func(o *server) bool { return o != s })) {
		return
	}
	w.cover.hit(pointWiped)
	w.crashFor(s, a)
	if w.draw.reconfig { // whoever replaces the disk writes a new zoo.cfg
		members := membersOf(w.inForce)
		if w.inForce.Server(s.sid) == nil {
			members = append(members, s.sid)
		}
		s.initial = w.config(0, members)
	}
	s.disk.wipe(s.initial)
	s.ghost.wiped()
	if s.whole != nil {
		s.whole.Wipe()
		s.recover()
		s.disk.lost = true
	}
	if w.tracing() {
		w.tracef("%d loses its disk", s.sid)
	}
}

// reconfigure asks the leader for another membership.
func (w *World) reconfigure(a *action) {
	s := w.leading()
	if s == nil || s.flushing {
		return
	}
	var members []int64
	voters := 0
	bits := a.bits >> 16
	for _, o := range w.servers {
		if int(o.index) == w.draw.rogue {
			continue
		}
		switch bits & 7 {
		case 0, 1, 2, 3, 4:
			members = append(members, o.sid)
			voters++
		case 5:
			members = append(members, -o.sid)
		}
		bits >>= 3
	}
	if voters == 0 {
		return
	}
	s.enqueueRequest(request{op: jute.OpReconfig, members: members})
	s.step(zab.Tick{})
}

// jump moves a server's clock forward.
func (s *server) jump(a *action) {
	if !s.up {
		return
	}
	s.clock.set(s.w.now, a.lasts*4, s.clock.rate)
	s.wake = s.w.now
	s.w.plan(due{kind: dueTick, server: s.index, life: s.life}, 0)
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
