package ensemble

import (
	"testing"
	"time"
)

// TestRejoin kills a follower under load again and again (QUOLL_ENSEMBLE_REJOINS), and measures how long it takes to serve again. It has to
// catch up with a history that grows, and that its leader soon has only in its log.
func TestRejoin(t *testing.T) {
	rejoins := pick(t, "QUOLL_ENSEMBLE_REJOINS", 3, 10)
	longer := []string{"3.9.5,3.9.5,quoll", "quoll,quoll,quoll", "quoll,quoll,3.9.5", "3.9.5,3.9.5,3.9.5"}
	for _, kinds := range assignments(t, longer[:2], longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			e := build(t, Options{Kinds: kinds})
			check(t, e.Start(e.Members[2], e.Members[1]))
			leader := serving(t, e)
			check(t, e.Start(e.Members[0]))
			serving(t, e)
			ctx, cancel := patient()
			defer cancel()
			makeRoot(t, ctx, e, "/load")
			load := e.StartLoad("/load", 8)
			var longest time.Duration
			for range rejoins {
				_, err := load.Await(500)
				check(t, err)
				check(t, e.Members[0].Kill())
				_, err = load.Await(2000)
				check(t, err)
				start := time.Now()
				check(t, e.Members[0].Start())
				serving(t, e)
				longest = max(longest, time.Since(start))
			}
			result, err := load.Stop()
			check(t, err)
			check(t, load.Present(e))
			t.Logf("%v leads, and %v comes back while %d writes are done: at the latest after %v; the longest pause of all writers was %v",
				leader, e.Members[0], result.Acked, longest.Round(time.Millisecond), result.Pause.Round(time.Millisecond))
		})
	}
}
