package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"quoll/jute"
)

// patience bounds waits that end at once unless something is broken.
const patience = 20 * time.Second

// fake is the server's end of the client under test. Each Accept is one connection.
type fake struct {
	t        *testing.T
	listener net.Listener
}

func newFake(t *testing.T) *fake {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &fake{t, listener}
}

func (f *fake) addr() string { return f.listener.Addr().String() }

// start connects a client whose events go to the channel.
func (f *fake) start(opts Options) (*Client, chan Event) {
	events := make(chan Event, 100)
	opts.OnEvent = func(e Event) { events <- e }
	c, err := New(f.addr()+"/root", opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Abandon)
	return c, events
}

type fakeConn struct {
	t *testing.T
	*RawConn
}

func (f *fake) accept() *fakeConn {
	f.t.Helper()
	conn, err := f.listener.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &fakeConn{f.t, NewRawConn(conn)}
}

// session accepts a connection and answers its connect request, which it returns.
func (f *fake) session(timeout time.Duration) (*fakeConn, jute.ConnectRequest) {
	f.t.Helper()
	c := f.accept()
	frame := c.recv()
	var req jute.ConnectRequest
	d := jute.NewDecoder(frame)
	req.Decode(&d)
	if d.Err() != nil {
		f.t.Fatal(d.Err())
	}
	resp := jute.ConnectResponse{Timeout: int32(timeout.Milliseconds()), SessionID: 77, HasReadOnly: true}
	copy(resp.Password[:], "0123456789abcdef")
	c.send(resp.Append(nil))
	return c, req
}

func (c *fakeConn) recv() []byte {
	c.t.Helper()
	frame, err := c.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Clone(frame)
}

func (c *fakeConn) send(body []byte) {
	c.t.Helper()
	if err := c.Send(body); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads a request of that opcode and returns its xid and what follows the header.
func (c *fakeConn) expect(op jute.Op) (int32, []byte) {
	c.t.Helper()
	d := jute.NewDecoder(c.recv())
	var h jute.RequestHeader
	h.Decode(&d)
	if jute.Op(h.Type) != op {
		c.t.Fatalf("request %v, want %v", jute.Op(h.Type), op)
	}
	return h.Xid, d.Rest()
}

func (c *fakeConn) reply(xid int32, zxid int64, code jute.Code, body Body) {
	c.t.Helper()
	b := jute.AppendReplyHeader(nil, xid, zxid, code)
	if body != nil {
		b = body.Append(b)
	}
	c.send(b)
}

// frame is one line of a transcript.
type frame struct {
	fromClient bool
	body       []byte // without the length
}

var comments = regexp.MustCompile(`\([^)]*\)|[a-zA-Z]\w*=|\[\d+\]=|[| ]`)

func transcript(t *testing.T, file string) []frame {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	for line := range strings.Lines(string(text)) {
		direction, fields, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || direction == "#" {
			continue
		}
		b, err := hex.DecodeString(comments.ReplaceAllString(fields, ""))
		if err != nil {
			t.Fatalf("%s: %v in %q", file, err, line)
		}
		frames = append(frames, frame{direction == "C>S", b[4:]})
	}
	return frames
}

// replay plays the server's part of a transcript and fails the test where the client leaves its own.
func (f *fake) replay(frames []frame) {
	conn, err := f.listener.Accept()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	raw := NewRawConn(conn)
	for _, want := range frames {
		if !want.fromClient {
			if err := raw.Send(want.body); err != nil {
				f.t.Error(err)
			}
			continue
		}
		got, err := raw.Recv()
		if err != nil || !bytes.Equal(got, want.body) {
			f.t.Errorf("the client sends\n%x, %v, want\n%x", got, err, want.body)
			return
		}
	}
}

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// start runs a call that blocks.
func start(call func(ctx context.Context) error) chan error {
	result := make(chan error, 1)
	go func() { result <- call(context.Background()) }()
	return result
}
