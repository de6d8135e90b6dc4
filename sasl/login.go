package sasl

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Mechanism is the name of a mechanism as SASL registers it.
type Mechanism string

// The mechanisms.
const (
	DigestMD5 Mechanism = "DIGEST-MD5"
	GSSAPI    Mechanism = "GSSAPI"
)

// The login modules that there are.
const (
	digestModule = "org.apache.zookeeper.server.auth.DigestLoginModule"
	krb5Module   = "com.sun.security.auth.module.Krb5LoginModule"
)

// Login is what a section of a JAAS file lets its owner do: accept others, or prove who it is (org.apache.zookeeper.Login). It may be used from several goroutines.
type Login struct {
	where string            // file, line and section, for errors
	users map[string]string // passwords of the users whom DIGEST-MD5 lets in

	// Who it is with DIGEST-MD5, if hasName.
	username, password string
	hasName            bool

	principal *principal // who it is with GSSAPI; nil for DIGEST-MD5
}

// Login reads a section. It is nil without an error if there is no such section, or nothing in it. Kerberos may be nil where no section asks for it. The errors name file and line.
func (f *File) Login(section string, kerberos *Kerberos) (*Login, error) {
	modules := f.Section(section)
	if len(modules) == 0 {
		return nil, nil
	}
	l := &Login{where: fmt.Sprintf("%s:%d: section %s", f.Name, modules[0].Line, section), users: map[string]string{}}
	for i := range modules {
		m := &modules[i]
		where := fmt.Sprintf("%s:%d: section %s", f.Name, m.Line, section)
		switch m.Class {
		case digestModule:
			if name, ok := m.Options["username"]; ok && !l.hasName {
				l.username, l.password, l.hasName = name, m.Options["password"], true
			}
		case krb5Module:
			if l.principal != nil {
				return nil, fmt.Errorf("%s: one login module of Kerberos is enough", where)
			}
			var err error
			if l.principal, err = newPrincipal(m, kerberos); err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			l.where = where
		default:
			return nil, fmt.Errorf("%s: the login module %s is not known; there are %s and %s", where, m.Class, digestModule, krb5Module)
		}
		for key, value := range m.Options {
			if user, ok := strings.CutPrefix(key, "user_"); ok {
				l.users[user] = value
			}
		}
	}
	return l, nil
}

// ErrNoKerberos is wrapped by the error of a section for GSSAPI where there is no configuration of Kerberos.
var ErrNoKerberos = errors.New("it needs the configuration of Kerberos")

// newPrincipal reads the options of a login module of Kerberos (com.sun.security.auth.module.Krb5LoginModule).
func newPrincipal(m *Module, kerberos *Kerberos) (*principal, error) {
	if kerberos == nil {
		return nil, ErrNoKerberos
	}
	p := &principal{kerberos: kerberos}
	is := func(option string) bool { return strings.EqualFold(m.Options[option], "true") }
	var found bool
	if p.name, p.realm, found = strings.Cut(m.Options["principal"], "@"); !found {
		p.realm = kerberos.DefaultRealm()
	}
	switch {
	case is("useKeyTab"):
		path := strings.TrimPrefix(m.Options["keyTab"], "FILE:")
		if path == "" {
			path = strings.TrimPrefix(kerberos.conf.LibDefaults.DefaultKeytabName, "FILE:")
		}
		p.keys = &keys{path: path}
	case is("useTicketCache"):
		p.tickets = cmp.Or(m.Options["ticketCache"], os.Getenv("KRB5CCNAME"), fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid()))
		p.tickets = strings.TrimPrefix(p.tickets, "FILE:")
		return p, nil
	default:
		return nil, errors.New("it needs useKeyTab=true with keyTab, or useTicketCache=true for a client: nobody is asked for a password")
	}
	if p.name == "" || p.name == "*" {
		return nil, errors.New("it needs principal, as service/host@REALM")
	}
	if p.realm == "" {
		return nil, fmt.Errorf("the principal has no realm, and %s no default_realm", kerberos.file)
	}
	return p, p.keys.check(p.name, p.realm)
}

// Mechanism is the one of the section.
func (l *Login) Mechanism() Mechanism {
	if l.principal != nil {
		return GSSAPI
	}
	return DigestMD5
}

// Realm is that of the section's own Kerberos principal, empty without one.
func (l *Login) Realm() string {
	if l.principal == nil {
		return ""
	}
	return l.principal.realm
}

// CheckServer says at start what Server would lack later: a key to read tickets with, and a name of service and host. The error names file and line.
func (l *Login) CheckServer() error {
	switch p := l.principal; {
	case p == nil:
	case p.keys == nil:
		return fmt.Errorf("%s: a server needs a keytab", l.where)
	case strings.Count(p.name, "/") != 1:
		return fmt.Errorf("%s: the principal of a server is service/host@REALM, not %s", l.where, p)
	}
	return nil
}

// Replace sets another password for a user of the section, in place of the one there; it is for the time before the first exchange. Who is not in the section does not get in by it.
func (l *Login) Replace(user, password string) {
	if _, ok := l.users[user]; ok {
		l.users[user] = password
	}
}

// Server begins an exchange with somebody who has connected, after CheckServer. Protocol and server are for DIGEST-MD5: its digest-uri is protocol/server, and its realm the server.
func (l *Login) Server(protocol, server string) Exchange {
	if l.principal != nil {
		return newGSSServer(l.principal)
	}
	return newDigestServer(protocol, server, func(user string) (string, bool) {
		password, ok := l.users[user]
		return password, ok
	})
}

// Client begins an exchange with a server. Protocol and server are for DIGEST-MD5, as in Server; principal, service/host, is for GSSAPI, and then the call asks the KDC for a ticket.
func (l *Login) Client(protocol, server, principal string) (Exchange, error) {
	if l.principal != nil {
		c, err := newGSSClient(l.principal, principal)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.where, err)
		}
		return c, nil
	}
	if !l.hasName {
		return nil, fmt.Errorf("%s: there is no username", l.where)
	}
	return newDigestClient(protocol, server, l.username, l.password), nil
}
