package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
	"quoll/tree"
)

// wide is a server whose /wide has n children, and somebody who may see them.
func wide(t testing.TB, n int) (*Server, *Visitor) {
	t.Helper()
	s := startServer(t)
	c := connect(t, s)
	if _, err := c.Create(t.Context(), "/wide", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	acl := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	var parts []jute.Operation
	for i := range n {
		parts = append(parts, jute.Operation{Op: jute.OpCreate, Path: fmt.Appendf(nil, "/wide/child-%06d", i*7919%n), ACL: acl})
		if len(parts) == 1000 || i == n-1 {
			if _, err := c.Multi(t.Context(), parts...); err != nil {
				t.Fatal(err)
			}
			parts = parts[:0]
		}
	}
	v, err := s.Visitor("digest a:b", "127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// TestWideZnode shows a page of very many children in less time, within the lock that transactions wait for, than a client's list of all of them takes.
func TestWideZnode(t *testing.T) {
	s, v := wide(t, 100_000)
	request := (&jute.PathWatchRequest{Path: []byte("/wide")}).Append(nil)
	var pages, lists []time.Duration
	for i := range 9 {
		begin := time.Now()
		facts, err := v.Children("/wide", fmt.Sprintf("child-%06d", 10_000*i), "")
		pages = append(pages, time.Since(begin))
		if err != nil || len(facts[3].Value.([]Facts)) != consolePage || facts[0].Value != 100_000 || facts[1].Value != 100_000 {
			t.Fatal(facts, err)
		}
		q := &query{s: s, ids: v.ids, body: request}
		begin = time.Now()
		s.readTree(func(*tree.Tree) { q.getChildren2() })
		lists = append(lists, time.Since(begin))
		q.reads.end()
		s.listings.clear()
	}
	slices.Sort(pages)
	slices.Sort(lists)
	t.Logf("a page: %v, the list: %v", pages[4], lists[4])
	if pages[4] > 4*lists[4] {
		t.Errorf("a page takes %v, and the list of all %v", pages[4], lists[4])
	}
}

func BenchmarkVisitorChildren(b *testing.B) {
	_, v := wide(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Children("/wide", "child-050000", ""); err != nil {
			b.Fatal(err)
		}
	}
}
