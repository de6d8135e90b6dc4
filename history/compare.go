package history

import (
	"fmt"
	"slices"

	"quoll/jute"
)

// compare holds the answer to a write against that of the model.
func (r *replay) compare(s *step) *mismatch {
	o, results := s.op, r.tree.results
	if len(results) == 1 && results[0].err == jute.ErrSessionExpired {
		if o.Err != jute.ErrSessionExpired {
			return &mismatch{rule: sessionEnded, text: fmt.Sprintf("the session had ended\n\t%v", s)}
		}
		return nil
	}
	if o.Op != jute.OpMulti {
		if bad := r.compareError(s, &o.Part, &results[0], replyCode); bad != nil {
			return bad
		}
		return r.compareResult(s, &o.Part, &results[0])
	}
	if o.Err != jute.OK || len(o.Parts) != len(results) {
		return &mismatch{rule: replyCode, text: fmt.Sprintf("a multi of %d has the error %q and %d results\n\t%v", len(results), o.Err.Text(), len(o.Parts), s)}
	}
	for i := range o.Parts {
		if bad := r.compareError(s, &o.Parts[i], &results[i], atomicMulti); bad != nil {
			return bad
		}
	}
	for i := range o.Parts {
		if bad := r.compareResult(s, &o.Parts[i], &results[i]); bad != nil {
			return bad
		}
	}
	return nil
}

// compareError compares the error of one operation; a difference that has no better rule breaks otherwise.
func (r *replay) compareError(s *step, p *Part, want *result, otherwise ruleID) *mismatch {
	if p.Err == want.err {
		return nil
	}
	n, rule := r.tree.nodes[p.Path], otherwise
	if absent := p.Err == jute.ErrNoNode; absent || want.err == jute.ErrNodeExists && p.Err == jute.OK {
		if n != nil {
			rule = blame(n, n.set, r.life, absent, otherwise)
		}
	} else if _, ok := r.tree.ghosts[p.Path]; (want.err == jute.ErrNoNode || p.Err == jute.ErrNodeExists) && (ok || r.tree.ended[p.Stat.EphemeralOwner]) {
		rule = ephemeralOutlives
	}
	return &mismatch{rule: rule, path: p.Path, text: fmt.Sprintf("%v %s should be %q, not %q\n\t%v", p.Op, p.Path, want.err.Text(), p.Err.Text(), s)}
}

// compareResult compares what an operation returns beside its error.
func (r *replay) compareResult(s *step, p *Part, want *result) *mismatch {
	if p.Made != want.made {
		return &mismatch{rule: sequence, path: want.made, text: fmt.Sprintf("should have made %s\n\t%v", want.made, s)}
	}
	if _, ok := p.shows(); !ok || want.node == nil {
		return nil
	}
	if field, lost := r.differs(&want.stat, &p.Stat, want.node); field != "" {
		rule := versions
		if lost != nil {
			rule = blame(want.node, *lost, r.life, false, versions)
		}
		return &mismatch{rule: rule, path: p.Path, text: fmt.Sprintf("%s should be of %+v\n\t%v", field, want.stat, s)}
	}
	return nil
}

// blame finds the rule for a reply of the life that does not know the last change of a znode, which was by's.
func blame(n *node, by author, life int, absent bool, otherwise ruleID) ruleID {
	switch {
	case by.op == nil:
		return otherwise
	case absent && n.stat.EphemeralOwner != 0:
		return ephemeralEarly
	case by.life < life:
		return durability
	case by.op.Op == jute.OpMulti:
		return atomicMulti
	}
	return otherwise
}

// differs names the first field of a Stat that is not as it should be, and whose change is missing if it is what it once was. Times
// that the server chose are learned when they are seen first.
func (r *replay) differs(want, have *jute.Stat, n *node) (field string, lost *author) {
	older := func(older bool, by *author) *author {
		if !older {
			return nil
		}
		return by
	}
	switch {
	case have.Czxid != want.Czxid:
		return "czxid", older(have.Czxid < want.Czxid, &n.set)
	case have.Mzxid != want.Mzxid:
		return "mzxid", older(have.Mzxid < want.Mzxid, &n.set)
	case have.Pzxid != want.Pzxid:
		return "pzxid", older(have.Pzxid < want.Pzxid, &n.listed)
	case have.Version != want.Version:
		return "version", nil
	case have.Cversion != want.Cversion:
		return "cversion", nil
	case have.Aversion != want.Aversion:
		return "aversion", older(have.Aversion < want.Aversion, &n.set)
	case have.EphemeralOwner != want.EphemeralOwner:
		return "ephemeralOwner", nil
	case have.DataLength != want.DataLength:
		return "dataLength", nil
	case have.NumChildren != want.NumChildren:
		return "numChildren", nil
	case have.Ctime != want.Ctime && (want.Ctime != 0 || want.Czxid == 0):
		return "ctime", nil
	case have.Mtime != want.Mtime && (want.Mtime != 0 || want.Mzxid == 0):
		return "mtime", nil
	}
	if n.stat.Ctime != have.Ctime && n.stat.Ctime == 0 {
		r.journal.add(func() { n.stat.Ctime = 0 })
		n.stat.Ctime = have.Ctime
	}
	if n.stat.Mtime == 0 && n.stat.Mzxid == have.Mzxid && have.Mtime != 0 {
		r.journal.add(func() { n.stat.Mtime = 0 })
		n.stat.Mtime = have.Mtime
	}
	return "", nil
}

// read holds the answer to a read against the tree, and sets its watch.
func (r *replay) read(s *step) *mismatch {
	p := &s.op.Part
	n := r.tree.nodes[p.Path]
	switch p.Op {
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2:
		if bad := r.compareRead(s, p, n); bad != nil {
			return bad
		}
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		if code := r.watches.look(s.conn, p); code != p.Err {
			rule := watchMissing
			if p.Err == jute.OK {
				rule = watchUnasked
			}
			return &mismatch{rule: rule, text: fmt.Sprintf("should be %q\n\t%v", code.Text(), s)}
		}
	}
	r.watches.observe(s.conn, p)
	r.settle(s.op)
	return nil
}

func (r *replay) compareRead(s *step, p *Part, n *node) *mismatch {
	bad := func(rule ruleID, format string, args ...any) *mismatch {
		return &mismatch{rule: rule, path: p.Path, text: fmt.Sprintf(format, args...) + "\n\t" + s.String()}
	}
	switch {
	case n == nil && p.Err == jute.ErrNoNode:
		return nil
	case n == nil:
		rule := readExistence
		if _, ok := r.tree.ghosts[p.Path]; ok || r.tree.ended[p.Stat.EphemeralOwner] {
			rule = ephemeralOutlives
		}
		return bad(rule, "%s is not there", p.Path)
	case p.Err != jute.OK:
		return bad(blame(n, n.set, r.life, true, readExistence), "%s is there: %+v", p.Path, n.stat)
	}
	if _, ok := p.shows(); ok {
		if field, lost := r.differs(&n.stat, &p.Stat, n); field != "" {
			rule := readStat
			if lost != nil {
				rule = blame(n, *lost, r.life, false, readStat)
			}
			return bad(rule, "%s should be of %+v", field, n.stat)
		}
	}
	if p.Op == jute.OpGetData && p.Data != n.data {
		return bad(readData, "the data should be %x", n.data.Tag)
	}
	if p.Op != jute.OpExists && p.Op != jute.OpGetData && p.Children != (Children{n.children, n.stat.NumChildren}) {
		return bad(readChildren, "there should be %d children %x", n.stat.NumChildren, n.children)
	}
	return nil
}

// fire gives the changes of the step to the watches, and holds the events that came with its zxid against those that must have come.
// In no order, if the server may choose one.
func (r *replay) fire(s *step, anyOrder bool) *mismatch {
	r.expect = r.expect[:0]
	for _, ch := range r.tree.changes {
		r.expect = r.watches.fire(r.expect, ch, func(c *connection) bool { return c.end < s.zxid })
	}
	if len(r.expect) == 0 && len(s.events) == 0 {
		return nil
	}
	matched := 0
	taken := make([]bool, len(r.expect))
	for _, got := range s.events {
		mine := -1 // the first that this connection should get now
		for i, e := range r.expect {
			if e.conn != got.conn || taken[i] {
				continue
			}
			if mine < 0 {
				mine = i
			}
			if e.typ == got.event.Type && e.path == got.event.Path && got.event.Zxid == s.zxid {
				if i != mine && !anyOrder {
					return r.missing(s, r.expect[mine])
				}
				taken[i] = true
				matched++
				mine = -2
				break
			}
		}
		if mine == -2 {
			continue
		}
		return r.surplus(s, got, mine)
	}
	if matched == len(r.expect) {
		return nil
	}
	for i, e := range r.expect {
		// A connection that ended here may have lost the events, but not those before others.
		if !taken[i] && (e.conn.last >= s.zxid || e.conn.end > s.zxid) {
			return r.missing(s, e)
		}
	}
	return nil
}

func (r *replay) missing(s *step, e expected) *mismatch {
	return &mismatch{rule: watchMissing, path: e.path, text: fmt.Sprintf("client %d session %#x was not told of type %d %s zxid %#x\n\t%v", e.conn.Client, e.conn.Session, e.typ, e.path, s.zxid, s)}
}

// surplus finds the rule for an event that nobody expects; mine is the index of one that its connection should have had instead, or -1.
func (r *replay) surplus(s *step, got received, mine int) *mismatch {
	rule := watchUnasked
	before := false
	for i := range got.conn.Events {
		e := &got.conn.Events[i]
		if e == got.event {
			break
		}
		before = before || e.Type == got.event.Type && e.Path == got.event.Path
	}
	switch about := r.sessions[got.conn.Session]; {
	case mine >= 0:
		rule = watchWrong
	case before:
		rule = watchTwice
	case about != nil && slices.ContainsFunc(about.past, func(c *Connection) bool {
		return c != got.conn.Connection && c.Call < got.conn.Call && c.watched(got.event.Path)
	}):
		rule = watchSurvives
	}
	return &mismatch{rule: rule, path: got.event.Path, text: fmt.Sprintf("client %d session %#x got %v\n\t%v", got.conn.Client, got.conn.Session, got.event, s)}
}

// watched reports whether the connection ever asked for a watch that may cover the path, answered or not.
func (c *Connection) watched(path string) bool {
	return slices.ContainsFunc(c.Ops, func(o Op) bool {
		if o.Op != jute.OpAddWatch && !o.Watch {
			return false
		}
		for above := path; above != ""; above = parentOf(above) {
			if o.Path == above {
				return true
			}
		}
		return false
	})
}
