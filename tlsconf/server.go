package tlsconf

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"quoll/config"
)

// Server is what a port needs to speak TLS. All methods but Reload may be called by any goroutine.
type Server struct {
	prefix   string
	settings config.TLS
	notes    []string
	base     *tls.Config // what does not come from files
	current  atomic.Pointer[tls.Config]
	seen     [4]stamp
	revoked  *revocation // nil if nobody is to be asked
}

// stamp tells a version of a file from the next.
type stamp struct {
	size    int64
	changed time.Time
	file    os.FileInfo
}

// NewServer reads the stores that the settings name. Its errors begin with the key, which the prefix is put in front of, such as "ssl.". The log gets what becomes of questions whether
// certificates are revoked, which are only asked when somebody shows one.
func NewServer(prefix string, settings config.TLS, log *slog.Logger) (*Server, error) {
	versions := settings.EnabledProtocols
	if len(versions) == 0 {
		versions = []string{cmp.Or(settings.Protocol, "TLSv1.3")}
	}
	return newServer(prefix, settings, versions, log)
}

// NewMember is the same for the ports between servers, which [Server.Dialling] connects to. There TLSv1.3 as the protocol allows 1.2 as well, as in Java. Without a trust
// store, where Java trusts whom its JVM does, it is an error.
func NewMember(prefix string, settings config.TLS, log *slog.Logger) (*Server, error) {
	versions := settings.EnabledProtocols
	if len(versions) == 0 {
		switch settings.Protocol {
		case "", "TLSv1.3", "TLS", "Default":
			versions = []string{"TLSv1.3", "TLSv1.2"}
		default:
			versions = []string{settings.Protocol}
		}
	}
	s, err := newServer(prefix, settings, versions, log)
	if err == nil && settings.TrustStore.Location == "" {
		err = errors.New(prefix + "trustStore.location: not set, so no server is trusted")
	}
	return s, err
}

func newServer(prefix string, settings config.TLS, versions []string, log *slog.Logger) (*Server, error) {
	s := &Server{prefix: prefix, settings: settings, revoked: newRevocation(settings, log)}
	// Without tickets each connection shows its certificate again, and one that is trusted no more does not live on in them.
	s.base = &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if s.revoked != nil {
		s.base.VerifyConnection = func(state tls.ConnectionState) error { return s.revoked.verify(state.VerifiedChains) }
	}
	var err error
	if s.notes, err = setProtocols(s.base, versions, settings.CipherSuites); err != nil {
		return nil, fmt.Errorf("%s%w", prefix, err)
	}
	for i := range s.notes {
		s.notes[i] = prefix + s.notes[i]
	}
	switch strings.ToLower(settings.ClientAuth) {
	case "", "need":
		s.base.ClientAuth = tls.RequireAndVerifyClientCert
	case "want":
		s.base.ClientAuth = tls.VerifyClientCertIfGiven
	case "none":
	default:
		return nil, fmt.Errorf("%sclientAuth: %q is neither need nor want nor none", prefix, settings.ClientAuth)
	}
	if settings.KeyStore.Location == "" {
		return nil, errors.New(prefix + "keyStore.location: not set, and TLS needs a key")
	}
	if s.base.ClientAuth != tls.NoClientCert && settings.TrustStore.Location == "" {
		s.notes = append(s.notes, prefix+"trustStore.location: not set, so no client certificate is trusted")
	}
	s.seen = s.look()
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Notes say what was asked for and is not there, or cannot have been meant, one line each with its key in front.
func (s *Server) Notes() []string { return s.notes }

// Config is the configuration for the next connection that is accepted. Nobody may change it. Its VerifyConnection, if there is one, may wait for others for 8 seconds.
func (s *Server) Config() *tls.Config { return s.current.Load() }

// Dialling is the configuration of who connects to such a port, with the same key and trust. verify looks at the certificate of the other side when it is known to come from
// an authority that is trusted; nil is no more to look at.
func (s *Server) Dialling(verify func(leaf *x509.Certificate) error) *tls.Config {
	c := s.current.Load().Clone()
	c.InsecureSkipVerify = true // in favour of verifyServer
	// Whatever authorities the other side asks for: what it says of a wrong certificate is clearer than that there is none.
	own := &c.Certificates[0]
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	roots := c.ClientCAs
	c.VerifyConnection = func(state tls.ConnectionState) error { return verifyServer(state, roots, verify, s.revoked) }
	return c
}

// Close ends what handshakes wait for. Whose certificate would be looked up is refused from then on.
func (s *Server) Close() {
	if s.revoked != nil {
		s.revoked.answers.close()
	}
}

// VerifyPeer is an error if the certificate of who has connected from addr is not for that address, and the settings say to look. Nobody is asked for the name of an address.
func (s *Server) VerifyPeer(state tls.ConnectionState, addr net.Addr) error {
	if !s.settings.HostnameVerification || !s.settings.ClientHostnameVerification || len(state.PeerCertificates) == 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	host, _, _ = strings.Cut(host, "%") // no certificate names a zone
	return VerifyHost(state.PeerCertificates[0], host)
}

// VerifyHost is an error if a certificate is not for a host, a name or an address: one without alternative names is, as in Java, for its common name.
func VerifyHost(leaf *x509.Certificate, host string) error {
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 && strings.EqualFold(leaf.Subject.CommonName, host) {
		return nil
	}
	return leaf.VerifyHostname(host)
}

// Reload reads the stores again if their files, or what links in their paths lead to, are others than before. It reports whether they are in force; after an error, which is
// given once for each change, the old ones stay. Only one goroutine may call it.
func (s *Server) Reload() (bool, error) {
	now := s.look()
	same := true
	for i, is := range now {
		was := s.seen[i]
		same = same && is.size == was.size && is.changed.Equal(was.changed) && (is.file == nil) == (was.file == nil) && (is.file == nil || os.SameFile(is.file, was.file))
	}
	if same {
		return false, nil
	}
	s.seen = now
	err := s.load()
	return err == nil, err
}

// reloadInterval is the time between two looks at the files of the stores.
const reloadInterval = time.Second

// Watch reads the stores again when their files change, until done is closed. The log gets what became of it.
func (s *Server) Watch(done <-chan struct{}, log *slog.Logger) {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		switch changed, err := s.Reload(); {
		case err != nil:
			log.Error("cannot read the stores of TLS again; the old ones stay", "error", err)
		case changed:
			log.Info("read the stores of TLS again; new connections use them", "keyStore", s.settings.KeyStore.Location)
		}
	}
}

func (s *Server) look() (seen [4]stamp) {
	key, trust := s.settings.KeyStore, s.settings.TrustStore
	for i, name := range []string{key.Location, key.PasswordPath, trust.Location, trust.PasswordPath} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			seen[i] = stamp{info.Size(), info.ModTime(), info}
		}
	}
	return seen
}

func (s *Server) load() error {
	c := s.base.Clone()
	certificate, err := openWith(s.settings.KeyStore, (*Store).Certificate)
	if err != nil {
		return fmt.Errorf("%skeyStore.location: %w", s.prefix, err)
	}
	c.Certificates = []tls.Certificate{certificate}
	c.ClientCAs = x509.NewCertPool() // nil would be the certificates that the machine trusts
	if s.settings.TrustStore.Location != "" {
		if c.ClientCAs, err = openWith(s.settings.TrustStore, (*Store).Pool); err != nil {
			return fmt.Errorf("%strustStore.location: %w", s.prefix, err)
		}
	}
	s.current.Store(c)
	return nil
}

// openWith opens a store and takes a part of it.
func openWith[T any](f config.StoreFile, part func(*Store) (T, error)) (value T, err error) {
	s, err := Open(f)
	if err != nil {
		return value, err
	}
	if value, err = part(s); err != nil {
		err = fmt.Errorf("%s: %w", f.Location, err)
	}
	return value, err
}

// NewClient makes the configuration of who connects, which verifies the host that it is told in each connection. Its errors begin with the key, which the prefix is put in
// front of. Without a trust store the certificates that the machine trusts are, as in Java. Without protocols they are TLS 1.2 and 1.3.
func NewClient(prefix string, settings config.TLS) (func(host string) *tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	versions := settings.EnabledProtocols
	if len(versions) == 0 && settings.Protocol != "" {
		versions = []string{settings.Protocol}
	}
	notes, err := setProtocols(c, versions, settings.CipherSuites)
	if err == nil && len(notes) > 0 {
		err = errors.New(notes[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s%w", prefix, err)
	}
	if settings.KeyStore.Location != "" {
		certificate, err := openWith(settings.KeyStore, (*Store).Certificate)
		if err != nil {
			return nil, fmt.Errorf("%skeyStore.location: %w", prefix, err)
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	if settings.TrustStore.Location != "" {
		if c.RootCAs, err = openWith(settings.TrustStore, (*Store).Pool); err != nil {
			return nil, fmt.Errorf("%strustStore.location: %w", prefix, err)
		}
	}
	c.InsecureSkipVerify = true // in favour of verifyServer
	revoked := newRevocation(settings, slog.New(slog.DiscardHandler))
	return func(host string) *tls.Config {
		own := c.Clone()
		own.ServerName = host
		verify := func(leaf *x509.Certificate) error { return VerifyHost(leaf, host) }
		if !settings.HostnameVerification {
			verify = nil
		}
		own.VerifyConnection = func(state tls.ConnectionState) error {
			return verifyServer(state, c.RootCAs, verify, revoked)
		}
		return own
	}, nil
}

// verifyServer checks the server's chain, then its own certificate, and then whether they are revoked.
func verifyServer(state tls.ConnectionState, roots *x509.CertPool, verify func(leaf *x509.Certificate) error, revoked *revocation) error {
	leaf := state.PeerCertificates[0]
	chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		chain.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(chain)
	if err == nil && verify != nil {
		err = verify(leaf)
	}
	if err != nil {
		return err
	}
	return revoked.verify(chains)
}
