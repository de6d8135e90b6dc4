package main

import (
	"os"
	"time"
)

// start is how long a server takes from the start of its process on an empty directory to its first answer.
func (t *turn) start() ([]figure, error) {
	// The server that runs is only there to find out how it is started; what counts is the start of the same command on the
	// directory when that is empty again.
	if err := t.e.Kill(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(t.e.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(t.e.dir, 0o755); err != nil {
		return nil, err
	}
	took, err := firstAnswer(t.e.addr, t.e.Start)
	return []figure{{"first answer, ms", milliseconds(took)}}, err
}

// restart is how long a server takes from the start of its process to the first answered read: after a clean stop, and after kill -9 with some
// numbers of transactions since its last start.
func restart(since ...int) func(*turn) ([]figure, error) {
	return func(t *turn) ([]figure, error) {
		took, err := t.restarted(0, t.e.Stop)
		if err != nil {
			return nil, err
		}
		all := []figure{{"clean stop, ms", milliseconds(took)}}
		for i, sets := range append([]int{0}, since...) {
			sets = t.many(sets)
			if took, err = t.restarted(sets, t.e.Kill); err != nil {
				return nil, err
			}
			name := "kill -9, ms"
			if i > 0 {
				name = "kill -9 after " + thousands(float64(sets)) + " writes, ms"
			}
			all = append(all, figure{name, milliseconds(took)})
		}
		return all, nil
	}
}

// restarted has a server set some data, stops it, and says how long the next start takes.
func (t *turn) restarted(sets int, stop func() error) (time.Duration, error) {
	n := t.many(t.row.stage.znodes)
	err := t.e.trimmed(func() error {
		if err := overwrite(t.e.addr, n, sets, t.seed+uint64(t.round)); err != nil {
			return err
		}
		return stop()
	})
	if err != nil {
		return 0, err
	}
	took, err := firstAnswer(t.e.addr, t.e.Start)
	if err != nil {
		return 0, err
	}
	return took, t.e.has(n)
}
