package zabtest

import (
	"time"

	"quoll/zab"
)

// happeningKind says what is due.
type happeningKind uint8

const (
	dueTick    happeningKind = iota // the deadline of a node
	dueFlush                        // the effects of steps that were batched
	dueDisk                         // the next phase of the first operation of a disk
	dueFrame                        // the first frame of a link, towards an end
	dueSent                         // bytes of an end of a link left for the network
	dueDown                         // an end of a link learns that it is broken
	dueVote                         // a vote for a server
	dueDial                         // the outcome of a dial
	dueClient                       // a client does something
	dueAction                       // an entry of the plan
	dueRestart                      // a server comes back
)

// due is something that will happen: an entry of the world's queue.
type due struct {
	at   time.Duration
	seq  uint32
	kind happeningKind
	// server is whom it concerns; from is the other server of a vote or a dial, end the end of a link.
	server, from, end int8
	// life is that of the server when this was planned: of a former life nothing happens any more.
	life uint32
	link zab.LinkID
	// number is a dial, a client or an entry of the plan.
	number uint64
}

func (d *due) before(o *due) bool { return d.at < o.at || d.at == o.at && d.seq < o.seq }

// queue is a heap by time; what is planned first happens first at the same time.
type queue []due

func (q *queue) push(d due) {
	h := append(*q, d)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !d.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = d
	*q = h
}

func (q *queue) pop() due {
	h := *q
	top := h[0]
	last := h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(h)); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return top
}

// never is a time that does not come.
const never = zab.Never
