package ensemble

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Config is the membership of an ensemble at one version: the server, group and weight lines. Mirrors the Java interface QuorumVerifier.
type Config struct {
	// Servers are the members in ascending order of their ids.
	Servers []Server
	// Hierarchical says whether groups and weights decide on a quorum (Java's QuorumHierarchical) or the majority of the voters (QuorumMaj).
	Hierarchical bool
	// Groups are the groups of a hierarchical config in ascending order of their ids. Every voter is in one, and no server is in two.
	Groups []Group
	// Weights are the weights of a hierarchical config in ascending order of sids. Every voter and every member of a group has one.
	Weights []Weight
	// Version is the zxid of the reconfig that made the config, or the e.0 of the leader that gave a version to one written by hand, which has 0.
	Version int64
}

// Group is a group line.
type Group struct {
	// ID is the N of group.N.
	ID int64
	// Members are the sids of the line, voters or not.
	Members Set
}

// Weight is a weight line, or the 1 of a voter that has none.
type Weight struct {
	// SID is the N of weight.N.
	SID int64
	// Weight is how much the server's vote counts, 0 to 2147483647.
	Weight int64
}

// Server returns the member with the sid, or nil. It is part of c.
func (c *Config) Server(sid int64) *Server {
	i, ok := slices.BinarySearchFunc(c.Servers, sid, func(s Server, sid int64) int { return cmp.Compare(s.ID, sid) })
	if !ok {
		return nil
	}
	return &c.Servers[i]
}

// Voters returns the sids of the participants, as a set of its own.
func (c *Config) Voters() Set { return c.sids(Participant) }

// Observers returns the sids of the observers, as a set of its own.
func (c *Config) Observers() Set { return c.sids(Observer) }

func (c *Config) sids(role Role) Set {
	var set Set
	for i := range c.Servers {
		if c.Servers[i].Role == role {
			set = append(set, c.Servers[i].ID)
		}
	}
	return set
}

// IsVoter reports whether sid is a participant of c.
func (c *Config) IsVoter(sid int64) bool {
	s := c.Server(sid)
	return s != nil && s.Role == Participant
}

// String returns the text form of the config, as it is in /zookeeper/config and on the wire (QuorumVerifier.toString): no newline after the last
// line, the version.
func (c *Config) String() string {
	var b strings.Builder
	for i := range c.Servers {
		fmt.Fprintf(&b, "server.%d=%s\n", c.Servers[i].ID, c.Servers[i].String())
	}
	for _, g := range c.Groups {
		fmt.Fprintf(&b, "group.%d=", g.ID)
		for i, sid := range g.Members {
			if i > 0 {
				b.WriteByte(':')
			}
			b.WriteString(strconv.FormatInt(sid, 10))
		}
		b.WriteByte('\n')
	}
	for _, w := range c.Weights {
		fmt.Fprintf(&b, "weight.%d=%d\n", w.SID, w.Weight)
	}
	fmt.Fprintf(&b, "version=%x", uint64(c.Version))
	return b.String()
}

// Equal reports whether two configs are the same to the protocol (equals of QuorumMaj and QuorumHierarchical): they count votes in the same way, and
// have the same version, or else the same members, groups and weights; see [Server.Equal]. So it does not say that the texts are equal, and it
// distinguishes an ensemble written with client addresses from the same one written without.
func (c *Config) Equal(o *Config) bool {
	if c.Hierarchical != o.Hierarchical {
		return false
	}
	return c.Version == o.Version ||
		slices.EqualFunc(c.Servers, o.Servers, func(a, b Server) bool { return a.Equal(&b) }) &&
			slices.EqualFunc(c.Groups, o.Groups, func(a, b Group) bool { return a.ID == b.ID && slices.Equal(a.Members, b.Members) }) &&
			slices.Equal(c.Weights, o.Weights)
}
