package zab

// fault is a mistake that the code can be built to make, so that the simulator can show that it would find it. Only with the build tag mutants; without it
// the compiler removes every place. faultTable in mutant_on.go says what each of them does.
type fault int

const (
	ackBeforeFsync fault = iota + 1
	newLeaderAckedEarly
	epochBeforeLog
	epochNotPersisted
	ackEpochEarly
	leaderInfoEarly
	promiseCountsTwice
	lowerEpochAccepted
	epochReused
	strangersCountInJoin
	truncForgotten
	logTooShort
	snapshotGap
	historyTellsNoConfig
	tailKeptAfterTrunc
	takenBackCounted
	looksBeforeDrain
	fastForwardForgotten
	zxidBeforeEpoch
	zxidIgnoredInVote
	roundIgnored
	quorumOffByOne
	oldQuorumOnly
	weightIgnored
	leaderNotAsked
	untrustedVotes
	restartsForever
	leaderCountsEarly
	commitBeforeQuorum
	outstandingForgotten
	committedLogHole
	newLeaderBeforeHistory
	syncWithoutCommits
	zxidSkipped
	activationForgotten
	activationMissedInSync
	uncommittedConfigActivated
	lameLeaderCommits
	designatedUnchecked
	quorumLossIgnored
	syncUnconfirmed
	syncBeforeCommit
	oldLinkAccepted
	diskFailureIgnored
	acksForgotten
)
