package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"quoll/jute"
)

const (
	statLength   = 68   // bytes of a Stat
	keyCount     = 1000 // znodes that a row spreads its requests over
	childCount   = 100  // children of the znode that the children row lists
	ownCount     = 16   // paths that a connection creates and deletes in turn
	seqParents   = 64   // parents for sequential znodes, one for each connection
	multiSize    = 10   // operations in a multi
	multiCount   = 64   // different multis
	orderLength  = 4096 // requests until a random order repeats
	setupDepth   = 100  // requests in flight while a row's znodes are made
	keyNameBytes = 6
	multiHeader  = 9 // bytes of a MultiHeader
)

// step is a request as prebuilt bytes. Steps that differ in the path alone share their tail.
type step struct {
	head, tail []byte
	want       int // length of the reply
}

// newStep builds a request for path, with the given end of its body; an empty path is left out. The reply is the header and as
// many bytes as the parts in reply.
func newStep(op jute.Op, path string, tail []byte, reply ...int) step {
	head := jute.AppendInt32(make([]byte, 4, 16+len(path)), 0)
	head = jute.AppendInt32(head, int32(op))
	if path != "" {
		head = jute.AppendString(head, path)
	}
	binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(tail)))
	want := replyHeader
	for _, n := range reply {
		want += n
	}
	return step{head, tail, want}
}

// plan is a source that repeats an order of steps for ever.
type plan struct {
	steps []step // shared by the connections of a row
	order []uint16
	at    int
	unit  int // the order may end after a multiple of so many
}

func (p *plan) next(b []byte) ([]byte, int) {
	s := &p.steps[p.order[p.at]]
	if p.at++; p.at == len(p.order) {
		p.at = 0
	}
	return append(append(b, s.head...), s.tail...), s.want
}

func (p *plan) whole() bool { return p.at%p.unit == 0 }

// series is a source that ends.
type series struct {
	n, i int
	step func(i int) step
}

// list is the series of n steps.
func list(n int, step func(i int) step) *series { return &series{n: n, step: step} }

func (l *series) next(b []byte) ([]byte, int) {
	if l.i == l.n {
		return b, 0
	}
	s := l.step(l.i)
	l.i++
	return append(append(b, s.head...), s.tail...), s.want
}

func (l *series) whole() bool { return true }

// workload is a kind of load: how many znodes it needs below its root, and the requests of one connection.
type workload struct {
	name string
	keys int
	plan func(s *scene, conn int) source
}

var workloads = []workload{
	{"get", keyCount, mix(100, 0)},
	{"set", keyCount, mix(0, 100)},
	{"mixed90", keyCount, mix(90, 10)},
	{"mixed50", keyCount, mix(50, 50)},
	{"exists", keyCount, mix(0, 0)},
	{"children", childCount, children},
	{"children10k", 10_000, children},
	{"children100k", 100_000, children},
	{"create-delete", 0, createDelete},
	{"create-seq", seqParents, createSequential},
	{"multi10", keyCount, multis},
}

// load is a workload from so many connections.
type load struct {
	workload
	conns int
	depth int // requests in flight on each connection
	size  int // bytes of data of a znode
}

// scene is the part of a server's tree that one measurement works in.
type scene struct {
	root string
	keys int
	data []byte
	seed uint64

	steps []step // get, set and exists of each key; see mix
}

func keyName(i int) string { return fmt.Sprintf("k%0*d", keyNameBytes-1, i) }

func (s *scene) key(i int) string { return s.root + "/" + keyName(i) }

// buffer is the encoding of the scene's data.
func (s *scene) buffer() []byte { return jute.AppendBuffer(nil, s.data) }

// openACL is the end of a create request for a persistent znode: world:anyone may do anything, and no flags. That of openSequential is for
// a sequential one.
var (
	openACL        = createEnd(jute.ModePersistent)
	openSequential = createEnd(jute.ModePersistentSequential)
)

func createEnd(mode jute.CreateMode) []byte {
	b := jute.AppendInt32(nil, 1)
	b = (&jute.ACL{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}).Append(b)
	return jute.AppendInt32(b, int32(mode))
}

// create is a create request; tail is the encoded data and openACL.
func create(path string, tail []byte) step {
	return newStep(jute.OpCreate, path, tail, 4, len(path))
}

// anyVersion is the end of a setData or delete request.
var anyVersion = jute.AppendInt32(nil, -1)

func remove(path string) step { return newStep(jute.OpDelete, path, anyVersion) }

// noWatch is the end of a read request.
var noWatch = []byte{0}

// setUp makes the scene's znodes.
func (s *scene) setUp(c *conn) error {
	tail := append(s.buffer(), openACL...)
	return c.drive(list(1+s.keys, func(i int) step {
		if i == 0 {
			return create(s.root, append(jute.AppendBuffer(nil, []byte{}), openACL...))
		}
		return create(s.key(i-1), tail)
	}), setupDepth, window{}, nil)
}

// tearDown deletes them.
func (s *scene) tearDown(c *conn) error {
	return c.drive(list(s.keys+1, func(i int) step {
		if i == s.keys {
			return remove(s.root)
		}
		return remove(s.key(i))
	}), setupDepth, window{}, nil)
}

// mix gets, sets and asks for the existence of random keys: so many gets and sets in a hundred requests, the rest exists.
func mix(gets, sets int) func(s *scene, conn int) source {
	return func(s *scene, conn int) source {
		if s.steps == nil {
			set := append(s.buffer(), anyVersion...)
			for i := range s.keys {
				s.steps = append(s.steps,
					newStep(jute.OpGetData, s.key(i), noWatch, 4, len(s.data), statLength),
					newStep(jute.OpSetData, s.key(i), set, statLength),
					newStep(jute.OpExists, s.key(i), noWatch, statLength))
			}
		}
		p := &plan{steps: s.steps, unit: 1}
		rng := rand.New(rand.NewPCG(s.seed, uint64(conn)))
		for range orderLength {
			i := 3 * rng.IntN(s.keys)
			switch n := rng.IntN(100); {
			case n >= gets+sets:
				i += 2
			case n >= gets:
				i++
			}
			p.order = append(p.order, uint16(i))
		}
		return p
	}
}

// createDelete creates and deletes paths of the connection's own, one directly after the other.
func createDelete(s *scene, conn int) source {
	p := &plan{unit: 2}
	tail := append(s.buffer(), openACL...)
	for i := range ownCount {
		path := fmt.Sprintf("%s/c%04d-%02d", s.root, conn, i)
		p.steps = append(p.steps, create(path, tail), remove(path))
		p.order = append(p.order, uint16(2*i), uint16(2*i+1))
	}
	return p
}

// children lists the scene's root with its stat, as most clients do.
func children(s *scene, _ int) source {
	list := newStep(jute.OpGetChildren2, s.root, noWatch, 4, s.keys*(4+keyNameBytes), statLength)
	return &plan{steps: []step{list}, order: []uint16{0}, unit: 1}
}

const sequenceBytes = 10 // digits at the end of a sequential znode's path

// sequence creates sequential znodes below a parent of the connection's own and deletes each directly after. Which number each gets is
// known: they count the creations, and nobody else creates there.
type sequence struct {
	create, remove step
	created        int
	full           bool // the last request was a create
}

func createSequential(s *scene, conn int) source {
	prefix := s.key(conn) + "/n"
	tail := append(s.buffer(), openSequential...)
	return &sequence{
		create: newStep(jute.OpCreate, prefix, tail, 4, len(prefix)+sequenceBytes),
		remove: remove(prefix + fmt.Sprintf("%0*d", sequenceBytes, 0)),
	}
}

func (q *sequence) next(b []byte) ([]byte, int) {
	q.full = !q.full
	if q.full {
		return append(append(b, q.create.head...), q.create.tail...), q.create.want
	}
	b = append(b, q.remove.head...)
	for i, n := len(b)-1, q.created; n > 0; i, n = i-1, n/10 {
		b[i] = byte('0' + n%10)
	}
	q.created++
	return append(b, q.remove.tail...), q.remove.want
}

func (q *sequence) whole() bool { return !q.full }

// multis sets the data of ten random keys at once.
func multis(s *scene, conn int) source {
	if s.steps == nil {
		rng := rand.New(rand.NewPCG(s.seed, 0))
		for range multiCount {
			var body []byte
			for range multiSize {
				body = (&jute.MultiHeader{Type: int32(jute.OpSetData), Err: -1}).Append(body)
				body = (&jute.SetDataRequest{Path: []byte(s.key(rng.IntN(s.keys))), Data: s.data, Version: -1}).Append(body)
			}
			body = jute.MultiEnd.Append(body)
			s.steps = append(s.steps, newStep(jute.OpMulti, "", body, multiSize*(multiHeader+statLength), multiHeader))
		}
	}
	p := &plan{steps: s.steps, unit: 1}
	for i := range multiCount {
		p.order = append(p.order, uint16((i+conn)%multiCount))
	}
	return p
}
