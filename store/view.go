package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"quoll/jute"
)

// View is the store as it was at one commit, for one goroutine. While it is open no table that it needs is removed.
type View struct {
	s     *Store
	it    *pebble.Iterator
	state State
	begun bool
	buf   []byte // what Nodes found, and whether there is more
	more  bool
}

// View returns a view of the last commit. It is an error if there was none.
func (s *Store) View() (*View, error) {
	v := &View{s: s}
	err := s.fence.do(func() error {
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindState}, UpperBound: []byte{kindEnd}})
		if err != nil {
			return err
		}
		state, err := readState(it)
		if err == nil && state == nil {
			err = errors.New("store: nothing was committed")
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
		v.it, v.state = it, *state
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// State is what the view shows.
func (v *View) State() State { return v.state }

// Sessions calls fn for each session, in the order of their ids as unsigned numbers, with the timeout in milliseconds.
func (v *View) Sessions(fn func(id int64, timeout int32)) error {
	return v.s.fence.do(func() error { return eachOther(v.it, fn, nil) })
}

// ACLs calls fn for each ACL list, in the order of their numbers as unsigned numbers.
func (v *View) ACLs(fn func(number int64, acl []jute.ACL)) error {
	return v.s.fence.do(func() error { return eachOther(v.it, nil, fn) })
}

// viewSize is the number of bytes after which Nodes stops.
const viewSize = 64 << 10

// Nodes appends the next znodes, about 64 KiB of them, as a snapshot of ZooKeeper has them: path, data, ACL number and stat of each, the
// root first, parents before children. It is called until more is false.
func (v *View) Nodes(b []byte) (_ []byte, more bool, err error) {
	// A call that is given up may still write: to what is the view's, not the caller's.
	err = v.s.fence.do(func() error {
		if !v.begun {
			v.begun = true
			v.it.SeekGE([]byte{kindNode})
		}
		v.buf = v.buf[:0]
		for len(v.buf) < viewSize && v.it.Valid() {
			value, err := v.it.ValueAndErr()
			if err != nil {
				return err
			}
			var stat jute.StatPersisted
			if _, _, err = decodeNode(value, &stat); err == nil {
				v.buf = jute.AppendInt32(v.buf, int32(len(v.it.Key())-1))
				v.buf, err = appendPath(v.buf, v.it.Key())
			}
			if err != nil {
				return fmt.Errorf("store: znode %q: %w", v.it.Key()[1:], err)
			}
			v.buf = append(v.buf, value...)
			v.it.Next()
		}
		v.more = v.it.Valid()
		return v.it.Error()
	})
	if err != nil {
		return b, false, err
	}
	return append(b, v.buf...), v.more, nil
}

// Close releases the view.
func (v *View) Close() error {
	if v.s.Err() != nil {
		return nil
	}
	return v.s.fence.do(v.it.Close)
}
