package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quoll/jute"
	"quoll/store"
)

// contents is what a store should hold, or was found to hold. Nodes have the value that a snapshot has behind the path.
type contents struct {
	state    store.State
	sessions map[int64]int32
	acls     map[int64][]jute.ACL
	nodes    map[string]string
}

func newContents() *contents {
	return &contents{sessions: map[int64]int32{}, acls: map[int64][]jute.ACL{}, nodes: map[string]string{}}
}

func (c *contents) clone() *contents {
	return &contents{c.state, maps.Clone(c.sessions), maps.Clone(c.acls), maps.Clone(c.nodes)}
}

// diff says in what two contents differ, and nothing if they are the same.
func (c *contents) diff(d *contents) string {
	switch {
	case c.state != d.state:
		return fmt.Sprintf("state %+v and %+v", c.state, d.state)
	case !maps.Equal(c.sessions, d.sessions):
		return fmt.Sprintf("sessions %v and %v", c.sessions, d.sessions)
	case !maps.EqualFunc(c.acls, d.acls, slices.Equal[[]jute.ACL]):
		return fmt.Sprintf("ACL lists %v and %v", c.acls, d.acls)
	case !maps.Equal(c.nodes, d.nodes):
		for path, v := range c.nodes {
			if w, ok := d.nodes[path]; !ok || w != v {
				return fmt.Sprintf("znode %q: %x and %x (present: %t)", path, v, w, ok)
			}
		}
		return fmt.Sprintf("%d and %d znodes", len(c.nodes), len(d.nodes))
	}
	return ""
}

func value(data []byte, acl int64, stat *jute.StatPersisted) string {
	return string(stat.Append(jute.AppendInt64(jute.AppendBuffer(nil, data), acl)))
}

// piece collects nodes and checks their order.
type piece struct {
	nodes       map[string]string
	first, last string
	n           int
}

func (p *piece) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	if p.n == 0 {
		p.first = path
	} else if !store.Less(p.last, path) {
		return fmt.Errorf("%q after %q", path, p.last)
	}
	p.n++
	p.last = path
	p.nodes[path] = value(data, acl, &stat)
	return nil
}

// load reads a whole store.
func load(s *store.Store) (*contents, error) {
	c := newContents()
	var ok bool
	if c.state, ok = s.State(); !ok {
		return c, nil
	}
	last, begun := "", false
	err := s.Load(store.Loading{
		Session: func(id int64, timeout int32) { c.sessions[id] = timeout },
		ACL:     func(n int64, acl []jute.ACL) { c.acls[n] = acl },
		Piece:   func() store.Piece { return &piece{nodes: map[string]string{}} },
		Link: func(sp store.Piece) error {
			p := sp.(*piece)
			if p.n == 0 {
				return nil
			}
			if begun && !store.Less(last, p.first) {
				return fmt.Errorf("piece with %q after %q", p.first, last)
			}
			last, begun = p.last, true
			maps.Copy(c.nodes, p.nodes)
			return nil
		},
	})
	return c, err
}

// view reads a whole view.
func view(v *store.View) (*contents, error) {
	c := newContents()
	c.state = v.State()
	if err := v.Sessions(func(id int64, timeout int32) { c.sessions[id] = timeout }); err != nil {
		return c, err
	}
	if err := v.ACLs(func(n int64, acl []jute.ACL) { c.acls[n] = acl }); err != nil {
		return c, err
	}
	var b []byte
	last := ""
	for more, err := true, error(nil); more; {
		if b, more, err = v.Nodes(b[:0]); err != nil {
			return c, err
		}
		d := jute.NewDecoder(b)
		for d.Len() > 0 && d.Err() == nil {
			path := string(d.Text())
			at := d.Offset()
			d.Buffer()
			d.Int64()
			var stat jute.StatPersisted
			stat.Decode(&d)
			if len(c.nodes) > 0 && !store.Less(last, path) {
				return c, fmt.Errorf("%q after %q", path, last)
			}
			last = path
			c.nodes[path] = string(b[at:d.Offset()])
		}
		if d.Err() != nil {
			return c, d.Err()
		}
	}
	return c, nil
}

// check compares what a store holds with what it should.
func check(t testing.TB, s *store.Store, want *contents) {
	t.Helper()
	got, err := load(s)
	if err != nil {
		t.Fatal(err)
	}
	if d := want.diff(got); d != "" {
		t.Fatalf("loaded: %s", d)
	}
	if len(want.nodes) == 0 {
		return
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, err = view(v); err != nil {
		t.Fatal(err)
	}
	if d := want.diff(got); d != "" {
		t.Fatalf("viewed: %s", d)
	}
}

// change is a random batch: it changes c and returns what does the same to a store.
func (c *contents) change(rng *rand.Rand, full bool, n int) func(*store.Batch) {
	c.state.Zxid++
	c.state.Digest = rng.Int64()
	c.state.RecordSum = rng.Uint32()
	var ops []func(*store.Batch)
	for range rng.IntN(4) {
		id, timeout := rng.Int64()-rng.Int64(), rng.Int32()
		c.sessions[id] = timeout
		ops = append(ops, func(b *store.Batch) { b.Session(id, timeout) })
	}
	for range rng.IntN(3) {
		number := rng.Int64N(5) - 2
		acl := []jute.ACL{{Perms: rng.Int32(), Scheme: "world", ID: "anyone"}}[:rng.IntN(2)]
		c.acls[number] = acl
		ops = append(ops, func(b *store.Batch) { b.ACL(number, acl) })
	}
	if !full {
		for id := range c.sessions {
			if rng.IntN(3) == 0 {
				delete(c.sessions, id)
				ops = append(ops, func(b *store.Batch) { b.EndSession(id) })
			}
		}
		for number := range c.acls {
			if rng.IntN(5) == 0 {
				delete(c.acls, number)
				ops = append(ops, func(b *store.Batch) { b.EndACL(number) })
			}
		}
	} else {
		c.nodes = map[string]string{}
		for id, timeout := range c.sessions {
			ops = append(ops, func(b *store.Batch) { b.Session(id, timeout) })
		}
		for number, acl := range c.acls {
			ops = append(ops, func(b *store.Batch) { b.ACL(number, acl) })
		}
	}
	paths := map[string]bool{"": true}
	for range n {
		var path strings.Builder
		for range 1 + rng.IntN(3) {
			fmt.Fprintf(&path, "/%c%d", "!-aé~"[rng.IntN(5)], rng.IntN(1+n/20))
		}
		paths[path.String()] = true
	}
	order := slices.Collect(maps.Keys(paths))
	if full {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	} else {
		slices.SortFunc(order, func(a, b string) int {
			if store.Less(a, b) {
				return -1
			}
			return 1
		})
	}
	for _, path := range order {
		if !full && path != "" && rng.IntN(4) == 0 {
			delete(c.nodes, path)
			ops = append(ops, func(b *store.Batch) { b.Delete(path) })
			continue
		}
		var data []byte
		switch rng.IntN(8) {
		case 0:
		case 1:
			data = []byte{}
		default:
			data = binary.BigEndian.AppendUint64(bytes.Repeat([]byte{byte(rng.Int())}, rng.IntN(200)), rng.Uint64())
		}
		stat := jute.StatPersisted{Czxid: rng.Int64(), Mzxid: c.state.Zxid, Version: rng.Int32(), EphemeralOwner: rng.Int64()}
		acl := rng.Int64N(100) - 2
		c.nodes[path] = value(data, acl, &stat)
		ops = append(ops, func(b *store.Batch) { b.Put(path, data, acl, &stat) })
	}
	c.state.Znodes = int64(len(c.nodes))
	return func(b *store.Batch) {
		for _, op := range ops {
			op(b)
		}
	}
}

func open(t testing.TB, fs vfs.FS, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommitsAndReopens(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir() + "/store"
	want := newContents()
	s := open(t, nil, dir)
	if _, ok := s.State(); ok {
		t.Fatal("a new store has a state")
	}
	for i := range 40 {
		full := i%10 == 3
		fill := want.change(rng, full, 2000)
		b := s.Begin(full)
		fill(b)
		if err := b.Commit(want.state); err != nil {
			t.Fatal(err)
		}
		check(t, s, want)
		if i%4 == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, nil, dir)
			check(t, s, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLoadEndsWithTheFirstError fails to link a piece while others wait behind it, in its shard and in others.
func TestLoadEndsWithTheFirstError(t *testing.T) {
	store.SmallTables(t)
	s := open(t, nil, t.TempDir()+"/store")
	want := newContents()
	fill := want.change(rand.New(rand.NewPCG(1, 2)), true, 5000)
	b := s.Begin(true)
	fill(b)
	if err := b.Commit(want.state); err != nil {
		t.Fatal(err)
	}
	no, linked := errors.New("no"), 0
	err := s.Load(store.Loading{
		Piece: func() store.Piece { return &piece{nodes: map[string]string{}} },
		Link: func(store.Piece) error {
			if linked++; linked == 3 {
				return no
			}
			return nil
		},
	})
	if !errors.Is(err, no) || linked != 3 {
		t.Errorf("loading ended with %v after %d pieces", err, linked)
	}
	check(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
