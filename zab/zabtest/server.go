package zabtest

import (
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// server is a member of the world: a node and its driver, with what is in memory and what is on the disk.
type server struct {
	w     *World
	index int8
	sid   int64
	// initial is the config in its zoo.cfg.
	initial *ensemble.Config

	up bool
	// out says that the server does not come back in this run.
	out  bool
	life uint32
	node *zab.Node
	disk disk
	// whole is the real server beside the model, if there is one; incoming is the stream behind the last SNAP.
	whole    Replica
	incoming []byte
	clock
	rng stream

	// state is what was applied, restored from the disk with each start.
	state     history
	serving   bool
	listening bool
	// turns counts the roles that it has begun in this life.
	turns  int
	role   zab.Role
	leader int64
	// sealed says that the learner's epoch was given to the disk, so that what follows is its own history.
	sealed bool
	// committed and seen are the configs that the node named last.
	committed, seen *ensemble.Config

	app
	ghost serverGhost

	effects []zab.Effect
	// running says that effects are being carried out: those of steps made meanwhile come behind them.
	running bool
	// flushing says that steps were made whose effects are still to be run.
	flushing bool
	// unread are packets of the link unreadOf that came meanwhile; the node gets them together.
	unread   []wire.Packet
	unreadOf *link
	// wake is when the next tick is planned.
	wake time.Duration
	// pausedUntil is when the process goes on.
	pausedUntil time.Duration
	// crashAt is the kind of effect at which the server will crash, when crashInEffects have passed. crashInPhases counts down to a crash in the disk; 0 is none.
	crashAt crashPlace
	// stopAt is where the disk stops, in a story.
	stopAt                        stopPlace
	crashInEffects, crashInPhases int

	links   []*link
	dialled int
}

// crashPlace is right before or right behind an effect of a kind.
type crashPlace struct {
	kind   effectKind
	behind bool
}

// crashNowhere is no place.
var crashNowhere = crashPlace{kind: effectKinds}

// start makes a node of what is on the disk.
func (s *server) start() {
	w := s.w
	s.up, s.life = true, s.life+1
	s.ghost.start()
	s.crashInEffects, s.crashAt, s.crashInPhases, s.pausedUntil = 0, crashNowhere, 0, 0
	s.stopAt = stopPlace{}
	s.flushing, s.wake, s.unread = false, never, nil
	s.turns = 0
	s.serving, s.listening, s.sealed, s.leader, s.role = false, false, false, 0, zab.Looking
	s.app.stop()
	if s.whole == nil {
		s.disk.crash()
	}
	s.state = s.disk.hist[:len(s.disk.hist):len(s.disk.hist)]
	s.committed, s.seen = s.disk.committed, s.disk.seen
	s.clock.set(w.now, s.rng.upTo(time.Minute), w.draw.rate(&s.rng))
	s.back()
	s.node = zab.New(w.draw.options(s), zab.State{Disk: s.contents(), Committed: s.committed, LastSeen: s.seen})
	w.cover.hit(pointStart)
	w.mark('S', uint64(s.index))
	if w.tracing() {
		w.tracef("%d starts at %s, epochs %d/%d", s.sid, w.zxidText(w.zxid(s.state)), s.disk.epochs[0], s.disk.epochs[1])
	}
	for _, o := range w.servers {
		w.reconnectVotes(o, s)
	}
	s.step(zab.Tick{})
}

// crash loses what is in memory and a part of what is not synced.
func (s *server) crash() {
	if !s.up {
		return
	}
	w := s.w
	w.cover.hit(pointCrash)
	if len(s.disk.ops) > 0 && s.disk.ops[0].phase > 0 {
		w.cover.crashPhases[s.disk.ops[0].kind][s.disk.ops[0].phase-1]++
	}
	if s.disk.aside || s.disk.unsealed {
		w.cover.hit(pointSyncInterrupted)
	}
	if s.serving && s.role == zab.Leading && s.seen.Version > s.committed.Version {
		w.cover.hit(pointLeaderLostInReconfig)
	}
	if s.serving && s.role == zab.Leading && len(s.disk.hist) > len(s.state) {
		w.cover.hit(pointLeaderLostWithTail)
	}
	w.mark('X', uint64(s.index))
	s.up, s.node, s.serving, s.listening, s.running = false, nil, false, false, false
	s.life++
	s.app.stop()
	s.crashed()
	w.forgetVotes(s)
	s.losePower()
	s.ghost.matched = 0
	s.state = nil
	w.disconnect(s)
	if w.tracing() {
		w.tracef("%d crashes; its disk has %s, epochs %d/%d", s.sid, w.zxidText(w.zxid(s.disk.hist)), s.disk.epochs[0], s.disk.epochs[1])
	}
	w.look(atDisk, s)
}

// crashAndReturn is a crash in the middle of something; the server comes back some time.
func (s *server) crashAndReturn() {
	s.crash()
	s.w.restartLater(s, s.rng.upTo(time.Second))
}

// step gives an event to the node. Its effects follow at once, or together with those of other steps.
func (s *server) step(ev zab.Event) {
	if s.readOn(); !s.up {
		return
	}
	w := s.w
	w.steps++
	s.node.Step(s.clock.read(w.now), ev)
	if s.running {
		return
	}
	if s.changed() {
		s.run() // so that what is known of the role, in ghost, is what it came from
		return
	}
	if s.flushing {
		return
	}
	if w.draw.batching > 0 && s.rng.chance(w.draw.batching) {
		s.flushing = true
		w.plan(due{kind: dueFlush, server: s.index, life: s.life}, w.draw.latency(&s.rng))
		return
	}
	s.run()
}

// readOn gives the node the packets that wait.
func (s *server) readOn() {
	if len(s.unread) == 0 || !s.up {
		return
	}
	if s.takeUnread(); !s.running && s.changed() {
		s.run()
	}
}

func (s *server) takeUnread() {
	packets := s.unread
	s.unread = nil
	for i := range packets {
		s.ghost.receives(&packets[i])
	}
	if len(packets) > 1 {
		s.w.cover.hit(pointTogether)
	}
	s.w.steps++
	s.node.Step(s.clock.read(s.w.now), zab.Received{Link: s.unreadOf.id, Packets: packets})
}

// run gives waiting packets and requests to the node and carries out the effects, until there are none.
func (s *server) run() {
	if len(s.unread) > 0 {
		s.takeUnread()
	}
	s.flushing, s.running = false, true
	life := s.life
	for {
		s.propose()
		s.changed()
		effects := s.node.Effects(s.effects[:0])
		s.effects = effects
		if len(effects) == 0 {
			break
		}
		for i := range effects {
			kind := kindOf(effects[i])
			if s.crashInEffects > 0 {
				s.crashInEffects--
			}
			if s.crashInEffects == 0 && s.crashAt == (crashPlace{kind, false}) {
				s.w.cover.crashBefore[kind]++
				s.crashAndReturn()
				return
			}
			s.w.cover.effects[kind]++
			s.effect(effects[i])
			if s.life != life {
				return
			}
			if s.crashInEffects == 0 && s.crashAt == (crashPlace{kind, true}) {
				s.w.cover.crashAfter[kind]++
				s.crashAndReturn()
				return
			}
		}
	}
	s.running = false
	if at := s.clock.when(s.node.Deadline()); at < s.wake {
		s.wake = at
		s.w.planAt(due{kind: dueTick, server: s.index, life: life}, at)
	}
}

// tick lets the node do what is due.
func (s *server) tick() {
	w := s.w
	s.wake = never
	if s.flushing {
		s.run()
		if !s.up {
			return
		}
	}
	if at := s.clock.when(s.node.Deadline()); at > w.now {
		if at != never {
			s.wake = at
			w.planAt(due{kind: dueTick, server: s.index, life: s.life}, at)
		}
		return
	}
	s.expire()
	s.step(zab.Tick{})
}

// receive gives a packet to the node.
func (s *server) receive(l *link, p *wire.Packet, snapshot history) {
	w := s.w
	w.cover.packet(p.Type)
	w.mark(uint64(p.Type)<<32|uint64(l.id), uint64(p.Zxid))
	if p.Type == wire.TypeSnap {
		l.paused[l.endOf(s)] = true
		s.ghost.incoming = snapshot
	}
	if w.tracing() {
		w.tracePacket(l, s, p)
	}
	if s.flushing && p.Type != wire.TypeSnap && (len(s.unread) == 0 || s.unreadOf == l) {
		s.unreadOf = l
		s.unread = append(s.unread, *p)
		return
	}
	s.readOn()
	s.ghost.receives(p)
	s.step(zab.Received{Link: l.id, Packets: []wire.Packet{*p}})
}

// heard gives a vote to the node.
func (s *server) heard(from *server, v *wire.Notification) {
	s.w.mark(uint64(s.index)<<40|uint64(v.State)<<32|uint64(v.Leader), uint64(v.Zxid))
	if w := s.w; w.tracing() && w.traceVotes {
		w.tracef("%d>%d %v: %d with %s of epoch %d, round %d", from.sid, s.sid, zab.Role(v.State), v.Leader, w.zxidText(v.Zxid), v.PeerEpoch, v.Round)
	}
	s.readOn()
	s.ghost.hear(from, v)
	s.step(zab.Heard{From: from.sid, Vote: *v})
}

// send hands a packet to a link.
func (s *server) send(id zab.LinkID, p *wire.Packet, snapshot history) {
	w := s.w
	l := w.link(id)
	end := l.endOf(s)
	w.sends(s, l, p)
	if !l.open[end] {
		return
	}
	at := len(w.arena)
	w.arena = p.Append(w.arena)
	b := w.arena[at:len(w.arena):len(w.arena)]
	if len(b) != p.Size() {
		w.violate("codec", "the size of %v is %d, not %d", p.Type, len(b), p.Size())
	}
	f := frame{kind: framePacket, bytes: b, snapshot: snapshot}
	if p.Type == wire.TypeSnap && s.whole != nil {
		f.stream = s.whole.Stream()
	}
	l.hand(end, p.Type, f)
	if p.Type == wire.TypeSnap {
		l.snapshot[end] = true
		l.report(end)
		return
	}
	l.wrote(end, len(b))
}

// effect carries out one effect.
func (s *server) effect(e zab.Effect) {
	w := s.w
	switch e := e.(type) {
	case zab.Notify:
		w.notifies(s, &e)
		s.notify(&e)
	case zab.Dial:
		s.sealed = false
		s.dialled++
		s.ghost.dials = e.SID
		w.look(atElected, s)
		if to := w.server(e.SID); to != nil {
			w.plan(due{kind: dueDial, server: s.index, from: to.index, life: s.life, number: uint64(e.Dial)}, w.draw.latency(&s.rng))
		}
	case zab.Listen:
		s.listening = e.On
		if e.On {
			s.ghost.dials = s.sid
			w.look(atElected, s)
		}
	case zab.Close:
		if l := w.link(e.Link); l != nil {
			l.close(l.endOf(s))
		}
		if w.tracing() && e.Error {
			w.tracef("%d closes the link: %s", s.sid, e.Reason)
		}
	case zab.Send:
		for i := range e.Packets {
			s.send(e.Link, &e.Packets[i], nil)
		}
	case zab.SendSnapshot:
		if got := w.zxid(s.state); got != e.Zxid && uint32(e.Zxid) != 0 {
			w.violate("contract", "server %d: snapshot %#x of a state at %#x", s.sid, e.Zxid, got)
		}
		s.send(e.Link, &wire.Packet{Type: wire.TypeSnap, Zxid: e.Zxid}, s.state[:len(s.state):len(s.state)])
	case zab.EchoPing:
		s.send(e.Link, &wire.Packet{Type: wire.TypePing, Zxid: e.Zxid, Data: s.touchedSessions()}, nil)
	case zab.Deliver:
		s.deliver(&e)
	case zab.Append:
		s.append(e.Records)
	case zab.Truncate:
		w.cover.hit(pointTruncate)
		s.enqueue(diskOp{kind: opTruncate, aside: s.aside(), zxid: e.Zxid, restore: e.Restore})
	case zab.InstallSnapshot:
		s.enqueue(diskOp{kind: opInstall, aside: s.aside(), zxid: e.Zxid, restore: e.Restore, link: e.Link, snapshot: s.ghost.incoming, stream: s.incoming})
	case zab.Reload:
		w.cover.hit(pointReload)
		s.enqueue(diskOp{kind: opReload, restore: e.Restore})
	case zab.ReadLog:
		s.enqueue(diskOp{kind: opReadLog, zxid: e.From, link: e.Link})
	case zab.PersistEpoch:
		s.ghost.epoch = e
		w.look(atEpoch, s)
		if e.File == zab.CurrentEpoch {
			s.sealed = true
		}
		s.enqueue(diskOp{kind: opEpoch, file: e.File, epoch: e.Epoch})
	case zab.Apply:
		for i := range e.Records {
			s.apply(&e.Records[i])
		}
	case zab.Configure:
		before, seen := s.committed, s.seen
		s.committed, s.seen = e.Committed, e.LastSeen
		w.configures(s, before, seen)
		s.enqueue(diskOp{kind: opConfigure, committed: e.Committed, seen: e.LastSeen})
	case zab.Serve:
		s.serve(&e)
	case zab.ServeReadOnly:
		w.cover.hit(pointReadOnly)
	case zab.StopServing:
		s.serving = false
		s.app.stop()
		if s.whole != nil {
			s.whole.Forget()
		}
		w.disconnect(s)
	case zab.SyncDone:
		w.clients[e.Tag>>32].synced(s, uint32(e.Tag))
	case zab.Note:
		if w.tracing() {
			w.tracef("%d %s", s.sid, e.Text)
		}
	}
}

// aside reports whether what the node does to its history is to be held under a temporary name.
func (s *server) aside() bool { return s.w.draw.aside && !s.serving && !s.sealed }

// append writes records to the log.
func (s *server) append(records []zab.Record) {
	w := s.w
	if s.disk.failed {
		return // what is asked for now is from before the failure
	}
	if s.whole != nil {
		life := s.life
		if s.appendWhole(records); s.life != life || s.disk.failed {
			return
		}
	}
	ids := make([]txnID, len(records))
	for i := range records {
		ids[i] = w.identify(s, &records[i])
	}
	s.enqueue(diskOp{kind: opAppend, aside: s.aside(), ids: ids})
}

// apply gives a record to the state and, if it is visible, to the clients.
func (s *server) apply(r *zab.Record) {
	w := s.w
	id := w.identify(s, r)
	w.applies(s, id)
	s.state = append(s.state, id)
	var told Applied
	if s.whole != nil {
		told = s.applyWhole(r, id)
	}
	if s.serving {
		w.show(s)
		w.acknowledge(s, id, told)
		w.hangUp(s, id)
	}
}

// serve begins service.
func (s *server) serve(e *zab.Serve) {
	w := s.w
	s.serving, s.role, s.leader = true, e.Role, e.Leader
	s.ghost.serve = *e
	w.cover.roles[e.Role]++
	w.mark('V', uint64(e.Epoch)<<8|uint64(s.index))
	if e.Role == zab.Observing {
		w.cover.hit(pointObserverServes)
	} else if !s.committed.IsVoter(s.sid) {
		w.cover.hit(pointStrangerServes)
	}
	w.look(atServe, s)
	s.ghost.verified = 0
	w.show(s)
	if e.Role == zab.Leading {
		s.app.lead(s)
	}
}

// dialDone is the outcome of a dial.
func (s *server) dialDone(to *server, dial zab.DialID) {
	w := s.w
	if !to.up || !to.listening || w.blocked(s, to) || w.blocked(to, s) {
		s.step(zab.DialFailed{Dial: dial, Reason: "refused"})
		return
	}
	l := w.connect(s, to)
	l.send(learnerEnd, frame{kind: frameUp})
	s.step(zab.LinkUp{Link: l.id, Dial: dial})
}

// changed reports whether the role is another one than after the step before.
func (s *server) changed() bool {
	role := s.node.Role()
	if role == s.ghost.role {
		return false
	}
	s.ghost.enter(role)
	s.turns++
	s.w.cover.entered[role]++
	return true
}

// deliver takes what the node hands to the server behind it.
func (s *server) deliver(e *zab.Deliver) {
	d := jute.NewDecoder(e.Packet.Data)
	switch {
	case e.Packet.Type == wire.TypeRequest:
		var r wire.Request
		r.Decode(&d)
		s.enqueueRequest(ofWire(&r, e.Link))
	case e.Packet.Type == wire.TypePing:
		for d.Len() > 0 {
			var r wire.Session
			r.Decode(&d)
			s.touch(r.ID)
		}
	case e.Packet.Type == wire.TypeSync:
		s.syncAnswered()
	case s.role == zab.Leading:
		var r wire.Session
		r.Decode(&d)
		s.enqueueRequest(request{session: r.ID, link: e.Link, revalidate: true})
	default:
		var r wire.SessionValid
		r.Decode(&d)
		s.w.revalidated(s, r)
	}
}
