package server

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
)

// TestSessionThrottle goes through the bucket and the chance by a clock of its own.
func TestSessionThrottle(t *testing.T) {
	now := time.Unix(1000, 0)
	after := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	set := config.Defaults().ConnectionThrottle
	if newSessionThrottle(set, now) != nil {
		t.Error("there is a limit by default")
	}
	set.Tokens, set.FillTime, set.FillCount = 4, 10*time.Millisecond, 2
	b := newSessionThrottle(set, now)
	take := func(ms int, need, deficit int64, ok bool) {
		t.Helper()
		if d, o := b.take(need, after(ms)); d != deficit || o != ok {
			t.Errorf("after %d ms: %d tokens missing and %v, want %d and %v", ms, d, o, deficit, ok)
		}
	}
	for i := range int64(4) {
		take(0, 1, i+1, true)
	}
	take(0, 1, 4, false)
	take(10, 1, 4, false) // more than the time has to pass
	take(11, 1, 3, true)  // 11 ms at 2 in 10 ms
	take(12, 2, 3, false)
	take(10_000, 4, 4, true) // no more than the bucket holds

	set.WeightEnabled = true
	b = newSessionThrottle(set, now)
	if n := []int64{b.size, b.need(false, false), b.need(true, false), b.need(false, true)}; n[0] != 12 || n[1] != 3 || n[2] != 2 || n[3] != 1 {
		t.Errorf("size and weights: %d", n)
	}

	set.WeightEnabled, set.Tokens, set.FillTime = false, 1, time.Hour
	set.FreezeTime, set.DropIncrease, set.DropDecrease, set.DecreaseRatio = 5*time.Millisecond, 0.6, 0.5, 0
	b = newSessionThrottle(set, now)
	b.chance = func() float64 { return 0.59 }
	take(0, 1, 1, true)
	take(1, 1, 1, false) // for lack of tokens
	take(6, 1, 1, false) // by chance: 0.6
	if b.dropChance() != 0.6 {
		t.Errorf("the chance is %v", b.dropChance())
	}
	take(12, 1, 1, false)
	if b.dropChance() != 1 {
		t.Errorf("the chance is %v", b.dropChance())
	}
	b.tokens = 1
	take(18, 1, 1, true)
	if b.dropChance() != 0.5 {
		t.Errorf("the chance is %v", b.dropChance())
	}
}

// TestStall has requests wait while too many are under way, and takes them up again.
func TestStall(t *testing.T) {
	s := startServer(t, "request_throttle_max_requests=5", "throttled_op_wait_time=20", "request_throttle_stall_time=1")
	c := connect(t, s)
	s.outstanding.Add(5)
	done := make(chan error, 1)
	go func() {
		_, err := c.Exists(t.Context(), "/", false)
		done <- err
	}()
	eventually(t, "it waits", func() bool { return s.metrics.RequestThrottleWaits.Load() > 50 })
	select {
	case err := <-done:
		t.Fatalf("answered with %v", err)
	default:
	}
	s.outstanding.Add(-5)
	if err := <-done; !errors.Is(err, jute.ErrThrottledOp) {
		t.Errorf("a request that has waited for too long: %v", err)
	}
	if _, err := c.Exists(t.Context(), "/", false); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if n := s.metrics.ThrottledOps.Load(); n != 1 {
		t.Errorf("%d throttled", n)
	}
}

// TestStaleWhileStalled drops the request of a client that is gone, unless that is not wanted.
func TestStaleWhileStalled(t *testing.T) {
	for _, drop := range []string{"true", "false"} {
		s := startServer(t, "request_throttle_max_requests=5", "request_throttle_stall_time=1", "request_throttle_drop_stale="+drop)
		c := client.NewRawConn(dial(t, s))
		if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
			t.Fatal(err)
		}
		s.outstanding.Add(5)
		create := &jute.CreateRequest{Path: []byte("/a"), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}}
		if err := c.Request(1, jute.OpCreate, create); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it waits", func() bool { return s.metrics.RequestThrottleWaits.Load() > 0 })
		c.Close()
		if drop == "true" {
			eventually(t, "it is dropped", func() bool { return s.metrics.StaleRequestsDropped.Load() == 1 })
			s.outstanding.Add(-5)
			eventually(t, "the connection is gone", func() bool { return s.connectionCount() == 0 })
		} else {
			s.outstanding.Add(-5)
		}
		exists := func() bool {
			s.locks[0].RLock()
			defer s.locks[0].RUnlock()
			return s.tree.Lookup("/a") != nil
		}
		if drop == "true" && exists() {
			t.Error("the request of a client that is gone was carried out")
		} else if drop == "false" {
			eventually(t, "it is carried out", exists)
		}
	}
}

// TestLargeRequests counts what large requests have under way, and refuses one that would be too much.
func TestLargeRequests(t *testing.T) {
	s := startServer(t, "largeRequestThreshold=1000", "largeRequestMaxBytes=10000")
	c := connect(t, s)
	for _, size := range []int{10, 1500, 9000} {
		if _, err := c.Create(t.Context(), "/"+strings.Repeat("n", size/100+1), make([]byte, size), client.OpenACL, jute.ModePersistent); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if n := s.large.Load(); n != 0 {
		t.Errorf("%d bytes are counted when nothing is under way", n)
	}
	refused := func(size int) {
		t.Helper()
		raw := client.NewRawConn(dial(t, s))
		if _, err := raw.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Write(jute.AppendInt32(nil, int32(size))); err != nil {
			t.Fatal(err)
		}
		closed(t, raw)
	}
	refused(10_001)
	s.large.Add(9000)
	refused(1001)
	s.large.Add(-9000)
	if n := s.metrics.LargeRequestsRejected.Load(); n != 2 {
		t.Errorf("%d rejected", n)
	}
	if _, err := c.Set(t.Context(), "/nn", nil, -1); err != nil && !errors.Is(err, jute.ErrNoNode) {
		t.Errorf("the others are disturbed: %v", err)
	}
}

// TestConnectLimit has a client claim and send more for the beginning of a session than any client does: it is closed before that takes memory.
func TestConnectLimit(t *testing.T) {
	s := startServer(t)
	for _, size := range []int{connectLimit + 1, s.opts.JuteMaxBuffer} {
		nc := dial(t, s)
		if _, err := nc.Write(jute.AppendInt32(nil, int32(size))); err != nil {
			t.Fatal(err)
		}
		closed(t, nc)
	}
	raw := client.NewRawConn(dial(t, s))
	body := (&jute.ConnectRequest{Timeout: 30_000}).Append(nil)
	if err := raw.Send(append(body, make([]byte, connectLimit-len(body))...)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Recv(); err != nil {
		t.Errorf("a long one within the limit: %v", err)
	}
}

// TestOneLongAnswer asks for a long answer while another is being made: it waits for its turn. Short ones do not.
func TestOneLongAnswer(t *testing.T) {
	s := startServer(t)
	if !s.turn.Enter(s.stop) {
		t.Fatal("there is no turn")
	}
	var asked []io.Reader
	for _, w := range []string{"dump", "wchp", "wchc", "wchs", "cons"} {
		nc := dial(t, s)
		if _, err := io.WriteString(nc, w); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, nc)
	}
	eventually(t, "all ask", func() bool {
		n := 0
		for _, c := range s.connections() {
			if c.inWord.Load() {
				n++
			}
		}
		return n == len(asked)
	})
	if answer := ask(t, s, "ruok"); answer != "imok" {
		t.Errorf("ruok: %q", answer)
	}
	if n := s.connectionCount(); n < len(asked) {
		t.Errorf("%d of them did not wait", len(asked)-n)
	}
	s.turn.Leave()
	for i, nc := range asked {
		if answer, err := io.ReadAll(nc); err != nil || len(answer) == 0 || string(answer) == notYourTurn {
			t.Errorf("%d: %q, %v", i, answer, err)
		}
	}
}

// TestFailuresOfSASL has a client fail again and again where that does not end its connection: in the end it does.
func TestFailuresOfSASL(t *testing.T) {
	file, _ := saslSettings(t)
	s := startServer(t, file, saslProvider, "allowSaslFailedClients=true")
	c := client.NewRawConn(dial(t, s))
	if _, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
		t.Fatal(err)
	}
	survived := 0
	for ; survived < 100; survived++ {
		if err := c.Request(1, jute.OpSASL, &jute.SASLRequest{Token: make([]byte, 5000)}); err != nil {
			break
		}
		if h, _, err := c.Reply(); err != nil || h.Err != 0 {
			break
		}
	}
	if survived != maxFailures {
		t.Errorf("the connection survives %d failures", survived)
	}
}
