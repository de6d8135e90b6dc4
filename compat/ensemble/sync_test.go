package ensemble

import (
	"fmt"
	"sync"
	"testing"

	"quoll/jute"
)

// TestSyncAmongWrites has clients of every member send syncs and writes without waiting for answers. A learner that is Java counts on it
// that the commits of its clients' writes and the answers to their syncs come in the order in which it asked: one that overtakes stops
// all writes of that learner for good.
func TestSyncAmongWrites(t *testing.T) {
	const clients, rounds = 3, 200 // of each member
	longer := []string{"3.9.5,3.9.5,quoll", "quoll,quoll,quoll", "quoll,quoll,3.9.5", "3.9.5,3.9.5,3.9.5", "3.4.14,3.8.4,quoll", "3.5.10,3.6.4,quoll"}
	for _, kinds := range assignments(t, longer[:2], longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			e := build(t, Options{Kinds: kinds})
			check(t, e.Start(e.Members[2], e.Members[1]))
			leader := serving(t, e)
			check(t, e.Start(e.Members[0]))
			serving(t, e)
			var work sync.WaitGroup
			for _, m := range e.Members {
				for id := range clients {
					work.Go(func() {
						if err := syncsAndWrites(m, fmt.Sprintf("/%d-%d-", m.ID, id), rounds); err != nil {
							t.Errorf("client %d of %v, while %v leads: %v", id, m, leader, err)
						}
					})
				}
			}
			work.Wait()
			if t.Failed() {
				return
			}
			znodes, err := e.SameTrees()
			check(t, err)
			t.Logf("%v leads, %d znodes", leader, znodes)
		})
	}
}

// syncsAndWrites sends a sync, a write, another sync and another write at once, again and again; the answers must come in that order.
func syncsAndWrites(m *Member, prefix string, rounds int) error {
	var s session
	if _, err := s.connect([]*Member{m}); err != nil {
		return err
	}
	defer s.hangUp()
	for i := range rounds {
		first := s.xid + 1
		for n := range 4 {
			var err error
			if s.xid++; n%2 == 0 {
				err = s.conn.Request(s.xid, jute.OpSync, &jute.PathRequest{Path: []byte("/")})
			} else {
				err = s.conn.Request(s.xid, jute.OpCreate, &jute.CreateRequest{Path: fmt.Appendf(nil, "%s%d-%d", prefix, i, n), ACL: openACL})
			}
			if err != nil {
				return err
			}
		}
		s.extend()
		for xid := first; xid <= s.xid; xid++ {
			h, _, err := s.conn.Reply()
			switch {
			case err != nil:
				return fmt.Errorf("no answer to request %d of round %d: %w", xid-first, i, err)
			case h.Xid != xid || h.Err != 0:
				return fmt.Errorf("request %d of round %d with xid %d is answered %+v", xid-first, i, xid, h)
			}
		}
	}
	return nil
}
