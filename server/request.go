package server

import (
	"errors"
	"sync/atomic"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// Request is a client's request on its way through the pipeline, or one that the server makes itself (a session that expires, a
// container that is empty).
type Request struct {
	Session int64
	Cxid    int32
	Op      jute.Op
	Body    []byte    // the request record; the request owns it
	IDs     []jute.ID // identities of the connection when the request was read

	op       jute.Operation // Body decoded already; its Op is 0 if it was not
	multi    *multiBody     // the same for a multi; nil if it was not
	conn     *conn          // where the reply goes; nil for the server's own requests
	service  int64          // that the connection belongs to, see Server.service
	validate chan bool      // not a request but the question whether the leader knows the session, closed if nobody can tell; Body is the timeout
	received time.Time
	answer   []byte    // a whole reply that is ready and waits for its turn; nil for requests still to run
	failed   jute.Code // the reply is this error and nothing else, with the zxid of its turn
	hangUp   bool      // the connection closes after this reply
	write    bool      // goes through the pipeline
	large    int       // what it counts for as a large request
	internal bool      // made by the server itself
	crowded  bool      // its client, of a server that is Java, has more identities than are taken; they are not known

	stage     atomic.Int32 // how far it has come at a learner
	leftQueue atomic.Int64 // when it was prepared or handed to the leader of an ensemble, nanoseconds since Server.started; 0 if nobody wants to know

	staysLocal bool // it asks for an ephemeral znode, which its session may not have: it is local and has to remain so
}

// The stages of a request at a learner.
const (
	stageHere   int32 = iota // the leader has not got it
	stageAbroad              // it has, and a connection waits for the answer
	stageDone                // that has come, or the connection is gone
)

// size is what the request counts for in queues that have a limit. An identity may have no bytes, and takes two strings.
func (r *Request) size() int {
	return len(r.Body) + len(r.answer) + identityBytes(r.IDs) + 32*len(r.IDs) + 200
}

// multiBody is what the body of a multi decodes to.
type multiBody struct {
	parts []jute.Operation
	err   error
}

// parts decodes the body of a multi, once.
func (r *Request) parts() ([]jute.Operation, error) {
	if r.multi == nil {
		d := jute.NewDecoder(r.Body)
		parts := jute.DecodeMulti(&d)
		r.multi = &multiBody{parts, d.Err()}
	}
	return r.multi.parts, r.multi.err
}

// decodable screens a client's write: what ZooKeeper fails to decode before it has taken a zxid for it is answered at once.
func (r *Request) decodable() bool {
	d := jute.NewDecoder(r.Body)
	switch r.Op {
	case jute.OpCloseSession:
	case jute.OpSync:
		d.Text()
	case jute.OpCreateSession:
		d.Int32()
	case jute.OpMulti:
		_, err := r.parts()
		return !errors.Is(err, jute.ErrMultiACL)
	case jute.OpReconfig:
		var q jute.ReconfigRequest
		q.Decode(&d)
	default:
		r.op.Op = r.Op
		r.op.Decode(&d)
	}
	return d.Err() == nil
}

// screen is the error of a client's write that is answered at once, and has no transaction.
func (r *Request) screen(member bool) jute.Code {
	switch {
	case !r.decodable():
		return jute.ErrMarshalling
	case member && r.Op == jute.OpCreateTTL && r.op.Flags.Valid() && !r.op.Flags.TTL():
		return jute.ErrBadArguments // it would stop a leader that is Java, see 7.4 of the client protocol
	}
	return jute.OK
}

// Proposal is a transaction and the request that it answers. Request is nil for one that came from the log or another server.
type Proposal struct {
	Txn     tree.Txn
	Request *Request
}

// Sequencer gives requests their order: the local one of a standalone server, or a member of an ensemble.
type Sequencer interface {
	// Submit hands over requests in the order in which they were read. It may wait while too much is under way.
	Submit([]*Request)
	// poke makes it look at what is due; it never waits.
	poke()
	// close makes Submit wait no more and lose what it is given.
	close()
}
