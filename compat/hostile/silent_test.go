package hostile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// settings are lines of zoo.cfg for servers with many and short sessions.
func settings(lines ...string) []string {
	return append([]string{"maxClientCnxns=0", "tickTime=500", "maxSessionTimeout=60000", "4lw.commands.whitelist=*"}, lines...)
}

// connections is how many connections the server has, without the one that asks.
func connections(s *peer.Server) (int, error) {
	answer, err := s.FourLetter("srvr")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(answer) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Connections: "); ok {
			n, err := strconv.Atoi(text)
			return n - 1, err
		}
	}
	return 0, fmt.Errorf("no number of connections in %q", answer)
}

// awaitConnections polls until the server has that many.
func awaitConnections(t *testing.T, s *peer.Server, want int) {
	t.Helper()
	poll(t, func() error {
		n, err := connections(s)
		if err == nil && n != want {
			err = fmt.Errorf("%d connections, waiting for %d", n, want)
		}
		return err
	})
}

// TestSilentSockets opens thousands of connections that announce a large frame and then send nothing, before and after the handshake.
func TestSilentSockets(t *testing.T) {
	total := size(2_000, 10_000)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if room := int(files.Cur) - 200; total > room {
		t.Logf("only %d connections in place of %d: the limit of open files is %d", room, total, files.Cur)
		total = room
	}
	s := peer.Quoll(t, peer.Options{Config: settings("minSessionTimeout=1000"), Flags: []string{"-Dzookeeper.nio.sessionlessCnxnTimeout=20000"}})
	stop := workBeside(t, s.Addr())
	before := resident(t, s.PID())
	for i := range total {
		var conn net.Conn
		var err error
		length := []byte{0, 0x0f, 0xff, 0xff}
		if i%2 == 0 {
			length = []byte{0, 0, 0x0f, 0xff} // what begins a session may not be longer
			conn, err = net.Dial("tcp", s.Addr())
		} else {
			conn, err = openSession(s.Addr(), 20*time.Second)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(append(length, make([]byte, i%100)...)); err != nil {
			t.Fatal(err)
		}
	}
	awaitConnections(t, s, total+1)
	grown := resident(t, s.PID()) - before
	t.Logf("%d silent connections take %d MiB, %d bytes each", total, grown>>20, grown/int64(total))
	if grown/int64(total) > 32<<10 {
		t.Errorf("a silent connection takes %d bytes", grown/int64(total))
	}
	// Those without a session have a time limit of their own, the others that of their sessions.
	awaitConnections(t, s, 1)
	stop()
}

// TestReadersThatDoNotRead has clients ask for far more than they take, and watch what changes all the time.
func TestReadersThatDoNotRead(t *testing.T) {
	const large = 1_000_000
	readers := size(8, 40)
	s := peer.Quoll(t, peer.Options{Config: settings("minSessionTimeout=1000"), Flags: []string{"-Dzookeeper.nio.sessionlessCnxnTimeout=3000"}})
	c := connect(t, s.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if _, err := c.Create(ctx, "/large", make([]byte, large), client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	// Events are as long as paths.
	long := "/" + strings.Repeat("p", 100_000)
	if _, err := c.Create(ctx, long, nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	stop := workBeside(t, s.Addr())
	before := resident(t, s.PID())

	for _, attack := range []struct {
		name string
		send func(conn *client.RawConn) error
	}{
		{"getData", func(conn *client.RawConn) error {
			return requests(conn, 2000, jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/large")})
		}},
		{"getData behind writes", func(conn *client.RawConn) error {
			for range 20 {
				if err := requests(conn, 1, jute.OpSetData, &jute.SetDataRequest{Path: []byte("/large"), Version: 1 << 30}); err != nil {
					return err
				}
				if err := requests(conn, 100, jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/large")}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"multiRead", func(conn *client.RawConn) error {
			var m client.MultiRequest
			for range 20_000 {
				m = append(m, jute.Operation{Op: jute.OpGetData, Path: []byte("/large")})
			}
			return requests(conn, 1, jute.OpMultiRead, m)
		}},
		{"closeSession", func(conn *client.RawConn) error {
			if err := requests(conn, 200, jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/large")}); err != nil {
				return err
			}
			return requests(conn, 1, jute.OpCloseSession, nil)
		}},
		{"events", func(conn *client.RawConn) error {
			return requests(conn, 1, jute.OpAddWatch, &jute.AddWatchRequest{Path: []byte("/"), Mode: int32(jute.AddWatchPersistentRecursive)})
		}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			var senders sync.WaitGroup
			for range readers {
				conn := session(t, s.Addr(), 3*time.Second)
				conn.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
				conn.SetDeadline(time.Now().Add(deadline))
				senders.Go(func() {
					// The server stops reading, and later closes the connection: that is no failure.
					_ = attack.send(conn)
				})
			}
			if attack.name == "events" {
				senders.Wait()
				pipeline(t, c, 800, func(int) (jute.Op, client.Body) {
					return jute.OpSetData, &jute.SetDataRequest{Path: []byte(long), Version: -1}
				})
			}
			most := int64(0)
			// They are never heard of again: their sessions expire, and no connection may outlive its session.
			poll(t, func() error {
				most = max(most, resident(t, s.PID())-before)
				n, err := connections(s)
				if err == nil && n != 2 {
					err = fmt.Errorf("%d connections are left, waiting for 2", n)
				}
				return err
			})
			senders.Wait()
			t.Logf("%d readers that do not read took at most %d MiB", readers, most>>20)
			// 64 MiB for each reader and 1 GiB for all is what the server keeps; collecting garbage takes some times that.
			if limit := int64(4*min(64*readers, 1024) + 200); most>>20 > limit {
				t.Errorf("%d MiB more are in use than before, the limit is %d", most>>20, limit)
			}
		})
	}
	stop()
}

func requests(conn *client.RawConn, n int, op jute.Op, body client.Body) error {
	for i := range n {
		if err := conn.Request(int32(i), op, body); err != nil {
			return err
		}
	}
	return nil
}

// TestLargeAnswers asks at once for more than the server keeps for a client that does not read; but this one reads. Each read must see the
// writes before it on the connection, and none after.
func TestLargeAnswers(t *testing.T) {
	const large = 1_000_000
	for _, reads := range [][]int{ // between one write and the next
		{300},
		{0, 300},
		{0, 5, 10, 0, 0, 20, 1, 300},
	} {
		t.Run(fmt.Sprint(reads), func(t *testing.T) {
			s, _ := start(t, "", nil)
			c := connect(t, s.Addr())
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			if _, err := c.Create(ctx, "/large", make([]byte, large), client.OpenACL, jute.ModePersistent); err != nil {
				t.Fatal(err)
			}
			var b []byte
			var want []int32 // the version that each answer must show
			for version, n := range reads {
				if version > 0 {
					b = frame(b, int32(len(want)), jute.OpSetData, &jute.SetDataRequest{Path: []byte("/large"), Data: make([]byte, large), Version: -1})
					want = append(want, int32(version))
				}
				for range n {
					b = frame(b, int32(len(want)), jute.OpGetData, &jute.PathWatchRequest{Path: []byte("/large")})
					want = append(want, int32(version))
				}
			}
			conn := session(t, s.Addr(), 40*time.Second)
			conn.SetDeadline(time.Now().Add(deadline))
			var sender sync.WaitGroup
			defer sender.Wait()
			sender.Go(func() {
				if _, err := conn.Conn.Write(b); err != nil {
					t.Error(err)
				}
			})
			for i, version := range want {
				h, body, err := conn.Reply()
				if err != nil || h.Err != 0 || h.Xid != int32(i) {
					t.Fatalf("answer %d of %d: %+v, %v", i, len(want), h, err)
				}
				d := jute.NewDecoder(body)
				var stat jute.Stat
				if len(body) > large {
					var r jute.GetDataResponse
					r.Decode(&d)
					stat = r.Stat
				} else {
					stat.Decode(&d)
				}
				if d.Err() != nil || stat.Version != version {
					t.Fatalf("answer %d shows version %d, not %d (%v)", i, stat.Version, version, d.Err())
				}
			}
		})
	}
}

func frame(b []byte, xid int32, op jute.Op, body client.Body) []byte {
	at := len(b)
	b = (&jute.RequestHeader{Xid: xid, Type: int32(op)}).Append(append(b, 0, 0, 0, 0))
	b = body.Append(b)
	copy(b[at:], jute.AppendInt32(nil, int32(len(b)-at-4)))
	return b
}

// TestFlood opens far more connections than one address may have.
func TestFlood(t *testing.T) {
	const limit, flood = 20, 500
	for _, key := range []string{"maxClientCnxns", "maxCnxns"} {
		t.Run(key, func(t *testing.T) {
			s, _ := start(t, "", map[string]string{key: strconv.Itoa(limit)})
			stop := workBeside(t, s.Addr())
			var conns []net.Conn
			var refused atomic.Int64
			for range flood {
				// A refusal can come before Dial returns.
				conn, err := net.Dial("tcp", s.Addr())
				if err != nil {
					refused.Add(1)
					continue
				}
				defer conn.Close()
				conns = append(conns, conn)
			}
			// The good client is one of those that were let in.
			var readers sync.WaitGroup
			for _, conn := range conns {
				readers.Go(func() {
					if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
						refused.Add(1)
					}
				})
			}
			poll(t, func() error {
				if n := refused.Load(); n != flood-limit+1 {
					return fmt.Errorf("%d of %d connections were refused", n, flood)
				}
				return nil
			})
			for _, conn := range conns {
				conn.Close()
			}
			readers.Wait()
			// There is room again.
			poll(t, func() error {
				conn, err := openSession(s.Addr(), 10*time.Second)
				if err == nil {
					conn.Close()
				}
				return err
			})
			stop()
		})
	}
}
