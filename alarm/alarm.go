// Package alarm calls a function on the microsecond. Timers of Go take up to a millisecond longer in a process that has nothing else to do: its poller waits in milliseconds.
package alarm

import "time"

// Alarm calls a function at a time that was set, by a goroutine that is not the caller's. Its methods must not be called at once, nor after Close.
type Alarm struct {
	set   func(time.Duration)
	close func()
}

// New returns an alarm that is not set, and calls ring each time. Where the system has no timer that is as exact as that, it is one of Go's.
func New(ring func()) *Alarm {
	if a := precise(ring); a != nil {
		return a
	}
	return plain(ring)
}

// Set has the alarm ring once after a time that is above 0, or not at all if it is 0; what was set before is forgotten.
func (a *Alarm) Set(after time.Duration) { a.set(after) }

// Close ends the alarm. It may still ring once.
func (a *Alarm) Close() { a.close() }

func plain(ring func()) *Alarm {
	t := time.AfterFunc(time.Hour, ring)
	t.Stop()
	return &Alarm{
		set: func(after time.Duration) {
			if after == 0 {
				t.Stop()
			} else {
				t.Reset(after)
			}
		},
		close: func() { t.Stop() },
	}
}
