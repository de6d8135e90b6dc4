package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quoll/jute"
)

// requestRecords has a row for each opcode that has a request record: the record made of the
// fields of a step. The verb is the opcode's name.
var requestRecords = map[jute.Op]func(*fields) jute.Record{
	jute.OpCreate:          createRequest,
	jute.OpCreate2:         createRequest,
	jute.OpCreateContainer: createRequest,
	jute.OpCreateTTL: func(f *fields) jute.Record {
		return &jute.CreateTTLRequest{Path: f.text("path"), Data: f.data(), ACL: f.acl(), Flags: f.int("flags", 5), TTL: f.long("ttl", 0)}
	},
	jute.OpDelete:               versionRequest,
	jute.OpCheck:                versionRequest,
	jute.OpExists:               watchRequest,
	jute.OpGetData:              watchRequest,
	jute.OpGetChildren:          watchRequest,
	jute.OpGetChildren2:         watchRequest,
	jute.OpGetACL:               pathRequest,
	jute.OpSync:                 pathRequest,
	jute.OpGetEphemerals:        pathRequest,
	jute.OpGetAllChildrenNumber: pathRequest,
	jute.OpDeleteContainer:      pathRequest,
	jute.OpSetData: func(f *fields) jute.Record {
		return &jute.SetDataRequest{Path: f.text("path"), Data: f.data(), Version: f.int("version", -1)}
	},
	jute.OpSetACL: func(f *fields) jute.Record {
		return &jute.SetACLRequest{Path: f.text("path"), ACL: f.acl(), Version: f.int("version", -1)}
	},
	jute.OpReconfig: func(f *fields) jute.Record {
		return &jute.ReconfigRequest{JoiningServers: f.text("joining"), LeavingServers: f.text("leaving"), NewMembers: f.text("members"), CurConfigID: f.long("config", -1)}
	},
	jute.OpCheckWatches:  watchesRequest,
	jute.OpRemoveWatches: watchesRequest,
	jute.OpSetWatches: func(f *fields) jute.Record {
		return &jute.SetWatchesRequest{RelativeZxid: f.zxid("relativeZxid"), Data: f.list("data"), Exist: f.list("exist"), Child: f.list("child")}
	},
	jute.OpSetWatches2: func(f *fields) jute.Record {
		return &jute.SetWatches2Request{RelativeZxid: f.zxid("relativeZxid"), Data: f.list("data"), Exist: f.list("exist"), Child: f.list("child"),
			Persistent: f.list("persistent"), PersistentRecursive: f.list("recursive")}
	},
	jute.OpAddWatch: func(f *fields) jute.Record {
		return &jute.AddWatchRequest{Path: f.text("path"), Mode: f.int("mode", 0)}
	},
	jute.OpAuth: func(f *fields) jute.Record {
		return &jute.AuthPacket{Type: f.int("type", 0), Scheme: f.text("scheme"), Auth: f.bytes("auth", "null")}
	},
	jute.OpSASL:          func(f *fields) jute.Record { return &jute.SASLRequest{Token: f.bytes("token", `""`)} },
	jute.OpCreateSession: func(f *fields) jute.Record { return &jute.CreateSessionRequest{Timeout: f.int("timeout", 30000)} },
	jute.OpPing:          nil,
	jute.OpWhoAmI:        nil,
	jute.OpCloseSession:  nil,
}

func createRequest(f *fields) jute.Record {
	return &jute.CreateRequest{Path: f.text("path"), Data: f.data(), ACL: f.acl(), Flags: f.int("flags", 0)}
}

func versionRequest(f *fields) jute.Record {
	return &jute.DeleteRequest{Path: f.text("path"), Version: f.int("version", -1)}
}

func watchRequest(f *fields) jute.Record {
	return &jute.PathWatchRequest{Path: f.text("path"), Watch: f.int("watch", 0) != 0}
}

func pathRequest(f *fields) jute.Record { return &jute.PathRequest{Path: f.text("path")} }

func watchesRequest(f *fields) jute.Record {
	return &jute.WatchesRequest{Path: f.text("path"), Type: f.int("type", 3)}
}

// verbs is the opcode of each name.
var verbs = func() map[string]jute.Op {
	m := map[string]jute.Op{"multi": jute.OpMulti, "multiRead": jute.OpMultiRead, "request": 0}
	for op := range requestRecords {
		m[op.String()] = op
	}
	return m
}()

// appendRequest appends the header and record of a request, without the frame's length, and
// returns its xid and opcode. next is the xid that it has if the step names none.
func (r *Player) appendRequest(b []byte, c Call, next int32) ([]byte, int32, jute.Op, error) {
	op, ok := verbs[c.Verb]
	if !ok {
		return b, 0, 0, fmt.Errorf("unknown verb %q", c.Verb)
	}
	f := &fields{r: r, call: c}
	h := jute.RequestHeader{Xid: f.int("xid", next), Type: f.int("op", int32(op))}
	start := len(b)
	b = h.Append(b)
	switch op {
	case jute.OpMulti, jute.OpMultiRead:
		for _, part := range c.Parts {
			b = r.appendPart(b, part, f)
		}
		if f.int("end", 1) != 0 {
			b = jute.MultiEnd.Append(b)
		}
	default:
		if c.Verb == "request" {
			b = append(b, f.bytes("body", `""`)...)
		} else if record := requestRecords[op]; record != nil {
			b = record(f).Append(b)
		}
	}
	b = f.mangle(b, start)
	return b, h.Xid, jute.Op(h.Type), f.done()
}

// appendPart appends one operation of a multi; errors end in outer.
func (r *Player) appendPart(b []byte, c Call, outer *fields) []byte {
	f := &fields{r: r, call: c}
	op, known := verbs[c.Verb]
	switch {
	case c.Verb == "header":
		op = jute.Op(f.int("type", -1))
	case !known:
		outer.fail(fmt.Errorf("unknown operation %q", c.Verb))
	}
	h := jute.MultiHeader{Type: f.int("op", int32(op)), Done: f.int("done", 0) != 0, Err: f.int("err", -1)}
	start := len(b)
	b = h.Append(b)
	switch record := requestRecords[op]; {
	case c.Verb == "header" || c.Verb == "request":
		b = append(b, f.bytes("body", `""`)...)
	case record != nil:
		b = record(f).Append(b)
	}
	b = f.mangle(b, start)
	outer.fail(f.done())
	return b
}

// appendConnect appends a ConnectRequest.
func (r *Player) appendConnect(b []byte, c Call) ([]byte, error) {
	f := &fields{r: r, call: c}
	f.word("from", "")
	f.word("via", "")
	readOnly := f.word("readOnly", "0")
	q := jute.ConnectRequest{
		ProtocolVersion: f.int("protocol", 0), LastZxidSeen: f.zxid("lastZxid"), Timeout: f.int("timeout", 30000),
		SessionID: f.session(), Password: f.password(), ReadOnly: readOnly == "1", HasReadOnly: readOnly != "absent",
	}
	start := len(b)
	b = q.Append(b)
	b = f.mangle(b, start)
	return b, f.done()
}

// fields gives the values of a step by name. It keeps its first error, and at the end a field
// that nobody asked for is one.
type fields struct {
	r    *Player
	call Call
	used []string
	err  error
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// done is the first error.
func (f *fields) done() error {
	for _, v := range f.call.Fields {
		if !slices.Contains(f.used, v.Name) {
			f.fail(fmt.Errorf("%s has no field %s", f.call.Verb, v.Name))
		}
	}
	if f.err != nil {
		return fmt.Errorf("%s: %w", f.call.Verb, f.err)
	}
	return nil
}

// word is a field as written.
func (f *fields) word(name, otherwise string) string {
	f.used = append(f.used, name)
	for _, v := range f.call.Fields {
		if v.Name == name {
			return v.Value
		}
	}
	return otherwise
}

// required is a field as written that has no default.
func (f *fields) required(name string) string {
	w := f.word(name, "\x00")
	if w == "\x00" {
		f.fail(fmt.Errorf("field %s is missing", name))
	}
	return w
}

func (f *fields) int(name string, otherwise int32) int32 {
	w := f.word(name, strconv.Itoa(int(otherwise)))
	v, err := strconv.ParseInt(w, 0, 32)
	if err != nil {
		f.fail(err)
	}
	return int32(v)
}

func (f *fields) long(name string, otherwise int64) int64 {
	v, err := strconv.ParseInt(f.word(name, strconv.FormatInt(otherwise, 10)), 0, 64)
	if err != nil {
		f.fail(err)
	}
	return v
}

// zxid is 0 if not given, and with a + relative to the start of the script.
func (f *fields) zxid(name string) int64 {
	w := f.word(name, "0")
	if !strings.HasPrefix(w, "+") {
		return f.long(name, 0)
	}
	v, err := strconv.ParseInt(w[1:], 10, 64)
	if err != nil {
		f.fail(err)
	}
	return f.r.norm.absolute(v)
}

func (f *fields) bytes(name, otherwise string) []byte {
	v, err := value(f.word(name, otherwise), true)
	if err != nil {
		f.fail(err)
	}
	return v
}

// text is a string, which has no default.
func (f *fields) text(name string) []byte {
	v, err := value(f.required(name), false)
	if err != nil {
		f.fail(err)
	}
	return v
}

// data is the data of a znode, empty if not given.
func (f *fields) data() []byte { return f.bytes("data", `""`) }

// list is a list of strings, empty if not given.
func (f *fields) list(name string) [][]byte {
	items, err := words(f.word(name, "[]"))
	if err != nil {
		f.fail(err)
	}
	if items == nil {
		return nil
	}
	v := [][]byte{}
	for _, item := range items {
		text, err := value(item, false)
		if err != nil {
			f.fail(err)
		}
		v = append(v, text)
	}
	return v
}

// acl is a list of scheme:id:perms, everything to everybody if not given. Scheme and id may be
// null.
func (f *fields) acl() []jute.ACLText {
	items, err := words(f.word("acl", "world:anyone:31"))
	if err != nil {
		f.fail(err)
	}
	if items == nil {
		return nil
	}
	null := func(s string) []byte {
		if s == "null" {
			return nil
		}
		return []byte(s)
	}
	acl := []jute.ACLText{}
	for _, item := range items {
		text, err := value(item, false)
		if err != nil {
			f.fail(err)
		}
		entry := string(text)
		first, last := strings.IndexByte(entry, ':'), strings.LastIndexByte(entry, ':')
		if first == last {
			f.fail(fmt.Errorf("acl %q is not scheme:id:perms", entry))
			return nil
		}
		perms, err := strconv.ParseInt(entry[last+1:], 0, 32)
		if err != nil {
			f.fail(err)
		}
		acl = append(acl, jute.ACLText{Perms: int32(perms), Scheme: null(entry[:first]), ID: null(entry[first+1 : last])})
	}
	return acl
}

// session is 0 if not given.
func (f *fields) session() int64 {
	w := f.word("session", "0")
	if !strings.HasPrefix(w, "@") {
		return f.long("session", 0)
	}
	id, ok := f.r.norm.first[w[1:]]
	if !ok {
		f.fail(fmt.Errorf("connection %s has no session", w[1:]))
	}
	return id
}

// password is 16 zero bytes if not given.
func (f *fields) password() []byte {
	w := f.word("passwd", `"\x00"*16`)
	if !strings.HasPrefix(w, "@") {
		return f.bytes("passwd", w)
	}
	id, ok := f.r.norm.first[w[1:]]
	if !ok {
		f.fail(fmt.Errorf("connection %s has no session", w[1:]))
	}
	p := password(id)
	return p[:]
}

// mangle applies what every request takes, cut and tail, to the bytes of b from start on.
func (f *fields) mangle(b []byte, start int) []byte {
	f.word("replies", "")
	f.word("sort", "")
	cut := int(f.int("cut", 0))
	if cut > len(b)-start {
		f.fail(fmt.Errorf("cut=%d of %d bytes", cut, len(b)-start))
		return b
	}
	return append(b[:len(b)-cut], f.bytes("tail", `""`)...)
}
