package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"quoll/client"
	"quoll/compat/observe"
	"quoll/jute"
)

// history is what must hold over all writers and all servers.
type history struct {
	mu    sync.Mutex
	names map[string]string // znodes ever seen in sharedDir, by name: whose tag they have
	zxids map[int64]*op     // acknowledged by this server
	floor int64             // the last zxid that the server before it had
	acked int
	kinds map[string]int // of the acknowledged requests
}

func (h *history) name(name, tag string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if had, ok := h.names[name]; ok && had != tag {
		return fmt.Errorf("sequence number given out twice: %s is %s, and was %s", name, tag, had)
	}
	h.names[name] = tag
	return nil
}

func (h *history) acknowledged(o *op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked++
	h.kinds[o.kind()]++
	if other := h.zxids[o.zxid]; other != nil {
		return fmt.Errorf("zxid %#x given out twice: %v; %v", o.zxid, other, o)
	}
	if o.zxid <= h.floor {
		return fmt.Errorf("zxid given out that the server before had passed, %#x: %v", h.floor, o)
	}
	h.zxids[o.zxid] = o
	return nil
}

// writer keeps some requests under way on one session. It changes only what is below its directory, and its own znodes in sharedDir.
type writer struct {
	id      int
	dir     string
	rng     *rand.Rand
	history *history
	heavy   bool // writes much more data

	conn     *client.RawConn
	session  int64
	password []byte
	doubtful bool // a closeSession that nobody answered, and that changes nothing but the session, may have been done

	mu       sync.Mutex
	numbered int               // data made so far
	names    map[string]string // in sharedDir, by tag, as far as they are known
	base     model             // as last seen on a server
	expected model             // with everything done that was sent since
	ops      []*op             // sent since
	acked    int               // of them
	lastZxid int64
}

func newWriter(id int, rng *rand.Rand, h *history) *writer {
	return &writer{id: id, dir: fmt.Sprintf("/w%d", id), rng: rng, history: h, names: map[string]string{}}
}

// connect goes on with the session, or makes one if there is none.
func (w *writer) connect(addr string) error {
	conn, err := client.Dial(context.Background(), addr)
	if err != nil {
		return err
	}
	req := jute.ConnectRequest{Timeout: int32(sessionTimeout / time.Millisecond), LastZxidSeen: w.lastZxid, SessionID: w.session, Password: w.password, HasReadOnly: true}
	if req.Password == nil {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := conn.Handshake(&req)
	if err == nil && resp.SessionID == 0 && w.doubtful {
		conn.Close()
		w.session, w.password, w.doubtful = 0, nil, false
		return w.connect(addr)
	}
	if err == nil && (resp.SessionID == 0 || w.session != 0 && resp.SessionID != w.session) {
		err = fmt.Errorf("session %#x: %w", w.session, jute.ErrSessionExpired)
	}
	if err != nil {
		conn.Close()
		return err
	}
	if err = conn.Request(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: []byte("digest"), Auth: []byte(superUser)}); err == nil {
		var h jute.ReplyHeader
		if h, _, err = conn.Reply(); err == nil && h.Err != 0 {
			err = jute.Code(h.Err)
		}
	}
	if err != nil {
		conn.Close()
		return err
	}
	w.doubtful = false
	w.conn, w.session, w.password = conn, resp.SessionID, append([]byte(nil), resp.Password[:]...)
	return nil
}

// work sends requests until the connection ends. Nil means that it was lost with requests under way, whatever their number; all else
// that is not as predicted is an error.
func (w *writer) work(addr string) error {
	for {
		closed, err := w.pump()
		if !closed || err != nil {
			return err
		}
		w.session, w.password = 0, nil
		if w.connect(addr) != nil {
			return nil
		}
	}
}

// pump runs one connection. It reports whether the session was closed.
func (w *writer) pump() (closed bool, err error) {
	window := make(chan struct{}, 1+w.rng.IntN(32))
	dead := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case window <- struct{}{}:
			case <-dead:
				return
			}
			w.mu.Lock()
			o := w.generate()
			o.err, o.paths = w.expected.apply(o)
			w.ops = append(w.ops, o)
			xid := int32(len(w.ops))
			w.mu.Unlock()
			if o.close {
				w.conn.Request(xid, jute.OpCloseSession, nil)
				return
			}
			opcode := jute.OpMulti
			if !o.multi {
				opcode = o.parts[0].Op
			}
			if w.conn.Request(xid, opcode, o.body()) != nil {
				return
			}
		}
	})
	for {
		h, body, readErr := w.conn.Reply()
		if readErr != nil {
			break
		}
		w.mu.Lock()
		o := w.ops[w.acked]
		w.acked++
		xid := int32(w.acked)
		w.mu.Unlock()
		if h.Xid != xid {
			err = fmt.Errorf("answer with xid %d in place of %d", h.Xid, xid)
			break
		}
		if err = w.check(o, h, body); err != nil {
			break
		}
		closed = o.close
		<-window
	}
	close(dead)
	w.conn.Close()
	sender.Wait()
	return closed, err
}

// check compares an acknowledgement with the prediction.
func (w *writer) check(o *op, h jute.ReplyHeader, body []byte) error {
	o.zxid, w.lastZxid = h.Zxid, h.Zxid
	if err := w.history.acknowledged(o); err != nil {
		return err
	}
	code, d := jute.Code(h.Err), jute.NewDecoder(body)
	var results client.MultiResponse
	switch {
	case o.multi:
		results.Decode(&d)
		if err := results.Err(); err != nil {
			errors.As(err, &code)
		}
	case code == jute.OK && !o.close && o.parts[0].Op == jute.OpCreate:
		results = client.MultiResponse{{Op: jute.OpCreate, Path: d.String()}}
	case code == jute.OK && !o.close && creates(o.parts[0].Op):
		var r jute.CreateResponse
		r.Decode(&d)
		results = client.MultiResponse{{Op: o.parts[0].Op, Path: r.Path}}
	}
	if d.Err() != nil {
		return fmt.Errorf("%v: the answer %x: %w", o, body, d.Err())
	}
	if code != o.err {
		return fmt.Errorf("%v ended with %q", o, code.Text())
	}
	if code != jute.OK {
		return nil
	}
	for i, r := range results {
		switch p := o.parts[i]; {
		case !creates(r.Op):
		case p.tag != "":
			w.mu.Lock()
			w.names[p.tag] = r.Path
			w.mu.Unlock()
			if err := w.history.name(r.Path, p.tag); err != nil {
				return err
			}
		case r.Path != o.paths[i]:
			return fmt.Errorf("%v made %s in place of %s", o, r.Path, o.paths[i])
		}
	}
	return nil
}

// generate makes the next request.
func (w *writer) generate() *op {
	o := &op{session: w.session}
	if w.rng.IntN(400) == 0 {
		o.close = true
		return o
	}
	if w.rng.IntN(6) > 0 {
		o.parts = []part{w.part(w.expected)}
		return o
	}
	o.multi = true
	scratch := maps.Clone(w.expected)
	for range 1 + w.rng.IntN(6) {
		p := w.part(scratch)
		if p.Op == jute.OpSetACL { // has no place in a multi
			p = part{Operation: jute.Operation{Op: jute.OpCheck, Path: p.Path, Version: -1}}
		}
		scratch.apply(&op{session: w.session, parts: []part{p}})
		o.parts = append(o.parts, p)
	}
	if w.rng.IntN(5) == 0 {
		at := w.rng.IntN(len(o.parts) + 1)
		o.parts = slices.Insert(o.parts, at, part{Operation: jute.Operation{Op: jute.OpCheck, Path: []byte(w.dir), Version: 1 << 30}})
	}
	return o
}

// part makes an operation that mostly succeeds on m.
func (w *writer) part(m model) part {
	paths := slices.Sorted(maps.Keys(m))
	own := paths[:0:0]
	var shared []string // tags
	for _, path := range paths {
		if tag, ok := strings.CutPrefix(path, sharedTag); !ok {
			own = append(own, path)
		} else if w.names[tag] != "" {
			shared = append(shared, tag)
		}
	}
	path := own[w.rng.IntN(len(own))]
	version := func(now int32) int32 {
		switch w.rng.IntN(20) {
		case 0:
			return now + 1
		case 1, 2, 3, 4:
			return -1
		}
		return now
	}
	kind := w.rng.IntN(100)
	if len(paths) > 100 {
		kind = 60 + w.rng.IntN(40)
	}
	var p part
	switch {
	case kind < 35:
		// A container that has lost its last child would be deleted by the server, nobody knows when.
		for strings.Count(path, "/") > 4 || m[path].container {
			path = parentOf(path)
		}
		p.acl = w.rng.IntN(len(acls))
		p.Operation = jute.Operation{Op: jute.OpCreate, Data: w.data(), ACL: aclText(acls[p.acl]), Flags: jute.CreateMode(w.rng.IntN(7)), TTL: -1, Path: []byte(path + "/")}
		switch {
		case p.Flags.TTL():
			p.Op, p.TTL = jute.OpCreateTTL, ttl
		case p.Flags == jute.ModeContainer:
			p.Op = jute.OpCreateContainer
		case w.rng.IntN(3) == 0:
			p.Op = jute.OpCreate2
		}
		if !p.Flags.Sequential() {
			p.Path = fmt.Appendf(p.Path, "n%d", w.rng.IntN(12))
		}
	case kind < 45:
		w.numbered++
		p.tag = fmt.Sprintf("%d.%d", w.id, w.numbered)
		mode := jute.ModePersistentSequential
		if w.rng.IntN(3) == 0 {
			mode = jute.ModeEphemeralSequential
		}
		p.Operation = jute.Operation{Op: jute.OpCreate, Data: []byte(p.tag), ACL: aclText(acls[0]), Flags: mode, Path: []byte(sharedDir + "/s-")}
	case kind < 60:
		p.Operation = jute.Operation{Op: jute.OpSetData, Path: []byte(path), Data: w.data(), Version: version(m[path].version)}
	case kind < 66:
		p.acl = w.rng.IntN(len(acls))
		p.Operation = jute.Operation{Op: jute.OpSetACL, Path: []byte(path), ACL: aclText(acls[p.acl]), Version: version(m[path].aversion)}
	case kind < 76 && len(shared) > 0:
		p.tag = shared[w.rng.IntN(len(shared))]
		p.Operation = jute.Operation{Op: jute.OpDelete, Path: []byte(w.names[p.tag]), Version: version(0)}
	default:
		for i := 0; path == w.dir || i < 3 && m[path].children > 0; i++ {
			path = own[w.rng.IntN(len(own))]
			if len(own) == 1 {
				return part{Operation: jute.Operation{Op: jute.OpSetData, Path: []byte(w.dir), Data: w.data(), Version: -1}}
			}
		}
		p.Operation = jute.Operation{Op: jute.OpDelete, Path: []byte(path), Version: version(m[path].version)}
	}
	return p
}

// data is told apart from all other.
func (w *writer) data() []byte {
	switch w.rng.IntN(100) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return fmt.Appendf(nil, "%d.%d %100000d", w.id, w.numbered, 0)
	case 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
		if w.heavy {
			return fmt.Appendf(nil, "%d.%d %50000d", w.id, w.numbered, 0)
		}
	}
	w.numbered++
	return fmt.Appendf(nil, "%d.%d %*d", w.id, w.numbered, w.rng.IntN(200), 0)
}

// own picks out of what a server shows what this writer has made, with the znodes in sharedDir under their tags.
func (w *writer) own(all map[string]observe.Znode) map[string]observe.Znode {
	own := map[string]observe.Znode{}
	for path, s := range all {
		switch {
		case path == w.dir, strings.HasPrefix(path, w.dir+"/"):
			own[path] = s
		case strings.HasPrefix(path, sharedDir+"/"):
			if id, _, _ := strings.Cut(string(s.Data), "."); id == fmt.Sprint(w.id) {
				own[sharedTag+string(s.Data)] = s
				w.names[string(s.Data)] = path
			}
		}
	}
	return own
}

// verify finds how many of the requests that were under way have been done. They must have been done in order, each wholly or not at all;
// what was acknowledged must have been done. Then the server's state is where the writer goes on from.
func (w *writer) verify(all map[string]observe.Znode) (done int, err error) {
	found := w.own(all)
	m := maps.Clone(w.base)
	for _, o := range w.ops[:w.acked] {
		m.apply(o)
	}
	var best []string
	for n := w.acked; ; n++ {
		list, zxids := m.differences(found, w.ops[:n])
		if len(list) == 0 {
			for o, zxid := range zxids {
				o.zxid = zxid
			}
			// A closeSession behind requests that failed may have been done and show as little as they do.
			rest := slices.IndexFunc(w.ops[n:], func(o *op) bool { return o.close || o.err == jute.OK })
			w.doubtful = rest >= 0 && w.ops[n+rest].close
			w.adopt(m, found, n)
			return n, nil
		}
		if best == nil || len(list) < len(best) {
			best = append([]string{fmt.Sprintf("with %d of %d requests under way done:", n-w.acked, len(w.ops)-w.acked)}, list...)
		}
		if n == len(w.ops) {
			break
		}
		m.apply(w.ops[n])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "writer %d: what the server shows is not the outcome of %d acknowledged requests and some of %d under way; nearest:\n%s\nthe last acknowledged:\n",
		w.id, w.acked, len(w.ops)-w.acked, strings.Join(best[:min(len(best), 12)], "\n"))
	for _, o := range w.ops[max(0, w.acked-5):w.acked] {
		fmt.Fprintf(&b, "\t%v\n", o)
	}
	b.WriteString("under way:\n")
	for _, o := range w.ops[w.acked:] {
		fmt.Fprintf(&b, "\t%v\n", o)
	}
	return 0, errors.New(b.String())
}

func (w *writer) adopt(m model, found map[string]observe.Znode, done int) {
	for _, o := range w.ops[w.acked:done] {
		if o.close && o.session == w.session {
			w.session, w.password = 0, nil
		}
	}
	m.settle(found)
	w.base, w.expected, w.ops, w.acked = m, maps.Clone(m), nil, 0
}
