package ensemble

import (
	"net"
	"testing"
	"time"
)

// TestSilent has many connections to the election and quorum ports on which nobody says a word. A member that restarts must come back all
// the same. ZooKeeper's servers take one connection at a time to the election port and wait for its words, so they are no control here.
func TestSilent(t *testing.T) {
	sockets := pick(t, "QUOLL_ENSEMBLE_SOCKETS", 1000, 1000)
	for _, kinds := range assignments(t, []string{"quoll,quoll,quoll"}, []string{"quoll,quoll,quoll"}) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			e := build(t, Options{Kinds: kinds})
			check(t, e.Start())
			leader := serving(t, e)
			rejoin := func() time.Duration {
				t.Helper()
				m := e.others(leader)[0]
				check(t, m.Kill())
				start := time.Now()
				check(t, m.Start())
				if now := serving(t, e); now != leader {
					t.Fatalf("%v leads, and %v did", now, leader)
				}
				return time.Since(start).Round(time.Millisecond)
			}
			before := rejoin()
			var targets []string
			for _, m := range e.Members {
				targets = append(targets, m.ElectionAddr())
			}
			targets = append(targets, leader.QuorumAddr())
			open := 0
			for i := range sockets {
				conn, err := net.DialTimeout("tcp", targets[i%len(targets)], 5*time.Second)
				if err != nil {
					continue // refused is as good
				}
				defer conn.Close()
				open++
			}
			t.Logf("a member rejoins in %v; with %d silent connections in %v", before, open, rejoin())
		})
	}
}
