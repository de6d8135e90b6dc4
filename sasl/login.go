package sasl

import (
	"fmt"
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

// Login is what a section of a JAAS file lets its owner do: accept others, or prove who it is (org.apache.zookeeper.Login). It does not change and may be used from several
// goroutines.
type Login struct {
	mechanism Mechanism
	users     map[string]string // passwords of the users whom DIGEST-MD5 lets in

	// Who it is with DIGEST-MD5, if hasName.
	username, password string
	hasName            bool
}

// Login reads a section. It is nil without an error if there is no such section, or nothing in it. The errors name file and line.
func (f *File) Login(section string) (*Login, error) {
	modules := f.Section(section)
	if len(modules) == 0 {
		return nil, nil
	}
	l := &Login{mechanism: DigestMD5, users: map[string]string{}}
	for i := range modules {
		m := &modules[i]
		switch m.Class {
		case digestModule:
			if name, ok := m.Options["username"]; ok && !l.hasName {
				l.username, l.password, l.hasName = name, m.Options["password"], true
			}
		default:
			return nil, fmt.Errorf("%s:%d: section %s: the login module %s is not known; there are %s and %s", f.Name, m.Line, section, m.Class, digestModule, krb5Module)
		}
		for key, value := range m.Options {
			if user, ok := strings.CutPrefix(key, "user_"); ok {
				l.users[user] = value
			}
		}
	}
	return l, nil
}

// Mechanism is the one of the section.
func (l *Login) Mechanism() Mechanism { return l.mechanism }

// Replace sets another password for a user of the section, in place of the one there. Who is not in the section does not get in by it.
func (l *Login) Replace(user, password string) {
	if _, ok := l.users[user]; ok {
		l.users[user] = password
	}
}

// Server begins an exchange with somebody who has connected. Protocol and server are for DIGEST-MD5: its digest-uri is protocol/server, and its realm the server.
func (l *Login) Server(protocol, server string) Exchange {
	return newDigestServer(protocol, server, func(user string) (string, bool) {
		password, ok := l.users[user]
		return password, ok
	})
}

// Client begins an exchange with a server. Protocol and server are for DIGEST-MD5, as in Server; principal is for GSSAPI, and gets the realm of the client if it has none.
func (l *Login) Client(protocol, server, principal string) (Exchange, error) {
	if !l.hasName {
		return nil, fmt.Errorf("the section has no username")
	}
	return newDigestClient(protocol, server, l.username, l.password), nil
}
