package ensemble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// TestFailOver kills the leader again and again (QUOLL_ENSEMBLE_KILLS), and measures how long no write is acknowledged, in an ensemble of
// ZooKeeper's servers and in one of quoll beside it. The session that writes, and its ephemeral znode, must outlive every leader.
func TestFailOver(t *testing.T) {
	kills := pick(t, "QUOLL_ENSEMBLE_KILLS", 5, 30)
	for _, kinds := range assignments(t, []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll"}, []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll"}) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			e := build(t, Options{Kinds: kinds, Config: []string{"maxSessionTimeout=60000"}})
			check(t, e.Start())
			p := &prober{}
			var pauses []time.Duration
			for range kills {
				leader := serving(t, e)
				check(t, p.write(e.others(leader)))
				start := time.Now()
				check(t, leader.Kill())
				check(t, p.write(e.others(leader)))
				pauses = append(pauses, time.Since(start))
				check(t, leader.Start())
			}
			serving(t, e)
			if p.conn != nil {
				p.conn.Close()
			}
			check(t, e.Settle("/settled"))
			_, err := e.SameTrees()
			check(t, err)
			slices.Sort(pauses)
			at := func(q float64) time.Duration { return pauses[int(q*float64(len(pauses)-1))].Round(time.Millisecond) }
			t.Logf("from kill -9 of the leader to the next acknowledged write, %d times: p50 %v, p90 %v, max %v", kills, at(0.5), at(0.9), at(1))
		})
	}
}

// others are the members but one.
func (e *Ensemble) others(m *Member) (others []*Member) {
	for _, o := range e.Members {
		if o != m {
			others = append(others, o)
		}
	}
	return others
}

// prober is one session that writes, and loses no time: it tries the next server at once, where a client would wait.
type prober struct {
	conn     *client.RawConn
	session  int64
	password []byte
	zxid     int64
	at       string // where conn leads
	xid      int32
	next     int
	version  int32 // of /probe
}

// write returns when a write is acknowledged through one of the members.
func (p *prober) write(members []*Member) error {
	if p.conn != nil && !slices.ContainsFunc(members, func(m *Member) bool { return m.Addr() == p.at }) {
		p.conn.Close()
		p.conn = nil
	}
	end := time.Now().Add(patience)
	for last := error(nil); ; time.Sleep(time.Millisecond) {
		err := p.attempt(members)
		if err == nil || errors.Is(err, jute.ErrSessionExpired) {
			return err
		}
		if p.conn != nil {
			p.conn.Close()
			p.conn = nil
		}
		if last = err; time.Now().After(end) {
			return fmt.Errorf("no write was acknowledged in %v: %w", patience, last)
		}
	}
}

func (p *prober) attempt(members []*Member) error {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(2*time.Second))
	defer cancel()
	if p.conn == nil {
		p.next++
		p.at = members[p.next%len(members)].Addr()
		conn, err := client.Dial(ctx, p.at)
		if err != nil {
			return err
		}
		p.conn = conn
		conn.SetDeadline(time.Now().Add(4 * time.Second))
		req := jute.ConnectRequest{LastZxidSeen: p.zxid, Timeout: 60_000, SessionID: p.session, Password: p.password, HasReadOnly: true}
		if p.session == 0 {
			req.Password = make([]byte, jute.PasswordLength)
		}
		resp, err := conn.Handshake(&req)
		if err != nil {
			return err
		}
		if resp.SessionID == 0 {
			return fmt.Errorf("session %#x at %s: %w", p.session, p.at, jute.ErrSessionExpired)
		}
		if p.session == 0 {
			p.session, p.password = resp.SessionID, slices.Clone(resp.Password[:])
			create := jute.CreateRequest{Path: []byte("/probe"), ACL: openACL, Flags: int32(jute.ModeEphemeral)}
			if _, err := p.ask(jute.OpCreate, &create); err != nil {
				return fmt.Errorf("creating /probe: %w", err)
			}
		}
	}
	data := binary.BigEndian.AppendUint64(nil, uint64(p.xid))
	body, err := p.ask(jute.OpSetData, &jute.SetDataRequest{Path: []byte("/probe"), Data: data, Version: -1})
	if errors.Is(err, jute.ErrNoNode) {
		return fmt.Errorf("the ephemeral znode of session %#x is gone: %w", p.session, jute.ErrSessionExpired)
	}
	if err != nil {
		return err
	}
	var stat jute.Stat
	d := jute.NewDecoder(body)
	stat.Decode(&d)
	if stat.EphemeralOwner != p.session || stat.Version <= p.version {
		return fmt.Errorf("/probe of session %#x with version %d became %+v: %w", p.session, p.version, stat, jute.ErrSessionExpired)
	}
	p.version = stat.Version
	return nil
}

// ask waits for the reply to a request.
func (p *prober) ask(op jute.Op, req client.Body) ([]byte, error) {
	p.xid++
	p.conn.SetDeadline(time.Now().Add(4 * time.Second))
	if err := p.conn.Request(p.xid, op, req); err != nil {
		return nil, err
	}
	h, body, err := p.conn.Reply()
	if err != nil {
		return nil, err
	}
	p.zxid = max(p.zxid, h.Zxid)
	if h.Err != 0 {
		return nil, jute.Code(h.Err)
	}
	return body, nil
}
