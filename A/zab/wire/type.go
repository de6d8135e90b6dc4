package wire

import "strconv"

// Type says what a [Packet] is. Mirrors the constants of the Java class Leader.
type Type int32

// The types of packets, with the direction (L leader, F follower, O observer), the zxid and the data of each; – is null. An observer master is
// a leader to its observers.
const (
	TypeRequest           Type = 1  // F,O→L; -1; [Request], with the client's identities as authinfo
	TypeProposal          Type = 2  // L→F; that of the transaction; its entry in the log: TxnHeader, body, digest (5.9)
	TypeAck               Type = 3  // F→L, and O for e.0; that of what is durable; –
	TypeCommit            Type = 4  // L→F; that of the transaction; –
	TypePing              Type = 5  // L→F,O; the last proposed; –. The echo has the same zxid and any number of [Session], empty but not null for none
	TypeRevalidate        Type = 6  // F,O→L; -1; [Session]. The answer has [SessionValid]
	TypeSync              Type = 7  // L→F,O; 0; –
	TypeInform            Type = 8  // L→O; as TypeProposal
	TypeCommitAndActivate Type = 9  // L→F; that of the reconfig; [Activation] without Txn
	TypeNewLeader         Type = 10 // L→F,O; e.0; the text of the leader's last seen config, null from 3.4
	TypeFollowerInfo      Type = 11 // F→L; acceptedEpoch.0; [LearnerInfo]
	TypeUpToDate          Type = 12 // L→F,O; -1; –
	TypeDiff              Type = 13 // L→F,O; the last one that will follow (4.6); –
	TypeTrunc             Type = 14 // L→F,O; the last one to keep; –
	TypeSnap              Type = 15 // L→F,O; that of the tree; –. A snapshot follows
	TypeObserverInfo      Type = 16 // O→L; as TypeFollowerInfo
	TypeLeaderInfo        Type = 17 // L→F,O; newEpoch.0; [LeaderInfo]
	TypeAckEpoch          Type = 18 // F,O→L; the last logged; [AckEpoch]
	TypeInformAndActivate Type = 19 // L→O; that of the reconfig; [Activation]
)

// typeNames has a row for each type: the name of Java's constant.
var typeNames = map[Type]string{
	TypeRequest: "REQUEST", TypeProposal: "PROPOSAL", TypeAck: "ACK", TypeCommit: "COMMIT", TypePing: "PING", TypeRevalidate: "REVALIDATE",
	TypeSync: "SYNC", TypeInform: "INFORM", TypeCommitAndActivate: "COMMITANDACTIVATE", TypeNewLeader: "NEWLEADER",
	TypeFollowerInfo: "FOLLOWERINFO", TypeUpToDate: "UPTODATE", TypeDiff: "DIFF", TypeTrunc: "TRUNC", TypeSnap: "SNAP",
	TypeObserverInfo: "OBSERVERINFO", TypeLeaderInfo: "LEADERINFO", TypeAckEpoch: "ACKEPOCH", TypeInformAndActivate: "INFORMANDACTIVATE",
}

// String returns the name of Java's constant, or "type N" for an unknown type.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return "type " + strconv.Itoa(int(t))
}
