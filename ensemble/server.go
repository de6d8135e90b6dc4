package ensemble

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quoll/config/properties"
)

// Server is one member of an ensemble. Mirrors the Java class QuorumPeer.QuorumServer.
type Server struct {
	// ID is the N of server.N, called sid.
	ID int64
	// Quorum and Election are the addresses of the two ports, in the order of the line and of equal length, at least 1.
	Quorum, Election []Addr
	// Role says whether the server votes.
	Role Role
	// Client is where clients connect; nil when the line has no client part. An address that only zoo.cfg's clientPort gives does not belong here.
	Client *Addr
}

// String returns the value of the server's line as Java prints it, without the key: the role always, the client part only if there is one.
// Java sorts quorum and election addresses by host, each list by itself.
func (s *Server) String() string {
	byHost := func(a, b Addr) int { return cmp.Compare(a.Host, b.Host) }
	quorum, election := javaForms(s.Quorum), javaForms(s.Election)
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
		b.WriteString(";" + s.Client.javaForm().String())
	}
	return b.String()
}

func javaForms(addrs []Addr) []Addr {
	forms := make([]Addr, len(addrs))
	for i, a := range addrs {
		forms[i] = a.javaForm()
	}
	return forms
}

// Equal reports whether two servers have the same id, role and addresses, those of each port as a set. Host names are compared as text, without
// regard to case: a name is not equal to its address, which Java would find out by asking the resolver.
func (s *Server) Equal(o *Server) bool {
	return s.ID == o.ID && s.Role == o.Role && SameAddrs(s.Quorum, o.Quorum) && SameAddrs(s.Election, o.Election) &&
		(s.Client == nil) == (o.Client == nil) && (s.Client == nil || s.Client.comparable() == o.Client.comparable())
}

// ParseServer parses the value of a server.N line: host:quorumPort:electionPort[:role], several joined by "|", then optionally ";" and
// [clientHost:]clientPort. IPv6 addresses stand in brackets. Blanks are only allowed around the role.
func ParseServer(id int64, value string) (*Server, error) {
	parts := javaSplit(value, ';')
	if len(parts) == 0 {
		return nil, accident{fmt.Errorf("%q is empty", value)}
	}
	if len(parts) > 2 {
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
			role, err := ParseRole(properties.Trim(fields[3]))
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

// ParseAddr parses host:port, with an IPv6 address in brackets; the host may be empty.
func ParseAddr(s string) (Addr, error) {
	fields, err := splitHost(s)
	if err != nil {
		return Addr{}, err
	}
	if len(fields) != 2 {
		return Addr{}, fmt.Errorf("%q is not of the form host:port", s)
	}
	port, err := parsePort(fields[1])
	return Addr{fields[0], port}, err
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
	if err != nil {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	if n < 0 || n > 65535 {
		return 0, accident{fmt.Errorf("%q is not a port", s)}
	}
	return int(n), nil
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
