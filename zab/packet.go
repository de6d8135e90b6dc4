package zab

import "quoll/jute"

// Packet is a packet of the quorum port (QuorumPacket).
type Packet struct {
	Type     int32
	Zxid     int64
	Data     []byte // nil for null
	AuthInfo []jute.ID
}

// Size is the packet's length on the wire in bytes.
func (p Packet) Size() int {
	n := 20 + len(p.Data)
	for _, id := range p.AuthInfo {
		n += 8 + len(id.Scheme) + len(id.ID)
	}
	return n
}

// Notification is a vote as it is on the election port.
type Notification struct {
	State     int32
	Leader    int64
	Zxid      int64
	Round     int64
	PeerEpoch int64
	Version   int32
	Config    string
}
