package zabtest

import "time"

// clock is the monotonic clock of a server: it begins anywhere, runs at its own speed and jumps forward.
type clock struct {
	// at the world's time since, the clock showed shown.
	since, shown time.Duration
	// rate is the clock's speed in 1024ths of the world's.
	rate int64
}

// unitRate is the speed of a right clock.
const unitRate = 1024

// read returns what the clock shows at a time of the world.
func (c *clock) read(now time.Duration) time.Duration {
	return c.shown + time.Duration(int64(now-c.since)*c.rate/unitRate)
}

// when returns the earliest time of the world at which the clock shows at least d.
func (c *clock) when(d time.Duration) time.Duration {
	if d == never {
		return never
	}
	if d <= c.shown {
		return c.since
	}
	return c.since + time.Duration((int64(d-c.shown)*unitRate+c.rate-1)/c.rate)
}

// set changes the speed from now on and moves the clock forward.
func (c *clock) set(now time.Duration, jump time.Duration, rate int64) {
	c.shown = c.read(now) + jump
	c.since, c.rate = now, rate
}
