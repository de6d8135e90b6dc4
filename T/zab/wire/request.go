package wire

import "quoll/jute"

// Request is the data of REQUEST: what a client, or a learner itself, wants the leader to do. Mirrors LearnerHandler and Learner.request.
type Request struct {
	SessionID int64
	// Cxid is the client's number for the request; 0 for createSession.
	Cxid int32
	Op   jute.Op
	// Body is the client's request behind its header; the timeout of a createSession; empty for closeSession. It aliases the input.
	Body []byte
}

// Append appends the record to b.
func (r *Request) Append(b []byte) []byte {
	b = jute.AppendInt64(b, r.SessionID)
	b = jute.AppendInt32(b, r.Cxid)
	b = jute.AppendInt32(b, int32(r.Op))
	return append(b, r.Body...)
}

// Decode reads the record from d, of which Body is the rest; whether that worked is in d.Err.
func (r *Request) Decode(d *jute.Decoder) {
	r.SessionID = d.Int64()
	r.Cxid = d.Int32()
	r.Op = jute.Op(d.Int32())
	r.Body = d.Rest()
}

// Session is a session with its timeout: the data of a REVALIDATE; any number of them, one behind the other, are that of a PING's echo; a
// count and as many are the head of the snapshot behind SNAP. The echo is read with a loop that ends at an error too:
//
//	for d.Len() > 0 {
//		s.Decode(&d)
//	}
type Session struct {
	ID int64
	// Timeout is in milliseconds.
	Timeout int32
}

// Append appends the record to b: 12 bytes.
func (r *Session) Append(b []byte) []byte {
	b = jute.AppendInt64(b, r.ID)
	return jute.AppendInt32(b, r.Timeout)
}

// Decode reads the record from d; whether that worked is in d.Err.
func (r *Session) Decode(d *jute.Decoder) {
	r.ID = d.Int64()
	r.Timeout = d.Int32()
}

// SessionValid is the data of the answer to a REVALIDATE.
type SessionValid struct {
	ID int64
	// Valid says whether the leader knows the session; the learner's client is let in, or told that it expired.
	Valid bool
}

// Append appends the record to b: 9 bytes.
func (r *SessionValid) Append(b []byte) []byte {
	b = jute.AppendInt64(b, r.ID)
	return jute.AppendBool(b, r.Valid)
}

// Decode reads the record from d; whether that worked is in d.Err.
func (r *SessionValid) Decode(d *jute.Decoder) {
	r.ID = d.Int64()
	r.Valid = d.Bool()
}
