package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quoll/jute"
)

// replay carries out the history in zxid order. Where a zxid may be one unanswered write or another it tries them in turn, with what later
// replies show of that zxid as a guide, and comes back when what follows does not fit. What it tries is forgotten once nothing can depend
// on it: when every znode that an unanswered write of an earlier life may have touched has been shown since.
type replay struct {
	journal  *journal
	tree     *tree
	watches  watches
	sessions map[int64]*session
	conns    []*connection                   // with unanswered writes, of the lives that may still matter
	logged   func(zxid int64) (Logged, bool) // as in Options
	life     int                             // of the last step; older unanswered writes have not been done
	last     int64                           // the largest zxid that has had a step
	done     int

	steps   []step // from the first choice on
	at      int
	choices []*choice
	gaps    []*step             // of steps
	seen    map[string][]fact   // for znodes that unanswered writes may touch: the first Stat after each gap
	touched map[string]struct{} // znodes that differ from one choice to another
	unknown map[string]struct{} // those of touched that have not been shown since
	failed  map[uint64]struct{} // states that lead nowhere
	deepest *mismatch           // how far it went
	doubt   string              // how far it went while the logs were believed
	effort  int                 // steps since the first choice
	believe bool                // the logs say what unanswered writes have done
	torn    int64               // the epoch in which that was not so from some zxid on; -1 for none
	wide    bool                // lost connections may do something after their clients have come back, which they hardly ever do
	expect  []expected          // of the step
}

// choice is a gap and who may fill it.
type choice struct {
	at         int
	mark       int
	key        uint64
	life       int // the latest of its candidates
	candidates []candidate
	next       int
}

// candidate is an unanswered write, the expiry of a session, or, if it is the zero value, nothing that can be seen.
type candidate struct {
	conn    *connection
	refused bool // as Logged.Refused
	expired int64
}

// mismatch is why the history does not fit.
type mismatch struct {
	rule      ruleID
	path      string // of the znode that differs; empty if it is not about one
	text      string
	at        int
	undecided bool
	open      bool // all ways to do the unanswered writes have been tried
}

// effortLimit is how many steps the search for what unanswered writes have done may take.
const effortLimit = 5_000_000

func newReplay(opts Options) *replay {
	j := &journal{}
	t := newTree(j)
	t.java = opts.Java
	return &replay{
		logged: opts.Logged, torn: -1, journal: j, tree: t, watches: watches{journal: j, paths: map[string][]watcher{}},
		seen: map[string][]fact{}, touched: map[string]struct{}{}, unknown: map[string]struct{}{}, failed: map[uint64]struct{}{},
	}
}

// extend takes the next life in.
func (r *replay) extend(b *batch) {
	// What lies before the first choice is decided.
	decided := r.at
	if len(r.choices) > 0 {
		decided = r.choices[0].at
	}
	r.steps, r.at, r.deepest = slices.Clone(r.steps[decided:]), r.at-decided, nil
	for _, c := range r.choices {
		c.at -= decided
	}
	r.conns = slices.DeleteFunc(r.conns, func(c *connection) bool { return c.life < b.life-1 && len(r.choices) == 0 })
	if len(r.choices) > 0 && slices.ContainsFunc(r.conns, (*connection).closed) {
		r.restart(r.choices[0].at)
	}
	for _, c := range b.conns {
		if c.open() {
			r.conns = append(r.conns, c)
		}
	}
	open := 0
	for _, c := range r.conns {
		open += len(c.Ops) - c.head
	}
	b.fill(r.last, open)
	r.steps = append(r.steps, b.steps...)
	if n := len(r.steps); n > 0 {
		r.last = max(r.last, r.steps[n-1].zxid)
	}
	for _, c := range b.conns {
		r.last = max(r.last, c.end)
	}
	clear(r.failed)
	r.effort, r.believe, r.wide, r.doubt = 0, r.logged != nil, false, ""
	r.lookAhead()
}

// closed reports whether an unanswered closeSession of the connection is taken for done. The next life may show that the session lives.
func (c *connection) closed() bool {
	return slices.ContainsFunc(c.Ops[c.Replies:c.head], func(o Op) bool { return o.Op == jute.OpCloseSession })
}

// restart forgets all choices and goes back to the first one, which is at a step.
func (r *replay) restart(first int) {
	r.journal.rewind(0)
	r.at, r.choices, r.deepest, r.effort, r.journal.on = first, nil, nil, 0, false
	clear(r.failed)
}

// outlived reports whether the session is known to live after the gap, so that nothing has closed it there.
func (r *replay) outlived(session int64, s *step) bool {
	about := r.sessions[session]
	return about != nil && (about.wrote.zxid > s.zxid || about.renewed > s.gap.until)
}

// lookAhead notes what replies show of gaps, and of the znodes that the unanswered writes may have touched.
func (r *replay) lookAhead() {
	r.gaps = r.gaps[:0]
	clear(r.seen)
	for i := range r.steps {
		if s := &r.steps[i]; s.gap != nil {
			r.gaps = append(r.gaps, s)
			s.gap.shown = nil
		}
	}
	if len(r.gaps) == 0 {
		return
	}
	free := 0
	for _, s := range r.gaps {
		if s.gap.before = free; !s.gap.forced {
			free++
		}
	}
	paths := map[string]struct{}{}
	tags := map[uint64]writer{}
	for _, c := range r.conns {
		c.due = nil
		for i := c.Replies; i < len(c.Ops); i++ {
			for _, p := range c.Ops[i].parts() {
				paths[p.Path], paths[parentOf(p.Path)] = struct{}{}, struct{}{}
				if p.Writes() && p.Data.Length > 0 {
					tags[p.Data.Tag] = writer{conn: c, op: i}
				}
			}
		}
	}
	first, latest := r.gaps[0].zxid, -1
	for i := range r.steps {
		s := &r.steps[i]
		if s.gap != nil {
			latest++
			continue
		}
		if w, ok := tags[s.op.Data.Tag]; ok && s.op.Op == jute.OpGetData && s.op.Err == jute.OK && r.gapAt(s.op.Stat.Mzxid) != nil {
			w.conn.due = append(w.conn.due, due{w.op, s.op.Stat.Mzxid})
			delete(tags, s.op.Data.Tag)
		}
		if s.op.Op != jute.OpMulti {
			r.noteShown(s, &s.op.Part, first)
			r.noteSeen(s, &s.op.Part, paths, latest)
		} else if !s.op.failed() {
			for k := range s.op.Parts {
				r.noteShown(s, &s.op.Parts[k], first)
				r.noteSeen(s, &s.op.Parts[k], paths, latest)
			}
		}
	}
	r.bind()
}

// bind finds the writes that alone explain what is seen of a zxid.
func (r *replay) bind() {
	type key struct {
		path    string
		creates bool
	}
	writers := map[key][]writer{} // a sequential one under its prefix
	for _, c := range r.conns {
		for i := c.Replies; i < len(c.Ops); i++ {
			for _, p := range c.Ops[i].parts() {
				creates := p.Op == jute.OpCreate || p.Op == jute.OpCreate2
				if k := (key{p.Path, creates}); creates || p.Op == jute.OpSetData {
					writers[k] = append(writers[k], writer{c, i, creates && jute.CreateMode(p.Mode).Ephemeral()})
				}
			}
		}
	}
	// only binds the writer that alone can have made or changed the znode, with that owner if one is known.
	only := func(s *step, path string, creates, known bool, owner int64) {
		var sole *writer
		list := writers[key{path, creates}]
		if n := len(path) - 10; creates && n > 0 {
			list = slices.Concat(list, writers[key{path[:n], true}])
		}
		for i, w := range list {
			if creates && known && (w.ephemeral != (owner != 0) || w.ephemeral && w.conn.Session != owner) {
				continue
			}
			if sole != nil {
				return
			}
			sole = &list[i]
		}
		if sole != nil && !slices.ContainsFunc(sole.conn.due, func(d due) bool { return d.op == sole.op }) {
			sole.conn.due = append(sole.conn.due, due{sole.op, s.zxid})
		}
	}
	for _, s := range r.gaps {
		for _, f := range s.gap.shown {
			if stat := f.part.Stat; stat.Czxid == s.zxid {
				only(s, f.path, true, true, stat.EphemeralOwner)
			} else if stat.Mzxid == s.zxid {
				only(s, f.path, false, true, 0)
			}
		}
		for _, e := range s.events {
			if e.event.Zxid == s.zxid && (e.event.Type == jute.EventNodeDataChanged || e.event.Type == jute.EventNodeCreated) {
				only(s, e.event.Path, e.event.Type == jute.EventNodeCreated, false, 0)
			}
		}
	}
	for _, c := range r.conns {
		slices.SortFunc(c.due, func(a, b due) int { return cmp.Compare(a.op, b.op) })
	}
}

// writer is an unanswered write.
type writer struct {
	conn      *connection
	op        int
	ephemeral bool
}

// noteShown hands the gaps what a Stat shows of them; the first one has the zxid first.
func (r *replay) noteShown(s *step, p *Part, first int64) {
	path, ok := p.shows()
	if !ok {
		return
	}
	zxids := [...]int64{p.Stat.Czxid, p.Stat.Mzxid, p.Stat.Pzxid}
	for k, zxid := range zxids {
		if zxid < first || k > 0 && zxid == zxids[k-1] {
			continue
		}
		if g := r.gapAt(zxid); g != nil && !slices.ContainsFunc(g.gap.shown, func(o fact) bool { return o.path == path }) {
			g.gap.shown = append(g.gap.shown, fact{path, s, p})
		}
	}
}

// noteSeen remembers the operation if it is the first one on its znode after a gap.
func (r *replay) noteSeen(s *step, p *Part, paths map[string]struct{}, latest int) {
	path := p.Path
	if p.Made != "" {
		path = p.Made
	}
	if latest < 0 {
		return
	}
	if _, ok := paths[path]; !ok {
		return
	}
	switch p.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2, jute.OpCheck:
		if list := r.seen[path]; len(list) == 0 || list[len(list)-1].step.zxid < r.gaps[latest].zxid {
			r.seen[path] = append(list, fact{path, s, p})
		}
	}
}

func (r *replay) gapAt(zxid int64) *step {
	i, ok := slices.BinarySearchFunc(r.gaps, zxid, compareZxid)
	if !ok {
		return nil
	}
	return r.gaps[i]
}

func compareZxid(s *step, zxid int64) int { return cmp.Compare(s.zxid, zxid) }

// run goes through all steps. The mismatch it returns is one that no choice explains.
func (r *replay) run() *mismatch {
	for r.at < len(r.steps) {
		if bad := r.step(&r.steps[r.at]); bad != nil {
			bad.at = r.at
			if bad = r.back(bad); bad != nil {
				return r.report(bad)
			}
		}
		r.at++
	}
	return nil
}

func (r *replay) step(s *step) *mismatch {
	if len(r.choices) > 0 {
		r.effort++
	}
	if s.gap != nil {
		return r.choose(s)
	}
	r.enter(s.conn.life)
	if !s.write() {
		return r.read(s)
	}
	r.tree.apply(author{s.conn.Session, s.op, s.conn.life}, s.zxid)
	if bad := r.compare(s); bad != nil {
		return bad
	}
	if bad := r.fire(s, s.op.Op == jute.OpCloseSession); bad != nil {
		return bad
	}
	r.settle(s.op)
	return nil
}

// enter begins a life: what nobody acknowledged of the lives before, and has not been done, never will be.
func (r *replay) enter(life int) {
	if was := r.life; was != life {
		ghosts := r.tree.ghosts
		r.life, r.tree.ghosts = life, map[string]struct{}{}
		r.journal.add(func() { r.life, r.tree.ghosts = was, ghosts })
		r.commit()
	}
}

// choose fills a gap.
func (r *replay) choose(s *step) *mismatch {
	c := &choice{at: r.at, mark: len(r.journal.undo), life: r.life}
	c.candidates = r.candidates(s, c)
	if len(c.candidates) == 0 {
		return r.place(s, candidate{})
	}
	c.key = r.key()
	if _, ok := r.failed[c.key]; ok || r.overdue(s) {
		return &mismatch{rule: openWrite, text: nothingFits}
	}
	r.journal.on = true
	r.choices = append(r.choices, c)
	return r.try(c)
}

// candidates are the writes that may have the zxid, and nothing, the likely ones first; none if nothing is the only one.
func (r *replay) candidates(s *step, c *choice) []candidate {
	if s.gap.forced {
		return nil
	}
	var good, others, late []candidate
	touch := func(path string) {
		r.touched[path], r.unknown[path] = struct{}{}, struct{}{}
	}
	touchSession := func(session int64) {
		for path := range r.tree.owned[session] {
			touch(path)
			touch(parentOf(path))
		}
	}
	shows := func(path string) bool {
		return slices.ContainsFunc(s.gap.shown, func(f fact) bool { return strings.HasPrefix(f.path, path) || f.path == parentOf(path) })
	}
	for _, conn := range r.conns {
		if conn.life < r.life || !conn.open() || conn.Ops[conn.head].Call > s.gap.until {
			continue
		}
		c.life = max(c.life, conn.life)
		next, sole := conn.next()
		if sole = sole && next.op == conn.head; sole && next.zxid != s.zxid {
			continue
		}
		hit := false
		for i := conn.head; i < len(conn.Ops); i++ {
			o := &conn.Ops[i]
			for _, p := range o.parts() {
				if p.Path == "" || !o.Writes() {
					continue
				}
				p.touches(touch)
				hit = hit || i == conn.head && shows(p.Path)
			}
			if o.Op == jute.OpCloseSession {
				touchSession(conn.Session)
			}
		}
		switch who := (candidate{conn: conn}); {
		case conn.Ops[conn.head].Op == jute.OpCloseSession && r.outlived(conn.Session, s):
		case s.gap.since > conn.back:
			late = append(late, who)
		case hit:
			good = append(good, who)
		default:
			others = append(others, who)
		}
	}
	var expired []int64
	for id, owned := range r.tree.owned {
		if about := r.sessions[id]; len(owned) > 0 && about != nil && overdue(about.timeout, about.heard, s.gap.until) {
			touchSession(id)
			expired = append(expired, id)
		}
	}
	slices.Sort(expired)
	for _, id := range expired {
		late = append(late, candidate{expired: id})
	}
	if len(good)+len(others)+len(late) == 0 {
		return nil
	}
	if r.believe {
		return r.believed(s.zxid, slices.Concat(good, others, late))
	}
	// Servers mostly carry out what comes first.
	for _, list := range [...][]candidate{good, others} {
		slices.SortStableFunc(list, func(a, b candidate) int {
			return cmp.Compare(a.conn.Ops[a.conn.head].Call, b.conn.Ops[b.conn.head].Call)
		})
	}
	if !r.wide {
		late = nil
	}
	// What was sent together mostly stays together.
	if r.at > 0 {
		last := r.steps[r.at-1].conn
		if n := len(r.choices); n > 0 && r.choices[n-1].at == r.at-1 {
			last = r.choices[n-1].candidates[r.choices[n-1].next-1].conn
		}
		if i := slices.IndexFunc(others, func(who candidate) bool { return who.conn == last }); i > 0 {
			others = slices.Concat(others[i:i+1], others[:i], others[i+1:])
		}
	}
	if s.gap.made && len(s.gap.shown) == 0 && len(s.events) == 0 {
		return slices.Concat([]candidate{{}}, good, others, late)
	}
	return slices.Concat(good, others, []candidate{{}}, late)
}

// believed are the candidates that the logs name, and nothing. A log may have what was never committed, at the end of an epoch: from the first zxid on to which nothing
// is given though the logs name something, nothing is given to the others of its epoch.
func (r *replay) believed(zxid int64, all []candidate) []candidate {
	l, ok := r.logged(zxid)
	ok = ok && r.torn != epochOf(zxid)
	all = slices.DeleteFunc(all, func(who candidate) bool {
		if who.conn != nil {
			return !ok || who.conn.Session != l.Session || who.conn.First+who.conn.head != l.Request
		}
		return !ok || who.expired != l.Session || l.Request >= 0
	})
	for i := range all {
		all[i].refused = l.Refused
	}
	return append(all, candidate{})
}

// try goes on with the next candidate that fits what is known of the zxid.
func (r *replay) try(c *choice) *mismatch {
	bad := &mismatch{rule: openWrite, text: nothingFits, at: c.at}
	for c.next < len(c.candidates) {
		c.next++
		r.effort++
		if r.believe && c.next > 1 && c.next == len(c.candidates) {
			was := r.torn
			r.torn = epochOf(r.steps[c.at].zxid)
			r.journal.add(func() { r.torn = was })
		}
		if bad = r.place(&r.steps[c.at], c.candidates[c.next-1]); bad == nil {
			return nil
		}
		bad.at = c.at
		r.note(bad)
		r.journal.rewind(c.mark)
	}
	return bad
}

// place lets the candidate have the zxid.
func (r *replay) place(s *step, who candidate) *mismatch {
	t := r.tree
	anyOrder := who.expired != 0
	switch {
	case who.conn != nil:
		c := who.conn
		r.enter(c.life)
		a := author{c.Session, &c.Ops[c.head], c.life}
		anyOrder = a.op.Op == jute.OpCloseSession
		was := c.head
		r.done++
		r.journal.add(func() { c.head = was; r.done-- })
		c.head++
		c.skipReads()
		if who.refused {
			t.results, t.changes = t.results[:0], t.changes[:0]
			break
		}
		t.apply(a, s.zxid)
		for _, res := range t.results {
			if res.made != "" && len(t.changes) > 0 {
				r.touched[res.made], r.unknown[res.made] = struct{}{}, struct{}{}
			}
		}
	case who.expired != 0:
		t.apply(author{who.expired, &Op{Part: Part{Op: jute.OpCloseSession}, Return: Never}, r.life}, s.zxid)
	default:
		t.results, t.changes = t.results[:0], t.changes[:0]
	}
	if bad := r.fire(s, anyOrder); bad != nil {
		return bad
	}
	for _, f := range s.gap.shown {
		if what := r.contradicts(f, s.zxid, false); what != "" {
			return &mismatch{rule: openWrite, path: f.path, text: fmt.Sprintf("the %s of %s has zxid %#x, which no unanswered write explains\n\tseen in %v", what, f.path, s.zxid, f.step)}
		}
	}
	for _, ch := range t.changes {
		for _, path := range [...]string{ch.path, parentOf(ch.path)} {
			if bad := r.foresee(path, s); bad != nil {
				return bad
			}
		}
	}
	if next := r.at + 1; next == len(r.steps) || r.steps[next].gap == nil {
		for path := range r.touched {
			if bad := r.foresee(path, s); bad != nil {
				return bad
			}
		}
	}
	return nil
}

// foresee holds a znode, as it is after the gap, against the next operation on it.
func (r *replay) foresee(path string, s *step) *mismatch {
	list := r.seen[path]
	i, _ := slices.BinarySearchFunc(list, s.zxid, func(f fact, zxid int64) int { return cmp.Compare(f.step.zxid, zxid) })
	if i == len(list) {
		return nil
	}
	next, _ := slices.BinarySearchFunc(r.gaps, s.zxid+1, compareZxid)
	for next < len(r.gaps) && r.gaps[next].gap.forced {
		next++
	}
	final := next == len(r.gaps) || r.gaps[next].zxid > list[i].step.zxid
	if what := r.contradicts(list[i], s.zxid, final); what != "" {
		rule := openWrite
		// What answered writes did is not the fault of the unanswered ones.
		if _, ok := r.tree.ghosts[path]; ok && r.tree.nodes[path] == nil {
			rule = ephemeralOutlives
		} else if n := r.tree.nodes[path]; n != nil && n.set.op != nil && n.set.op.Return != Never && list[i].part.Stat.Mzxid < n.stat.Mzxid {
			if _, ok := list[i].part.shows(); ok {
				rule = blame(n, n.set, list[i].step.conn.life, false, readStat)
			}
		}
		return &mismatch{rule: rule, path: path, text: fmt.Sprintf("%s has another %s\n\tseen in %v", path, what, list[i].step)}
	}
	return nil
}

// contradicts names what is wrong with a znode, as it is after zxid, when an operation later is answered so. Nothing but zxids of gaps
// and sessions' ends change it in between; if it is final, no gaps either.
func (r *replay) contradicts(f fact, zxid int64, final bool) string {
	p, n := f.part, r.tree.nodes[f.path]
	want := &p.Stat
	creates := p.Op == jute.OpCreate || p.Op == jute.OpCreate2
	_, shown := p.shows()
	switch {
	case p.Err == jute.ErrNoNode && !creates, p.Err == jute.OK && creates && f.step.zxid > zxid:
		if final && n != nil && n.stat.EphemeralOwner == 0 {
			return "existence"
		}
		return ""
	case p.Err == jute.ErrNodeExists, p.Err == jute.ErrBadVersion, p.Err == jute.ErrNotEmpty, p.Err == jute.OK && !shown:
		if final && n == nil && f.step.op.Op != jute.OpMulti {
			return "existence"
		}
		return ""
	case !shown || want.Czxid > zxid:
		return ""
	case n == nil || n.stat.Czxid != want.Czxid:
		return "creation"
	}
	// A write shows the znode after itself.
	version, aversion := want.Version, want.Aversion
	if p.Op == jute.OpSetData {
		version--
	} else if p.Op == jute.OpSetACL {
		aversion--
	}
	alone := f.step.op.Op != jute.OpMulti
	switch {
	case n.stat.Version > version && version >= 0, n.stat.Aversion > aversion && aversion >= 0, final && n.stat.Version != version, final && n.stat.Aversion != aversion:
		return "version"
	case p.Op == jute.OpSetData:
		return ""
	case want.Mzxid <= zxid && (n.stat.Mzxid != want.Mzxid || n.stat.DataLength != want.DataLength || p.Op == jute.OpGetData && n.data != p.Data):
		return "data"
	case alone && want.Pzxid <= zxid && (n.stat.Pzxid != want.Pzxid || n.stat.Cversion != want.Cversion), alone && n.stat.Cversion > want.Cversion:
		return "list of children"
	}
	return ""
}

// back returns to the last choice that has another candidate which fits. If the mismatch cannot come from a wrong choice, or there is no
// other choice, it returns a mismatch.
func (r *replay) back(bad *mismatch) *mismatch {
	r.note(bad)
	// At a gap it also matters which writes are left.
	gap := r.steps[bad.at].gap != nil
	if len(r.choices) == 0 || !gap && !r.depends(bad.path) {
		bad.open = gap
		return bad
	}
	first := r.choices[0].at
	for len(r.choices) > 0 {
		if r.effort > effortLimit && !r.wide {
			break
		} else if r.effort > effortLimit {
			return &mismatch{at: r.deepest.at, undecided: true, text: fmt.Sprintf("the search for what the unanswered writes have done was given up%s; the last mismatch: %s: %s", r.doubt, Rules[r.deepest.rule].Name, r.deepest.text)}
		}
		c := r.choices[len(r.choices)-1]
		r.journal.rewind(c.mark)
		r.at = c.at
		if bad = r.try(c); bad == nil {
			return nil
		}
		r.failed[c.key] = struct{}{}
		r.choices = r.choices[:len(r.choices)-1]
	}
	if !r.wide {
		if r.believe && r.deepest != nil {
			r.doubt = fmt.Sprintf("; as the logs have it the first is: %s: %s\n\tat %v", Rules[r.deepest.rule].Name, r.deepest.text, &r.steps[r.deepest.at])
		}
		// Once more, with more candidates, from the first choice on.
		r.restart(first - 1) // run goes on with the next
		r.believe, r.wide = false, !r.believe
		return nil
	}
	bad = r.deepest
	bad.open = true
	return bad
}

// note remembers the mismatch that came last in the history.
func (r *replay) note(bad *mismatch) {
	if r.deepest == nil || bad.at > r.deepest.at || bad.at == r.deepest.at && r.deepest.rule == openWrite && bad.text != nothingFits {
		r.deepest = bad
	}
}

// nothingFits is the mismatch of a gap where all was tried before.
const nothingFits = "nothing fits here"

// depends reports whether a znode may look different with other choices.
func (r *replay) depends(path string) bool {
	if len(r.choices) == 0 || path != "" && len(r.unknown) == 0 {
		return false
	}
	_, ok := r.touched[path]
	_, above := r.touched[parentOf(path)]
	return ok || above || path == ""
}

// settle takes the znodes that an answered operation shows wholly from those of which it is not known what the unanswered writes did.
func (r *replay) settle(o *Op) {
	if len(r.unknown) == 0 {
		return
	}
	if o.Op == jute.OpMulti && o.failed() {
		return
	}
	known := func(path string) {
		if _, ok := r.unknown[path]; ok {
			delete(r.unknown, path)
			r.journal.add(func() { r.unknown[path] = struct{}{} })
		}
	}
	for _, p := range o.parts() {
		switch p.Op {
		case jute.OpCreate, jute.OpCreate2:
			if p.Err == jute.OK {
				known(p.Made)
			}
		case jute.OpDelete, jute.OpSetData, jute.OpGetData:
			if p.Err == jute.OK || p.Err == jute.ErrNoNode {
				known(p.Path)
			}
		case jute.OpExists:
			if p.Err == jute.ErrNoNode {
				known(p.Path)
			}
		case jute.OpGetChildren, jute.OpGetChildren2:
			for path := range r.unknown {
				if parentOf(path) == p.Path && r.tree.nodes[path] == nil {
					known(path)
				}
			}
		}
	}
	r.commit()
}

// touches calls touch with the znodes that a write may change.
func (p *Part) touches(touch func(string)) {
	switch p.Op {
	case jute.OpSetData, jute.OpSetACL:
		touch(p.Path)
	case jute.OpDelete:
		touch(p.Path)
		touch(parentOf(p.Path))
	case jute.OpCreate, jute.OpCreate2:
		// What a sequential one makes is known when it has been tried.
		if !jute.CreateMode(p.Mode).Sequential() {
			touch(p.Path)
		}
		touch(parentOf(p.Path))
	}
}

// commit forgets the choices when all candidates are of lives that are over and every znode they may have touched has been shown: any
// other choice that fits would have led to the same tree.
func (r *replay) commit() {
	if len(r.choices) == 0 || len(r.unknown) > 0 || slices.ContainsFunc(r.choices, func(c *choice) bool { return c.life >= r.life }) {
		return
	}
	r.choices, r.deepest, r.effort, r.believe, r.wide, r.doubt = nil, nil, 0, r.logged != nil, false, ""
	r.journal.on, r.journal.undo = false, nil
	clear(r.touched)
	clear(r.failed)
	r.conns = slices.DeleteFunc(r.conns, func(c *connection) bool { return c.life < r.life })
}

// next is the next write of the connection whose zxid is known.
func (c *connection) next() (due, bool) {
	for _, d := range c.due {
		if d.op >= c.head {
			return d, true
		}
	}
	return due{}, false
}

// overdue reports whether there are too few gaps left for all the writes that must come before some zxid, because one whose zxid is known
// is behind them on its connection.
func (r *replay) overdue(s *step) bool {
	type deadline struct {
		zxid int64
		need int // writes of one connection beyond those of its earlier deadlines
	}
	var all []deadline
	for _, c := range r.conns {
		if c.life < r.life {
			continue
		}
		at, need := c.head, 0
		for _, d := range c.due {
			if d.op < c.head {
				continue
			}
			for ; at <= d.op; at++ {
				if c.Ops[at].Writes() {
					need++
				}
			}
			all = append(all, deadline{d.zxid, need})
			need = 0
		}
	}
	slices.SortFunc(all, func(a, b deadline) int { return cmp.Compare(a.zxid, b.zxid) })
	need := 0
	for _, d := range all {
		g := r.gapAt(d.zxid)
		if need += d.need; d.zxid < s.zxid || need > g.gap.before+1-s.gap.before {
			return true
		}
	}
	return false
}

// key stands for all that the rest of the replay depends on and that choices can differ in. A zxid that no reply shows does not matter.
func (r *replay) key() uint64 {
	h := mix(uint64(r.torn)) ^ uint64(r.at)<<20 ^ uint64(r.life)<<10 ^ uint64(len(r.tree.ended))
	for i, c := range r.conns {
		h = mix(h ^ uint64(c.head)<<16 ^ uint64(i))
	}
	visible := func(zxid int64, path string) uint64 {
		if g := r.gapAt(zxid); g != nil && !slices.ContainsFunc(g.gap.shown, func(f fact) bool { return f.path == path }) {
			return 0
		}
		return uint64(zxid)
	}
	sum := uint64(0)
	for path := range r.touched {
		n := r.tree.nodes[path]
		if n == nil {
			continue
		}
		k := hashText(path)
		for _, x := range [...]uint64{
			visible(n.stat.Czxid, path), visible(n.stat.Mzxid, path), visible(n.stat.Pzxid, path), uint64(n.stat.EphemeralOwner),
			uint64(n.stat.Version)<<32 | uint64(uint32(n.stat.Aversion)), uint64(n.made)<<32 | uint64(uint32(n.stat.NumChildren)),
		} {
			k = mix(k ^ x)
		}
		if visible(n.stat.Mzxid, path) != 0 {
			k = mix(k ^ n.data.Tag)
		}
		sum += k
	}
	return mix(h ^ sum)
}

// around is how many steps before and after a mismatch are reported.
const around = 6

// report adds the history around a mismatch.
func (r *replay) report(bad *mismatch) *mismatch {
	var b strings.Builder
	b.WriteString(bad.text)
	for i := max(0, bad.at-around); i < min(len(r.steps), bad.at+around+1); i++ {
		mark := "\n\t"
		if i == bad.at {
			mark = "\n      > "
		}
		b.WriteString(mark + r.steps[i].String())
	}
	if bad.open || bad.undecided {
		b.WriteString("\n    none of the ways in which the unanswered writes may have been done leads further")
		for _, c := range r.conns {
			for i := c.head; c.life == r.life && i < min(len(c.Ops), c.head+around); i++ {
				if c.Ops[i].Writes() {
					b.WriteString("\n\t" + c.describe(i))
				}
			}
		}
	}
	bad.text = b.String()
	return bad
}
