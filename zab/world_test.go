package zab

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// world is a small ensemble in one goroutine: nodes, disks, links and a clock, all of it moved by one seed. The large simulation is package
// zabtest; this one is for the tests of this package.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	now   time.Duration
	queue eventQueue
	seq   int
	hosts []*host
	links map[LinkID]*link
	lastL LinkID
	// lossy cuts and delays more.
	options func(sid int64) Options
	// history is what any server showed, in order; every other must show the same.
	history []Record
	trace   []string
	verbose bool
	fast    bool // links take 100 times as many packets
	config  *ensemble.Config
	// side is where a server is of a network that is cut in parts.
	side   map[int64]int
	snaps  int
	syncs  map[uint64]int // tag of a sync: length of the history when it was asked
	tags   uint64
	synced int
}

// host is a server: its node, its disk and its state.
type host struct {
	w    *world
	sid  int64
	node *Node
	life int // counts starts, so that events of former lives are dropped
	// durable
	disk              []Record // the whole history
	logFrom           int      // what lies before is only in a snapshot
	staged            []Record // the same with what is not sealed by its epoch, nil without that
	stagedFrom        int
	accepted, current int64
	committed, seen   *ensemble.Config
	// disk operations end in order
	diskFree time.Duration
	slow     int       // how many ms it may take more
	batch    *[]Record // of the last write, if it has not begun
	// memory
	state     []Record
	serving   bool
	asked     []int // lengths of the history at syncs that are not answered
	listening bool
	role      Role
	wake      time.Duration
	onWire    map[LinkID][]Record // snapshots received and not installed
}

type link struct {
	ends   [2]*host
	lives  [2]int
	open   [2]bool
	free   [2]time.Duration // towards each end
	paused [2][]func()
	pause  [2]bool
	stuck  bool // nothing arrives any more, and nobody is told
}

type timed struct {
	at  time.Duration
	seq int
	do  func()
}

type eventQueue []timed

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(timed)) }
func (q *eventQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func testConfig(t testing.TB, lines ...string) *ensemble.Config {
	t.Helper()
	c, err := ensemble.Parse(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// members is a config of participants 1 to n, or observers where the number is negative.
func members(t testing.TB, version int64, sids ...int64) *ensemble.Config {
	var lines []string
	for _, sid := range sids {
		role := "participant"
		if sid < 0 {
			sid, role = -sid, "observer"
		}
		lines = append(lines, fmt.Sprintf("server.%d=h%d:1:2:%s", sid, sid, role))
	}
	return testConfig(t, append(lines, fmt.Sprintf("version=%x", version))...)
}

func newWorld(t testing.TB, seed uint64, config *ensemble.Config, sids ...int64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), links: map[LinkID]*link{}, config: config, side: map[int64]int{}, syncs: map[uint64]int{}}
	w.options = func(sid int64) Options {
		return Options{SID: sid, Tick: 100 * time.Millisecond, InitLimit: 20, SyncLimit: 10, Reconfig: true}
	}
	for _, sid := range sids {
		h := &host{w: w, sid: sid, committed: config, seen: config}
		w.hosts = append(w.hosts, h)
	}
	return w
}

func (w *world) at(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, timed{w.now + d, w.seq, do})
}

func (w *world) ms(n int) time.Duration {
	return time.Duration(1+w.rng.IntN(n*1000)) * time.Microsecond
}

func (w *world) host(sid int64) *host {
	for _, h := range w.hosts {
		if h.sid == sid {
			return h
		}
	}
	return nil
}

func (w *world) logf(format string, args ...any) {
	line := fmt.Sprintf("%8.3f ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	if w.verbose {
		w.t.Log(line)
	}
	w.trace = append(w.trace, line)
}

// saw reports whether a line of the trace has the text.
func (w *world) saw(text string) bool {
	return slices.ContainsFunc(w.trace, func(line string) bool { return strings.Contains(line, text) })
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	for _, h := range w.hosts {
		if h.node != nil {
			c, l := h.node.Configs()
			w.logf("%d: %+v deadline %v configs %x %x", h.sid, h.node.Status(), h.node.Deadline(), c.Version, l.Version)
		}
	}
	for _, h := range w.hosts {
		if h.node != nil && h.node.leader != nil {
			for _, p := range h.node.leader.peers {
				w.logf("%d has peer %+v", h.sid, *p)
			}
		}
	}
	tail := w.trace[max(0, len(w.trace)-100):]
	w.t.Fatalf("%s\n%s", strings.Join(tail, "\n"), fmt.Sprintf(format, args...))
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(timed)
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = end
}

// until runs until done, at most for d.
func (w *world) until(d time.Duration, what string, done func() bool) {
	w.t.Helper()
	for end := w.now + d; w.now < end; {
		if done() {
			return
		}
		w.run(5 * time.Millisecond)
	}
	w.fatalf("after %v not: %s", d, what)
}

func (w *world) start() {
	for _, h := range w.hosts {
		if h.node == nil {
			h.start()
		}
	}
}

func (h *host) contents() Disk {
	disk, from := h.disk, h.logFrom
	if h.staged != nil {
		disk, from = h.staged, h.stagedFrom
	}
	return Disk{AcceptedEpoch: h.accepted, CurrentEpoch: h.current, Recent: slices.Clone(disk[from:]), Zxid: lastOf(disk)}
}

func lastOf(records []Record) int64 {
	if len(records) == 0 {
		return 0
	}
	return records[len(records)-1].Zxid
}

// seal makes the staged history the own one.
func (h *host) seal() {
	if h.staged != nil {
		h.disk, h.logFrom, h.staged = h.staged, h.stagedFrom, nil
	}
}

func (h *host) start() {
	h.life++
	h.staged, h.batch = nil, nil
	h.state = slices.Clone(h.disk)
	h.onWire = map[LinkID][]Record{}
	h.diskFree, h.wake = h.w.now, Never
	h.node = New(h.w.options(h.sid), State{Disk: h.contents(), Committed: h.committed, LastSeen: h.seen})
	h.w.logf("%d starts at %#x", h.sid, h.contents().Zxid)
	h.node.Step(h.w.now, Tick{})
	h.effects()
}

// crash loses everything that is not durable.
func (h *host) crash() {
	h.w.logf("%d crashes", h.sid)
	h.node, h.serving, h.listening, h.asked = nil, false, false, nil
	h.life++
	for _, id := range h.w.linkIDs() {
		l := h.w.links[id]
		for i := range l.ends {
			if l.ends[i] == h && l.open[i] {
				l.open[i] = false
				h.w.drop(id, 1-i, "crash")
			}
		}
	}
}

func (w *world) linkIDs() []LinkID {
	var ids []LinkID
	for id := range w.links {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// drop tells one end that the link is down, behind what is on its way.
func (w *world) drop(id LinkID, end int, why string) {
	w.deliver(id, end, func(h *host) {
		w.links[id].open[end] = false
		h.step(LinkDown{id, why})
	})
}

// cut ends a link at both ends.
func (w *world) cut(id LinkID) {
	for end := range 2 {
		l := w.links[id]
		if l.open[end] {
			l.open[end] = false
			h, life := l.ends[end], l.lives[end]
			w.at(w.ms(2), func() {
				if h.node != nil && h.life == life {
					h.step(LinkDown{id, "cut"})
				}
			})
		}
	}
}

// deliver runs do at an end of a link, in order.
func (w *world) deliver(id LinkID, end int, do func(h *host)) {
	l := w.links[id]
	took := w.ms(2)
	if w.fast {
		took /= 100
	}
	l.free[end] = max(l.free[end], w.now) + took
	h := l.ends[end]
	w.at(l.free[end]-w.now, func() {
		run := func() {
			if h.node != nil && h.life == l.lives[end] && l.open[end] && !l.stuck {
				do(h)
			}
		}
		if l.pause[end] {
			l.paused[end] = append(l.paused[end], run)
			return
		}
		run()
	})
}

func (h *host) step(ev Event) {
	if h.node == nil {
		return
	}
	h.node.Step(h.w.now, ev)
	h.effects()
}

// later runs do in this life of the host when the disk gets to it.
func (h *host) onDisk(do func()) {
	life := h.life
	h.batch = nil
	h.diskFree = max(h.diskFree, h.w.now) + h.w.ms(h.slow+4)
	h.w.at(h.diskFree-h.w.now, func() {
		if h.life == life && h.node != nil {
			do()
		}
	})
}

func (h *host) restored(id RestoreID) {
	h.state = slices.Clone(h.disk)
	if h.staged != nil {
		h.state = slices.Clone(h.staged)
	}
	h.step(Restored{Restore: id, Disk: h.contents()})
}

func (h *host) effects() {
	w := h.w
	for {
		effects := effectsOf(h.node)
		if len(effects) == 0 {
			break
		}
		for _, e := range effects {
			h.effect(e)
		}
	}
	if at := h.node.Deadline(); at != h.wake {
		h.wake = at
		if at != Never {
			life := h.life
			w.at(max(0, at-w.now), func() {
				if h.life == life && h.node != nil && h.wake == at {
					h.wake = -1
					h.step(Tick{})
				}
			})
		}
	}
}

func (h *host) effect(e Effect) {
	w := h.w
	switch e := e.(type) {
	case Notify:
		if v := e.Vote; v.State == int32(Looking) && v.Leader == h.sid && v.Zxid > lastOf(h.disk) && h.node.role == Looking {
			w.fatalf("%d votes with %#x, its disk has %#x", h.sid, v.Zxid, lastOf(h.disk))
		}
		to := w.host(e.To)
		if to == nil || w.side[h.sid] != w.side[e.To] {
			return
		}
		frame := e.Vote.AppendFrame(nil)
		w.at(w.ms(3), func() {
			d := jute.NewDecoder(frame[4:])
			var v wire.Notification
			if v.Decode(&d); d.Err() != nil {
				w.fatalf("notification: %v", d.Err())
			}
			to.step(Heard{h.sid, v})
		})
	case Dial:
		to := w.host(e.SID)
		life := h.life
		w.at(w.ms(3), func() {
			if h.life != life || h.node == nil {
				return
			}
			if to.node == nil || !to.listening || w.side[h.sid] != w.side[e.SID] {
				h.step(DialFailed{Dial: e.Dial, Reason: "refused"})
				return
			}
			w.lastL++
			id := w.lastL
			w.links[id] = &link{ends: [2]*host{h, to}, lives: [2]int{h.life, to.life}, open: [2]bool{true, true}}
			w.deliver(id, 1, func(h *host) { h.step(LinkUp{Link: id}) })
			h.step(LinkUp{id, e.Dial})
		})
	case Listen:
		h.listening = e.On
	case Close:
		l := w.links[e.Link]
		for i := range l.ends {
			if l.ends[i] == h && l.open[i] {
				l.open[i] = false
				w.drop(e.Link, 1-i, "closed: "+e.Reason)
			}
		}
		if e.Error {
			w.logf("%d closes link %d: %s", h.sid, e.Link, e.Reason)
		}
	case Send:
		for _, p := range e.Packets {
			if (p.Type == wire.TypeAck || p.Type == wire.TypeAckEpoch) && p.Zxid > lastOf(h.disk) && counterOf(p.Zxid) != 0 {
				w.fatalf("%d sends %v %#x, its disk has %#x", h.sid, p.Type, p.Zxid, lastOf(h.disk))
			}
			if p.Type == wire.TypeAck && epochOf(p.Zxid) > h.current {
				w.fatalf("%d acknowledges %#x in epoch %d", h.sid, p.Zxid, h.current)
			}
			h.send(e.Link, p, nil)
		}
	case SendSnapshot:
		w.snaps++
		got := int64(0)
		if len(h.state) > 0 {
			got = h.state[len(h.state)-1].Zxid
		}
		if got != e.Zxid {
			w.fatalf("%d: snapshot %#x of state %#x", h.sid, e.Zxid, got)
		}
		h.send(e.Link, wire.Packet{Type: wire.TypeSnap, Zxid: e.Zxid}, slices.Clone(h.state))
	case EchoPing:
		h.send(e.Link, wire.Packet{Type: wire.TypePing, Zxid: e.Zxid, Data: []byte{}}, nil)
	case Deliver:
		if e.Packet.Type == wire.TypeRequest {
			h.step(Sync{Link: e.Link})
		}
		if e.Packet.Type == wire.TypeSync {
			if len(h.asked) == 0 {
				w.fatalf("%d gets a SYNC that it did not ask for", h.sid)
			}
			w.synced++
			if len(h.state) < h.asked[0] {
				w.fatalf("sync at learner %d shows %d transactions of %d", h.sid, len(h.state), h.asked[0])
			}
			h.asked = h.asked[1:]
		}
	case Append:
		if h.batch != nil {
			*h.batch = append(*h.batch, e.Records...)
			return
		}
		batch := &[]Record{}
		*batch = append(*batch, e.Records...)
		h.onDisk(func() {
			if h.batch == batch {
				h.batch = nil
			}
			records := *batch
			for _, r := range records {
				if h.staged == nil && epochOf(r.Zxid) > h.current {
					h.staged, h.stagedFrom = slices.Clone(h.disk), h.logFrom
				}
				if h.staged != nil {
					h.staged = append(h.staged, r)
				} else {
					h.disk = append(h.disk, r)
				}
			}
			h.step(Synced{records[len(records)-1].Zxid})
		})
		h.batch = batch
	case Truncate:
		h.onDisk(func() {
			i := 0
			for i < len(h.disk) && h.disk[i].Zxid <= e.Zxid {
				i++
			}
			w.logf("%d truncates to %#x, loses %d", h.sid, e.Zxid, len(h.disk)-i)
			if i < h.logFrom {
				h.step(RestoreFailed{e.Restore, "below the snapshot"})
				return
			}
			h.disk = h.disk[:i:i]
			h.restored(e.Restore)
		})
	case InstallSnapshot:
		records := h.onWire[e.Link]
		h.onDisk(func() {
			h.staged, h.stagedFrom = append([]Record{}, records...), len(records)
			w.logf("%d installs a snapshot %#x", h.sid, e.Zxid)
			h.restored(e.Restore)
			l := w.links[e.Link]
			end := 0 // the learner dialled
			l.pause[end] = false
			paused := l.paused[end]
			l.paused[end] = nil
			for _, run := range paused {
				run()
			}
		})
	case Reload:
		h.onDisk(func() {
			h.staged = nil
			h.restored(e.Restore)
		})
	case ReadLog:
		h.onDisk(func() {
			log, bytes := h.disk[h.logFrom:], 0
			log = log[max(0, sort.Search(len(log), func(i int) bool { return log[i].Zxid > e.From })-1):]
			if len(log) > 0 && log[0].Zxid > e.From {
				log = nil
			}
			n := 0
			for n < len(log) && (n < 3 || bytes < e.Bytes) {
				bytes += len(log[n].Data)
				n++
			}
			h.step(LogRead{Link: e.Link, Records: log[:n:n]})
		})
	case PersistEpoch:
		h.onDisk(func() {
			if e.File == AcceptedEpoch {
				h.accepted = e.Epoch
			} else {
				h.current = e.Epoch
				h.seal()
			}
			h.step(EpochPersisted(e))
		})
	case Apply:
		for _, r := range e.Records {
			if len(h.state) > 0 && !Follows(h.state[len(h.state)-1].Zxid, r.Zxid) {
				w.fatalf("%d applies %#x behind %#x", h.sid, r.Zxid, h.state[len(h.state)-1].Zxid)
			}
			h.state = append(h.state, r)
		}
		if h.serving {
			h.show()
		}
	case Configure:
		h.committed, h.seen = e.Committed, e.LastSeen
	case Serve:
		w.logf("%d serves %v of %d in epoch %d, %d transactions", h.sid, e.Role, e.Leader, e.Epoch, len(h.state))
		h.serving, h.role = true, e.Role
		if e.Role == Leading && len(h.state) < len(w.history) {
			w.fatalf("leader %d has %d transactions of %d", h.sid, len(h.state), len(w.history))
		}
		h.show()
	case StopServing:
		h.serving, h.asked = false, nil
	case SyncDone:
		w.synced++
		if len(h.state) < w.syncs[e.Tag] {
			w.fatalf("sync %d at %d shows %d transactions of %d", e.Tag, h.sid, len(h.state), w.syncs[e.Tag])
		}
	case Note:
		w.logf("%d: %s", h.sid, e.Text)
	}
}

// send hands a packet to the other end, by way of its encoding.
func (h *host) send(id LinkID, p wire.Packet, snapshot []Record) {
	w := h.w
	l := w.links[id]
	end := 1
	if l.ends[1] == h {
		end = 0
	}
	if !l.open[1-end] {
		return
	}
	b := p.Append(nil)
	if len(b) != p.Size() {
		w.fatalf("size of %v: %d, not %d", p.Type, p.Size(), len(b))
	}
	life := h.life
	w.deliver(id, end, func(to *host) {
		d := jute.NewDecoder(b)
		var q wire.Packet
		if q.Decode(&d); d.Err() != nil {
			w.fatalf("packet: %v", d.Err())
		}
		if q.Type == wire.TypeSnap {
			to.onWire[id] = snapshot
			l.pause[end] = true
		}
		to.step(Received{id, []wire.Packet{q}})
	})
	var left func()
	left = func() {
		if l.pause[end] {
			l.paused[end] = append(l.paused[end], left)
			return
		}
		if h.node != nil && h.life == life && l.open[1-end] {
			if p.Type == wire.TypeSnap {
				h.step(Sent{Link: id, Snapshot: true})
			} else {
				h.step(Sent{Link: id, Bytes: len(b)})
			}
		}
	}
	w.at(w.ms(2), left)
}

// show compares what a serving host has with what was shown before.
func (h *host) show() {
	w := h.w
	for i := range min(len(h.state), len(w.history)) {
		if j := len(h.state) - 1 - i; i > 50 && j > 50 {
			continue
		}
		if a, b := h.state[i], w.history[i]; a.Zxid != b.Zxid || string(a.Data) != string(b.Data) {
			w.fatalf("server %d shows %#x %q as number %d, another showed %#x %q", h.sid, a.Zxid, a.Data, i, b.Zxid, b.Data)
		}
	}
	if len(h.state) > len(w.history) {
		w.history = append(w.history, h.state[len(w.history):]...)
	}
}

// leaderHost returns the host that leads and serves in the highest epoch, or nil.
func (w *world) leaderHost() *host {
	var best *host
	for _, h := range w.hosts {
		if h.node != nil && h.serving && h.role == Leading && (best == nil || h.node.Status().Epoch > best.node.Status().Epoch) {
			best = h
		}
	}
	return best
}

// propose lets a leader propose n transactions. It reports whether it did.
func (w *world) propose(n int) bool {
	h := w.leaderHost()
	if h == nil {
		return false
	}
	for range n {
		zxid, ok := h.node.NextZxid()
		if !ok {
			return false
		}
		h.node.Step(w.now, Propose{Record{Zxid: zxid, Data: txn(zxid, fmt.Sprintf("%x by %d at %v", zxid, h.sid, w.now))}})
	}
	h.effects()
	return true
}

// reconfigure lets a leader propose a config.
func (w *world) reconfigure(sids ...int64) bool {
	h := w.leaderHost()
	if h == nil {
		return false
	}
	committed, seen := h.node.Configs()
	zxid, ok := h.node.NextZxid()
	if !ok || committed.Version != seen.Version {
		return false
	}
	c := members(w.t, zxid, sids...)
	if !h.node.CanReconfigure(c) {
		return false
	}
	header := jute.TxnHeader{Zxid: zxid, Type: int32(jute.OpReconfig)}
	txn := jute.SetDataTxn{Path: configNode, Data: []byte(c.String()), Version: -1}
	data := txn.Append(header.Append(nil))
	w.logf("%d proposes config %v", h.sid, sids)
	h.step(Propose{Record{Zxid: zxid, Data: data, Config: c}})
	return true
}

// askSync asks a server to sync; at a leader directly, at a learner by a request.
func (w *world) askSync(h *host) {
	if h.node == nil || !h.serving {
		return
	}
	if h.role == Leading {
		w.tags++
		w.syncs[w.tags] = len(w.history)
		h.step(Sync{Tag: w.tags})
		return
	}
	h.asked = append(h.asked, len(w.history))
	h.step(Forward{wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: []byte{1}}})
}

// settled reports whether all hosts that run serve the same history.
func (w *world) settled() bool {
	for _, h := range w.hosts {
		if h.node == nil {
			continue
		}
		if !h.serving || len(h.state) != len(w.history) {
			return false
		}
	}
	return w.leaderHost() != nil
}

func TestThreeElectAndCommit(t *testing.T) {
	w := newWorld(t, 1, members(t, 0, 1, 2, 3), 1, 2, 3)
	w.start()
	w.until(3*time.Second, "a leader with all followers", w.settled)
	if l := w.leaderHost(); l.sid != 3 || l.node.Status().Epoch != 1 {
		w.fatalf("%d leads epoch %d", l.sid, l.node.Status().Epoch)
	}
	for range 10 {
		w.propose(7)
		w.run(time.Millisecond)
	}
	w.until(time.Second, "70 transactions everywhere", func() bool { return len(w.history) == 70 && w.settled() })
	for _, h := range w.hosts {
		if c, _ := h.node.Configs(); c.Version != 1<<32 {
			t.Errorf("server %d has config %x", h.sid, c.Version)
		}
	}
	if w.history[69].Zxid != 1<<32|70 {
		t.Errorf("the last is %#x", w.history[69].Zxid)
	}
}
