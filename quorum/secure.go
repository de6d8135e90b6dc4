package quorum

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"quoll/config"
	"quoll/ratelog"
	"quoll/tlsconf"
)

// tlsHeader is how many bytes tell TLS from plain text: the beginning of a record. None of what servers say first looks like it.
const tlsHeader = 5

// errPlain is the error of a connection that does not speak TLS.
var errPlain = errors.New("it does not speak TLS, and portUnification is not set")

// security is TLS between servers, as sslQuorum and portUnification say. Mirrors QuorumX509Util, UnifiedServerSocket and ZKTrustManager.
type security struct {
	tls     *tlsconf.Server
	config  *config.Config
	members func() *members
	rated   *ratelog.Logger
}

// newSecurity reads the stores; without TLS it is nil. The errors name the key that is wrong.
func newSecurity(c *config.Config, members func() *members, log *slog.Logger) (*security, error) {
	if !c.SSLQuorum && !c.PortUnification {
		return nil, nil
	}
	material, err := tlsconf.NewMember("ssl.quorum.", c.QuorumTLS, log)
	if err != nil {
		return nil, err
	}
	for _, note := range material.Notes() {
		log.Warn(note)
	}
	log.Info("TLS between servers", "sslQuorum", c.SSLQuorum, "portUnification", c.PortUnification, "crl", c.QuorumTLS.CRL, "ocsp", c.QuorumTLS.OCSP)
	if c.PortUnification {
		log.Warn("servers are let in without TLS, as portUnification says: remove it when all of them have sslQuorum=true")
	}
	if material.Config().ClientAuth != tls.RequireAndVerifyClientCert {
		log.Warn("servers without a certificate are let in, as ssl.quorum.clientAuth says: whoever reaches the ports can be any server")
	}
	s := &security{tls: material, config: c, members: members, rated: ratelog.New(log)}
	if c.FIPSMode {
		log.Warn("certificates of servers are not compared with hosts, because fips-mode is on, as it is by default: who has a certificate of a trusted authority can be any server")
	} else if !s.namesServers() {
		log.Warn("certificates of servers are not compared with hosts, as ssl.quorum.hostnameVerification says: who has a certificate of a trusted authority can be any server")
	}
	return s, nil
}

// namesServers is whether a certificate must be for the host that was dialled; namesClients whether also that of who connects must be for a server.
func (s *security) namesServers() bool {
	return !s.config.FIPSMode && s.config.QuorumTLS.HostnameVerification
}

func (s *security) namesClients() bool {
	return s.namesServers() && s.config.QuorumTLS.ClientHostnameVerification
}

// secure is what Options.Secure asks for.
func (s *security) secure(conn net.Conn, host string) (net.Conn, error) {
	if host == "" {
		return s.accepted(conn)
	}
	if !s.config.SSLQuorum {
		return conn, nil
	}
	var verify func(leaf *x509.Certificate) error
	if s.namesServers() {
		verify = func(leaf *x509.Certificate) error { return isFor(leaf, conn.RemoteAddr(), host) }
	}
	secured := tls.Client(conn, s.tls.Dialling(verify))
	return secured, secured.Handshake()
}

// accepted finds out what somebody speaks who has connected, and does the handshake. Who says nothing for a while is closed, where Java takes it for plain text and waits on.
func (s *security) accepted(conn net.Conn) (net.Conn, error) {
	b := &tlsconf.Begun{Conn: conn, Begin: make([]byte, tlsHeader)}
	silent := time.AfterFunc(s.config.HandshakeDetectionTimeout, func() { _ = conn.Close() })
	_, err := io.ReadFull(conn, b.Begin)
	if !silent.Stop() && err != nil {
		err = fmt.Errorf("it has not said anything in %v (ssl.quorum.handshakeDetectionTimeoutMillis)", s.config.HandshakeDetectionTimeout)
	}
	switch {
	case err != nil:
		return nil, err
	case looksLikeTLS(b.Begin):
	case s.config.PortUnification:
		return b, nil
	default:
		s.warn(conn, errPlain)
		return nil, errPlain
	}
	c := s.tls.Config()
	if s.namesClients() {
		revoked := c.VerifyConnection
		c = c.Clone()
		c.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil // ssl.quorum.clientAuth allows it
			}
			err := isFor(state.PeerCertificates[0], conn.RemoteAddr(), s.members().hosts()...)
			if err == nil && revoked != nil {
				err = revoked(state)
			}
			return err
		}
	}
	secured := tls.Server(b, c)
	if err := secured.Handshake(); err != nil {
		s.warn(conn, err)
		return nil, err
	}
	return secured, nil
}

// warn says that somebody could not be let in.
func (s *security) warn(conn net.Conn, err error) {
	s.rated.Warn("a server cannot connect here with TLS", "peer", conn.RemoteAddr().String(), "error", err)
}

// looksLikeTLS tells the first bytes of TLS 1.0 to 1.3 from those of a server in plain text.
func looksLikeTLS(header []byte) bool {
	const lowest, highest = 20, 24 // types of records
	return header[0] >= lowest && header[0] <= highest && header[1] == 3 && header[3]|header[4] != 0
}

// isFor is an error if a certificate is neither for the address at which its owner is nor for any of the hosts. Nobody is asked for the name of an address; Java asks.
func isFor(leaf *x509.Certificate, at net.Addr, hosts ...string) error {
	if tcp, ok := at.(*net.TCPAddr); ok {
		hosts = append([]string{tcp.IP.String()}, hosts...)
	}
	for _, host := range hosts {
		if tlsconf.VerifyHost(leaf, host) == nil {
			return nil
		}
	}
	return fmt.Errorf("its certificate (%s; %v %v) is for none of %s", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, strings.Join(hosts, ", "))
}
