package server

import (
	"slices"
	"sync"
)

const (
	inboxLimit = 64 << 20 // bytes of requests above which readers wait before they hand over more
	batchLimit = 4 << 20  // bytes of requests above which a batch takes no more: the tree is locked while it is applied
)

// inbox is where connections put their requests for the sequencer.
type inbox struct {
	mu     sync.Mutex
	room   *sync.Cond
	list   []*Request
	bytes  int
	closed bool
	wake   func() // makes the sequencer look
}

func newInbox(wake func()) *inbox {
	b := &inbox{wake: wake}
	b.room = sync.NewCond(&b.mu)
	return b
}

// Submit hands over requests. It waits while too many bytes are under way already.
func (b *inbox) Submit(list []*Request) {
	b.mu.Lock()
	for b.bytes > inboxLimit && !b.closed {
		b.room.Wait()
	}
	if !b.closed {
		b.list = append(b.list, list...)
		for _, r := range list {
			b.bytes += r.size()
		}
	}
	b.mu.Unlock()
	b.wake()
}

// close lets nobody wait any more; what is handed over from now on is lost.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.room.Broadcast()
	b.mu.Unlock()
}

// take moves up to a batch of requests to dst; limit is the most that a batch may have, 0 or less for any number.
func (b *inbox) take(dst []*Request, limit int) []*Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.list)
	if limit > 0 {
		n = min(n, limit)
	}
	size := 0
	for i, r := range b.list[:n] {
		if size += r.size(); size > batchLimit {
			n = i + 1
			break
		}
	}
	for _, r := range b.list[:n] {
		b.bytes -= r.size()
	}
	dst = append(dst, b.list[:n]...)
	b.list = slices.Delete(b.list, 0, n)
	if b.bytes <= inboxLimit {
		b.room.Broadcast()
	}
	return dst
}

// skim calls see for all requests in the inbox but the first n, and returns how many there are.
func (b *inbox) skim(n int, see func(*Request)) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.list[n:] {
		see(r)
	}
	return len(b.list)
}

// pending is the number of requests in the inbox.
func (b *inbox) pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list)
}
