package oracle

import (
	"fmt"
	"strconv"

	"quoll/compat/script"
	"quoll/jute"
)

// request is an opcode with how often it is asked for and what its request may look like.
type request struct {
	op     jute.Op
	weight int
	make   func(g *generator, verb string) script.Call
}

// requests has a row for each opcode whose requests leave the connection open; [generator.fatal] has the others.
var requests []request

func init() {
	requests = []request{
		{jute.OpCreate, 120, (*generator).create},
		{jute.OpCreate2, 50, (*generator).create},
		{jute.OpCreateContainer, 15, (*generator).create},
		{jute.OpCreateTTL, 15, (*generator).create},
		{jute.OpDelete, 80, func(g *generator, verb string) script.Call {
			if at := len(g.made) - 1; at > 0 && g.rng.IntN(3) == 0 { // perhaps one without children
				path := g.made[at]
				g.made = g.made[:at]
				return call(verb, "path", word(path), "version", "-1")
			}
			return g.versioned(verb)
		}},
		{jute.OpSetData, 90, func(g *generator, verb string) script.Call {
			if path := "/zookeeper/quota" + g.root; g.rng.IntN(12) == 0 {
				return call(verb, "path", word(path+"/zookeeper_limits"), "data", g.limits())
			}
			q := g.versioned(verb)
			q.Fields = append(q.Fields, script.Field{Name: "data", Value: g.data()})
			return q
		}},
		{jute.OpSetACL, 30, func(g *generator, verb string) script.Call {
			q := g.versioned(verb)
			q.Fields = append(q.Fields, script.Field{Name: "acl", Value: g.acl()})
			return q
		}},
		{jute.OpReconfig, 4, func(g *generator, verb string) script.Call {
			return call(verb, "joining", g.pickWord("null", "server.2=127.0.0.1:1:2;3", "x"), "leaving", g.pickWord("null", "1", "x"), "members", g.pickWord("null", "server.1=127.0.0.1:1:2;3"), "config", g.pickWord("-1", "0"))
		}},
		{jute.OpMulti, 90, func(g *generator, verb string) script.Call {
			if g.rng.IntN(6) == 0 {
				return g.quota()
			}
			return g.multi(verb)
		}},
		{jute.OpExists, 60, (*generator).watching},
		{jute.OpGetData, 70, (*generator).watching},
		{jute.OpGetChildren, 40, (*generator).watching},
		{jute.OpGetChildren2, 40, (*generator).watching},
		{jute.OpGetACL, 30, (*generator).pathOnly},
		{jute.OpSync, 10, (*generator).pathOnly},
		{jute.OpPing, 10, func(_ *generator, verb string) script.Call { return call(verb) }},
		{jute.OpMultiRead, 25, (*generator).multi},
		{jute.OpGetEphemerals, 15, (*generator).pathOnly},
		{jute.OpGetAllChildrenNumber, 15, (*generator).pathOnly},
		{jute.OpWhoAmI, 8, func(_ *generator, verb string) script.Call { return call(verb) }},
		{jute.OpAddWatch, 30, func(g *generator, verb string) script.Call {
			return call(verb, "path", g.pathOrNull(), "mode", g.pickWord("0", "0", "1", "1", "2", "-1"))
		}},
		{jute.OpCheckWatches, 20, (*generator).watcher},
		{jute.OpRemoveWatches, 20, (*generator).watcher},
		{jute.OpSetWatches, 12, (*generator).watchers},
		{jute.OpSetWatches2, 15, (*generator).watchers},
		{jute.OpSASL, 2, func(g *generator, verb string) script.Call { return call(verb, "token", g.pickWord(`""`, "x")) }},
	}
}

// writes are the verbs of what goes through the log.
var writes = map[string]bool{
	"create": true, "create2": true, "createContainer": true, "createTTL": true, "delete": true, "setData": true, "setACL": true, "reconfig": true, "multi": true,
}

func (g *generator) pathOrNull() string {
	if g.rng.IntN(50) == 0 {
		return "null"
	}
	return word(g.path())
}

// readPath is where a read goes.
func (g *generator) readPath() string {
	if g.rng.IntN(30) == 0 {
		return "/zookeeper/quota" + g.root + g.pickWord("/zookeeper_limits", "/zookeeper_stats")
	}
	return g.pathOrNull()
}

func (g *generator) pathOnly(verb string) script.Call { return call(verb, "path", g.readPath()) }

func (g *generator) watching(verb string) script.Call {
	return call(verb, "path", g.readPath(), "watch", g.pickWord("0", "1"))
}

func (g *generator) versioned(verb string) script.Call {
	return call(verb, "path", g.pathOrNull(), "version", g.pickWord("-1", "-1", "-1", "-1", "-1", "-1", "0", "0", "0", "1", "2", "3", "-2", "2147483647"))
}

func (g *generator) watcher(verb string) script.Call {
	return call(verb, "path", g.pathOrNull(), "type", g.pickWord("1", "2", "3", "3", "4", "5", "0", "6", "-1"))
}

func (g *generator) watchers(verb string) script.Call {
	q := call(verb, "relativeZxid", g.pickWord("0", "-1", "+1", fmt.Sprintf("+%d", max(1, g.zxid-g.rng.IntN(40))), fmt.Sprintf("+%d", g.zxid+1000)), "data", g.paths(), "exist", g.paths(), "child", g.paths())
	if verb == jute.OpSetWatches2.String() {
		q.Fields = append(q.Fields, script.Field{Name: "persistent", Value: g.paths()}, script.Field{Name: "recursive", Value: g.paths()})
	}
	return q
}

func (g *generator) create(verb string) script.Call {
	flags := g.pickWord("0", "0", "0", "0", "1", "1", "2", "2", "3", "4", "5", "6", "7", "-1", "256")
	switch {
	case g.rng.IntN(4) == 0:
	case verb == "createContainer":
		flags = "4"
	case verb == "createTTL":
		flags = g.pickWord("5", "6")
	}
	if verb == "createContainer" && (flags == "1" || flags == "3") && g.several {
		flags = "4" // see deviations
	}
	path := g.newPath()
	if (flags == "2" || flags == "3" || flags == "6") && g.rng.IntN(3) == 0 {
		path += "/"
	}
	p := word(path)
	if g.rng.IntN(60) == 0 {
		p = "null"
	}
	acl := g.acl()
	if acl == openACL && (flags == "0" || flags == "1" || flags == "4") && len(g.made) < 40 {
		g.made = append(g.made, path)
	}
	q := call(verb, "path", p, "data", g.data(), "acl", acl, "flags", flags)
	if verb == "createTTL" {
		q.Fields = append(q.Fields, script.Field{Name: "ttl", Value: g.pickWord("100000", "100000", "1", "1099511627775", "1099511627776", "0", "-1", "-2", "9223372036854775807")})
	}
	return q
}

// quota begins or ends to limit the program's root. Limits and counters come and go together: see deviations.
func (g *generator) quota() script.Call {
	path := "/zookeeper/quota" + g.root
	multi := call("multi")
	switch g.rng.IntN(4) {
	case 0:
		return call("create", "path", path)
	case 1:
		multi.Parts = []script.Call{call("delete", "path", path+"/zookeeper_stats"), call("delete", "path", path+"/zookeeper_limits")}
	default:
		multi.Parts = []script.Call{call("create", "path", path+"/zookeeper_limits", "data", g.limits()), call("create", "path", path+"/zookeeper_stats", "data", g.pickWord("null", `""`, "x"))}
	}
	return multi
}

// limits are those of a quota. Where quotas are enforced, ones that cannot be read are deviations, and left out.
func (g *generator) limits() string {
	limits := []string{"count=3,bytes=10", "count=10,bytes=-1", "count=-1,bytes=200", "count=5,bytes=100=;byteHardLimit=150;countHardLimit=6", "count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=-1"}
	if !g.flavour.serial {
		limits = append(limits, "", "count", "x=y", "count=a,bytes=b")
	}
	return strconv.Quote(limits[g.rng.IntN(len(limits))])
}

// multi is a multi or multiRead, now and then with parts that have no place in it.
func (g *generator) multi(verb string) script.Call {
	q := call(verb)
	defer func(was bool) { g.several = was }(g.several)
	g.several = true
	parts := []jute.Op{jute.OpCreate, jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpDelete, jute.OpSetData, jute.OpSetData, jute.OpCheck}
	if verb == jute.OpMultiRead.String() {
		parts = []jute.Op{jute.OpGetData, jute.OpGetChildren}
	}
	for range g.rng.IntN(6) {
		if g.rng.IntN(60) == 0 {
			parts = []jute.Op{jute.OpGetData, jute.OpExists, jute.OpSetACL, jute.OpCreate, jute.OpPing, jute.OpDelete}
		}
		op := parts[g.rng.IntN(len(parts))]
		part := g.part(op)
		if g.rng.IntN(100) == 0 {
			part.Fields = append(part.Fields, script.Field{Name: "err", Value: "7"})
		}
		q.Parts = append(q.Parts, part)
	}
	if len(q.Parts) > 0 && g.rng.IntN(60) == 0 {
		q.Fields = append(q.Fields, script.Field{Name: "end", Value: "0"})
	}
	return q
}

func (g *generator) part(op jute.Op) script.Call {
	for _, r := range requests {
		if r.op == op {
			return r.make(g, op.String())
		}
	}
	return g.versioned(op.String())
}
