package ensemble

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quoll/config/properties"
	"quoll/jute"
)

// Rules are the settings that bear on a reconfig.
type Rules struct {
	// MultiAddress allows several addresses per server (multiAddress.enabled).
	MultiAddress bool
	// StandaloneEnabled asks for two voters, because with it (standaloneEnabled) a server that is alone is not a member of an ensemble.
	StandaloneEnabled bool
}

// Reconfig returns the config that the request makes of c, the last seen config, with the request's zxid as its version. c stays as it is.
//
// Every error wraps a [jute.Code]: ErrBadVersion if the request is for another version, ErrMarshalling for a sid that is no number and for other things at
// which Java fails by accident, ErrBadArguments for the rest. What depends on who is connected is not checked here:
// that no other reconfig is under way, and that the synced followers are a quorum of the result. Mirrors the reconfig case of
// PrepRequestProcessor.pRequest2Txn; section 6.1 of the specification.
func (c *Config) Reconfig(r *jute.ReconfigRequest, zxid int64, rules Rules) (*Config, error) {
	if r.CurConfigID != -1 && r.CurConfigID != c.Version {
		return nil, fmt.Errorf("%w: the version is %x, not %x", jute.ErrBadVersion, uint64(c.Version), uint64(r.CurConfigID))
	}
	change := c.increment
	if r.NewMembers != nil {
		change = c.replace
	}
	next, err := change(r, rules)
	if err != nil {
		code := jute.ErrBadArguments
		if errors.As(err, new(accident)) {
			code = jute.ErrMarshalling
		}
		return nil, fmt.Errorf("%w: %w", code, err)
	}
	next.Version = zxid
	need := 1
	if rules.StandaloneEnabled {
		need = 2
	}
	if n := len(next.Voters()); n < need {
		return nil, fmt.Errorf("%w: %d participants, at least %d are needed", jute.ErrBadArguments, n, need)
	}
	return next, nil
}

// replace makes a config of all its lines, which may have commas between them.
func (c *Config) replace(r *jute.ReconfigRequest, rules Rules) (*Config, error) {
	text := strings.ReplaceAll(jute.JavaText(r.NewMembers), ",", "\n")
	next, err := parse(text, rules.MultiAddress)
	if err != nil {
		return nil, err
	}
	voters, observers := len(next.Voters()), len(next.Observers())
	if voters == 0 && (observers > 0 || !rules.StandaloneEnabled) || voters == 1 && observers > 0 && rules.StandaloneEnabled {
		return nil, accident{fmt.Errorf("%d participants and %d observers are no ensemble", voters, observers)}
	}
	return next, nil
}

// increment lets servers leave, and then others join or change.
func (c *Config) increment(r *jute.ReconfigRequest, rules Rules) (*Config, error) {
	if c.Hierarchical {
		return nil, errors.New("an ensemble with groups can only be replaced as a whole")
	}
	b := Builder{MultiAddress: rules.MultiAddress, servers: map[int64]Server{}}
	for _, s := range c.Servers {
		b.servers[s.ID] = s
	}
	for _, leaving := range split(jute.JavaText(r.LeavingServers), ",") {
		sid, err := strconv.ParseInt(leaving, 10, 64)
		if err != nil {
			return nil, accident{fmt.Errorf("%q is not a server id", leaving)}
		}
		delete(b.servers, sid)
	}
	for _, joining := range split(jute.JavaText(r.JoiningServers), ",") {
		if err := b.join(joining); err != nil {
			return nil, err
		}
	}
	return b.Config()
}

// join takes in a server line with all three ports, which replaces that of the same server.
func (b *Builder) join(line string) error {
	parts := split(line, "=")
	if len(parts) != 2 {
		return fmt.Errorf("%q is not a server line", line)
	}
	key, value := parts[0], parts[1]
	number := key[strings.LastIndexByte(key, '.')+1:]
	sid, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return accident{fmt.Errorf("%q is not a server id", number)}
	}
	delete(b.servers, sid)
	if err := b.addServer(sid, value); err != nil {
		return fmt.Errorf("server.%d: %w", sid, err)
	}
	s := b.servers[sid]
	if s.Client == nil {
		return fmt.Errorf("server %d has no client address", sid)
	}
	for _, other := range sortedKeys(b.servers) {
		if o := b.servers[other]; o.ID != sid {
			if shared, ok := s.sharedAddr(&o); ok {
				return fmt.Errorf("servers %d and %d have the same address %s", sid, other, shared)
			}
		}
	}
	return nil
}

// sharedAddr returns an address of s that o has too, for whatever port. Addresses that mean another machine on each machine may be shared.
func (s *Server) sharedAddr(o *Server) (Addr, bool) {
	theirs := o.addrs()
	for _, a := range s.addrs() {
		if !a.Wildcard() && !a.loopback() && slices.Contains(theirs, a) {
			return a, true
		}
	}
	return Addr{}, false
}

// addrs returns all addresses of the server, ready to be compared.
func (s *Server) addrs() []Addr {
	all := slices.Concat(s.Quorum, s.Election)
	if s.Client != nil {
		all = append(all, *s.Client)
	}
	for i := range all {
		all[i] = all[i].comparable()
	}
	return all
}

// split trims the parts and leaves empty ones out (StringUtils.split).
func split(text, separator string) []string {
	var list []string
	for part := range strings.SplitSeq(text, separator) {
		if part = properties.Trim(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
