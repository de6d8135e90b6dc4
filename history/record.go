package history

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"quoll/jute"
)

// Never is the return of an operation that nobody answered.
const Never = math.MaxInt64

// Anytime is the timeout of a session that may end at any time.
const Anytime = -1

// Connection is what one client has seen on one connection, from the handshake to the end. Instants are in any unit that does not go
// back, the same one for all connections.
type Connection struct {
	Client  int   // who recorded it
	Session int64 // 0 if the server answered the handshake with a refusal, or not at all
	New     bool  // the handshake made the session; otherwise it renewed one
	Refused int64 // the session whose renewal the server refused, if it did
	Timeout int64 // after which a session that is not heard of may end, in the unit of the instants; 0 for never, Anytime if no clock is to be trusted

	Call, Return int64 // of the handshake

	// Ops are the requests in the order in which they were sent, the first of them with the number First. The first Replies of them have been answered; the others never will be.
	First   int
	Ops     []Op
	Replies int

	// Events are in the order in which they arrived.
	Events []Event
}

// Op is one request, and its reply unless it was the last thing that the connection saw.
type Op struct {
	Part
	Parts        []Part // of a multi
	Zxid         int64  // of the reply's header
	Call, Return int64  // before the request was sent, and after the reply was read
}

// Part is one operation, a request of its own or one of a multi: first what was asked, then what was answered. Paths are valid ones.
type Part struct {
	Op      jute.Op
	Mode    int32  // the create mode, the mode of addWatch or the type of removeWatches
	Path    string // of a request that creates without the sequence number
	Data    Data
	Version int32 // expected, -1 for any
	Watch   bool

	Err      jute.Code // in a failed multi OK before the operation to blame and ErrRuntimeInconsistency after it
	Made     string    // the path that was created
	Stat     jute.Stat // for the operations that return one
	Children Children
}

// Data tells znodes' data apart without keeping them.
type Data struct {
	Tag    uint64
	Length int32
}

// DataOf is the Data of bytes as they are on the wire, where null and empty differ.
func DataOf(b []byte) Data {
	if b == nil {
		return Data{}
	}
	return Data{Tag: hashText(b), Length: int32(len(b))}
}

// Children stands for a set of names, whatever their order.
type Children struct {
	Sum   uint64
	Count int32
}

// Add adds a name.
func (c *Children) Add(name []byte) {
	c.Sum += hashText(name)
	c.Count++
}

// hashText is FNV-1a, spread over all bits so that sums of it do not collide.
func hashText[T string | []byte](s T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Event is a watch event. Those that setWatches finds have no zxid and are not recorded.
type Event struct {
	After int // replies that the connection had before it
	Type  jute.EventType
	Path  string
	Zxid  int64
}

// Writes reports whether the operation goes through the log and has a zxid of its own.
func (p *Part) Writes() bool {
	switch p.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpMulti, jute.OpCloseSession:
		return true
	}
	return false
}

// failed reports whether a write has changed nothing. The header of a multi that failed says OK.
func (o *Op) failed() bool {
	return o.Err != jute.OK || slices.ContainsFunc(o.Parts, func(p Part) bool { return p.Err != jute.OK })
}

// shows reports whether an answered operation shows the Stat of a znode, and of which.
func (p *Part) shows() (path string, ok bool) {
	if p.Err != jute.OK {
		return "", false
	}
	switch p.Op {
	case jute.OpCreate2:
		return p.Made, true
	case jute.OpSetData, jute.OpSetACL, jute.OpExists, jute.OpGetData, jute.OpGetChildren2:
		return p.Path, true
	}
	return "", false
}

// parts are the operations of a request: those of a multi, or itself.
func (o *Op) parts() []Part {
	if o.Op == jute.OpMulti {
		return o.Parts
	}
	return []Part{o.Part}
}

// parentOf is the path of the znode above; that of / is empty.
func parentOf(path string) string {
	switch i := strings.LastIndexByte(path, '/'); {
	case path == "/":
		return ""
	case i <= 0:
		return "/"
	default:
		return path[:i]
	}
}

func nameOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func (p *Part) describe(b *strings.Builder, answered bool) {
	fmt.Fprintf(b, "%v", p.Op)
	if p.Path != "" {
		fmt.Fprintf(b, " %s", p.Path)
	}
	switch p.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpAddWatch, jute.OpRemoveWatches, jute.OpCheckWatches:
		fmt.Fprintf(b, " mode %d", p.Mode)
	case jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpCheck:
		fmt.Fprintf(b, " version %d", p.Version)
	}
	if p.Op == jute.OpCreate || p.Op == jute.OpCreate2 || p.Op == jute.OpSetData {
		fmt.Fprintf(b, " data %x", p.Data.Tag)
	}
	if p.Watch {
		b.WriteString(" watch")
	}
	if !answered {
		return
	}
	if p.Err != jute.OK {
		fmt.Fprintf(b, " = %s", p.Err.Text())
		return
	}
	b.WriteString(" =")
	if p.Made != "" {
		fmt.Fprintf(b, " %s", p.Made)
	}
	if p.Op == jute.OpGetData {
		fmt.Fprintf(b, " data %x", p.Data.Tag)
	}
	if p.Op == jute.OpGetChildren || p.Op == jute.OpGetChildren2 {
		fmt.Fprintf(b, " %d children %x", p.Children.Count, p.Children.Sum)
	}
	if _, ok := p.shows(); ok {
		s := p.Stat
		fmt.Fprintf(b, " {czxid %#x mzxid %#x pzxid %#x version %d cversion %d aversion %d owner %#x length %d children %d}",
			s.Czxid, s.Mzxid, s.Pzxid, s.Version, s.Cversion, s.Aversion, s.EphemeralOwner, s.DataLength, s.NumChildren)
	}
}

// describe writes one line about an operation of c.
func (c *Connection) describe(i int) string {
	o := &c.Ops[i]
	answered := i < c.Replies
	var b strings.Builder
	if answered {
		fmt.Fprintf(&b, "zxid %#x [%d, %d]", o.Zxid, o.Call, o.Return)
	} else {
		fmt.Fprintf(&b, "unanswered [%d, ...", o.Call)
	}
	fmt.Fprintf(&b, " client %d session %#x request %d: ", c.Client, c.Session, i)
	if o.Op != jute.OpMulti {
		o.describe(&b, answered)
		return b.String()
	}
	b.WriteString("multi")
	for j := range o.Parts {
		b.WriteString("; ")
		o.Parts[j].describe(&b, answered)
	}
	return b.String()
}

func (e Event) String() string {
	return fmt.Sprintf("event type %d %s zxid %#x after %d replies", e.Type, e.Path, e.Zxid, e.After)
}
