package server

import (
	"net"
	"runtime"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// sink is a client that takes everything at once.
type sink struct {
	net.Conn
	bytes int
}

func (s *sink) Close() error { return nil }

func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return len(p), nil }

// hotRequests are the requests that most clients send most of the time, each without its length.
var hotRequests = []struct {
	name  string
	op    jute.Op
	body  client.Body
	reply int // bytes of the answer
}{
	{"getData", jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/app/config")}, 20 + 4 + 100 + 68},
	{"exists", jute.OpExists, &jute.PathWatchRequest{Path: []byte("/app/config")}, 20 + 68},
	{"ping", jute.OpPing, nil, 20},
}

// hotConn is a connection with a session, to a tree that has what hotRequests ask for; nothing reads it but the caller.
func hotConn(t testing.TB) (*conn, *sink) {
	s := startServer(t)
	cl := connect(t, s)
	for _, path := range []string{"/app", "/app/config"} {
		if _, err := cl.Create(t.Context(), path, make([]byte, 100), client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
	}
	out := &sink{Conn: remoteAddr{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}}}
	c := &conn{s: s, net: out, ipID: jute.ID{Scheme: "ip", ID: "127.0.0.1"}, lock: &s.locks[0].RWMutex, connReader: &connReader{now: time.Now()}}
	c.ids.Store(&[]jute.ID{c.ipID})
	c.query = query{s: s, c: c}
	c.attach(s.sessions.create(s.clock(c.now), 30_000))
	return c, out
}

func hotFrame(op jute.Op, body client.Body) []byte {
	b := (&jute.RequestHeader{Xid: 1, Type: int32(op)}).Append(nil)
	if body != nil {
		b = body.Append(b)
	}
	return b
}

// TestHotPathDoesNotAllocate pins the price of the commonest requests, alone and in a batch, from the decoded length to the socket.
func TestHotPathDoesNotAllocate(t *testing.T) {
	c, out := hotConn(t)
	for _, r := range hotRequests {
		for _, batch := range []int{1, 16} {
			frame := hotFrame(r.op, r.body)
			run := func() {
				c.now = time.Now()
				for range batch {
					if err := c.handle(frame); err != nil {
						t.Fatal(err)
					}
				}
				if !c.endBatch() {
					t.Fatal("the connection is closed")
				}
			}
			run()
			out.bytes = 0
			if n := testing.AllocsPerRun(1000, run); n != 0 {
				t.Errorf("%s, %d at a time: %v allocations for each batch", r.name, batch, n)
			}
			if want := r.reply * batch * 1001; out.bytes != want {
				t.Errorf("%s: %d bytes of replies, not %d", r.name, out.bytes, want)
			}
		}
	}
}

// TestManyPartsAreCopiedOnce reads the same short list many times in one request: the answer must not be copied again for each part.
func TestManyPartsAreCopiedOnce(t *testing.T) {
	c, _ := hotConn(t)
	var body []byte
	for range 20_000 {
		body = (&jute.MultiHeader{Type: int32(jute.OpGetChildren)}).Append(body)
		body = jute.AppendBool(jute.AppendString(body, "/app"), false)
	}
	c.query.ids, c.query.body = c.identities(), jute.MultiEnd.Append(body)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.query.run(ops[jute.OpMultiRead], jute.OpMultiRead, 1)
	runtime.ReadMemStats(&after)
	made, answer := after.TotalAlloc-before.TotalAlloc, uint64(len(c.query.b))
	if answer < 400_000 || made > 32*(uint64(len(body))+answer) {
		t.Errorf("%d bytes were allocated for an answer of %d to a request of %d", made, answer, len(body))
	}
}

// BenchmarkHotPath has each request once more while requests are sampled.
func BenchmarkHotPath(b *testing.B) {
	c, _ := hotConn(b)
	for _, r := range hotRequests {
		frame := hotFrame(r.op, r.body)
		run := func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.now = time.Now()
				if err := c.handle(frame); err != nil || !c.endBatch() {
					b.Fatal(err)
				}
			}
		}
		b.Run(r.name, run)
		c.s.sampling(time.Now()).off.Stop()
		b.Run(r.name+"Sampled", run)
		c.s.samples.Store(nil)
	}
}
