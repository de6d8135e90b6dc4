package compat

import (
	"fmt"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestLimitsOfSettings reaches limits that only settings bring, at ZooKeeper and at quoll: what is within them is served, and who goes beyond is closed.
func TestLimitsOfSettings(t *testing.T) {
	greet := func(t *testing.T, s *peer.Server, session int64) (*client.RawConn, error) {
		t.Helper()
		c, err := client.Dial(t.Context(), s.Addr())
		if err != nil {
			return nil, err // it may be closed while it is being made
		}
		t.Cleanup(func() { c.Close() })
		r, err := c.Handshake(&jute.ConnectRequest{Timeout: 30_000, SessionID: session})
		if err == nil && r.SessionID == 0 && session == 0 {
			t.Error("a session is refused with an answer")
		}
		return c, err
	}
	// A test of a limit sees how many of its tries get through, the first that does not ending it.
	for _, limit := range []struct {
		name   string
		config []string
		within int
		try    func(t *testing.T, s *peer.Server, i int) error
	}{
		{"tokens", []string{"connection_throttle_tokens=5", "connection_throttle_fill_time=100000000"}, 5,
			func(t *testing.T, s *peer.Server, _ int) error { _, err := greet(t, s, 0); return err }},
		{"weighted tokens", []string{"connection_throttle_tokens=2", "connection_throttle_fill_time=100000000", "connection_throttle_weight_enabled=true"}, 2,
			func(t *testing.T, s *peer.Server, _ int) error { _, err := greet(t, s, 0); return err }},
		{"weighted tokens of renewals", []string{"connection_throttle_tokens=2", "connection_throttle_fill_time=100000000", "connection_throttle_weight_enabled=true"}, 3,
			func(t *testing.T, s *peer.Server, i int) error { _, err := greet(t, s, int64(i+1)); return err }},
		{"all connections", []string{"maxCnxns=4", "maxClientCnxns=0"}, 4,
			func(t *testing.T, s *peer.Server, _ int) error { _, err := greet(t, s, 0); return err }},
		{"large requests", []string{"largeRequestThreshold=1000", "largeRequestMaxBytes=3500"}, 3,
			func(t *testing.T, s *peer.Server, i int) error {
				c, err := greet(t, s, 0)
				if err != nil {
					t.Fatal(err)
				}
				create := &jute.CreateRequest{
					Path: fmt.Appendf(nil, "/n%d", i), Data: make([]byte, 1000*(i+1)-500),
					ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}},
				}
				if err := c.Request(1, jute.OpCreate, create); err != nil {
					return err
				}
				_, _, err = c.Reply()
				return err
			}},
	} {
		t.Run(limit.name, func(t *testing.T) {
			// The server is asked whether it serves before: that takes no token, but a connection.
			peer.Each(t, peer.Options{Config: limit.config}, func(t *testing.T, s *peer.Server) {
				n := 0
				for ; n < 20; n++ {
					if err := limit.try(t, s, n); err != nil {
						break
					}
				}
				if n != limit.within {
					t.Errorf("%d get through, want %d", n, limit.within)
				}
			})
		})
	}
}
