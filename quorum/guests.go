package quorum

import (
	"net"
	"slices"
	"sync"

	"quoll/quorum/election"
)

// maxUnknown is how many connections may be open of whom nothing is known, or only that it is no member. Each may hold some MiB: a packet that is being read, and a window of
// the history that the other side does not take (zab.Options).
const maxUnknown = 128

// guests are the connections that were accepted: two of each member, an observer in the config included, and of others a limited number. So a member comes in whatever
// else knocks, or learns here. Of a member there may be the one that it has and a newer one, of which the node decides whether it takes the place: only a claim says whose it is.
type guests struct {
	mu      sync.Mutex
	unknown []net.Conn        // in the order in which they came; each is a conn
	members map[int64][]*conn // by sid, in the order in which they came
}

// enter notes a new connection. When there are too many, one goes.
func (g *guests) enter(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.unknown) >= maxUnknown {
		i := election.Crowding(g.unknown)
		_ = g.unknown[i].(*conn).raw.Close()
		g.unknown = slices.Delete(g.unknown, i, i+1)
	}
	g.unknown = append(g.unknown, c)
}

// introduce notes who has opened a connection. Of a member's, a third one ends the second. It reports whether the connection is still there.
func (g *guests) introduce(c *conn, sid int64, member bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.unknown, net.Conn(c))
	if i < 0 {
		return false
	}
	c.sid = sid
	if !member {
		return true
	}
	g.unknown = slices.Delete(g.unknown, i, i+1)
	list := g.members[sid]
	if len(list) == 2 {
		_ = list[1].raw.Close()
		list = list[:1]
	}
	g.members[sid] = append(list, c)
	return true
}

// leave forgets a connection.
func (g *guests) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.unknown, net.Conn(c)); i >= 0 {
		g.unknown = slices.Delete(g.unknown, i, i+1)
	} else if list := g.members[c.sid]; slices.Contains(list, c) {
		if list = slices.DeleteFunc(list, func(o *conn) bool { return o == c }); len(list) == 0 {
			delete(g.members, c.sid)
		} else {
			g.members[c.sid] = list
		}
	}
}
