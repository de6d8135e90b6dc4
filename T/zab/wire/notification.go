package wire

import (
	"encoding/binary"

	"quoll/jute"
)

// MaxFrame is the most bytes that a frame of the election port may have behind its length (QuorumCnxManager.PACKETMAXSIZE).
const MaxFrame = 512 << 10

// NotificationVersion is the version of every notification sent since 3.5.
const NotificationVersion = 2

// Notification is a vote on the election port, and what its sender is doing. Mirrors FastLeaderElection.Notification and buildMsg.
type Notification struct {
	// State of the sender: 0 looking, 1 following, 2 leading, 3 observing. Any other number is handed on, since who sent it decides what
	// happens first (R4, R5).
	State int32
	// Leader is the sid that is voted for, Zxid the last logged one of that server, and PeerEpoch its current epoch.
	Leader, Zxid int64
	// Round counts the sender's elections (electionEpoch).
	Round     int64
	PeerEpoch int64
	// Version is 0 for the votes of 3.4, whatever they say (R1); otherwise what the sender says, which is not bounded.
	Version int32
	// Config is the text of the sender's committed config; empty if Version is less than 2. What was not UTF-8 has become U+FFFD.
	Config string
}

// AppendFrame appends the length of a frame and the notification in version 2, whatever Version is: 48 bytes and the config. A frame may have
// at most [MaxFrame] bytes behind its length; the config must leave room.
func (n *Notification) AppendFrame(b []byte) []byte {
	at := len(b)
	b = jute.AppendInt32(b, 0)
	b = jute.AppendInt32(b, n.State)
	b = jute.AppendInt64(b, n.Leader)
	b = jute.AppendInt64(b, n.Zxid)
	b = jute.AppendInt64(b, n.Round)
	b = jute.AppendInt64(b, n.PeerEpoch)
	b = jute.AppendInt32(b, NotificationVersion)
	b = jute.AppendString(b, n.Config)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// Decode reads the notification from d, which holds one frame without its length, by the rules R1 and R2 of 3.3: 28 bytes have no peer epoch and
// 40 bytes have version 0 although they say 1. An error concerns this frame only, the connection goes on. Bytes behind it are ignored.
func (n *Notification) Decode(d *jute.Decoder) {
	length := d.Len()
	*n = Notification{State: d.Int32(), Leader: d.Int64(), Zxid: d.Int64(), Round: d.Int64()}
	if length == 28 {
		n.PeerEpoch = n.Zxid >> 32
		return
	}
	n.PeerEpoch = d.Int64()
	version := d.Int32()
	if length == 40 {
		return
	}
	n.Version = version
	if n.Version < 2 {
		return
	}
	config := d.Buffer()
	if config == nil {
		d.Fail(jute.ErrNull)
	}
	n.Config = jute.JavaText(config)
}
