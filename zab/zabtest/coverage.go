package zabtest

import (
	"fmt"
	"strings"

	"quoll/zab"
	"quoll/zab/wire"
)

// point is something that a run should come by.
type point uint8

const (
	pointStart point = iota
	pointCrash
	pointWiped
	pointStaleVote
	pointDiskFails
	pointRestoreFails
	pointReload
	pointTruncate
	pointReadOnly
	pointRollOver
	pointLeaderLostWithTail
	pointDiffEmpty
	pointDiffWithTxns
	pointDiffFromLog
	pointTrunc
	pointSnapOnly
	pointSnapWithTxns
	pointSyncInterrupted
	pointUntrustedSynced
	pointPromisedBefore
	pointReconfigRefused
	pointReconfigProposed
	pointReconfigCommitted
	pointLeaderRemoved
	pointLeaderLostInReconfig
	pointHandOver
	pointActivatedByCommit
	pointActivatedByNewLeader
	pointActivatedByGossip
	pointSeenTakenBack
	pointRoleChanged
	pointForward
	pointAcknowledged
	pointErrorTxn
	pointRead
	pointSynced
	pointRevalidateYes
	pointRevalidateNo
	pointSessionExpired
	pointObserverServes
	pointStrangerServes
	pointNoQuorum
	pointTogether
	points
)

var pointNames = [points]string{
	"start", "crash", "disk wiped", "stale vote on a new connection", "disk failed", "restore failed", "reload", "truncate",
	"read-only service", "roll-over of the zxid", "leader lost with an unacknowledged tail",
	"DIFF, empty", "DIFF with transactions", "DIFF with transactions from the disk", "TRUNC", "SNAP", "SNAP with transactions",
	"synchronization interrupted", "server without a database synchronized", "ACKEPOCH -1",
	"reconfig refused", "reconfig proposed", "reconfig committed", "reconfig without its leader", "leader lost with a reconfig pending", "hand-over to a designated leader",
	"config in force by its commit", "config in force by NEWLEADER", "config in force by gossip", "last seen config taken back", "role changed by a config",
	"request forwarded", "request acknowledged", "error transaction", "read", "sync answered", "session revalidated", "session refused",
	"session expired", "observer serves", "stranger serves", "no quorum left", "packets that came together",
}

// coverage counts what runs came by.
type coverage struct {
	runs   int
	points [points]uint64
	// packets are those that arrived, by type.
	packets [20]uint64
	// entered and roles are the roles that began, and those that served.
	entered, roles [4]uint64
	// effects were carried out; crashAfter and crashBefore count crashes right behind and right before one, within a step.
	effects, crashAfter, crashBefore [effectKinds]uint64
	// phases of disk operations were done, crashPhases counts crashes right behind.
	phases, crashPhases [opKinds][5]uint64
	faults              [faultKinds]uint64
}

func (c *coverage) hit(p point) { c.points[p]++ }

func (c *coverage) packet(t wire.Type) {
	if t >= 0 && int(t) < len(c.packets) {
		c.packets[t]++
	}
}

// effectKind numbers the effects.
type effectKind uint8

const (
	effectNotify effectKind = iota
	effectDial
	effectListen
	effectClose
	effectSend
	effectSendSnapshot
	effectEchoPing
	effectDeliver
	effectAppend
	effectTruncate
	effectInstallSnapshot
	effectReload
	effectReadLog
	effectPersistEpoch
	effectApply
	effectConfigure
	effectServe
	effectServeReadOnly
	effectStopServing
	effectSyncDone
	effectNote
	effectKinds
)

var effectNames = [effectKinds]string{"Notify", "Dial", "Listen", "Close", "Send", "SendSnapshot", "EchoPing", "Deliver", "Append", "Truncate", "InstallSnapshot",
	"Reload", "ReadLog", "PersistEpoch", "Apply", "Configure", "Serve", "ServeReadOnly", "StopServing", "SyncDone", "Note"}

func kindOf(e zab.Effect) effectKind {
	switch e.(type) {
	case zab.Notify:
		return effectNotify
	case zab.Dial:
		return effectDial
	case zab.Listen:
		return effectListen
	case zab.Close:
		return effectClose
	case zab.Send:
		return effectSend
	case zab.SendSnapshot:
		return effectSendSnapshot
	case zab.EchoPing:
		return effectEchoPing
	case zab.Deliver:
		return effectDeliver
	case zab.Append:
		return effectAppend
	case zab.Truncate:
		return effectTruncate
	case zab.InstallSnapshot:
		return effectInstallSnapshot
	case zab.Reload:
		return effectReload
	case zab.ReadLog:
		return effectReadLog
	case zab.PersistEpoch:
		return effectPersistEpoch
	case zab.Apply:
		return effectApply
	case zab.Configure:
		return effectConfigure
	case zab.Serve:
		return effectServe
	case zab.ServeReadOnly:
		return effectServeReadOnly
	case zab.StopServing:
		return effectStopServing
	case zab.SyncDone:
		return effectSyncDone
	case zab.Note:
		return effectNote
	}
	panic(fmt.Sprintf("zabtest: unknown effect %T", e))
}

// each calls f for every counter.
func (c *coverage) each(f func(table, row string, n *uint64)) {
	for i := range c.points {
		f("reached", pointNames[i], &c.points[i])
	}
	for i := 1; i < len(c.packets); i++ {
		f("packet arrived", wire.Type(i).String(), &c.packets[i])
	}
	for i := range c.entered {
		f("role entered", zab.Role(i).String(), &c.entered[i])
		if zab.Role(i) != zab.Looking {
			f("role served", zab.Role(i).String(), &c.roles[i])
		}
	}
	for i := range c.effects {
		f("effect", effectNames[i], &c.effects[i])
		f("crash behind effect", effectNames[i], &c.crashAfter[i])
		f("crash before effect", effectNames[i], &c.crashBefore[i])
	}
	for i := range c.phases {
		for j, name := range opPhases[i] {
			f("disk", opNames[i]+" "+name, &c.phases[i][j])
			f("crash behind disk", opNames[i]+" "+name, &c.crashPhases[i][j])
		}
	}
	for i := range c.faults {
		f("fault", faultTable[i].name, &c.faults[i])
	}
}

// add adds the counts of o.
func (c *coverage) add(o *coverage) {
	c.runs += o.runs
	var counts []uint64
	o.each(func(_, _ string, n *uint64) { counts = append(counts, *n) })
	c.each(func(_, _ string, n *uint64) {
		*n += counts[0]
		counts = counts[1:]
	})
}

// table returns all counters as text, and the names of those that are 0.
func (c *coverage) table() (text string, zeros []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "coverage of %d schedules\n", c.runs)
	c.each(func(table, row string, n *uint64) {
		fmt.Fprintf(&b, "%-20s %-45s %12d\n", table, row, *n)
		if *n == 0 {
			zeros = append(zeros, table+": "+row)
		}
	})
	return b.String(), zeros
}
