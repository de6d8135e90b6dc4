package quorum

import "sync"

// queue runs functions, one after another, in the goroutine that calls run.
type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	list   []func()
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

// push adds a function, unless the queue is closed.
func (q *queue) push(fn func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.list = append(q.list, fn)
		q.more.Signal()
	}
}

// close lets run return when everything that was pushed has run.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Signal()
}

// run runs the functions; idle, if it is not nil, whenever there is none waiting.
func (q *queue) run(idle func()) {
	var batch []func()
	for {
		q.mu.Lock()
		for len(q.list) == 0 && !q.closed {
			q.more.Wait()
		}
		if len(q.list) == 0 {
			q.mu.Unlock()
			return
		}
		batch, q.list = q.list, batch[:0]
		q.mu.Unlock()
		for i, fn := range batch {
			fn()
			batch[i] = nil
		}
		if idle != nil {
			idle()
		}
	}
}

// gauge counts bytes that are on their way, so that others can wait for there to be less.
type gauge struct {
	limit int64
	below func() // called when the bytes go below the limit; may be nil

	mu     sync.Mutex
	less   *sync.Cond
	bytes  int64
	closed bool
}

func newGauge(limit int64, below func()) *gauge {
	g := &gauge{limit: limit, below: below}
	g.less = sync.NewCond(&g.mu)
	return g
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	was := g.bytes
	g.bytes += int64(n)
	crossed := was > g.limit && g.bytes <= g.limit
	if crossed {
		g.less.Broadcast()
	}
	g.mu.Unlock()
	if crossed && g.below != nil {
		g.below()
	}
}

// full reports whether there is more than the limit.
func (g *gauge) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bytes > g.limit
}

// wait waits until there is no more than the limit, or nobody waits any more.
func (g *gauge) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.bytes > g.limit && !g.closed {
		g.less.Wait()
	}
}

// close lets nobody wait any more.
func (g *gauge) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.less.Broadcast()
}
