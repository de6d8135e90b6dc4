package quorum

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"

	"quoll/config"
	"quoll/ratelog"
	"quoll/sasl"
	"quoll/zab/wire"
)

// The names of servers among themselves in DIGEST-MD5.
const (
	saslProtocol = "zookeeper-quorum"
	saslServer   = "zk-quorum-sasl-md5"
)

// maxSteps is how many tokens a learner may send.
const maxSteps = 6

// authentication is SASL between servers. Mirrors SaslQuorumAuthLearner, SaslQuorumAuthServer and SaslQuorumServerCallbackHandler.
type authentication struct {
	config  config.QuorumSASL
	learner *sasl.Login // who this server is to those that it connects to
	server  *sasl.Login // who is let in
	realm   string      // of the server's own principal, and so of theirs; empty for DIGEST-MD5
	members func() *members
	rated   *ratelog.Logger
}

// newAuthentication reads the sections of the JAAS file; without SASL it is nil. The errors name the key, or file and line.
func newAuthentication(c *config.Config, members func() *members, log *slog.Logger) (*authentication, error) {
	a := &authentication{config: c.QuorumSASL, members: members, rated: ratelog.New(log)}
	if !a.config.Enabled {
		return nil, nil
	}
	file, err := sasl.FindFile(c.SASL.LoginConfig, c.Property)
	if err != nil {
		return nil, fmt.Errorf("java.security.auth.login.config: %w", err)
	}
	if file == nil {
		return nil, errors.New("quorum.auth.enableSasl: there is no JAAS file; java.security.auth.login.config names it")
	}
	kerberos, err := sasl.ReadKerberos(c.SASL.KerberosFile)
	if err != nil && c.SASL.KerberosFile != "" {
		return nil, fmt.Errorf("java.security.krb5.conf: %w", err)
	}
	for _, section := range []struct {
		key, name string
		login     **sasl.Login
	}{{"quorum.auth.learner.saslLoginContext", a.config.LearnerSection, &a.learner}, {"quorum.auth.server.saslLoginContext", a.config.ServerSection, &a.server}} {
		if *section.login, err = file.Login(section.name, kerberos); err != nil {
			return nil, fmt.Errorf("%s: %w", section.key, err)
		}
		if *section.login == nil {
			return nil, fmt.Errorf("%s: %s has no section %s", section.key, file.Name, section.name)
		}
	}
	if err := a.server.CheckServer(); err != nil {
		return nil, fmt.Errorf("quorum.auth.server.saslLoginContext: %w", err)
	}
	if a.config.LearnerRequires && a.learner.Mechanism() == sasl.DigestMD5 && c.FIPSMode {
		return nil, errors.New("quorum.auth.learnerRequireSasl: servers do not use DIGEST-MD5 while fips-mode is on, as it is by default; set fips-mode=false")
	}
	a.realm = a.server.Realm()
	log.Info("SASL between servers", "learnerRequireSasl", a.config.LearnerRequires, "serverRequireSasl", a.config.ServerRequires, "learner", a.learner.Mechanism(), "server", a.server.Mechanism())
	if !a.config.ServerRequires {
		log.Warn("servers that do not authenticate themselves are taken, because quorum.auth.serverRequireSasl is not set")
	}
	return a, nil
}

// authenticate is what Options.Authenticate asks for.
func (a *authentication) authenticate(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error {
	if dialled {
		return a.prove(conn, r, sid)
	}
	err := a.check(conn, r)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("authentication with SASL: %w", err)
	a.rated.Warn("a server that connected is not authenticated", "peer", conn.RemoteAddr().String(), "let in", !a.config.ServerRequires, "error", err)
	if !a.config.ServerRequires {
		return nil
	}
	return err
}

// prove authenticates this server to one that it has dialled.
func (a *authentication) prove(conn net.Conn, r *wire.Reader, sid int64) error {
	if !a.config.LearnerRequires {
		return nil
	}
	exchange, err := a.learner.Client(saslProtocol, saslServer, a.principal(sid))
	if err != nil {
		return fmt.Errorf("authentication with SASL: %w", err)
	}
	heard := wire.AuthPacket{Token: []byte{}}
	for range maxSteps {
		answer, err := exchange.Step(heard.Token)
		switch {
		case err != nil:
			return fmt.Errorf("authentication with SASL: %w", err)
		case heard.Status == wire.AuthSuccess && answer == nil && exchange.Done():
			return nil
		case heard.Status == wire.AuthSuccess:
			return errors.New("authentication with SASL: the other side is done too early")
		}
		if err := say(conn, wire.AuthInProgress, answer); err != nil {
			return err
		}
		if heard, err = r.AuthPacket(); err != nil {
			return fmt.Errorf("authentication with SASL: %w", err)
		}
		switch {
		case heard.Status == wire.AuthError, heard.Status != wire.AuthInProgress && heard.Status != wire.AuthSuccess:
			return errors.New("authentication with SASL: the other side refuses")
		case heard.Status == wire.AuthSuccess && exchange.Done():
			return nil // GSSAPI has nothing more to hear
		case heard.Token == nil:
			return errors.New("authentication with SASL: the other side sent no token")
		}
		heard.Token = slices.Clone(heard.Token)
	}
	return errors.New("authentication with SASL: the other side does not come to an end")
}

// principal is the Kerberos principal of a server.
func (a *authentication) principal(sid int64) string {
	service, host, _ := strings.Cut(a.config.Principal, "/")
	server := a.members().server(sid)
	if host != "_HOST" || server == nil || len(server.Quorum) == 0 {
		return a.config.Principal
	}
	return service + "/" + strings.ToLower(cmp.Or(server.Quorum[0].Host, "localhost"))
}

// check finds out who has connected.
func (a *authentication) check(conn net.Conn, r *wire.Reader) error {
	switch next, err := r.AuthNext(); {
	case err != nil:
		return err
	case !next:
		return errors.New("it does not authenticate itself")
	}
	exchange := a.server.Server(saslProtocol, saslServer)
	for range maxSteps {
		heard, err := r.AuthPacket()
		if err != nil {
			return err
		}
		answer, err := exchange.Step(heard.Token)
		if err == nil && exchange.Done() {
			err = a.authorize(a.server.Mechanism(), exchange.Peer())
		}
		if err != nil {
			_ = say(conn, wire.AuthError, []byte{})
			return err
		}
		if exchange.Done() {
			return say(conn, wire.AuthSuccess, answer)
		}
		if err := say(conn, wire.AuthInProgress, answer); err != nil {
			return err
		}
	}
	_ = say(conn, wire.AuthError, []byte{})
	return errors.New("too many tokens")
}

// authorize is an error unless who has proved to be somebody may be a server: with DIGEST-MD5 each user, with GSSAPI who has the principal of a member's host, in this
// server's own realm: the KDC of another one that is trusted gives names of hosts to whom it likes. Java takes any realm, and the hosts that were members when it started. The service
// is not looked at, since a learner may have another one than the server that it becomes.
func (a *authentication) authorize(mechanism sasl.Mechanism, user string) error {
	if mechanism == sasl.DigestMD5 {
		return nil
	}
	name, err := sasl.ParseName(user)
	if err != nil {
		return err
	}
	if !name.HasHost || !name.HasRealm || !slices.Contains(a.members().hosts(), name.Host) {
		return fmt.Errorf("%s is not the principal of a member's host", user)
	}
	if name.Realm != a.realm {
		return fmt.Errorf("%s is of another realm than this server, whose section is of %s", user, a.realm)
	}
	return nil
}

// say sends a packet.
func say(conn net.Conn, status wire.AuthStatus, token []byte) error {
	p := wire.AuthPacket{Status: status, Token: token}
	_, err := conn.Write(p.Append(nil))
	return err
}
