package quorum_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quoll/config"
	"quoll/ensemble"
	"quoll/quorum"
	"quoll/sasl"
	"quoll/tlsconf/tlstest"
	"quoll/zab"
	"quoll/zab/wire"
)

// jaas writes a JAAS file in which a server has a password of its own, and the name of the user and password that it lets in; the setting names it.
func jaas(t *testing.T, own, others string) string {
	t.Helper()
	const module = "org.apache.zookeeper.server.auth.DigestLoginModule required"
	file := filepath.Join(t.TempDir(), "jaas.conf")
	text := fmt.Sprintf("QuorumServer { %[1]s user_zk=%[2]q; };\nQuorumLearner { %[1]s username=zk password=%[3]q; };\n", module, others, own)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "java.security.auth.login.config=" + file
}

var required = []string{"fips-mode=false", "quorum.auth.enableSasl=true", "quorum.auth.learnerRequireSasl=true", "quorum.auth.serverRequireSasl=true", "initLimit=1000", "syncLimit=1000"}

// TestAuthentication has servers authenticate themselves, an observer behind a follower among them, over TLS. Nobody who does not is let in, at any port.
func TestAuthentication(t *testing.T) {
	a := tlstest.New(t, "ours")
	master := freePort(t)
	c := secured(t, 4, a, append(required, jaas(t, "secret", "secret"), "sslQuorum=true", fmt.Sprintf("observerMasterPort=%d", master))...)
	for _, m := range c.members[:3] {
		m.start()
	}
	leader := c.leader()
	c.listens(master)
	c.members[3].start()
	c.leader()
	c.passedOn()
	c.create(c.members[3].dial(), "/a", nil)
	c.same()
	for _, m := range c.members {
		if strings.Contains(m.log.String(), "secret") {
			t.Errorf("server %d logs a password", m.id)
		}
	}
	leader.stop()
	c.leader()
}

// TestUnauthenticated is who does not get in: without a word of SASL, by saying that all is well, with a wrong password, and with tokens that never end.
func TestUnauthenticated(t *testing.T) {
	c := layOut(t, 1, append(required, jaas(t, "secret", "secret"), "standaloneEnabled=false", "reconfigEnabled=true", "server.9=other.member:1:2:observer")...)
	c.start()
	m := c.leader()
	initial := wire.InitialMessage{Version: wire.InitialV1, SID: 9, Addrs: []ensemble.Addr{{Host: "127.0.0.1", Port: 1}}}
	hello := map[int][]byte{m.quorum: nil, m.election: initial.Append(nil)}
	info := wire.LearnerInfo{SID: 9, ProtocolVersion: wire.ProtocolVersion}
	packet := wire.Packet{Type: wire.TypeObserverInfo, Data: info.Append(nil)}
	vote := wire.Notification{}
	first := map[int][]byte{m.quorum: packet.Append(nil), m.election: vote.AppendFrame(nil)}
	for port := range hello {
		for name, attack := range map[string]func(conn net.Conn, r *wire.Reader) error{
			"nothing": func(conn net.Conn, r *wire.Reader) error { return nil },
			"claim": func(conn net.Conn, r *wire.Reader) error {
				p := wire.AuthPacket{Status: wire.AuthSuccess, Token: []byte{}}
				_, err := conn.Write(p.Append(nil))
				return err
			},
			"wrong password": func(conn net.Conn, r *wire.Reader) error { return login(t, conn, r, "guess") },
			"wrong user":     func(conn net.Conn, r *wire.Reader) error { return nil },
			"no end": func(conn net.Conn, r *wire.Reader) error {
				for range 100 {
					p := wire.AuthPacket{Token: []byte("a=")}
					if _, err := conn.Write(p.Append(nil)); err != nil {
						return err
					}
				}
				return nil
			},
		} {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			r := wire.NewReader(conn, 1<<20)
			_, _ = conn.Write(hello[port])
			err = attack(conn, r)
			_, _ = conn.Write(first[port])
			for err == nil {
				var p wire.AuthPacket
				if p, err = r.AuthPacket(); err == nil && p.Status == wire.AuthSuccess {
					t.Errorf("%s at port %d: let in", name, port)
				}
			}
			if os.IsTimeout(err) || errors.Is(err, wire.ErrAuthMagic) {
				t.Errorf("%s at port %d: %v", name, port, err)
			}
			conn.Close()
		}
		// And who knows the password does.
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		r := wire.NewReader(conn, 1<<20)
		_, _ = conn.Write(hello[port])
		if err := login(t, conn, r, "secret"); err != nil {
			t.Errorf("port %d: %v", port, err)
		}
		conn.Close()
	}
	m.says("it does not authenticate itself")
}

// login is the side of SASL that has a password.
func login(t *testing.T, conn net.Conn, r *wire.Reader, password string) error {
	t.Helper()
	text := fmt.Sprintf("C { org.apache.zookeeper.server.auth.DigestLoginModule required username=zk password=%q; };", password)
	file, err := sasl.ParseFile("test", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := file.Login("C", nil)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := l.Client("zookeeper-quorum", "zk-quorum-sasl-md5", "")
	if err != nil {
		t.Fatal(err)
	}
	heard := wire.AuthPacket{Token: []byte{}}
	for !exchange.Done() {
		answer, err := exchange.Step(heard.Token)
		if err != nil {
			return err
		}
		if exchange.Done() {
			return nil
		}
		p := wire.AuthPacket{Token: answer}
		if _, err := conn.Write(p.Append(nil)); err != nil {
			return err
		}
		if heard, err = r.AuthPacket(); err != nil {
			return err
		}
		if heard.Status == wire.AuthError {
			return errors.New("refused")
		}
	}
	return nil
}

// TestWrongPassword has a server that the others do not let in; and one that would not let in the others, which follows them as long as none has to connect to it.
func TestWrongPassword(t *testing.T) {
	for name, file := range map[string]string{"learner": jaas(t, "guess", "secret"), "server": jaas(t, "secret", "other")} {
		t.Run(name, func(t *testing.T) {
			c := layOut(t, 3, append(required, jaas(t, "secret", "secret"))...)
			for _, m := range c.members[:2] {
				m.start()
			}
			c.leader()
			m := c.members[2]
			m.more = []string{file}
			m.start()
			if name == "server" {
				c.leader()
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.election))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				hello := wire.InitialMessage{Version: wire.InitialV1, SID: 2}
				_, _ = conn.Write(hello.Append(nil))
				if err := login(t, conn, wire.NewReader(conn, 1<<20), "secret"); err == nil {
					t.Error("it lets in who has another password")
				}
				return
			}
			for _, o := range c.members[:2] {
				o.says("does not fit its password")
			}
			m.says("authentication with SASL: the other side refuses")
			if s := m.peer.Status(); s.Role != zab.Looking {
				t.Errorf("server 3 is %v", s.Role)
			}
		})
	}
}

// TestAuthenticationRolling takes an ensemble from no authentication to one that is required, server by server.
func TestAuthenticationRolling(t *testing.T) {
	c := layOut(t, 3)
	file := jaas(t, "secret", "secret")
	c.start()
	c.leader()
	conn := c.members[0].dial()
	n := 0
	for _, until := range []int{2, 3, 4} {
		for _, m := range c.members {
			m.stop()
			m.more = append([]string{file}, required[:until]...)
			m.start()
			c.leader()
			n++
			c.create(conn, fmt.Sprint("/", n), nil)
		}
	}
	c.same()
}

// TestAuthenticationSettings are those with which no server starts.
func TestAuthenticationSettings(t *testing.T) {
	good := jaas(t, "secret", "secret")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("QuorumServer { x.Y required; };\nQuorumLearner { x.Y required; };"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		set  []string
		want string
	}{
		{[]string{good, "quorum.auth.learnerRequireSasl=true"}, "quorum.auth.learnerRequireSasl: servers do not use DIGEST-MD5 while fips-mode is on"},
		{[]string{"java.security.auth.login.config=/no/such/file"}, "java.security.auth.login.config: open /no/such/file"},
		{[]string{good, "quorum.auth.server.saslLoginContext=Mine"}, "quorum.auth.server.saslLoginContext: "},
		{[]string{good, "quorum.auth.learner.saslLoginContext=Mine"}, "quorum.auth.learner.saslLoginContext: "},
		{[]string{"java.security.auth.login.config=" + empty}, "quorum.auth.learner.saslLoginContext: " + empty + ":2"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		set := append([]string{"dataDir=" + dir, "initLimit=5", "syncLimit=5", "server.1=127.0.0.1:1:2", "server.2=127.0.0.1:3:4", "quorum.auth.enableSasl=true"}, test.set...)
		cfg, _, err := config.Load(config.Sources{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := quorum.Start(quorum.Options{Config: cfg}, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %s", test.set, err, test.want)
		}
	}
}
