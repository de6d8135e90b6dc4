package probe

import (
	"fmt"
	"strings"
	"testing"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab/wire"
)

// version makes the server's config one of another version.
func (w *world) version(version int64) *ensemble.Config {
	w.Helper()
	text := w.config.String()
	c, err := ensemble.Parse(text[:strings.LastIndex(text, "version=")] + fmt.Sprintf("version=%x", version))
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// reconfig is the proposal of a config, under the zxid that is its version.
func reconfig(c *ensemble.Config) wire.Packet {
	h := jute.TxnHeader{ClientID: 0x0300000000000077, Cxid: 1, Zxid: c.Version, Time: 1, Type: int32(jute.OpReconfig)}
	txn := jute.SetDataTxn{Path: "/zookeeper/config", Data: []byte(c.String()), Version: -1}
	return wire.Packet{Type: wire.TypeProposal, Zxid: c.Version, Data: txn.Append(h.Append(nil))}
}

// activate is the commit of a reconfig.
func activate(zxid, leader int64) wire.Packet {
	return wire.Packet{Type: wire.TypeCommitAndActivate, Zxid: zxid, Data: (&wire.Activation{Leader: leader}).Append(nil)}
}

func TestReconfig(t *testing.T) {
	set := voters
	set.config = []string{"reconfigEnabled=true"}
	scene(t, set, func(w *world) {
		w.chain = true
		w.follow(3)
		w.probe("NEWLEADER of a newer config", "4.1-10 4.8-5 6.4", func() {
			l := w.joins()
			next := w.version(at(w.epoch, 0))
			l.send(packet(wire.TypeDiff, 0), newLeader(w.epoch, next.String()))
			l.want(w.ack())
			l.send(upToDate())
			l.want(w.ack())
			l.pinging()
			l.echoed()
			w.config = next
			l.close()
			w.arrives().want(w.info()) // which names the version
		})
		w.probe("COMMITANDACTIVATE", "4.1-9 5.4 6.3", func() {
			l := w.serves()
			next := w.version(at(w.epoch, 1))
			l.send(reconfig(next))
			l.want("ACK " + z(next.Version))
			l.send(activate(next.Version, 3))
			l.echoed() // the leader is the same
			w.config = next
			l.close()
			l = w.arrives()
			l.want(w.info())
			l.close()
		})
		w.probe("config that is only proposed", "1.3 6.2", func() {
			l := w.serves()
			next := w.version(at(w.epoch, 1))
			l.send(reconfig(next))
			l.want("ACK " + z(next.Version))
			l.close()
			l = w.arrives()
			l.want(w.info()) // of the committed one
			l.close()
		})
		w.probe("designated leader", "6.3 9.1-4", func() {
			l := w.serves()
			e := w.epoch
			next := w.version(at(e, 1))
			next.Servers[0].Client = &ensemble.Addr{Host: "127.0.0.1", Port: 1} // of an equal one Java asks nothing more
			l.send(reconfig(next))
			l.want("ACK " + z(next.Version))
			three := w.fakes[3]
			l.send(activate(next.Version, 1))
			l.want("closed")
			w.config = next
			l = w.arrives() // at 1, without an election
			l.want(w.info())
			three.notes.flush()
			looking := wire.Notification{Leader: 3, Zxid: 1, Round: 1, PeerEpoch: 1, Config: w.config.String()}
			want := fmt.Sprintf("FOLLOWING 1 %s round -1 epoch -1 config %s", z(next.Version), z(next.Version))
			w.eventually("the vote", want, func() any { // which may go to a connection that breaks, since the election begins anew
				three.say(looking)
				if !three.notes.waiting() {
					return "none"
				}
				return vote(three.hear())
			})
			l.close()
		})
	})
}

// TestGossip is rule R3 where configs may change.
func TestGossip(t *testing.T) {
	set := five
	set.config = []string{"reconfigEnabled=true"}
	scene(t, set, func(w *world) {
		large := w.fakes[5]
		large.connect()
		w.probe("a newer config", "3.3-R3 9.1-5", func() {
			large.hears("LOOKING 2 0.0 round 1 epoch 0")
			next := w.version(at(1, 5))
			next.Servers = next.Servers[:len(next.Servers)-1] // without the observer
			large.say(wire.Notification{Leader: 3, Zxid: 9, Round: 7, Config: next.String()})
			round := 1 // of a new election
			if w.differs("rounds") {
				round = 2
			}
			large.hearsAfter(fmt.Sprintf("LOOKING 2 0.0 round %d epoch 0 config 1.5", round), "LOOKING 2 0.0 round 1 epoch 0")
		})
	})
}
