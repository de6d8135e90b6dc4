package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"quoll/jute"
	"quoll/tree"
)

var (
	// ErrNotAuthenticated is the error of credentials that prove nothing.
	ErrNotAuthenticated = errors.New("server: not authenticated")
	// ErrNotAuthorized is the error of somebody who lacks a permission.
	ErrNotAuthorized = errors.New("server: not authorized")
)

// AdmitAdmin is an error unless who asks the AdminServer has all permissions on the root: credentials are those of an Authorization header, a scheme and what it takes. The address is
// that of the connection, whatever headers say, and a certificate must be trusted at the ports of clients too. Mirrors the Java class Commands, which does not ask for what
// enforce.auth.schemes does: where no client gets anything without it, nobody may take the whole state, or replace it, but who has it or is super.
func (s *Server) AdmitAdmin(credentials, remote string, state *tls.ConnectionState) error {
	_, err := s.admitAdmin(credentials, remote, state)
	return err
}

// admitAdmin is AdmitAdmin, with who that is.
func (s *Server) admitAdmin(credentials, remote string, state *tls.ConnectionState) ([]jute.ID, error) {
	ids, err := s.adminIDs(strings.Split(strings.TrimRight(credentials, " "), " "), remote, state)
	if err != nil {
		return nil, err
	}
	if !s.auth.satisfied(ids) && !slices.ContainsFunc(ids, func(id jute.ID) bool { return id.Scheme == "super" }) {
		return nil, ErrNotAuthenticated
	}
	var acl []jute.ACL
	s.readTree(func(t *tree.Tree) { acl = t.ACL(t.Lookup(tree.RootPath)) })
	for _, permission := range []int32{jute.PermRead, jute.PermWrite, jute.PermCreate, jute.PermDelete, jute.PermAdmin} {
		if !s.auth.allowed(acl, permission, ids) {
			return nil, ErrNotAuthorized
		}
	}
	return ids, nil
}

func (s *Server) adminIDs(parts []string, remote string, state *tls.ConnectionState) (ids []jute.ID, err error) {
	var data []byte
	if len(parts) == 2 {
		data = []byte(parts[1])
	}
	if s.auth.schemes[parts[0]] == nil || len(parts) > 2 {
		return nil, ErrNotAuthenticated
	}
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil, ErrNotAuthenticated
	}
	from := net.TCPAddrFromAddrPort(address)
	switch parts[0] {
	case "ip":
		ids = []jute.ID{{Scheme: "ip", ID: javaAddress(from.IP, from.Zone)}}
	case "digest":
		ids, _ = s.auth.digest(nil, data)
	case "x509":
		if state == nil || s.doorstep == nil || len(state.PeerCertificates) == 0 {
			return nil, ErrNotAuthenticated
		}
		others := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			others.AddCert(c)
		}
		options := x509.VerifyOptions{Roots: s.doorstep.tls.Config().ClientCAs, Intermediates: others, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if _, err := state.PeerCertificates[0].Verify(options); err != nil {
			return nil, ErrNotAuthenticated
		}
		if ids, err = s.auth.certified(*state, s.doorstep.tls, from); err != nil {
			return nil, ErrNotAuthenticated
		}
	}
	if len(ids) == 0 {
		return nil, ErrNotAuthenticated
	}
	return ids, nil
}
