package ensemble

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quoll/config/properties"
)

// Parse parses the text form of a config: server, group, weight and version lines in Java properties syntax (QuorumPeerConfig.parseDynamicConfig).
// Several addresses per server are allowed. An error is that of the first bad line and starts with its number.
func Parse(text string) (*Config, error) { return parse(text, true) }

func parse(text string, multiAddress bool) (*Config, error) {
	lines, err := properties.Parse(text)
	if err != nil {
		return nil, accident{fmt.Errorf("line %w", err)}
	}
	b := Builder{MultiAddress: multiAddress}
	for _, l := range lines {
		if err := b.Add(l.Key, l.Value); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", l.Number, l.Key, err)
		}
	}
	return b.Config()
}

// accident is an error on which Java has no answer: an exception that nobody expected, so that a reconfig fails with MarshallingError and not with BadArguments.
type accident struct{ error }

func (a accident) Unwrap() error { return a.error }

// IsKey reports whether a key of zoo.cfg belongs to the membership. Like Java, it does not insist on the dot after group and weight.
func IsKey(key string) bool {
	return strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group") || strings.HasPrefix(key, "weight") || key == "version"
}

// Builder makes a Config from its lines, which may come in any order.
type Builder struct {
	// MultiAddress allows several addresses per server (multiAddress.enabled). It is set before the first line.
	MultiAddress bool

	version      int64
	servers      map[int64]Server
	groups       map[int64]int64 // the group of each sid
	weights      map[int64]int64 // the weight of each sid
	hierarchical bool            // there was a group or weight line
}

// Add takes in one line. An error does not name it. After one, more lines can be added to find their errors, but Config is not to be called.
func (b *Builder) Add(key, value string) error {
	if key == "version" {
		v, err := strconv.ParseInt(value, 16, 64)
		if err != nil {
			return accident{fmt.Errorf("%q is not a hexadecimal number", value)}
		}
		b.version = v
		return nil
	}
	if !IsKey(key) {
		return errors.New("unknown key, only server, group and weight lines are allowed here")
	}
	_, number, _ := strings.Cut(key, ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return accident{errors.New("the key must end in a dot and a number")}
	}
	if strings.HasPrefix(key, "server.") {
		return b.addServer(id, value)
	}
	b.hierarchical = true
	if strings.HasPrefix(key, "group") {
		return b.addGroup(id, value)
	}
	w, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return accident{fmt.Errorf("%q is not a weight", value)}
	}
	if w < 0 || w > 1<<31-1 { // in Java a weight may be negative, or so large that the sum wraps: then two quorums need not have a voter in common
		return fmt.Errorf("%q is not a weight", value)
	}
	put(&b.weights, id, w)
	return nil
}

func (b *Builder) addServer(sid int64, value string) error {
	s, err := ParseServer(sid, value)
	if err != nil {
		return err
	}
	if len(s.Quorum) > 1 && !b.MultiAddress {
		return errors.New("several addresses for one server need multiAddress.enabled=true")
	}
	if _, ok := b.servers[sid]; ok { // server.1 and server.01
		return fmt.Errorf("server %d has two lines", sid)
	}
	put(&b.servers, sid, *s)
	return nil
}

func (b *Builder) addGroup(gid int64, value string) error {
	members := javaSplit(value, ':')
	if len(members) == 0 { // in Java a group that is never there counts all the same
		return accident{errors.New("a group of nobody")}
	}
	for _, member := range members {
		sid, err := strconv.ParseInt(member, 10, 64)
		if err != nil {
			return accident{fmt.Errorf("%q is not a server id", member)}
		}
		if _, ok := b.groups[sid]; ok {
			return fmt.Errorf("server %d is in two groups", sid)
		}
		put(&b.groups, sid, gid)
	}
	return nil
}

func put[V any](m *map[int64]V, k int64, v V) {
	if *m == nil {
		*m = map[int64]V{}
	}
	(*m)[k] = v
}

// Config returns the config of the lines added so far. It is an error if there are groups or weights and a voter is in no group, or if somebody
// in a group is no voter and has no weight.
func (b *Builder) Config() (*Config, error) {
	c := &Config{Version: b.version, Hierarchical: b.hierarchical}
	for _, sid := range sortedKeys(b.servers) {
		c.Servers = append(c.Servers, b.servers[sid])
	}
	if !b.hierarchical {
		return c, nil
	}
	for _, sid := range c.Voters() {
		if _, ok := b.groups[sid]; !ok {
			return nil, fmt.Errorf("there are groups or weights, but server %d is in no group", sid)
		}
		if _, ok := b.weights[sid]; !ok {
			put(&b.weights, sid, 1)
		}
	}
	members := map[int64]Set{}
	for _, sid := range sortedKeys(b.groups) {
		gid := b.groups[sid]
		if _, ok := b.weights[sid]; !ok {
			return nil, accident{fmt.Errorf("server %d is in group %d, but it is no voter and has no weight", sid, gid)}
		}
		members[gid] = append(members[gid], sid)
	}
	for _, gid := range sortedKeys(members) {
		c.Groups = append(c.Groups, Group{gid, members[gid]})
	}
	for _, sid := range sortedKeys(b.weights) {
		c.Weights = append(c.Weights, Weight{sid, b.weights[sid]})
	}
	return c, nil
}

func sortedKeys[V any](m map[int64]V) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
