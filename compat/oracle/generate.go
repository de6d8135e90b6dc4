package oracle

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"quoll/compat/script"
)

// generator makes the programs of a round. It predicts nothing: what it remembers only serves to make requests that mostly hit something.
type generator struct {
	rng     *rand.Rand
	flavour *flavour
	words   int // connections named so far
	zxid    int // about as many as were used up
	number  int // of the program
	root    string
	roots   []string // of all programs
	made    []string // paths of the program that may be there, its root first
	clients []*client
	several bool     // requests are being made that go out together
	idle    []string // sessions without a connection that may be alive, by the connection that got them first
	steps   []*script.Step
}

// client is a connection that should be open.
type client struct {
	name    string // of the connection
	session string // the connection that got its session first
}

// program makes the next program of the round.
func (g *generator) program() []*script.Step {
	g.number++
	g.root = fmt.Sprintf("/p%d", g.number)
	g.roots = append(g.roots, g.root)
	g.made = []string{g.root}
	g.clients, g.steps = nil, nil
	first := g.connect("")
	g.step(first, call("create", "path", g.root))
	for range 40 + g.rng.IntN(80) {
		g.pick(stepRows)
	}
	for len(g.clients) > 0 {
		c := g.clients[0]
		g.step(c, call("ping"))
		switch g.rng.IntN(4) {
		case 0:
			g.step(c, call("closeSession"))
			g.drop(c, false)
		default:
			g.step(c, call("kill"))
			g.drop(c, true)
		}
	}
	// Few sessions stay over: each is on the mind of every server that starts.
	if len(g.idle) > 8 {
		g.idle = g.idle[len(g.idle)-8:]
	}
	return g.steps
}

// row is something that a generator can do, and how often it does it.
type row struct {
	name   string
	weight int
	do     func(g *generator)
}

func (g *generator) pick(rows []row) {
	weighted(g.rng, rows, func(r *row) int { return r.weight }).do(g)
}

// weighted draws one of a table's rows.
func weighted[R any](rng *rand.Rand, rows []R, weight func(*R) int) *R {
	sum := 0
	for i := range rows {
		sum += weight(&rows[i])
	}
	n, i := rng.IntN(sum), 0
	for n >= weight(&rows[i]) {
		n -= weight(&rows[i])
		i++
	}
	return &rows[i]
}

// stepRows is what a program is made of.
var stepRows = []row{
	{"request", 500, func(g *generator) {
		g.step(g.client(), g.request())
	}},
	{"pipe", 180, (*generator).pipe},
	{"odd request", 60, func(g *generator) { g.step(g.client(), g.mangle(g.request())) }},
	{"authenticate", 25, func(g *generator) {
		g.step(g.client(), g.auth())
	}},
	{"connect", 20, func(g *generator) {
		if len(g.clients) < 4 {
			g.connect("")
		}
	}},
	{"lose a connection", 10, func(g *generator) {
		c := g.client()
		g.step(c, call("ping"))
		g.step(c, call("kill"))
		g.drop(c, true)
	}},
	{"renew", 14, func(g *generator) {
		if len(g.idle) > 0 {
			g.connect(g.idle[g.rng.IntN(len(g.idle))])
		}
	}},
	{"take over", 8, func(g *generator) {
		c := g.client()
		g.step(c, call("ping"))
		g.drop(c, true)
		g.connect(c.session)
		g.step(c, call("closed"))
	}},
	{"close", 8, func(g *generator) {
		c := g.client()
		g.step(c, call("ping"))
		g.step(c, call("closeSession"))
		g.drop(c, g.rng.IntN(4) == 0) // a renewal must be refused
	}},
	{"expire", 1, func(g *generator) {
		c := g.client()
		g.step(c, call("ping"))
		g.step(c, call("expire", "session", "@"+c.session))
		g.drop(c, g.rng.IntN(4) == 0)
	}},
	{"be refused", 12, func(g *generator) { g.pick(refusedRows) }},
	{"end a connection", 10, func(g *generator) {
		c := g.client()
		g.step(c, call("ping"))
		g.step(c, g.fatal())
		g.drop(c, true)
	}},
}

// refusedRows are handshakes that come to nothing.
var refusedRows = []row{
	{"too new", 1, func(g *generator) { g.refused("lastZxid", "+100000000") }},
	{"short", 1, func(g *generator) { g.refused("cut", strconv.Itoa(g.pickInt(2, 10, 30, 45))) }},
	{"no such session", 1, func(g *generator) { g.refused("session", "0x1234567", "passwd", "0x0102030405060708090a0b0c0d0e0f10") }},
	{"wrong password", 1, func(g *generator) {
		// Only of a session without a connection: see deviations.
		if len(g.idle) > 0 {
			g.refused("session", "@"+g.idle[g.rng.IntN(len(g.idle))], "passwd", g.pickWord("0x00", `""`, "null", "0x0102030405060708090a0b0c0d0e0f10"))
		}
	}},
	{"no password", 1, func(g *generator) {
		if len(g.idle) > 0 {
			g.refused("session", "@"+g.idle[g.rng.IntN(len(g.idle))])
		}
	}},
}

func (g *generator) refused(fields ...string) {
	name := g.name()
	g.steps = append(g.steps, script.NewStep(name, call("connect", append(fields, "timeout", g.timeout())...)), script.NewStep(name, call("closed")))
}

func (g *generator) name() string {
	g.words++
	return fmt.Sprintf("c%d", g.words)
}

// timeout is never so short that the session could end by itself.
func (g *generator) timeout() string {
	return g.pickWord("600000", "600000", "1000001", "3600000", "5000000", "2147483647")
}

// connect opens a connection, with a session of its own if session is empty.
func (g *generator) connect(session string) *client {
	c := &client{name: g.name(), session: session}
	q := call("connect", "timeout", g.timeout())
	if session == "" {
		c.session = c.name
		g.zxid++
	} else {
		q.Fields = append(q.Fields, script.Field{Name: "session", Value: "@" + session}, script.Field{Name: "passwd", Value: "@" + session})
		g.idle = without(g.idle, session)
		for _, other := range g.clients {
			if other.session == session {
				panic("the session has a connection: " + session)
			}
		}
	}
	switch g.rng.IntN(6) {
	case 0:
		q.Fields = append(q.Fields, script.Field{Name: "readOnly", Value: g.pickWord("1", "absent")})
	case 1:
		q.Fields = append(q.Fields, script.Field{Name: "protocol", Value: g.pickWord("77", "-1")})
	case 2:
		q.Fields = append(q.Fields, script.Field{Name: "tail", Value: "0x0102"})
	case 3:
		if g.number > 1 { // before, there may be no such zxid
			q.Fields = append(q.Fields, script.Field{Name: "lastZxid", Value: "+1"})
		}
	}
	g.clients = append(g.clients, c)
	g.step(c, q)
	return c
}

// client is one that is connected.
func (g *generator) client() *client {
	if len(g.clients) == 0 {
		return g.connect("")
	}
	return g.clients[g.rng.IntN(len(g.clients))]
}

// drop forgets a client whose connection has ended. Its session may go on.
func (g *generator) drop(c *client, alive bool) {
	for i, other := range g.clients {
		if other == c {
			g.clients = append(g.clients[:i], g.clients[i+1:]...)
			break
		}
	}
	if alive {
		g.idle = append(g.idle, c.session)
	}
}

func (g *generator) step(c *client, q script.Call) {
	g.zxid += len(q.Parts) + 1
	g.steps = append(g.steps, script.NewStep(c.name, q))
}

// pipe sends some requests in one write. What may end the connection is not among them, since it is a matter of chance how much of
// the answers gets out before.
func (g *generator) pipe() {
	c := g.client()
	pipe := call("pipe")
	n := 2 + g.rng.IntN(8)
	if g.flavour.single {
		n = 1
	}
	newACL, wrote := false, false
	g.several = true
	defer func() { g.several = false }()
	for range n {
		q := g.request()
		switch {
		case newACL && writes[q.Verb]:
			continue // see deviations
		case g.flavour.serial && writes[q.Verb]:
			continue
		case g.rng.IntN(10) == 0 && q.Verb != "sasl":
			q = g.mangle(q)
		case g.rng.IntN(40) == 0:
			q = g.auth()
		}
		if q.Verb == "auth" && wrote {
			continue // whom the events of the write are for is a matter of chance, on both sides
		}
		if q.Verb == "auth" || q.Verb == "sasl" {
			q.Fields = append(q.Fields, script.Field{Name: "xid", Value: "-4"}) // for canonical to tell
		}
		newACL, wrote = newACL || q.Verb == "setACL", wrote || writes[q.Verb]
		pipe.Parts = append(pipe.Parts, q)
	}
	if len(pipe.Parts) > 0 {
		g.step(c, pipe)
	}
}

// request is one that no server answers by closing the connection.
func (g *generator) request() script.Call {
	r := weighted(g.rng, requests, func(r *request) int { return r.weight })
	return r.make(g, r.op.String())
}

// mangle makes a request that no client would send.
func (g *generator) mangle(q script.Call) script.Call {
	switch g.rng.IntN(4) {
	case 0:
		q.Fields = append(q.Fields, script.Field{Name: "tail", Value: g.pickWord("0x00", "0xffffffff", "0x0102030405060708090a")})
	case 1:
		q.Fields = append(q.Fields, script.Field{Name: "xid", Value: g.pickWord("0", "-3", "-8", "-100", "2147483647", "-2147483648")})
	default:
		// The fewest bytes of a record are 4, those of a multi's end; a request without a record has only its header.
		if q.Verb != "ping" && q.Verb != "whoAmI" {
			q.Fields = append(q.Fields, script.Field{Name: "cut", Value: strconv.Itoa(1 + g.rng.IntN(4))})
		}
	}
	return q
}

// fatal is a request that ends its connection.
func (g *generator) fatal() script.Call {
	switch g.rng.IntN(9) {
	case 0:
		return call("bytes", "path", g.pickWord("0x7fffffff", "0x00100000", "0xffffffff", "0x80000000", "0x73727672"))
	case 1:
		return call("frame", "path", g.pickWord("0x00", "0x00000001", "0x00000001000000"))
	case 2:
		return call("request", "op", strconv.Itoa(g.pickInt(0, 10, 13, 23, 99, 108, 999, -1, -2, 1<<31-1)), "body", "0x00000001")
	case 3:
		return call("auth", "scheme", g.pickWord("world", "null", "x509", `""`, "sasl", "super"), "auth", "a:b")
	case 4:
		return call("auth", "scheme", "digest", "auth", "null")
	case 5:
		return call("auth", "scheme", "digest", "auth", "a:b", "cut", "3")
	case 6:
		return call("deleteContainer", "path", word(g.path()))
	case 7:
		return call("createSession")
	default:
		return call("check", "path", word(g.path()))
	}
}

func (g *generator) auth() script.Call {
	if g.rng.IntN(8) == 0 {
		return call("auth", "scheme", "ip", "auth", g.pickWord("null", "x"))
	}
	return call("auth", "scheme", "digest", "auth", g.pickWord("alice:pw", "alice:pw", "bob:secret", "bob:other", "nocolon", ":", "a:b:c", "super:secret", "super:wrong"))
}

var plain = regexp.MustCompile(`^[A-Za-z/_.-][A-Za-z0-9/_.:@-]*$`)

// word is a text as scripts have it.
func word(s string) string {
	if plain.MatchString(s) && s != "null" {
		return s
	}
	return strconv.Quote(s)
}

// call is a verb with fields, given as names and values.
func call(verb string, fields ...string) script.Call {
	c := script.Call{Verb: verb}
	for i := 0; i < len(fields); i += 2 {
		c.Fields = append(c.Fields, script.Field{Name: fields[i], Value: fields[i+1]})
	}
	return c
}

func (g *generator) pickWord(words ...string) string { return words[g.rng.IntN(len(words))] }

func (g *generator) pickInt(values ...int) int { return values[g.rng.IntN(len(values))] }

func without(list []string, item string) (rest []string) {
	for _, v := range list {
		if v != item {
			rest = append(rest, v)
		}
	}
	return rest
}

// names are those of znodes: few, so that requests meet.
var names = []string{"a", "b", "c", "d", "é"}

// odd are names and paths at the edges of what is valid.
var odd = []string{
	"", "/", "//", "a", "/..", "/.", "/a/", "/a//b", "/a/../b", "/a/./b", "/\x00", "/a\x01", "/a\x1f", "/a\x7f", "/a\u009f", "/\u00a0", "/\ud7ff", "/\uf8ff", "/\ue000",
	"/\ufeff", "/\uffef", "/\ufff0", "/\U0001f600", "/\xff", "/a\xc3", "/\xed\xa0\xbd", "/...", "/a..b", "/.a", "/ ", "/e\u0301", "/" + strings.Repeat("long", 100),
}

// path is where a request goes.
func (g *generator) path() string {
	switch n := g.rng.IntN(100); {
	case n < 65:
		return g.made[g.rng.IntN(len(g.made))]
	case n < 84:
		return g.below()
	case n < 90: // perhaps a sequential znode
		return fmt.Sprintf("%s%010d", g.below(), g.rng.IntN(8))
	case n < 93:
		return g.root + odd[g.rng.IntN(len(odd))]
	case n < 95:
		return odd[g.rng.IntN(len(odd))]
	case n < 98:
		return g.pickWord("/", "", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/config", "/zookeeper/quota"+g.root, "/zookeeper/x", "/zookeeperx")
	default:
		return g.roots[g.rng.IntN(len(g.roots))]
	}
}

// below is a path with a parent that may be there.
func (g *generator) below() string {
	parent := g.made[g.rng.IntN(len(g.made))]
	if strings.Count(parent, "/") > 4 {
		parent = g.root
	}
	return strings.TrimSuffix(parent, "/") + "/" + names[g.rng.IntN(len(names))]
}

// newPath is where something is to be made.
func (g *generator) newPath() string {
	if g.rng.IntN(4) == 0 {
		return g.path()
	}
	return g.below()
}

// paths are those of setWatches.
func (g *generator) paths() string {
	switch g.rng.IntN(12) {
	case 0:
		return "null"
	case 1, 2, 3, 4:
		return "[]"
	}
	var list []string
	for range 1 + g.rng.IntN(3) {
		if g.rng.IntN(30) == 0 {
			list = append(list, "null")
		} else {
			list = append(list, strconv.Quote(g.path()))
		}
	}
	return strings.Join(list, ",")
}

// data is that of a znode.
func (g *generator) data() string {
	switch g.rng.IntN(12) {
	case 0:
		return "null"
	case 1, 2:
		return `""`
	case 3:
		return strconv.Quote(strings.Repeat("x", 100)) + "*" + strconv.Itoa(1+g.rng.IntN(30))
	case 4:
		return fmt.Sprintf("0x%016x", g.rng.Uint64())
	}
	return strconv.Quote(fmt.Sprintf("d%d", g.rng.IntN(1000)))
}

// acls are entries of ACLs; the first 20 are mostly valid.
var acls = []string{
	"world:anyone:31", "world:anyone:31", "world:anyone:1", "world:anyone:2", "world:anyone:4", "world:anyone:8", "world:anyone:16", "world:anyone:0", "world:anyone:-1", "world:anyone:255",
	"world:somebody:31", "world:null:31", "world::31", "auth::31", "auth:null:31", "auth:whatever:1", "ip:127.0.0.1:31", "ip:127.0.0.1/8:31", "ip:10.0.0.0/8:31", "ip:10.1.2.3:1",
	"ip:localhost:31", "ip:1.2.3:31", "ip:1.2.3.256:31", "ip:127.0.0.1/33:31", "ip:0:0:0:0:0:0:0:1:31", "ip:null:31", "digest:alice:V55/p2T0OpjQ+low3NVAH4aLvm0=:31", "digest:bob:x:31",
	"digest:nocolon:31", "digest:a:b:c:31", "digest::x:1", "digest:a::1", "digest:null:31", "super:x:31", "x509:CN=x:31", "sasl:bob:31", "nosuch:thing:31", "null:x:31", ":x:31", "ensemble:x:31",
}

// openACL lets everybody do everything.
const openACL = "world:anyone:31"

func (g *generator) acl() string {
	entry := func(most int) string {
		for {
			// What has no id is no transaction, see deviations.
			if e := acls[g.rng.IntN(most)]; !g.several || !strings.Contains(e, ":null:") || strings.HasPrefix(e, "auth:") {
				return strconv.Quote(e)
			}
		}
	}
	switch n := g.rng.IntN(20); {
	case n < 13:
		return openACL
	case n < 14:
		return g.pickWord("null", "[]")
	case n < 15: // others may do less
		return g.pickWord(`"auth::31","world:anyone:1"`, `"digest:alice:V55/p2T0OpjQ+low3NVAH4aLvm0=:31","world:anyone:1"`, `"auth::15","world:anyone:3"`)
	case n < 17:
		return entry(len(acls))
	default:
		var list []string
		for range 1 + g.rng.IntN(4) {
			list = append(list, entry(20))
		}
		return strings.Join(list, ",")
	}
}
