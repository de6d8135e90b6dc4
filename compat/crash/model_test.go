package crash

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quoll/client"
	"quoll/compat/observe"
	"quoll/jute"
)

// A sequential znode in a directory that all writers share has a name that its writer cannot predict. The model has it under its data,
// in this directory.
const (
	sharedDir = "/seq"
	sharedTag = sharedDir + "/#"
)

// acls are the lists that znodes are given. The last ones let nobody in but the super user, who all clients here are.
var acls = [][]jute.ACL{
	client.OpenACL,
	{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}, {Perms: jute.PermRead, Scheme: "ip", ID: "127.0.0.0/8"}},
	{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}, {Perms: jute.PermAdmin, Scheme: "digest", ID: "ann:c2VjcmV0"}},
	{{Perms: jute.PermRead | jute.PermWrite, Scheme: "digest", ID: "ann:c2VjcmV0"}},
	{{Perms: 0, Scheme: "world", ID: "anyone"}},
}

// ttl is that of all TTL znodes of the writers: none expires while a test runs.
const ttl = 24 * 60 * 60 * 1000

func aclText(list []jute.ACL) (text []jute.ACLText) {
	for _, a := range list {
		text = append(text, jute.ACLText{Perms: a.Perms, Scheme: []byte(a.Scheme), ID: []byte(a.ID)})
	}
	return text
}

// node is what the model says of a znode.
type node struct {
	data                       []byte
	acl                        int // index in acls
	version, aversion          int32
	made, children             int32 // children ever, and now
	session                    int64 // of an ephemeral
	container                  bool
	created, changed, affected *op // whose zxids are czxid, mzxid and pzxid; nil in a znode of another time, see settled
	settled                    struct{ czxid, mzxid, pzxid int64 }
}

// part is one operation of a request.
type part struct {
	jute.Operation
	acl int
	tag string // of a sequential znode in sharedDir that is made or deleted
}

// op is one request.
type op struct {
	session int64
	close   bool // closeSession; there are no parts then
	multi   bool
	parts   []part

	err   jute.Code // as predicted
	paths []string  // of what the parts make, as predicted

	zxid int64 // of the acknowledgement, 0 before it
}

func (o *op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "zxid %#x:", o.zxid)
	if o.close {
		b.WriteString(" closeSession")
	}
	for _, p := range o.parts {
		fmt.Fprintf(&b, " %v %s mode %d version %d %.30q", p.Op, p.Path, p.Flags, p.Version, p.Data)
	}
	if o.err != jute.OK {
		fmt.Fprintf(&b, " (%s)", o.err.Text())
	}
	return b.String()
}

// kind is what a count of requests has it under.
func (o *op) kind() string {
	switch {
	case o.close:
		return "closeSession"
	case o.err != jute.OK:
		return "failed"
	case o.multi:
		return "multi"
	case creates(o.parts[0].Op):
		return fmt.Sprintf("%v mode %d", o.parts[0].Op, o.parts[0].Flags)
	}
	return o.parts[0].Op.String()
}

func (o *op) body() client.Body {
	if !o.multi {
		return &o.parts[0].Operation
	}
	m := client.MultiRequest{}
	for _, p := range o.parts {
		m = append(m, p.Operation)
	}
	return m
}

// model is what a writer expects below its directory, and of its znodes in sharedDir.
type model map[string]node

func parentOf(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// apply does what the request does, and says how it ends.
func (m model) apply(o *op) (err jute.Code, paths []string) {
	if o.close {
		for _, path := range slices.Collect(maps.Keys(m)) {
			if m[path].session == o.session {
				m.remove(path, o)
			}
		}
		return jute.OK, nil
	}
	var before model
	if len(o.parts) > 1 {
		before = maps.Clone(m)
	}
	for i := range o.parts {
		path, err := m.applyPart(&o.parts[i], o)
		if err != jute.OK {
			if before != nil {
				clear(m)
				maps.Copy(m, before)
			}
			return err, nil
		}
		paths = append(paths, path)
	}
	return jute.OK, paths
}

// applyPart checks in the order in which the server does.
func (m model) applyPart(p *part, o *op) (made string, err jute.Code) {
	path := string(p.Path)
	if p.tag != "" && p.Op == jute.OpDelete {
		path = sharedTag + p.tag
	}
	n, exists := m[path]
	if creates(p.Op) {
		return m.create(p, o, path)
	}
	switch {
	case !exists:
		return "", jute.ErrNoNode
	case p.Op == jute.OpSetACL && p.Version != -1 && p.Version != n.aversion, p.Op != jute.OpSetACL && p.Version != -1 && p.Version != n.version:
		return "", jute.ErrBadVersion
	}
	switch p.Op {
	case jute.OpDelete:
		if n.children > 0 {
			return "", jute.ErrNotEmpty
		}
		m.remove(path, o)
		return "", jute.OK
	case jute.OpSetData:
		n.data, n.changed = p.Data, o
		n.version++
	case jute.OpSetACL:
		n.acl = p.acl
		n.aversion++
	}
	m[path] = n
	return "", jute.OK
}

// creates reports whether an operation makes a znode.
func creates(op jute.Op) bool {
	return op == jute.OpCreate || op == jute.OpCreate2 || op == jute.OpCreateContainer || op == jute.OpCreateTTL
}

func (m model) create(p *part, o *op, path string) (string, jute.Code) {
	made := node{data: p.Data, acl: p.acl, created: o, changed: o, affected: o, container: p.Op == jute.OpCreateContainer}
	if p.Flags.Ephemeral() {
		made.session = o.session
	}
	if p.tag != "" {
		m[sharedTag+p.tag] = made
		return "", jute.OK
	}
	parent, ok := m[parentOf(path)]
	if !ok {
		return "", jute.ErrNoNode
	}
	if p.Flags.Sequential() {
		path = fmt.Sprintf("%s%010d", path, parent.made)
	}
	if _, exists := m[path]; exists {
		return "", jute.ErrNodeExists
	}
	if parent.session != 0 {
		return "", jute.ErrNoChildrenForEphemerals
	}
	parent.made++
	parent.children++
	parent.affected = o
	m[parentOf(path)] = parent
	m[path] = made
	return path, jute.OK
}

func (m model) remove(path string, o *op) {
	delete(m, path)
	if strings.HasPrefix(path, sharedTag) {
		return
	}
	if parent, ok := m[parentOf(path)]; ok {
		parent.children--
		parent.affected = o
		m[parentOf(path)] = parent
	}
}

// differences compares the model with what a server shows. A request without a zxid, because nobody acknowledged it, takes the one that it
// is first seen with: the same everywhere, and above all that come before it in its session.
func (m model) differences(found map[string]observe.Znode, ops []*op) (list []string, zxids map[*op]int64) {
	zxids = map[*op]int64{}
	differ := func(path, format string, args ...any) {
		list = append(list, path+": "+fmt.Sprintf(format, args...))
	}
	compare := func(path, what string, o *op, settled, got int64) {
		want := settled
		if o != nil {
			if want = o.zxid; want == 0 {
				want = zxids[o]
			}
			if want == 0 {
				zxids[o] = got
				return
			}
		}
		if got != want {
			differ(path, "%s is %#x, not %#x", what, got, want)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(m)) {
		n := m[path]
		f, ok := found[path]
		if !ok {
			differ(path, "missing, was made by %v", n.created)
			continue
		}
		if !bytes.Equal(n.data, f.Data) || (n.data == nil) != (f.Data == nil) {
			differ(path, "data are %.40q, not %.40q", f.Data, n.data)
		}
		st := &f.Stat
		compare(path, "czxid", n.created, n.settled.czxid, st.Czxid)
		compare(path, "mzxid", n.changed, n.settled.mzxid, st.Mzxid)
		compare(path, "pzxid", n.affected, n.settled.pzxid, st.Pzxid)
		// Clients are shown creations and deletions.
		got := [...]int64{int64(st.Version), int64(st.Cversion), int64(st.Aversion), st.EphemeralOwner, int64(st.DataLength), int64(st.NumChildren)}
		want := [...]int64{int64(n.version), int64(2*n.made - n.children), int64(n.aversion), n.session, int64(len(n.data)), int64(n.children)}
		if got != want {
			differ(path, "version, cversion, aversion, owner, length and children are %d, not %d", got, want)
		}
		if !slices.Equal(f.ACL, acls[n.acl]) {
			differ(path, "the ACL is %v, not %v", f.ACL, acls[n.acl])
		}
	}
	for path, f := range found {
		if _, ok := m[path]; !ok {
			differ(path, "should not be there: %v", f)
		}
	}
	last := int64(0)
	for _, o := range ops {
		zxid := o.zxid
		if zxid == 0 {
			zxid = zxids[o]
		}
		if zxid == 0 {
			continue
		}
		if zxid <= last {
			differ("session", "%v took zxid %#x, not above %#x of the request before it", o, zxid, last)
		}
		last = zxid
	}
	return list, zxids
}

// settle makes what a server shows the beginning of the next cycle.
func (m model) settle(found map[string]observe.Znode) {
	for path, n := range m {
		st := found[path].Stat
		n.created, n.changed, n.affected = nil, nil, nil
		n.settled.czxid, n.settled.mzxid, n.settled.pzxid = st.Czxid, st.Mzxid, st.Pzxid
		m[path] = n
	}
}
