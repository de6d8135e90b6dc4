package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is a line of the table: what is measured, on which servers, and what quoll is to reach.
type row struct {
	name    string
	stage   *stage
	aims    []aim
	measure func(*turn) ([]figure, error)
	load    *load // what measure drives, where that is all it does
	once    bool  // it is so long that one round is enough
	short   bool  // it is in the table of -short
	rare    bool  // it is in no table, and measured only if -rows matches its name
}

// stage is what a row finds. The rows of a stage share its servers, and those stand still while it is another's turn.
type stage struct {
	members int      // more than 1: an ensemble of so many
	floor   bool     // the floor can take part
	fresh   bool     // no server is shared: each measurement has one of its own, on an empty directory
	grow    bool     // the JVM starts with a small heap, so that its size tells what it needs
	heap    string   // of the JVM; empty means that of -heap
	pauses  bool     // the servers write down the pauses of their collectors
	znodes  int      // that are there already, see populate
	config  []string // further lines of zoo.cfg
	arms    []string // the entrants, if they are not java and quoll: what it is compared with, and what is compared
}

var (
	alone = &stage{floor: true}
	three = &stage{members: 3}
	empty = &stage{fresh: true, grow: true}
	large = &stage{fresh: true, heap: "10g", grow: true}
	// Heaps are fixed at so much that the JVM never lacks memory.
	fill1m = &stage{fresh: true, heap: "3g", pauses: true}
	fill5m = &stage{fresh: true, heap: "10g", pauses: true}
	has1m  = &stage{znodes: 1_000_000, heap: "3g"}
	has5m  = &stage{znodes: 5_000_000, heap: "10g"}
	// Java writes a snapshot after half to all of so many transactions, and quoll when an explicit number says so.
	snapshots      = &stage{znodes: 1_000_000, heap: "3g", config: []string{"snapCount=100000"}}
	manySnapshots  = &stage{znodes: 100_000, config: []string{"snapCount=10000"}}
	noSnapshots    = &stage{znodes: 1_000_000, heap: "3g", config: []string{noSnapCount}}
	withoutAndWith = &stage{fresh: true, arms: []string{storeOff, storeOn}}
)

// aim is what a figure of quoll is to be beside Java's of the same round: so many times as much at least where more is better, at most
// where less is.
type aim struct {
	figure string
	ratio  float64
}

// The aims that several rows share: quoll is never slower, a read costs an eighth of Java's CPU time and a write a quarter. With one
// request in flight on a connection latency is what counts.
var (
	manyReads = []aim{{opsRate, 6}, {cpuEach, 1. / 8}}
	longReads = []aim{{opsRate, 3}, {cpuEach, 1. / 3}}
	oneRead   = []aim{{opsRate, 1}, {p50, 1}, {p99, 1}, {cpuEach, 1. / 8}}
	writes    = []aim{{opsRate, 3}, {cpuEach, 1. / 4}}
	oneWrite  = []aim{{opsRate, 1}, {p50, 1}, {p99, 1}, {cpuEach, 1. / 4}}
	mixed     = []aim{{opsRate, 4}, {cpuEach, 1. / 4}}
	// Three servers, the generator and a disk share what one has alone.
	threeReads  = []aim{{opsRate, 2.5}, {p50, 1}, {p99, 1}, {cpuEach, 1. / 8}}
	threeWrites = []aim{{opsRate, 2.5}, {p50, 1}, {p99, 1}, {cpuEach, 1. / 4}}

	thirdOfMemory = []aim{{"full, MB", 1. / 3}, {"bytes for each", 1. / 3}, {"creates/s", 2}}
	paceAims      = []aim{{"p99.9, ms", 1. / 4}, {"p99.9 while a snapshot is written, ms", 1. / 4}}
	pauseAims     = []aim{{"filling: read p99.9, ms", 1}, {"filling: longest pause, ms", 1. / 10}, {"full: read p99.9, ms", 1}, {"full: longest pause, ms", 1. / 10}}
	restartAims   = []aim{{"clean stop, ms", 1. / 3}, {"kill -9, ms", 1. / 3}}
)

// table is every row, in the order of the report. One entry more is one row more.
var table = []row{
	load1("get/50x20/1024B", manyReads).inShort(),
	load1("get/50x20/100B", manyReads),
	load1("get/1x1/1024B", oneRead).inShort(),
	load1("get/2x1/1024B", oneRead),
	load1("get/5x1/1024B", oneRead),
	load1("get/10x1/1024B", oneRead),
	load1("get/50x1/1024B", oneRead).onDemand(),
	load1("get/1x20/1024B", manyReads).onDemand(),
	load1("get/10x20/1024B", manyReads).onDemand(),
	load1("exists/50x20/100B", manyReads),
	load1("exists/1x1/100B", oneRead).onDemand(),
	load1("children/50x20/100B", manyReads),
	load1("children/1x1/100B", oneRead).onDemand(),
	load1("children10k/10x1/100B", longReads),
	load1("children100k/4x1/100B", longReads),
	load1("set/50x20/1024B", writes).inShort(),
	load1("set/50x20/100B", writes),
	load1("set/1x1/1024B", oneWrite).inShort(),
	load1("set/2x1/1024B", oneWrite),
	load1("set/5x1/1024B", oneWrite),
	load1("set/10x1/1024B", oneWrite),
	load1("set/50x1/1024B", oneWrite).onDemand(),
	load1("set/1x20/1024B", writes).onDemand(),
	load1("set/10x20/1024B", writes).onDemand(),
	load1("create-delete/50x20/100B", writes),
	load1("create-delete/1x1/100B", oneWrite),
	load1("create-seq/50x20/100B", writes),
	load1("create-seq/1x1/100B", oneWrite).onDemand(),
	load1("multi10/50x20/100B", writes),
	load1("multi10/1x1/100B", oneWrite).onDemand(),
	load1("mixed90/50x20/1024B", mixed),
	load1("mixed90/1x1/1024B", oneWrite).onDemand(),
	load1("mixed50/50x20/1024B", mixed),
	load1("mixed50/1x1/1024B", oneWrite).onDemand(),

	{name: "connect/5k", stage: alone, measure: connects(5000), aims: []aim{{"connects/s", 3}, {"CPU µs/connect", 1. / 3}}},
	{name: "watch/10k", stage: alone, measure: fanOut(10_000), aims: []aim{{"last event, ms", 1. / 3}, {"CPU µs/event", 1. / 3}}},

	load3("3/get/30x20/1024B", threeReads),
	load3("3/get/30x1/1024B", threeReads),
	load3("3/get/3x1/1024B", threeReads),
	load3("3/set/30x20/1024B", threeWrites),
	load3("3/set/30x1/1024B", threeWrites),
	load3("3/set/3x1/1024B", threeWrites),
	load3("3/mixed90/30x20/1024B", threeWrites),
	load3("3/mixed50/30x20/1024B", threeWrites),
	load3("3/create-delete/30x20/100B", threeWrites).onDemand(),

	{name: "start", stage: empty, measure: (*turn).start, aims: []aim{{"first answer, ms", 1. / 10}}, short: true},
	{name: "idle/10k", stage: empty, measure: idle(10_000), aims: []aim{{"bytes for each", 1. / 4}, {"CPU µs/ping", 1. / 3}}},
	{name: "memory/1m", stage: empty, measure: memory(1_000_000), aims: thirdOfMemory},
	{name: "memory/5m", stage: large, measure: memory(5_000_000), aims: thirdOfMemory, once: true},
	{name: "pauses/1m", stage: fill1m, measure: pauses(1_000_000), aims: pauseAims},
	{name: "pauses/5m", stage: fill5m, measure: pauses(5_000_000), aims: pauseAims, once: true},
	{name: "restart/1m", stage: has1m, measure: restart(300_000, 2_000_000), aims: restartAims},
	{name: "restart/5m", stage: has5m, measure: restart(300_000), aims: restartAims, rare: true},
	{name: "rate/1m", stage: snapshots, measure: rate(10 * time.Minute), aims: paceAims, once: true},
	{name: "rate/100k", stage: manySnapshots, measure: rate(30 * time.Second), aims: paceAims, rare: true},
	{name: "rate/1m/no-snapshots", stage: noSnapshots, measure: rate(time.Minute), rare: true},
	{name: "store/1m", stage: withoutAndWith, measure: storeCost(1_000_000), once: true},
}

func (r row) inShort() row  { r.short = true; return r }
func (r row) onDemand() row { r.rare = true; return r }

// load1 and load3 are the row of a load on a server that stands alone, and on an ensemble of three.
func load1(name string, aims []aim) row { return loadRow(name, alone, aims) }
func load3(name string, aims []aim) row { return loadRow(name, three, aims) }

var loadName = regexp.MustCompile(`^(?:3/)?([a-z0-9-]+)/(\d+)x(\d+)/(\d+)B$`)

// loadRow is the row of a load, of which the name says all: the kind, connections x requests in flight on each, and bytes of data.
func loadRow(name string, on *stage, aims []aim) row {
	m := loadName.FindStringSubmatch(name)
	if m == nil || strings.HasPrefix(name, "3/") != (on == three) {
		panic("no load has the name " + name)
	}
	kind := slices.IndexFunc(workloads, func(w workload) bool { return w.name == m[1] })
	if kind < 0 {
		panic("no workload has the name " + m[1])
	}
	l := load{workload: workloads[kind]}
	for i, n := range []*int{&l.conns, &l.depth, &l.size} {
		*n, _ = strconv.Atoi(m[2+i])
	}
	return row{name: name, stage: on, aims: aims, load: &l, measure: func(t *turn) ([]figure, error) {
		now := l
		now.keys = t.many(now.keys)
		cost, err := measure(t.e.target(), t.znode, now, t.timing, t.seed)
		return cost.figures(), err
	}}
}

// named is the row with the name.
func named(name string) row {
	i := slices.IndexFunc(table, func(r row) bool { return r.name == name })
	if i < 0 {
		panic(fmt.Sprintf("no row %q", name))
	}
	return table[i]
}
