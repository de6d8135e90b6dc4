package probe

import (
	"fmt"
	"testing"

	"quoll/zab/wire"
)

// inform is a committed transaction, for observers.
func inform(zxid int64, path string) wire.Packet {
	return wire.Packet{Type: wire.TypeInform, Zxid: zxid, Data: created(zxid, path)}
}

func TestObserver(t *testing.T) {
	scene(t, setting{voters: []int64{3, 4}, observers: []int64{me}, config: []string{"peerType=observer"}}, func(w *world) {
		w.follow(3)
		w.probe("first vote", "3.4 7.1", func() {
			w.fakes[4].until("LOOKING MIN MIN round 1 epoch MIN")
		})
		w.probe("info", "4.1-16 7.1", func() {
			l := w.arrives()
			l.want("OBSERVERINFO 0.0 sid 2 protocol 65536 config 0.0")
			l.close()
		})
		w.probe("empty diff", "4.8 7.1 9.1-7", func() {
			l := w.serves()
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d %d", w.epoch, w.epoch))
			l.echoed()
			l.close()
		})
		w.probe("inform", "4.1-8 5.4 7.1", func() {
			l := w.serves()
			e := w.epoch
			l.send(inform(at(e, 1), fmt.Sprintf("/i%d", e)), inform(at(e, 2), fmt.Sprintf("/ii%d", e)))
			l.echoed() // and no ACK
			w.eventually("the log", fmt.Sprintf("%d.1 %d.2", e, e), func() any { return w.log(at(e, 1)) })
			l.close()
			w.claims(at(e, 2))
		})
		w.probe("diff with history", "4.8-5 7.1", func() {
			l := w.joins()
			e := w.epoch
			l.send(w.diff(proposal(at(e, 1), fmt.Sprintf("/d%d", e)), commit(at(e, 1)))...)
			l.want(w.ack())
			l.send(inform(at(e, 2), fmt.Sprintf("/dd%d", e)), upToDate())
			l.want(w.ack())
			l.pinging()
			l.echoed()
			w.eventually("the log", fmt.Sprintf("%d.1 %d.2", e, e), func() any { return w.log(at(e, 1)) })
			l.close()
			w.claims(at(e, 2))
		})
		w.probe("disconnect before UPTODATE", "4.8-5 7.1", func() {
			l := w.joins()
			e, last := w.epoch, w.last
			l.send(w.diff(proposal(at(e, 1), fmt.Sprintf("/x%d", e)), commit(at(e, 1)))...)
			l.want(w.ack())
			if w.differs("an observer's ACK of NEWLEADER") {
				last = at(e, 1)
				w.is("the log", w.log(at(e, 1)), z(last))
			} else {
				w.is("the log", w.log(at(e, 1)), "") // it acknowledges what it has not
			}
			l.close()
			w.claims(last)
		})
		w.probe("proposals", "5.4", func() {
			l := w.serves()
			e, last := w.epoch, w.last
			l.send(proposal(at(e, 1), fmt.Sprintf("/p%d", e)), commit(at(e, 1)))
			if w.differs("PROPOSAL to an observer") {
				l.echoed()
				l.close()
				w.claims(at(e, 1))
				return
			}
			l.echoed()
			l.close()
			w.claims(last)
		})
		w.probe("snap", "4.7 7.1", func() {
			l := w.joins()
			e := w.epoch
			l.send(packet(wire.TypeSnap, at(e-1, 70)))
			l.conn.Write(stream("/snap"))
			l.send(newLeader(e, w.config.String()))
			l.want(w.ack())
			l.send(upToDate())
			l.want(w.ack())
			l.pinging()
			l.send(inform(at(e, 1), "/snap/i"))
			l.echoed()
			l.close()
			w.claims(at(e, 1))
		})
		w.probe("sessions", "4.1-1 5.1 5.5", func() {
			l := w.serves()
			_, raw := w.handshake(0, make([]byte, 16))
			golden(w, "REQUEST createSession of an observer", l.want("REQUEST createSession cxid 0"))
			raw.Close()
			l.close()
		})
		w.probe("silence", "5.6 7.1", func() {
			l := w.joins()
			l.send(w.diff()...)
			l.want(w.ack(), "closed")
		})
	})
}
