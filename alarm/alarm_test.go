package alarm

import (
	"testing"
	"time"
)

// TestAlarm: an alarm rings when it was set to and not before, once, and not when it was set to something else meanwhile.
func TestAlarm(t *testing.T) {
	for name, build := range map[string]func(func()) *Alarm{"new": New, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			rung := make(chan struct{}, 10)
			a := build(func() { rung <- struct{}{} })
			defer a.Close()
			begin := time.Now()
			a.Set(3 * time.Millisecond)
			<-rung
			if took := time.Since(begin); took < 3*time.Millisecond {
				t.Errorf("it rang after %v", took)
			}
			a.Set(10 * time.Millisecond)
			a.Set(0)
			a.Set(20 * time.Millisecond)
			a.Set(time.Hour)
			select {
			case <-rung:
				t.Error("it rang when it was not set, or twice")
			case <-time.After(50 * time.Millisecond):
			}
			a.Set(time.Microsecond)
			<-rung
		})
	}
}
