package store

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"quoll/jute"
)

// Loading is who takes what Load reads. Sessions and ACL lists come before the znodes.
type Loading struct {
	Session func(id int64, timeout int32)
	ACL     func(number int64, acl []jute.ACL)
	// Piece returns an empty piece for a range of the znodes in key order. It is called by several goroutines.
	Piece func() Piece
	// Link takes complete pieces, in key order, by one goroutine at a time.
	Link func(Piece) error
}

// Piece takes the znodes of a range, in key order, by one goroutine at a time. Data is valid during the call, nil for a null.
type Piece interface {
	Node(path string, data []byte, acl int64, stat jute.StatPersisted) error
}

// shardSize is the number of bytes on disk of which one piece is made, roughly.
const shardSize = 4 << 20

// Load reads all that the store holds. Its error says which record is damaged or what failed; what was loaded until then is to be
// dropped, because a goroutine may still be at it if the store has failed.
func (s *Store) Load(l Loading) error {
	return s.fence.do(func() error {
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindState}, UpperBound: []byte{kindEnd}})
		if err != nil {
			return err
		}
		defer it.Close()
		if err := eachOther(it, l.Session, l.ACL); err != nil {
			return err
		}
		return s.loadNodes(it, &l)
	})
}

// eachOther reads sessions and ACL lists; it leaves the iterator at the first node.
func eachOther(it *pebble.Iterator, session func(int64, int32), acl func(int64, []jute.ACL)) error {
	for it.First(); it.Valid() && it.Key()[0] < kindNode; it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		n, kind := int64(0), it.Key()[0]
		if kind != kindState {
			n, err = number(it.Key())
		}
		switch {
		case err != nil:
		case kind == kindSession:
			var timeout int32
			if timeout, err = decodeSession(v); err == nil && session != nil {
				session(n, timeout)
			}
		case kind == kindACL:
			var list []jute.ACL
			if list, err = decodeACL(v); err == nil && acl != nil {
				acl(n, list)
			}
		}
		if err != nil {
			return fmt.Errorf("store: record %x: %w", it.Key(), err)
		}
	}
	return it.Error()
}

// shards returns keys that cut the znodes into ranges of about shardSize each; the first and the last are the ends of all.
func (s *Store) shards() ([][]byte, error) {
	levels, err := s.db.SSTables()
	if err != nil {
		return nil, err
	}
	var tables []pebble.SSTableInfo
	for _, level := range levels {
		tables = append(tables, level...)
	}
	slices.SortFunc(tables, func(x, y pebble.SSTableInfo) int { return bytes.Compare(x.Smallest.UserKey, y.Smallest.UserKey) })
	cuts := [][]byte{{kindNode}}
	size := uint64(0)
	for _, t := range tables {
		if key := t.Smallest.UserKey; size >= shardSize && bytes.Compare(key, cuts[len(cuts)-1]) > 0 {
			cuts = append(cuts, bytes.Clone(key))
			size = 0
		}
		size += t.Size
	}
	return append(cuts, []byte{kindEnd}), nil
}

// loadNodes decodes the shards on all processors and links them in order; two for each processor are decoded at the most that are not linked.
func (s *Store) loadNodes(it *pebble.Iterator, l *Loading) error {
	cuts, err := s.shards()
	if err != nil {
		return err
	}
	type result struct {
		piece Piece
		err   error
	}
	results := make([]chan result, len(cuts)-1)
	for i := range results {
		results[i] = make(chan result, 1)
	}
	workers := min(runtime.GOMAXPROCS(0), len(results))
	window := make(chan int, 2*workers) // the shards that may be decoded
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := range window {
				var r result
				r.piece, r.err = s.loadShard(it, cuts[i], cuts[i+1], l)
				results[i] <- r
			}
		})
	}
	// The workers' iterators must be closed before this one is.
	defer running.Wait()
	defer func() {
		close(window)
		for range window {
		}
	}()
	next := 0
	for ; next < min(cap(window), len(results)); next++ {
		window <- next
	}
	for _, c := range results {
		r := <-c
		if r.err == nil {
			r.err = s.Err()
		}
		if r.err == nil {
			r.err = l.Link(r.piece)
		}
		if r.err != nil {
			return r.err
		}
		if next < len(results) {
			window <- next
			next++
		}
	}
	return nil
}

func (s *Store) loadShard(all *pebble.Iterator, from, to []byte, l *Loading) (_ Piece, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: %v\n%s", p, debug.Stack())
		}
	}()
	it, err := all.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: from, UpperBound: to}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	piece := l.Piece()
	var path []byte
	var stat jute.StatPersisted
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		data, acl, err := decodeNode(v, &stat)
		if err == nil {
			path, err = appendPath(path[:0], it.Key())
		}
		if err == nil {
			err = piece.Node(string(path), data, acl, stat)
		}
		if err != nil {
			return nil, fmt.Errorf("store: znode %q: %w", it.Key()[1:], err)
		}
	}
	return piece, it.Error()
}
