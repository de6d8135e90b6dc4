package history

// Rule is one promise of ZooKeeper that a history can break.
type Rule struct {
	Name   string
	Means  string // what holds when it is kept
	Origin string // who promises it
}

// ruleID is an index of Rules.
type ruleID int

const (
	zxidUnique ruleID = iota
	writeOrder
	readOrder
	durability
	sessionOrder
	readYourWrites
	replyCode
	versions
	sequence
	atomicMulti
	openWrite
	readExistence
	readStat
	readData
	readChildren
	ephemeralOutlives
	ephemeralEarly
	sessionEnded
	sessionLost
	watchMissing
	watchTwice
	watchUnasked
	watchSurvives
	watchWrong
	watchLate
	watchOrder
)

// Rules has a row for each rule.
var Rules = [...]Rule{
	zxidUnique: {"zxid-unique", "Every write, a failed one too, has a zxid that no other write has.",
		"ZAB, total order; client-protocol 1.7"},
	writeOrder: {"write-order", "No reply carries a zxid as large as that of a write which was only called after it.",
		"linearizable writes; ZAB, causal order"},
	readOrder: {"read-order", "A read from the only server, or a sync from any, shows every write, and all that others were shown, that was answered before it was called.",
		"linearizability of one server; sync: client-protocol 2.10 item 6"},
	durability: {"durability", "What was acknowledged or shown is there after every restart.",
		"ZooKeeper guarantees, reliability; ZAB, agreement; ZOOKEEPER-4643"},
	sessionOrder: {"session-order", "The zxids that a session sees never go back, on whatever connections.",
		"ZooKeeper guarantees, single system image; client-protocol 2.2 item 4"},
	readYourWrites: {"read-your-writes", "After the reply to its own write a session sees that write.",
		"ZooKeeper guarantees, sequential consistency; client-protocol 2.10 item 4"},
	replyCode: {"reply-code", "A write is answered as the one before it in zxid order has left the tree: the first failing check decides.",
		"client-protocol 4.3, 4.4"},
	versions: {"versions", "The Stat that a write returns counts every change before it once.",
		"client-protocol 3.3"},
	sequence: {"sequence", "The suffix of a sequential znode is the number of creations under its parent before it.",
		"client-protocol 3.4"},
	atomicMulti: {"atomic-multi", "A multi is done wholly or not at all, and its results say which.",
		"client-protocol 4.6; ZOOKEEPER-965"},
	openWrite: {"open-write", "What nobody acknowledged and yet happened is a write that somebody sent, whole, and those of one connection in order.",
		"ZooKeeper guarantees, atomicity and FIFO client order"},
	readExistence: {"read-existence", "A znode is found at the zxid of the reply if and only if it is there.",
		"ZooKeeper guarantees, sequential consistency"},
	readStat: {"read-stat", "A read shows the Stat of the zxid of its reply.",
		"client-protocol 3.3"},
	readData: {"read-data", "A read shows the data of the zxid of its reply.",
		"ZooKeeper guarantees, atomicity"},
	readChildren: {"read-children", "A read shows the children of the zxid of its reply.",
		"client-protocol 4.7"},
	ephemeralOutlives: {"ephemeral-outlives", "The ephemerals of a session are gone with the transaction that ends it.",
		"client-protocol 2.6; ZOOKEEPER-2355"},
	ephemeralEarly: {"ephemeral-early", "An ephemeral stays until it is deleted or its session ends.",
		"client-protocol 3.5"},
	sessionEnded: {"session-ended", "A session that has ended makes nothing and cannot be renewed.",
		"client-protocol 2.4, 4.3"},
	sessionLost: {"session-lost", "A session can be renewed until somebody closes it or its timeout passes.",
		"client-protocol 2.4, 2.6"},
	watchMissing: {"watch-missing", "Every change that a live watch covers is told before any reply of that zxid or later.",
		"ZooKeeper guarantees, watches; client-protocol 5.2, 2.10 item 3"},
	watchTwice: {"watch-twice", "A change is told to a connection once, and a one-shot watch once at all.",
		"client-protocol 5.2"},
	watchUnasked: {"watch-unasked", "Nobody is told of what it does not watch.",
		"client-protocol 5.1"},
	watchSurvives: {"watch-survives", "The watches of a lost connection are gone.",
		"client-protocol 5.4"},
	watchWrong: {"watch-wrong", "An event has the type, the path and the zxid of the change.",
		"client-protocol 5.2, 5.3"},
	watchLate: {"watch-late", "An event comes before every reply whose zxid is not smaller.",
		"ZooKeeper guarantees, ordering of watches; client-protocol 2.10 item 3"},
	watchOrder: {"watch-order", "Events come in the order of the changes.",
		"client-protocol 5.3"},
}
