package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"quoll/client"
	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog/memfs"
)

// TestListings changes the children of two znodes at random, one of them with about as many children as are needed for a list to be kept, and reads both lists once, twice and more
// often in between.
func TestListings(t *testing.T) {
	s := startServer(t)
	c, rng, ctx := connect(t, s), rand.New(rand.NewPCG(seeded(t), 0)), t.Context()
	acl := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	children := map[string][]string{"/few": nil, "/many": nil}
	for path, size := range map[string]int{"/few": listingMin - 2, "/many": 300} {
		if _, err := c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
		for i := range size {
			name := fmt.Sprintf("%d", i)
			if _, err := c.Create(ctx, path+"/"+name, nil, client.OpenACL, jute.ModePersistent); err != nil {
				t.Fatal(err)
			}
			children[path] = append(children[path], name)
		}
	}
	for n := range 400 {
		path := []string{"/few", "/many"}[rng.IntN(2)]
		list := children[path]
		old, fresh := list[rng.IntN(len(list))], fmt.Sprintf("n%d", n)
		remove := jute.Operation{Op: jute.OpDelete, Path: []byte(path + "/" + old), Version: -1}
		add := jute.Operation{Op: jute.OpCreate, Path: []byte(path + "/" + fresh), ACL: acl}
		ops := [][]jute.Operation{{remove, add}, {remove}, {add}, nil}[rng.IntN(4)]
		if len(list) < listingMin-8 && len(ops) == 1 {
			ops = []jute.Operation{add}
		}
		for _, op := range ops {
			if op.Op == jute.OpDelete {
				list = slices.DeleteFunc(list, func(name string) bool { return name == old })
			} else {
				list = append(list, fresh)
			}
		}
		if len(ops) > 0 {
			if _, err := c.Multi(ctx, ops...); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(list)
		children[path] = list
		for range rng.IntN(4) {
			got, err := c.ChildNames(ctx, path, false)
			if slices.Sort(got); err != nil || !slices.Equal(got, list) {
				t.Fatalf("%s has the children %v, should be %v (%v)", path, got, list, err)
			}
		}
	}
	if hits := s.metrics.ResponseGetChildrenCacheHits.Load(); hits == 0 {
		t.Error("no list was used twice")
	}
}

// TestListingsOfAnotherTree restores a state of another history, in which a znode has the same zxids and as many children.
func TestListingsOfAnotherTree(t *testing.T) {
	names := func(prefix string) (*Server, *memfs.FS, []string) {
		disk := memfs.New()
		s := startRestorable(t, disk)
		c := connect(t, s)
		var list []string
		if _, err := c.Create(t.Context(), "/many", nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
		for i := range listingMin {
			list = append(list, fmt.Sprint(prefix, i))
			if _, err := c.Create(t.Context(), "/many/"+list[i], nil, client.OpenACL, jute.ModePersistent); err != nil {
				t.Fatal(err)
			}
		}
		return s, disk, list
	}
	s, _, old := names("old")
	other, disk, want := names("new")
	read := func(want []string) {
		t.Helper()
		got, err := connect(t, s).ChildNames(t.Context(), "/many", false)
		slices.Sort(got)
		if slices.Sort(want); err != nil || !slices.Equal(got, want) {
			t.Errorf("the children are %v, should be %v (%v)", got, want, err)
		}
	}
	for range 3 {
		read(old)
	}
	taken, err := other.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := disk.ReadFile(taken.File)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	read(want)
}

// TestListingsBounds keeps more lists, and more bytes of them, than there may be.
func TestListingsBounds(t *testing.T) {
	l := listings{limit: 10}
	l.clear()
	root := tree.New().Lookup("/")
	for i := range 100 {
		path := fmt.Appendf(nil, "/%d", i)
		for range 2 {
			if _, put := l.get(path, root, listingMin); put {
				l.put(path, make([]byte, listingBytes))
			}
		}
		if len(l.all) > l.limit || l.bytes > listingsBytes {
			t.Fatalf("%d lists of %d bytes are kept", len(l.all), l.bytes)
		}
	}
	if list, _ := l.get([]byte("/99"), root, listingMin); len(list) != listingBytes {
		t.Errorf("the last list has %d bytes", len(list))
	}
	l.put([]byte("/99"), make([]byte, listingBytes+1))
	l.limit = 0
	if list, put := l.get([]byte("/99"), root, listingMin); list != nil || put {
		t.Error("a list is kept where none should be")
	}
}
