package hostile

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// forged is what would be a line of its own, with colours, if it reached a log as it is.
const forged = "\r\n\x1b[31mtime=2000-01-01T00:00:00Z level=INFO msg=forged\n2000-01-01 00:00:00,000 INFO o.a.z.a.Slf4jAuditLogger: user=forged\toperation=create\tresult=success\n\x00\x7f\u0085\u2028\u202e\xff"

// secret is in passwords and data; none of it may be in a log.
const secret = "5ecret-of-the-client"

// TestCVE2026_24308 sends bytes that would forge lines wherever a client may choose some, to the client port, a port for TLS, the AdminServer and the ports of other servers, and secrets where these belong.
// What the server and its audit log have then is lines of their own, printable, and without a secret.
func TestCVE2026_24308(t *testing.T) {
	dir := t.TempDir()
	audit := dir + "/audit.log"
	ports := make([]int, 4)
	for i := range ports {
		var err error
		if ports[i], err = peer.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	s := peer.Quoll(t, peer.Options{Work: dir, Config: []string{
		"audit.enable=true", "audit.file=" + audit, "4lw.commands.whitelist=*", "maxClientCnxns=0", "reconfigEnabled=true", "enforceQuota=true",
		"admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprintf("admin.serverPort=%d", ports[0]),
		"DigestAuthenticationProvider.superDigest=super:" + secret,
	}})
	raw := func() *client.RawConn {
		t.Helper()
		c, err := client.Dial(t.Context(), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	session := func() *client.RawConn {
		t.Helper()
		c := raw()
		if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	// As a path, data, ACL and version, of every opcode there is.
	text := []byte(forged)
	acl := []jute.ACLText{{Perms: 31, Scheme: text, ID: text}}
	open := []jute.ACLText{{Perms: 31, Scheme: []byte("world"), ID: []byte("anyone")}}
	for _, path := range [][]byte{text, append([]byte("/"), text...)} {
		for op := jute.Op(-12); op < 120; op++ {
			for _, body := range []client.Body{
				&jute.PathWatchRequest{Path: path, Watch: true},
				&jute.CreateRequest{Path: path, Data: []byte(secret), ACL: acl},
				&jute.CreateRequest{Path: path, Data: []byte(secret), ACL: open},
				&jute.SetDataRequest{Path: path, Data: []byte(secret), Version: -1},
				&jute.AddWatchRequest{Path: path},
				&jute.ReconfigRequest{JoiningServers: path, LeavingServers: path, NewMembers: path},
				&jute.SASLRequest{Token: path},
			} {
				c := session()
				if err := c.Request(1, op, body); err != nil {
					continue // it is closed already
				}
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, _, _ = c.Reply()
				c.Close()
			}
		}
	}
	// As a quota that cannot be read, which every write below it would complain about.
	c := session()
	for _, r := range []struct {
		op   jute.Op
		body client.Body
	}{
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/q"), ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/zookeeper/quota/q"), ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/zookeeper/quota/q/zookeeper_limits"), Data: text, ACL: open}},
		{jute.OpCreate, &jute.CreateRequest{Path: []byte("/zookeeper/quota/q/zookeeper_stats"), Data: text, ACL: open}},
		{jute.OpSetData, &jute.SetDataRequest{Path: []byte("/q"), Data: []byte("x"), Version: -1}},
	} {
		if err := c.Request(1, r.op, r.body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Reply(); err != nil {
			t.Fatal(err)
		}
	}
	// As who one is, and with which password.
	for _, p := range []jute.AuthPacket{
		{Scheme: text, Auth: []byte("bob:" + secret)}, {Scheme: []byte("digest"), Auth: append([]byte(secret+":"), secret...)}, {Scheme: []byte("digest"), Auth: append(text, ":"+secret...)},
		{Scheme: []byte("sasl"), Auth: []byte(secret)}, {Scheme: []byte(strings.Repeat(forged, 5000)), Auth: []byte(secret)},
	} {
		c := session()
		if err := c.Request(jute.XidAuth, jute.OpAuth, &p); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Reply(); err != nil {
			t.Fatal(err)
		}
		if p.Auth[0] == forged[0] {
			if err := c.Request(1, jute.OpCreate, &jute.CreateRequest{Path: []byte("/by-forger"), ACL: open}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Reply(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// In the place of a session, its password, or a word.
	if err := raw().Send((&jute.ConnectRequest{SessionID: 1, Password: text, LastZxidSeen: 1 << 60}).Append(nil)); err != nil {
		t.Fatal(err)
	}
	for _, begin := range []string{forged, "stat" + forged, "stmk" + forged, "GET /" + forged, "\x16\x03\x01" + forged} {
		c := raw()
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = io.ReadAll(c)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", ports[0])
	for _, request := range []string{
		"GET /commands/" + forged + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /commands/%0d%0a%1b%5b31mforged HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /commands/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: digest bob:" + secret + "\r\nX-Forwarded-For: \x1b[31mforged\r\n\r\n",
		"POST /commands/restore?" + "a=%0aforged" + " HTTP/1.1\r\nHost: x\r\nAuthorization: digest " + forged + "\r\n\r\n",
		"\x16\x03\x01" + forged,
	} {
		nc, err := net.Dial("tcp", admin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, request); err != nil {
			t.Error(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.ReadAll(nc)
		nc.Close()
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	log := s.Log()
	inspect(t, "the log", log, regexp.MustCompile(`^time=20\d\d-\S+ level=(DEBUG|INFO|WARN|ERROR) msg=`))
	written, err := os.ReadFile(audit)
	lines := string(written)
	if err != nil {
		t.Fatal(err)
	}
	inspect(t, "the audit log", lines, regexp.MustCompile(`^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|ERROR) o\.a\.z\.a\.Slf4jAuditLogger: `))
	if !strings.Contains(log, "authentication failed") || !strings.Contains(lines, `\u001b[31mtime`) || !strings.Contains(lines, "by-forger") {
		t.Errorf("not all of it has come so far:\n%.3000s", log)
	}
}

// inspect looks at every line of a log.
func inspect(t *testing.T, what, log string, form *regexp.Regexp) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		switch {
		case !form.MatchString(line), strings.HasPrefix(line, "time=2000"), strings.HasPrefix(line, "2000-"):
			t.Errorf("%s has the line %.300q", what, line)
		case strings.ContainsFunc(line, func(r rune) bool {
			return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0x202e
		}):
			t.Errorf("%s has what is not printable: %.300q", what, line)
		case strings.Contains(line, secret) && !strings.Contains(line, "user="+secret), strings.Contains(line, ":"+secret):
			t.Errorf("%s has a secret: %.300q", what, line)
		case len(line) > 50_000:
			t.Errorf("%s has a line of %d bytes: %.100q", what, len(line), line)
		}
	}
}
