package history

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"quoll/jute"
)

// fault is what a simulated server does wrong, once, when it can.
type fault int

const (
	noFault fault = iota
	loseEvent
	repeatEvent
	inventEvent
	wrongEvent
	keepWatches   // for the next connection of the session
	keepEphemeral // of a session that ends
	dropEphemeral // of a session that lives
	halfMulti     // does only the first operation, and says all
	forgetWrite   // loses the last write that was acknowledged, in a crash
	forgetZxid    // and gives its zxid out again
	halfOpenMulti // does half of an unanswered multi, in a crash
	skipOpenWrite // does an unanswered write, but not the one before it on its connection
	strayWrite    // makes a change of its own
	deadAuthor    // lets an ended session write
	staleRead     // answers from before the last change
)

// simConfig is a simulated history.
type simConfig struct {
	seed    uint64
	clients int
	steps   int
	crashes bool // and lost connections
	multis  bool
	expiry  bool
	fault   fault
}

// sim is a server, its clients and their time, in one thread. What it shows is what a real one might.
type sim struct {
	simConfig
	*rand.Rand
	now        int64
	zxid       int64
	tree       *tree
	watches    watches
	clients    []*simClient
	zombies    []*simClient // lost connections whose requests the server still has
	conns      []*Connection
	lives      [][]*Connection
	log        map[int64]Logged
	touched    map[int64]int64 // sessions that nobody uses any more: when they were heard of last
	sessions   int64
	tags       uint64
	armed      bool
	struck     bool // the fault has happened
	acked      *Op  // the last write that was acknowledged, and what was before it
	changed    map[string]*node
	afterwards func() // shows what the fault has done
}

// logged is Options.Logged.
func (s *sim) logged(zxid int64) (Logged, bool) {
	l, ok := s.log[zxid]
	return l, ok
}

const simTimeout = 400

// simClient is a client and its connection.
type simClient struct {
	id       int
	conn     *connection
	executed int
	replies  []any // *Op or Event, on their way
}

func simulate(cfg simConfig) *sim {
	s := &sim{
		simConfig: cfg, Rand: rand.New(rand.NewPCG(cfg.seed, 1)), touched: map[int64]int64{}, changed: map[string]*node{}, log: map[int64]Logged{},
	}
	j := &journal{}
	s.tree, s.watches = newTree(j), watches{journal: j, paths: map[string][]watcher{}}
	for i := range cfg.clients {
		s.clients = append(s.clients, &simClient{id: i})
		s.connect(s.clients[i], true)
	}
	for _, path := range []string{"/h", "/h/a", "/h/b", "/h/q"} {
		s.request(s.clients[0], Op{Part: Part{Op: jute.OpCreate, Path: path}})
	}
	s.settle(s.clients[0])
	for i := range cfg.steps {
		s.armed = cfg.fault != noFault && i > cfg.steps/10
		s.step()
	}
	for _, c := range s.clients {
		s.sweep(c)
	}
	s.lives = append(s.lives, s.conns)
	return s
}

func (s *sim) tick() int64 { s.now += 1 + s.Int64N(3); return s.now }

// strike reports whether the fault happens here.
func (s *sim) strike(f fault) bool {
	if s.fault != f || !s.armed || s.struck {
		return false
	}
	s.struck = true
	return true
}

func (s *sim) connect(c *simClient, fresh bool) {
	conn := &Connection{Client: c.id, New: fresh, Call: s.tick()}
	if s.expiry {
		conn.Timeout = simTimeout
	}
	if fresh {
		s.sessions++
		s.zxid++
		conn.Session = s.sessions
	} else {
		conn.Session = c.conn.Session
	}
	conn.Return = s.tick()
	was := c.conn
	c.conn = &connection{Connection: conn, id: int64(len(s.conns))}
	c.executed, c.replies = 0, nil
	s.conns = append(s.conns, conn)
	if was != nil && !fresh && s.fault == keepWatches && s.armed && !s.struck {
		for path, list := range s.watches.paths {
			for _, w := range list {
				if w.conn == was && w.modes&(watchData|watchPersistent) != 0 && s.tree.nodes[path] != nil && !s.struck {
					s.struck = true
					s.watches.add(c.conn, path, watchData)
					other := s.clients[(c.id+1)%len(s.clients)]
					s.afterwards = func() {
						if s.settle(other); s.closing(other) {
							s.connect(other, true)
						}
						s.request(other, Op{Part: Part{Op: jute.OpSetData, Path: path, Version: -1}})
						s.settle(other)
						s.settle(c)
					}
				}
			}
		}
	}
	if was != nil {
		s.unwatch(was)
	}
}

func (s *sim) unwatch(c *connection) {
	for path := range s.watches.paths {
		s.watches.edit(c, path, func(modes) modes { return 0 })
	}
}

func (s *sim) step() {
	c := s.clients[s.IntN(len(s.clients))]
	conn := c.conn
	if f := s.afterwards; f != nil {
		s.afterwards = nil
		f()
	}
	switch k := s.IntN(1000); {
	case k < 330:
		if len(conn.Ops)-conn.Replies < 6 && !s.closing(c) {
			s.request(c, s.generate(c))
		}
	case k < 660:
		s.execute(c)
	case k < 980:
		s.reply(c)
	case k < 985 && !s.closing(c):
		s.request(c, Op{Part: Part{Op: jute.OpCloseSession}})
	case k < 990 && s.crashes:
		z := *c
		z.replies = nil
		s.zombies = append(s.zombies, &z)
		if s.expiry && s.IntN(3) == 0 {
			s.touched[conn.Session] = s.now
			s.connect(c, true)
		} else if !s.closing(c) {
			s.connect(c, false)
		} else {
			s.connect(c, true)
		}
	case k < 992 && s.crashes:
		s.crash()
	case len(s.zombies) > 0:
		// What was lost may still be carried out.
		i := s.IntN(len(s.zombies))
		if z := s.zombies[i]; s.IntN(4) == 0 || !s.execute(z) {
			s.zombies = slices.Delete(s.zombies, i, i+1)
		}
	case s.expiry:
		for session, heard := range s.touched {
			if s.now > heard+simTimeout+10 && !slices.ContainsFunc(s.zombies, func(z *simClient) bool { return z.conn.Session == session }) {
				s.zxid++
				s.tree.apply(author{session: session, op: &Op{Part: Part{Op: jute.OpCloseSession}}}, s.zxid)
				s.announce(true)
				s.log[s.zxid] = Logged{Session: session, Request: -1}
				s.acked = nil
				delete(s.touched, session)
			}
		}
	}
	if n := conn.Replies; n > 0 && conn.Ops[n-1].Op == jute.OpCloseSession {
		if s.fault == deadAuthor && s.armed && !s.struck && s.tree.nodes["/h"] != nil {
			s.request(c, Op{Part: Part{Op: jute.OpSetData, Path: "/h", Version: -1}})
			s.settle(c)
		}
		s.connect(c, true)
	}
	if s.fault == strayWrite && s.armed && !s.struck && s.tree.nodes["/h/a"] != nil {
		s.struck = true
		s.zxid++
		s.tree.apply(author{session: -1, op: &Op{Part: Part{Op: jute.OpSetData, Path: "/h/a", Version: -1}}}, s.zxid)
		s.announce(false)
		s.sweep(s.clients[0])
	}
	if s.fault == dropEphemeral && s.armed && !s.struck {
		for path, n := range s.tree.nodes {
			if n.stat.EphemeralOwner == s.clients[1].conn.Session && !s.closing(s.clients[1]) {
				s.struck = true
				delete(s.tree.nodes, path)
				delete(s.tree.owned[n.stat.EphemeralOwner], path)
				for _, c := range s.clients {
					s.settle(c)
					s.request(c, Op{Part: Part{Op: jute.OpExists, Path: path}})
					s.settle(c)
				}
				return
			}
		}
	}
}

func (s *sim) closing(c *simClient) bool {
	n := len(c.conn.Ops)
	return n > 0 && c.conn.Ops[n-1].Op == jute.OpCloseSession
}

func (s *sim) request(c *simClient, o Op) {
	o.Call, o.Return = s.tick(), Never
	c.conn.Ops = append(c.conn.Ops, o)
}

// settle carries out and delivers everything.
func (s *sim) settle(c *simClient) {
	for s.execute(c) {
	}
	for s.reply(c) {
	}
}

// sweep has a client read all that there is.
func (s *sim) sweep(c *simClient) {
	s.settle(c)
	if s.closing(c) {
		s.connect(c, true)
	}
	for _, path := range append(s.paths(), "/") {
		s.request(c, Op{Part: Part{Op: jute.OpGetData, Path: path}})
		s.request(c, Op{Part: Part{Op: jute.OpGetChildren2, Path: path}})
	}
	s.settle(c)
}

func (s *sim) paths() []string {
	paths := []string{"/h", "/h/a", "/h/b", "/h/q"}
	for _, dir := range []string{"/h/a", "/h/b"} {
		for i := range 3 {
			paths = append(paths, fmt.Sprintf("%s/%d", dir, i))
		}
	}
	var more []string
	for path := range s.tree.nodes {
		if parentOf(path) == "/h/q" {
			more = append(more, path)
		}
	}
	slices.Sort(more)
	return append(paths, more...)
}

func (s *sim) crash() {
	for _, c := range s.clients {
		// Some requests are carried out although nobody will hear of it.
		for range s.IntN(4) {
			s.crashFaults(c)
			s.execute(c)
		}
		s.unwatch(c.conn)
	}
	old := func(path string) bool { // so that no unanswered write has made it
		n := s.tree.nodes[path]
		return n != nil && n.stat.Czxid < s.zxid-30
	}
	if c := s.clients[0]; old("/h/a") && old("/h/b") && !s.closing(c) && s.strike(skipOpenWrite) {
		for s.execute(c) {
		}
		for _, path := range []string{"/h/a", "/h/b"} {
			s.tags++
			s.request(c, Op{Part: Part{Op: jute.OpSetData, Path: path, Version: -1, Data: Data{Tag: s.tags}}})
		}
		c.executed++
		s.execute(c)
	}
	if s.acked != nil && s.acked.Return != Never && (s.fault == forgetWrite || s.fault == forgetZxid) && s.armed && !s.struck {
		s.struck = true
		for path, n := range s.changed {
			if n == nil {
				delete(s.tree.nodes, path)
			} else {
				s.tree.nodes[path] = n
			}
		}
		if s.fault == forgetZxid {
			s.zxid = s.acked.Zxid - 1
		}
	}
	s.lives = append(s.lives, s.conns)
	s.conns, s.zombies = nil, nil
	for _, c := range s.clients {
		s.connect(c, s.closing(c))
	}
	for session := range s.touched {
		s.touched[session] = s.now
	}
	s.sweep(s.clients[0])
}

// crashFaults does wrong what is done in a crash.
func (s *sim) crashFaults(c *simClient) {
	if c.executed >= len(c.conn.Ops) {
		return
	}
	o := &c.conn.Ops[c.executed]
	switch {
	case s.fault == halfOpenMulti && s.armed && !s.struck && o.Op == jute.OpMulti && len(o.Parts) > 1:
		half := *o
		half.Parts = half.Parts[:1]
		before := len(s.tree.changes)
		s.zxid++
		s.tree.apply(author{session: c.conn.Session, op: &half}, s.zxid)
		if len(s.tree.changes) == before && half.Parts[0].Op == jute.OpCheck || len(s.tree.changes) == 0 {
			return
		}
		s.struck = true
		c.executed = len(c.conn.Ops)
	}
}

func (s *sim) reply(c *simClient) bool {
	if len(c.replies) == 0 {
		return false
	}
	switch r := c.replies[0].(type) {
	case Event:
		r.After = c.conn.Replies
		c.conn.Events = append(c.conn.Events, r)
	case *Op:
		r.Return = s.tick()
		c.conn.Ops[c.conn.Replies] = *r
		c.conn.Replies++
	}
	c.replies = c.replies[1:]
	return true
}

// execute carries out the next request of a connection.
func (s *sim) execute(c *simClient) bool {
	if c.executed >= len(c.conn.Ops) {
		return false
	}
	o := c.conn.Ops[c.executed]
	o.Parts = slices.Clone(o.Parts)
	c.executed++
	s.now++
	if _, ok := s.touched[c.conn.Session]; ok {
		s.touched[c.conn.Session] = s.now
	}
	if !o.Writes() {
		s.read(c, &o)
	} else {
		s.write(c, &o)
		s.log[s.zxid] = Logged{Session: c.conn.Session, Request: c.executed - 1}
	}
	o.Zxid = s.zxid
	c.replies = append(c.replies, &o)
	return true
}

func (s *sim) write(c *simClient, o *Op) {
	s.zxid++
	before := map[string]*node{}
	for _, p := range o.parts() {
		for _, path := range []string{p.Path, parentOf(p.Path)} {
			before[path] = nil
			if n := s.tree.nodes[path]; n != nil {
				was := *n
				before[path] = &was
			}
		}
	}
	owned := map[string]*node{}
	for path := range s.tree.owned[c.conn.Session] {
		owned[path] = s.tree.nodes[path]
	}
	done := o
	if o.Op == jute.OpMulti && len(o.Parts) == 2 && o.Parts[1].Op == jute.OpSetData && o.Parts[0].Path != o.Parts[1].Path && len(o.Parts[1].Path) <= len("/h/a") && s.fault == halfMulti && s.armed && !s.struck {
		s.tree.journal.on = true
		s.tree.apply(author{session: c.conn.Session, op: o}, s.zxid)
		ok := len(s.tree.changes) > 1
		results, changes := slices.Clone(s.tree.results), slices.Clone(s.tree.changes)
		s.tree.journal.rewind(0)
		s.tree.journal.on = false
		if ok {
			s.struck = true
			half := *o
			half.Parts = o.Parts[:1]
			s.tree.apply(author{session: c.conn.Session, op: &half}, s.zxid)
			s.tree.changes = changes
			s.announce(false)
			for i, r := range results {
				fill(&o.Parts[i], r)
			}
			s.afterwards = func() { s.sweep(s.clients[(c.id+1)%len(s.clients)]) }
			return
		}
	}
	if s.tree.ended[c.conn.Session] && s.strike(deadAuthor) {
		delete(s.tree.ended, c.conn.Session)
		defer func() { s.tree.ended[c.conn.Session] = true }()
	}
	s.tree.apply(author{session: c.conn.Session, op: done}, s.zxid)
	s.date()
	if results := s.tree.results; o.Op == jute.OpMulti && !(len(results) == 1 && results[0].err == jute.ErrSessionExpired) {
		for i, r := range results {
			fill(&o.Parts[i], r)
		}
	} else {
		fill(&o.Part, results[0])
	}
	s.announce(o.Op == jute.OpCloseSession)
	if o.Op == jute.OpCloseSession && len(owned) > 0 && s.strike(keepEphemeral) {
		for path, n := range owned {
			s.tree.nodes[path] = n
			s.tree.own(c.conn.Session, path)
			break
		}
	}
	if o.Op == jute.OpSetData && o.Err == jute.OK && len(o.Path) <= len("/h/a") {
		s.acked, s.changed = o, map[string]*node{o.Path: before[o.Path]}
	} else if len(s.tree.changes) > 0 {
		s.acked = nil
	}
}

// date sets the times of what has just changed.
func (s *sim) date() {
	stamp := func(st *jute.Stat) {
		if st.Czxid == s.zxid {
			st.Ctime = s.now
		}
		if st.Mzxid == s.zxid {
			st.Mtime = s.now
		}
	}
	for i := range s.tree.results {
		r := &s.tree.results[i]
		stamp(&r.stat)
		if r.node != nil {
			stamp(&r.node.stat)
		}
	}
}

func fill(p *Part, r result) {
	p.Err, p.Made = r.err, r.made
	if _, ok := p.shows(); ok {
		p.Stat = r.stat
	}
}

// announce sends the events of the last write.
func (s *sim) announce(bool) {
	for _, ch := range s.tree.changes {
		events := s.watches.fire(nil, ch, func(*connection) bool { return false })
		for _, e := range events {
			ev := Event{Type: e.typ, Path: e.path, Zxid: s.zxid}
			c := s.client(e.conn)
			if c == nil || s.strike(loseEvent) {
				continue
			}
			if s.strike(wrongEvent) {
				ev.Path += "x"
			}
			c.replies = append(c.replies, ev)
			if s.strike(repeatEvent) {
				c.replies = append(c.replies, ev)
			}
		}
		if c := s.clients[s.IntN(len(s.clients))]; !slices.ContainsFunc(events, func(e expected) bool { return e.conn == c.conn }) &&
			!slices.ContainsFunc(c.conn.Ops, func(o Op) bool { return o.Watch || o.Op == jute.OpAddWatch }) && s.strike(inventEvent) {
			c.replies = append(c.replies, Event{Type: ch.event, Path: ch.path, Zxid: s.zxid})
		}
	}
}

func (s *sim) client(conn *connection) *simClient {
	for _, c := range s.clients {
		if c.conn == conn {
			return c
		}
	}
	return nil
}

func (s *sim) read(c *simClient, o *Op) {
	p := &o.Part
	n := s.tree.nodes[p.Path]
	switch p.Op {
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2:
		if n == nil {
			p.Err = jute.ErrNoNode
			break
		}
		if _, ok := p.shows(); ok {
			p.Stat = n.stat
		}
		if was := s.changed[p.Path]; was != nil && s.acked != nil && was.stat.Mzxid < n.stat.Mzxid && n.stat.Mzxid == s.acked.Zxid && p.Op == jute.OpGetData && s.strike(staleRead) {
			p.Stat, n = was.stat, was
		}
		if p.Op == jute.OpGetData {
			p.Data = n.data
		}
		if p.Op == jute.OpGetChildren || p.Op == jute.OpGetChildren2 {
			p.Children = Children{n.children, n.stat.NumChildren}
		}
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		p.Err = s.watches.look(c.conn, p)
	}
	if s.client(c.conn) == c {
		s.watches.observe(c.conn, p)
	}
}

// generate makes a request that has a fair chance.
func (s *sim) generate(c *simClient) Op {
	if s.multis && s.IntN(8) == 0 {
		o := Op{Part: Part{Op: jute.OpMulti}}
		for range 1 + s.IntN(4) {
			p := s.part(true)
			o.Parts = append(o.Parts, p)
		}
		return o
	}
	if s.IntN(2) == 0 {
		return Op{Part: s.part(false)}
	}
	paths := s.paths()
	p := Part{Path: paths[s.IntN(len(paths))], Watch: s.IntN(4) == 0}
	switch s.IntN(10) {
	case 0:
		p.Op, p.Watch = jute.OpSync, false
	case 1:
		p.Op, p.Watch, p.Mode = jute.OpAddWatch, false, int32(s.IntN(2))
	case 2:
		p.Op, p.Watch, p.Mode = jute.OpRemoveWatches, false, int32(1+s.IntN(5))
	case 3:
		p.Op, p.Watch, p.Mode = jute.OpCheckWatches, false, int32(1+s.IntN(5))
	case 4:
		p.Op = jute.OpExists
	case 5:
		p.Op = jute.OpGetChildren
	case 6:
		p.Op = jute.OpGetChildren2
	default:
		p.Op = jute.OpGetData
	}
	return Op{Part: p}
}

func (s *sim) part(multi bool) Part {
	paths := s.paths()
	p := Part{Path: paths[s.IntN(len(paths))], Version: -1}
	if n := s.tree.nodes[p.Path]; n != nil && s.IntN(2) == 0 {
		p.Version = n.stat.Version
	}
	s.tags++
	p.Data = Data{Tag: s.tags, Length: int32(s.tags % 100)}
	switch k := s.IntN(10); {
	case k < 1:
		p.Op, p.Path, p.Mode, p.Version = jute.OpCreate2, "/h/q/s-", int32(2+s.IntN(2)), 0
	case k < 4:
		p.Op, p.Mode, p.Version = jute.OpCreate, int32(s.IntN(2)), 0
		if s.IntN(2) == 0 {
			p.Op = jute.OpCreate2
		}
	case k < 6:
		p.Op = jute.OpDelete
	case k == 6 && multi:
		p.Op = jute.OpCheck
	case k == 6:
		p.Op = jute.OpSetACL
	default:
		p.Op = jute.OpSetData
	}
	if p.Op != jute.OpSetData && p.Op != jute.OpCreate && p.Op != jute.OpCreate2 {
		p.Data = Data{}
	}
	return p
}
