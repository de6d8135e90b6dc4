package quorum

import (
	"net"
	"strings"
	"testing"
	"time"

	"quoll/config"
	"quoll/ensemble"
	"quoll/sasl"
	"quoll/zab/wire"
)

// TestProve has a server authenticate itself to some that do not play by the rules: it believes none that has not shown that it knows the password, and comes to an end.
func TestProve(t *testing.T) {
	const text = "S { org.apache.zookeeper.server.auth.DigestLoginModule required user_zk=secret username=zk password=secret; };"
	file, err := sasl.ParseFile("test", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	login, err := file.Login("S", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &authentication{config: config.QuorumSASL{LearnerRequires: true}, learner: login, members: func() *members { return &members{&ensemble.Config{}, &ensemble.Config{}} }}
	challenge := func() []byte {
		token, err := login.Server(saslProtocol, saslServer).Step(nil)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, test := range map[string]struct {
		answers []wire.AuthPacket
		err     string
	}{
		"success at once":          {[]wire.AuthPacket{{Status: wire.AuthSuccess, Token: []byte{}}}, "the other side is done too early"},
		"success without a token":  {[]wire.AuthPacket{{Status: wire.AuthSuccess}}, "the other side sent no token"},
		"success and a challenge":  {[]wire.AuthPacket{{Status: wire.AuthSuccess, Token: challenge()}}, "the other side is done too early"},
		"success without a proof":  {[]wire.AuthPacket{{Token: challenge()}, {Status: wire.AuthSuccess, Token: []byte("rspauth=00000000000000000000000000000000")}}, "does not know the password"},
		"success, and no rspauth":  {[]wire.AuthPacket{{Token: challenge()}, {Status: wire.AuthSuccess, Token: []byte{}}}, "authentication with SASL"},
		"an unknown status":        {[]wire.AuthPacket{{Status: 7, Token: challenge()}}, "the other side refuses"},
		"refused":                  {[]wire.AuthPacket{{Status: wire.AuthError, Token: []byte{}}}, "the other side refuses"},
		"empty tokens without end": {[]wire.AuthPacket{{Token: []byte{}}, {Token: []byte{}}, {Token: []byte{}}, {Token: []byte{}}, {Token: []byte{}}, {Token: []byte{}}, {Token: []byte{}}}, "does not come to an end"},
	} {
		here, there := net.Pipe()
		for _, c := range []net.Conn{here, there} {
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := wire.NewReader(there, 1<<20)
			for _, answer := range test.answers {
				if _, err := r.AuthPacket(); err != nil {
					return
				}
				if _, err := there.Write(answer.Append(nil)); err != nil {
					return
				}
			}
		}()
		err := a.authenticate(here, wire.NewReader(here, 1<<20), 1, true)
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, want %q", name, err, test.err)
		}
		here.Close()
		<-done
		there.Close()
	}
}
