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
