package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"quoll/client"
	"quoll/jute"
	"quoll/txnlog"
	"quoll/zab/wire"
)

// voters is an ensemble in which one fake makes a quorum with the server.
var voters = setting{voters: []int64{1, me, 3}}

// joins takes a learner in as far as ACKEPOCH, with a new epoch.
func (w *world) joins() *link {
	w.Helper()
	l := w.arrives()
	l.set(func(l *link) { l.pings = true }) // there are none that are not asked for
	l.begins()
	w.epoch++
	l.send(leaderInfo(w.epoch))
	before, p := l.until("ACKEPOCH ")
	w.is("packets before ACKEPOCH", len(before), 0)
	w.last = p.Zxid
	return l
}

// begins reads the first packet of the learner, and takes over the epoch that it names so that one probe that failed does not fail the others.
func (l *link) begins() {
	l.w.Helper()
	e := l.next()
	if want := l.w.info(); e.text != want {
		l.w.Errorf("got %s, not %s", e.text, want)
		l.w.epoch = e.p.Zxid >> 32
	}
}

// info is the first packet of the learner.
func (w *world) info() string {
	kind := "FOLLOWERINFO"
	if !w.config.IsVoter(me) {
		kind = "OBSERVERINFO"
	}
	return fmt.Sprintf("%s %d.0 sid 2 protocol 65536 config %s", kind, w.epoch, z(w.config.Version))
}

// claims takes a learner in and closes, to see what it says that it has.
func (w *world) claims(want int64) {
	w.Helper()
	l := w.joins()
	w.is("the last zxid that is claimed", z(w.last), z(want))
	l.close()
}

// diff is an empty one and NEWLEADER behind it.
func (w *world) diff(packets ...wire.Packet) []wire.Packet {
	all := append([]wire.Packet{packet(wire.TypeDiff, w.last)}, packets...)
	return append(all, newLeader(w.epoch, w.config.String()))
}

// acks is the learner's word for the epoch.
func (w *world) ack() string { return "ACK " + z(at(w.epoch, 0)) }

// serves takes a learner in until it serves; it is pinged from then on.
func (w *world) serves() *link {
	w.Helper()
	l := w.joins()
	l.send(w.diff()...)
	l.want(w.ack())
	l.send(upToDate())
	l.want(w.ack())
	l.pinging()
	return l
}

// echoed fails unless nothing comes before the echo of a PING.
func (l *link) echoed(before ...string) {
	l.w.Helper()
	l.set(func(l *link) { l.pings = true })
	l.send(packet(wire.TypePing, 8))
	l.want(before...)
	for {
		switch e := l.next(); {
		case e.p.Type != wire.TypePing:
			l.w.Fatalf("got %s before the echo", e.text)
		case e.p.Zxid == 8:
			l.set(func(l *link) { l.pings = false })
			return
		}
	}
}

// stream is a snapshot of a tree with some znodes, with the string behind it.
func stream(paths ...string) []byte {
	var nodes []byte
	stat := jute.StatPersisted{Pzxid: 1}
	for _, path := range append([]string{"", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"}, paths...) {
		nodes = txnlog.AppendNode(nodes, path, []byte{}, -1, &stat)
	}
	var b bytes.Buffer
	src := txnlog.SnapshotSource{
		Sessions: []txnlog.Session{{ID: 0x0300000000000077, Timeout: 4000}},
		Nodes:    func(b []byte) ([]byte, bool, error) { return append(b, nodes...), false, nil },
	}
	if err := txnlog.WriteStream(&b, src); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// handshake makes a client of the server; the fake leader must answer. Java acknowledges UPTODATE before it takes clients, so the server is asked first.
func (w *world) handshake(session int64, password []byte) (<-chan jute.ConnectResponse, *client.RawConn) {
	w.Helper()
	w.eventually("the server takes clients", true, func() any {
		conn, err := net.Dial("tcp", w.client)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("srvr"))
		answer, _ := io.ReadAll(conn)
		return bytes.Contains(answer, []byte("Mode: "))
	})
	conn := w.dial(w.client)
	raw := client.NewRawConn(conn)
	response := make(chan jute.ConnectResponse, 1)
	go func() {
		r, err := raw.Handshake(&jute.ConnectRequest{Timeout: 4000, SessionID: session, Password: password})
		if err != nil {
			r.Timeout = -1
		}
		response <- r
	}()
	return response, raw
}

func TestFollower(t *testing.T) {
	scene(t, voters, func(w *world) {
		w.follow(3)
		w.probe("info", "4.1-11 4.8-2", func() {
			l := w.arrives()
			l.want("FOLLOWERINFO 0.0 sid 2 protocol 65536 config 0.0")
			l.close()
		})
		w.probe("higher epoch", "4.2 4.8-3", func() {
			l := w.arrives()
			l.begins()
			w.epoch = 1
			l.send(leaderInfo(1))
			l.want("ACKEPOCH 0.0 epoch 0")
			w.is("epoch files", w.epochs(), "1 0")
			l.close()
		})
		w.probe("equal epoch", "4.8-3 9.1-8", func() {
			l := w.arrives()
			l.begins()
			l.send(leaderInfo(1))
			l.want("ACKEPOCH 0.0 epoch -1")
			l.close()
		})
		w.probe("lower epoch", "4.8-3", func() {
			l := w.arrives()
			l.begins()
			l.send(leaderInfo(0))
			l.want("closed")
			w.is("epoch files", w.epochs(), "1 0")
		})
		w.probe("wrong first packet", "4.8-3", func() {
			l := w.arrives()
			l.begins()
			l.send(packet(wire.TypeDiff, at(2, 0)))
			l.want("closed")
			if w.differs("epoch of a wrong packet") {
				w.is("epoch files", w.epochs(), "1 0")
			} else {
				w.is("epoch files", w.epochs(), "2 0")
			}
			w.epoch = 2
			if w.kind == "quoll" { // let it be the same from here on
				l := w.arrives()
				l.want("FOLLOWERINFO 1.0 sid 2 protocol 65536 config 0.0")
				l.send(leaderInfo(2))
				l.want("ACKEPOCH 0.0 epoch 0")
				l.close()
			}
		})
		w.probe("LEADERINFO without data", "4.8-3", func() {
			for _, data := range [][]byte{nil, {0, 1}} {
				l := w.arrives()
				l.begins()
				l.send(wire.Packet{Type: wire.TypeLeaderInfo, Zxid: at(2, 0), Data: data})
				if w.differs("LEADERINFO without data") {
					l.want("ACKEPOCH 0.0 epoch -1")
					l.close()
				} else {
					l.want("closed")
				}
			}
		})
		w.probe("garbage first", "4", func() {
			l := w.arrives()
			l.begins()
			l.conn.Write([]byte("\x00\x00\x00\x11\x00\x00\x00\x02\x00\x00\x00\x00\xff\xff\xff\x00garbage garbage"))
			l.want("closed")
		})
		w.probe("silence before LEADERINFO", "4.8-1", func() {
			l := w.arrives()
			l.begins()
			l.want("closed")
		})
		w.probe("leader before 1.0", "4.8-3", func() {
			l := w.arrives()
			l.begins()
			w.epoch++
			l.send(newLeader(w.epoch, ""))
			if w.differs("leaders before 3.4") {
				l.want("closed")
				w.epoch--
				return
			}
			l.send(packet(wire.TypeDiff, 0), upToDate())
			l.want(w.ack())
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d %d", w.epoch, w.epoch))
			l.close()
		})
		w.probe("empty diff", "4.8-4 4.8-5 4.8-6 9.1-6 9.1-7", func() {
			l := w.joins()
			l.send(w.diff()...)
			l.want(w.ack())
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d %d", w.epoch, w.epoch))
			l.send(packet(wire.TypePing, 9))
			l.send(upToDate())
			l.want(w.ack())
			l.echoed()
			l.close()
		})
		w.probe("null config", "4.1-10", func() {
			l := w.joins()
			l.send(packet(wire.TypeDiff, w.last), wire.Packet{Type: wire.TypeNewLeader, Zxid: at(w.epoch, 0)})
			l.want(w.ack())
			l.send(upToDate())
			l.want(w.ack())
			l.close()
		})
		w.probe("diff with history", "4.8-5 4.9-3911 4.9-4643", func() {
			l := w.joins()
			e := w.epoch
			l.send(w.diff(proposal(at(e, 1), fmt.Sprintf("/d%d", e)), commit(at(e, 1)), proposal(at(e, 2), fmt.Sprintf("/dd%d", e)), commit(at(e, 2)))...)
			l.want(w.ack())
			w.is("the log at the ACK of NEWLEADER", w.log(at(e, 1)), fmt.Sprintf("%d.1 %d.2", e, e))
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d %d", e, e))
			l.send(upToDate())
			l.want(w.ack())
			l.echoed()
			l.close()
			w.claims(at(e, 2))
		})
		w.probe("proposals before UPTODATE", "4.8-6 4.8-7 4.9-4685", func() {
			l := w.joins()
			e := w.epoch
			l.send(w.diff()...)
			l.want(w.ack())
			l.send(proposal(at(e, 1), fmt.Sprintf("/p%d", e)), proposal(at(e, 2), fmt.Sprintf("/pp%d", e)), commit(at(e, 1)), upToDate())
			l.want(w.ack(), "ACK "+z(at(e, 1)), "ACK "+z(at(e, 2)))
			w.is("the log", w.log(at(e, 1)), fmt.Sprintf("%d.1 %d.2", e, e))
			l.send(commit(at(e, 2)))
			l.echoed()
			l.close()
			w.claims(at(e, 2))
		})
		w.probe("commit behind NEWLEADER", "4.8-5 4.9-4394", func() {
			l := w.joins()
			e := w.epoch
			l.send(w.diff(proposal(at(e, 1), fmt.Sprintf("/c%d", e)), proposal(at(e, 2), fmt.Sprintf("/cc%d", e)), commit(at(e, 1)))...)
			l.want(w.ack())
			l.send(commit(at(e, 2)), upToDate())
			l.want(w.ack(), "ACK "+z(at(e, 2)))
			l.echoed()
			l.close()
			w.claims(at(e, 2))
		})
		w.probe("gap in the diff", "4.8-5", func() {
			l := w.joins()
			e, last := w.epoch, w.last
			l.send(w.diff(proposal(at(e, 1), "/gap"), proposal(at(e, 3), "/gap/gap"))...)
			l.want("closed")
			if w.differs("history is logged at once") {
				last = at(e, 1)
			}
			w.claims(last)
		})
		w.probe("commit without a proposal", "4.8-5", func() {
			l := w.joins()
			last := w.last
			l.send(w.diff(commit(at(w.epoch, 1)))...)
			l.want("closed")
			w.claims(last)
		})
		w.probe("malformed proposal in the diff", "4.8-5", func() {
			for _, data := range [][]byte{nil, []byte("garbage")} {
				l := w.joins()
				last := w.last
				l.send(packet(wire.TypeDiff, w.last), wire.Packet{Type: wire.TypeProposal, Zxid: at(w.epoch, 1), Data: data})
				l.want("closed")
				w.claims(last)
			}
		})
		w.probe("unknown types in the diff", "4.8-5", func() {
			l := w.joins()
			l.send(w.diff(packet(99, 5), packet(wire.TypeSync, 0), packet(wire.TypePing, 5), packet(wire.TypeAck, 5))...)
			l.want(w.ack())
			l.send(packet(-7, 5), packet(wire.TypePing, 5), upToDate())
			l.want(w.ack())
			l.send(packet(99, 5), packet(wire.TypeDiff, 5), packet(wire.TypeLeaderInfo, 5), packet(wire.TypeFollowerInfo, 5))
			l.echoed()
			l.close()
		})
		w.probe("disconnects", "4.3 4.8", func() {
			l := w.joins()
			last := w.last
			l.close() // after ACKEPOCH
			l = w.joins()
			w.is("claimed", z(w.last), z(last))
			e := w.epoch
			l.send(packet(wire.TypeDiff, w.last), proposal(at(e, 1), fmt.Sprintf("/x%d", e)), commit(at(e, 1)))
			l.close() // before NEWLEADER
			if w.differs("history is logged at once") {
				last = at(e, 1)
			}
			w.claims(last)
			w.is("epoch files", w.epochs()[:strings.Index(w.epochs(), " ")], fmt.Sprint(w.epoch))

			l = w.joins()
			e = w.epoch
			l.send(w.diff(proposal(at(e, 1), fmt.Sprintf("/x%d", e)), commit(at(e, 1)))...)
			l.want(w.ack())
			l.send(proposal(at(e, 2), fmt.Sprintf("/xx%d", e)))
			l.close() // before UPTODATE
			if w.differs("history is logged at once") {
				w.claims(at(e, 2))
			} else {
				w.claims(at(e, 1))
			}

			l = w.serves()
			e = w.epoch
			l.send(proposal(at(e, 1), fmt.Sprintf("/x%d", e)))
			l.want("ACK " + z(at(e, 1)))
			l.close() // before COMMIT
			w.claims(at(e, 1))
		})
		w.probe("silence before UPTODATE", "4.8-8", func() {
			l := w.joins()
			l.send(w.diff()...)
			l.want(w.ack(), "closed")
		})
		w.probe("silence", "5.6", func() {
			l := w.joins()
			l.send(w.diff()...)
			l.want(w.ack())
			l.send(upToDate())
			l.want(w.ack(), "closed")
		})
		w.probe("trunc", "4.8-4", func() {
			l := w.serves()
			e := w.epoch
			l.send(proposal(at(e, 1), fmt.Sprintf("/t%d", e)), proposal(at(e, 2), fmt.Sprintf("/tt%d", e)), proposal(at(e, 3), fmt.Sprintf("/ttt%d", e)))
			l.want("ACK "+z(at(e, 1)), "ACK "+z(at(e, 2)), "ACK "+z(at(e, 3)))
			l.close()
			l = w.joins()
			w.is("claimed", z(w.last), z(at(e, 3)))
			l.send(packet(wire.TypeTrunc, at(e, 1)), newLeader(w.epoch, w.config.String()))
			l.want(w.ack())
			w.is("the log", w.log(at(e, 1)), fmt.Sprintf("%d.1", e))
			l.send(upToDate())
			l.want(w.ack())
			l.echoed()
			l.close()
			w.claims(at(e, 1))
		})
		w.probe("trunc and history", "4.8-4 4.8-5", func() {
			l := w.serves()
			e := w.epoch
			l.send(proposal(at(e, 1), fmt.Sprintf("/t%d", e)), proposal(at(e, 2), fmt.Sprintf("/tt%d", e)))
			l.want("ACK "+z(at(e, 1)), "ACK "+z(at(e, 2)))
			l.close()
			l = w.joins()
			n := w.epoch
			l.send(packet(wire.TypeTrunc, at(e, 1)), proposal(at(n, 1), fmt.Sprintf("/t%d", n)), commit(at(n, 1)), newLeader(n, w.config.String()))
			l.want(w.ack())
			w.is("epoch files", w.epochs(), fmt.Sprintf("%d %d", n, n))
			l.close()
			w.claims(at(n, 1))
			w.restart()
			w.claims(at(n, 1))
		})
		w.probe("interrupted trunc", "9.2-1 4.9-5094", func() {
			l := w.serves()
			e := w.epoch
			l.send(proposal(at(e, 1), fmt.Sprintf("/i%d", e)), proposal(at(e, 2), fmt.Sprintf("/ii%d", e)))
			l.want("ACK "+z(at(e, 1)), "ACK "+z(at(e, 2)))
			l.close()
			l = w.joins()
			n := w.epoch
			l.send(packet(wire.TypeTrunc, at(e, 1)), proposal(at(n, 1), fmt.Sprintf("/i%d", n)), commit(at(n, 1)))
			l.close()
			if w.differs("interrupted TRUNC") {
				w.claims(at(e, 1))
			} else {
				w.claims(at(n, 1))
			}
			w.is("the log", w.log(at(e, 1)), fmt.Sprintf("%d.1", e))
			w.restart()
			w.claims(at(e, 1))
		})
		w.probe("snap", "4.7 4.8-4 9.1-11", func() {
			l := w.joins()
			e := w.epoch
			l.send(packet(wire.TypeSnap, at(e-1, 50)))
			l.conn.Write(stream("/snap"))
			l.send(proposal(at(e, 1), "/snap/a"), commit(at(e, 1)), newLeader(e, w.config.String()))
			l.want(w.ack())
			snapshots, err := txnlog.Snapshots(txnlog.OS, filepath.Join(w.dir, "version-2"))
			if err != nil || len(snapshots) == 0 || snapshots[len(snapshots)-1].Zxid < at(e-1, 50) {
				w.Errorf("snapshots: %v, %v", snapshots, err)
			}
			l.send(upToDate())
			l.want(w.ack())
			l.echoed()
			l.close()
			w.claims(at(e, 1))
			w.restart()
			w.claims(at(e, 1))
		})
		w.probe("broken snap", "4.8-4 4.9-3642", func() {
			whole := stream("/broken")
			for _, sent := range [][]byte{whole[:len(whole)/2], append(whole[:len(whole)-1:len(whole)-1], 'x'), whole} {
				l := w.joins()
				last := w.last
				l.send(packet(wire.TypeSnap, at(w.epoch-1, 50)))
				l.conn.Write(sent)
				if sent[len(sent)-1] == 'x' {
					l.want("closed") // a wrong string behind it
				} else {
					l.close() // within the stream, and before NEWLEADER
				}
				if len(sent) == len(whole) && sent[len(sent)-1] != 'x' && w.differs("SNAP is kept at once") {
					last = at(w.epoch-1, 50)
				}
				w.claims(last)
			}
		})
		w.probe("out of place", "5.4", func() {
			l := w.serves()
			l.send(commit(7))
			l.echoed()
			l.close()
			for _, p := range []wire.Packet{commit(at(w.epoch+1, 1)), upToDate()} {
				l := w.serves()
				l.send(p)
				if w.differs("out of place in broadcast") {
					l.want("closed")
				} else {
					l.echoed()
					l.close()
				}
			}
		})
		w.probe("malformed proposal", "5.4", func() {
			for _, data := range [][]byte{nil, []byte("garbage")} {
				l := w.serves()
				l.send(wire.Packet{Type: wire.TypeProposal, Zxid: at(w.epoch, 1), Data: data})
				l.want("closed")
			}
		})
		w.probe("garbage", "4", func() {
			for _, length := range []uint32{0xfffffffe, 0x7fffffff} {
				l := w.serves()
				l.conn.Write(append(binary.BigEndian.AppendUint32(make([]byte, 12), length), "garbage"...))
				l.want("closed")
			}
		})
		w.probe("answers to nobody", "4.1-6 5.5", func() {
			l := w.serves()
			l.send(packet(wire.TypeSync, 0), wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.SessionValid{ID: 77, Valid: true}).Append(nil)})
			l.echoed()
			l.close()
		})
		w.probe("sessions", "4.1-1 4.1-5 4.1-6 5.1 5.5", w.sessions)
		w.probe("reconfig packets without reconfigEnabled", "6", func() {
			l := w.serves()
			e := w.epoch
			h := jute.TxnHeader{ClientID: 0x0300000000000077, Cxid: 1, Zxid: at(e, 1), Time: 1, Type: int32(jute.OpReconfig)}
			next := strings.Replace(w.config.String(), "version=0", fmt.Sprintf("version=%x", at(e, 1)), 1)
			txn := jute.SetDataTxn{Path: "/zookeeper/config", Data: []byte(next), Version: -1}
			l.send(wire.Packet{Type: wire.TypeProposal, Zxid: at(e, 1), Data: txn.Append(h.Append(nil))})
			l.want("ACK " + z(at(e, 1)))
			l.send(wire.Packet{Type: wire.TypeCommitAndActivate, Zxid: at(e, 1), Data: (&wire.Activation{Leader: 1}).Append(nil)})
			l.echoed()
			l.close()
			l = w.joins() // with version 0
			l.close()
		})
	})
}

// sessions is the life of a client whose requests the server forwards.
func (w *world) sessions() {
	l := w.serves()
	zxid := at(w.epoch, 0)
	commits := func(p wire.Packet, op jute.Op, body []byte) {
		var r wire.Request
		d := jute.NewDecoder(p.Data)
		r.Decode(&d)
		zxid++
		h := jute.TxnHeader{ClientID: r.SessionID, Cxid: r.Cxid, Zxid: zxid, Time: 1_000_000_000_000, Type: int32(op)}
		l.send(wire.Packet{Type: wire.TypeProposal, Zxid: zxid, Data: append(h.Append(nil), body...)})
		l.want("ACK " + z(zxid))
		l.send(commit(zxid))
	}
	response, raw := w.handshake(0, make([]byte, 16))
	p := l.want("REQUEST createSession cxid 0")
	if p.AuthInfo != nil || p.Zxid != -1 || p.Data[0] != me {
		w.Errorf("%+v", p)
	}
	golden(w, "REQUEST createSession", p)
	commits(p, jute.OpCreateSession, (&jute.CreateSessionTxn{Timeout: 4000}).Append(nil))
	r := <-response
	w.is("timeout", r.Timeout, int32(4000))
	w.is("the sid in the session", r.SessionID>>56, int64(me))

	// The commit of createSession touches the session, and so does each packet.
	var echo wire.Packet
	w.eventually("a session is touched", 12, func() any {
		l.set(func(l *link) { echo = l.echo })
		return len(echo.Data)
	})
	golden(w, "PING echo", echo)

	open := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	acl := []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}
	path := fmt.Sprintf("/s%d", w.epoch)
	for i, step := range []struct {
		op    jute.Op
		body  client.Body
		txn   jute.Op
		body2 []byte
		err   int32
	}{
		{jute.OpCreate, &jute.CreateRequest{Path: []byte(path), Data: []byte("x"), ACL: open}, jute.OpCreate, (&jute.CreateTxn{Path: path, Data: []byte("x"), ACL: acl, ParentCVersion: 1}).Append(nil), 0},
		{jute.OpSetData, &jute.SetDataRequest{Path: []byte(path), Data: []byte("y"), Version: -1}, jute.OpSetData, (&jute.SetDataTxn{Path: path, Data: []byte("y"), Version: 1}).Append(nil), 0},
		{jute.OpDelete, &jute.DeleteRequest{Path: []byte("/none"), Version: -1}, jute.OpError, (&jute.ErrorTxn{Err: int32(jute.ErrNoNode)}).Append(nil), int32(jute.ErrNoNode)},
		{jute.OpDelete, &jute.DeleteRequest{Path: []byte(path), Version: 1}, jute.OpDelete, (&jute.DeleteTxn{Path: path}).Append(nil), 0},
	} {
		if err := raw.Request(int32(i+1), step.op, step.body); err != nil {
			w.Fatal(err)
		}
		p := l.want(fmt.Sprintf("REQUEST %v cxid %d ip:127.0.0.1", step.op, i+1))
		golden(w, fmt.Sprintf("REQUEST %v cxid %d", step.op, i+1), p)
		commits(p, step.txn, step.body2)
		h, _, err := raw.Reply()
		if err != nil {
			w.Fatal(err)
		}
		w.is("xid", h.Xid, int32(i+1))
		w.is("error", h.Err, step.err)
		w.is("zxid", z(h.Zxid), z(zxid))
	}

	// sync has no transaction.
	if err := raw.Request(9, jute.OpSync, &jute.PathRequest{Path: []byte("/")}); err != nil {
		w.Fatal(err)
	}
	golden(w, "REQUEST sync", l.want("REQUEST sync cxid 9 ip:127.0.0.1"))
	l.send(packet(wire.TypeSync, 0))
	h, _, err := raw.Reply()
	if err != nil {
		w.Fatal(err)
	}
	w.is("xid", h.Xid, int32(9))

	// The session comes again.
	raw.Close()
	for _, valid := range []bool{true, false} {
		response, again := w.handshake(r.SessionID, r.Password[:])
		p := l.want("REVALIDATE")
		if p.Zxid != -1 {
			w.Errorf("%+v", p)
		}
		golden(w, "REVALIDATE", p)
		l.send(wire.Packet{Type: wire.TypeRevalidate, Zxid: -1, Data: (&wire.SessionValid{ID: r.SessionID, Valid: valid}).Append(nil)})
		answer := <-response
		w.is("the answer", answer.Timeout > 0, valid)
		raw = again
		if valid {
			if err := raw.Request(10, jute.OpCloseSession, none{}); err != nil {
				w.Fatal(err)
			}
			p := l.want("REQUEST closeSession cxid 10 ip:127.0.0.1")
			golden(w, "REQUEST closeSession", p)
			commits(p, jute.OpCloseSession, (&jute.CloseSessionTxn{Paths: []string{}}).Append(nil))
			if h, _, err := raw.Reply(); err != nil || h.Xid != 10 {
				w.Errorf("closeSession: %+v, %v", h, err)
			}
		}
	}
	l.close()
}

// none is a request without a body.
type none struct{}

func (none) Append(b []byte) []byte { return b }

// TestFollowerDies sends what ends the process of Apache ZooKeeper.
func TestFollowerDies(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		code        int
		send        func(w *world) *link
	}{
		{"commit out of order", "5.4 9.1-9", 12, func(w *world) *link {
			l := w.serves()
			e := w.epoch
			l.send(proposal(at(e, 1), "/a"), proposal(at(e, 2), "/b"))
			l.want("ACK "+z(at(e, 1)), "ACK "+z(at(e, 2)))
			l.send(commit(at(e, 2)))
			return l
		}},
		{"gap in broadcast", "5.4", 0, func(w *world) *link {
			l := w.serves()
			e := w.epoch
			l.send(proposal(at(e, 1), "/a"))
			l.want("ACK " + z(at(e, 1)))
			l.send(proposal(at(e, 3), "/b"))
			if w.kind == "java" { // it is logged, and the process ends with the role
				l.want("ACK " + z(at(e, 3)))
				l.conn.Close()
			}
			return l
		}},
		{"no way to synchronize", "4.8-4 9.1-9", 13, func(w *world) *link {
			l := w.joins()
			l.send(packet(wire.TypeCommit, 7))
			return l
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scene(t, voters, func(w *world) {
				w.mayDie = w.kind == "java"
				w.follow(3)
				w.probe("end", c.rules, func() {
					l := c.send(w)
					l.want("closed")
					if w.differs("the process ends") {
						l := w.joins()
						l.close()
					} else {
						w.eventually("gone", true, func() any { _, gone := w.gone(); return gone })
						w.is("exit code", w.proc.Wait(), c.code)
					}
				})
			})
		})
	}
}
