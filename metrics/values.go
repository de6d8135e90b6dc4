package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Counter is a sum that grows. It fills a cache line, so that two busy counters do not slow each other down.
type Counter struct {
	n atomic.Int64
	_ [56]byte
}

// Add adds n.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Load returns the sum since the last reset.
func (c *Counter) Load() int64 { return c.n.Load() }

func (c *Counter) reset() { c.n.Store(0) }

type gauge interface {
	each(func(key string, v Value))
	unregister()
}

// Gauge is an integer that is asked for when it is printed.
type Gauge struct{ f atomic.Pointer[func() int64] }

// Register makes f the source of the value. f may be called from any goroutine.
func (g *Gauge) Register(f func() int64) { g.f.Store(&f) }

func (g *Gauge) unregister() { g.f.Store(nil) }

func (g *Gauge) each(emit func(string, Value)) {
	if f := g.f.Load(); f != nil {
		emit("", Int((*f)()))
	}
}

// FloatGauge is a Gauge that prints as a Java double.
type FloatGauge struct {
	f atomic.Pointer[func() float64]
}

// Register makes f the source of the value. f may be called from any goroutine.
func (g *FloatGauge) Register(f func() float64) { g.f.Store(&f) }

func (g *FloatGauge) unregister() { g.f.Store(nil) }

func (g *FloatGauge) each(emit func(string, Value)) {
	if f := g.f.Load(); f != nil {
		emit("", Float((*f)()))
	}
}

// LabelledGauge is a family of integers by key.
type LabelledGauge struct {
	f atomic.Pointer[func() map[string]int64]
}

// Register makes f the source of the values. f may be called from any goroutine; the map is not kept.
func (g *LabelledGauge) Register(f func() map[string]int64) { g.f.Store(&f) }

func (g *LabelledGauge) unregister() { g.f.Store(nil) }

func (g *LabelledGauge) each(emit func(string, Value)) {
	if f := g.f.Load(); f != nil {
		values := (*f)()
		for _, key := range slices.Sorted(maps.Keys(values)) {
			emit(key, Int(values[key]))
		}
	}
}

// MaxKeys is the number of keys that a Labelled metric tells apart. Clients choose the namespaces, so there has to be a
// limit (upstream has none); what comes later counts under OtherKey, which no znode or server id can be called.
const (
	MaxKeys  = 1000
	OtherKey = "/other"
)

// Labelled is a family of counters or summaries by key: a namespace, which is the first element of a path, or a server id.
type Labelled[T any] struct {
	byKey atomic.Pointer[map[string]*T] // replaced, never changed
	init  func(*T)
	mu    sync.Mutex // held to replace byKey
}

// With returns the member for key, made at its first use. Callers may keep it; key is copied when it has to be kept.
func (l *Labelled[T]) With(key string) *T {
	if m := l.byKey.Load(); m != nil {
		if v := (*m)[key]; v != nil {
			return v
		}
		if len(*m) >= MaxKeys {
			key = OtherKey
			if v := (*m)[key]; v != nil {
				return v
			}
		}
	}
	return l.add(key)
}

func (l *Labelled[T]) add(key string) *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]*T)
	if m := l.byKey.Load(); m != nil {
		if len(*m) >= MaxKeys && (*m)[key] == nil {
			key = OtherKey // others took the last places since With looked
		}
		if v := (*m)[key]; v != nil {
			return v
		}
		maps.Copy(next, *m)
	}
	v := new(T)
	if l.init != nil {
		l.init(v)
	}
	next[strings.Clone(key)] = v
	l.byKey.Store(&next)
	return v
}

func (l *Labelled[T]) each(f func(string, *T)) {
	if m := l.byKey.Load(); m != nil {
		for _, key := range slices.Sorted(maps.Keys(*m)) {
			f(key, (*m)[key])
		}
	}
}
