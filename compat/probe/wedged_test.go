package probe

import (
	"testing"

	"quoll/jute"
	"quoll/zab/wire"
)

// TestMalformedRequest is a client's request that nobody can decode, as a follower forwards it: the learner's own server does not look into it.
func TestMalformedRequest(t *testing.T) {
	scene(t, voters, func(w *world) {
		w.elect()
		w.probe("create of two bytes", "5.1 9.2-11", func() {
			l := w.leads(0, 0)
			l.send(newSession(session, 6000))
			zxid := l.wrote("createSession")
			l.send(request(session, 1, jute.OpCreate, []byte{1, 2}))
			if w.differs("a request that is malformed") {
				if got := l.wrote("error -5"); got != zxid+1 {
					w.Errorf("the error has zxid %s", z(got))
				}
				l.send(newNode(session, 2, "/after", 0))
				l.wrote("create /after")
				return
			}
			l.want("PROPOSAL " + z(zxid) + " error -5") // a zxid that there was
			l.send(newNode(session, 2, "/after", 0))
			l.want("PROPOSAL " + z(zxid+1) + " create /after")
			for range 2 { // what was sent before the second question came to the leader's disk is acknowledged by both
				l.send(ack(zxid), ack(zxid+1), wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.Session{ID: session, Timeout: 6000}).Append(nil)})
				l.want("REVALIDATE true") // and no COMMIT, for ever
			}
			l.set(func(l *link) { l.pings = true })
			for range 6 {
				l.want("PING " + z(zxid+1) + " null")
			}
		})
	})
}
