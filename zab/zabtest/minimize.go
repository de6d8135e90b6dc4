package zabtest

import (
	"fmt"
	"time"
)

// Case is a run that fails, made as small as it gets.
type Case struct {
	Failure *Failure
	seed    uint64
	draw    draw
	plan    []action
	// Runs is how many runs it took to find it.
	Runs int
}

// Minimize runs a seed and, if it fails, leaves out of it what the failure does not need: faults, clients, habits of drivers, networks and disks, time. What is left
// breaks the same invariant, maybe in another way. It returns nil if the seed does not fail.
func Minimize(seed uint64) *Case {
	w := NewWorld()
	r := streamOf(seed, purposeDraw)
	c := &Case{seed: seed, draw: newDraw(&r)}
	p := streamOf(seed, purposePlan)
	c.plan = newPlan(&c.draw, &p)
	if c.Failure = w.run(seed, c.draw, c.plan); c.Failure == nil {
		return nil
	}
	for again := true; again; {
		again = c.dropFaults(w)
		for _, simpler := range simplifications {
			d := c.draw
			if simpler(&d); c.fails(w, d, c.plan) {
				again = again || len(c.plan) > 1
			}
		}
		again = again && c.dropFaults(w)
	}
	return c
}

// fails runs a smaller case, and keeps it if it breaks the same invariant.
func (c *Case) fails(w *World, d draw, plan []action) bool {
	c.Runs++
	f := w.run(c.seed, d, plan)
	if f == nil || f.Invariant != c.Failure.Invariant {
		return false
	}
	c.Failure, c.draw, c.plan = f, d, plan
	return true
}

// dropFaults leaves out faults, many at a time at first (delta debugging). It reports whether it could.
func (c *Case) dropFaults(w *World) (dropped bool) {
	for n := len(c.plan); n >= 1; n /= 2 {
		for at := 0; at < len(c.plan); {
			end := min(at+n, len(c.plan))
			if c.fails(w, c.draw, append(c.plan[:at:at], c.plan[end:]...)) {
				dropped = true
			} else {
				at = end
			}
		}
	}
	return dropped
}

// simplifications are tried one after the other; those that are there already change nothing.
var simplifications = []func(d *draw){
	func(d *draw) { d.pace = time.Hour }, // no client does anything
	func(d *draw) { d.clients = 1 },
	func(d *draw) { d.batching = 0 },
	func(d *draw) { d.late, d.holdUpToDate = 0, 0 },
	func(d *draw) { d.wireTail, d.voteLoss, d.staleVotes = 0, 0, 0 },
	func(d *draw) { d.silentCrash, d.skew, d.windows = 0, 0, false },
	func(d *draw) { d.parallel = false },
	func(d *draw) { d.groupCommit = true },
	func(d *draw) { d.aside = false },
	func(d *draw) { d.historyBytes, d.linkWindow, d.linkBytes = 0, 0, 0 },
	func(d *draw) { d.forceSnapshot, d.readOnly, d.waitForEpoch, d.maxCounter = false, false, 0, 0 },
	func(d *draw) { d.recent, d.readRecords, d.sizeFactor, d.maxDiffs = -1, 20, 0, 0 },
	func(d *draw) { d.wireUnit, d.diskUnit = time.Millisecond, time.Millisecond },
	func(d *draw) { d.healAll = true },
}

// Transcript runs the case again and returns what happens in it, a line for each thing.
func (c *Case) Transcript() (lines []string) {
	lines = append(lines, fmt.Sprintf("seed %d, %d servers, members %v, %d faults", c.seed, c.draw.servers, c.draw.members, len(c.plan)))
	w := NewWorld()
	w.trace = func(line string) { lines = append(lines, line) }
	w.run(c.seed, c.draw, c.plan)
	return append(lines, c.Failure.Error())
}
