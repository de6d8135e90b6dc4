package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Summary condenses a stream of integers: how many, their sum, the smallest, the largest, and for some the percentiles. It
// mirrors AvgMinMaxCounter and AvgMinMaxPercentileCounter. Those of a Set come ready; NewSummary makes others.
type Summary struct {
	count, sum, min, max atomic.Int64
	window               *window // nil: no percentiles
	slices               [windowSlices]slice
	_                    [48]byte // up to two cache lines, so that neighbours do not share one
}

const (
	windowSlices = 5
	windowTime   = 10 * time.Minute
)

// NewSummary returns a Summary without percentiles that belongs to no Set, such as the request latency of srvr.
func NewSummary() *Summary {
	s := new(Summary)
	s.Reset()
	return s
}

func (s *Summary) init(w *window, percentiles bool) {
	if percentiles {
		s.window = w
	}
	s.Reset()
}

// Observe adds one value.
func (s *Summary) Observe(v int64) { s.ObserveN(v, 1) }

// ObserveN adds the value v n times, at the price of one; n must be positive. It serves batches whose members share a time.
func (s *Summary) ObserveN(v, n int64) {
	s.count.Add(n)
	s.sum.Add(v * n)
	for low := s.min.Load(); v < low && !s.min.CompareAndSwap(low, v); low = s.min.Load() {
	}
	for high := s.max.Load(); v > high && !s.max.CompareAndSwap(high, v); high = s.max.Load() {
	}
	if s.window != nil {
		s.slices[s.window.slice.Load()].add(v, n)
	}
}

// Reset forgets all values. Values that arrive meanwhile may count in part.
func (s *Summary) Reset() {
	s.count.Store(0)
	s.sum.Store(0)
	s.min.Store(math.MaxInt64)
	s.max.Store(math.MinInt64)
	for i := range s.slices {
		s.slices[i].clear()
	}
}

// Count returns the number of values since the last reset.
func (s *Summary) Count() int64 { return s.count.Load() }

// Min returns the smallest value, 0 if there is none.
func (s *Summary) Min() int64 {
	if low := s.min.Load(); low != math.MaxInt64 {
		return low
	}
	return 0
}

// Max returns the largest value, 0 if there is none.
func (s *Summary) Max() int64 {
	if high := s.max.Load(); high != math.MinInt64 {
		return high
	}
	return 0
}

// Avg returns the mean, rounded to four decimals, halves away from zero; 0 without values.
func (s *Summary) Avg() float64 { return average(s.sum.Load(), s.count.Load()) }

func (s *Summary) snapshot(to *Snapshot) {
	*to = Snapshot{Count: s.Count(), Sum: s.sum.Load(), Min: s.Min(), Max: s.Max()}
	for i := range s.slices {
		if b := s.slices[i].buckets.Load(); b != nil {
			for j := range b {
				n := b[j].Load()
				to.buckets[j] += n
				to.total += n
			}
		}
	}
}

// slice counts the values of one part of the window. The default provider uses only the first and never turns the window,
// so that its percentiles cover all values since the last reset, as the upstream's do.
type slice struct {
	buckets atomic.Pointer[[buckets]atomic.Int64]
}

func (s *slice) add(v, n int64) {
	b := s.buckets.Load()
	if b == nil {
		s.buckets.CompareAndSwap(nil, new([buckets]atomic.Int64))
		b = s.buckets.Load()
	}
	b[bucketOf(v)].Add(n)
}

func (s *slice) clear() {
	if b := s.buckets.Load(); b != nil {
		for i := range b {
			b[i].Store(0)
		}
	}
}

// A bucket holds one value below 32, and from there a sixteenth of a power of two, up to 1<<32; so a percentile is exact for
// small values and within 3 % for large ones.
const buckets = 29 * 16

func bucketOf(v int64) int {
	switch {
	case v < 0:
		return 0
	case v < 32:
		return int(v)
	case v >= 1<<32:
		return buckets - 1
	}
	e := bits.Len64(uint64(v)) - 5
	return e*16 + int(v>>e)
}

// middleOf returns the value in the middle of a bucket.
func middleOf(bucket int) int64 {
	if bucket < 32 {
		return int64(bucket)
	}
	e := bucket/16 - 1
	return int64(bucket-e*16)<<e + (1<<e-1)/2
}

// Snapshot is the state of a Summary at one moment. Updates under way may be in some of its numbers and not in others.
type Snapshot struct {
	Count, Sum, Min, Max int64 // since the last reset

	buckets [buckets]int64
	total   int64 // values in buckets
}

// Avg returns the mean as Summary.Avg does.
func (s *Snapshot) Avg() float64 { return average(s.Sum, s.Count) }

// Quantile returns the value at the q-quantile (0 < q < 1) of the window, NaN if there was none, as a Prometheus summary.
func (s *Snapshot) Quantile(q float64) float64 {
	if s.total == 0 {
		return math.NaN()
	}
	return float64(s.ranked(int64(math.Ceil(q * float64(s.total)))))
}

// Percentile returns the q-quantile (0 < q < 1) by linear interpolation between neighbours, rounded to an integer; 0 without
// values. It is the definition of the metrics library behind the upstream's default provider.
func (s *Snapshot) Percentile(q float64) int64 {
	if s.total == 0 {
		return 0
	}
	rank, part := math.Modf(q * float64(s.total+1))
	low, high := s.ranked(int64(rank)), s.ranked(int64(rank)+1)
	return int64(math.Floor(float64(low) + part*float64(high-low) + 0.5))
}

// ranked returns the n-th smallest value, or the nearest one for n outside of 1..total.
func (s *Snapshot) ranked(n int64) int64 {
	n = min(max(n, 1), s.total)
	for i := range s.buckets {
		if n -= s.buckets[i]; n <= 0 {
			// The outermost buckets hold values beyond their range.
			return min(max(middleOf(i), s.Min), s.Max)
		}
	}
	return s.Max
}

func average(sum, count int64) float64 {
	if count <= 0 {
		return 0
	}
	return round4(float64(sum) / float64(count))
}
