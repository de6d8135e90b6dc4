package ensemble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"quoll/jute"
)

// Load is some writers, each of which creates one znode after the other, and tries again until it knows that it is there.
type Load struct {
	root    string
	cancel  context.CancelFunc
	work    sync.WaitGroup
	writers []*writer
	last    atomic.Int64 // nanoseconds since began, of the last acknowledgement of anybody
	began   time.Time

	mu    sync.Mutex
	acked int
	pause time.Duration
	error error
}

type writer struct {
	id    int
	acked int // znodes 0 to acked-1 are there
	pause time.Duration
}

// loadInterval keeps the trees small.
const loadInterval = 2 * time.Millisecond

// StartLoad starts writers on any of the members. The znodes are below root, which must exist.
func (e *Ensemble) StartLoad(root string, writers int) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{root: root, cancel: cancel, began: time.Now()}
	for id := range writers {
		w := &writer{id: id}
		l.writers = append(l.writers, w)
		l.work.Go(func() { l.write(ctx, w, e.Members) })
	}
	return l
}

// name is the path of a writer's znode.
func (l *Load) name(writer, n int) string { return fmt.Sprintf("%s/%d-%06d", l.root, writer, n) }

func (l *Load) write(ctx context.Context, w *writer, members []*Member) {
	var s session
	defer s.hangUp()
	pace := time.NewTicker(loadInterval)
	defer pace.Stop()
	last, tried := time.Now(), false
	for ctx.Err() == nil {
		_, err := s.connect(members)
		if err == nil {
			_, err = s.ask(jute.OpCreate, &jute.CreateRequest{Path: []byte(l.name(w.id, w.acked)), ACL: openACL})
		}
		var code jute.Code
		switch {
		case err == nil, errors.Is(err, jute.ErrNodeExists) && tried:
			now := time.Now()
			w.acked, w.pause, last, tried = w.acked+1, max(w.pause, now.Sub(last)), now, false
			l.acknowledged(now)
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		case errors.As(err, &code) && code != jute.ErrSessionMoved:
			l.mu.Lock()
			l.error = errors.Join(l.error, fmt.Errorf("%s: %w", l.name(w.id, w.acked), err))
			l.mu.Unlock()
			return
		default:
			tried = true
			time.Sleep(time.Millisecond) // nobody may be there at all
		}
	}
}

var openACL = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}

// acknowledged notes that somebody's write was.
func (l *Load) acknowledged(now time.Time) {
	at := int64(now.Sub(l.began))
	pause := time.Duration(at - l.last.Swap(at))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked++
	l.pause = max(l.pause, pause)
}

// Await returns when so many more writes have been acknowledged, and how long the first of them took.
func (l *Load) Await(more int) (first time.Duration, err error) {
	start := time.Now()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.acked
	}
	for from := count(); ; time.Sleep(time.Millisecond) {
		n := count() - from
		if n > 0 && first == 0 {
			first = time.Since(start)
		}
		if n >= more {
			return first, nil
		}
		if time.Since(start) > patience {
			return 0, fmt.Errorf("%d of %d writes were acknowledged in %v", n, more, patience)
		}
	}
}

// Result is what a load did.
type Result struct {
	Acked   int
	Pause   time.Duration // the longest time in which no write of anybody was acknowledged
	Longest time.Duration // the longest time between two acknowledgements of the same writer
}

// Stop ends the writers.
func (l *Load) Stop() (Result, error) {
	l.cancel()
	l.work.Wait()
	r := Result{Acked: l.acked, Pause: l.pause}
	for _, w := range l.writers {
		r.Longest = max(r.Longest, w.pause)
	}
	return r, l.error
}

// Present checks that every acknowledged znode is on every member that runs.
func (l *Load) Present(e *Ensemble) error {
	for _, m := range e.Members {
		if !m.Running() {
			continue
		}
		names, err := m.children(l.root)
		if err != nil {
			return err
		}
		for _, w := range l.writers {
			for n := range w.acked {
				if path := l.name(w.id, n); !names[path] {
					return fmt.Errorf("%s was acknowledged and is not on %v", path, m)
				}
			}
		}
	}
	return nil
}

// children are the paths below a znode, after a sync.
func (m *Member) children(path string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := connect(ctx, nil, m)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Sync(ctx, path); err != nil {
		return nil, fmt.Errorf("%v: sync: %w", m, err)
	}
	list, err := c.ChildNames(ctx, path, false)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m, err)
	}
	all := make(map[string]bool, len(list))
	for _, name := range list {
		all[path+"/"+name] = true
	}
	return all, nil
}
