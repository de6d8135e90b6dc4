package zabtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/jute"
	"quoll/zab"
	"quoll/zab/wire"
)

// Script plays a story: lines of verbs, in a world in which nothing is drawn. Every message takes 1 ms, every phase of a disk too, and a crash loses all that
// was not synced. The verbs:
//
//	ensemble 1 2 3 -4 [OPTION...]  begins: members, observers being negative. The options are reconfig, aside, late-uptodate, snapshots, small-epochs, strangers=N
//	start 1 2                      starts servers
//	crash 1                        crashes servers
//	crash 1 before|behind EFFECT   crashes a server at its next effect of that kind
//	crash 1 before OP PHASE        crashes a server before a phase of its disk: append write, currentEpoch rename, ...
//	wipe 1                         takes the disk of a server that is down
//	stop 1 [before OP PHASE]       the disk of a server does nothing from now, or from that phase on
//	go 1                           the disk of a server goes on
//	isolate 1                      nothing comes from or to a server
//	split 1 2                      nothing comes from these servers to the others or back
//	heal                           everything comes through again
//	cut 1 2                        breaks the link between two servers
//	cut 1 before PACKET            breaks the link of a server instead of delivering the next such packet to it
//	write N [at 1]                 N transactions at the leader, or at a server that takes itself for it
//	reconfig 1 2 -3                a reconfig to other members
//	run 2s                         lets time pass
//	until led | settled            lets time pass until somebody leads, or all members that are up follow and have the same history
//	hide PACKET... | all           packets that are not worth a line
//	show                           what each server is and has on its disk
type Script struct {
	w      *World
	out    strings.Builder
	hidden map[string]bool
}

// Play plays lines and returns what happened.
func (s *Script) Play(lines string) (out string) {
	s.out.Reset()
	defer func() {
		if v, ok := recover().(violation); ok {
			out = fmt.Sprintf("%s%s is broken: %s\n", s.out.String(), v.invariant, v.message)
		} else if v := recover(); v != nil {
			panic(v)
		}
	}()
	for line := range strings.Lines(lines) {
		if words := strings.Fields(line); len(words) > 0 {
			if err := s.verb(words[0], words[1:]); err != nil {
				return fmt.Sprintf("%s%s: %v\n", s.out.String(), strings.TrimSpace(line), err)
			}
		}
	}
	return s.out.String()
}

func (s *Script) verb(verb string, args []string) error {
	w := s.w
	if verb == "ensemble" {
		return s.ensemble(args)
	}
	if verb == "hide" && len(args) == 0 {
		clear(s.hidden)
	}
	if verb == "hide" {
		for _, a := range args {
			s.hidden[a] = true
		}
		return nil
	}
	var sids []int64
	for _, a := range args {
		if n, err := strconv.ParseInt(a, 10, 64); err == nil {
			sids = append(sids, n)
		}
	}
	each := func(do func(v *server)) error {
		for _, sid := range sids {
			v := w.server(sid)
			if v == nil {
				return fmt.Errorf("there is no server %d", sid)
			}
			do(v)
		}
		return nil
	}
	switch verb {
	case "start":
		return each(func(v *server) { v.start() })
	case "crash":
		if len(args) == 1 || len(sids) == len(args) {
			return each((*server).crash)
		}
		return each(func(v *server) { v.crashAt, v.stopAt = s.place(args[1:]) })
	case "wipe":
		return each(func(v *server) { v.disk.wipe(v.initial); v.ghost.wiped() })
	case "stop":
		return each(func(v *server) {
			if v.disk.stuck = len(args) == 1; !v.disk.stuck {
				_, v.stopAt = s.place(args[1:])
				v.stopAt.stick = true
			}
		})
	case "go":
		return each(func(v *server) { v.disk.stuck = false; v.turnDisk() })
	case "isolate":
		return each(func(v *server) { w.split(1<<v.index, true, true) })
	case "split":
		var side uint64
		err := each(func(v *server) { side |= 1 << v.index })
		w.split(side, true, true)
		return err
	case "heal":
		w.healNetwork()
	case "cut":
		if len(sids) == 1 && len(args) == 3 {
			w.cutAt = cutPlace{w.server(sids[0]), args[2]}
			return nil
		}
		for _, l := range w.links {
			if l.open[0] && slices.Contains(sids, l.ends[0].sid) && slices.Contains(sids, l.ends[1].sid) {
				l.cut()
			}
		}
	case "write":
		l := w.leading()
		if len(sids) == 2 {
			l = w.server(sids[1])
		}
		if l == nil {
			return fmt.Errorf("nobody leads")
		}
		for range sids[0] {
			l.enqueueRequest(request{op: jute.OpSetData})
		}
		l.step(zab.Tick{})
	case "reconfig":
		l := w.leading()
		l.enqueueRequest(request{op: jute.OpReconfig, members: sids})
		l.step(zab.Tick{})
	case "run":
		d, err := time.ParseDuration(args[0])
		w.runUntil(w.now + d)
		return err
	case "until":
		w.await(20*time.Second, func() string {
			if l := w.leading(); args[0] == "led" && l != nil {
				return ""
			}
			return w.unsettled(true)
		})
	case "show":
		for _, v := range w.servers {
			s.line(v.describe())
		}
	default:
		return fmt.Errorf("unknown verb")
	}
	return nil
}

// ensemble begins the story.
func (s *Script) ensemble(args []string) error {
	s.w = NewWorld()
	s.hidden = map[string]bool{}
	d := draw{steady: true, wireUnit: time.Millisecond, diskUnit: time.Millisecond, burst: 1, recent: -1, readRecords: 20, groupCommit: true, rogue: -1,
		initLimit: 10, syncLimit: 5, clients: 1, sessionTimeout: time.Hour, patience: time.Hour}
	for _, a := range args {
		n, err := strconv.ParseInt(a, 10, 64)
		switch {
		case err == nil:
			d.members = append(d.members, n)
			d.servers++
		case a == "reconfig":
			d.reconfig = true
		case a == "aside":
			d.aside = true
		case a == "late-uptodate":
			d.holdUpToDate = 1000
		case a == "snapshots":
			d.forceSnapshot = true
		case a == "small-epochs":
			d.maxCounter = 3
		case strings.HasPrefix(a, "strangers="):
			n, _ := strconv.Atoi(a[len("strangers="):])
			d.servers += n
		default:
			return fmt.Errorf("unknown option %s", a)
		}
	}
	s.w.begin(0, d)
	s.w.quiet = true
	s.w.trace = func(line string) {
		words := strings.Fields(line)
		if len(words) > 2 && strings.Contains(words[1], ">") && (s.hidden[words[2]] || s.hidden["all"]) {
			return
		}
		s.line(strings.Join(words[1:], " "))
	}
	return nil
}

func (s *Script) line(text string) { fmt.Fprintln(&s.out, text) }

// place is where a server crashes or stops: at an effect, or in its disk.
func (s *Script) place(words []string) (crashPlace, stopPlace) {
	if len(words) == 3 {
		at := stopPlace{on: true}
		switch words[1] {
		case "acceptedEpoch", "currentEpoch":
			at.kind = opEpoch
			if words[1] == "currentEpoch" {
				at.file = zab.CurrentEpoch
			}
		default:
			at.kind = opKind(slices.Index(opNames[:], words[1]))
		}
		at.phase = int8(slices.Index(opPhases[at.kind], words[2]))
		return crashNowhere, at
	}
	return crashPlace{effectKind(slices.Index(effectNames[:], words[1])), words[0] == "behind"}, stopPlace{}
}

// describe says what a server does, and what its disk has.
func (s *server) describe() string {
	w, d := s.w, &s.disk
	var b strings.Builder
	fmt.Fprintf(&b, "%d ", s.sid)
	switch {
	case !s.up:
		b.WriteString("down")
	case s.serving && s.role == zab.Leading:
		fmt.Fprintf(&b, "LEADING epoch %d", s.ghost.serve.Epoch)
	case s.serving:
		fmt.Fprintf(&b, "%v %d", s.role, s.leader)
	default:
		fmt.Fprintf(&b, "%v, not serving", s.node.Role())
	}
	fmt.Fprintf(&b, "; epochs %d/%d, disk", d.epochs[zab.AcceptedEpoch], d.epochs[zab.CurrentEpoch])
	for i, id := range d.hist {
		switch {
		case i == d.synced:
			b.WriteString(" (not synced:")
		case i == 0 && d.logFrom > 0:
			b.WriteString(" [snapshot")
		}
		b.WriteString(" " + w.zxidText(w.txns[id].zxid))
		if i == d.logFrom-1 {
			b.WriteString("]")
		}
	}
	if d.synced < len(d.hist) {
		b.WriteString(")")
	}
	if len(d.hist) == 0 {
		b.WriteString(" empty")
	}
	if w.draw.reconfig && s.up {
		fmt.Fprintf(&b, "; config %v", membersOf(s.committed))
		if s.seen.Version > s.committed.Version {
			fmt.Fprintf(&b, ", seen %v", membersOf(s.seen))
		}
	}
	return b.String()
}

// stopPlace is before a phase of a disk.
type stopPlace struct {
	kind  opKind
	phase int8
	// file is which one, if it is about an epoch.
	file zab.EpochFile
	// on says that there is a place, stick that the disk stops there and the server does not crash.
	on, stick bool
}

// cutPlace is before a packet arrives at a server.
type cutPlace struct {
	server *server
	packet string
}

// cuts reports whether the link is to be broken instead of delivering p.
func (c *cutPlace) cuts(s *server, p *wire.Packet) bool {
	if c.server != s || c.packet != p.Type.String() {
		return false
	}
	*c = cutPlace{}
	return true
}
