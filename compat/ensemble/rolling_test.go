package ensemble

import (
	"context"
	"slices"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// TestRolling replaces the servers of an ensemble one after the other, under load: ZooKeeper's by quoll, and back. The same is done with
// ZooKeeper's servers only, to be compared with.
func TestRolling(t *testing.T) {
	sizes := []int{3}
	ways := []string{"kill"}
	if long() {
		sizes, ways = []int{3, 5}, []string{"stop", "kill"}
	}
	for _, size := range sizes {
		for _, way := range ways {
			for _, other := range []Kind{Java, Quoll} {
				t.Run(string(Java)+" "+string(other)+" "+way+" "+string(rune('0'+size)), func(t *testing.T) { roll(t, size, other, way == "kill") })
			}
		}
	}
}

func roll(t *testing.T, size int, other Kind, kill bool) {
	const writers, between = 6, 300
	e := build(t, Options{Kinds: slices.Repeat([]Kind{Java}, size)})
	check(t, e.Start())
	serving(t, e)
	ctx, cancel := patient()
	defer cancel()
	makeRoot(t, ctx, e, "/load")
	load := e.StartLoad("/load", writers)
	for _, kind := range []Kind{other, Java} {
		for _, m := range e.Members {
			_, err := load.Await(between)
			check(t, err)
			end := m.Stop
			if kill {
				end = m.Kill
			}
			check(t, end())
			check(t, m.Replace(kind))
			check(t, m.Start())
			serving(t, e)
		}
	}
	_, err := load.Await(between)
	check(t, err)
	result, err := load.Stop()
	check(t, err)
	check(t, load.Present(e))
	_, err = e.Agree()
	check(t, err)
	t.Logf("%d writes acknowledged, all present on %d servers; the longest pause of all writers was %v, of one %v", result.Acked, size, result.Pause.Round(time.Millisecond), result.Longest.Round(time.Millisecond))
}

// makeRoot creates a znode to write below.
func makeRoot(t *testing.T, ctx context.Context, e *Ensemble, path string) {
	t.Helper()
	c, err := connect(ctx, nil, e.Members...)
	check(t, err)
	_, err = c.Create(ctx, path, nil, client.OpenACL, jute.ModePersistent)
	check(t, err)
	check(t, c.Close())
}
