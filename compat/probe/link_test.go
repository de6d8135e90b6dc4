package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"quoll/client"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/txnlog"
	"quoll/zab/wire"
)

// link is a connection of the quorum port, whichever side the server is on.
type link struct {
	w    *world
	conn net.Conn
	in   queue[event]

	mu      sync.Mutex
	acks    bool           // acknowledges proposals by itself
	echoes  bool           // echoes PINGs by itself: from its first ACK on, as before that a PING's echo is a wrong answer
	pings   bool           // PINGs are shown
	echo    wire.Packet    // the last echo with sessions
	touched []wire.Session // with the next echo
	ended   chan struct{}  // closed when the server has closed
}

// event is a packet that came in, or the end of the connection.
type event struct {
	p    wire.Packet
	text string
}

func newLink(w *world, conn net.Conn) *link {
	l := &link{w: w, conn: conn, ended: make(chan struct{})}
	w.mu.Lock()
	w.links = append(w.links, l)
	w.mu.Unlock()
	go l.read()
	return l
}

// set changes how the link behaves.
func (l *link) set(f func(l *link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

func (l *link) read() {
	defer close(l.ended)
	r := wire.NewReader(l.conn, 64<<20)
	for {
		p, err := r.Packet()
		if err != nil {
			text := "closed"
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "reset") && !errors.Is(err, net.ErrClosed) {
				text += ": " + err.Error()
			}
			l.in.put(event{text: text})
			return
		}
		p.Data = bytes.Clone(p.Data)
		e := event{p: p, text: text(p)}
		if p.Type == wire.TypeSnap {
			var paths paths
			rest, err := txnlog.ReadStream(r, 0, &paths)
			if err == nil {
				r = wire.NewReader(io.MultiReader(bytes.NewReader(rest), r), 64<<20)
				e.text += paths.text()
			} else {
				e.text += ": " + err.Error()
			}
		}
		l.mu.Lock()
		shown := true
		switch {
		case p.Type == wire.TypeProposal && l.acks:
			l.conn.Write((&wire.Packet{Type: wire.TypeAck, Zxid: p.Zxid}).Append(nil))
		case p.Type == wire.TypePing:
			shown = l.pings
			if len(p.Data) > 0 {
				l.echo = p
			}
			if l.echoes && p.Data == nil { // a leader's
				data := []byte{}
				for _, s := range l.touched {
					data = s.Append(data)
				}
				l.conn.Write((&wire.Packet{Type: wire.TypePing, Zxid: p.Zxid, Data: data}).Append(nil))
			}
		}
		l.mu.Unlock()
		if shown {
			l.in.put(e)
		}
	}
}

// paths takes from a snapshot which znodes it has.
type paths struct{ names []string }

func (p *paths) Session(id int64, timeout int32) {}
func (p *paths) ACL(number int64, acl []jute.ACL) {
}
func (p *paths) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	if path != "" && !strings.HasPrefix(path, "/zookeeper") {
		p.names = append(p.names, path)
	}
	return nil
}

func (p *paths) text() string {
	var b strings.Builder
	for _, name := range p.names {
		b.WriteString(" " + name)
	}
	return b.String()
}

// next returns what comes next.
func (l *link) next() event {
	l.w.Helper()
	e, ok := l.in.get()
	if !ok {
		l.w.stuck = true
		l.w.Fatal("nothing comes from the server")
	}
	l.w.Logf("<- %s", e.text)
	return e
}

// want fails unless exactly these packets come next, and returns the last one.
func (l *link) want(texts ...string) (p wire.Packet) {
	l.w.Helper()
	for _, want := range texts {
		e := l.next()
		if e.text != want {
			l.w.Fatalf("got %s, not %s", e.text, want)
		}
		p = e.p
	}
	return p
}

// until returns the texts of what comes before the packet whose text begins so, and the packet.
func (l *link) until(prefix string) (before []string, p wire.Packet) {
	l.w.Helper()
	for {
		e := l.next()
		if strings.HasPrefix(e.text, prefix) {
			return before, e.p
		}
		if e.text == "closed" {
			l.w.Fatalf("closed before %s, after %q", prefix, before)
		}
		before = append(before, e.text)
	}
}

// send sends packets with one write.
func (l *link) send(packets ...wire.Packet) {
	var b []byte
	for _, p := range packets {
		l.w.Logf("-> %s", text(p))
		b = p.Append(b)
		if p.Type == wire.TypeAck {
			defer l.set(func(l *link) { l.echoes = true })
		}
	}
	l.conn.Write(b)
}

// close ends the connection.
func (l *link) close() {
	l.conn.Close()
	<-l.ended
	l.in.flush()
}

// pinging pings the server, which follows, until the connection ends.
func (l *link) pinging() {
	l.set(func(l *link) { l.pings = false })
	go func() {
		ticker := time.NewTicker(tick / 2 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				l.conn.Write((&wire.Packet{Type: wire.TypePing, Zxid: 7}).Append(nil))
			case <-l.ended:
				return
			}
		}
	}()
}

// Packets that are sent.

func packet(t wire.Type, zxid int64) wire.Packet { return wire.Packet{Type: t, Zxid: zxid} }

func ack(zxid int64) wire.Packet    { return packet(wire.TypeAck, zxid) }
func commit(zxid int64) wire.Packet { return packet(wire.TypeCommit, zxid) }

func leaderInfo(epoch int64) wire.Packet {
	return wire.Packet{Type: wire.TypeLeaderInfo, Zxid: at(epoch, 0), Data: (&wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion}).Append(nil)}
}

func ackEpoch(last int64, epoch int32) wire.Packet {
	return wire.Packet{Type: wire.TypeAckEpoch, Zxid: last, Data: (&wire.AckEpoch{CurrentEpoch: epoch}).Append(nil)}
}

func learnerInfo(t wire.Type, accepted, sid, config int64) wire.Packet {
	info := wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion, ConfigVersion: config}
	return wire.Packet{Type: t, Zxid: at(accepted, 0), Data: info.Append(nil)}
}

func newLeader(epoch int64, config string) wire.Packet {
	return wire.Packet{Type: wire.TypeNewLeader, Zxid: at(epoch, 0), Data: []byte(config)}
}

func upToDate() wire.Packet { return packet(wire.TypeUpToDate, -1) }

// proposal is that of a transaction that creates a znode, without a digest.
func proposal(zxid int64, path string) wire.Packet {
	return wire.Packet{Type: wire.TypeProposal, Zxid: zxid, Data: created(zxid, path)}
}

func created(zxid int64, path string) []byte {
	h := jute.TxnHeader{ClientID: 0x0300000000000077, Cxid: 1, Zxid: zxid, Time: 1_000_000_000_000, Type: int32(jute.OpCreate)}
	txn := jute.CreateTxn{Path: path, Data: []byte("x"), ACL: client.OpenACL, ParentCVersion: -1}
	return txn.Append(h.Append(nil))
}

func request(session int64, cxid int32, op jute.Op, body []byte) wire.Packet {
	r := wire.Request{SessionID: session, Cxid: cxid, Op: op, Body: body}
	p := wire.Packet{Type: wire.TypeRequest, Zxid: -1, Data: r.Append(nil)}
	if op != jute.OpCreateSession && op != jute.OpCloseSession {
		p.AuthInfo = []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}
	}
	return p
}

func newSession(session int64, timeout int32) wire.Packet {
	return request(session, 0, jute.OpCreateSession, (&jute.CreateSessionRequest{Timeout: timeout}).Append(nil))
}

func newNode(session int64, cxid int32, path string, flags jute.CreateMode) wire.Packet {
	r := jute.CreateRequest{Path: []byte(path), Data: []byte("x"), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}, Flags: int32(flags)}
	return request(session, cxid, jute.OpCreate, r.Append(nil))
}

// text describes a packet.
func text(p wire.Packet) string {
	b := p.Type.String() + " " + z(p.Zxid)
	d := jute.NewDecoder(p.Data)
	switch p.Type {
	case wire.TypeRequest:
		var r wire.Request
		r.Decode(&d)
		b = fmt.Sprintf("%v %v cxid %d", p.Type, r.Op, r.Cxid)
		for _, id := range p.AuthInfo {
			b += " " + id.Scheme + ":" + id.ID
		}
	case wire.TypeProposal, wire.TypeInform:
		b += " " + txn(&d)
	case wire.TypeCommitAndActivate, wire.TypeInformAndActivate:
		var a wire.Activation
		a.Decode(&d)
		b += fmt.Sprintf(" leader %d", a.Leader)
		if p.Type == wire.TypeInformAndActivate {
			d := jute.NewDecoder(a.Txn)
			b += " " + txn(&d)
		}
	case wire.TypeFollowerInfo, wire.TypeObserverInfo:
		var i wire.LearnerInfo
		i.Decode(&d)
		b += fmt.Sprintf(" sid %d protocol %d config %s", i.SID, i.ProtocolVersion, z(i.ConfigVersion))
	case wire.TypeLeaderInfo:
		var i wire.LeaderInfo
		i.Decode(&d)
		b += fmt.Sprintf(" protocol %d", i.ProtocolVersion)
	case wire.TypeAckEpoch:
		var a wire.AckEpoch
		a.Decode(&d)
		b += fmt.Sprintf(" epoch %d", a.CurrentEpoch)
	case wire.TypeNewLeader:
		if p.Data == nil {
			return b + " null"
		}
		c, err := ensemble.Parse(string(p.Data))
		if err != nil {
			return b + " no config"
		}
		return b + " config " + z(c.Version)
	case wire.TypeRevalidate:
		switch len(p.Data) {
		case 9:
			b = fmt.Sprintf("%v %v", p.Type, p.Data[8] != 0)
		case 12:
			b = fmt.Sprint(p.Type)
		}
	case wire.TypePing:
		switch {
		case p.Data == nil:
			b += " null"
		default:
			b += fmt.Sprintf(" touched %d", len(p.Data)/12)
		}
	default:
		if p.Data != nil {
			b += fmt.Sprintf(" data %d", len(p.Data))
		}
	}
	if d.Err() != nil {
		b += " malformed"
	}
	if p.AuthInfo != nil && p.Type != wire.TypeRequest {
		b += " authinfo"
	}
	return b
}

// txn describes an entry of the log.
func txn(d *jute.Decoder) string {
	var h jute.TxnHeader
	h.Decode(d)
	op := jute.Op(h.Type)
	switch op {
	case jute.OpError:
		var e jute.ErrorTxn
		e.Decode(d)
		return fmt.Sprintf("error %d", e.Err)
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpSetACL, jute.OpDeleteContainer:
		return fmt.Sprintf("%v %s", op, d.String())
	}
	return op.String()
}

// arrives waits for the newest learner at a fake's quorum port.
func (w *world) arrives() *link {
	w.Helper()
	timeout := time.After(patience)
	for {
		select {
		case l := <-w.came:
			select {
			case <-l.ended: // the server has given up
				continue
			default:
			}
			w.scene.Cleanup(func() { l.conn.Close() })
			return l
		case <-timeout:
			w.stuck = true
			w.Fatal("nobody dials the quorum port")
		}
	}
}

// stranger dials the server's quorum port as soon as it listens.
func (w *world) stranger() *link {
	w.Helper()
	return newLink(w, w.dial(w.quorum))
}
