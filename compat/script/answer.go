package script

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/jute"
)

// opConnect stands for the ConnectRequest, which has no opcode.
const opConnect jute.Op = -1000

// layouts has a row for each opcode whose reply has a body: its fields in order. This is
// deliberately not made of the records of package jute, which a faulty server would share.
var layouts = map[jute.Op]func(*walk){
	opConnect:                   (*walk).connect,
	jute.OpNotification:         (*walk).event,
	jute.OpCreate:               func(w *walk) { w.text("path") },
	jute.OpCreate2:              func(w *walk) { w.text("path"); w.stat() },
	jute.OpCreateContainer:      func(w *walk) { w.text("path"); w.stat() },
	jute.OpCreateTTL:            func(w *walk) { w.text("path"); w.stat() },
	jute.OpExists:               (*walk).stat,
	jute.OpGetData:              func(w *walk) { w.buffer("data"); w.stat() },
	jute.OpSetData:              (*walk).stat,
	jute.OpGetACL:               func(w *walk) { w.acl(); w.stat() },
	jute.OpSetACL:               (*walk).stat,
	jute.OpGetChildren:          func(w *walk) { w.unordered("children", (*walk).anonymous) },
	jute.OpGetChildren2:         func(w *walk) { w.unordered("children", (*walk).anonymous); w.stat() },
	jute.OpSync:                 func(w *walk) { w.text("path") },
	jute.OpReconfig:             func(w *walk) { w.buffer("data"); w.stat() },
	jute.OpSASL:                 func(w *walk) { w.buffer("token") },
	jute.OpGetEphemerals:        func(w *walk) { w.unordered("ephemerals", (*walk).anonymous) },
	jute.OpGetAllChildrenNumber: func(w *walk) { w.int("total") },
	jute.OpAddWatch:             func(w *walk) { w.int("err") },
	jute.OpWhoAmI:               func(w *walk) { w.unordered("identities", (*walk).identity) },
}

// The results of a multi are laid out by the same table.
func init() {
	layouts[jute.OpMulti] = (*walk).results
	layouts[jute.OpMultiRead] = (*walk).results
}

// normaliser knows what the values of this run mean that are different in every run.
type normaliser struct {
	segments []segment
	sessions map[int64]int    // number of appearance, from 1
	names    []string         // the connection that got the session first
	first    map[string]int64 // of each connection, the session that it got first
	times    map[int64]int64
}

// segment numbers the zxids above start from offset + 1.
type segment struct{ start, offset int64 }

func newNormaliser(base int64) *normaliser {
	return &normaliser{segments: []segment{{base, 0}}, sessions: map[int64]int{}, first: map[string]int64{}, times: map[int64]int64{}}
}

// rebase numbers the zxids from last on from 1000 times a new number.
func (n *normaliser) rebase(last int64) {
	n.segments = append(n.segments, segment{last - 1, int64(len(n.segments)) * 1000})
}

// relative is a zxid of the server as the recording has it.
func (n *normaliser) relative(zxid int64) (int64, string) {
	if zxid == 0 || zxid == -1 {
		return zxid, strconv.FormatInt(zxid, 10)
	}
	for _, s := range slices.Backward(n.segments) {
		if zxid > s.start {
			v := zxid - s.start + s.offset
			return v, fmt.Sprintf("+%d", v)
		}
	}
	return zxid, fmt.Sprintf("0x%x(older than the script)", zxid)
}

// absolute is the reverse of relative.
func (n *normaliser) absolute(v int64) int64 {
	for _, s := range slices.Backward(n.segments) {
		if v >= s.offset {
			return v - s.offset + s.start
		}
	}
	return v
}

// appeared gives a session its number; conn is the connection that it came on.
func (n *normaliser) appeared(id int64, conn string) {
	if id != 0 && n.sessions[id] == 0 {
		n.names = append(n.names, conn)
		n.sessions[id] = len(n.names)
		if n.first[conn] == 0 {
			n.first[conn] = id
		}
	}
}

func (n *normaliser) session(id int64) (int64, string) {
	if number := n.sessions[id]; number != 0 {
		return 0x5e<<56 + int64(number), "@" + n.names[number-1]
	}
	if id == 0 {
		return 0, "0"
	}
	return id, "0x" + strconv.FormatUint(uint64(id), 16)
}

// time is the zxid that the time belongs to, if that is the only time of that zxid and not far
// from now.
func (n *normaliser) time(ms, zxid int64) (int64, string) {
	v, text := n.relative(zxid)
	if zxid == 0 || zxid == -1 {
		return ms, strconv.FormatInt(ms, 10)
	}
	if _, seen := n.times[zxid]; !seen {
		n.times[zxid] = ms
	}
	switch {
	case n.times[zxid] != ms:
		return ms, fmt.Sprintf("%d(not the time %d of %s)", ms, n.times[zxid], text)
	case time.Since(time.UnixMilli(ms)).Abs() > time.Hour:
		return ms, fmt.Sprintf("%d(far from now)", ms)
	}
	return v, text
}

// password is what belongs to a session: the bytes of java.util.Random with a seed made of the
// session id. Every server of an ensemble computes the same.
func password(session int64) (p [jute.PasswordLength]byte) {
	const mask = 1<<48 - 1
	seed := (uint64(session) ^ 0xB3415C00 ^ 0x5DEECE66D) & mask
	for i := 0; i < len(p); i += 4 {
		seed = (seed*0x5DEECE66D + 0xB) & mask
		binary.LittleEndian.PutUint32(p[i:], uint32(seed>>16))
	}
	return p
}

// walk goes through the bytes of a frame field by field and writes each down as text and as
// normalised bytes in hexadecimal.
type walk struct {
	*normaliser
	conn  string
	in    []byte
	short bool
	lines []string // finished lines of text
	texts []string // of the line at hand
	hexes []string
}

// frame is a frame without its length as lines of a script.
func (n *normaliser) frame(conn string, p []byte, op jute.Op) []string {
	w := &walk{normaliser: n, conn: conn, in: p}
	w.put("", len4(len(p)))
	if op == opConnect {
		w.connect()
	} else {
		w.int("xid")
		w.zxid("zxid")
		err := w.code("err")
		// A multiRead that fails on the way has results all the same.
		if layout := layouts[op]; layout != nil && (err == 0 || op == jute.OpMultiRead && len(w.in) > 0) {
			layout(w)
		}
	}
	if len(w.in) > 0 {
		w.put("rest=0x"+hex.EncodeToString(w.in), w.in)
	}
	w.newline()
	return append(w.lines, "= "+strings.Join(w.hexes, " "))
}

func len4(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func (w *walk) put(text string, b []byte) {
	if text != "" {
		w.texts = append(w.texts, text)
	}
	if len(b) > 0 {
		w.hexes = append(w.hexes, abridged(b, hex.EncodeToString(b)))
	}
}

// abridged is text, unless the field is so long that a reader would not see the rest.
func abridged(b []byte, text string) string {
	if len(b) <= 256 {
		return text
	}
	return fmt.Sprintf("[%d bytes, sha256 %x]", len(b), sha256.Sum256(b))
}

func (w *walk) newline() {
	w.lines = append(w.lines, "< "+strings.Join(w.texts, " "))
	w.texts = nil
}

// take gives the next n bytes, or nil if they are not there; the rest is shown as it is.
func (w *walk) take(n int) []byte {
	if w.short || n < 0 || n > len(w.in) {
		w.short = true
		return nil
	}
	p := w.in[:n]
	w.in = w.in[n:]
	return p
}

func (w *walk) bool(name string) bool {
	p := w.take(1)
	if p == nil {
		return false
	}
	w.put(fmt.Sprintf("%s=%d", name, p[0]), p)
	return p[0] != 0
}

func (w *walk) int(name string) int32 {
	p := w.take(4)
	if p == nil {
		return 0
	}
	v := int32(binary.BigEndian.Uint32(p))
	w.put(fmt.Sprintf("%s=%d", name, v), p)
	return v
}

// code is an int that is an error code.
func (w *walk) code(name string) int32 {
	p := w.take(4)
	if p == nil {
		return -1
	}
	v := int32(binary.BigEndian.Uint32(p))
	text := fmt.Sprintf("%s=%d", name, v)
	if v != 0 {
		text += "(" + jute.Code(v).Text() + ")"
	}
	w.put(text, p)
	return v
}

// long is 8 bytes that are written as translate says.
func (w *walk) long(name string, translate func(int64) (int64, string)) int64 {
	p := w.take(8)
	if p == nil {
		return 0
	}
	v := int64(binary.BigEndian.Uint64(p))
	n, text := translate(v)
	w.put(name+"="+text, binary.BigEndian.AppendUint64(nil, uint64(n)))
	return v
}

func (w *walk) zxid(name string) int64 { return w.long(name, w.relative) }

func (w *walk) time(name string, zxid int64) {
	w.long(name, func(ms int64) (int64, string) { return w.normaliser.time(ms, zxid) })
}

// sized gives the bytes of a string or buffer; null is nil.
func (w *walk) sized() (p []byte, ok bool) {
	if w.short || len(w.in) < 4 {
		w.short = true
		return nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(w.in)))
	if n == -1 {
		w.in = w.in[4:]
		return nil, true
	}
	if n < 0 || n > len(w.in)-4 {
		w.short = true
		return nil, false
	}
	w.in = w.in[4:]
	return w.take(n), true
}

func (w *walk) text(name string)   { w.variable(name+"=", false) }
func (w *walk) buffer(name string) { w.variable(name+"=", true) }

func (w *walk) anonymous() { w.variable("", false) }

func (w *walk) variable(prefix string, binary bool) {
	p, ok := w.sized()
	if !ok {
		return
	}
	length := -1
	if p != nil {
		length = len(p)
	}
	w.put("", len4(length))
	w.put(prefix+show(p, binary), p)
}

// show writes bytes as value reads them.
func show(p []byte, binary bool) string {
	if p == nil {
		return "null"
	}
	s := string(p)
	plain := s != "" && s != "null" && !strings.HasPrefix(s, "0x") && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`",[]{}`, r)
	}) < 0
	switch {
	case plain:
	case binary && len(p) > 0 && bytes.ContainsFunc(p, func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }):
		s = "0x" + hex.EncodeToString(p)
	default:
		s = strconv.QuoteToASCII(s)
	}
	return abridged(p, s)
}

func (w *walk) stat() {
	c := w.zxid("czxid")
	m := w.zxid("mzxid")
	w.time("ctime", c)
	w.time("mtime", m)
	w.int("version")
	w.int("cversion")
	w.int("aversion")
	w.long("ephemeralOwner", w.session)
	w.int("dataLength")
	w.int("numChildren")
	w.zxid("pzxid")
}

func (w *walk) connect() {
	w.int("protocol")
	w.int("timeout")
	if len(w.in) >= 8 {
		w.appeared(int64(binary.BigEndian.Uint64(w.in)), w.conn)
	}
	id := w.long("session", w.session)
	if p, ok := w.sized(); ok {
		w.put("", len4(len(p)))
		if expected := password(id); id != 0 && bytes.Equal(p, expected[:]) {
			n, text := w.session(id)
			w.put("passwd="+text, binary.BigEndian.AppendUint64([]byte("P\x00\x00\x00\x00\x00\x00\x00"), uint64(n)))
		} else {
			w.put("passwd=0x"+hex.EncodeToString(p), p)
		}
	}
	if len(w.in) > 0 {
		w.bool("readOnly")
	}
}

func (w *walk) event() {
	w.int("type")
	w.int("state")
	w.text("path")
}

// walked is an item of a list.
type walked struct {
	text  string
	hexes []string
}

func byText(a, b walked) int { return strings.Compare(a.text, b.text) }

// vector walks a list, whose items order brings into an order that does not depend on a hash table.
func (w *walk) vector(name string, order func([]walked), item func(*walk)) {
	p := w.take(4)
	if p == nil {
		return
	}
	count := int32(binary.BigEndian.Uint32(p))
	w.put("", p)
	if count < 0 {
		w.put(fmt.Sprintf("%s=null(%d)", name, count), nil)
		return
	}
	var items []walked
	texts, hexes := w.texts, w.hexes
	for range count {
		w.texts, w.hexes = nil, nil
		item(w)
		if w.short {
			break
		}
		items = append(items, walked{strings.Join(w.texts, ":"), w.hexes})
	}
	w.texts, w.hexes = texts, hexes
	order(items)
	all := make([]string, len(items))
	for i, v := range items {
		all[i] = v.text
		w.hexes = append(w.hexes, v.hexes...)
	}
	w.put(fmt.Sprintf("%s=[%s]", name, strings.Join(all, ",")), nil)
}

func (w *walk) unordered(name string, item func(*walk)) {
	w.vector(name, func(items []walked) { slices.SortFunc(items, byText) }, item)
}

// sortACL sorts what may have come from one auth entry, in the order of a hash table: entries side by side for which digest gives the same permissions and ok.
func sortACL[E any, P comparable](acl []E, digest func(E) (perms P, ok bool), compare func(a, b E) int) {
	for i := 0; i < len(acl); {
		j := i + 1
		if perms, ok := digest(acl[i]); ok {
			for ; j < len(acl); j++ {
				if p, ok := digest(acl[j]); !ok || p != perms {
					break
				}
			}
		}
		slices.SortFunc(acl[i:j], compare)
		i = j
	}
}

func (w *walk) acl() {
	order := func(items []walked) {
		sortACL(items, func(i walked) (string, bool) {
			return i.text[strings.LastIndexByte(i.text, ':')+1:], strings.HasPrefix(i.text, "digest:")
		}, byText)
	}
	w.vector("acl", order, func(w *walk) {
		p := w.take(4)
		if p == nil {
			return
		}
		perms := strconv.Itoa(int(int32(binary.BigEndian.Uint32(p))))
		w.put("", p)
		w.anonymous()
		w.anonymous()
		w.texts = append(w.texts, perms)
	})
}

func (w *walk) identity() {
	w.anonymous()
	w.anonymous()
}

// results is the body of a multi's reply, a line of text for each.
func (w *walk) results() {
	for !w.short {
		w.newline()
		op := jute.Op(w.int("type"))
		done := w.bool("done")
		if done {
			w.int("err")
			return
		}
		w.code("err")
		switch {
		case op == jute.OpError:
			w.code("code")
		default:
			if layout := layouts[op]; layout != nil {
				layout(w)
			}
		}
	}
}
