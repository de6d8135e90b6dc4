package server

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/sasl"
)

const (
	saslProvider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
	saslFile     = `
Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob="bobsecret" user_super="x"; };
Bob { org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="bobsecret"; };
Super { org.apache.zookeeper.server.auth.DigestLoginModule required username="super" password="other"; };
Al { org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="other"; };`
)

// saslSettings are those of a server with the JAAS file above, and its path.
func saslSettings(t testing.TB) (setting, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jaas.conf")
	if err := os.WriteFile(path, []byte(saslFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return "java.security.auth.login.config=" + path, path
}

// saslConn is a connection with a session, and the client's side of an exchange.
func saslConn(t *testing.T, s *Server, path, section string) (*client.RawConn, sasl.Exchange) {
	t.Helper()
	file, err := sasl.ReadFile(path, s.opts.Property)
	if err != nil {
		t.Fatal(err)
	}
	login, err := file.Login(section, nil)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := login.Client(saslProtocol, saslServer, "")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := client.NewRawConn(nc)
	if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 10000, Password: make([]byte, jute.PasswordLength), HasReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	return c, exchange
}

// authenticate goes through an exchange as far as it gets. The error is that of the reply.
func authenticate(t *testing.T, c *client.RawConn, exchange sasl.Exchange) jute.Code {
	t.Helper()
	token, err := exchange.Step(nil)
	for err == nil && token != nil {
		if err = c.Request(1, jute.OpSASL, &jute.SASLRequest{Token: token}); err != nil {
			break
		}
		var h jute.ReplyHeader
		var body []byte
		if h, body, err = c.Reply(); err != nil || h.Err != 0 {
			return jute.Code(h.Err)
		}
		d := jute.NewDecoder(body)
		answer := d.Buffer()
		if answer == nil || exchange.Done() {
			return jute.OK
		}
		token, err = exchange.Step(answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jute.OK
}

// TestSASL is who gets in, what he may do, and what becomes of the connections of others.
func TestSASL(t *testing.T) {
	file, path := saslSettings(t)
	ping := func(t *testing.T, c *client.RawConn) (jute.Code, error) {
		t.Helper()
		if err := c.Request(-2, jute.OpPing, nil); err != nil {
			return 0, err
		}
		h, _, err := c.Reply()
		return jute.Code(h.Err), err
	}
	for _, test := range []struct {
		name     string
		settings []string
		section  string
		code     jute.Code // of the reply to the last token
		after    string    // what happens to a ping
		super    bool
	}{
		{"good", nil, "Bob", jute.OK, "ok", false},
		{"super", []string{"superUser.x=bob"}, "Bob", jute.OK, "ok", true},
		{"super by another password", []string{"SASLAuthenticationProvider.superPassword=other"}, "Super", jute.OK, "ok", false},
		{"super by the wrong password", nil, "Super", jute.ErrAuthFailed, "closed", false},
		{"wrong", nil, "Al", jute.ErrAuthFailed, "closed", false},
		{"wrong and kept", []string{"allowSaslFailedClients=true"}, "Al", jute.OK, "ok", false},
		{"wrong and required", []string{"sessionRequireClientSASLAuth=true", "allowSaslFailedClients=true"}, "Al", jute.ErrSessionClosedRequireSASL, "closed", false},
		{"good and required", []string{"sessionRequireClientSASLAuth=true"}, "Bob", jute.OK, "ok", false},
		{"good and enforced", []string{"enforce.auth.enabled=true", "enforce.auth.schemes=sasl"}, "Bob", jute.OK, "ok", false},
		{"wrong and enforced", []string{"enforce.auth.enabled=true", "enforce.auth.schemes=sasl"}, "Al", jute.ErrSessionClosedRequireSASL, "closed", false},
		{"none and required", []string{"sessionRequireClientSASLAuth=true"}, "", jute.OK, "refused", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, append(test.settings, file, saslProvider)...)
			section := test.section
			if section == "" {
				section = "Bob"
			}
			c, exchange := saslConn(t, s, path, section)
			if test.section != "" {
				if code := authenticate(t, c, exchange); code != test.code {
					t.Errorf("the last reply has %v, want %v", code, test.code)
				}
			}
			code, err := ping(t, c)
			after := "ok"
			if err != nil {
				after = "closed"
			} else if code == jute.ErrSessionClosedRequireSASL {
				after = "refused"
			}
			if after != test.after {
				t.Errorf("a ping is %s (%v, %v), want %s", after, code, err, test.after)
			}
			conns := s.connections()
			if test.after != "ok" {
				return
			}
			var ids []string
			for _, id := range conns[0].identities() {
				ids = append(ids, id.Scheme)
			}
			if got, want := strings.Join(ids, " "), map[bool]string{false: "ip sasl", true: "ip sasl super"}[test.super]; test.section == "Bob" && got != want {
				t.Errorf("identities %s, want %s", got, want)
			}
		})
	}
}

// TestSASLInItsTurn has an exchange and a read wait behind a write: the replies come in the order of the requests.
func TestSASLInItsTurn(t *testing.T) {
	file, path := saslSettings(t)
	s := startServer(t, file, saslProvider)
	c, _ := saslConn(t, s, path, "Bob")
	create := &jute.CreateRequest{Path: []byte("/a"), Data: []byte("x"), ACL: []jute.ACLText{{Perms: 31, Scheme: []byte("world"), ID: []byte("anyone")}}}
	for i := range int32(2) { // the first token brings the challenge; the second is wrong, and its reply is the last
		if err := errors.Join(c.Request(3*i, jute.OpCreate, create), c.Request(3*i+1, jute.OpSASL, &jute.SASLRequest{Token: []byte{}}), c.Request(3*i+2, jute.OpWhoAmI, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for want := range int32(5) {
		if h, _, err := c.Reply(); err != nil || h.Xid != want || (h.Err == int32(jute.ErrAuthFailed)) != (want == 4) {
			t.Fatalf("reply %d is %+v, %v", want, h, err)
		}
	}
	if h, _, err := c.Reply(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last reply comes %+v, %v", h, err)
	}
}

// TestSASLAtStart has settings with which a server does not start.
func TestSASLAtStart(t *testing.T) {
	file, path := saslSettings(t)
	broken := filepath.Join(t.TempDir(), "broken.conf")
	if err := os.WriteFile(broken, []byte("Server {\n x.Y required;\n};"), 0o600); err != nil {
		t.Fatal(err)
	}
	ticket := filepath.Join(t.TempDir(), "ticket.conf")
	if err := os.WriteFile(ticket, []byte("Server { com.sun.security.auth.module.Krb5LoginModule required principal=x; };"), 0o600); err != nil {
		t.Fatal(err)
	}
	krb5 := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(krb5, []byte("[libdefaults]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		settings []string
		want     string
	}{
		{[]string{"java.security.auth.login.config=" + path + "x"}, "java.security.auth.login.config: open " + path + "x: no such file"},
		{[]string{"java.security.auth.login.config=" + broken}, "java.security.auth.login.config: " + broken + ":2: section Server: the login module x.Y is not known"},
		{[]string{file, "security.auth_to_local=RULE"}, `security.auth_to_local: "RULE" is no rule`},
		{[]string{file, "java.security.krb5.conf=" + krb5 + "x"}, "java.security.krb5.conf: open " + krb5 + "x: no such file"},
		{[]string{"java.security.auth.login.config=" + ticket, "java.security.krb5.conf=" + krb5}, "java.security.auth.login.config: " + ticket + ":1: section Server: it needs useKeyTab=true"},
		{[]string{"requireKerberosConfig=true", "java.security.krb5.conf=" + krb5}, "requireKerberosConfig: the configuration of Kerberos has no default_realm"},
	} {
		cfg, _, err := config.Load(config.Sources{Set: test.settings})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := Start(Options{Config: cfg, InMemory: true}); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", test.settings, err)
			if s != nil {
				s.Close()
			}
		}
	}
}

// TestSASLEntries is which identities of the scheme an ACL entry means.
func TestSASLEntries(t *testing.T) {
	file, _ := saslSettings(t)
	s := startServer(t, file, saslProvider, "letAnySaslUserDoX=anybody")
	for _, test := range []struct {
		id, entry string
		want      bool
	}{{"bob", "bob", true}, {"bob", "al", false}, {"bob", "anybody", true}, {"super", "al", true}, {"al", "super", false}, {"bob", "", false}} {
		acl := []jute.ACL{{Perms: jute.PermAll, Scheme: "sasl", ID: test.entry}}
		if got := s.auth.allowed(acl, jute.PermRead, []jute.ID{{Scheme: "sasl", ID: test.id}}); got != test.want {
			t.Errorf("%q on an entry for %q: %v", test.id, test.entry, got)
		}
	}
}

// TestSASLSilence is an end without an answer, as a response brings it about on which Java trips.
func TestSASLSilence(t *testing.T) {
	file, path := saslSettings(t)
	s := startServer(t, file, saslProvider, "allowSaslFailedClients=true")
	c, _ := saslConn(t, s, path, "Bob")
	for i, token := range []string{"", "maxbuf=x"} {
		if err := c.Request(int32(i), jute.OpSASL, &jute.SASLRequest{Token: []byte(token)}); err != nil {
			t.Fatal(err)
		}
		if h, _, err := c.Reply(); (err == nil) != (i == 0) {
			t.Errorf("%q: %+v, %v", token, h, err)
		}
	}
}

// TestSASLNobody is a user whose name is nothing once the realm is removed: no empty setting makes him the superuser.
func TestSASLNobody(t *testing.T) {
	a := saslAcceptor{superUsers: []string{""}, names: sasl.Names{RemoveRealm: true}}
	var err error
	if a.names.Rules, err = sasl.ParseRules("DEFAULT", "R"); err != nil {
		t.Fatal(err)
	}
	if ids, err := a.identities("@R"); err != nil || len(ids) != 1 || ids[0].Scheme != "sasl" {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestSASLPromise has somebody who knows the password of a session, and no more, wait for it no longer than the session's timeout.
func TestSASLPromise(t *testing.T) {
	setting, path := saslSettings(t)
	s := startServer(t, setting, saslProvider, "sessionRequireClientSASLAuth=true", "tickTime=100")
	c, exchange := saslConn(t, s, path, "Bob")
	if code := authenticate(t, c, exchange); code != jute.OK {
		t.Fatal(code)
	}
	var id int64
	for _, conn := range s.connections() {
		id = conn.session.Load().id
	}
	secret := password(id)
	nc := dial(t, s)
	_ = nc.SetDeadline(time.Now().Add(patience))
	thief := client.NewRawConn(nc)
	if answer, err := thief.Handshake(&jute.ConnectRequest{Timeout: 200, SessionID: id, Password: secret[:], HasReadOnly: true}); err != nil || answer.SessionID != id {
		t.Fatal(answer, err)
	}
	if frame, err := thief.Recv(); err != io.EOF {
		t.Errorf("%x, %v", frame, err)
	}
}
