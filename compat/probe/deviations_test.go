package probe

// deviations is what quoll does otherwise than Apache ZooKeeper 3.9.5 at the places where a probe looks, and why. Everything else must be the same.
var deviations = map[string]string{
	// as a voter
	"rounds":                             "9.3: none is used twice",
	"a vote for itself that is not true": "somebody repeats a vote of the past, which would win with it: a new round for all",
	"answers to observers that look for nobody":         "who has a leader needs no answer; two that answer each other would never end",
	"where a smaller server is dialled":                 "at the address of the config first, so that nobody can lead a member's votes elsewhere",
	"own sid":                                           "the connection is closed; Java forgets it and leaves it open",
	"answers to non-voters while looking":               "9.3: the vote of this round, not the first of all, and not more often than now and then",
	"elections that start anew without reconfigEnabled": "3.3 R3: only a config that was activated is a reason",

	// as a learner
	"PROPOSAL to an observer":        "what is proposed and committed is taken, whoever it comes to",
	"an observer's ACK of NEWLEADER": "4.9: what NEWLEADER ends is durable before its ACK, as on followers",
	"epoch of a wrong packet":        "Java writes acceptedEpoch before it sees that the packet is none of those that carry an epoch; quoll looks first",
	"LEADERINFO without data":        "the only protocol version is 0x10000, so nobody reads it; Java's learner ends with an exception",
	"leaders before 3.4":             "section 10: ZAB before 1.0 is left out",
	"interrupted TRUNC":              "9.2-1: Java claims what is not on its disk",
	"history is logged at once":      "what comes in synchronization goes to the log and not to memory: it is claimed as soon as it is durable",
	"SNAP is kept at once":           "the snapshot is on the disk before NEWLEADER, so it is claimed; the epoch is sealed by NEWLEADER only",
	"the process ends":               "bytes of a peer only ever close the link",
	"out of place in broadcast":      "what no leader sends ends the link",

	// as a leader
	"a request that is malformed":            "9.2-11: it gets a zxid of its own; Java repeats the last one and commits nothing any more",
	"epochs that strangers name":             "9.2-4, 9.3: only members raise the next epoch",
	"strangers":                              "members only: without reconfigEnabled nobody else can become one",
	"learners before 3.4":                    "section 10: ZAB before 1.0 is left out",
	"a wrong ACK of NEWLEADER":               "what no learner sends ends the link; Java counts nothing and goes on",
	"an ACK of what was not proposed":        "what no learner sends ends the link; Java counts nothing and goes on",
	"a request that nobody forwards":         "what no learner sends ends the link; Java drops it without a word",
	"identities beyond the limit":            "9.3: a request with more bytes of them than a packet may have data is refused alone; in Java only each one has a limit",
	"PING with half a session":               "what is not a whole session touches none; Java's handler ends with an exception, also for null",
	"history between NEWLEADER and UPTODATE": "9.3: held back until UPTODATE",
	"two connections of one learner":         "the newer one counts, and the older one is closed",
	"own lastProcessed":                      "9.3: always the end of log or snapshot",
	"TRUNC across epochs":                    "9.3: the learner may lack the record to cut at",
}

// differs reports whether the server does what the table says of quoll.
func (w *world) differs(name string) bool {
	w.Helper()
	if _, ok := deviations[name]; !ok {
		w.Fatalf("%q is not in the table of deviations", name)
	}
	return w.kind == "quoll"
}
