package ensemble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"quoll/client"
	"quoll/history"
	"quoll/jute"
)

// began is where instants count from.
var began = time.Now()

func now() int64 { return int64(time.Since(began)) }

// Few znodes and many clients: almost every request has others beside it on the same path.
var (
	dirs   = []string{"/h", "/h/a", "/h/b", "/h/q"}
	leaves = func() (paths []string) {
		for _, dir := range dirs[1:3] {
			for i := range 8 {
				paths = append(paths, fmt.Sprintf("%s/%d", dir, i))
			}
		}
		return paths
	}()
	hot = append(append([]string{"/"}, dirs...), leaves...)
)

const (
	sequence = "/h/q/s-"
	// certain is where no session that may end by itself has ephemeral znodes.
	certain = "/h/a/"
)

// player is one client that goes from member to member, and records what it is told.
type player struct {
	id      int
	rng     *rand.Rand
	members []*Member
	timeout time.Duration // of its sessions
	pause   time.Duration // between requests, so that few are under way when something breaks

	session  int64
	password []byte
	seen     int64    // the last zxid
	closing  bool     // closeSession was sent, and perhaps not carried out
	queue    []string // sequential znodes that it may delete
	number   uint64   // of the data written so far
	versions map[string]int32

	records []*history.Connection // of this life
	rec     *history.Connection
	conn    *client.RawConn
	out     []byte
	looking bool // at everything
	answers int
}

func newPlayer(id int, seed int64, members []*Member) *player {
	p := &player{id: id, rng: rand.New(rand.NewPCG(uint64(seed), uint64(id))), members: members, timeout: time.Minute, versions: map[string]int32{}}
	if id%4 == 3 {
		p.timeout = 3 * time.Second // its sessions end while it is cut off
	}
	p.pause = time.Duration(1+id%3) * time.Millisecond
	return p
}

// life plays until stop is closed, and then until all its requests are answered or lost.
func (p *player) life(stop chan struct{}) error {
	p.records = nil
	for {
		err := p.connect(p.members[p.rng.IntN(len(p.members))])
		if err == nil {
			err = p.play(stop)
		}
		p.hangUp()
		var wrong *wrongAnswer
		if errors.As(err, &wrong) {
			return fmt.Errorf("client %d: %w", p.id, err)
		}
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(p.rng.IntN(50)) * time.Millisecond):
		}
	}
}

// wrongAnswer is what no server may say.
type wrongAnswer struct{ text string }

func (w *wrongAnswer) Error() string { return w.text }

func (p *player) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// connect renews the session, or makes one.
func (p *player) connect(m *Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := client.Dial(ctx, m.Addr())
	if err != nil {
		return err
	}
	p.conn = conn
	conn.SetDeadline(time.Now().Add(silence))
	rec := &history.Connection{Client: p.id, New: p.session == 0, Timeout: history.Anytime, Call: now()}
	if p.timeout >= time.Minute {
		rec.Timeout = int64(p.timeout)
	}
	req := jute.ConnectRequest{LastZxidSeen: p.seen, Timeout: int32(p.timeout.Milliseconds()), SessionID: p.session, Password: p.password, HasReadOnly: true}
	if p.session == 0 {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := conn.Handshake(&req)
	if err != nil {
		return err
	}
	rec.Return = now()
	p.records = append(p.records, rec)
	if resp.SessionID == 0 {
		// Whether that is right is for the checker to say.
		rec.Refused, rec.New = p.session, false
		p.session, p.password, p.closing = 0, nil, false
		p.hangUp()
		return errors.New("the session was refused")
	}
	rec.Session = resp.SessionID
	p.rec, p.session, p.password, p.closing = rec, resp.SessionID, slices.Clone(resp.Password[:]), false
	return nil
}

// play sends and receives until the connection ends, or the player has had enough of it.
func (p *player) play(stop chan struct{}) error {
	window := 1 + p.rng.IntN(4)
	left := 50 + p.rng.IntN(2000) // requests before something else is done
	drop := p.rng.IntN(4) > 0     // the connection; otherwise the session is closed
	stopping := false
	for {
		select {
		case <-stop:
			stopping = true
		case <-time.After(p.pause):
		}
		p.out = p.out[:0]
		for len(p.rec.Ops)-p.rec.Replies < window && !p.closing && !stopping {
			if left--; left <= 0 {
				if !drop {
					p.request(history.Op{Part: history.Part{Op: jute.OpCloseSession}})
					p.closing = true
				}
				break
			}
			p.request(p.generate())
		}
		if len(p.out) > 0 {
			if _, err := p.conn.Write(p.out); err != nil {
				return err
			}
		}
		if left <= 0 && drop {
			return nil
		}
		goal := window / 2
		if p.closing || stopping {
			goal = 0
		}
		for len(p.rec.Ops)-p.rec.Replies > goal {
			if err := p.receive(); err != nil {
				return err
			}
		}
		if p.closing {
			p.session, p.password, p.closing = 0, nil, false
			return nil
		}
		if stopping {
			return nil
		}
	}
}

// request appends a request to what is sent next.
func (p *player) request(o history.Op) {
	o.Call, o.Return = now(), history.Never
	at := len(p.out)
	p.out = append(p.out, 0, 0, 0, 0)
	p.out = (&jute.RequestHeader{Xid: int32(len(p.rec.Ops) + 1), Type: int32(o.Op)}).Append(p.out)
	if o.Op == jute.OpMulti {
		for i := range o.Parts {
			p.out = (&jute.MultiHeader{Type: int32(o.Parts[i].Op), Err: -1}).Append(p.out)
			p.out = p.body(p.out, &o.Parts[i])
		}
		p.out = jute.MultiEnd.Append(p.out)
	} else {
		p.out = p.body(p.out, &o.Part)
	}
	binary.BigEndian.PutUint32(p.out[at:], uint32(len(p.out)-at-4))
	p.rec.Ops = append(p.rec.Ops, o)
}

// body appends the record of one operation, and gives it its data.
func (p *player) body(b []byte, o *history.Part) []byte {
	path := []byte(o.Path)
	switch o.Op {
	case jute.OpCreate, jute.OpCreate2:
		return (&jute.CreateRequest{Path: path, Data: p.data(o), ACL: openACL, Flags: o.Mode}).Append(b)
	case jute.OpSetData:
		return (&jute.SetDataRequest{Path: path, Data: p.data(o), Version: o.Version}).Append(b)
	case jute.OpDelete, jute.OpCheck:
		return (&jute.DeleteRequest{Path: path, Version: o.Version}).Append(b)
	case jute.OpSync:
		return (&jute.PathRequest{Path: path}).Append(b)
	case jute.OpCloseSession:
		return b
	}
	return (&jute.PathWatchRequest{Path: path, Watch: o.Watch}).Append(b)
}

// data makes data that nobody else writes.
func (p *player) data(o *history.Part) []byte {
	p.number++
	data := make([]byte, 16+p.rng.IntN(40))
	binary.BigEndian.PutUint64(data, uint64(p.id))
	binary.BigEndian.PutUint64(data[8:], p.number)
	o.Data = history.DataOf(data)
	return data
}

// receive reads one frame: a reply or an event.
func (p *player) receive() error {
	p.conn.SetDeadline(time.Now().Add(silence))
	h, body, err := p.conn.Reply()
	if err != nil {
		return err
	}
	d := jute.NewDecoder(body)
	if h.Xid == jute.XidEvent {
		var e jute.WatcherEvent
		e.Decode(&d)
		p.rec.Events = append(p.rec.Events, history.Event{After: p.rec.Replies, Type: jute.EventType(e.Type), Path: e.Path, Zxid: h.Zxid})
		return d.Err()
	}
	if p.rec.Replies == len(p.rec.Ops) || h.Xid != int32(p.rec.Replies+1) {
		return &wrongAnswer{fmt.Sprintf("a reply with xid %d after %d replies to %d requests", h.Xid, p.rec.Replies, len(p.rec.Ops))}
	}
	o := &p.rec.Ops[p.rec.Replies]
	if jute.Code(h.Err) == jute.ErrSessionMoved {
		return errors.New("the session has moved") // back: the request counts as not answered
	}
	o.Zxid, o.Err = h.Zxid, jute.Code(h.Err)
	if o.Op == jute.OpMulti {
		var r client.MultiResponse
		r.Decode(&d)
		if o.Err == jute.OK && len(r) != len(o.Parts) {
			return &wrongAnswer{fmt.Sprintf("a multi of %d operations has %d results", len(o.Parts), len(r))}
		}
		for i := range r {
			o.Parts[i].Err, o.Parts[i].Made, o.Parts[i].Stat = r[i].Err, r[i].Path, r[i].Stat
			p.learn(&o.Parts[i])
		}
	} else if o.Err == jute.OK {
		p.decode(&d, &o.Part)
		p.learn(&o.Part)
	}
	if d.Err() != nil {
		return &wrongAnswer{fmt.Sprintf("the reply to %v: %v", o.Op, d.Err())}
	}
	o.Return = now()
	p.rec.Replies++
	p.seen = max(p.seen, h.Zxid)
	p.answers++
	return nil
}

func (p *player) decode(d *jute.Decoder, o *history.Part) {
	switch o.Op {
	case jute.OpCreate:
		o.Made = d.String()
	case jute.OpCreate2:
		o.Made = d.String()
		o.Stat.Decode(d)
	case jute.OpSetData, jute.OpExists:
		o.Stat.Decode(d)
	case jute.OpGetData:
		o.Data = history.DataOf(d.Buffer())
		o.Stat.Decode(d)
	case jute.OpGetChildren2:
		for range d.Count() {
			name := d.Text()
			o.Children.Add(name)
			if p.looking && o.Path == "/h/q" {
				p.queue = append(p.queue, "/h/q/"+string(name))
			}
		}
		o.Stat.Decode(d)
	}
}

// learn remembers versions and names, so that requests have a fair chance.
func (p *player) learn(o *history.Part) {
	switch o.Op {
	case jute.OpSetData, jute.OpExists, jute.OpGetData:
		p.versions[o.Path] = o.Stat.Version
	case jute.OpCreate, jute.OpCreate2:
		if o.Path == sequence && o.Err == jute.OK && o.Made != "" {
			p.queue = append(p.queue, o.Made)
		}
	}
}

// generate makes the next request.
func (p *player) generate() history.Op {
	switch k := p.rng.IntN(100); {
	case k < 7:
		o := history.Op{Part: history.Part{Op: jute.OpMulti}}
		for range 1 + p.rng.IntN(3) {
			o.Parts = append(o.Parts, p.write(true))
		}
		return o
	case k < 50:
		return history.Op{Part: p.write(false)}
	}
	o := history.Part{Path: hot[p.rng.IntN(len(hot))], Watch: p.rng.IntN(12) == 0}
	switch k := p.rng.IntN(100); {
	case k < 6:
		o.Op, o.Watch = jute.OpSync, false
	case k < 30:
		o.Op = jute.OpExists
	case k < 45:
		o.Op, o.Path = jute.OpGetChildren2, dirs[p.rng.IntN(len(dirs))]
	default:
		o.Op = jute.OpGetData
	}
	return history.Op{Part: o}
}

// write makes one write, for a multi or alone.
func (p *player) write(multi bool) history.Part {
	path := leaves[p.rng.IntN(len(leaves))]
	o := history.Part{Path: path, Version: -1}
	if v, ok := p.versions[path]; ok && p.rng.IntN(3) == 0 {
		o.Version = v
	}
	k := p.rng.IntN(100)
	if len(p.queue) > 8 && k < 16 {
		k = 8
	}
	switch {
	case k < 8:
		o.Op, o.Path, o.Mode, o.Version = jute.OpCreate, sequence, int32(jute.ModePersistentSequential), 0
		if p.rng.IntN(4) == 0 {
			o.Op, o.Mode = jute.OpCreate2, int32(jute.ModeEphemeralSequential)
		}
	case k < 16 && len(p.queue) > 0:
		i := p.rng.IntN(len(p.queue))
		o.Op, o.Path, o.Version = jute.OpDelete, p.queue[i], -1
		if !multi { // which may fail and leave it
			p.queue[i] = p.queue[len(p.queue)-1]
			p.queue = p.queue[:len(p.queue)-1]
		}
	case k < 40:
		o.Op, o.Version = jute.OpCreate2, 0
		if p.rng.IntN(3) == 0 && (p.timeout >= time.Minute || !strings.HasPrefix(path, certain)) {
			o.Mode = int32(jute.ModeEphemeral)
		}
	case k < 54:
		o.Op = jute.OpDelete
	case k < 60 && multi:
		o.Op = jute.OpCheck
	default:
		o.Op = jute.OpSetData
	}
	return o
}

// prepare makes the directories of an empty ensemble.
func (p *player) prepare() error {
	return p.visit(func() {
		for _, dir := range dirs {
			p.request(history.Op{Part: history.Part{Op: jute.OpCreate, Path: dir}})
		}
	})
}

// look reads everything: then it is known what the writes have done that nobody answered.
func (p *player) look() error {
	p.looking, p.queue = true, nil
	defer func() { p.looking = false }()
	return p.visit(func() {
		p.request(history.Op{Part: history.Part{Op: jute.OpSync, Path: "/"}})
	}, func() {
		for _, path := range hot {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetData, Path: path}})
		}
		for _, path := range append([]string{"/"}, dirs...) {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetChildren2, Path: path}})
		}
	}, func() {
		for _, path := range p.queue {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetData, Path: path}})
		}
	})
}

// visit has a connection to a calm ensemble for some rounds of requests, each answered before the next.
func (p *player) visit(rounds ...func()) error {
	err := p.connect(p.members[p.rng.IntN(len(p.members))])
	if err != nil && p.session == 0 { // refused
		err = p.connect(p.members[0])
	}
	if err != nil {
		return err
	}
	defer p.hangUp()
	for _, round := range rounds {
		p.out = p.out[:0]
		round()
		if _, err := p.conn.Write(p.out); err != nil {
			return err
		}
		for p.rec.Replies < len(p.rec.Ops) {
			if err := p.receive(); err != nil {
				return err
			}
		}
	}
	return nil
}
