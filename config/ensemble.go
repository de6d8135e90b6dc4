package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Role is what a server is in its ensemble. Mirrors the Java enum LearnerType.
type Role int

// The roles; a Participant votes, an Observer only learns.
const (
	Participant Role = iota
	Observer
)

// String returns the word of a server line.
func (r Role) String() string {
	if r == Observer {
		return "observer"
	}
	return "participant"
}

// parseRole reads the word of a server line or of peerType, in any case.
func parseRole(s string) (Role, error) {
	switch strings.ToLower(s) {
	case "observer":
		return Observer, nil
	case "participant":
		return Participant, nil
	}
	return 0, fmt.Errorf("%q is neither participant nor observer", s)
}

// Addr is a host and a port as they were written; the host is not resolved and has no brackets.
type Addr struct {
	Host string
	Port int
}

// String returns host:port, with brackets around an IPv6 address.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// javaHost is the host as Java prints it: names and IPv4 as written, IPv6 in eight groups without "::", localhost for nothing.
func (a Addr) javaHost() string {
	ip, err := netip.ParseAddr(a.Host)
	switch {
	case a.Host == "":
		return "localhost"
	case err != nil || !ip.Is6():
		return a.Host
	case ip.Is4In6():
		return ip.Unmap().String()
	}
	groups := make([]string, 8)
	bytes := ip.As16()
	for i := range groups {
		groups[i] = strconv.FormatUint(uint64(bytes[2*i])<<8|uint64(bytes[2*i+1]), 16)
	}
	return strings.Join(groups, ":")
}

// wildcard reports whether the host stands for all addresses.
func (a Addr) wildcard() bool {
	ip := net.ParseIP(a.Host)
	return a.Host == "" || ip != nil && ip.IsUnspecified()
}

// literal reports whether the host is an address and not a name.
func (a Addr) literal() bool { return net.ParseIP(a.Host) != nil }

// Server is one member of an ensemble. Mirrors the Java class QuorumPeer.QuorumServer.
type Server struct {
	// ID is the N of server.N.
	ID int64
	// Quorum and Election are the addresses of the two ports, in the order of the line and of equal length, at least 1.
	Quorum, Election []Addr
	// Role says whether the server votes.
	Role Role
	// Client is where clients connect; nil when the line has no client part.
	Client *Addr
}

// String returns the value of the server's line as Java prints it, without the key: the role always, the client part only if there is one.
// Java sorts quorum and election addresses by host, each list by itself.
func (s *Server) String() string {
	byHost := func(a, b Addr) int { return cmp.Compare(a.Host, b.Host) }
	quorum, election := javaHosts(s.Quorum), javaHosts(s.Election)
	slices.SortStableFunc(quorum, byHost)
	slices.SortStableFunc(election, byHost)
	var b strings.Builder
	for i, q := range quorum {
		if i > 0 {
			b.WriteByte('|')
		}
		fmt.Fprintf(&b, "%s:%d", q, election[i].Port)
	}
	b.WriteString(":" + s.Role.String())
	if s.Client != nil {
		b.WriteString(";" + Addr{s.Client.javaHost(), s.Client.Port}.String())
	}
	return b.String()
}

func javaHosts(addrs []Addr) []Addr {
	hosts := make([]Addr, len(addrs))
	for i, a := range addrs {
		hosts[i] = Addr{a.javaHost(), a.Port}
	}
	return hosts
}

// Ensemble is a membership: the server, group and weight lines with their version. Mirrors the Java interface QuorumVerifier.
type Ensemble struct {
	// Servers are the members in ascending order of their ids.
	Servers []Server
	// Groups maps server ids to groups, and Weights to weights; both are nil without a hierarchy. With one, every voter has a group and a weight.
	Groups, Weights map[int64]int64
	// Version is the zxid of the reconfig that made it; 0 for a membership written by hand.
	Version int64
}

// Server returns the member with the id, or nil.
func (e *Ensemble) Server(id int64) *Server {
	for i := range e.Servers {
		if e.Servers[i].ID == id {
			return &e.Servers[i]
		}
	}
	return nil
}

// Voters returns the number of participants.
func (e *Ensemble) Voters() int {
	n := 0
	for _, s := range e.Servers {
		if s.Role == Participant {
			n++
		}
	}
	return n
}

// String returns the text form of the membership, as it is in /zookeeper/config and on the wire: no newline after the last line, the version.
func (e *Ensemble) String() string {
	var b strings.Builder
	for i := range e.Servers {
		fmt.Fprintf(&b, "server.%d=%s\n", e.Servers[i].ID, e.Servers[i].String())
	}
	members := map[int64][]string{}
	for _, sid := range sortedKeys(e.Groups) {
		members[e.Groups[sid]] = append(members[e.Groups[sid]], strconv.FormatInt(sid, 10))
	}
	for _, gid := range sortedKeys(members) {
		fmt.Fprintf(&b, "group.%d=%s\n", gid, strings.Join(members[gid], ":"))
	}
	for _, sid := range sortedKeys(e.Weights) {
		fmt.Fprintf(&b, "weight.%d=%d\n", sid, e.Weights[sid])
	}
	fmt.Fprintf(&b, "version=%x", uint64(e.Version))
	return b.String()
}

func sortedKeys[V any](m map[int64]V) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ParseEnsemble parses the text form of a membership: server, group, weight and version lines in Java properties syntax.
// Any other key is an error. Several addresses per server are allowed.
func ParseEnsemble(text string) (*Ensemble, error) {
	settings, err := parseProperties("membership", []byte(text))
	if err != nil {
		return nil, err
	}
	e, errs := parseEnsemble(settings, true)
	return e, joinErrors(errs)
}

// isMember reports whether a key of zoo.cfg belongs to the membership. Like Java, it does not insist on the dot after group and weight.
func isMember(key string) bool {
	return strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group") || strings.HasPrefix(key, "weight") || key == "version"
}

// parseEnsemble builds a membership of settings that are all of isMember.
func parseEnsemble(settings []setting, multiAddress bool) (*Ensemble, []error) {
	e := &Ensemble{}
	var errs []error
	groups, weights := map[int64]int64{}, map[int64]int64{}
	var hierarchy *setting // a line that makes the quorum hierarchical
	for i, s := range settings {
		if err := e.add(s, multiAddress, groups, weights); err != nil {
			errs = append(errs, s.errorf("%w", err))
		}
		if strings.HasPrefix(s.key, "group") || strings.HasPrefix(s.key, "weight") {
			hierarchy = &settings[i]
		}
	}
	slices.SortFunc(e.Servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	if hierarchy == nil || len(errs) > 0 {
		return e, errs
	}
	for _, s := range e.Servers {
		if s.Role != Participant {
			continue
		}
		if _, ok := groups[s.ID]; !ok {
			errs = append(errs, hierarchy.errorf("there are groups or weights, but server %d is in no group", s.ID))
		}
		if _, ok := weights[s.ID]; !ok {
			weights[s.ID] = 1
		}
	}
	for _, sid := range sortedKeys(groups) {
		if _, ok := weights[sid]; !ok {
			errs = append(errs, hierarchy.errorf("server %d is in group %d, but it is no voter and has no weight", sid, groups[sid]))
		}
	}
	e.Groups, e.Weights = groups, weights
	return e, errs
}

// add takes in one line.
func (e *Ensemble) add(s setting, multiAddress bool, groups, weights map[int64]int64) error {
	if s.key == "version" {
		v, err := strconv.ParseInt(s.value, 16, 64)
		if err != nil {
			return fmt.Errorf("%q is not a hexadecimal number", s.value)
		}
		e.Version = v
		return nil
	}
	if !isMember(s.key) {
		return fmt.Errorf("unknown key, only server, group and weight lines are allowed here")
	}
	_, number, _ := strings.Cut(s.key, ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("the key must end in a dot and a number")
	}
	switch {
	case strings.HasPrefix(s.key, "server."):
		server, err := ParseServer(id, s.value)
		if err != nil {
			return err
		}
		if len(server.Quorum) > 1 && !multiAddress {
			return fmt.Errorf("several addresses for one server need multiAddress.enabled=true")
		}
		if e.Server(id) != nil { // server.1 and server.01
			return fmt.Errorf("server %d has two lines", id)
		}
		e.Servers = append(e.Servers, *server)
	case strings.HasPrefix(s.key, "group"):
		for _, member := range javaSplit(s.value, ':') {
			sid, err := strconv.ParseInt(member, 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not a server id", member)
			}
			if _, ok := groups[sid]; ok {
				return fmt.Errorf("server %d is in two groups", sid)
			}
			groups[sid] = id
		}
	default:
		w, err := strconv.ParseInt(s.value, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a weight", s.value)
		}
		weights[id] = w
	}
	return nil
}

// javaSplit is String.split with a one-character separator: empty parts at the end are dropped, but the text without separator is one part.
func javaSplit(s string, sep byte) []string {
	parts := strings.Split(s, string(sep))
	if len(parts) == 1 {
		return parts
	}
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// ParseServer parses the value of a server.N line: host:quorumPort:electionPort[:role], several joined by "|", then optionally ";" and
// [clientHost:]clientPort. IPv6 addresses stand in brackets. Blanks are only allowed around the role.
func ParseServer(id int64, value string) (*Server, error) {
	parts := javaSplit(value, ';')
	if len(parts) == 0 || len(parts) > 2 {
		return nil, fmt.Errorf("%q is not of the form host:port:port[:role][;[host:]port]", value)
	}
	s := &Server{ID: id}
	if len(parts) == 2 {
		client, err := parseClientPart(parts[1])
		if err != nil {
			return nil, err
		}
		s.Client = client
	}
	roleSeen := false
	for _, address := range javaSplit(parts[0], '|') {
		fields, err := splitHost(address)
		if err != nil {
			return nil, err
		}
		if len(fields) != 3 && len(fields) != 4 {
			return nil, fmt.Errorf("%q is not of the form host:port:port[:role]", address)
		}
		quorum, err := parsePort(fields[1])
		if err != nil {
			return nil, err
		}
		election, err := parsePort(fields[2])
		if err != nil {
			return nil, err
		}
		if quorum == election {
			return nil, fmt.Errorf("%q has the same port twice; the quorum and the election port must differ", address)
		}
		if len(fields) == 4 {
			role, err := parseRole(javaTrim(fields[3]))
			if err != nil {
				return nil, err
			}
			if roleSeen && role != s.Role {
				return nil, fmt.Errorf("%q has addresses of different roles", value)
			}
			s.Role, roleSeen = role, true
		}
		s.Quorum = append(s.Quorum, Addr{fields[0], quorum})
		s.Election = append(s.Election, Addr{fields[0], election})
	}
	if len(s.Quorum) == 0 {
		return nil, fmt.Errorf("%q has no address", value)
	}
	return s, nil
}

// parseClientPart parses what follows the ";": a port, or host and port.
func parseClientPart(s string) (*Addr, error) {
	fields, err := splitHost(s)
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 || len(fields) > 2 {
		return nil, fmt.Errorf("client part %q is not of the form [host:]port", s)
	}
	port, err := parsePort(fields[len(fields)-1])
	if err != nil {
		return nil, err
	}
	if len(fields) == 1 {
		return &Addr{"0.0.0.0", port}, nil
	}
	return &Addr{fields[0], port}, nil
}

// splitHost splits at colons, with an IPv6 address in brackets as one field. Mirrors ConfigUtils.getHostAndPort.
func splitHost(s string) ([]string, error) {
	if !strings.HasPrefix(s, "[") {
		return javaSplit(s, ':'), nil
	}
	host, rest, ok := strings.Cut(s[1:], "]")
	if !ok || host == "" || strings.Contains(host, "[") {
		return nil, fmt.Errorf("%q starts with a bracket that does not close around an address", s)
	}
	if rest == "" {
		return []string{host}, nil
	}
	if rest[0] != ':' || rest == ":" {
		return nil, fmt.Errorf("%q has no port after the bracket", s)
	}
	return append([]string{host}, javaSplit(rest[1:], ':')...), nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 || n > 65535 {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	return int(n), nil
}
