package wire

import "quoll/jute"

// ProtocolVersion is what LEADERINFO and a learner's LearnerInfo say since 3.4 (ZAB 1.0).
const ProtocolVersion = 0x10000

// What a [LearnerInfo] has where an old learner says nothing.
const (
	// NoProtocolVersion is Java's 1 for a learner older than 3.4.
	NoProtocolVersion = 1
	// NoConfigVersion is that of a learner older than 3.5.
	NoConfigVersion = -1
)

// LearnerInfo is the data of FOLLOWERINFO and OBSERVERINFO. Null data, which has no LearnerInfo, stands for a learner without a sid.
type LearnerInfo struct {
	SID int64
	// ProtocolVersion is [ProtocolVersion] or [NoProtocolVersion].
	ProtocolVersion int32
	// ConfigVersion is the version of the learner's committed config, or [NoConfigVersion].
	ConfigVersion int64
}

// Append appends the record to b: 20 bytes, 12 without a config version, 8 without a protocol version either.
func (r *LearnerInfo) Append(b []byte) []byte {
	b = jute.AppendInt64(b, r.SID)
	if r.ConfigVersion == NoConfigVersion && r.ProtocolVersion == NoProtocolVersion {
		return b
	}
	b = jute.AppendInt32(b, r.ProtocolVersion)
	if r.ConfigVersion == NoConfigVersion {
		return b
	}
	return jute.AppendInt64(b, r.ConfigVersion)
}

// Decode reads as much of the record as there is in d; less than 8 bytes are an error (LearnerHandler.run).
func (r *LearnerInfo) Decode(d *jute.Decoder) {
	*r = LearnerInfo{SID: d.Int64(), ProtocolVersion: NoProtocolVersion, ConfigVersion: NoConfigVersion}
	if d.Len() >= 4 {
		r.ProtocolVersion = d.Int32()
	}
	if d.Len() >= 8 {
		r.ConfigVersion = d.Int64()
	}
}

// LeaderInfo is the data of LEADERINFO.
type LeaderInfo struct {
	// ProtocolVersion is [ProtocolVersion].
	ProtocolVersion int32
}

// Append appends the record to b: 4 bytes.
func (r *LeaderInfo) Append(b []byte) []byte { return jute.AppendInt32(b, r.ProtocolVersion) }

// Decode reads the record from d; whether that worked is in d.Err.
func (r *LeaderInfo) Decode(d *jute.Decoder) { r.ProtocolVersion = d.Int32() }

// AckEpoch is the data of ACKEPOCH.
type AckEpoch struct {
	// CurrentEpoch is the learner's, or -1 if it promised this epoch before and so must not be counted.
	CurrentEpoch int32
}

// Append appends the record to b: 4 bytes.
func (r *AckEpoch) Append(b []byte) []byte { return jute.AppendInt32(b, r.CurrentEpoch) }

// Decode reads the record from d; whether that worked is in d.Err.
func (r *AckEpoch) Decode(d *jute.Decoder) { r.CurrentEpoch = d.Int32() }

// Activation is the data of COMMITANDACTIVATE and INFORMANDACTIVATE.
type Activation struct {
	// Leader is the sid of the designated leader.
	Leader int64
	// Txn is the entry of the reconfig as in a PROPOSAL; empty in COMMITANDACTIVATE. It aliases the input.
	Txn []byte
}

// Append appends the record to b.
func (r *Activation) Append(b []byte) []byte {
	b = jute.AppendInt64(b, r.Leader)
	return append(b, r.Txn...)
}

// Decode reads the record from d, of which Txn is the rest; whether that worked is in d.Err.
func (r *Activation) Decode(d *jute.Decoder) {
	r.Leader = d.Int64()
	r.Txn = d.Rest()
}

// SnapSignature is the string that ends the snapshot behind SNAP (Learner.syncWithLeader).
const SnapSignature = "BenWasHere"
