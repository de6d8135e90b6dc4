package quorum

import (
	"net"
	"slices"
	"testing"
)

// guest is the server's side of a connection from an address.
type guest struct {
	net.Conn
	ip     string
	closed bool
}

func (g *guest) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(g.ip)} }

func (g *guest) Close() error {
	g.closed = true
	return nil
}

// TestGuests is who goes when there are too many: of whom little is known, from where most come. A member has the one that came first and the newest.
func TestGuests(t *testing.T) {
	g := guests{members: map[int64][]*conn{}}
	enter := func(ip string) (*conn, *guest) {
		raw := &guest{ip: ip}
		c := &conn{raw: raw, guests: &g}
		g.enter(c)
		return c, raw
	}
	member, raw := enter("10.0.0.1")
	if !g.introduce(member, 3, true) {
		t.Fatal("a member that just came is not there")
	}
	alone, rawAlone := enter("10.0.0.2")
	var crowd []*guest
	var conns []*conn
	for range 2 * maxUnknown {
		c, raw := enter("10.0.0.3")
		crowd, conns = append(crowd, raw), append(conns, c)
	}
	for i, c := range crowd {
		if c.closed != (i <= maxUnknown) {
			t.Errorf("of %d that came from one address, number %d is closed: %v", len(crowd), i, c.closed)
		}
	}
	if g.introduce(conns[0], 3, true) || raw.closed || rawAlone.closed {
		t.Errorf("one that was closed is a member; or the member is closed: %v, or who is alone at its address: %v", raw.closed, rawAlone.closed)
	}
	if !g.introduce(alone, 3, true) || raw.closed || rawAlone.closed {
		t.Error("a claim to be a member ends the member's connection, or is not heard")
	}
	newest := conns[len(conns)-1]
	if !g.introduce(newest, 3, true) || raw.closed || !rawAlone.closed || crowd[len(crowd)-1].closed {
		t.Error("of three connections of a member the second does not go, or another")
	}
	if member.Close(); !slices.Equal(g.members[3], []*conn{newest}) {
		t.Errorf("%d connections of the member are left, not the newest alone", len(g.members[3]))
	}
	if alone.Close(); len(g.members[3]) != 1 {
		t.Error("one that had gone takes another with it")
	}
	if newest.Close(); len(g.members) != 0 {
		t.Errorf("%d members are left", len(g.members))
	}
	for _, c := range conns {
		c.Close()
	}
	if len(g.unknown) != 0 {
		t.Errorf("%d connections are left", len(g.unknown))
	}
}
