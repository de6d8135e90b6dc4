package store

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"quoll/jute"
)

// Loading is who takes what Load reads. Sessions and ACL lists come before the znodes.
type Loading struct {
	Session func(id int64, timeout int32)
	ACL     func(number int64, acl []jute.ACL)
	// Piece returns an empty piece for some znodes that follow each other. It is called by several goroutines.
	Piece func() Piece
	// Link takes complete pieces, in key order, by one goroutine at a time. Piece may return them again.
	Link func(Piece) error
}

// Piece takes znodes that follow each other, in key order, by one goroutine at a time. Data is valid during the call, nil for a null.
type Piece interface {
	Node(path string, data []byte, acl int64, stat jute.StatPersisted) error
}

// ahead is how many pieces of a shard may wait to be linked.
const ahead = 32

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

// shard is a range of the znodes that one goroutine decodes.
type shard struct {
	from, to []byte
	pieces   chan Piece // closed at its end
	err      error      // then, why that was not the end of the range
}

// loadNodes decodes shards on all processors and links their pieces in order.
func (s *Store) loadNodes(it *pebble.Iterator, l *Loading) error {
	cuts, err := s.shards()
	if err != nil {
		return err
	}
	shards := make([]*shard, len(cuts)-1)
	for i := range shards {
		shards[i] = &shard{from: cuts[i], to: cuts[i+1], pieces: make(chan Piece, ahead)}
	}
	stop := make(chan struct{})
	var next atomic.Int64 // the first shard that nobody decodes
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(shards)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(shards)); i = next.Add(1) - 1 {
				shards[i].err = s.decode(it, shards[i], l, stop)
				close(shards[i].pieces)
			}
		})
	}
	// The workers' iterators must be closed before this one is.
	defer running.Wait()
	defer close(stop)
	for _, sh := range shards {
		for p := range sh.pieces {
			err := s.Err()
			if err == nil {
				err = l.Link(p)
			}
			if err != nil {
				return err
			}
		}
		if sh.err != nil {
			return sh.err
		}
	}
	return nil
}

var errStopped = errors.New("store: loading was given up")

// decode makes pieces of a shard until it ends, or until stop is closed.
func (s *Store) decode(all *pebble.Iterator, sh *shard, l *Loading, stop <-chan struct{}) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: %v\n%s", p, debug.Stack())
		}
	}()
	it, err := all.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: sh.from, UpperBound: sh.to}})
	if err != nil {
		return err
	}
	defer it.Close()
	var piece Piece
	var path []byte
	var stat jute.StatPersisted
	size := 0
	send := func() error {
		select {
		case sh.pieces <- piece:
			piece, size = nil, 0
			return nil
		case <-stop:
			return errStopped
		}
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if piece == nil {
			piece = l.Piece()
		}
		data, acl, err := decodeNode(v, &stat)
		if err == nil {
			path, err = appendPath(path[:0], it.Key())
		}
		if err == nil {
			err = piece.Node(string(path), data, acl, stat)
		}
		if err != nil {
			return fmt.Errorf("store: znode %q: %w", it.Key()[1:], err)
		}
		if size += len(it.Key()) + len(v); size >= pieceSize {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := it.Error(); err != nil || piece == nil {
		return err
	}
	return send()
}
