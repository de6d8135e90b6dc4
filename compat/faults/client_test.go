package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"quoll/client"
	"quoll/jute"
)

// patience ends every wait for an answer, whatever the load of the machine.
const patience = 20 * time.Second

// stubborn is how long the clients go on with a server that refuses their writes: longer than quoll leaves a failed disk alone.
const stubborn = 3 * time.Second

var acls = [][]jute.ACLText{
	{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}},
	{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}, {Perms: jute.PermAdmin, Scheme: []byte("digest"), ID: []byte("ann:c2VjcmV0")}},
	{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}, {Perms: jute.PermRead, Scheme: []byte("ip"), ID: []byte("127.0.0.0/8")}},
}

// The directories of the znodes that the script makes.
var dirs = []string{"/d", "/d/0", "/d/1", "/e", "/s"}

// answer is what became of a request.
type answer int

const (
	unknown  answer = iota // the connection was lost first; the request may have been done
	refused                // the server said that it cannot do it now; as unknown
	accepted               // acknowledged
)

// request is a write that was sent.
type request struct {
	op     jute.Op
	body   client.Body
	answer answer
	zxid   int64
	seq    string // data of a sequential znode, which has no name before the answer
}

// effect is what a request makes of one znode.
type effect struct {
	*request
	exists bool
	made   bool // by this request
	data   []byte
	acl    int
	owner  int64
}

// work is the clients of one run: what they sent, and what the server must show for it.
type work struct {
	rng      *rand.Rand
	conn     *client.RawConn
	session  int64
	password []byte
	xid      int32
	made     int // znodes, for names

	znodes  map[string][]effect // in the order of the requests
	unnamed []*request          // sequential znodes whose name was never heard

	acked, refusedCount int
	interrupted         int      // connections that the server ended
	wrong               []string // answers that cannot be right
}

func newWork(seed uint64) *work {
	return &work{rng: rand.New(rand.NewPCG(seed, 0x776f726b)), znodes: map[string][]effect{}}
}

// clone is work that can go on by itself. Requests that were sent are shared.
func (w *work) clone() *work {
	c := *w
	c.rng = rand.New(rand.NewPCG(uint64(w.made), 0x636c6f6e))
	c.znodes = make(map[string][]effect, len(w.znodes))
	for p, list := range w.znodes {
		c.znodes[p] = slices.Clip(list)
	}
	c.unnamed, c.wrong, c.conn = slices.Clone(w.unnamed), slices.Clone(w.wrong), nil
	return &c
}

// dial connects, goes on with the session if there is one, and makes one if not. It gives up at once if the server refuses.
func dial(addr string, session int64, password []byte) (*client.RawConn, *jute.ConnectResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := client.Dial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	req := jute.ConnectRequest{Timeout: 40_000, SessionID: session, Password: password, HasReadOnly: true}
	if req.Password == nil {
		req.Password = make([]byte, jute.PasswordLength)
	}
	resp, err := conn.Handshake(&req)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	if resp.SessionID == 0 || session != 0 && resp.SessionID != session {
		conn.Close()
		return nil, nil, fmt.Errorf("session %#x: %w", session, jute.ErrSessionExpired)
	}
	return conn, &resp, nil
}

func (w *work) connect(addr string) error {
	conn, resp, err := dial(addr, w.session, w.password)
	if errors.Is(err, jute.ErrSessionExpired) && w.session != 0 {
		w.wrong = append(w.wrong, fmt.Sprintf("session %#x is unknown to the server that granted it", w.session))
	}
	if err != nil {
		return err
	}
	w.conn, w.session, w.password = conn, resp.SessionID, append([]byte(nil), resp.Password[:]...)
	return nil
}

func (w *work) disconnect() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// run sends n requests, in groups of which each waits for its answers. It ends early when the server does no more writes, whether it
// refuses them or does not answer; the error says which.
func (w *work) run(addr string, n int) error {
	if w.conn == nil {
		if err := w.connect(addr); err != nil {
			return err
		}
	}
	since := time.Now() // the last answer that was no refusal
	for sent := 0; sent < n; {
		group := 1
		if w.rng.IntN(3) == 0 && sent > len(dirs) {
			group = 1 + w.rng.IntN(4)
		}
		var reqs []*request
		for range group {
			reqs = append(reqs, w.next())
		}
		sent += group
		before := w.acked
		err := w.exchange(w.conn, reqs)
		if err != nil {
			w.disconnect()
			w.interrupted++
			// A server that lives takes the session back.
			if err := w.connect(addr); err != nil {
				return err
			}
		}
		if w.acked > before {
			since = time.Now()
		} else if time.Since(since) > stubborn {
			return errors.New("writes are refused")
		} else {
			time.Sleep(20 * time.Millisecond) // until the next try
		}
	}
	return nil
}

// errStopped are the codes with which a server may refuse a write for its own reasons.
var errStopped = []jute.Code{jute.ErrSystemError, jute.ErrNotReadOnly, jute.ErrConnectionLoss, jute.ErrOperationTimeout, jute.ErrRequestTimeout, jute.ErrThrottledOp}

// exchange sends requests together and takes their answers.
func (w *work) exchange(conn *client.RawConn, reqs []*request) error {
	conn.SetDeadline(time.Now().Add(patience))
	first := w.xid + 1
	for _, r := range reqs {
		w.xid++
		if err := conn.Request(w.xid, r.op, r.body); err != nil {
			return err
		}
	}
	for i, r := range reqs {
		h, body, err := conn.Reply()
		if err != nil {
			return err
		}
		if h.Xid != first+int32(i) {
			w.wrong = append(w.wrong, fmt.Sprintf("answer with xid %d in place of %d", h.Xid, first+int32(i)))
			return errors.New("answers out of order")
		}
		code := jute.Code(h.Err)
		switch {
		case code == jute.OK:
			r.answer, r.zxid = accepted, h.Zxid
			w.acked++
			if r.seq != "" {
				d := jute.NewDecoder(body)
				w.znodes[d.String()] = []effect{{request: r, exists: true, made: true, data: []byte(r.seq)}}
				w.unnamed = slices.DeleteFunc(w.unnamed, func(u *request) bool { return u == r })
			}
		case slices.Contains(errStopped, code):
			r.answer = refused
			w.refusedCount++
		default:
			// The requests are such that they succeed.
			r.answer = refused
			w.refusedCount++
			if !w.follows(r) {
				w.wrong = append(w.wrong, fmt.Sprintf("%v %.60q is answered with %s", r.op, r.body.Append(nil), code.Text()))
			}
		}
	}
	return nil
}

// follows says whether the outcome of a request depends on another that was not acknowledged.
func (w *work) follows(r *request) bool {
	for _, p := range dirs {
		if list := w.znodes[p]; len(list) > 0 && list[0].answer != accepted {
			return true
		}
	}
	for _, list := range w.znodes {
		for i, e := range list {
			if e.request != r {
				continue
			}
			for _, before := range list[:i] {
				if before.answer != accepted {
					return true
				}
			}
		}
	}
	return false
}

// next makes the next request of the script.
func (w *work) next() *request {
	for _, dir := range dirs {
		list := w.znodes[dir]
		if slices.ContainsFunc(list, func(e effect) bool { return e.answer == accepted }) {
			continue
		}
		if len(list)%2 == 1 {
			return w.set(dir) // it may be there although nobody has said so
		}
		return w.create(dir, jute.ModePersistent)
	}
	settled := w.settled()
	pick := func() string { return settled[w.rng.IntN(len(settled))] }
	kind := w.rng.IntN(100)
	switch {
	case kind < 40 || len(settled) == 0:
		w.made++
		return w.create(fmt.Sprintf("/d/%d/n%d", w.rng.IntN(2), w.made), jute.ModePersistent)
	case kind < 60:
		return w.set(pick())
	case kind < 66:
		p := pick()
		r := &request{op: jute.OpDelete, body: &jute.DeleteRequest{Path: []byte(p), Version: -1}}
		w.znodes[p] = append(w.znodes[p], effect{request: r})
		return r
	case kind < 72:
		p := pick()
		e := w.last(p)
		e.request = &request{op: jute.OpSetACL}
		e.made = false
		e.acl = w.rng.IntN(len(acls))
		e.body = &jute.SetACLRequest{Path: []byte(p), ACL: acls[e.acl], Version: -1}
		w.znodes[p] = append(w.znodes[p], e)
		return e.request
	case kind < 82:
		w.made++
		return w.create(fmt.Sprintf("/e/n%d", w.made), jute.ModeEphemeral)
	case kind < 90:
		w.made++
		r := &request{op: jute.OpCreate, seq: fmt.Sprintf("seq %d", w.made)}
		r.body = &jute.CreateRequest{Path: []byte("/s/n-"), Data: []byte(r.seq), ACL: acls[0], Flags: int32(jute.ModePersistentSequential)}
		w.unnamed = append(w.unnamed, r)
		return r
	}
	// A multi: two new znodes and a change.
	r := &request{op: jute.OpMulti}
	m := client.MultiRequest{}
	for range 2 {
		w.made++
		p := fmt.Sprintf("/d/%d/m%d", w.rng.IntN(2), w.made)
		data := w.data()
		m = append(m, jute.Operation{Op: jute.OpCreate, Path: []byte(p), Data: data, ACL: acls[0]})
		w.znodes[p] = append(w.znodes[p], effect{request: r, exists: true, made: true, data: data})
	}
	p := pick()
	e := w.last(p)
	e.request, e.made, e.data = r, false, w.data()
	m = append(m, jute.Operation{Op: jute.OpSetData, Path: []byte(p), Data: e.data, Version: -1})
	w.znodes[p] = append(w.znodes[p], e)
	r.body = m
	return r
}

// settled are the znodes below /d that are there for certain.
func (w *work) settled() (paths []string) {
	for p, list := range w.znodes {
		last := list[len(list)-1]
		if strings.Count(p, "/") == 3 && last.exists && last.answer == accepted {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

func (w *work) last(p string) effect { return w.znodes[p][len(w.znodes[p])-1] }

func (w *work) create(p string, mode jute.CreateMode) *request {
	e := effect{request: &request{op: jute.OpCreate}, exists: true, made: true, data: w.data(), acl: w.rng.IntN(len(acls))}
	if mode.Ephemeral() {
		e.owner = w.session
	}
	if list := w.znodes[p]; len(list) > 0 {
		e.acl = list[0].acl // whichever attempt it is that makes the znode
	}
	e.body = &jute.CreateRequest{Path: []byte(p), Data: e.data, ACL: acls[e.acl], Flags: int32(mode)}
	w.znodes[p] = append(w.znodes[p], e)
	return e.request
}

func (w *work) set(p string) *request {
	e := w.last(p)
	e.request, e.made, e.data = &request{op: jute.OpSetData}, false, w.data()
	e.body = &jute.SetDataRequest{Path: []byte(p), Data: e.data, Version: -1}
	w.znodes[p] = append(w.znodes[p], e)
	return e.request
}

func (w *work) data() []byte {
	w.made++
	size := w.rng.IntN(300)
	if w.rng.IntN(12) == 0 {
		size = 3000 + w.rng.IntN(9000)
	}
	return fmt.Appendf(nil, "%d %*d", w.made, size, 0)
}

// visit has a session of its own make an ephemeral and end, which takes the ephemeral away.
func (w *work) visit(addr string) error {
	conn, resp, err := dial(addr, 0, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	w.made++
	p := fmt.Sprintf("/e/v%d", w.made)
	made := &request{op: jute.OpCreate, body: &jute.CreateRequest{Path: []byte(p), Data: []byte("short"), ACL: acls[0], Flags: int32(jute.ModeEphemeral)}}
	w.znodes[p] = append(w.znodes[p], effect{request: made, exists: true, made: true, data: []byte("short"), owner: resp.SessionID})
	if err := w.exchange(conn, []*request{made}); err != nil || made.answer != accepted {
		return err
	}
	end := &request{op: jute.OpCloseSession}
	w.znodes[p] = append(w.znodes[p], effect{request: end})
	return w.exchange(conn, []*request{end})
}

// seen is a znode as a server shows it.
type seen struct {
	data []byte
	stat jute.Stat
	acl  []jute.ACL
}

// observe reads all znodes of the script.
func observe(conn *client.RawConn) (map[string]seen, error) {
	conn.SetDeadline(time.Now().Add(patience))
	found := map[string]seen{}
	level := []string{"/"}
	for len(level) > 0 {
		// Few at a time, so that neither side waits for the other to read.
		part := level[:min(64, len(level))]
		level = level[len(part):]
		for i, p := range part {
			for j, op := range []jute.Op{jute.OpGetData, jute.OpGetACL, jute.OpGetChildren} {
				body := client.Body(&jute.PathWatchRequest{Path: []byte(p)})
				if op == jute.OpGetACL {
					body = &jute.PathRequest{Path: []byte(p)}
				}
				if err := conn.Request(int32(3*i+j), op, body); err != nil {
					return nil, err
				}
			}
		}
		for _, p := range part {
			var s seen
			var names []string
			for j := range 3 {
				h, body, err := conn.Reply()
				if err == nil && h.Err != 0 {
					err = fmt.Errorf("%s: %w", p, jute.Code(h.Err))
				}
				if err != nil {
					return nil, err
				}
				d := jute.NewDecoder(body)
				switch j {
				case 0:
					var r jute.GetDataResponse
					r.Decode(&d)
					s.data, s.stat = slices.Clone(r.Data), r.Stat
				case 1:
					var r jute.GetACLResponse
					r.Decode(&d)
					s.acl = r.ACL
				case 2:
					names = d.Strings()
				}
				if d.Err() != nil {
					return nil, d.Err()
				}
			}
			found[p] = s
			for _, name := range names {
				if child := path.Join(p, name); child != "/zookeeper" {
					level = append(level, child)
				}
			}
		}
	}
	delete(found, "/")
	return found, nil
}

// losses says what is missing or wrong in what a server shows.
func (w *work) losses(found map[string]seen) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	done := map[*request]int{} // znodes that show a multi's creation
	for p, effects := range w.znodes {
		s, exists := found[p]
		last := -1
		for i, e := range effects {
			if e.answer == accepted {
				last = i
			}
		}
		// What was acknowledged last, or anything sent after it without an answer.
		candidates := effects[max(last, 0):]
		if last < 0 {
			candidates = append([]effect{{}}, effects...)
		}
		ok := slices.ContainsFunc(candidates, func(e effect) bool { return e.shows(s, exists) })
		if !ok && !exists && last >= 0 {
			say("%s is missing; %v with zxid %#x was acknowledged", p, effects[last].op, effects[last].zxid)
		} else if !ok {
			want := candidates[0]
			say("%s is wrong: there: %v, %.30q of %#x; expected: %v, %.30q", p, exists, s.data, s.stat.Mzxid, want.exists, want.data)
		}
		if exists && effects[0].op == jute.OpMulti {
			done[effects[0].request]++
		} else if effects[0].op == jute.OpMulti && len(effects) > 1 {
			done[effects[0].request] = -9 // one of the two was deleted again
		}
	}
	for r, n := range done {
		if n == 1 {
			say("half of a multi is there: %.60q", r.body.Append(nil))
		}
	}
	for p, s := range found {
		if _, ok := w.znodes[p]; ok {
			continue
		}
		if path.Dir(p) == "/s" && slices.ContainsFunc(w.unnamed, func(r *request) bool { return r.seq == string(s.data) }) {
			continue
		}
		say("%s is there, and nobody made it: %.30q", p, s.data)
	}
	slices.Sort(list)
	return list
}

// shows says whether a znode is as this effect has left it.
func (e effect) shows(s seen, exists bool) bool {
	if e.request == nil {
		return !exists // the beginning
	}
	if !e.exists || !exists {
		return e.exists == exists
	}
	if string(e.data) != string(s.data) || e.owner != s.stat.EphemeralOwner || len(s.acl) != len(acls[e.acl]) || int(s.stat.DataLength) != len(e.data) {
		return false
	}
	for i, a := range acls[e.acl] {
		if b := s.acl[i]; a.Perms != b.Perms || string(a.Scheme) != b.Scheme || string(a.ID) != b.ID {
			return false
		}
	}
	if e.answer == accepted && e.op != jute.OpSetACL && s.stat.Mzxid != e.zxid {
		return false
	}
	return e.answer != accepted || !e.made || s.stat.Czxid == e.zxid
}
