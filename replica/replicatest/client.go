package replicatest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"quoll/history"
	"quoll/jute"
	"quoll/tree"
	"quoll/zab/zabtest"
)

// client asks for what a client of a real ensemble may ask for, and records what it is told.
type client struct {
	cast   *Cast
	index  int
	rng    *rand.Rand
	record *history.Connection
	// answered says that the handshake was.
	answered bool
	number   uint64
	versions map[string]int32
}

// Few znodes, so that almost every request meets others.
var (
	dirs   = []string{"/h", "/h/a", "/h/b", "/h/q"}
	leaves = []string{"/h/a/0", "/h/a/1", "/h/a/2", "/h/b/0", "/h/b/1", "/h/a/0/x"}
	paths  = append(append([]string{"/"}, dirs...), leaves...)

	openACL  = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	sequence = "/h/q/s-"
)

func newClient(c *Cast, seed uint64, index int) *client {
	return &client{cast: c, index: index, rng: rand.New(rand.NewPCG(seed, 1000+uint64(index))), versions: map[string]int32{}}
}

// Connect begins a connection.
func (c *client) Connect(session int64, fresh bool) {
	c.record = &history.Connection{Client: c.index, Session: session, New: fresh, Timeout: history.Anytime, // the leader's clock jumps
		Call: c.cast.tick(), Return: history.Never}
	c.answered = false
}

// Connected is the answer to the handshake.
func (c *client) Connected() {
	c.record.Return, c.answered = c.cast.tick(), true
}

// Refused is the other answer.
func (c *client) Refused() {
	c.record.Refused, c.record.Session = c.record.Session, 0
	c.Connected()
}

// Lost ends the connection. A handshake that nobody answered needs no record.
func (c *client) Lost() {
	if c.record != nil && c.answered {
		c.cast.connections = append(c.cast.connections, c.record)
	}
	c.record = nil
}

// begin records a request. At times the world syncs without a session, which is nobody's history.
func (c *client) begin(o history.Op) {
	if c.record == nil {
		return
	}
	o.Call, o.Return = c.cast.tick(), history.Never
	c.record.Ops = append(c.record.Ops, o)
}

// end records the answer to it.
func (c *client) end(zxid int64) {
	if c.record == nil {
		return
	}
	o := &c.record.Ops[len(c.record.Ops)-1]
	o.Zxid, o.Return = zxid, c.cast.tick()
	c.record.Replies++
}

// Write draws a request that writes.
func (c *client) Write(op jute.Op) (jute.Op, []byte) {
	if op == jute.OpCloseSession {
		c.begin(history.Op{Part: history.Part{Op: op}})
		return op, nil
	}
	if c.rng.IntN(8) != 0 {
		part, body := c.write(false)
		c.begin(history.Op{Part: part})
		return part.Op, body
	}
	o := history.Op{Part: history.Part{Op: jute.OpMulti}}
	var body []byte
	for range 1 + c.rng.IntN(3) {
		part, b := c.write(true)
		o.Parts = append(o.Parts, part)
		body = append((&jute.MultiHeader{Type: int32(part.Op), Err: -1}).Append(body), b...)
	}
	c.begin(o)
	return jute.OpMulti, jute.MultiEnd.Append(body)
}

// write draws one operation, for a multi or alone.
func (c *client) write(multi bool) (p history.Part, body []byte) {
	p.Path, p.Version = leaves[c.rng.IntN(len(leaves))], -1
	if c.rng.IntN(6) == 0 {
		p.Path = dirs[c.rng.IntN(len(dirs))]
	}
	if v, ok := c.versions[p.Path]; ok && c.rng.IntN(3) == 0 {
		p.Version = v
	}
	switch k := c.rng.IntN(100); {
	case k < 12:
		p.Op, p.Path, p.Mode, p.Version = jute.OpCreate2, sequence, int32(jute.ModePersistentSequential), 0
		if k < 4 {
			p.Mode = int32(jute.ModeEphemeralSequential)
		}
	case k < 50:
		p.Op, p.Version = jute.OpCreate, 0
		if k%2 == 0 {
			p.Op = jute.OpCreate2
		}
		if k%5 == 0 && len(p.Path) > 4 {
			p.Mode = int32(jute.ModeEphemeral)
		}
	case k < 60:
		p.Op = jute.OpDelete
	case k < 65 && multi:
		p.Op = jute.OpCheck
	case k < 65:
		p.Op = jute.OpSetACL
	default:
		p.Op = jute.OpSetData
	}
	o := jute.Operation{Op: p.Op, Path: []byte(p.Path), ACL: openACL, Flags: jute.CreateMode(p.Mode), Version: p.Version}
	if p.Op == jute.OpCreate || p.Op == jute.OpCreate2 || p.Op == jute.OpSetData {
		c.number++
		o.Data = binary.BigEndian.AppendUint64([]byte(fmt.Sprintf("%d:", c.index)), c.number)
		if c.rng.IntN(15) == 0 {
			o.Data = append(o.Data, make([]byte, 600+c.rng.IntN(1500))...) // several sectors, of which some may survive
		}
		p.Data = history.DataOf(o.Data)
	}
	return p, o.Append(nil)
}

// Wrote is the answer to a write.
func (c *client) Wrote(a zabtest.Applied) {
	if c.record == nil {
		return
	}
	told := a.(Told)
	o := &c.record.Ops[len(c.record.Ops)-1]
	o.Err = told.Result.Err
	if o.Op == jute.OpMulti {
		for i := range told.Result.Multi {
			c.answer(&o.Parts[i], &told.Result.Multi[i])
		}
	} else {
		c.answer(&o.Part, told.Result)
	}
	c.end(told.Zxid)
}

// answer records what one operation did.
func (c *client) answer(p *history.Part, r *tree.Result) {
	p.Err = r.Err
	if r.Err != jute.OK || r.Op == jute.OpError {
		return
	}
	switch p.Op {
	case jute.OpCreate:
		p.Made = r.Path
	case jute.OpCreate2:
		p.Made, p.Stat = r.Path, r.Stat
	case jute.OpSetData, jute.OpSetACL:
		p.Stat = r.Stat
		c.versions[p.Path] = r.Stat.Version
	}
}

// Read reads a znode.
func (c *client) Read(r zabtest.Replica) {
	t := r.(*Server).tree()
	p := history.Part{Path: paths[c.rng.IntN(len(paths))]}
	p.Op = [...]jute.Op{jute.OpExists, jute.OpGetData, jute.OpGetData, jute.OpGetChildren2}[c.rng.IntN(4)]
	n := t.Lookup(p.Path)
	if n == nil {
		p.Err = jute.ErrNoNode
	} else {
		p.Stat = n.Stat()
		switch p.Op {
		case jute.OpGetData:
			p.Data = history.DataOf(n.Data())
			c.versions[p.Path] = p.Stat.Version
		case jute.OpGetChildren2:
			for _, child := range n.Children() {
				p.Children.Add([]byte(child.Path()[len(tree.ParentPath(child.Path()))+1:]))
			}
		}
	}
	c.begin(history.Op{Part: p})
	c.end(t.LastZxid())
}

// Sync asks for a sync.
func (c *client) Sync() { c.begin(history.Op{Part: history.Part{Op: jute.OpSync, Path: "/"}}) }

// Synced is its answer.
func (c *client) Synced(r zabtest.Replica) { c.end(r.(*Server).tree().LastZxid()) }
