package jute

// PasswordLength is the number of bytes of a session password in a ConnectResponse. The C client reads a response of fixed size.
const PasswordLength = 16

// ConnectRequest is the first frame of a client. It is irregular: old clients leave out the last byte.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	Timeout         int32 // milliseconds
	SessionID       int64
	Password        []byte // aliases the input
	ReadOnly        bool
	HasReadOnly     bool // the readOnly byte was there; the response has it only then
}

// Decode reads the record from d; whether that worked is in d.Err.
func (r *ConnectRequest) Decode(d *Decoder) {
	r.ProtocolVersion = d.Int32()
	r.LastZxidSeen = d.Int64()
	r.Timeout = d.Int32()
	r.SessionID = d.Int64()
	r.Password = d.Buffer()
	r.HasReadOnly = d.err == nil && d.Len() > 0
	r.ReadOnly = r.HasReadOnly && d.Bool()
}

// Append appends the record to b.
func (r *ConnectRequest) Append(b []byte) []byte {
	b = AppendInt32(b, r.ProtocolVersion)
	b = AppendInt64(b, r.LastZxidSeen)
	b = AppendInt32(b, r.Timeout)
	b = AppendInt64(b, r.SessionID)
	b = AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// ConnectResponse is the first frame of a server. It is irregular as its request is.
type ConnectResponse struct {
	ProtocolVersion int32
	Timeout         int32 // milliseconds; 0 in a refusal
	SessionID       int64 // 0 in a refusal
	Password        [PasswordLength]byte
	ReadOnly        bool
	HasReadOnly     bool
}

// Decode reads the record from d; whether that worked is in d.Err.
func (r *ConnectResponse) Decode(d *Decoder) {
	r.ProtocolVersion = d.Int32()
	r.Timeout = d.Int32()
	r.SessionID = d.Int64()
	if copy(r.Password[:], d.Buffer()) != PasswordLength {
		d.Fail(ErrShort)
	}
	r.HasReadOnly = d.err == nil && d.Len() > 0
	r.ReadOnly = r.HasReadOnly && d.Bool()
}

// Append appends the record to b.
func (r *ConnectResponse) Append(b []byte) []byte {
	b = AppendInt32(b, r.ProtocolVersion)
	b = AppendInt32(b, r.Timeout)
	b = AppendInt64(b, r.SessionID)
	b = AppendBuffer(b, r.Password[:])
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}
