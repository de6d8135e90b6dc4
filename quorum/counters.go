package quorum

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"quoll/config"
	"quoll/jute"
	"quoll/metrics"
	"quoll/zab"
	"quoll/zab/wire"
)

// counters fills the metrics of an ensemble from what passes the driver: events, when the node has taken them, and effects, before they are carried out. It is the
// driver's own; what disk, links and state measure themselves is below.
type counters struct {
	m   *metrics.Set
	sid string // of this server
	// timedAcks is leader.ackLoggingFrequency: how many zxids there are to one whose ACKs are timed; 0 or less is none.
	timedAcks int64
	// round is that of the last election counted; looking is when it began, zero if there is none, and lost when there was no service any more.
	round         int64
	looking, lost time.Time
	// welcomed is when the leader had told its epoch.
	welcomed time.Time
	// serving is the role while it serves, Looking otherwise.
	serving zab.Role
	// unsynced are transactions on their way to the disk, sampled those whose ACKs are timed, both of this service and in zxid order.
	unsynced, sampled []stamp
	// syncing are the learners that are being brought to the leader's state; true is by a snapshot.
	syncing map[zab.LinkID]bool
}

// stamp says when the leader made a transaction, in milliseconds since 1970.
type stamp struct{ zxid, at int64 }

func newCounters(m *metrics.Set, cfg *config.Config) counters {
	return counters{m: m, sid: strconv.FormatInt(cfg.MyID, 10), timedAcks: int64(cfg.LeaderAckLoggingFrequency), lost: time.Now(), syncing: map[zab.LinkID]bool{}}
}

// timeOf reads the time from a transaction's header; it is 0 if there is none.
func timeOf(data []byte) int64 {
	const at = 8 + 4 + 8 // behind session, cxid and zxid
	if len(data) < at+8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(data[at:]))
}

// latency counts the time since the leader made a transaction. The clocks of two servers may differ: what is negative is no latency.
func latency(to *metrics.Summary, now time.Time, at int64) {
	if took := now.UnixMilli() - at; took >= 0 && at > 0 {
		to.Observe(took)
	}
}

// latencies counts that of many, which mostly is the same one.
type latencies struct {
	to      *metrics.Summary
	at, run int64
}

func (l *latencies) add(now time.Time, at int64) {
	if at != l.at {
		l.end(now)
		l.at = at
	}
	l.run++
}

func (l *latencies) end(now time.Time) {
	if took := now.UnixMilli() - l.at; l.run > 0 && took >= 0 && l.at > 0 {
		l.to.ObserveN(took, l.run)
	}
	l.run = 0
}

// stepped counts an event. was is the role before it, is the one after.
func (c *counters) stepped(ev zab.Event, was, is zab.Role, links map[zab.LinkID]*link) {
	switch ev := ev.(type) {
	case zab.Received:
		if l := links[ev.Link]; l.dialled {
			c.fromLeader(ev.Packets)
		} else {
			for i := range ev.Packets {
				c.fromLearner(&ev.Packets[i], l)
			}
		}
	case zab.Synced:
		c.durable(ev.Zxid)
	case zab.LinkDown:
		delete(c.syncing, ev.Link)
	case zab.Heard:
		// A leader whose epoch is not chosen yet leaves for nothing else that is heard.
		if was == zab.Leading && is != zab.Leading && c.serving == zab.Looking {
			c.m.QuitLeadingDisloyalVoter.Inc()
		}
	}
}

func (c *counters) fromLeader(packets []wire.Packet) {
	now, proposals, commits := time.Now(), int64(0), int64(0)
	took := latencies{to: &c.m.ProposalLatency}
	for i := range packets {
		switch p := &packets[i]; p.Type {
		case wire.TypeLeaderInfo:
			c.welcomed = now
		case wire.TypeProposal:
			if c.serving == zab.Following {
				proposals++
				took.add(now, timeOf(p.Data))
			}
		case wire.TypeCommit, wire.TypeInform:
			if c.serving != zab.Looking {
				commits++
			}
		}
	}
	took.end(now)
	c.m.LearnerProposalsReceived.Add(proposals)
	c.m.LearnerCommitsReceived.Add(commits)
}

func (c *counters) fromLearner(p *wire.Packet, l *link) {
	switch p.Type {
	case wire.TypeFollowerInfo, wire.TypeObserverInfo:
		var info wire.LearnerInfo
		d := jute.NewDecoder(p.Data)
		if info.Decode(&d); d.Err() == nil {
			sid := strconv.FormatInt(info.SID, 10)
			l.learner.Store(&learnerMetrics{sid: sid, size: c.m.LearnerHandlerQueueSize.With(sid), time: c.m.LearnerHandlerQueueTime.With(sid)})
		}
	case wire.TypeAck:
		if snap, ok := c.syncing[l.id]; ok {
			delete(c.syncing, l.id)
			c.inflight(snap)
		} else if known := l.learner.Load(); known != nil {
			c.acknowledged(known.sid, p.Zxid)
		}
	case wire.TypeRevalidate:
		c.m.Revalidations.Inc()
	}
}

// timed reports whether the ACKs of a transaction are timed.
func (c *counters) timed(zxid int64) bool { return c.timedAcks > 0 && zxid%c.timedAcks == 0 }

// acknowledged times the ACK of one of the proposals that are sampled, if it is not committed yet.
func (c *counters) acknowledged(sid string, zxid int64) {
	for _, s := range c.sampled {
		if s.zxid == zxid {
			latency(c.m.AckLatency.With(sid), time.Now(), s.at)
		}
	}
}

// durable counts this server's own ACKs.
func (c *counters) durable(zxid int64) {
	if len(c.unsynced) == 0 {
		return
	}
	now, done := time.Now(), 0
	l := latencies{to: &c.m.ProposalAckCreateLatency}
	for ; done < len(c.unsynced) && c.unsynced[done].zxid <= zxid; done++ {
		l.add(now, c.unsynced[done].at)
		if c.timed(c.unsynced[done].zxid) {
			c.acknowledged(c.sid, c.unsynced[done].zxid)
		}
	}
	l.end(now)
	c.unsynced = slices.Delete(c.unsynced, 0, done)
}

// inflight counts the learners that are being synchronized in the same way.
func (c *counters) inflight(snap bool) {
	n := int64(0)
	for _, s := range c.syncing {
		if s == snap {
			n++
		}
	}
	if snap {
		c.m.InflightSnaps.Observe(n)
	} else {
		c.m.InflightDiffs.Observe(n)
	}
}

// carried counts an effect.
func (c *counters) carried(e zab.Effect) {
	switch e := e.(type) {
	case zab.Send:
		for i := range e.Packets {
			if t := e.Packets[i].Type; t == wire.TypeDiff || t == wire.TypeTrunc {
				c.m.Diffs.Inc()
				c.syncing[e.Link] = false
				c.inflight(false)
			}
		}
	case zab.SendSnapshot:
		c.m.Snaps.Inc()
		c.syncing[e.Link] = true
		c.inflight(true)
	case zab.Close:
		delete(c.syncing, e.Link)
	case zab.Append:
		c.appended(e.Records)
	case zab.Apply:
		c.committed(e.Records)
	case zab.Deliver:
		if e.Packet.Type == wire.TypeSync {
			c.m.CommitsQueued.Inc() // in ZooKeeper a learner's sync is a commit, and a leader's is a read
		}
	case zab.Serve:
		c.serves(e.Role)
	case zab.StopServing:
		c.serving, c.unsynced, c.sampled = zab.Looking, nil, nil
		if c.lost.IsZero() {
			c.lost = time.Now()
		}
	}
}

func (c *counters) appended(records []zab.Record) {
	if c.serving != zab.Leading && c.serving != zab.Following {
		return
	}
	for i := range records {
		s := stamp{records[i].Zxid, timeOf(records[i].Data)}
		c.unsynced = append(c.unsynced, s)
		if c.serving == zab.Leading && c.timed(s.zxid) {
			c.sampled = append(c.sampled, s)
		}
	}
}

func (c *counters) committed(records []zab.Record) {
	if c.serving == zab.Looking {
		return
	}
	now := time.Now()
	l := latencies{to: &c.m.CommitPropagationLatency}
	if c.serving == zab.Leading {
		l.to = &c.m.QuorumAckLatency
	}
	for i := range records {
		// ZooKeeper counts a reconfig where it is told by COMMITANDACTIVATE to a follower, and nowhere else.
		if records[i].Config != nil && c.serving != zab.Following {
			continue
		}
		if c.serving == zab.Leading {
			c.m.Commits.Inc()
		}
		l.add(now, timeOf(records[i].Data))
	}
	l.end(now)
	c.m.CommitsQueued.Add(int64(len(records)))
	done := 0
	for last := records[len(records)-1].Zxid; done < len(c.sampled) && c.sampled[done].zxid <= last; done++ {
	}
	c.sampled = slices.Delete(c.sampled, 0, done)
}

// serves ends the time without service.
func (c *counters) serves(role zab.Role) {
	now := time.Now()
	if !c.lost.IsZero() {
		took := now.Sub(c.lost).Milliseconds()
		c.m.UnavailableTime.Observe(took)
		if role == zab.Leading {
			c.m.LeaderUnavailableTime.Observe(took)
		}
		c.lost = time.Time{}
	}
	switch role {
	case zab.Following:
		c.m.FollowerSyncTime.Observe(now.Sub(c.welcomed).Milliseconds())
	case zab.Observing:
		c.m.ObserverSyncTime.Observe(now.Sub(c.welcomed).Milliseconds())
	}
	c.serving = role
}

// seen counts elections, which begin with a round and end with a role. An observer only learns how one ended.
func (c *counters) seen(role zab.Role, round int64) {
	switch {
	case role == zab.Looking && round > c.round && c.looking.IsZero():
		c.m.LookingCount.Inc()
		c.looking = time.Now()
		if c.lost.IsZero() {
			c.lost = c.looking
		}
	case role != zab.Looking && !c.looking.IsZero():
		if role != zab.Observing {
			c.m.ElectionTime.Observe(time.Since(c.looking).Milliseconds())
		}
		c.looking = time.Time{}
	}
	c.round = round
}

// learnerMetrics are those of the packets that wait for a learner.
type learnerMetrics struct {
	sid        string
	size, time *metrics.Summary
}

// timedPackets is how many packets there are to one whose wait is timed.
const timedPackets = 1000

// queued says how many packets a segment has, and when one of them was put there whose wait is timed.
type queued struct {
	packets int64
	timed   time.Time
}

func (q *queued) add(count int64) {
	q.packets++
	if count%timedPackets == 0 {
		q.timed = time.Now()
	}
}

// taken counts a segment that is about to be written, packet by packet.
func (m *learnerMetrics) taken(q *queued) {
	if m == nil {
		return
	}
	for left := q.packets - 1; left >= 0; left-- {
		m.size.Observe(left)
	}
	if !q.timed.IsZero() {
		m.time.Observe(time.Since(q.timed).Milliseconds())
	}
}

// logging measures the way of transactions to the disk; it is the disk goroutine's own.
type logging struct {
	m       *metrics.Set
	batch   int64
	batches []logged
}

// logged are transactions that wait for their sync since a time.
type logged struct {
	at time.Time
	n  int64
}

// begin counts n transactions that were queued at a time, with so many others behind them, and end that they are written.
func (l *logging) begin(queued time.Time, n, behind int64) time.Time {
	now := time.Now()
	l.m.SyncQueueSize.ObserveN(behind, n)
	l.m.SyncQueueTime.ObserveN(now.Sub(queued).Milliseconds(), n)
	l.batch += n
	l.batches = append(l.batches, logged{queued, n})
	return now
}

func (l *logging) end(began time.Time, n int64) {
	l.m.SyncProcessTime.ObserveN(time.Since(began).Milliseconds()/n, n)
}

// synced counts a sync. acknowledges says that the transactions go on from here: those of an observer do not.
func (l *logging) synced(began time.Time, acknowledges bool) {
	now := time.Now()
	if l.batch > 0 {
		l.m.SyncBatchSize.Observe(l.batch)
		l.m.SyncQueueFlushTime.Observe(now.Sub(began).Milliseconds())
	}
	for _, b := range l.batches {
		if acknowledges {
			l.m.SyncQueueAndFlushTime.ObserveN(now.Sub(b.at).Milliseconds(), b.n)
		}
	}
	l.forget()
}

// forget drops what waits for a sync.
func (l *logging) forget() { l.batch, l.batches = 0, l.batches[:0] }
