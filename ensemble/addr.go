package ensemble

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Addr is a host and a port as they were written; the host is not resolved and has no brackets.
type Addr struct {
	// Host is a name, an IPv4 or an IPv6 address; empty stands for localhost on a server line.
	Host string
	// Port is 0 to 65535.
	Port int
}

// String returns host:port, with brackets around an IPv6 address.
func (a Addr) String() string {
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(a.Port)
}

// Wildcard reports whether the host stands for all addresses of a machine.
func (a Addr) Wildcard() bool {
	ip, err := netip.ParseAddr(a.Host)
	return a.Host == "" || err == nil && ip.Unmap().IsUnspecified()
}

// Literal reports whether the host is an address and not a name.
func (a Addr) Literal() bool {
	_, err := netip.ParseAddr(a.Host)
	return err == nil
}

// loopback reports whether the host is the machine itself, to everybody who looks.
func (a Addr) loopback() bool {
	ip, err := netip.ParseAddr(a.Host)
	return a.Host == "" || strings.EqualFold(a.Host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// javaForm is the address as Java prints it: names and IPv4 as written, IPv6 in eight groups without "::", localhost for nothing.
func (a Addr) javaForm() Addr {
	ip, err := netip.ParseAddr(a.Host)
	switch {
	case a.Host == "":
		return Addr{"localhost", a.Port}
	case err != nil || !ip.Is6():
		return a
	case ip.Is4In6():
		return Addr{ip.Unmap().WithZone("").String(), a.Port}
	}
	groups := make([]string, 8)
	bytes := ip.As16()
	for i := range groups {
		groups[i] = strconv.FormatUint(uint64(bytes[2*i])<<8|uint64(bytes[2*i+1]), 16)
	}
	return Addr{strings.Join(groups, ":"), a.Port}
}

// comparable is a form that two addresses share if they are written for the same host and port: names do not depend on case.
func (a Addr) comparable() Addr {
	a = a.javaForm()
	a.Host = strings.ToLower(a.Host)
	return a
}

func (a Addr) compare(b Addr) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
}

// SameAddrs reports whether two lists are the same set of addresses, whatever their order and the case of names.
func SameAddrs(a, b []Addr) bool { return slices.Equal(addrSet(a), addrSet(b)) }

func addrSet(addrs []Addr) []Addr {
	set := make([]Addr, len(addrs))
	for i, a := range addrs {
		set[i] = a.comparable()
	}
	slices.SortFunc(set, Addr.compare)
	return slices.Compact(set)
}
