package ensemble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"quoll/jute"
)

// TestFailOver ends the leader again and again (QUOLL_ENSEMBLE_KILLS), with kill -9 and as an operator does, and measures how long no write is acknowledged, in an
// ensemble of ZooKeeper's servers and in one of quoll beside it. The session that writes, and its ephemeral znode, must outlive every leader.
func TestFailOver(t *testing.T) {
	times := pick(t, "QUOLL_ENSEMBLE_KILLS", 5, 50)
	halves := map[string]map[string]time.Duration{} // p50 by kinds and way
	for _, kinds := range assignments(t, []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll"}, []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll"}) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			e := build(t, Options{Kinds: kinds, Config: []string{"maxSessionTimeout=60000"}})
			check(t, e.Start())
			p := &prober{}
			pauses := map[string][]time.Duration{}
			for range times {
				for way, end := range map[string]func(*Member) error{"kill -9": (*Member).Kill, "SIGTERM": (*Member).Stop} {
					leader := serving(t, e)
					pause, err := p.pause(e.others(leader), func() error { return end(leader) })
					check(t, err)
					pauses[way] = append(pauses[way], pause)
					check(t, leader.Start())
				}
			}
			serving(t, e)
			p.hangUp()
			check(t, e.Settle("/settled"))
			_, err := e.SameTrees()
			check(t, err)
			halves[nameOf(kinds)] = map[string]time.Duration{}
			for way, list := range pauses {
				slices.Sort(list)
				halves[nameOf(kinds)][way] = list[len(list)/2]
				at := func(q float64) time.Duration { return list[int(q*float64(len(list)-1))].Round(time.Millisecond) }
				t.Logf("the longest time without an acknowledged write around %s of the leader, %d times: p50 %v, p90 %v, max %v", way, times, at(0.5), at(0.9), at(1))
			}
		})
	}
	java, quoll := halves["3.9.5,3.9.5,3.9.5"], halves["quoll,quoll,quoll"]
	for way, p50 := range quoll {
		if len(java) > 0 && 3*p50 > java[way] {
			t.Errorf("%s of the leader: p50 is %v, that of ZooKeeper's servers %v", way, p50, java[way])
		}
	}
}

// prober has an ephemeral znode, which it writes.
type prober struct {
	session
	written int32 // the last version
}

// pause writes through members until end has returned and once more. It returns the longest time between two acknowledged writes.
func (p *prober) pause(members []*Member, end func() error) (longest time.Duration, err error) {
	if err := p.write(members); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	for last, over := time.Now(), false; ; last = time.Now() {
		wrote := p.write(members)
		longest = max(longest, time.Since(last))
		if err = errors.Join(err, wrote); over || err != nil {
			return longest, err
		}
		select {
		case err = <-ended:
			over = true
		default:
		}
	}
}

// write returns when a write is acknowledged through one of the members.
func (p *prober) write(members []*Member) error {
	if !slices.Contains(members, p.at) {
		p.hangUp()
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := p.attempt(members)
		if err == nil || errors.Is(err, jute.ErrSessionExpired) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("no write was acknowledged in %v: %w", patience, err)
		}
	}
}

func (p *prober) attempt(members []*Member) error {
	made, err := p.connect(members)
	if err != nil {
		return err
	}
	if made {
		create := jute.CreateRequest{Path: []byte("/probe"), ACL: openACL, Flags: int32(jute.ModeEphemeral)}
		if _, err := p.ask(jute.OpCreate, &create); err != nil {
			return fmt.Errorf("creating /probe: %w", err)
		}
	}
	data := binary.BigEndian.AppendUint64(nil, uint64(p.xid))
	body, err := p.ask(jute.OpSetData, &jute.SetDataRequest{Path: []byte("/probe"), Data: data, Version: -1})
	if errors.Is(err, jute.ErrNoNode) {
		return fmt.Errorf("the ephemeral znode of session %#x is gone: %w", p.id, jute.ErrSessionExpired)
	}
	if err != nil {
		return err
	}
	var stat jute.Stat
	d := jute.NewDecoder(body)
	stat.Decode(&d)
	if stat.EphemeralOwner != p.id || stat.Version <= p.written {
		return fmt.Errorf("/probe of session %#x with version %d became %+v: %w", p.id, p.written, stat, jute.ErrSessionExpired)
	}
	p.written = stat.Version
	return nil
}
