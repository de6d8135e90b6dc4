package server

import (
	"math"
	"time"

	"quoll/jute"
	"quoll/ratelog"
)

// Served is a request that was answered: what a line of the slow-request log and a trace are made of.
type Served struct {
	Op jute.Op
	// Path is the one of the request, or that of the first part of a multi, cut at 256 bytes; empty if it has none.
	Path    string
	Session int64
	// Client is host:port.
	Client string
	Cxid   int32
	// Zxid is that of the transaction, or for a read that of the last one before it. Failed says that the transaction is an error.
	Zxid   int64
	Failed bool
	// Reads is how many reads that had arrived together took this time together, of which this is the last; 0 for a write.
	Reads int
	// Begun is when the request was read, Ended when its reply was on its way.
	Begun, Ended time.Time
	// Stages say where the time went, in order: each lasts from the end of the one before, the first from Begun. The last one ends at Ended.
	Stages []Stage
}

// Stage is a part of the time that a request took.
type Stage struct {
	// Name is queue, prepare, log (the write), fsync and apply (and the writing of the reply) on a server that stands alone; queue, quorum (the way to the leader, the proposal,
	// its syncs and the commit), backlog (of what is applied before it) and apply on a member; queue and read for a read.
	Name string
	End  time.Time
}

const (
	servedQueue = 1024 // requests that are told of and not yet written down
	servedPath  = 256  // bytes of a path that are told
	slowRequest = "slow request"
)

// journal tells of requests that were slow, or of all, once they are answered. Nobody waits for it: what comes faster than it is taken is lost, and counted in the log if it was slow.
// The nil journal tells nobody.
type journal struct {
	after time.Duration // a request that took as long is slow
	every func(Served)  // hears of all; nil is nobody
	log   *ratelog.Logger
	queue chan Served
}

// newJournal is nil if nobody wants to hear. A threshold of 0 or less is none.
func newJournal(threshold time.Duration, every func(Served), log *ratelog.Logger) *journal {
	if threshold <= 0 {
		if every == nil {
			return nil
		}
		threshold = math.MaxInt64
	}
	return &journal{after: threshold, every: every, log: log, queue: make(chan Served, servedQueue)}
}

// wants reports whether somebody wants to hear of a request that took so long.
func (j *journal) wants(took time.Duration) bool {
	return j != nil && (took >= j.after || j.every != nil)
}

func (j *journal) tell(r Served) {
	select {
	case j.queue <- r:
	default:
		if j.slow(&r) {
			j.log.Skip(slowRequest)
		}
	}
}

func (j *journal) slow(r *Served) bool { return r.Ended.Sub(r.Begun) >= j.after }

// run writes down what is told until stop is closed.
func (j *journal) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case r := <-j.queue:
			if j.every != nil {
				j.every(r)
			}
			if j.slow(&r) {
				j.write(&r)
			}
		}
	}
}

// write writes a line of the slow-request log.
func (j *journal) write(r *Served) {
	list := []any{"op", r.Op.String(), "path", r.Path, "session", hex(r.Session), "client", r.Client, "cxid", r.Cxid, "zxid", hex(r.Zxid), "took", r.Ended.Sub(r.Begun)}
	begin := r.Begun
	for _, stage := range r.Stages {
		list = append(list, stage.Name, stage.End.Sub(begin))
		begin = stage.End
	}
	if r.Failed {
		list = append(list, "failed", true)
	}
	if r.Reads > 1 {
		list = append(list, "reads", r.Reads)
	}
	j.log.Warn(slowRequest, list...)
}

// read tells of reads that were answered together, or of one that has waited since begun until began for writes before it.
func (j *journal) read(q *query, reads int, begun, began, ended time.Time) {
	if q.last.op == jute.OpPing {
		return
	}
	stages := []Stage{{"read", ended}}
	if began != begun {
		stages = []Stage{{"queue", began}, {"read", ended}}
	}
	d := jute.NewDecoder(q.body)
	path := d.Text()
	if len(path) > 0 && path[0] != '/' {
		path = nil // it begins with something else
	}
	j.tell(Served{Op: q.last.op, Path: capped(path), Session: q.c.sessionID(), Client: q.c.remote(), Cxid: q.last.cxid, Zxid: q.last.zxid, Reads: reads, Begun: begun, Ended: ended, Stages: stages})
}

// writes tells of the writes of a batch. stages have those that come after the queue, which a request left at begun unless it has a time of its own.
func (j *journal) writes(s *Server, batch []Proposal, begun time.Time, stages ...Stage) {
	if j == nil {
		return
	}
	ended := stages[len(stages)-1].End
	for i := range batch {
		p := &batch[i]
		r := p.Request
		if r == nil || r.conn == nil || !j.wants(ended.Sub(r.received)) {
			continue
		}
		left := begun
		if at := r.leftQueue.Load(); at != 0 {
			left = s.started.Add(time.Duration(at))
		}
		all := append([]Stage{{"queue", left}}, stages...)
		path := r.op.Path
		if r.multi != nil && len(r.multi.parts) > 0 {
			path = r.multi.parts[0].Path
		}
		j.tell(Served{Op: r.Op, Path: capped(path), Session: r.Session, Client: r.conn.remote(), Cxid: r.Cxid, Zxid: p.Txn.Zxid, Failed: p.Txn.Op() == jute.OpError, Begun: r.received, Ended: ended,
			Stages: all})
	}
}

// capped copies the beginning of a path.
func capped(path []byte) string {
	if len(path) > servedPath {
		return string(path[:servedPath]) + "…"
	}
	return string(path)
}
