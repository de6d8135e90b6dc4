package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"quoll/jute"
)

// Options of a checker. The zero value is for one server at a time.
type Options struct {
	// Members says that the connections of one life go to several members of an ensemble. Their reads may lag behind: of the rule
	// read-order only what sync promises is left.
	Members bool

	// Java says that a leader may be Apache ZooKeeper, which counts the ephemerals of a session that ends as children until that is applied: a delete of their
	// parent that is already under way may fail for them, though they are gone when its turn comes (PrepRequestProcessor, closeSession).
	Java bool

	// Logged is what the servers' logs say of a zxid.
	// Connections of a session may have the same numbers, but then it may be hard to find out which of them it was. It is believed first when the checker looks for what unanswered writes have done, and not if nothing fits then.
	// ok is false for what no log has; nil means that nobody has looked.
	Logged func(zxid int64) (l Logged, ok bool)
}

// Logged is what a log says of a transaction: the session whose request it is, and the request's number; -1 for the session's expiry.
type Logged struct {
	Session int64
	Request int
	Refused bool // it has done nothing, since the session had moved to another connection or was gone
}

// Report is what a checker has found.
type Report struct {
	Lives      int // of the server or ensemble
	Ops        int // answered requests
	Writes     int // of them
	Events     int
	Sessions   int
	Open       int // writes that nobody answered
	Done       int // of them, those that have happened in the way that was found
	Violations []Violation
	Undecided  string // why the search was given up, if it was; then nothing after it was replayed
}

// Violation is a broken rule.
type Violation struct {
	Rule string // its name in Rules
	Text string // the operations that show it, and the history around them
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// violationLimit is how many violations of one rule are reported: the first ones tell.
const violationLimit = 3

// Checker checks a history, life after life. It keeps no more of a life than is still undecided.
type Checker struct {
	opts     Options
	report   Report
	broken   map[ruleID]int
	sessions map[int64]*session
	floor    shown // the reply with the largest zxid of earlier lives
	replay   *replay
	ids      int64
	stopped  bool // the replay has found a violation, and there is nothing to go on from
}

// session is what is known of a session over all its connections.
type session struct {
	seen    shown // the reply with the largest zxid
	wrote   shown // the reply to its last write
	heard   int64 // the call of the last request that was answered
	renewed int64 // the call of the last handshake that was
	timeout int64
	closed  int64         // the return of closeSession
	closing bool          // closeSession was sent
	past    []*Connection // of this life, and the last before
}

// shown is a reply, described only when somebody asks.
type shown struct {
	zxid int64
	conn *Connection
	op   int
}

func (s shown) String() string { return s.conn.describe(s.op) }

// NewChecker returns a checker of a history that begins with an empty server.
func NewChecker(opts Options) *Checker {
	return &Checker{opts: opts, broken: map[ruleID]int{}, sessions: map[int64]*session{}, replay: newReplay(opts)}
}

// Check checks a whole history.
func Check(opts Options, lives ...[]*Connection) Report {
	c := NewChecker(opts)
	for _, conns := range lives {
		c.Life(conns)
	}
	return c.Report()
}

// Report returns what has been found so far.
func (c *Checker) Report() Report {
	r := c.report
	r.Done = c.replay.done
	return r
}

func (c *Checker) violation(rule ruleID, format string, args ...any) {
	if c.broken[rule]++; c.broken[rule] <= violationLimit {
		c.report.Violations = append(c.report.Violations, Violation{Rules[rule].Name, fmt.Sprintf(format, args...)})
	}
}

// overdue reports whether a session with a timeout, heard of at an instant, may have ended before another.
func overdue(timeout, heard, now int64) bool {
	return timeout == Anytime || timeout > 0 && heard <= now-timeout
}

// Life takes all connections of one life of a server, or of an ensemble, that has come to its end: no request of theirs will take
// effect any more. The caller must not change them afterwards.
func (c *Checker) Life(conns []*Connection) {
	c.report.Lives++
	conns = slices.Clone(conns)
	slices.SortStableFunc(conns, func(a, b *Connection) int { return cmp.Compare(a.Call, b.Call) })
	for _, s := range c.sessions {
		if s.closed != Never {
			s.past = nil
		}
		s.past = slices.Clone(s.past[max(0, len(s.past)-1):])
	}
	batch := batch{life: c.report.Lives, members: c.opts.Members, latest: map[int]*connection{}}
	for _, conn := range conns {
		c.stream(conn)
		c.ids++
		batch.add(conn, c.ids)
	}
	slices.SortFunc(batch.steps, compareSteps)
	c.order(batch.steps)
	if c.stopped {
		return
	}
	c.replay.sessions = c.sessions
	c.replay.extend(&batch)
	if bad := c.replay.run(); bad != nil {
		c.stopped = true
		if bad.undecided {
			c.report.Undecided = bad.text
			return
		}
		c.violation(bad.rule, "%s", bad.text)
		if bad.open && bad.rule != openWrite {
			c.violation(openWrite, "%s", bad.text)
		}
	}
}

// stream checks what one connection must show by itself, and together with the earlier ones of its session.
func (c *Checker) stream(conn *Connection) {
	c.report.Ops += conn.Replies
	c.report.Events += len(conn.Events)
	if s := c.sessions[conn.Refused]; s != nil && !s.closing && !overdue(s.timeout, s.heard, conn.Return) {
		c.violation(sessionLost, "session %#x was refused at [%d, %d]; nobody has closed it, and it was heard of at %d, its timeout being %d",
			conn.Refused, conn.Call, conn.Return, s.heard, s.timeout)
	}
	if conn.Session == 0 {
		return
	}
	s := c.sessions[conn.Session]
	if s == nil {
		s = &session{closed: Never}
		c.sessions[conn.Session] = s
		c.report.Sessions++
	} else if s.closed < conn.Call {
		c.violation(sessionEnded, "session %#x was renewed at [%d, %d], but its end was acknowledged at %d", conn.Session, conn.Call, conn.Return, s.closed)
	}
	s.timeout, s.heard, s.renewed = conn.Timeout, max(s.heard, conn.Call), max(s.renewed, conn.Call)
	s.past = append(s.past, conn)
	for i := range conn.Ops {
		o := &conn.Ops[i]
		write := o.Writes()
		s.closing = s.closing || o.Op == jute.OpCloseSession
		if i >= conn.Replies {
			if write {
				c.report.Open++
			}
			continue
		}
		if write {
			c.report.Writes++
		}
		s.heard = max(s.heard, o.Call)
		now := shown{o.Zxid, conn, i}
		switch {
		case s.wrote.conn != nil && (o.Zxid < s.wrote.zxid):
			c.violation(readYourWrites, "a session does not see its own write\n\t%v\n\t%v", s.wrote, now)
		case s.seen.conn != nil && (o.Zxid < s.seen.zxid || write && o.Zxid == s.seen.zxid):
			c.violation(sessionOrder, "a session goes back\n\t%v\n\t%v", s.seen, now)
		default:
			s.seen = now
		}
		if write && o.Err != jute.ErrSessionExpired {
			s.wrote = now
		}
		if o.Op == jute.OpCloseSession {
			s.closed = o.Return
		}
	}
	for i, e := range conn.Events {
		if i > 0 && e.Zxid < conn.Events[i-1].Zxid {
			c.violation(watchOrder, "client %d session %#x\n\t%v\n\t%v", conn.Client, conn.Session, conn.Events[i-1], e)
		}
		if e.After > 0 && conn.Ops[e.After-1].Zxid >= e.Zxid {
			c.violation(watchLate, "%v\n\tcame after %s", e, conn.describe(e.After-1))
		}
	}
}

// order checks the zxids of one life against real time, and against the lives before. The steps are in zxid order.
func (c *Checker) order(steps []step) {
	var latest, largest *step // of those before: the one that was called last; the last one
	for i := 0; i < len(steps); {
		// A write comes before the reads that show it.
		j := i
		for ; j < len(steps) && steps[j].zxid == steps[i].zxid; j++ {
			s := &steps[j]
			if f := c.floor; s.zxid < f.zxid || s.zxid == f.zxid && s.write() {
				c.violation(durability, "the server was at zxid %#x before it was started again\n\t%v\n\t%v", f.zxid, f, s)
				c.floor = shown{} // one of them is enough
			}
			if j > i && s.write() {
				c.violation(zxidUnique, "two writes have one zxid\n\t%v\n\t%v", &steps[j-1], s)
			}
			if latest != nil && latest.op.Call > s.op.Return {
				rule := readOrder
				if latest.write() {
					rule = writeOrder
				}
				c.violation(rule, "the second was answered before the first was called, and has a larger zxid or shows it\n\t%v\n\t%v", latest, s)
			}
			if s.write() && (latest == nil || s.op.Call > latest.op.Call) {
				latest = s
			}
		}
		for k := i; k < j; k++ {
			s := &steps[k]
			if (!c.opts.Members || s.op.Op == jute.OpSync) && (latest == nil || s.op.Call > latest.op.Call) {
				latest = s
			}
		}
		largest = &steps[j-1]
		i = j
	}
	if largest != nil && largest.zxid > c.floor.zxid {
		c.floor = shown{largest.zxid, largest.conn.Connection, largest.index()}
	}
}

// connection is a Connection in its life.
type connection struct {
	*Connection
	id   int64
	life int
	head int   // the next unanswered write that may have been done
	last int64 // the largest zxid of a reply: events up to there must have come
	end  int64 // the largest zxid of a reply or an event: nothing after it was seen
	back int64 // when its client had the next connection of this life; Never if it had none
	due  []due // in the order of the requests
}

// due is an unanswered write whose data was read with a zxid: that one is its own.
type due struct {
	op   int
	zxid int64
}

// skipReads moves head to a write, or to the end.
func (c *connection) skipReads() {
	for c.head < len(c.Ops) && !c.Ops[c.head].Writes() {
		c.head++
	}
}

func (c *connection) open() bool { return c.head < len(c.Ops) }

// step is one entry of the history in zxid order: an answered operation, or a zxid that no answered write has.
type step struct {
	zxid   int64
	rank   int64 // within one zxid: the write first, then reads, each connection's in their order
	conn   *connection
	op     *Op
	gap    *gap       // of a zxid that no answered write has
	events []received // with this zxid
}

// received is an event of a connection.
type received struct {
	conn  *connection
	event *Event
}

func compareSteps(a, b step) int {
	return cmp.Or(cmp.Compare(a.zxid, b.zxid), cmp.Compare(a.rank, b.rank))
}

func (s *step) write() bool { return s.op != nil && s.rank < 0 }

func (s *step) index() int { return int(s.rank & math.MaxInt32) }

func (s *step) String() string {
	if s.gap != nil {
		text := fmt.Sprintf("zxid %#x: no answered write", s.zxid)
		for _, o := range s.gap.shown {
			text += "\n\t\tseen in " + strings.TrimSpace(o.step.String())
		}
		return text
	}
	return s.conn.describe(s.index())
}

// batch is one life on its way into the replay.
type batch struct {
	life    int
	members bool                // as in Options
	latest  map[int]*connection // of each client
	conns   []*connection
	steps   []step
	events  []received
	made    []*connection // those whose handshake made a session
}

func (b *batch) add(conn *Connection, id int64) {
	if conn.Session == 0 {
		return
	}
	c := &connection{Connection: conn, id: id, life: b.life, head: conn.Replies, back: Never}
	c.skipReads()
	// Connections come in the order of their calls.
	if before := b.latest[conn.Client]; before != nil {
		before.back = conn.Call
	}
	b.latest[conn.Client] = c
	b.conns = append(b.conns, c)
	if conn.New {
		b.made = append(b.made, c)
	}
	for i := range conn.Replies {
		o := &conn.Ops[i]
		s := step{zxid: o.Zxid, conn: c, op: o, rank: id<<31 | int64(i)}
		if o.Writes() {
			s.rank |= math.MinInt64
		}
		b.steps = append(b.steps, s)
		c.last = max(c.last, o.Zxid)
	}
	c.end = c.last
	for i := range conn.Events {
		e := &conn.Events[i]
		c.end = max(c.end, e.Zxid)
		b.events = append(b.events, received{c, e})
	}
}
