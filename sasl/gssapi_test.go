package sasl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

const testRealm = "QUOLL.TEST"

// world is a realm without a KDC: tickets are made by hand.
type world struct {
	kerberos *Kerberos
	path     string
	table    *keytab.Keytab
}

func newWorld(t testing.TB, kinds ...int32) *world {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n\tdefault_realm = "+testRealm+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kerberos, err := ReadKerberos(conf)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{kerberos: kerberos, path: filepath.Join(dir, "k.keytab"), table: keytab.New()}
	for _, kind := range kinds {
		w.add(t, "zookeeper/host", "secret", kind)
	}
	return w
}

// add puts a key into the file.
func (w *world) add(t testing.TB, principal, password string, kind int32) {
	t.Helper()
	if err := w.table.AddEntry(principal, testRealm, password, time.Now().Add(-time.Hour), 1, kind); err != nil {
		t.Fatal(err)
	}
	data, err := w.table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// login is a section of a server.
func (w *world) login(options string) (*Login, error) {
	f, err := ParseFile("jaas.conf", "Server {\n com.sun.security.auth.module.Krb5LoginModule required "+options+"; };", func(string) (string, bool) { return w.path, true })
	if err != nil {
		return nil, err
	}
	return f.Login("Server", w.kerberos)
}

func (w *world) server(t testing.TB) *Login {
	t.Helper()
	l, err := w.login(`useKeyTab=true keyTab="${path}" storeKey=true principal="zookeeper/host"`)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckServer(); err != nil {
		t.Fatal(err)
	}
	return l
}

// client has a ticket for the server.
func (w *world) client(t testing.TB, name string, kind int32, from, to time.Time) *gssClient {
	t.Helper()
	c, ticket := w.ticket(t, name, kind, from, to)
	c.stage = func([]byte) ([]byte, error) { return c.show(ticket) }
	return c
}

func (w *world) ticket(t testing.TB, name string, kind int32, from, to time.Time) (*gssClient, messages.Ticket) {
	t.Helper()
	me := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, name)
	ticket, session, err := messages.NewTicket(me, testRealm, types.NewPrincipalName(nametype.KRB_NT_SRV_HST, "zookeeper/host"), testRealm, types.NewKrbFlags(), w.table, kind, 1, from, from, to, to)
	if err != nil {
		t.Fatal(err)
	}
	return &gssClient{me: me, realm: testRealm, server: "zookeeper/host", session: session}, ticket
}

// weak is the first token of a client with a ticket and a session of some types, and a key of its own that is good: a KDC goes by which keys there are, and by what the client can do.
func (w *world) weak(t testing.TB, kind, session int32) []byte {
	t.Helper()
	const good = etypeID.AES256_CTS_HMAC_SHA1_96
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	seal := func(record any, tag int, key types.EncryptionKey, usage uint32) types.EncryptedData {
		t.Helper()
		plain, err := asn1.Marshal(record)
		must(err)
		sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(plain, tag), key, usage, 1)
		must(err)
		return sealed
	}
	c, ticket := w.ticket(t, "bob", kind, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
	must(ticket.DecryptEncPart(w.table, nil))
	etype, err := crypto.GetEtype(session)
	must(err)
	part := ticket.DecryptedEncPart
	part.Key, err = types.GenerateEncryptionKey(etype)
	must(err)
	key, _, err := w.table.GetEncryptionKey(ticket.SName, testRealm, 1, kind)
	must(err)
	ticket.EncPart = seal(part, asnAppTag.EncTicketPart, key, keyusage.KDC_REP_TICKET)
	c.session = part.Key
	token, err := c.show(ticket)
	must(err)
	message, err := cutToken(token, apRequest)
	must(err)
	var req messages.APReq
	must(req.Unmarshal(message))
	etype, err = crypto.GetEtype(good)
	must(err)
	c.shown.SubKey, err = types.GenerateEncryptionKey(etype)
	must(err)
	req.EncryptedAuthenticator = seal(c.shown, asnAppTag.Authenticator, c.session, keyusage.AP_REQ_AUTHENTICATOR)
	message, err = req.Marshal()
	must(err)
	token, err = makeToken(apRequest, message)
	must(err)
	return token
}

func (w *world) now(t testing.TB, name string, kind int32) *gssClient {
	return w.client(t, name, kind, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
}

func TestGSSAPI(t *testing.T) {
	for _, kind := range encryptions {
		if kind == etypeID.AES256_CTS_HMAC_SHA384_192 {
			continue // the library's NewTicket makes a session key that is too short; compat/sasl has a KDC that does it right
		}
		w := newWorld(t, kind)
		c, s := w.now(t, "bob/there", kind), w.server(t).Server("", "")
		if err := play(c, s); err != nil || s.Peer() != "bob/there@"+testRealm || c.Peer() != "zookeeper/host" {
			t.Errorf("type %d: %v: %q, %q", kind, err, s.Peer(), c.Peer())
		}
		for _, e := range []Exchange{c, s} {
			if _, err := e.Step(nil); !errors.Is(err, errOver) {
				t.Errorf("type %d: after the end %v", kind, err)
			}
		}
	}
}

// TestGSSAPIWithoutMutual is the way of a client that does not ask the server to prove itself, as Java's do not.
func TestGSSAPIWithoutMutual(t *testing.T) {
	w := newWorld(t, etypeID.AES256_CTS_HMAC_SHA1_96)
	c, s := w.now(t, "bob", etypeID.AES256_CTS_HMAC_SHA1_96), w.server(t).Server("", "")
	c.undemanding = true
	if err := play(c, s); err != nil || s.Peer() != "bob@"+testRealm {
		t.Errorf("%v: %q", err, s.Peer())
	}
}

// TestGSSAPIRefuses has tokens that must not get in, at each stage.
func TestGSSAPIRefuses(t *testing.T) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(t, kind)
	w.add(t, "other/host", "other", kind)
	login := w.server(t)
	token := func(c *gssClient) []byte {
		b, err := c.Step(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := token(w.now(t, "bob", kind))
	if _, err := login.Server("", "").Step(good); err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, i int) []byte { b = bytes.Clone(b); b[i] ^= 1; return b }
	// What is cut within the messages, so that all the lengths around it are right: the library must not make the process end.
	edited := func(edit func(*messages.APReq)) []byte {
		message, err := cutToken(token(w.now(t, "bob", kind)), apRequest)
		if err != nil {
			t.Fatal(err)
		}
		var req messages.APReq
		if err := req.Unmarshal(message); err != nil {
			t.Fatal(err)
		}
		edit(&req)
		if message, err = req.Marshal(); err != nil {
			t.Fatal(err)
		}
		b, err := makeToken(apRequest, message)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, bad := range map[string][]byte{
		"a ticket of four bytes":         edited(func(r *messages.APReq) { r.Ticket.EncPart.Cipher = r.Ticket.EncPart.Cipher[:4] }),
		"a ticket for nobody":            edited(func(r *messages.APReq) { r.Ticket.SName.NameString = nil }),
		"a ticket of no realm":           edited(func(r *messages.APReq) { r.Ticket.Realm = "" }),
		"an authenticator of four bytes": edited(func(r *messages.APReq) { r.EncryptedAuthenticator.Cipher = r.EncryptedAuthenticator.Cipher[:4] }),
		"nothing":                        {}, "garbage": []byte("garbage"), "shown before": good, "cut": good[:len(good)-1], "long": make([]byte, maxGSSToken+1),
		"late": token(w.client(t, "bob", kind, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))), "early": token(w.client(t, "bob", kind, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))),
		"changed at the end": flip(token(w.now(t, "bob", kind)), len(good)-1), "changed in the ticket": flip(token(w.now(t, "bob", kind)), 200),
	} {
		s := login.Server("", "")
		if answer, err := s.Step(bad); err == nil || answer != nil || s.Done() {
			t.Errorf("%s: %x, %v", name, answer, err)
		}
		if _, err := s.Step(good); !errors.Is(err, errOver) {
			t.Errorf("%s: a second try ends with %v", name, err)
		}
	}
	for name, bad := range map[string]func(c *gssClient, offer []byte) []byte{
		"nothing":   func(*gssClient, []byte) []byte { return nil },
		"the offer": func(_ *gssClient, offer []byte) []byte { return offer },
		"short":     func(c *gssClient, _ []byte) []byte { b, _ := c.context.wrap([]byte{1, 0, 0}); return b },
		"integrity": func(c *gssClient, _ []byte) []byte { b, _ := c.context.wrap([]byte{2, 0, 0, 0}); return b },
		"no layer":  func(c *gssClient, _ []byte) []byte { b, _ := c.context.wrap([]byte{0, 0, 0, 0}); return b },
		"changed":   func(c *gssClient, _ []byte) []byte { b, _ := c.context.wrap([]byte{1, 0, 0, 0}); return flip(b, 17) },
		"encrypted": func(c *gssClient, _ []byte) []byte { b, _ := c.context.wrap([]byte{1, 0, 0, 0}); b[2] |= 2; return b },
		"another key": func(c *gssClient, _ []byte) []byte {
			c.context.key = c.session
			b, _ := c.context.wrap([]byte{1, 0, 0, 0})
			return b
		},
	} {
		c, s := w.now(t, "bob", kind), login.Server("", "")
		c.undemanding = true
		offer, err := s.Step(token(c))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Step(bad(c, offer))
		if err == nil || answer != nil || s.Done() || s.Peer() != "" || errors.Is(err, ErrSilent) != (name == "short") {
			t.Errorf("%s: %x, %v, %q", name, answer, err, s.Peer())
		}
	}
}

// TestGSSAPIOldKeys has a keytab with old keys beside a good one, as the upgrade of an old realm leaves it: nothing that is proved with them counts.
func TestGSSAPIOldKeys(t *testing.T) {
	const good, rc4, des3 = etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.RC4_HMAC, etypeID.DES3_CBC_SHA1_KD
	w := newWorld(t, good, rc4, des3)
	login := w.server(t)
	for _, test := range []struct {
		ticket, session int32
		refused         string
	}{{good, good, ""}, {rc4, good, "the ticket"}, {des3, good, "the ticket"}, {good, rc4, "the session's key"}, {good, des3, "the session's key"}} {
		answer, err := login.Server("", "").Step(w.weak(t, test.ticket, test.session))
		if refused := err != nil && strings.HasPrefix(err.Error(), test.refused) && strings.Contains(err.Error(), "zookeeper/host@"+testRealm); refused != (test.refused != "") || refused != (answer == nil) {
			t.Errorf("a ticket of type %d with a session of type %d: %x, %v", test.ticket, test.session, answer, err)
		}
	}
}

// TestWrapTurned is a message whose signature is in front, as Windows sends it.
func TestWrapTurned(t *testing.T) {
	key := types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: bytes.Repeat([]byte{7}, 32)}
	token, err := (&gssContext{key: key}).wrap([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	body := token[16:]
	turned := append(bytes.Clone(token[:16]), append(bytes.Clone(body[5:]), body[:5]...)...)
	binary.BigEndian.PutUint16(turned[6:], 12)
	for _, b := range [][]byte{token, turned} {
		if got, err := (&gssContext{key: key, acceptor: true}).unwrap(b); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestClientKnowsServer has servers without the key of the service.
func TestClientKnowsServer(t *testing.T) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(t, kind)
	c, s := w.now(t, "bob", kind), w.server(t).Server("", "")
	first, err := c.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.Step(first)
	if err != nil {
		t.Fatal(err)
	}
	other := w.now(t, "bob", kind)
	if _, err := other.Step(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Step(reply); err == nil {
		t.Error("the reply to another client is believed")
	}
	broken := bytes.Clone(reply)
	broken[len(broken)-1] ^= 1
	for _, who := range []types.Authenticator{{CTime: c.shown.CTime, Cusec: c.shown.Cusec + 1}, {CTime: c.shown.CTime.Add(time.Second), Cusec: c.shown.Cusec}} {
		other := *c
		other.stage = other.believe
		forged, err := replyTo(&who, c.session, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Step(forged); err == nil {
			t.Error("a reply to something else is believed")
		}
	}
	if _, err := c.Step(broken); err == nil || c.Done() {
		t.Error("a broken reply is believed")
	}
}

// TestKeytabChanges has a new key in the file of a server that runs.
func TestKeytabChanges(t *testing.T) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(t, kind)
	login := w.server(t)
	if err := os.WriteFile(w.path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := play(w.now(t, "bob", kind), login.Server("", "")); err != nil {
		t.Errorf("a file that is just being written: %v", err)
	}
	w.table = keytab.New()
	w.add(t, "zookeeper/host", "new secret", kind)
	if err := play(w.now(t, "bob", kind), login.Server("", "")); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}

func TestKerberosLoginErrors(t *testing.T) {
	w := newWorld(t, etypeID.AES256_CTS_HMAC_SHA1_96)
	w.add(t, "old/host", "secret", etypeID.RC4_HMAC)
	const where = "jaas.conf:2: section Server: "
	for options, want := range map[string]string{
		``:                             "it needs useKeyTab=true",
		`useKeyTab=true keyTab="${x}"`: "it needs principal",
		`useKeyTab=true keyTab="${x}" principal="*"`:                   "it needs principal",
		`useKeyTab=true keyTab="${x}" principal="zookeeper/elsewhere"`: w.path + ": no key of zookeeper/elsewhere@QUOLL.TEST; it has keys of zookeeper/host@QUOLL.TEST, old/host@QUOLL.TEST",
		`useKeyTab=true keyTab="${x}" principal="zookeeper/host@ELSE"`: w.path + ": no key of zookeeper/host@ELSE",
		`useKeyTab=true keyTab="${x}" principal="old/host"`:            w.path + ": the keys of old/host@QUOLL.TEST are of types that are too old",
		`useKeyTab=true keyTab="${x}.no" principal="zookeeper/host"`:   "stat " + w.path + ".no: no such file",
	} {
		if _, err := w.login(options); err == nil || !strings.HasPrefix(err.Error(), where+want) {
			t.Errorf("%s: %v", options, err)
		}
	}
	if _, err := (&world{}).login(`useKeyTab=true`); !errors.Is(err, ErrNoKerberos) {
		t.Error(err)
	}
	w.add(t, "bob", "secret", etypeID.AES256_CTS_HMAC_SHA1_96)
	for options, want := range map[string]string{
		`useTicketCache=true ticketCache="/tmp/x"`:     "a server needs a keytab",
		`useKeyTab=true keyTab="${x}" principal="bob"`: "the principal of a server is service/host@REALM, not bob@QUOLL.TEST",
	} {
		l, err := w.login(options)
		if err != nil {
			t.Errorf("%s: %v", options, err)
		} else if err = l.CheckServer(); err == nil || err.Error() != where+want {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestReadKerberos(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("d/a.conf", "[realms]\n A = {\n  kdc = a:88\n }\n")
	write("d/b", "[libdefaults]\n default_realm = B\n")
	write("d/c.rpmsave", "[libdefaults]\n default_realm = C\n")
	write("d/.d.conf", "[libdefaults]\n default_realm = D\n")
	main := write("krb5.conf", "includedir "+dir+"/d\n# comment\n[libdefaults]\n dns_lookup_kdc = false\n[realms]\n B = {\n  kdc = b:88\n }\n")
	k, err := ReadKerberos(main)
	if err != nil || k.DefaultRealm() != "B" || len(k.conf.Realms) != 2 {
		t.Errorf("%v, %q, %+v", err, k.DefaultRealm(), k.conf)
	}
	loop := write("loop.conf", "")
	write("loop.conf", "include "+loop+"\n")
	for path, want := range map[string]string{loop: "too deep", filepath.Join(dir, "no"): "no such file", write("bad.conf", "[libdefaults]\n clockskew = long\n"): "clockskew"} {
		if _, err := ReadKerberos(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if (*Kerberos)(nil).DefaultRealm() != "" {
		t.Error("no configuration has a realm")
	}
}

func TestReplays(t *testing.T) {
	var r replays
	for i, want := range []error{nil, errReplay} {
		if err := r.add([]byte("a"), time.Hour); !errors.Is(err, want) {
			t.Errorf("%d: %v", i, err)
		}
	}
	r.turned = r.turned.Add(-61 * time.Minute)
	if err := r.add([]byte("b"), time.Hour); err != nil {
		t.Error(err)
	}
	if err := r.add([]byte("a"), time.Hour); !errors.Is(err, errReplay) {
		t.Errorf("one generation later: %v", err)
	}
	r.turned = r.turned.Add(-61 * time.Minute)
	for _, s := range []string{"c", "a"} {
		if err := r.add([]byte(s), time.Hour); err != nil {
			t.Errorf("%s, two generations later: %v", s, err)
		}
	}
	r.turned = r.turned.Add(-121 * time.Minute)
	if err := r.add([]byte("c"), time.Hour); err != nil || len(r.old) != 0 {
		t.Errorf("after a long time: %v, %d", err, len(r.old))
	}
}

// FuzzGSSServer and FuzzGSSClient send any tokens, from the beginning and in the middle.
func FuzzGSSServer(f *testing.F) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(f, kind)
	login := w.server(f)
	c := w.now(f, "bob", kind)
	good, err := c.Step(nil)
	if err != nil {
		f.Fatal(err)
	}
	choice, err := c.context.wrap([]byte{1, 0, 0, 0})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, choice)
	f.Add(good[:40], choice[:16])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := login.Server("", "")
		if _, err := s.Step(first); err == nil && !bytes.Equal(first, good) {
			t.Skip("a good token in another encoding")
		}
		s = newGSSServer(login.principal)
		s.(*gssServer).context = gssContext{key: c.context.key, acceptor: true}
		s.(*gssServer).stage = s.(*gssServer).choose
		if _, err := s.Step(second); err == nil && !s.Done() {
			t.Fatal("neither done nor an error")
		}
	})
}

func FuzzGSSClient(f *testing.F) {
	const kind = etypeID.AES256_CTS_HMAC_SHA1_96
	w := newWorld(f, kind)
	c := w.now(f, "bob", kind)
	good, err := c.Step(nil)
	if err != nil {
		f.Fatal(err)
	}
	s := w.server(f).Server("", "")
	reply, err := s.Step(good)
	if err != nil {
		f.Fatal(err)
	}
	offer, err := s.Step([]byte{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply, offer)
	f.Add(reply[:30], offer[:20])
	f.Fuzz(func(t *testing.T, reply, offer []byte) {
		for _, stage := range []func(*gssClient) func([]byte) ([]byte, error){
			func(c *gssClient) func([]byte) ([]byte, error) { return c.believe }, func(c *gssClient) func([]byte) ([]byte, error) { return c.choose },
		} {
			copied := *c
			copied.stage = stage(&copied)
			_, _ = copied.Step(reply)
			_, _ = copied.Step(offer)
		}
	})
}
