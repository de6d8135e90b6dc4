package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"unsafe"
)

func observed(values ...int64) *Snapshot {
	set, snap := New(Default), new(Snapshot)
	for _, v := range values {
		set.UpdateLatency.Observe(v)
	}
	set.UpdateLatency.snapshot(snap)
	return snap
}

// TestLikeJava compares with what AvgMinMaxPercentileCounter of Apache ZooKeeper 3.9.5 says after the same values: avg, min,
// max, cnt, sum, p50, p95, p99, p999.
func TestLikeJava(t *testing.T) {
	sequence := func(n int, f func(i int) int) (values []int64) {
		for i := range n {
			values = append(values, int64(f(i)))
		}
		return values
	}
	for _, c := range []struct {
		values []int64
		want   string
	}{
		{nil, "0.0 0 0 0 0 0 0 0 0"},
		{[]int64{5}, "5.0 5 5 1 5 5 5 5 5"},
		{[]int64{1, 2}, "1.5 1 2 2 3 2 2 2 2"},
		{[]int64{0, 0, 0, 7}, "1.75 0 7 4 7 0 7 7 7"},
		{[]int64{3, 1, 2}, "2.0 1 3 3 6 2 3 3 3"},
		{[]int64{1000000}, "1000000.0 1000000 1000000 1 1000000 1000000 1000000 1000000 1000000"},
		{sequence(31, func(i int) int { return i }), "15.0 0 30 31 465 15 29 30 30"},
		{sequence(500, func(i int) int { return i * i % 29 }), "13.928 0 28 500 6964 13 28 28 28"},
		{sequence(2000, func(i int) int {
			if i%1000 == 0 {
				return 31
			}
			return i % 3
		}), "1.03 0 31 2000 2060 1 2 2 31"},
	} {
		s := observed(c.values...)
		got := fmt.Sprintln(JavaDouble(s.Avg()), s.Min, s.Max, s.Count, s.Sum, s.Percentile(0.5), s.Percentile(0.95), s.Percentile(0.99), s.Percentile(0.999))
		if got != c.want+"\n" {
			t.Errorf("%d values: got %s, want %s", len(c.values), got, c.want)
		}
	}
}

// TestPercentileError checks the promised 3 % against a sorted list.
func TestPercentileError(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var values []int64
		for range 1 + r.IntN(2000) {
			values = append(values, r.Int64N(1<<(1+r.IntN(32))))
		}
		s := observed(values...)
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
			exact := float64(values[int(math.Ceil(q*float64(len(values))))-1])
			if got := s.Quantile(q); math.Abs(got-exact) > 0.03*exact {
				t.Errorf("seed %d: the %v-quantile is %v, not %v", seed, q, got, exact)
			}
		}
	}
}

// TestBuckets walks over the edges of all buckets: they join, and the middle of each lies inside.
func TestBuckets(t *testing.T) {
	low := int64(0)
	for b := range buckets {
		if got := bucketOf(low); got != b {
			t.Fatalf("%d is in bucket %d, not %d", low, got, b)
		}
		if got := bucketOf(middleOf(b)); got != b || middleOf(b) < low {
			t.Errorf("the middle of bucket %d, %d, is in bucket %d", b, middleOf(b), got)
		}
		width := int64(1)
		if b >= 32 {
			width = 1 << (b/16 - 1)
		}
		if got := bucketOf(low + width - 1); got != b {
			t.Errorf("%d is in bucket %d, not %d", low+width-1, got, b)
		}
		low += width
	}
	if low != 1<<32 {
		t.Errorf("the buckets end at %d", low)
	}
	s := observed(-5, 1<<40)
	if low, high := s.Quantile(0.01), s.Quantile(0.99); low < -5 || low > 0 || high < 1<<31 || high > 1<<40 {
		t.Errorf("values beyond the buckets have quantiles %v and %v", low, high)
	}
}

func TestConcurrentUpdates(t *testing.T) {
	s := New(Prometheus)
	const workers, each = 8, 2000
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range int64(each) {
				s.BytesReceived.Inc()
				s.UpdateLatency.Observe(i + int64(w))
				s.ReadPerNamespace.With(strconv.FormatInt(i%7, 10)).ObserveN(i, 2)
				if i%500 == 0 {
					s.AppendMntr(nil)
				}
			}
		})
	}
	all.Wait()
	snap := new(Snapshot)
	s.UpdateLatency.snapshot(snap)
	if n := int64(workers * each); s.BytesReceived.Load() != n || snap.Count != n || snap.total != n {
		t.Errorf("of %d updates arrived: %d in the counter, %d in the summary, %d in its buckets", n, s.BytesReceived.Load(), snap.Count, snap.total)
	}
	if snap.Min != 0 || snap.Max != each-1+workers-1 {
		t.Errorf("the values lie between %d and %d", snap.Min, snap.Max)
	}
	var count int64
	s.ReadPerNamespace.each(func(_ string, y *Summary) { count += y.Count() })
	if count != 2*workers*each {
		t.Errorf("%d labelled values of %d arrived", count, 2*workers*each)
	}
}

// TestLabelsAreBounded gives names in a buffer that is overwritten, as those in a request are.
func TestLabelsAreBounded(t *testing.T) {
	s := New(Default)
	var name []byte
	for i := range 2 * MaxKeys {
		name = strconv.AppendInt(name[:0], int64(10_000+i), 10)
		s.WritePerNamespace.With(unsafe.String(&name[0], len(name))).Observe(1)
	}
	keys := make(map[string]int64)
	s.WritePerNamespace.each(func(key string, y *Summary) { keys[key] = y.Count() })
	if len(keys) != MaxKeys+1 || keys[OtherKey] != MaxKeys || keys["10000"] != 1 || keys[strconv.Itoa(10_000+MaxKeys-1)] != 1 {
		t.Errorf("%d keys, %d values for %s", len(keys), keys[OtherKey], OtherKey)
	}
	if n := testing.AllocsPerRun(100, func() { s.WritePerNamespace.With("one more").Observe(1) }); n != 0 {
		t.Errorf("beyond the limit an update costs %v allocations", n)
	}
}

// TestUpdatesDoNotAllocate covers everything that a server does for each request.
func TestUpdatesDoNotAllocate(t *testing.T) {
	for _, p := range []Provider{Default, Prometheus} {
		s, path := New(p), "/app/child"
		if n := testing.AllocsPerRun(1000, func() {
			s.BytesReceived.Add(100)
			s.FsyncTime.Observe(3)
			s.UpdateLatency.ObserveN(12, 5)
			s.WritePerNamespace.With(path[1:4]).Observe(1024)
			s.QuotaExceededErrors.With(path[1:4]).Inc()
		}); n != 0 {
			t.Errorf("provider %d: %v allocations", p, n)
		}
	}
}

func BenchmarkCounter(b *testing.B) {
	s := New(Default)
	b.ReportAllocs()
	for b.Loop() {
		s.BytesReceived.Add(100)
	}
}

func BenchmarkSummary(b *testing.B) {
	for name, p := range map[string]Provider{"default": Default, "prometheus": Prometheus} {
		s := New(p)
		b.Run("basic/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				s.FsyncTime.Observe(i & 63)
			}
		})
		b.Run("advanced/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				s.UpdateLatency.Observe(i & 63)
			}
		})
	}
}

func BenchmarkSummaryParallel(b *testing.B) {
	s := New(Default)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int64(0); pb.Next(); i++ {
			s.UpdateLatency.Observe(i & 63)
		}
	})
}

func BenchmarkLabelled(b *testing.B) {
	s := New(Default)
	for i := range 100 {
		s.ReadPerNamespace.With(strconv.Itoa(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		s.ReadPerNamespace.With("42").Observe(1024)
	}
}

func BenchmarkMntr(b *testing.B) {
	s := New(Default)
	register(s, ModeAlways)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = s.AppendMntr(out[:0])
	}
}
