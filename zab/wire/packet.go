package wire

import "quoll/jute"

// Packet is the record of the quorum port (QuorumPacket). The type may be any number.
type Packet struct {
	Type Type
	Zxid int64
	// Data depends on the type; nil is null, which is not the same as empty: Java dereferences the data of some types without a look.
	Data []byte
	// AuthInfo are the identities of the client in a REQUEST, null in everything else; nil is null.
	AuthInfo []jute.ID
	// Crowded says that there were more bytes of identities than the Reader takes, and that they were left out. It is not encoded.
	Crowded bool
}

// Append appends the packet to b: 20 bytes at least.
func (p *Packet) Append(b []byte) []byte {
	return (&jute.QuorumPacket{Type: int32(p.Type), Zxid: p.Zxid, Data: p.Data, AuthInfo: p.AuthInfo}).Append(b)
}

// Decode reads the packet from d; whether that worked is in d.Err. Data aliases the input. Only identities allocate.
func (p *Packet) Decode(d *jute.Decoder) {
	var q jute.QuorumPacket
	q.Decode(d)
	*p = Packet{Type: Type(q.Type), Zxid: q.Zxid, Data: q.Data, AuthInfo: q.AuthInfo}
}

// Size is the length of the encoded packet in bytes.
func (p *Packet) Size() int {
	n := 20 + len(p.Data)
	for i := range p.AuthInfo {
		n += 8 + len(p.AuthInfo[i].Scheme) + len(p.AuthInfo[i].ID)
	}
	return n
}
