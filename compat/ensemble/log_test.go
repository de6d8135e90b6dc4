package ensemble

import "testing"

// TestAmongJava has lines of servers about digests, with and without an excuse for them.
func TestAmongJava(t *testing.T) {
	const (
		quoll = `time=2026-11-28T11:37:23.729Z level=ERROR msg="the tree's digest is not the one in the transaction" zxid=0x80000057b type=delete have=188 want=187`
		java  = `2026-11-28 11:39:36,299 [myid:] - WARN  [QuorumPeer[myid=1]:o.a.z.s.RateLogger@57] - [66 times] Message: Digests are not matching. Value is Zxid. Last value:34359739771`
		other = `2026-11-28 11:39:36,299 [myid:] - ERROR [main:o.a.z.u.ServiceUtils@48] - Exiting JVM with code 1`
		snap  = `2026-11-28 11:39:36,282 [myid:] - INFO  [QuorumPeer[myid=1]:o.a.z.s.q.Learner@598] - Getting a snapshot from leader 0x80000057a`
	)
	for _, c := range []struct {
		line, before string
		led          int64 // an epoch that quoll led
		want         bool
	}{
		{java, snap, 7, true},
		{java, snap, 8, false},
		{java, "", 7, false},
		{quoll, snap, 7, false},
		{other, snap, 7, false},
	} {
		if got := amongJava(c.line, c.before, map[int64]bool{c.led: true}); got != c.want {
			t.Errorf("%t for %s\nafter %q, and quoll led epoch %d", got, c.line, c.before, c.led)
		}
	}
}
