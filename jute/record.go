package jute

// Record is what every generated record can do.
type Record interface {
	// Append appends the encoded record to b.
	Append(b []byte) []byte
	// Decode reads the record from d; whether that worked is in d.Err.
	Decode(d *Decoder)
}

func appendCount(b []byte, n int, null bool) []byte {
	if null {
		n = -1
	}
	return AppendInt32(b, int32(n))
}

// AppendReplyHeader appends the header of a reply.
func AppendReplyHeader(b []byte, xid int32, zxid int64, err Code) []byte {
	return (&ReplyHeader{Xid: xid, Zxid: zxid, Err: int32(err)}).Append(b)
}
