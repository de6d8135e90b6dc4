package server

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// pipe connects to the server without a network.
func (s *Server) pipe() net.Conn {
	near, far := net.Pipe()
	s.admit(newcomer{Conn: far})
	return near
}

// FuzzConnection sends any bytes on a connection of their own beside a good client that must go on working. With connected they come
// after a handshake. With framed they are cut into frames, the first byte of each saying how long it is, so that the fuzzer need not find
// out about lengths.
func FuzzConnection(f *testing.F) {
	for op, row := range ops {
		if row.kind == refused {
			continue
		}
		path := jute.AppendString(nil, "/a")
		bodies := [][]byte{
			nil, path, append(slices.Clone(path), 1), jute.AppendInt32(slices.Clone(path), 3), jute.AppendInt32(jute.AppendBuffer(slices.Clone(path), []byte("data")), -1),
			(&jute.CreateRequest{Path: []byte("/a/b"), Data: []byte("data"), ACL: []jute.ACLText{{Perms: 31, Scheme: []byte("world"), ID: []byte("anyone")}}, Flags: 3}).Append(nil),
			client.MultiRequest{{Op: jute.OpDelete, Path: []byte("/a"), Version: -1}, {Op: jute.OpCheck, Path: []byte("/")}}.Append(nil),
			client.MultiRequest{{Op: jute.OpGetData, Path: []byte("/a")}, {Op: jute.OpGetChildren, Path: []byte("/")}}.Append(nil),
			(&jute.SetWatches2Request{Data: [][]byte{path}, Exist: [][]byte{}, Child: [][]byte{nil}, Persistent: [][]byte{}, PersistentRecursive: [][]byte{[]byte("/")}}).Append(nil),
			(&jute.AuthPacket{Scheme: []byte("digest"), Auth: []byte("a:b")}).Append(nil),
			(&jute.SASLRequest{Token: []byte(`username="bob",realm="zk-sasl-md5",nonce="n"`)}).Append(nil),
		}
		for _, body := range bodies {
			request := append((&jute.RequestHeader{Xid: 1, Type: int32(op)}).Append(nil), body...)
			f.Add(append([]byte{byte(len(request))}, request...), true, true)
		}
	}
	hello := (&jute.ConnectRequest{Timeout: 5000, Password: make([]byte, jute.PasswordLength), HasReadOnly: true}).Append(nil)
	f.Add(append([]byte{byte(len(hello))}, hello...), false, true)
	f.Add([]byte("srvr"), false, false)
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0}, true, false)

	file, _ := saslSettings(f)
	s := startServer(f, "extendedTypesEnabled=true", file, saslProvider)
	ctx := context.Background()
	good, err := client.Connect(ctx, "pipe", client.Options{Dial: func(context.Context, string) (net.Conn, error) { return s.pipe(), nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { good.Close() })
	if err := good.AddAuth(ctx, "digest", []byte("good:secret")); err != nil {
		f.Fatal(err)
	}
	mine := []jute.ACL{{Perms: jute.PermAll, Scheme: "auth"}}
	for _, path := range []string{"/good", "/good/child"} { // the child keeps its parent from being deleted
		if _, err := good.Create(ctx, path, nil, mine, jute.ModePersistent); err != nil {
			f.Fatal(err)
		}
	}

	f.Fuzz(func(t *testing.T, b []byte, connected, framed bool) {
		var stream []byte
		if connected {
			stream = append(jute.AppendInt32(nil, int32(len(hello))), hello...)
		}
		for framed && len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			stream = append(jute.AppendInt32(stream, int32(n)), b[1:1+n]...)
			b = b[1+n:]
		}
		evil := s.pipe()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, evil)
		}()
		evil.Write(append(stream, b...))
		evil.Close()
		<-drained
		eventually(t, "only the good client is connected", func() bool { return s.connectionCount() == 1 })
		if _, err := good.Set(t.Context(), "/good/child", b, -1); err != nil {
			t.Fatal(err)
		}
		if err := good.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.metrics.DigestMismatches.Load(); n != 0 {
			t.Fatalf("%d digest mismatches", n)
		}
	})
}

// FuzzAuth sends an authentication packet of any scheme with any data, on a connection that has shown no certificate. Either it is refused and the connection closed, or the connection
// has not become anybody that the data does not prove.
func FuzzAuth(f *testing.F) {
	for _, scheme := range []string{"digest", "ip", "x509", "sasl", "super", "world", "auth", "ensemble", "key", ""} {
		for _, auth := range []string{"", "bob:pw", ":", "super:", "super", "127.0.0.1", "CN=bob", "\x00\xff"} {
			f.Add([]byte(scheme), []byte(auth), int32(0))
		}
	}
	file, _ := saslSettings(f)
	s := startServer(f, "maxClientCnxns=0", file, saslProvider, "DigestAuthenticationProvider.superDigest=super:AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, scheme, auth []byte, typ int32) {
		nc := s.pipe()
		c := client.NewRawConn(nc)
		defer nc.Close()
		if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
			t.Fatal(err)
		}
		if err := c.Request(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Type: typ, Scheme: scheme, Auth: auth}); err != nil {
			t.Fatal(err)
		}
		h, _, err := c.Reply()
		if err != nil {
			return // what cannot be decoded
		}
		if err := c.Request(1, jute.OpWhoAmI, nil); err != nil && h.Err == 0 {
			t.Fatal(err)
		}
		_, body, err := c.Reply()
		if (err == nil) != (h.Err == 0) {
			t.Fatalf("scheme %q: the answer is %d, and then %v", scheme, h.Err, err)
		}
		if err != nil {
			return
		}
		var who jute.WhoAmIResponse
		d := jute.NewDecoder(body)
		who.Decode(&d)
		for _, id := range who.ClientInfo {
			if id.AuthScheme != "ip" && (id.AuthScheme != "digest" || jute.JavaText(scheme) != "digest") {
				t.Fatalf("scheme %q with %q has become %v", scheme, auth, who)
			}
		}
	})
}

// FuzzACL makes the ACL to store of any list, and asks it for every permission. What a list means does not change when it is made anew of what was stored.
func FuzzACL(f *testing.F) {
	for _, id := range []string{
		"anyone", "127.0.0.1/33", "127.0.0.1/+8", "::/129", "::1/-1", "1:2:3:4:5:6:7:8/128", "::ffff:1.2.3.4", "bob:x", "::::", "CN=a\\,b", "O=#0401", "a/b@R", "\xff",
	} {
		for _, scheme := range []string{"world", "auth", "ip", "digest", "x509", "sasl", "super", ""} {
			f.Add([]byte(scheme), []byte(id), int32(31), []byte("ip"), []byte("10.0.0.0/8"), "127.0.0.1")
		}
	}
	file, _ := saslSettings(f)
	s := startServer(f, file, saslProvider, "authProvider.9=org.apache.zookeeper.server.auth.X509AuthenticationProvider")
	f.Fuzz(func(t *testing.T, scheme1, id1 []byte, perms int32, scheme2, id2 []byte, from string) {
		ids := []jute.ID{{Scheme: "ip", ID: from}, {Scheme: "digest", ID: "bob:x"}, {Scheme: "x509", ID: string(id1)}}
		acl, code := s.auth.fix([]jute.ACLText{{Perms: perms, Scheme: scheme1, ID: id1}, {Perms: 1, Scheme: scheme2, ID: id2}}, ids)
		if code != jute.OK {
			return
		}
		var stored []jute.ACLText
		for _, a := range acl {
			if a.Scheme == "auth" || a.Scheme == "super" || s.auth.schemes[a.Scheme] == nil && (a.Scheme != "world" || a.ID != "anyone") {
				t.Fatalf("%v is stored", a)
			}
			stored = append(stored, jute.ACLText{Perms: a.Perms, Scheme: []byte(a.Scheme), ID: []byte(a.ID)})
		}
		again, code := s.auth.fix(stored, ids)
		for _, wanted := range []int32{jute.PermRead, jute.PermWrite, jute.PermCreate, jute.PermDelete, jute.PermAdmin} {
			if code == jute.OK && s.auth.allowed(acl, wanted, ids) != s.auth.allowed(again, wanted, ids) {
				t.Fatalf("%v and %v differ", acl, again)
			}
			if s.auth.allowed(acl, wanted, nil) && !slices.ContainsFunc(acl, func(a jute.ACL) bool { return a.Scheme == "world" && a.Perms&wanted != 0 }) {
				t.Fatalf("%v lets nobody in", acl)
			}
		}
	})
}

// FuzzConnect begins a session with any values and any end of the request: it is answered or closed, and whoever is welcome has asked for a new session.
func FuzzConnect(f *testing.F) {
	f.Add(int32(0), int64(0), int32(5000), int64(0), make([]byte, 16), []byte{0})
	f.Add(int32(-1), int64(-1), int32(-1), int64(-1), []byte(nil), []byte(nil))
	f.Add(int32(1), int64(1<<62), int32(1<<31-1), int64(1), []byte("x"), []byte{1, 2, 3})
	s := startServer(f, "maxClientCnxns=0")
	f.Fuzz(func(t *testing.T, version int32, seen int64, timeout int32, session int64, password, end []byte) {
		body := jute.AppendInt32(jute.AppendInt64(jute.AppendInt32(nil, version), seen), timeout)
		body = append(jute.AppendBuffer(jute.AppendInt64(body, session), password), end...)
		nc := s.pipe()
		defer nc.Close()
		c := client.NewRawConn(nc)
		if err := c.Send(body); err != nil {
			if len(body) <= connectLimit {
				t.Fatal(err)
			}
			return
		}
		frame, err := c.Recv()
		if err != nil {
			return
		}
		var r jute.ConnectResponse
		d := jute.NewDecoder(frame)
		if r.Decode(&d); d.Err() != nil {
			t.Fatal(d.Err())
		}
		if r.SessionID != 0 && session != 0 {
			t.Fatalf("session 0x%x is renewed with %x", session, password)
		}
	})
}
