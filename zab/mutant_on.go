//go:build mutants

package zab

// Mutant is a planted fault.
type Mutant struct {
	// Name is that of the constant in fault.go, Sentence says what goes wrong.
	Name, Sentence string
	fault          fault
}

// faultTable has a row for each fault.
var faultTable = []Mutant{
	{"ackBeforeFsync", "a follower acknowledges a proposal before its log is synced (I15)", ackBeforeFsync},
	{"newLeaderAckedEarly", "a learner acknowledges NEWLEADER before the history is durable (ZOOKEEPER-3911)", newLeaderAckedEarly},
	{"epochBeforeLog", "a learner persists currentEpoch before the history it stands for (ZOOKEEPER-4643)", epochBeforeLog},
	{"epochNotPersisted", "a learner acknowledges NEWLEADER without having persisted currentEpoch", epochNotPersisted},
	{"ackEpochEarly", "a learner answers ACKEPOCH before acceptedEpoch is durable (I3)", ackEpochEarly},
	{"leaderInfoEarly", "a leader sends LEADERINFO before acceptedEpoch is durable", leaderInfoEarly},
	{"promiseCountsTwice", "a learner answers ACKEPOCH with its currentEpoch for an epoch that it promised before (I3)", promiseCountsTwice},
	{"lowerEpochAccepted", "a follower follows a leader of a lower epoch than it accepted", lowerEpochAccepted},
	{"epochReused", "a leader takes the highest accepted epoch instead of the next one", epochReused},
	{"strangersCountInJoin", "who is no member bears on the choice of the epoch (9.2)", strangersCountInJoin},
	{"truncForgotten", "a learner does not carry out TRUNC", truncForgotten},
	{"logTooShort", "a leader synchronizes from memory who lacks what neither its memory nor its log has any more", logTooShort},
	{"snapshotGap", "what was committed while a snapshot was sent is not sent behind it", snapshotGap},
	{"historyTellsNoConfig", "a server knows of a reconfig in its history only what it was told beside it", historyTellsNoConfig},
	{"tailKeptAfterTrunc", "a synchronization that broke does not make a learner go back to its disk (ZOOKEEPER-5094)", tailKeptAfterTrunc},
	{"takenBackCounted", "a leader truncates a learner that has its proposals to what is committed, and counts that it has them, both as Java does", takenBackCounted},
	{"looksBeforeDrain", "a server votes with a zxid that is not durable yet (I15)", looksBeforeDrain},
	{"fastForwardForgotten", "the state does not take in the uncommitted end of the log before an election (ZOOKEEPER-2845)", fastForwardForgotten},
	{"zxidBeforeEpoch", "votes are compared by zxid before epoch", zxidBeforeEpoch},
	{"zxidIgnoredInVote", "votes of the same epoch are compared by sid only", zxidIgnoredInVote},
	{"roundIgnored", "votes of older rounds are counted as if they were of this one", roundIgnored},
	{"quorumOffByOne", "half of the voters decide", quorumOffByOne},
	{"oldQuorumOnly", "while a reconfig is pending only the config in force decides (I25)", oldQuorumOnly},
	{"weightIgnored", "a server without weight can be elected", weightIgnored},
	{"leaderNotAsked", "an election ends without the leader's own word that it leads", leaderNotAsked},
	{"untrustedVotes", "a server without a database votes (I7)", untrustedVotes},
	{"restartsForever", "a newer config restarts the election although reconfig is disabled (R3)", restartsForever},
	{"leaderCountsEarly", "a leader counts itself before its own log is synced (I17)", leaderCountsEarly},
	{"commitBeforeQuorum", "a leader commits what one server has", commitBeforeQuorum},
	{"outstandingForgotten", "a learner is not sent what was proposed while it was synchronized (8.1)", outstandingForgotten},
	{"committedLogHole", "a leader leaves out transactions when it synchronizes from memory (ZOOKEEPER-4925)", committedLogHole},
	{"newLeaderBeforeHistory", "NEWLEADER overtakes the history", newLeaderBeforeHistory},
	{"syncWithoutCommits", "transactions of a synchronization come without their commits", syncWithoutCommits},
	{"zxidSkipped", "a leader leaves out a zxid now and then (I12)", zxidSkipped},
	{"activationForgotten", "a config is committed and not put in force", activationForgotten},
	{"activationMissedInSync", "COMMITANDACTIVATE before UPTODATE only commits (9.2)", activationMissedInSync},
	{"uncommittedConfigActivated", "a joiner puts a config in force that is only proposed (9.2)", uncommittedConfigActivated},
	{"lameLeaderCommits", "a leader goes on after another one was designated (I26)", lameLeaderCommits},
	{"designatedUnchecked", "a leader designates itself although the new config has it not", designatedUnchecked},
	{"quorumLossIgnored", "a leader goes on without a quorum of learners", quorumLossIgnored},
	{"syncUnconfirmed", "a leader answers sync without asking a quorum whether it still leads (9.2)", syncUnconfirmed},
	{"syncBeforeCommit", "a leader answers sync before what was proposed is committed", syncBeforeCommit},
	{"oldLinkAccepted", "packets of a link that is gone are taken", oldLinkAccepted},
	{"diskFailureIgnored", "a failed sync is taken for a good one", diskFailureIgnored},
	{"acksForgotten", "a follower never acknowledges", acksForgotten},
}

// planted is the fault that is on.
var planted fault

func mutant(f fault) bool { return f == planted }

// Mutants returns all planted faults.
func Mutants() []Mutant { return append([]Mutant(nil), faultTable...) }

// Plant turns one fault on, for all nodes of the process, and any other off; "" turns all off. It reports whether there is a fault of that name. It must not
// be called while nodes step.
func Plant(name string) bool {
	planted = 0
	for _, m := range faultTable {
		if m.Name == name {
			planted = m.fault
		}
	}
	return planted != 0 || name == ""
}
