// Package wire is the encoding of the two ports between servers: the quorum port, on which learners follow a leader, and the election port, on
// which votes are exchanged. Section and rule numbers in comments are of docs/spec/ensemble-protocol.md.
//
// Encoding appends to a slice, decoding reads from a [jute.Decoder] that keeps its first error, as everywhere in package jute:
//
//	b = (&wire.Packet{Type: wire.TypeAckEpoch, Zxid: last, Data: (&wire.AckEpoch{CurrentEpoch: 1}).Append(nil)}).Append(b)
//
//	d := jute.NewDecoder(p.Data)
//	var ack wire.AckEpoch
//	ack.Decode(&d)
//	if d.Err() != nil { ... }
//
// Bytes that follow a complete payload are ignored, as Java does. A record of a stream has no length in front of it; a [Reader] finds where it ends:
//
//	quorum port, learner to leader    [AuthPacket ...] Packet ...
//	quorum port, leader to learner    [AuthPacket ...] Packet ... Packet{SNAP} snapshot Packet ...
//	election port, dialler            InitialMessage [AuthPacket ...] frame ...
//	election port, other side         [AuthPacket ...] frame ...
//
// A frame is a length and a [Notification]. A snapshot is what package txnlog writes into its files, without the file's header, and then the
// string [SnapSignature]; it is read from the Reader as bytes.
//
// A decoded record aliases what it was decoded from where a field is a []byte, and only there. What comes from a Reader is valid until the
// next call on it.
//
// It mirrors the Java classes QuorumPacket, LearnerInfo, LearnerHandler, Learner, QuorumCnxManager, FastLeaderElection and QuorumAuth.
package wire
