package zabtest

import (
	"time"

	"quoll/ensemble"
	"quoll/zab"
)

// draw is what a run drew for itself: its size, the habits of its drivers, networks and disks, and the rates of its faults. Most runs lack most kinds of
// faults: that is what brings out those that need many of one kind, or none of another (swarm testing).
type draw struct {
	servers int
	// members are the sids of the first config, observers being negative; servers beyond them are started as strangers that may be added.
	members      []int64
	hierarchical bool
	zeroWeight   int64

	reconfig, readOnly, forceSnapshot bool
	initLimit, syncLimit              int
	maxCounter                        int64
	historyBytes                      int
	linkWindow, linkBytes             int
	waitForEpoch                      time.Duration
	maxDiffs                          int
	sizeFactor                        float64

	// aside says that the driver keeps a history that is being synchronized under a temporary name; groupCommit that it syncs several appends at once;
	// batching in how many of 1000 steps the effects wait for another one.
	aside, groupCommit bool
	// parallel says that epoch files are written while the log is; the answers come in order all the same. late says that packets which a driver has read
	// already come to a node after it closed their link.
	parallel bool
	late     int
	// holdUpToDate is how many of 1000 UPTODATE come behind what is sent after them, as those of Java leaders do.
	holdUpToDate int
	// rogue is the index of a stranger that claims to have accepted nearly all epochs there are, -1 for none.
	rogue int
	// staleObservers says that the files of observers have an older version of the config, which is never changed.
	staleObservers bool
	batching       int
	// recent is how many records a start finds for memory, -1 for all; readRecords what one read of the log gives.
	recent, readRecords       int
	laterBytes, snapshotBytes int
	// maintenance is after how many of 1000 operations a whole server looks after its store and its snapshots, powerCuts before how many the power will go.
	maintenance, powerCuts int
	// windows says that a partition keeps senders from getting rid of their bytes.
	windows bool

	wireUnit, diskUnit time.Duration
	// steady says that everything takes its unit of time, and that crashes lose all that they can: stories are told so (script.go).
	steady bool
	// wireTail is how many of 1000 messages take long, voteLoss how many votes are lost, staleVotes how often an old one comes with a new connection, and
	// silentCrash how many links of a crashed server say nothing.
	wireTail, voteLoss, staleVotes, silentCrash int
	burst                                       int
	skew                                        int64

	clients                  int
	pace                     time.Duration
	sessionTimeout, patience time.Duration

	// chaos is how long it lasts, every how long it takes from one fault to the next on average, and weights say what they are.
	chaos, every time.Duration
	weights      [faultKinds]int
	// healAll says that all servers come back in the end, and not only a quorum.
	healAll bool
}

const tickTime = 200 * time.Millisecond

// either returns one of the values.
func either[T any](r *stream, values ...T) T { return values[r.intn(len(values))] }

// newDraw draws a run.
func newDraw(r *stream) draw {
	d := draw{
		servers:      either(r, 3, 3, 3, 3, 4, 5, 5, 6, 7),
		reconfig:     r.chance(600),
		readOnly:     r.chance(300),
		initLimit:    either(r, 5, 10, 20),
		syncLimit:    either(r, 3, 5, 10),
		aside:        r.chance(500),
		groupCommit:  r.chance(500),
		parallel:     r.chance(500),
		late:         either(r, 0, 0, 300),
		holdUpToDate: either(r, 0, 0, 500),
		rogue:        -1,
		batching:     either(r, 0, 0, 100, 400),
		recent:       either(r, -1, -1, 0, 2),
		readRecords:  either(r, 2, 3, 20),
		windows:      r.chance(300),
		wireUnit:     either(r, time.Millisecond, 5*time.Millisecond, 20*time.Millisecond),
		diskUnit:     either(r, time.Millisecond, 5*time.Millisecond, 20*time.Millisecond),
		wireTail:     either(r, 0, 0, 10, 50),
		voteLoss:     either(r, 0, 0, 50, 200),
		staleVotes:   either(r, 0, 500, 1000),
		silentCrash:  either(r, 0, 200, 1000),
		skew:         either[int64](r, 0, 0, 50, 200),
		clients:      1 + r.intn(3),
		pace:         either(r, 20*time.Millisecond, 60*time.Millisecond, 200*time.Millisecond),
		maxCounter:   either[int64](r, 0, 0, 0, 0, 5, 20),
		chaos:        either(r, 2*time.Second, 4*time.Second, 8*time.Second),
		every:        either(r, 40*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond),
		healAll:      r.chance(500),
		burst:        1,
		historyBytes: either(r, 0, 0, 200, 600),
		linkWindow:   either(r, 0, 0, 150, 400),
		sizeFactor:   either[float64](r, 0, 0, -1, 1),
		maxDiffs:     either(r, 0, 0, 0, 1),
	}
	if d.linkWindow > 0 {
		d.linkBytes = 100 * d.linkWindow
	}
	if r.chance(200) {
		d.forceSnapshot = true
	}
	if r.chance(200) {
		d.laterBytes, d.snapshotBytes = r.intn(1000), 1+r.intn(1000)
	}
	if r.chance(200) {
		d.waitForEpoch = time.Second // votes are sent again sooner
	}
	d.sessionTimeout = either(r, time.Second, 4*time.Second)
	d.patience = either(r, 300*time.Millisecond, 2*time.Second)
	d.drawMembers(r)
	for kind := range d.weights {
		if r.chance(400) {
			d.weights[kind] = faultTable[kind].weight * (1 + r.intn(4))
		}
	}
	if !d.reconfig {
		d.weights[faultReconfig] = 0
	}
	if r.chance(60) && !d.hierarchical && !d.staleObservers {
		d.manyReconfigs()
	}
	return d
}

// manyReconfigs makes it a run of little but reconfigs, on links that break and disks that are lost.
func (d *draw) manyReconfigs() {
	d.reconfig, d.every = true, 40*time.Millisecond
	d.weights = [faultKinds]int{faultCrash: 4, faultCrashInDisk: 4, faultCut: 6, faultHalfOpen: 6, faultFailDisk: 4, faultWipe: 2, faultTail: 3, faultReconfig: 20}
}

// drawMembers chooses who is in the first config.
func (d *draw) drawMembers(r *stream) {
	voters := d.servers
	if d.servers > 3 {
		voters = 3 + r.intn(d.servers-2)
	}
	if d.reconfig && r.chance(500) {
		voters = min(voters, max(1+r.intn(3), 2))
	}
	if d.hierarchical = voters >= 4 && r.chance(400); d.hierarchical {
		d.reconfig = false
		d.zeroWeight = int64(r.intn(voters + 1))
	}
	for i := range d.servers {
		sid := int64(i + 1)
		switch {
		case i < voters:
			d.members = append(d.members, sid)
		case !d.reconfig || r.chance(500):
			d.members = append(d.members, -sid)
		case r.chance(300):
			d.rogue = i
		}
	}
	d.staleObservers = !d.reconfig && r.chance(300)
}

// options are the settings of a server's node.
func (d *draw) options(s *server) zab.Options {
	return zab.Options{
		SID: s.sid, Tick: tickTime, InitLimit: d.initLimit, SyncLimit: d.syncLimit, Reconfig: d.reconfig, ReadOnly: d.readOnly,
		MinNotificationInterval: 50 * time.Millisecond, MaxNotificationInterval: 500 * time.Millisecond, FinalizeWait: 50 * time.Millisecond,
		ConnectAttempts: 3, ConnectPause: 30 * time.Millisecond, MaxTimeToWaitForEpoch: d.waitForEpoch, MaxCounter: d.maxCounter,
		ForceSnapshotSync: d.forceSnapshot, SnapshotSizeFactor: d.sizeFactor, HistoryBytes: d.historyBytes, MaxDiffs: d.maxDiffs,
		LinkWindow: d.linkWindow, LinkBytes: d.linkBytes,
	}
}

// latency is how long a message takes.
func (d *draw) latency(r *stream) time.Duration {
	if d.steady {
		return d.wireUnit
	}
	t := r.upTo(d.wireUnit)
	if r.chance(d.wireTail) {
		t *= 30
	}
	return min(t*time.Duration(d.burst), time.Second)
}

// rate is the speed of a clock.
func (d *draw) rate(r *stream) int64 {
	if d.skew == 0 {
		return unitRate
	}
	return unitRate - d.skew + int64(r.intn(int(2*d.skew+1)))
}

// hierarchy gives a config two or three groups, and maybe a server without weight.
func (w *World) hierarchy(c *ensemble.Config) {
	c.Hierarchical = true
	voters := c.Voters()
	groups := 2 + len(voters)/5
	for g := range groups {
		group := ensemble.Group{ID: int64(g + 1)}
		for i, sid := range voters {
			if i%groups == g {
				group.Members = group.Members.Add(sid)
			}
		}
		c.Groups = append(c.Groups, group)
	}
	for _, sid := range voters {
		weight := ensemble.Weight{SID: sid, Weight: 1 + sid%2}
		if sid == w.draw.zeroWeight {
			weight.Weight = 0
		}
		c.Weights = append(c.Weights, weight)
	}
}
