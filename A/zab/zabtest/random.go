package zabtest

import "time"

// stream is a source of random numbers (SplitMix64). Each link, disk and server has its own, so that leaving something out of a schedule
// changes as little as possible of the rest: that is what makes a failure small (see minimize.go).
type stream uint64

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	return mix(uint64(*s))
}

// mix scatters the bits of x.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// streamOf returns the stream of one purpose of a seed.
func streamOf(seed, purpose uint64) stream { return stream(mix(seed ^ mix(purpose+1))) }

// intn returns a number from 0 to n-1.
func (s *stream) intn(n int) int { return int(s.next() >> 33 % uint64(n)) }

// chance is true in n of 1000 cases.
func (s *stream) chance(n int) bool { return n > 0 && s.intn(1000) < n }

// upTo returns a duration greater than 0 and at most d.
func (s *stream) upTo(d time.Duration) time.Duration {
	return 1 + time.Duration(s.next()>>1)%d
}
