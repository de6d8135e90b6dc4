package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Memory that the collector may leave unused: a share of what it has to look through, which the znodes are no part of, but at least so much that a server
// with little of that is not collected all the time.
const (
	headroomMin     = 48 << 20 // bytes
	headroomPercent = 30
)

// A server that allocates less than this between two looks is at rest. Then it gives back what it does not need, if it has allocated enough since the last time.
const (
	restTime  = 5 * time.Second
	restBytes = 4 << 20
	trimBytes = 16 << 20
)

// tuneCollector makes memory follow what is alive, now, after each collection and when a server under load comes to rest. Go's default lets the heap grow to twice what is
// alive: too much for a tree of gigabytes, too little for one of kilobytes. loaded is to be called when the tree is there: it gives back what loading took beyond that. A
// GOGC in the environment is left alone.
func tuneCollector() (loaded func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	set := 0
	adjust := func() {
		metrics.Read(heap)
		live, scanned := heap[0].Value.Uint64(), heap[1].Value.Uint64()
		headroom := max(headroomMin, scanned*headroomPercent/100)
		if percent := int(max(headroom*100/max(live, 4<<20), 1)); percent != set {
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
	adjust()
	arm()
	return func() {
		debug.FreeOSMemory()
		go trimAtRest()
	}
}

// trimAtRest gives memory back whenever the process comes to rest.
func trimAtRest() {
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(allocated)
	seen := allocated[0].Value.Uint64()
	trimmed := seen
	for range time.Tick(restTime) {
		metrics.Read(allocated)
		now := allocated[0].Value.Uint64()
		if now-seen < restBytes && now-trimmed > trimBytes {
			runtime.GC() // what pools hold goes with the second collection
			debug.FreeOSMemory()
			trimmed = now
		}
		seen = now
	}
}
