package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Memory that the collector may leave unused: a share of what is alive, but at least so much that a small tree under many writes is not
// collected all the time.
const (
	headroomMin     = 48 << 20 // bytes
	headroomPercent = 30
)

// tuneCollector makes memory follow the tree. Go's default lets the heap grow to twice what is alive: too much for a tree of gigabytes, too
// little for one of kilobytes. A GOGC in the environment is left alone.
func tuneCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := debug.SetGCPercent(int(headroomMin * 100 / (4 << 20)))
	adjust := func() {
		metrics.Read(live)
		percent := headroomPercent
		if bytes := live[0].Value.Uint64(); bytes < headroomMin*100/headroomPercent {
			percent = int(headroomMin * 100 / max(bytes, 4<<20))
		}
		if percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
	}
	// A finalizer runs after each collection, and arms itself for the next one.
	type cycle struct{ _ [32]byte }
	var arm func()
	arm = func() {
		runtime.SetFinalizer(new(cycle), func(*cycle) {
			adjust()
			arm()
		})
	}
	arm()
}
