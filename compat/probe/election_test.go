package probe

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"quoll/jute"
	"quoll/zab/wire"
)

// five voters do not elect anybody with the two votes that there are.
var five = setting{voters: []int64{1, me, 3, 4, 5}, observers: []int64{6}}

// better is a vote for 3, in round 1, that beats every one before.
func (w *world) better() wire.Notification {
	w.last++
	return wire.Notification{Leader: 3, Zxid: at(1, w.last), PeerEpoch: 1, Round: 1, Config: w.config.String()}
}

// body is a notification without the length of its frame.
func body(n wire.Notification) []byte { return n.AppendFrame(nil)[4:] }

// short is a notification of 28, 36 or 40 bytes.
func short(n wire.Notification, length int) []byte { return body(n)[:length] }

// takes fails unless the server takes over a better vote, and returns what it sent before that, each once, without repetitions of what it said last.
func (w *world) takes(f *fake) {
	w.Helper()
	n := w.better()
	f.say(n)
	f.hearsAfter(w.said(n), w.saying)
	w.saying = w.said(n)
}

// said is what the server says when it has taken over a vote.
func (w *world) said(n wire.Notification) string {
	n.State, n.Version = 0, 2
	return vote(n)
}

func TestElection(t *testing.T) {
	scene(t, five, func(w *world) {
		w.chain = true
		one, large := w.fakes[1], w.fakes[5]
		w.probe("first vote", "2.1 3.2 3.4", func() {
			n := one.hears("LOOKING 2 0.0 round 1 epoch 0")
			w.is("version", n.Version, int32(2))
			w.is("config", n.Config, w.config.String())
		})
		w.probe("doorbell", "2.1", func() {
			w.eventually("rung at the larger one", true, func() any {
				large.mu.Lock()
				defer large.mu.Unlock()
				return large.rings > 0
			})
		})
		w.probe("larger sid", "2.1 2.2 9.1-2", func() {
			large.connect()
			large.hears("LOOKING 2 0.0 round 1 epoch 0")
		})
		w.saying = "LOOKING 2 0.0 round 1 epoch 0"
		w.probe("malformed initial messages", "2.1", func() {
			for name, b := range map[string][]byte{
				"unknown version":  initial(-5, 5, "127.0.0.1:1"),
				"no address":       initial(wire.InitialV1, 5, ""),
				"too long":         append(initial(wire.InitialV1, 5, "")[:16], 0, 0, 8, 1),
				"negative length":  append(initial(wire.InitialV1, 5, "")[:16], 0xff, 0xff, 0xff, 0xff),
				"no port":          initial(wire.InitialV1, 5, "nonsense"),
				"port is no digit": initial(wire.InitialV1, 5, "127.0.0.1:port"),
			} {
				conn := w.dialElection()
				conn.Write(b)
				w.is(name+": bytes", w.closes(conn), 0)
			}
			w.takes(large) // its connection is not touched
		})
		w.probe("smaller sid", "2.1", func() {
			rings := func() int {
				one.mu.Lock()
				defer one.mu.Unlock()
				return one.rings
			}
			// rung is a doorbell of 1 that names an address.
			rung := func(version int64, addr string) (before int) {
				before = rings()
				conn := w.dialElection()
				conn.Write(initial(version, 1, addr))
				w.is("bytes", w.closes(conn), 0)
				return before
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				w.Fatal(err)
			}
			defer ln.Close()
			ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
			before := rung(wire.InitialV1, ln.Addr().String())
			if w.differs("where a smaller server is dialled") {
				w.eventually("rung at the address of the config", true, func() any { return rings() > before })
			} else {
				back, err := ln.Accept()
				if err != nil {
					w.Fatal(err)
				}
				m, err := wire.NewReader(back, jute.MaxBuffer).InitialMessage()
				if err != nil || m.SID != me || m.Version != wire.InitialV1 || m.Addrs[0].String() != w.election {
					w.Errorf("%+v, %v", m, err)
				}
				back.Close()
			}
			// A wildcard is of no use.
			before = rung(wire.InitialV1, "0.0.0.0:1")
			w.eventually("rung at the address of the config", true, func() any { return rings() > before })
			rung(wire.InitialV2, one.addr+"|127.0.0.1:1")
		})
		w.probe("own sid", "2.1", func() {
			conn := w.dialElection()
			conn.Write(initial(wire.InitialV1, me, w.election))
			if w.differs("own sid") {
				w.is("bytes", w.closes(conn), 0)
			} else {
				w.takes(large) // the connection is left open and unused
			}
		})
		w.probe("initial message of 3.4", "2.1 10", func() {
			conn := w.dialElection()
			conn.Write(binary.BigEndian.AppendUint64(nil, 4))
			four := w.fakes[4]
			four.took(conn)
			four.hears(w.saying)
		})
		w.probe("second connection", "2.1", func() {
			large.mu.Lock()
			first := large.conn
			large.mu.Unlock()
			large.keeper = false
			large.use(w.dialElection())
			w.eventually("the first one is closed", true, func() any {
				_, err := first.Write([]byte{0})
				return err != nil
			})
			large.notes.flush()
			w.takes(large)
			large.keeper = true
		})
		w.probe("frames", "2.2", func() {
			for _, length := range []uint32{0, 512<<10 + 1, 0xffffffff} {
				conn := w.dialElection()
				conn.Write(initial(wire.InitialV1, 4, w.fakes[4].addr))
				conn.Write(binary.BigEndian.AppendUint32(nil, length))
				w.closes(conn)
			}
			w.takes(large)
		})
		w.probe("forms that count", "3.2 3.3-R1 3.3-R2", func() {
			for name, form := range map[string]func(n wire.Notification) []byte{
				"28 bytes":            func(n wire.Notification) []byte { return short(n, 28) },
				"40 bytes":            func(n wire.Notification) []byte { return short(n, 40) },
				"bytes behind":        func(n wire.Notification) []byte { return append(body(n), "behind"...) },
				"version 3":           func(n wire.Notification) []byte { b := body(n); b[39] = 3; return b },
				"version 1, 44 bytes": func(n wire.Notification) []byte { b := append(short(n, 40), 1, 2, 3, 4); b[39] = 1; return b },
				"version -1": func(n wire.Notification) []byte {
					return append(append(short(n, 36), 0xff, 0xff, 0xff, 0xff), 1, 2, 3, 4)
				},
				"no config":              func(n wire.Notification) []byte { n.Config = ""; return body(n) },
				"config that is garbage": func(n wire.Notification) []byte { n.Config = "server.1=garbage"; return body(n) },
			} {
				n := w.better()
				large.write(frame(form(n)))
				w.Log(name)
				large.hearsAfter(w.said(n), w.saying)
				w.saying = w.said(n)
			}
		})
		w.probe("forms that do not", "3.3-R1 3.3-R2", func() {
			for name, form := range map[string]func(n wire.Notification) []byte{
				"27 bytes":        func(n wire.Notification) []byte { return short(n, 27) },
				"36 bytes":        func(n wire.Notification) []byte { return short(n, 36) },
				"29 bytes":        func(n wire.Notification) []byte { return short(n, 29) },
				"43 bytes":        func(n wire.Notification) []byte { return body(n)[:43] },
				"negative length": func(n wire.Notification) []byte { return append(short(n, 40), 0xff, 0xff, 0xff, 0xff) },
				"long length":     func(n wire.Notification) []byte { b := body(n); b[40] = 1; return b },
				"cut config":      func(n wire.Notification) []byte { b := body(n); return b[:len(b)-1] },
			} {
				large.write(frame(form(w.better())))
				w.Log(name)
				w.takes(large)
			}
		})
		w.probe("votes that are ignored", "3.3-R5 3.4", func() {
			for name, change := range map[string]func(n *wire.Notification){
				"unknown state":         func(n *wire.Notification) { n.State = 7 },
				"negative state":        func(n *wire.Notification) { n.State = -1 },
				"observing":             func(n *wire.Notification) { n.State = 3 },
				"leader is no voter":    func(n *wire.Notification) { n.Leader = 9 },
				"leader is Long.MIN":    func(n *wire.Notification) { n.Leader = math.MinInt64 },
				"an untrusted database": func(n *wire.Notification) { n.Zxid = -1 },
				"following":             func(n *wire.Notification) { n.State = 1 },
			} {
				n := w.better()
				change(&n)
				large.say(n)
				w.Log(name)
				w.takes(large)
			}
		})
		w.probe("order of votes", "3.4-better", func() {
			n := w.better()
			large.say(n)
			large.hearsAfter(w.said(n), w.saying)
			for _, c := range []struct {
				leader, zxid, epoch int64
				better              bool
			}{
				{1, n.Zxid, 1, false}, {3, n.Zxid - 1, 1, false}, {5, n.Zxid - 1, 1, false}, {5, math.MaxInt64, 0, false},
				{4, n.Zxid, 1, true}, {1, n.Zxid + 1, 1, true}, {1, at(0, 5), 2, true},
			} {
				other := n
				other.Leader, other.Zxid, other.PeerEpoch = c.leader, c.zxid, c.epoch
				large.say(other)
				if c.better {
					large.hearsAfter(w.said(other), w.said(n))
					n = other
				}
			}
			w.saying = w.said(n)
		})
		w.probe("rounds", "3.3-R5 3.4", func() {
			lower := wire.Notification{Leader: 5, Zxid: at(7, 7), PeerEpoch: 7, Round: 0, Config: w.config.String()}
			large.notes.flush()
			large.say(lower)
			large.hears(w.saying) // the answer is its own, for now
			higher := wire.Notification{Leader: 1, Zxid: 0, PeerEpoch: 0, Round: 8, Config: w.config.String()}
			large.say(higher)
			large.hearsAfter("LOOKING 2 0.0 round 8 epoch 0", w.saying)
			higher.Leader = 4
			large.say(higher)
			w.saying = "LOOKING 4 0.0 round 8 epoch 0"
			large.hearsAfter(w.saying, "LOOKING 2 0.0 round 8 epoch 0")
			higher.Round, higher.Leader = 7, 5 // and so it is with what is a round behind
			large.say(higher)
			large.hears(w.saying)
		})
		w.probe("answers to strangers", "3.3-R4 2.1", func() {
			six := w.fakes[6]
			six.connect()
			for _, state := range []int32{0, 1, 2, 3, 7} {
				six.say(wire.Notification{State: state, Leader: 3, Zxid: at(9, 9), PeerEpoch: 9, Round: 99, Config: w.config.String()})
				if w.differs("answers to non-voters while looking") {
					if state == 0 {
						six.hears(w.saying)
					}
				} else {
					six.hears("LOOKING 2 0.0 round 8 epoch 0") // its first vote of all, and the round of now
				}
			}
			conn := w.dialElection()
			conn.Write(initial(wire.InitialV1, 9, "127.0.0.1:1"))
			if w.differs("strangers") {
				w.is("bytes", w.closes(conn), 0)
			} else {
				nine := &fake{w: w, sid: 9, addr: "127.0.0.1:1"}
				nine.took(conn)
				nine.say(wire.Notification{Leader: 9, Zxid: at(9, 9), PeerEpoch: 9, Round: 99, Config: w.config.String()})
				nine.hears("LOOKING 2 0.0 round 8 epoch 0")
				nine.close()
			}
			large.notes.flush()
			large.say(wire.Notification{Leader: 3, Zxid: 7, Round: 8, Config: w.config.String()})
			w.saying = "LOOKING 3 0.7 round 8 epoch 0"
			large.hearsAfter(w.saying, "LOOKING 4 0.0 round 8 epoch 0") // nothing of the stranger's vote
		})
		round := int64(8)
		w.probe("a vote for the server that is not true", "3.4", func() {
			large.notes.flush()
			large.say(wire.Notification{Leader: me, Zxid: at(3, 3), PeerEpoch: 3, Round: round, Config: w.config.String()})
			before := w.saying
			if w.differs("a vote for itself that is not true") {
				round = 9
				w.saying = "LOOKING 2 0.0 round 9 epoch 0"
			} else {
				w.saying = "LOOKING 2 3.3 round 8 epoch 3"
			}
			large.hearsAfter(w.saying, before)
		})
		w.probe("a newer config without reconfigEnabled", "3.3-R3 9.1-13", func() {
			n := wire.Notification{Leader: 3, Zxid: at(4, 9), PeerEpoch: 4, Round: round}
			n.Config = strings.Replace(w.config.String(), "version=0", "version=100000001", 1)
			n.Config = strings.Replace(n.Config, "server.5", "server.6", 1)
			large.notes.flush()
			large.keeper = false
			large.say(n)
			if w.differs("elections that start anew without reconfigEnabled") {
				large.hearsAfter("LOOKING 3 4.9 round 9 epoch 4", w.saying)
				return
			}
			w.eventually("the connection is closed", true, func() any {
				large.mu.Lock()
				defer large.mu.Unlock()
				_, err := large.conn.Write(nil)
				return err != nil
			})
			large.keeper = true
			large.use(w.dialElection())
			large.until("LOOKING 2 0.0 round 1 epoch 0")
		})
	})
}

// TestJoin is a server that finds an established leader, and what it says to others from then on.
func TestJoin(t *testing.T) {
	scene(t, five, func(w *world) {
		w.chain = true
		three, four, five := w.fakes[3], w.fakes[4], w.fakes[5]
		for _, f := range []*fake{three, four, five} {
			f.connect()
		}
		const first = "LOOKING 2 0.0 round 1 epoch 0"
		established := func(state int32, zxid, round int64) wire.Notification {
			return wire.Notification{State: state, Leader: 3, Zxid: zxid, Round: round, PeerEpoch: 4, Config: w.config.String()}
		}
		w.probe("a leader must say so itself", "3.4-leaderOK", func() {
			four.hears(first)
			four.say(established(1, 7, -1))
			five.say(established(1, 7, -1))
			one := w.fakes[1]
			one.say(established(1, 9, 3)) // zxid and round need not agree
			five.say(wire.Notification{Leader: 5, Zxid: 1, Round: 1, Config: w.config.String()})
			five.hearsAfter("LOOKING 5 0.1 round 1 epoch 0", first)
			five.say(established(1, 7, -1))
			three.say(established(2, 8, -1))
			l := w.arrives()
			l.want(w.info())
			w.epoch = 5
			l.send(leaderInfo(5))
			l.want("ACKEPOCH 0.0 epoch 0")
			// The round of the established ones, which is -1 after a hand-over, is taken over; the epoch is that of their votes as long as it does not serve.
			four.notes.flush()
			looking := wire.Notification{Leader: 4, Zxid: at(9, 9), Round: 77, PeerEpoch: 9, Config: w.config.String()}
			four.say(looking)
			n := four.hear()
			w.is("round", n.Round, int64(-1))
			w.is("state and leader", fmt.Sprint(n.State, n.Leader), "1 3")
			w.is("epoch", n.PeerEpoch, int64(4))
			l.send(packet(wire.TypeDiff, 0), newLeader(5, w.config.String()))
			l.want("ACK 5.0")
			l.send(upToDate())
			l.want("ACK 5.0")
			l.pinging()
			l.echoed()
			four.say(looking)
			n = four.hear()
			w.is("the epoch that it serves", n.PeerEpoch, int64(5))
			// Who does not look gets no answer, whoever has no vote always, with the round of the election.
			for _, state := range []int32{1, 2, 3, 7} {
				looking.State = state
				four.say(looking)
			}
			looking.State, looking.Config = 0, "" // a smaller frame as the mark
			four.say(looking)
			n = four.hear()
			w.is("again", fmt.Sprint(n.State, n.Leader, n.Round, n.PeerEpoch), "1 3 -1 5")
			six := w.fakes[6]
			six.connect()
			for _, state := range []int32{3, 0} {
				if state == 3 && w.differs("answers to observers that look for nobody") {
					continue
				}
				six.say(wire.Notification{State: state, Leader: math.MinInt64, Zxid: math.MinInt64, Round: 1, PeerEpoch: math.MinInt64, Config: w.config.String()})
				n = six.hear()
				w.is("to an observer", fmt.Sprint(n.State, n.Leader, n.PeerEpoch), "1 3 5")
				w.is("round", n.Round, int64(-1))
			}
			if four.notes.waiting() {
				w.Error("more answers than questions")
			}
			l.close()
		})
	})
}

// waiting reports whether there is anything in the line.
func (q *queue[T]) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) > 0
}
