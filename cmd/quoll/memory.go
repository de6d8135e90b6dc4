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
	loadingPercent  = 400 // while the data directory is loaded: nearly all of what is allocated then stays
)

// tuneCollector makes memory follow the tree. Go's default lets the heap grow to twice what is alive: too much for a tree of gigabytes, too
// little for one of kilobytes. It begins with a loose rein, for a tree that grows and leaves no garbage; loaded is to be called when the tree is
// there. A GOGC in the environment is left alone.
func tuneCollector() (loaded func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(loadingPercent)
	return followTree
}

// followTree sets the headroom by what is alive, now and after each collection.
func followTree() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := loadingPercent
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
	adjust()
}
