//go:build unix

package sasl

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

const patience = 20 * time.Second

// long is false in the short form, which has fewer settings.
var long = os.Getenv("QUOLL_SASL") == "long"

// users are those of the JAAS file. Some have the names of Kerberos principals.
var users = map[string]string{
	"bob": "bobsecret", "super": "adminsecret", "al/host": "a", "eve@R": "e", "carl/host@R": "c", "carl@OTHER/x": "x", "a/b/c@R": "x", "a@b@c": "x", "boss": "b", "root": "r", "": "nobody",
	"@": "at", "jörg": "pässe", "юрий": "пароль", `qu"o\te`: `p"w\d`, "long": strings.Repeat("x", 3000),
}

// jaas writes a JAAS file with a section for servers.
func jaas(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("// Users of the tests.\nServer {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n")
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for user, password := range users {
		fmt.Fprintf(&b, "    \"user_%s\"=\"%s\"\n", quote.Replace(user), quote.Replace(password))
	}
	b.WriteString("  ;\n};\n")
	path := filepath.Join(t.TempDir(), "jaas.conf")
	peer.Check(t, os.WriteFile(path, []byte(b.String()), 0o600))
	return path
}

// flags are those of a server with the JAAS file and the provider of the scheme.
func flags(file string, more ...string) []string {
	return append([]string{
		"-Dfile.encoding=UTF-8", "-Djava.security.auth.login.config=" + file, "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
	}, more...)
}

// talk is one connection and what comes back on it, in which the nonce is a word.
type talk struct {
	t      *testing.T
	conn   *client.RawConn
	xid    int32
	nonce  string
	old    string // the nonce of the talk before
	proof  string // what the server has to answer to the last response
	record []string
	over   bool
	answer []byte // the last token of the server
	opaque bool   // tokens of servers are different each time
}

// begin makes a session.
func begin(t *testing.T, addr, old string) *talk {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	peer.Check(t, err)
	_ = nc.SetDeadline(time.Now().Add(patience))
	k := &talk{t: t, conn: client.NewRawConn(nc), old: old}
	_, err = k.conn.Handshake(&jute.ConnectRequest{Timeout: 30000, Password: make([]byte, jute.PasswordLength), HasReadOnly: true})
	peer.Check(t, err)
	return k
}

var noncePattern = regexp.MustCompile(`nonce="([^"]{40})"`)

// request sends a request and records the answer.
func (k *talk) request(op jute.Op, body []byte) {
	if k.over {
		return
	}
	k.xid++
	b := jute.AppendInt32(jute.AppendInt32(nil, k.xid), int32(op))
	err := k.conn.Send(append(b, body...))
	var answer []byte
	if err == nil {
		answer, err = k.conn.Recv()
	}
	if err != nil {
		k.ended(err)
		return
	}
	answer = bytes.Clone(answer)
	if m := noncePattern.FindSubmatch(answer); m != nil {
		k.nonce = string(m[1])
	}
	shown := string(answer[16:])
	if k.nonce != "" {
		shown = strings.ReplaceAll(shown, k.nonce, "NONCE")
	}
	if k.proof != "" {
		shown = strings.ReplaceAll(shown, k.proof, "PROOF")
	}
	if op == jute.OpSASL && len(answer) >= 20 {
		d := jute.NewDecoder(answer[16:])
		k.answer = bytes.Clone(d.Buffer())
	}
	if k.opaque && op == jute.OpSASL && len(answer) > 24 {
		answer, shown = answer[:20], "some token"
	}
	if op == jute.OpWhoAmI {
		shown = identities(k.t, answer[16:])
	}
	zxid := answer[4:12]
	if binary.BigEndian.Uint64(zxid) != 0 {
		zxid = []byte("zxid")
	}
	k.record = append(k.record, fmt.Sprintf("%x %x %x %q", answer[:4], zxid, answer[12:16], shown))
}

// identities are those of an answer to whoAmI, sorted.
func identities(t *testing.T, body []byte) string {
	t.Helper()
	var who jute.WhoAmIResponse
	d := jute.NewDecoder(body)
	who.Decode(&d)
	if d.Err() != nil {
		return "error"
	}
	var ids []string
	for _, info := range who.ClientInfo {
		ids = append(ids, info.AuthScheme+":"+info.User)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func (k *talk) ended(err error) {
	k.over = true
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		k.t.Fatalf("the connection ends with %v, after %q", err, k.record)
	}
	k.record = append(k.record, "closed")
}

func (k *talk) token(token string) { k.request(jute.OpSASL, jute.AppendBuffer(nil, []byte(token))) }

// response is one whose directives the caller may change before it is sent.
type response struct {
	user, realm, password, nonce, cnonce, uri, qop, nc string
	authzid                                            string
	latin1                                             bool // the text of the directives is in it
}

func (k *talk) good(user string) *response {
	return &response{user: user, realm: "zk-sasl-md5", password: users[user], nonce: k.nonce, cnonce: "cee7d7f4776b55e685da8db7", uri: "zookeeper/zk-sasl-md5", qop: "auth", nc: "00000001"}
}

// digest is independent of package sasl.
func (r *response) digest(method string) string {
	h := func(s string) string { sum := md5.Sum([]byte(s)); return string(sum[:]) }
	hexOf := func(s string) string { return hex.EncodeToString([]byte(h(s))) }
	a1 := h(latin1(r.user)+":"+latin1(r.realm)+":"+latin1(r.password)) + ":" + r.nonce + ":" + r.cnonce
	if r.authzid != "" {
		a1 += ":" + r.authzid
	}
	return hexOf(hexOf(a1) + ":" + r.nonce + ":" + r.nc + ":" + r.cnonce + ":" + r.qop + ":" + hexOf(method+":"+r.uri))
}

// latin1 is s in Latin-1 if it can be.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func (r *response) String() string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	user := r.user
	if r.latin1 {
		user = latin1(user)
	}
	s := fmt.Sprintf(`charset=utf-8,username="%s",realm="%s",nonce="%s",nc=%s,cnonce="%s",digest-uri="%s",maxbuf=65536,response=%s,qop=%s`,
		quote.Replace(user), r.realm, r.nonce, r.nc, r.cnonce, r.uri, r.digest("AUTHENTICATE"), r.qop)
	if r.authzid != "" {
		s += `,authzid="` + quote.Replace(r.authzid) + `"`
	}
	return s
}

// respond sends a response after it was changed.
func (k *talk) respond(r *response, edit func(string) string) {
	s := r.String()
	if edit != nil {
		s = edit(s)
	}
	k.proof = r.digest("")
	k.token(s)
}

// scene is something that a client does.
type scene struct {
	name string
	play func(k *talk)
}

// login is a scene of one user who does all well.
func login(user string) scene {
	return scene{"login " + user, func(k *talk) {
		k.token("")
		k.respond(k.good(user), nil)
	}}
}

// with changes the response of bob.
func with(name string, change func(k *talk, r *response)) scene {
	return scene{name, func(k *talk) {
		k.token("")
		r := k.good("bob")
		change(k, r)
		k.respond(r, nil)
		k.respond(k.good("bob"), nil)
	}}
}

// edited changes the text of the response of bob.
func edited(name string, edit func(string) string) scene {
	return scene{name, func(k *talk) {
		k.token("")
		k.respond(k.good("bob"), edit)
	}}
}

func replaced(old, new string) scene {
	return edited(fmt.Sprintf("%.60s for %s", new, old), func(s string) string {
		if !strings.Contains(s, old) {
			return s + ",nothing was replaced,"
		}
		return strings.Replace(s, old, new, 1)
	})
}

func without(directive string) scene {
	return edited("without "+directive, func(s string) string {
		return regexp.MustCompile(`(^|,)`+directive+`=("([^"\\]|\\.)*"|[^,]*)`).ReplaceAllString(s, "")
	})
}

func scenes() []scene {
	list := []scene{
		with("wrong password", func(_ *talk, r *response) { r.password = "x" }),
		with("wrong realm", func(_ *talk, r *response) { r.realm = "elsewhere" }),
		with("empty realm", func(_ *talk, r *response) { r.realm = "" }),
		with("realm in capitals", func(_ *talk, r *response) { r.realm = "ZK-SASL-MD5" }),
		with("unknown user", func(_ *talk, r *response) { r.user = "nemo" }),
		with("wrong nonce", func(_ *talk, r *response) { r.nonce = "x" }),
		with("replayed nonce", func(k *talk, r *response) { r.nonce = k.old }),
		with("nc of 2", func(_ *talk, r *response) { r.nc = "00000002" }),
		with("another cnonce", func(_ *talk, r *response) { r.cnonce = "x" }),
		with("another URI", func(_ *talk, r *response) { r.uri = "zookeeper/localhost" }),
		with("URI with a name", func(_ *talk, r *response) { r.uri = "zookeeper/zk-sasl-md5/x" }),
		with("URI in capitals", func(_ *talk, r *response) { r.uri = "ZooKeeper/zk-sasl-MD5" }),
		with("auth-int", func(_ *talk, r *response) { r.qop = "auth-int" }),
		with("auth-conf", func(_ *talk, r *response) { r.qop = "auth-conf" }),
		with("own authzid", func(_ *talk, r *response) { r.authzid = "bob" }),
		with("other authzid", func(_ *talk, r *response) { r.authzid = "super" }),
		with("user in Latin-1", func(_ *talk, r *response) { r.user, r.password, r.latin1 = "jörg", "pässe", true }),
		replaced("nc=00000001", "nc=00000002"), replaced("nc=00000001", "nonce-count=00000001"), replaced("nc=00000001", "nonce-count=+1"), replaced("nc=00000001", "nonce-count=2"),
		replaced("nc=00000001", "nonce-count=x"), replaced("nc=00000001", "nonce-count="), replaced("nc=00000001", "nonce-count=100000001"), replaced("nc=00000001", "nc=x"),
		replaced("maxbuf=65536", "maxbuf=x"), replaced("maxbuf=65536", "maxbuf=-1"), replaced("maxbuf=65536", "maxbuf=0"), replaced("maxbuf=65536", "maxbuf=99999999999"), replaced("maxbuf=65536", `maxbuf="+7"`),
		replaced("charset=utf-8", "charset=UTF-8"), replaced("charset=utf-8", "charset=latin1"), replaced("charset=utf-8", `charset="utf-8"`),
		replaced("qop=auth", `qop="auth"`), replaced("qop=auth", "qop=AUTH"), replaced("qop=auth", "qop="), replaced("qop=auth", "qop=auth,qop=auth"), replaced("qop=auth", "cipher=rc4"),
		replaced("qop=auth", "qop=auth,x=y,x=z"), replaced("qop=auth", "qop=auth,auth-param=a,auth-param=b"), replaced("qop=auth", "qop=auth,realm"), replaced("qop=auth", "qop=auth,x"),
		replaced("qop=auth", "qop=auth,"), replaced("qop=auth", "qop=auth ,\r\n\t"), replaced("qop=auth", "qop=auth,,,"), replaced("qop=auth", "qop=auth,x="), replaced("qop=auth", "qop=auth,x y=z"),
		replaced("qop=auth", "qop=auth,=z"), replaced("qop=auth", `qop="auth"x`), replaced("qop=auth", `qop="auth`), replaced("qop=auth", `qop="auth\`), replaced("qop=auth", "QOP=auth"),
		replaced("response=", `response="`), replaced("response=", "response=x"), replaced("response=", "RESPONSE="), replaced(`username="bob"`, `username=bob`), replaced(`username="bob"`, `username="b\ob"`),
		replaced(`username="bob",`, `username = "bob" `), replaced("charset", " \t charset"), replaced("charset", "\xff=\xfe,charset"), replaced(`username="bob"`, "username=\"bob\xff\""),
		replaced(`realm="zk-sasl-md5"`, `realm="zk-sasl-md5",realm="zk-sasl-md5"`), replaced(`username="bob"`, `username="bob",username="bob"`),
		without("charset"), without("username"), without("realm"), without("nonce"), without("nc"), without("cnonce"), without("digest-uri"), without("maxbuf"), without("response"), without("qop"),
		edited("in capitals", strings.ToUpper), edited("backwards", func(s string) string {
			parts := strings.Split(s, ",")
			slices.Reverse(parts)
			return strings.Join(parts, ",")
		}),
		edited("half", func(s string) string { return s[:len(s)/2] }), edited("twice", func(s string) string { return s + "," + s }),
		edited("4096 bytes", func(s string) string { return s + strings.Repeat(" ", 4096-len(s)) }),
		edited("wrong maxbuf and no user", func(s string) string { return "maxbuf=x" }), edited("wrong charset and maxbuf", func(s string) string { return "maxbuf=x,charset=y" }),
		{"nothing at all", func(k *talk) { k.token(""); k.token("") }},
		{"garbage", func(k *talk) { k.token(""); k.token("\x00\x01\x02\xff") }},
		{"garbage before all", func(k *talk) { k.token("\x00\x01\x02\xff"); k.respond(k.good("bob"), nil) }},
		{"4097 bytes before all", func(k *talk) { k.token(strings.Repeat("x", 4097)); k.token(""); k.respond(k.good("bob"), nil) }},
		{"4097 bytes for a response", func(k *talk) {
			k.token("")
			k.token(strings.Repeat("x", 4097))
			k.respond(k.good("bob"), nil)
		}},
		{"a response before the challenge", func(k *talk) { k.respond(k.good("bob"), nil); k.respond(k.good("bob"), nil) }},
		{"a token too many", func(k *talk) { k.token(""); k.respond(k.good("bob"), nil); k.token("") }},
		{"the response twice", func(k *talk) { k.token(""); k.respond(k.good("bob"), nil); k.respond(k.good("bob"), nil) }},
		{"null", func(k *talk) { k.request(jute.OpSASL, jute.AppendBuffer(nil, nil)) }},
		{"null after the challenge", func(k *talk) { k.token(""); k.request(jute.OpSASL, jute.AppendBuffer(nil, nil)) }},
		{"no record", func(k *talk) { k.request(jute.OpSASL, nil) }},
		{"half a record", func(k *talk) { k.request(jute.OpSASL, []byte{0, 0, 0, 5, 1}) }},
		{"negative length", func(k *talk) { k.request(jute.OpSASL, []byte{0xff, 0xff, 0xff, 0xfe}) }},
		{"a tail", func(k *talk) { k.request(jute.OpSASL, []byte{0, 0, 0, 0, 1, 2, 3}); k.respond(k.good("bob"), nil) }},
		{"auth packet", func(k *talk) {
			k.request(jute.OpAuth, (&jute.AuthPacket{Scheme: []byte("sasl"), Auth: []byte("bob")}).Append(nil))
		}},
		{"digest beside", func(k *talk) {
			k.request(jute.OpAuth, (&jute.AuthPacket{Scheme: []byte("digest"), Auth: []byte("d:d")}).Append(nil))
			k.token("")
			k.respond(k.good("bob"), nil)
		}},
		{"nobody", func(*talk) {}},
	}
	for user := range users {
		list = append(list, login(user))
	}
	slices.SortFunc(list, func(a, b scene) int { return strings.Compare(a.name, b.name) })
	return list
}

// firsts are clients that begin with something else where they have to authenticate: with every opcode there is, and some that there are not.
func firsts() []scene {
	var list []scene
	for _, op := range []jute.Op{-11, -10, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 99, 101, 103, 104, 105, 106, 107, 108} {
		for _, body := range []string{"", "garbage", "\x00\x00\x00\x02/a\x00"} {
			list = append(list, scene{fmt.Sprintf("first %d %q", op, body), func(k *talk) { k.request(op, []byte(body)) }})
		}
	}
	return list
}

// TestDigest plays scenes of clients that do everything right and wrong, under several settings, and compares all that the two servers answer.
func TestDigest(t *testing.T) {
	peer.RequireJVM(t)
	file := jaas(t)
	all := [][]string{
		{"zookeeper.superUser=boss", "zookeeper.superUser.2=root", "zookeeper.SASLAuthenticationProvider.superPassword=other"},
		{"zookeeper.allowSaslFailedClients=true", "zookeeper.kerberos.removeHostFromPrincipal=true", "zookeeper.security.auth_to_local=RULE:[2:$1](c.*)s/c/k/gRULE:[1:$2]"},
		{"zookeeper.sessionRequireClientSASLAuth=true", "zookeeper.allowSaslFailedClients=true", "zookeeper.kerberos.removeRealmFromPrincipal=true", "zookeeper.security.auth_to_local=RULE:[1:$1]RULE:[2:$1]"},
		{"zookeeper.enforce.auth.enabled=true", "zookeeper.enforce.auth.schemes=digest,sasl", "zookeeper.kerberos.removeHostFromPrincipal=TRUE"},
		{"zookeeper.enforce.auth.enabled=true", "zookeeper.enforce.auth.schemes=ip,digest", "zookeeper.kerberos.removeRealmFromPrincipal=true"},
	}
	if !long {
		all = all[:3]
	}
	for _, settings := range all {
		t.Run(strings.ReplaceAll(settings[0], "zookeeper.", ""), func(t *testing.T) {
			all := flags(file)
			for _, s := range settings {
				all = append(all, "-D"+s)
			}
			list := scenes()
			if strings.Contains(strings.Join(settings, " "), "sasl") || strings.Contains(settings[0], "Require") {
				list = append(list, firsts()...) // elsewhere these would be served
			}
			compare(t, peer.Options{Flags: all, Config: []string{"maxClientCnxns=0"}}, list)
		})
	}
}

// compare plays scenes at both servers.
func compare(t *testing.T, opts peer.Options, list []scene) {
	t.Helper()
	seen := map[string]map[string]string{}
	peer.Each(t, opts, func(t *testing.T, s *peer.Server) {
		records, old := map[string]string{}, ""
		for _, scene := range list {
			k := begin(t, s.Addr(), old)
			scene.play(k)
			k.request(jute.OpWhoAmI, nil)
			k.request(jute.OpPing, nil)
			k.request(jute.OpCloseSession, nil)
			k.conn.Close()
			records[scene.name], old = strings.Join(k.record, "\n"), k.nonce
		}
		seen[s.Kind()] = records
	})
	same, outcomes := 0, map[string]bool{}
	for _, scene := range list {
		java, quoll := seen["java"][scene.name], seen["quoll"][scene.name]
		if java != quoll {
			t.Errorf("%s:\njava\n%s\nquoll\n%s", scene.name, java, quoll)
			continue
		}
		same++
		outcomes[java] = true
	}
	t.Logf("%d scenes with %d different courses, all the same at both: %v", len(list), len(outcomes), same == len(list))
}
