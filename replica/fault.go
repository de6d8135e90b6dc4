package replica

// fault is a mistake that the code can be built to make, so that the simulation of whole replicas can show that it would find it. Only with the build tag
// mutants; without it the compiler removes every place. faultTable in mutant_on.go says what each of them does.
type fault int

const (
	recordsNotSynced fault = iota + 1
	epochNotSynced
	directoriesNotSynced
	installNotSynced
	truncNotSynced
	cacheKept
	failureForgotten
	epochRaisedEarly
	epochRaisedLate
	epochNotStaged
	epochPlacedEarly
	installKeepsTail
	installLosesLogFirst
	installKeepsLaterSnapshots
	truncKeepsSnapshots
	storeUnchecked
	trustForgotten
	bareLog
	streamWithoutSessions
)
