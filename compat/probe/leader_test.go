package probe

import (
	"fmt"
	"strings"
	"testing"

	"quoll/jute"
	"quoll/zab/wire"
)

// joined brings a learner as far as the packets that synchronize it, and returns the epoch that it is offered.
func (l *link) joined(t wire.Type, sid, accepted, last int64, current int32) int64 {
	l.w.Helper()
	l.send(learnerInfo(t, accepted, sid, l.w.config.Version))
	_, p := l.until("LEADERINFO")
	l.send(ackEpoch(last, current))
	return p.Zxid >> 32
}

// synced reads the packets that synchronize a learner, and acknowledges NEWLEADER. It returns the texts of what came before.
func (l *link) synced() []string {
	l.w.Helper()
	before, p := l.until("NEWLEADER")
	l.send(ack(p.Zxid))
	return before
}

// upToDate reads until the learner may serve, and returns what came before.
func (l *link) upToDate() []string {
	l.w.Helper()
	before, _ := l.until("UPTODATE")
	l.send(ack(at(l.w.epoch, 0)))
	return before
}

// leads makes the server the leader of a new epoch, with a follower that acknowledges what comes. last is what the follower says that it has.
func (w *world) leads(last int64, current int32) *link {
	w.Helper()
	for {
		l := w.stranger()
		l.send(learnerInfo(wire.TypeFollowerInfo, w.epoch, 3, w.config.Version))
		if e := l.next(); e.text == "closed" {
			continue // it leads anew, since it waited for too long
		} else {
			w.epoch = e.p.Zxid >> 32
		}
		l.send(ackEpoch(last, current))
		l.synced()
		l.upToDate()
		l.set(func(l *link) { l.acks = true })
		return l
	}
}

// settle lets the server read what was sent before: it refuses some connections in the meantime, each by a thread of its own in Java.
func (w *world) settle() {
	w.Helper()
	for range 5 {
		l := w.stranger()
		l.send(packet(wire.TypePing, 0))
		l.want("closed")
	}
}

// learner is a further connection that is up to date, and what came on it before NEWLEADER and from there to UPTODATE.
func (w *world) learner(t wire.Type, sid, last int64) (l *link, before, behind []string) {
	w.Helper()
	l = w.stranger()
	l.joined(t, sid, w.epoch, last, -1)
	before = l.synced()
	return l, before, l.upToDate()
}

// wrote reads a proposal and its commit, with the zxid.
func (l *link) wrote(what string) int64 {
	l.w.Helper()
	e := l.next()
	zxid := e.p.Zxid
	if want := "PROPOSAL " + z(zxid) + " " + what; e.text != want {
		l.w.Fatalf("got %s, not %s", e.text, want)
	}
	l.want("COMMIT " + z(zxid))
	return zxid
}

// session is one that the learner's client has.
const session = 0x0300000000000001

func TestLeader(t *testing.T) {
	scene(t, setting{voters: []int64{1, me, 3}, observers: []int64{4}}, func(w *world) {
		w.chain = true
		w.elect()
		const follower, observer = wire.TypeFollowerInfo, wire.TypeObserverInfo
		var steady *link
		w.probe("the epoch needs a quorum", "4.4-J 4.2 9.2-4", func() {
			stranger := w.stranger()
			stranger.send(learnerInfo(follower, 6, 9, 0))
			member := w.stranger()
			member.send(learnerInfo(observer, 4, 4, 0))
			w.settle()
			w.is("epoch files", w.epochs(), "0 0") // neither is a voter
			voter := w.stranger()
			voter.send(learnerInfo(follower, 2, 3, 0))
			p := voter.next()
			w.epoch = p.p.Zxid >> 32
			if w.differs("epochs that strangers name") {
				w.is("the offer", p.text, "LEADERINFO 5.0 protocol 65536")
				w.is("epoch files", w.epochs(), "5 0")
			} else {
				w.is("the offer", p.text, "LEADERINFO 7.0 protocol 65536")
				w.is("epoch files", w.epochs(), "7 0")
			}
			member.want(p.text)
			member.send(ackEpoch(0, 0))
			others := []*link{member}
			if w.differs("strangers") {
				stranger.want("closed")
			} else {
				stranger.want(p.text)
				stranger.send(ackEpoch(0, 0))
				others = append(others, stranger)
			}
			w.settle()
			// A promise given before does not count, nor do those who are no voters.
			voter.send(ackEpoch(0, -1))
			w.settle()
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d 0", w.epoch))
			again := w.stranger()
			again.send(learnerInfo(follower, w.epoch, 1, 0))
			again.want(p.text)
			again.send(ackEpoch(at(1, 1), 1)) // it is ahead of the leader
			again.want("closed")
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d 0", w.epoch))
			again = w.stranger()
			again.send(learnerInfo(follower, w.epoch, 1, 0))
			again.want(p.text)
			again.send(ackEpoch(0, 0))
			for _, l := range append([]*link{again, voter}, others...) {
				l.want("DIFF 0.0", fmt.Sprintf("NEWLEADER %d.0 config 0.0", w.epoch))
			}
			w.eventually("epoch files", fmt.Sprintf("%d %d", w.epoch, w.epoch), func() any { return w.epochs() })
			// UPTODATE waits for a quorum of voters.
			for _, l := range others {
				l.send(ack(at(w.epoch, 0)))
			}
			w.settle()
			voter.send(ack(at(w.epoch, 0)))
			for _, l := range append([]*link{voter}, others...) {
				l.want("UPTODATE -1")
				l.send(ack(at(w.epoch, 0)))
			}
			again.close()
			stranger.close()
			member.close()
			voter.set(func(l *link) { l.acks = true })
			steady = voter
		})
		w.probe("first packet", "4.5-2", func() {
			for _, p := range []wire.Packet{packet(wire.TypePing, 0), packet(wire.TypeAck, 0), packet(99, 0), ackEpoch(0, 0)} {
				l := w.stranger()
				l.send(p)
				l.want("closed")
			}
		})
		w.probe("garbage first", "4", func() {
			for _, text := range []string{"GET / HTTP/1.1\r\n\r\n................", "\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xf0", "\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff"} {
				l := w.stranger()
				l.conn.Write([]byte(text))
				l.want("closed")
			}
		})
		w.probe("config version ahead", "4.5-2", func() {
			l := w.stranger()
			l.send(learnerInfo(follower, 0, 3, 1))
			l.want("closed")
		})
		w.probe("not ACKEPOCH", "4.5-4", func() {
			for _, p := range []wire.Packet{ack(0), packet(wire.TypeFollowerInfo, 0), packet(99, 0)} {
				l := w.stranger()
				l.send(learnerInfo(follower, 0, 1, 0))
				l.want(fmt.Sprintf("LEADERINFO %d.0 protocol 65536", w.epoch))
				l.send(p)
				l.want("closed")
			}
		})
		w.probe("ACKEPOCH without data", "4.5-4 9.1-17", func() {
			for _, data := range [][]byte{nil, {0, 1}} {
				l := w.stranger()
				l.send(learnerInfo(follower, 0, 1, 0))
				l.want(fmt.Sprintf("LEADERINFO %d.0 protocol 65536", w.epoch))
				l.send(wire.Packet{Type: wire.TypeAckEpoch, Data: data})
				l.want("closed")
			}
		})
		w.probe("old learners", "4.1 4.5-4", func() {
			twelve := learnerInfo(follower, 0, 1, 0)
			twelve.Data = twelve.Data[:12]
			l := w.stranger()
			l.send(twelve)
			l.want(fmt.Sprintf("LEADERINFO %d.0 protocol 65536", w.epoch))
			l.send(ackEpoch(at(w.epoch, 0), -1))
			l.until(fmt.Sprintf("NEWLEADER %d.0 config 0.0", w.epoch))
			l.close()
			eight := learnerInfo(follower, w.epoch, 1, 0)
			eight.Data = eight.Data[:8]
			l = w.stranger()
			l.send(eight)
			if w.differs("learners before 3.4") {
				l.want("closed")
			} else {
				l.want(fmt.Sprintf("NEWLEADER %d.0 null", w.epoch), fmt.Sprintf("DIFF %d.0", w.epoch))
				l.close()
			}
			four := learnerInfo(follower, 0, 1, 0)
			four.Data = four.Data[:4]
			l = w.stranger()
			l.send(four)
			if w.differs("learners before 3.4") {
				l.want("closed")
			} else {
				l.until("NEWLEADER")
				l.close()
			}
			l = w.stranger()
			l.send(wire.Packet{Type: follower, Zxid: at(w.epoch, 0)})
			if w.differs("learners before 3.4") {
				l.want("closed")
			} else {
				l.want(fmt.Sprintf("NEWLEADER %d.0 null", w.epoch), fmt.Sprintf("DIFF %d.0", w.epoch))
				l.close()
			}
		})
		w.probe("wrong answers to NEWLEADER", "4.5-9 4.4-N", func() {
			l := w.stranger()
			l.joined(follower, 1, 0, at(w.epoch, 0), 0)
			l.until("NEWLEADER")
			l.send(packet(wire.TypePing, 0))
			l.want("closed")
			l = w.stranger()
			l.joined(follower, 1, 0, at(w.epoch, 0), 0)
			l.until("NEWLEADER")
			l.send(ack(at(w.epoch, 7)))
			if w.differs("a wrong ACK of NEWLEADER") {
				l.want("closed")
				return
			}
			l.want("UPTODATE -1")
			l.close()
		})
		w.probe("ping", "4.1-5 5.6", func() {
			l, _, _ := w.learner(observer, 4, at(w.epoch, 0))
			l.set(func(l *link) { l.pings = true })
			l.want("PING " + z(at(w.epoch, 0)) + " null")
			l.close()
		})
		w.probe("requests", "4.1-1 4.1-2 4.1-4 4.1-8 5.1 5.2 5.3 5.9", func() {
			o, _, _ := w.learner(observer, 4, at(w.epoch, 0))
			steady.send(newSession(session, 4000))
			steady.set(func(l *link) { l.touched = []wire.Session{{ID: session, Timeout: 4000}} })
			steps := []struct {
				p    wire.Packet
				want string
			}{
				{newNode(session, 1, "/a", 0), "create /a"},
				{newNode(session, 2, "/a", 0), "error -110"},
				{newNode(session, 3, "/none/a", 0), "error -101"},
				{newNode(session, 4, "/eph", jute.ModeEphemeral), "create /eph"},
				{newNode(session, 5, "/seq-", jute.ModePersistentSequential), "create /seq-0000000002"},
				{request(session, 6, jute.OpSetData, (&jute.SetDataRequest{Path: []byte("/a"), Data: []byte("y"), Version: -1}).Append(nil)), "setData /a"},
				{request(session, 7, jute.OpSetData, (&jute.SetDataRequest{Path: []byte("/a"), Data: []byte("y"), Version: 7}).Append(nil)), "error -103"},
				{request(session, 8, jute.OpDelete, (&jute.DeleteRequest{Path: []byte("/seq-0000000002"), Version: -1}).Append(nil)), "delete /seq-0000000002"},
				{request(session, 9, jute.OpDelete, (&jute.DeleteRequest{Path: []byte("bad"), Version: -1}).Append(nil)), "error -8"},
				{newNode(0x0300000000000099, 1, "/b", 0), "error -112"},
			}
			zxid := steady.wrote("createSession")
			w.is("the first zxid", z(zxid), z(at(w.epoch, 1)))
			o.want("INFORM " + z(zxid) + " createSession")
			for _, step := range steps {
				steady.send(step.p)
				e := steady.next()
				zxid++
				if want := "PROPOSAL " + z(zxid) + " " + step.want; e.text != want {
					w.Fatalf("got %s, not %s", e.text, want)
				}
				golden(w, "PROPOSAL "+step.want, e.p)
				steady.want("COMMIT " + z(zxid))
				golden(w, "INFORM "+step.want, o.want("INFORM "+z(zxid)+" "+step.want))
			}
			o.close()
			w.last = zxid
		})
		w.probe("a request that nobody forwards", "5.1", func() {
			l, _, _ := w.learner(follower, 1, w.last)
			l.send(request(session, 15, 77, nil), request(session, 16, jute.OpGetData, (&jute.PathWatchRequest{Path: []byte("/a")}).Append(nil)))
			if w.differs("a request that nobody forwards") {
				l.want("closed")
				return
			}
			l.send(newNode(session, 17, "/a", 0)) // of a session that another one owns
			w.last = l.wrote("error -118")
			steady.want("PROPOSAL "+z(w.last)+" error -118", "COMMIT "+z(w.last))
			l.close()
		})
		w.probe("sync", "4.1-7 5.5", func() {
			steady.send(request(session, 20, jute.OpSync, (&jute.PathRequest{Path: []byte("/a")}).Append(nil)))
			steady.want("SYNC 0.0")
			steady.set(func(l *link) { l.acks = false })
			steady.send(newNode(session, 21, "/sync", 0), request(session, 22, jute.OpSync, (&jute.PathRequest{Path: []byte("/a")}).Append(nil)))
			w.last++
			steady.want("PROPOSAL " + z(w.last) + " create /sync")
			steady.send(ack(w.last))
			steady.want("COMMIT "+z(w.last), "SYNC 0.0")
			steady.set(func(l *link) { l.acks = true })
		})
		w.probe("revalidate", "4.1-6 5.5", func() {
			ask := func(l *link, id int64, valid bool) {
				l.send(wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.Session{ID: id, Timeout: 4000}).Append(nil)})
				p := l.want(fmt.Sprintf("REVALIDATE %v", valid))
				w.is("zxid", p.Zxid, int64(-1))
			}
			ask(steady, session, true)
			ask(steady, 0x0300000000000099, false)
			// It moves to the observer's connection.
			o, _, _ := w.learner(observer, 4, w.last)
			ask(o, session, true)
			steady.send(newNode(session, 30, "/moved", 0))
			w.last = steady.wrote("error -118")
			o.want("INFORM " + z(w.last) + " error -118")
			o.send(newNode(session, 31, "/moved", 0))
			w.last = steady.wrote("create /moved")
			o.want("INFORM " + z(w.last) + " create /moved")
			ask(steady, session, true)
			o.close()
		})
		w.probe("acks", "5.3 4.4-N", func() {
			o, _, _ := w.learner(observer, 4, w.last)
			steady.set(func(l *link) { l.acks = false })
			steady.send(newNode(session, 40, "/k1", 0), newNode(session, 41, "/k2", 0))
			a, b := w.last+1, w.last+2
			steady.want("PROPOSAL "+z(a)+" create /k1", "PROPOSAL "+z(b)+" create /k2")
			// Who is no voter does not count, nor does what is not there or out of its turn.
			o.send(ack(a), ack(b))
			steady.send(ack(at(w.epoch, 0)), ack(7))
			steady.send(request(session, 42, jute.OpSync, (&jute.PathRequest{Path: []byte("/")}).Append(nil)))
			steady.send(ack(a))
			steady.want("COMMIT " + z(a))
			steady.send(ack(b))
			steady.want("COMMIT "+z(b), "SYNC 0.0")
			o.want("INFORM "+z(a)+" create /k1", "INFORM "+z(b)+" create /k2")
			steady.send(ack(a), ack(a), ack(b))
			w.last = b
			steady.set(func(l *link) { l.acks = true })
			o.close()
		})
		w.probe("an ACK out of its turn", "5.3", func() {
			l, _, _ := w.learner(follower, 1, w.last)
			steady.set(func(l *link) { l.acks = false })
			steady.send(newNode(session, 43, "/k3", 0), newNode(session, 44, "/k4", 0))
			a, b := w.last+1, w.last+2
			l.want("PROPOSAL "+z(a)+" create /k3", "PROPOSAL "+z(b)+" create /k4")
			l.send(ack(b + 5))
			steady.want("PROPOSAL "+z(a)+" create /k3", "PROPOSAL "+z(b)+" create /k4")
			if w.differs("an ACK of what was not proposed") {
				l.until("closed")
			} else {
				steady.send(wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.Session{ID: 7, Timeout: 4000}).Append(nil)})
				steady.want("REVALIDATE false") // and no COMMIT
			}
			steady.send(ack(a), ack(b))
			steady.want("COMMIT "+z(a), "COMMIT "+z(b))
			w.last = b
			l.close()
			steady.set(func(l *link) { l.acks = true })
		})
		w.probe("strangers", "4.5-2 5.3 9.2-4", func() {
			l := w.stranger()
			l.send(learnerInfo(follower, 0, 9, 0))
			if w.differs("strangers") {
				l.want("closed")
				return
			}
			l.want(fmt.Sprintf("LEADERINFO %d.0 protocol 65536", w.epoch))
			l.send(ackEpoch(w.last, -1))
			l.synced()
			l.upToDate()
			steady.set(func(l *link) { l.acks = false })
			steady.send(newNode(session, 45, "/stranger", 0))
			w.last++
			l.want("PROPOSAL " + z(w.last) + " create /stranger")
			l.send(ack(w.last)) // does not count
			steady.want("PROPOSAL " + z(w.last) + " create /stranger")
			steady.send(newNode(session, 46, "/stranger", 0))
			w.last++
			steady.want("PROPOSAL " + z(w.last) + " error -110")
			steady.send(ack(w.last-1), ack(w.last))
			steady.want("COMMIT "+z(w.last-1), "COMMIT "+z(w.last))
			steady.set(func(l *link) { l.acks = true })
			l.close()
		})
		w.probe("proposals that are outstanding", "4.5-5", func() {
			steady.set(func(l *link) { l.acks = false })
			steady.send(newNode(session, 50, "/o1", 0))
			n := w.last + 1
			steady.want("PROPOSAL " + z(n) + " create /o1")
			l := w.stranger()
			l.joined(follower, 1, w.epoch, w.last, -1)
			before := l.synced()
			o := w.stranger()
			o.joined(observer, 4, w.epoch, w.last, -1)
			w.is("the observer's diff", fmt.Sprint(o.synced()), fmt.Sprintf("[DIFF %s]", z(w.last)))
			o.upToDate()
			steady.send(newNode(session, 51, "/o2", 0))
			steady.want("PROPOSAL " + z(n+1) + " create /o2")
			behind := l.upToDate()
			if w.differs("history between NEWLEADER and UPTODATE") {
				w.is("before NEWLEADER", fmt.Sprint(before), fmt.Sprintf("[DIFF %s]", z(w.last)))
				w.is("before UPTODATE", len(behind), 0)
				l.want("PROPOSAL "+z(n)+" create /o1", "PROPOSAL "+z(n+1)+" create /o2")
			} else {
				w.is("before NEWLEADER", fmt.Sprint(before), fmt.Sprintf("[DIFF %s PROPOSAL %s create /o1]", z(w.last), z(n)))
				if len(behind) == 0 {
					l.want("PROPOSAL " + z(n+1) + " create /o2")
				} else {
					w.is("before UPTODATE", behind[0], "PROPOSAL "+z(n+1)+" create /o2")
				}
			}
			l.send(ack(n), ack(n+1)) // a quorum with the leader
			l.want("COMMIT "+z(n), "COMMIT "+z(n+1))
			steady.want("COMMIT "+z(n), "COMMIT "+z(n+1))
			o.want("INFORM "+z(n)+" create /o1", "INFORM "+z(n+1)+" create /o2")
			steady.send(ack(n), ack(n+1))
			steady.set(func(l *link) { l.acks = true })
			w.last += 2
			l.close()
			o.close()
		})
		w.probe("sync methods in the first epoch", "4.6-2 4.6-3 4.6-4 4.6-5 4.6-6", func() {
			e := w.epoch
			m := z(w.last)
			for _, c := range []struct {
				name string
				last int64
				want string
			}{
				{"all", w.last, "DIFF " + m},
				{"one behind", w.last - 1, "DIFF " + m + "|PROPOSAL " + m + " create /o2|COMMIT " + m},
				{"ahead in the epoch", w.last + 5, "TRUNC " + m},
				{"the beginning of a later epoch", at(e+1, 0), "SNAP"},
				{"the beginning of this epoch, before which nothing is", at(e, 0), "SNAP"},
				{"an empty one", 0, "SNAP"},
				{"the beginning of an epoch before", at(e-1, 0), "SNAP"},
				{"within an epoch before", at(e-1, 5), "SNAP"},
			} {
				l := w.stranger()
				l.joined(follower, 1, e, c.last, -1)
				got := strings.Join(l.synced(), "|")
				if c.name == "within an epoch before" && !strings.HasPrefix(got, c.want) || !strings.HasPrefix(got, c.want) || !strings.HasSuffix(c.want, "PROPOSAL") && c.want != "SNAP" && got != c.want {
					w.Errorf("%s, %s: %s, not %s", c.name, z(c.last), got, c.want)
				}
				l.close()
			}
		})
		w.probe("unknown types", "4.5-11", func() {
			l, _, _ := w.learner(follower, 1, w.last)
			l.send(packet(99, 1), packet(-3, 1), packet(wire.TypeProposal, 1), packet(wire.TypeFollowerInfo, 1), packet(wire.TypeUpToDate, 1), packet(wire.TypeNewLeader, 1))
			steady.send(newNode(session, 60, "/alive", 0))
			w.last = steady.wrote("create /alive")
			l.want("PROPOSAL "+z(w.last)+" create /alive", "COMMIT "+z(w.last))
			l.close()
		})
		w.probe("malformed packets", "4.5-11 9.1-17", func() {
			for _, c := range []struct {
				p    wire.Packet
				kept bool // by quoll
			}{
				{packet(wire.TypePing, 0), true},
				{wire.Packet{Type: wire.TypePing, Data: []byte{1, 2, 3}}, true},
				{packet(wire.TypeRequest, -1), false},
				{wire.Packet{Type: wire.TypeRequest, Data: make([]byte, 15)}, false},
				{packet(wire.TypeRevalidate, -1), false},
				{wire.Packet{Type: wire.TypeRevalidate, Data: []byte{1}}, false},
			} {
				l, _, _ := w.learner(follower, 1, w.last)
				l.send(c.p, wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.Session{ID: 7, Timeout: 4000}).Append(nil)})
				if c.kept && w.differs("PING with half a session") {
					l.want("REVALIDATE false")
					l.close()
				} else {
					l.want("closed")
				}
			}
			for _, length := range []string{"\xff\xff\xff\xf0", "\x7f\xff\xff\xff"} {
				l, _, _ := w.learner(follower, 1, w.last)
				l.conn.Write([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00" + length + "garbage"))
				l.want("closed")
			}
		})
		w.probe("a request with identities of 5 MB", "4", func() {
			var ids []jute.ID
			for i := range 5 {
				ids = append(ids, jute.ID{Scheme: "ip", ID: strings.Repeat(string(rune('a'+i)), 1_000_000)})
			}
			crowded := newNode(session, 64, "/crowded", 0)
			crowded.AuthInfo = ids
			steady.send(crowded)
			if w.differs("identities beyond the limit") {
				steady.wrote("error -115")
			} else {
				steady.wrote("create /crowded")
			}
			// The link stays, and a session ends whoever its client is.
			steady.send(newSession(session+3, 4000))
			steady.wrote("createSession")
			end := request(session+3, 1, jute.OpCloseSession, nil)
			end.AuthInfo = ids
			steady.send(end)
			w.last = steady.wrote("closeSession")
		})
		w.probe("touched sessions", "4.1-5 5.5 5.6", func() {
			steady.send(newSession(session+1, 900))
			steady.wrote("createSession")
			steady.send(newSession(session+2, 900))
			w.last = steady.wrote("createSession")
			steady.set(func(l *link) {
				l.touched = []wire.Session{{ID: session, Timeout: 4000}, {ID: session + 1, Timeout: 900}}
			})
			e := steady.next()
			w.last++
			w.is("the one that is not touched expires", e.text, "PROPOSAL "+z(w.last)+" closeSession")
			w.is("its session", sessionOf(e.p), int64(session+2))
			golden(w, "PROPOSAL closeSession", e.p)
			steady.want("COMMIT " + z(w.last))
			steady.set(func(l *link) { l.touched = l.touched[:1] })
			e = steady.next()
			w.is("the other's", sessionOf(e.p), int64(session+1))
			w.last = e.p.Zxid
			steady.want("COMMIT " + z(w.last))
		})
		w.probe("closeSession", "4.1-1 5.1 5.9", func() {
			steady.send(request(session, 70, jute.OpCloseSession, nil))
			e := steady.next()
			w.last++
			w.is("close", e.text, "PROPOSAL "+z(w.last)+" closeSession")
			golden(w, "PROPOSAL closeSession with an ephemeral", e.p)
			steady.want("COMMIT " + z(w.last))
			steady.send(newNode(session, 71, "/late", 0))
			w.last = steady.wrote("error -112")
			steady.set(func(l *link) { l.touched = nil })
		})
		w.probe("silence", "5.6 4.5-9", func() {
			l, _, _ := w.learner(follower, 1, w.last)
			l.set(func(l *link) { l.echoes = false })
			before, _ := l.until("closed")
			w.is("before the end", len(before), 0)
			l = w.stranger() // before FOLLOWERINFO
			l.want("closed")
			l = w.stranger() // before ACKEPOCH
			l.send(learnerInfo(follower, 0, 1, 0))
			l.want(fmt.Sprintf("LEADERINFO %d.0 protocol 65536", w.epoch), "closed")
		})
		w.probe("a learner that acknowledges nothing", "5.6", func() {
			steady.send(newSession(session+3, 6000))
			w.last = steady.wrote("createSession")
			steady.set(func(l *link) { l.touched = []wire.Session{{ID: session + 3, Timeout: 6000}} })
			l, _, _ := w.learner(follower, 1, w.last)
			steady.send(newNode(session+3, 1, "/watchdog", 0))
			w.last = steady.wrote("create /watchdog")
			l.until("COMMIT " + z(w.last))
			l.want("closed") // though it echoes
		})
		w.probe("two connections of one learner", "4.5", func() {
			a, _, _ := w.learner(follower, 1, w.last)
			b, _, _ := w.learner(follower, 1, w.last)
			steady.send(newNode(session+3, 2, "/two", 0))
			w.last = steady.wrote("create /two")
			b.want("PROPOSAL "+z(w.last)+" create /two", "COMMIT "+z(w.last))
			if w.differs("two connections of one learner") {
				a.want("closed")
			} else {
				a.want("PROPOSAL "+z(w.last)+" create /two", "COMMIT "+z(w.last))
				a.close()
			}
			b.close()
		})
		w.probe("quorum lost", "5.6", func() {
			f := w.fakes[3]
			f.notes.flush()
			o, _, _ := w.learner(observer, 4, w.last)
			steady.close()
			o.until("closed") // an observer is no quorum
			f.until(fmt.Sprintf("LOOKING 2 %s round 2 epoch %d", z(w.last), w.epoch))
		})
		w.probe("sync methods of a later epoch", "4.6-2 4.6-3 4.6-4 4.6-5 4.6-6 9.1-10", func() {
			old := w.epoch
			steady = w.leads(w.last, int32(old))
			w.settle() // Java takes e.0 for what it has processed only when it has begun to tell learners that they are up to date
			e := w.epoch
			w.is("epoch", e, old+1)
			m := z(w.last)
			try := func(name string, last int64, want string) {
				l := w.stranger()
				l.joined(follower, 1, e, last, -1)
				got := strings.Join(l.synced(), "|")
				if !strings.HasPrefix(got, want) || !strings.HasSuffix(want, "PROPOSAL") && want != "SNAP" && got != want {
					w.Errorf("%s, %s: %s, not %s", name, z(last), got, want)
				}
				l.close()
			}
			if w.differs("own lastProcessed") {
				try("the new epoch itself", at(e, 0), "SNAP")
			} else {
				try("the new epoch itself", at(e, 0), "DIFF "+z(at(e, 0)))
			}
			try("all", w.last, "DIFF "+m)
			try("one behind", w.last-1, "DIFF "+m+"|PROPOSAL "+m+" create /two|COMMIT "+m)
			try("ahead in the old epoch", w.last+5, "TRUNC "+m)
			if w.differs("TRUNC across epochs") {
				try("ahead in the new epoch", at(e, 5), "SNAP")
			} else {
				try("ahead in the new epoch", at(e, 5), "TRUNC "+m)
			}
			steady.send(newNode(session+3, 3, "/later", 0))
			z1 := steady.wrote("create /later")
			w.is("the first zxid of the epoch", z(z1), z(at(e, 1)))
			try("ahead of the old epoch's end", w.last+5, "SNAP")
			try("the old epoch's end", w.last, "DIFF "+z(z1)+"|PROPOSAL "+z(z1)+" create /later|COMMIT "+z(z1))
			try("the new epoch itself", at(e, 0), "DIFF "+z(z1)+"|PROPOSAL "+z(z1)+" create /later|COMMIT "+z(z1))
			try("ahead", z1+3, "TRUNC "+z(z1))
			w.last = z1
		})
		w.probe("a session's owner under a new leader", "5.5", func() {
			o, _, _ := w.learner(observer, 4, w.last)
			o.send(newNode(session+3, 4, "/adopted", 0))
			steady.until("COMMIT")
			w.last++
			w.is("the last one", z(w.last), z(at(w.epoch, 2)))
			o.until("INFORM")
			o.close()
		})
	})
}

// sessionOf is the session of a proposal.
func sessionOf(p wire.Packet) int64 {
	var h jute.TxnHeader
	d := jute.NewDecoder(p.Data)
	h.Decode(&d)
	return h.ClientID
}
