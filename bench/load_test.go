package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/jute"
)

// serveFloor serves f on loopback until the test ends.
func serveFloor(t *testing.T, f *floor) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		f.serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// counting counts the requests that a floor gets, by opcode.
func counting(f *floor) func(jute.Op) int64 {
	var mu sync.Mutex
	counts := make(map[jute.Op]int64)
	answer := f.answer
	f.answer = func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
		mu.Lock()
		counts[op]++
		mu.Unlock()
		return answer(b, xid, op, body)
	}
	return func(op jute.Op) int64 {
		mu.Lock()
		defer mu.Unlock()
		return counts[op]
	}
}

// TestEveryRow runs every row for a moment, so that the length of every reply is checked, and compares what the generator
// counts with what the server got.
func TestEveryRow(t *testing.T) {
	operations := map[string][]jute.Op{
		"get": {jute.OpGetData}, "set": {jute.OpSetData}, "exists": {jute.OpExists}, "multi10": {jute.OpMulti},
		"children": {jute.OpGetChildren2}, "children10k": {jute.OpGetChildren2}, "children100k": {jute.OpGetChildren2},
		"mixed90": {jute.OpGetData, jute.OpSetData}, "mixed50": {jute.OpGetData, jute.OpSetData},
	}
	for i, row := range table {
		if row.load == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			r, servers := *row.load, max(1, row.stage.members)
			var (
				got      cost
				count    func(jute.Op) int64
				duration = 10 * time.Millisecond
				err      = errNoReply
				all      bool // kinds of operations came in that moment
			)
			for ; errors.Is(err, errNoReply) || err == nil && !all && duration < 10*time.Second; duration *= 2 {
				f := newFloor()
				count = counting(f)
				var at target
				for range servers {
					at.addrs = append(at.addrs, serveFloor(t, f))
				}
				got, err = measure(at, "/row", r, timing{duration: duration}, uint64(i))
				all = true
				for _, op := range operations[r.name] {
					all = all && count(op) > 0
				}
			}
			duration /= 2
			if err != nil {
				t.Fatal(err)
			}
			counted := int64(got.ops*duration.Seconds() + 0.5)
			sent := int64(0)
			for _, op := range operations[r.name] {
				if count(op) == 0 {
					t.Errorf("no %v", op)
				}
				sent += count(op)
			}
			setUp := int64(1 + r.keys)
			if r.name == "create-delete" || r.name == "create-seq" {
				sent = count(jute.OpCreate) + count(jute.OpDelete) - 2*setUp
			} else if n := count(jute.OpCreate); n != setUp {
				t.Errorf("%d creates, want %d", n, setUp)
			}
			if count(jute.OpCreate) != count(jute.OpDelete) {
				t.Errorf("%d creates but %d deletes: the row leaves znodes behind", count(jute.OpCreate), count(jute.OpDelete))
			}
			// Those in flight at the end are not counted.
			if counted > sent || counted < sent-int64(r.conns*r.depth)-int64(r.conns) {
				t.Errorf("counted %d operations, the server got %d", counted, sent)
			}
			if got.p50 <= 0 || got.p50 > got.p99 || got.p99 > got.p999 {
				t.Errorf("percentiles %v %v %v", got.p50, got.p99, got.p999)
			}
			if n, want := count(jute.OpCloseSession), int64(r.conns+2+servers-1); n != want {
				t.Errorf("%d sessions closed, want %d", n, want)
			}
		})
	}
}

// TestEnsembleIsSpreadOver looks at what each of three servers gets: its share of the connections, and first of all a sync if it
// was not the one that the znodes were made on.
func TestEnsembleIsSpreadOver(t *testing.T) {
	var (
		at     target
		counts []func(jute.Op) int64
	)
	for range three.members {
		f := newFloor()
		counts = append(counts, counting(f))
		at.addrs = append(at.addrs, serveFloor(t, f))
	}
	if _, err := measure(at, "/row", load{named("exists/50x20/100B").load.workload, 30, 20, 100}, timing{duration: 100 * time.Millisecond}, 1); err != nil {
		t.Fatal(err)
	}
	for i, count := range counts {
		sessions, syncs := int64(10+2), int64(0)
		if i > 0 {
			sessions, syncs = 10+1, 1
		}
		if n := count(jute.OpCloseSession); n != sessions {
			t.Errorf("server %d: %d sessions, want %d", i, n, sessions)
		}
		if n := count(jute.OpSync); n != syncs {
			t.Errorf("server %d: %d syncs, want %d", i, n, syncs)
		}
		if count(jute.OpExists) == 0 {
			t.Errorf("server %d: no load", i)
		}
	}
}

func TestWindow(t *testing.T) {
	c, err := dial(serveFloor(t, newFloor()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exists := newStep(jute.OpExists, "/", noWatch, statLength)
	for _, tt := range []struct {
		name     string
		from, to time.Duration
		want     int64
	}{
		{"all", -time.Hour, time.Hour, 500},
		{"too late", -time.Hour, -time.Minute, 0},
		{"too early", time.Minute, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := newResult()
			w := window{time.Now().Add(tt.from), time.Now().Add(tt.to)}
			if err := c.drive(list(500, func(int) step { return exists }), 7, w, res); err != nil {
				t.Fatal(err)
			}
			if res.ops != tt.want || res.latency.TotalCount() != tt.want {
				t.Errorf("counted %d, recorded %d, want %d", res.ops, res.latency.TotalCount(), tt.want)
			}
		})
	}
	if len(c.in) != readBuffer {
		t.Errorf("the buffer has grown to %d bytes", len(c.in))
	}
}

// TestDepth holds every answer back until no further request comes, so that it sees how many are in flight.
func TestDepth(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	const depth, total = 5, 12
	seen := make(chan []int32, 10)
	go func() {
		defer server.Close()
		defer close(seen)
		buf := make([]byte, 4096)
		for sent := 0; sent < total; {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			var xids []int32
			for b := buf[:n]; len(b) > 0; b = b[4+binary.BigEndian.Uint32(b):] {
				xids = append(xids, int32(binary.BigEndian.Uint32(b[4:])))
			}
			seen <- xids
			var out []byte
			for _, xid := range xids {
				out = jute.AppendInt32(out, replyHeader)
				out = jute.AppendReplyHeader(out, xid, 1, jute.OK)
			}
			sent += len(xids)
			server.Write(out)
		}
	}()
	c := &conn{Conn: client}
	if err := c.drive(list(total, func(int) step { return remove("/a") }), depth, window{}, nil); err != nil {
		t.Fatal(err)
	}
	next := int32(1)
	for xids := range seen {
		if len(xids) > depth {
			t.Errorf("%d requests in flight, want %d at most", len(xids), depth)
		}
		for _, xid := range xids {
			if xid != next {
				t.Errorf("xid %d, want %d", xid, next)
			}
			next++
		}
	}
	if next != total+1 {
		t.Errorf("%d requests, want %d", next-1, total)
	}
}

// TestWrongReplies gives one wrong answer among thousands of right ones. Each must end the run.
func TestWrongReplies(t *testing.T) {
	errClosed := errors.New("the server closes the connection")
	for _, tt := range []struct {
		name   string
		answer func(f *floor, b []byte, xid int32, op jute.Op, body []byte) ([]byte, error)
		want   string
	}{
		{"xid", func(f *floor, b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
			return f.canned(b, xid+1, op, body)
		}, "expected"},
		{"code", func(_ *floor, b []byte, xid int32, _ jute.Op, _ []byte) ([]byte, error) {
			return jute.AppendReplyHeader(b, xid, 1, jute.ErrNoNode), nil
		}, "NoNode"},
		{"no body", func(_ *floor, b []byte, xid int32, _ jute.Op, _ []byte) ([]byte, error) {
			return jute.AppendReplyHeader(b, xid, 1, jute.OK), nil
		}, "16 bytes, expected"},
		{"long body", func(f *floor, b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
			b, err := f.canned(b, xid, op, body)
			return append(b, 0), err
		}, "bytes, expected"},
		{"no header", func(_ *floor, b []byte, _ int32, _ jute.Op, _ []byte) ([]byte, error) {
			return append(b, 1, 2, 3), nil
		}, "a frame of 3 bytes"},
		{"an event nobody asked for", func(_ *floor, b []byte, _ int32, _ jute.Op, _ []byte) ([]byte, error) {
			return jute.AppendReplyHeader(b, jute.XidEvent, -1, jute.OK), nil
		}, "xid -1"},
		{"end of the connection", func(*floor, []byte, int32, jute.Op, []byte) ([]byte, error) {
			return nil, errClosed
		}, io.EOF.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFloor()
			var mu sync.Mutex
			n := 0
			f.answer = func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
				mu.Lock()
				n++
				wrong := n == 5000
				mu.Unlock()
				if wrong {
					return tt.answer(f, b, xid, op, body)
				}
				return f.canned(b, xid, op, body)
			}
			mixed := load{named("mixed50/50x20/1024B").load.workload, 10, 20, 100}
			_, err := measure(target{addrs: []string{serveFloor(t, f)}}, "/row", mixed, timing{duration: time.Minute}, 1)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPing(t *testing.T) {
	f := newFloor()
	addr := serveFloor(t, f)
	conns, err := dialFleet(100, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conns.close()
	for range 2 {
		if err := conns.each(8, func(_ int, c *conn) error { return c.ping() }); err != nil {
			t.Fatal(err)
		}
	}
	f.answer = func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) { return f.canned(b, 7, op, body) }
	var wrong *wrongReply
	if err := conns[0].ping(); !errors.As(err, &wrong) {
		t.Errorf("ping = %v, want a wrong reply", err)
	}
}

func TestRefusedSession(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		server.Read(make([]byte, 100))
		b := (&jute.ConnectResponse{}).Append(make([]byte, 4))
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		server.Write(b)
	}()
	if _, err := open(client, time.Minute); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("open = %v", err)
	}
}

func TestPopulate(t *testing.T) {
	f := newFloor()
	count := counting(f)
	if err := populate(serveFloor(t, f), 2345); err != nil {
		t.Fatal(err)
	}
	if n := count(jute.OpCreate); n != 2345+3 {
		t.Errorf("%d creates, want 2345 below 3 parents", n)
	}
}
