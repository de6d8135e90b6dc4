package history

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
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
	dirs   = []string{"/h", "/h/a", "/h/b", "/h/c", "/h/q"}
	upper  = append([]string{"/"}, dirs...)
	leaves = func() (paths []string) {
		for _, dir := range dirs[1:4] {
			for i := range 12 {
				paths = append(paths, fmt.Sprintf("%s/%d", dir, i))
			}
		}
		for i := range 6 {
			paths = append(paths, fmt.Sprintf("/h/a/%d/x", i))
		}
		return paths
	}()
	hot      = append(slices.Clone(upper), leaves...)
	openACL  = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	sequence = "/h/q/s-"
)

// sessionTimeout is longer than any run.
const sessionTimeout = 10 * time.Hour

// player is one client: it asks, and records what it is told.
type player struct {
	id  int
	rng *rand.Rand

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
	answers *atomic.Int64
}

// life plays until the server dies. The error is nil if dying said so.
func (p *player) life(addr string, dying *atomic.Bool) error {
	p.records = nil
	for {
		err := p.connect(addr)
		if err == nil {
			err = p.play()
		}
		if p.conn != nil {
			p.conn.Close()
			p.conn = nil
		}
		if err != nil {
			// The kill may be a moment behind its announcement, never before it.
			if dying.Load() {
				return nil
			}
			return fmt.Errorf("client %d: %w", p.id, err)
		}
	}
}

// connect renews the session, or makes one.
func (p *player) connect(addr string) error {
	conn, err := client.Dial(context.Background(), addr)
	if err != nil {
		return err
	}
	p.conn = conn
	rec := &history.Connection{Client: p.id, New: p.session == 0, Timeout: int64(sessionTimeout), Call: now()}
	req := jute.ConnectRequest{LastZxidSeen: p.seen, Timeout: int32(sessionTimeout.Milliseconds()), SessionID: p.session, Password: p.password, HasReadOnly: true}
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
		p.conn.Close()
		p.session, p.password, p.closing = 0, nil, false
		return p.connect(addr)
	}
	rec.Session, rec.Timeout = resp.SessionID, int64(resp.Timeout)*int64(time.Millisecond)
	p.rec, p.session, p.password, p.closing = rec, resp.SessionID, slices.Clone(resp.Password[:]), false
	return nil
}

// play sends and receives until the connection ends. It is not an error that it ends it itself.
func (p *player) play() error {
	window := 1 + p.rng.IntN(8)
	left := 200 + p.rng.IntN(8000) // requests before something else is done
	drop := p.rng.IntN(4) == 0     // the connection, with requests under way
	p.rec.Ops = make([]history.Op, 0, 1024)
	for {
		p.out = p.out[:0]
		for len(p.rec.Ops)-p.rec.Replies < window && !p.closing {
			if left--; left <= 0 && !drop {
				p.request(history.Op{Part: history.Part{Op: jute.OpCloseSession}})
				p.closing = true
				break
			}
			p.request(p.generate())
		}
		if _, err := p.conn.Write(p.out); err != nil {
			return err
		}
		if left <= 0 && drop {
			return nil
		}
		for goal := window / 2; len(p.rec.Ops)-p.rec.Replies > goal || p.closing; {
			if err := p.receive(); err != nil {
				return err
			}
			if p.closing && p.rec.Replies == len(p.rec.Ops) {
				p.session, p.password, p.closing = 0, nil, false
				return nil
			}
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
	case jute.OpSetACL:
		return (&jute.SetACLRequest{Path: path, ACL: openACL, Version: o.Version}).Append(b)
	case jute.OpDelete, jute.OpCheck:
		return (&jute.DeleteRequest{Path: path, Version: o.Version}).Append(b)
	case jute.OpSync:
		return (&jute.PathRequest{Path: path}).Append(b)
	case jute.OpAddWatch:
		return (&jute.AddWatchRequest{Path: path, Mode: o.Mode}).Append(b)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		return (&jute.WatchesRequest{Path: path, Type: o.Mode}).Append(b)
	case jute.OpCloseSession:
		return b
	}
	return (&jute.PathWatchRequest{Path: path, Watch: o.Watch}).Append(b)
}

// data makes data that nobody else writes, of several sizes; now and then null and empty.
func (p *player) data(o *history.Part) []byte {
	var data []byte
	switch k := p.rng.IntN(200); k {
	case 0:
	case 1:
		data = []byte{}
	default:
		p.number++
		data = make([]byte, 16+k/4)
		binary.BigEndian.PutUint64(data, uint64(p.id))
		binary.BigEndian.PutUint64(data[8:], p.number)
	}
	o.Data = history.DataOf(data)
	return data
}

// receive reads one frame: a reply or an event.
func (p *player) receive() error {
	h, body, err := p.conn.Reply()
	if err != nil {
		return err
	}
	d := jute.NewDecoder(body)
	if h.Xid == jute.XidEvent {
		var e jute.WatcherEvent
		e.Decode(&d)
		p.rec.Events = append(p.rec.Events, history.Event{After: p.rec.Replies, Type: jute.EventType(e.Type), Path: p.path(e.Path), Zxid: h.Zxid})
		return d.Err()
	}
	if p.rec.Replies == len(p.rec.Ops) || h.Xid != int32(p.rec.Replies+1) {
		return fmt.Errorf("a reply with xid %d after %d replies to %d requests", h.Xid, p.rec.Replies, len(p.rec.Ops))
	}
	o := &p.rec.Ops[p.rec.Replies]
	o.Zxid, o.Err = h.Zxid, jute.Code(h.Err)
	if o.Op == jute.OpMulti {
		var r client.MultiResponse
		r.Decode(&d)
		if o.Err == jute.OK && len(r) != len(o.Parts) {
			return fmt.Errorf("a multi of %d operations has %d results", len(o.Parts), len(r))
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
		return fmt.Errorf("the reply to %v: %w", o.Op, d.Err())
	}
	o.Return = now()
	p.rec.Replies++
	p.seen = max(p.seen, h.Zxid)
	p.answers.Add(1)
	return nil
}

func (p *player) decode(d *jute.Decoder, o *history.Part) {
	switch o.Op {
	case jute.OpCreate:
		o.Made = p.path(d.String())
	case jute.OpCreate2:
		o.Made = p.path(d.String())
		o.Stat.Decode(d)
	case jute.OpSetData, jute.OpSetACL, jute.OpExists:
		o.Stat.Decode(d)
	case jute.OpGetData:
		o.Data = history.DataOf(d.Buffer())
		o.Stat.Decode(d)
	case jute.OpGetChildren, jute.OpGetChildren2:
		for range d.Count() {
			name := d.Text()
			o.Children.Add(name)
			if p.looking && o.Path == "/h/q" {
				p.queue = append(p.queue, "/h/q/"+string(name))
			}
		}
		if o.Op == jute.OpGetChildren2 {
			o.Stat.Decode(d)
		}
	}
}

// known has the paths that are kept once.
var known = func() map[string]string {
	m := map[string]string{}
	for _, path := range hot {
		m[path] = path
	}
	return m
}()

func (p *player) path(path string) string {
	if same, ok := known[path]; ok {
		return same
	}
	return path
}

// learn remembers versions and names, so that requests have a fair chance.
func (p *player) learn(o *history.Part) {
	switch o.Op {
	case jute.OpSetData, jute.OpExists, jute.OpGetData:
		if _, ok := known[o.Path]; ok {
			p.versions[o.Path] = o.Stat.Version
		}
	case jute.OpCreate, jute.OpCreate2:
		if o.Path == sequence && o.Err == jute.OK && o.Made != "" {
			p.queue = append(p.queue, o.Made)
		}
	}
}

// generate makes the next request.
func (p *player) generate() history.Op {
	if p.rng.IntN(14) == 0 {
		o := history.Op{Part: history.Part{Op: jute.OpMulti}}
		for range 1 + p.rng.IntN(4) {
			o.Parts = append(o.Parts, p.write(true))
		}
		return o
	}
	if p.rng.IntN(2) == 0 {
		return history.Op{Part: p.write(false)}
	}
	o := history.Part{Path: hot[p.rng.IntN(len(hot))], Watch: p.rng.IntN(12) == 0}
	switch k := p.rng.IntN(1000); {
	case k < 20:
		o.Op, o.Watch = jute.OpSync, false
	case k < 23:
		o.Op, o.Watch, o.Mode = jute.OpAddWatch, false, int32(p.rng.IntN(2))
	case k < 35:
		o.Op, o.Watch, o.Mode = jute.OpRemoveWatches, false, int32(1+p.rng.IntN(5))
	case k < 40:
		o.Op, o.Watch, o.Mode = jute.OpCheckWatches, false, int32(1+p.rng.IntN(5))
	case k < 250:
		o.Op = jute.OpExists
	case k < 320:
		o.Op, o.Path = jute.OpGetChildren, upper[p.rng.IntN(len(upper))]
	case k < 420:
		o.Op, o.Path = jute.OpGetChildren2, upper[p.rng.IntN(len(upper))]
	default:
		o.Op = jute.OpGetData
	}
	return history.Op{Part: o}
}

// write makes one write, for a multi or alone.
func (p *player) write(multi bool) history.Part {
	path := leaves[p.rng.IntN(len(leaves))]
	if p.rng.IntN(20) == 0 {
		path = dirs[p.rng.IntN(len(dirs))]
	}
	version := int32(-1)
	if v, ok := p.versions[path]; ok && p.rng.IntN(3) == 0 {
		version = v
	}
	o := history.Part{Path: path, Version: version}
	k := p.rng.IntN(100)
	if len(p.queue) > 8 && k < 16 {
		k = 8
	}
	switch {
	case k < 8:
		o.Op, o.Path, o.Mode, o.Version = jute.OpCreate, sequence, int32(jute.ModePersistentSequential), 0
		if k%2 == 0 {
			o.Op = jute.OpCreate2
		}
		if p.rng.IntN(4) == 0 {
			o.Mode = int32(jute.ModeEphemeralSequential)
		}
	case k < 16 && len(p.queue) > 0:
		i := p.rng.IntN(len(p.queue))
		o.Op, o.Path, o.Version = jute.OpDelete, p.queue[i], -1
		if !multi { // which may fail and leave it
			p.queue[i] = p.queue[len(p.queue)-1]
			p.queue = p.queue[:len(p.queue)-1]
		}
	case k < 36:
		o.Op, o.Version = jute.OpCreate, 0
		if k%2 == 0 {
			o.Op = jute.OpCreate2
		}
		if p.rng.IntN(3) == 0 && !slices.Contains(dirs, path) {
			o.Mode = int32(jute.ModeEphemeral)
		}
	case k < 52:
		o.Op = jute.OpDelete
	case k < 56 && multi:
		o.Op = jute.OpCheck
	case k < 56:
		o.Op = jute.OpSetACL
	default:
		o.Op = jute.OpSetData
	}
	return o
}

// prepare makes the directories of an empty server.
func (p *player) prepare(addr string) error {
	return p.visit(addr, func() {
		for _, dir := range dirs {
			p.request(history.Op{Part: history.Part{Op: jute.OpCreate, Path: dir}})
		}
	})
}

// look reads everything: then it is known what the writes have done that nobody answered.
func (p *player) look(addr string) error {
	p.looking, p.queue = true, nil
	defer func() { p.looking = false }()
	return p.visit(addr, func() {
		for _, path := range upper {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetChildren2, Path: path}})
		}
		for _, path := range hot {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetData, Path: path}})
		}
	}, func() {
		for _, path := range p.queue {
			p.request(history.Op{Part: history.Part{Op: jute.OpGetData, Path: path}})
		}
	})
}

// visit has a connection for some rounds of requests, each answered before the next.
func (p *player) visit(addr string, rounds ...func()) error {
	p.records = nil
	if err := p.connect(addr); err != nil {
		return err
	}
	defer p.conn.Close()
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

// newPlayer makes a client with random choices of its own.
func newPlayer(id int, seed int64, answers *atomic.Int64) *player {
	return &player{id: id, rng: rand.New(rand.NewPCG(uint64(seed), uint64(id))), versions: map[string]int32{}, answers: answers}
}
