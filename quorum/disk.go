package quorum

import (
	"errors"
	"slices"
	"sync"
	"time"

	"quoll/zab"
)

// append has records logged, and synced with everything else that is waiting then.
func (p *Peer) append(records []zab.Record) {
	if p.maxBatch == 0 {
		p.appendBatch(records)
		return
	}
	for some := range slices.Chunk(records, p.maxBatch) {
		p.appendBatch(some)
	}
}

// appendBatch has records logged that are no more than what may be synced at once.
func (p *Peer) appendBatch(records []zab.Record) {
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	p.behind.add(size)
	n, queued := int64(len(records)), time.Now()
	p.waiting.Add(n)
	p.counters.m.SyncRequestsQueued.Add(n)
	p.disk.push(func() {
		defer p.behind.add(-size)
		behind := p.waiting.Add(-n)
		if p.maxBatch > 0 && p.logging.batch+n > int64(p.maxBatch) {
			p.sync()
		}
		if p.failed {
			return
		}
		began := p.logging.begin(queued, n, behind)
		if err := p.app.Append(records); err != nil {
			p.diskFails(err)
			return
		}
		p.logging.end(began, n)
		p.unsynced = true
	})
}

// sync makes durable what was appended. It runs when nothing else waits, and before everything that depends on it.
func (p *Peer) sync() {
	if !p.unsynced || p.failed {
		return
	}
	p.unsynced = false
	began := time.Now()
	zxid, err := p.app.Sync()
	if err != nil {
		p.diskFails(err)
		return
	}
	p.logging.synced(began, zab.Role(p.role.Load()) != zab.Observing)
	p.tell(message{event: zab.Synced{Zxid: zxid}})
}

// onDisk runs a function of the disk's goroutine, behind what was appended before. Its error is a failure of the disk.
func (p *Peer) onDisk(fn func() error) {
	p.disk.push(func() {
		if p.sync(); p.failed {
			return
		}
		if err := fn(); err != nil {
			p.diskFails(err)
		}
	})
}

// diskFails tells the node, which asks for a reload; until then nothing is done any more.
func (p *Peer) diskFails(err error) {
	p.failed, p.unsynced = true, false
	p.logging.forget()
	p.log.Error("the disk fails; this server leaves its ensemble until it can read back what is there", "error", err)
	p.post(message{event: zab.DiskFailed{Reason: err.Error()}})
}

// readLog reads the log for a learner, beside what is appended meanwhile.
func (p *Peer) readLog(e zab.ReadLog) {
	p.onDisk(func() error {
		read := p.app.ReadLog(e.From, e.Bytes)
		p.reads.push(func() {
			answer, err := read()
			if err != nil {
				p.log.Warn("reading the log for a learner", "error", err)
			}
			answer.Link = e.Link
			p.post(message{event: answer})
		})
		return nil
	})
}

// standStill runs fn on the disk's goroutine while nothing is applied, and nothing is read for learners.
func (p *Peer) standStill(fn func()) {
	var reached sync.WaitGroup
	done := make(chan struct{})
	for _, q := range []*queue{p.state, p.reads} {
		reached.Add(1)
		q.push(func() {
			reached.Done()
			<-done
		})
	}
	p.disk.push(func() {
		reached.Wait()
		defer close(done)
		fn()
	})
}

// restore makes log and state others. What fn returns is run when the driver has its answer.
func (p *Peer) restore(id zab.RestoreID, fn func() (then func(), err error)) {
	p.standStill(func() {
		if p.sync(); p.failed {
			return
		}
		then, err := fn()
		if err != nil {
			p.log.Warn("the state could not be brought to the leader's", "error", err)
			p.post(message{event: zab.RestoreFailed{Restore: id, Reason: err.Error()}})
			return
		}
		p.post(message{event: zab.Restored{Restore: id, Disk: p.app.Disk()}})
		if then != nil {
			then()
		}
	})
}

// reload reads the disk until that works.
func (p *Peer) reload(id zab.RestoreID) {
	p.standStill(func() {
		p.failed, p.unsynced = false, false
		for {
			err := p.app.Reload()
			if err == nil {
				p.post(message{event: zab.Restored{Restore: id, Disk: p.app.Disk()}})
				return
			}
			p.log.Error("the data directory cannot be loaded; trying again", "error", err)
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(reloadPause):
			}
		}
	})
}

// install reads the leader's state from a link, which goes on behind it.
func (p *Peer) install(l *link, zxid int64) (then func(), err error) {
	if l == nil {
		return nil, errors.New("the link is gone")
	}
	rest, err := p.app.Install(zxid, l)
	if err != nil {
		l.end()
		return nil, err
	}
	return func() { p.wg.Go(func() { l.goOn(rest) }) }, nil
}

// apply has records applied.
func (p *Peer) apply(records []zab.Record) {
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	p.behind.add(size)
	committed := time.Now()
	p.state.push(func() {
		defer p.behind.add(-size)
		if err := p.app.Apply(records, committed); err != nil {
			p.fail(err)
		}
	})
}
