package zabtest

import (
	"quoll/ensemble"
	"quoll/jute"
	"quoll/zab"
)

// txnID numbers the transactions of a run in the order of their proposals; 0 is none.
type txnID int32

// txn is a transaction as it was proposed. What comes before it is known too, so that transactions are a tree and a history is a path in it.
type txn struct {
	zxid   int64
	data   []byte
	config *ensemble.Config
	prev   txnID
	depth  int // the length of the history that ends with it
	leader int8

	op      jute.Op
	session int64
	cxid    int32
	// members is the version of the last config in the history that ends with it, 0 for none.
	members int64
	// sessions are those alive after it, a bit for each; digest is that of the state after it.
	sessions uint64
	digest   uint64
}

// history is what a log, a snapshot or a state has: the transaction at index i has depth i+1.
type history []txnID

// last returns the last transaction, 0 for none.
func (h history) last() txnID {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1]
}

// has reports whether the transaction of that depth is id.
func (h history) has(id txnID, depth int) bool {
	return len(h) >= depth && (depth == 0 || h[depth-1] == id)
}

// follows reports whether next may come right after last: the next counter, or the first of a later epoch.
func follows(last, next int64) bool {
	return next == last+1 && uint32(next) != 0 || next>>32 > last>>32 && uint32(next) == 1
}

// ledger is every transaction that was proposed in a run.
type ledger struct {
	txns []txn
	// byZxid finds one by epoch and counter.
	byZxid [][]txnID
}

func (l *ledger) reset() {
	clear(l.txns)
	l.txns = append(l.txns[:0], txn{leader: -1})
	for i := range l.byZxid {
		l.byZxid[i] = l.byZxid[i][:0]
	}
}

// find returns the transaction with a zxid, 0 for none.
func (l *ledger) find(zxid int64) txnID {
	epoch, counter := zxid>>32, int64(uint32(zxid))
	if epoch < 0 || epoch >= int64(len(l.byZxid)) || counter >= int64(len(l.byZxid[epoch])) {
		return 0
	}
	return l.byZxid[epoch][counter]
}

// add records a proposal.
func (l *ledger) add(t txn) txnID {
	id := txnID(len(l.txns))
	t.depth, t.members = l.txns[t.prev].depth+1, l.txns[t.prev].members
	if t.config != nil {
		t.members = t.zxid
	}
	l.txns = append(l.txns, t)
	epoch, counter := int(t.zxid>>32), int(uint32(t.zxid))
	for len(l.byZxid) <= epoch {
		l.byZxid = append(l.byZxid, nil)
	}
	for len(l.byZxid[epoch]) <= counter {
		l.byZxid[epoch] = append(l.byZxid[epoch], 0)
	}
	l.byZxid[epoch][counter] = id
	return id
}

// zxid returns the zxid of the last transaction of a history.
func (l *ledger) zxid(h history) int64 { return l.txns[h.last()].zxid }

// cut returns how much of a history is up to zxid.
func (l *ledger) cut(h history, zxid int64) int {
	n := len(h)
	for n > 0 && l.txns[h[n-1]].zxid > zxid {
		n--
	}
	return n
}

// record is a transaction as the node takes it.
func (l *ledger) record(id txnID) zab.Record {
	t := &l.txns[id]
	return zab.Record{Zxid: t.zxid, Data: t.data, Config: t.config}
}
