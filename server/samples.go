package server

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	sampleEvery = 64               // requests, of which one is taken, at random: a client that does things in turn is not to hide one of them
	sampleTime  = 30 * time.Second // that samples are taken after somebody has asked for them
	sampleFade  = 20 * time.Second // after which what was counted is worth half
	topEntries  = 128              // that are counted apart
	topText     = 200              // bytes of a path that are kept
)

// samples say which paths and clients are asked for most, as far as a part of the requests tells, in a room that is always the same. There are none unless somebody looks: then
// they cost a request a look at a pointer that is nil, and otherwise one in many of them a walk through a few cache lines. Who samples waits for nobody: a sample is lost while another is counted.
type samples struct {
	mu             sync.Mutex
	seed           maphash.Seed
	paths, clients top
	began          time.Time     // when counting began, or was worth half
	counted        time.Duration // what time before that is worth
	off            *time.Timer   // ends the sampling
}

// top is the Space-Saving sketch: what is not among the entries takes the place of the least of them, and has its count as what it may have too much.
type top struct {
	keys   [topEntries]uint64
	counts [topEntries]int64
	rest   [topEntries]topEntry
}

type topEntry struct {
	reads, writes, bytes, over int64
	length                     int // of the path; there may be less of it
	text                       [topText]byte
}

func (t *top) add(key uint64, text []byte, write bool, bytes int) {
	at, least := -1, 0
	for i := range t.keys {
		if t.keys[i] == key && t.counts[i] > 0 {
			at = i
			break
		}
		if t.counts[i] < t.counts[least] {
			least = i
		}
	}
	if at < 0 {
		at = least
		t.keys[at] = key
		t.rest[at] = topEntry{over: t.counts[at], length: len(text)}
		copy(t.rest[at].text[:], text)
	}
	t.counts[at]++
	e := &t.rest[at]
	if e.bytes += int64(bytes); write {
		e.writes++
	} else {
		e.reads++
	}
}

// fade makes all counts half of what they were.
func (t *top) fade() {
	for i := range t.counts {
		t.counts[i] /= 2
		e := &t.rest[i]
		e.reads, e.writes, e.bytes, e.over = e.reads/2, e.writes/2, e.bytes/2, e.over/2
	}
}

// sampled reports whether this request is one that is taken, and by whom.
func (s *Server) sampled() *samples {
	if t := s.samples.Load(); t != nil && rand.Uint32()%sampleEvery == 0 {
		return t
	}
	return nil
}

// take counts a request of a connection, which is nil for one that came to another server. It keeps nothing of the path.
func (t *samples) take(path []byte, c *conn, write bool, bytes int) {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	t.paths.add(maphash.Bytes(t.seed, path), path, write, bytes)
	if c != nil {
		t.clients.add(uint64(c.sessionID()), nil, write, bytes)
	}
}

// sampling is the samples that are being taken from now on, for a while.
func (s *Server) sampling(now time.Time) *samples {
	t := s.samples.Load()
	if t == nil {
		t = &samples{seed: maphash.MakeSeed(), began: now}
		t.off = time.AfterFunc(sampleTime, func() { s.samples.CompareAndSwap(t, nil) })
		s.samples.Store(t)
		return t
	}
	t.off.Reset(sampleTime)
	return t
}

// ranked is an entry as it is told, per second.
type ranked struct {
	key                        uint64
	text                       string
	reads, writes, bytes, over float64
}

// most are the n entries with the most requests, of each kind.
func (t *samples) most(n int, now time.Time) (paths, clients []ranked, seconds float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if worth := now.Sub(t.began); worth >= sampleFade {
		t.paths.fade()
		t.clients.fade()
		t.counted, t.began = (t.counted+worth)/2, now
	}
	seconds = max((t.counted + now.Sub(t.began)).Seconds(), 1)
	return t.paths.most(n, seconds), t.clients.most(n, seconds), seconds
}

func (t *top) most(n int, seconds float64) (list []ranked) {
	var order []int
	for i, count := range t.counts {
		if count > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(t.counts[b] - t.counts[a]) })
	rate := func(n int64) float64 { return float64(n) * sampleEvery / seconds }
	for _, i := range order[:min(n, len(order))] {
		e := &t.rest[i]
		text := string(e.text[:min(e.length, topText)])
		if e.length > topText {
			text = strings.ToValidUTF8(text, "") + "…"
		}
		list = append(list, ranked{t.keys[i], text, rate(e.reads), rate(e.writes), rate(e.bytes), rate(e.over)})
	}
	return list
}
