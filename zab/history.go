package zab

import (
	"fmt"
	"sort"
)

// history is the end of the log in memory: transactions that are in the state, kept for learners (Java's committedLog), and behind them
// those that are not committed (outstandingProposals at a leader, pendingTxns at a follower). They are one sequence without a hole.
type history struct {
	entries []Record
	// base is the zxid before entries[0]: with no entries it is the last one there is.
	base int64
	// applied is the last zxid given to the state; done counts the entries up to it.
	applied int64
	done    int
	// bytes is the data of the entries, pending that of those that are not applied.
	bytes, pending int
	// maxBytes and maxCount bound what is kept once it is applied.
	maxBytes, maxCount int
}

func (h *history) limits(o *Options) { h.maxBytes, h.maxCount = o.HistoryBytes, o.CommitLogCount }

// reset makes the history end at zxid, with the records before that are known, all of them applied.
func (h *history) reset(zxid int64, recent []Record) {
	*h = history{maxBytes: h.maxBytes, maxCount: h.maxCount, base: zxid, applied: zxid}
	if len(recent) == 0 {
		return
	}
	if got := recent[len(recent)-1].Zxid; got != zxid {
		panic(fmt.Sprintf("zab: recent records end at %#x, the log at %#x", got, zxid))
	}
	// What lies before the first is not known exactly; no learner is sent anything from there.
	h.base, h.applied = recent[0].Zxid-1, recent[0].Zxid-1
	for _, r := range recent {
		h.push(r)
	}
	h.apply(zxid, nil)
	h.trim(zxid)
}

// last returns the zxid of the last record.
func (h *history) last() int64 {
	if len(h.entries) == 0 {
		return h.base
	}
	return h.entries[len(h.entries)-1].Zxid
}

// Follows reports whether next may come right after zxid last: the next counter, or the first of a later epoch (8.3 I8).
func Follows(last, next int64) bool {
	c := counterOf(next)
	if mutant(zxidSkipped) && next == last+2 {
		return true
	}
	return c != 0 && c <= maxCounter && (next == last+1 || epochOf(next) > epochOf(last) && c == 1)
}

// push appends a record, which is not applied yet.
func (h *history) push(r Record) {
	if !Follows(h.last(), r.Zxid) {
		panic(fmt.Sprintf("zab: record %#x cannot follow %#x", r.Zxid, h.last()))
	}
	h.entries = append(h.entries, r)
	h.bytes += len(r.Data)
	h.pending += len(r.Data)
}

// apply moves the state's end to zxid and appends the records it passed to dst.
func (h *history) apply(zxid int64, dst []Record) []Record {
	from := h.done
	for h.done < len(h.entries) && h.entries[h.done].Zxid <= zxid {
		h.pending -= len(h.entries[h.done].Data)
		h.applied = h.entries[h.done].Zxid
		h.done++
	}
	if h.applied != zxid {
		panic(fmt.Sprintf("zab: apply up to %#x, but the log has %#x to %#x", zxid, h.base, h.last()))
	}
	return append(dst, h.entries[from:h.done]...)
}

// trim lets applied entries go when they are too large together, or too many; but the number is no reason to let go what is behind sent, which a learner waits for.
// What is still in use elsewhere keeps its own memory.
func (h *history) trim(sent int64) {
	drop := 0
	for drop < h.done && (h.bytes > h.maxBytes || h.done-drop > 2*h.maxCount && h.entries[drop].Zxid <= sent) {
		h.bytes -= len(h.entries[drop].Data)
		h.base = h.entries[drop].Zxid
		h.entries[drop] = Record{}
		drop++
	}
	h.entries, h.done = h.entries[drop:], h.done-drop
}

// first is m of section 4.6: the first of the applied entries, whose last is M; without any both are the zxid that is applied.
func (h *history) first() int64 {
	if h.done == 0 {
		return h.applied
	}
	return h.entries[0].Zxid
}

// pendingBytes is the data of the records that are not applied.
func (h *history) pendingBytes() int { return h.pending }

// after returns the entries with zxids greater than zxid, in memory of the history.
func (h *history) after(zxid int64) []Record {
	i := sort.Search(len(h.entries), func(i int) bool { return h.entries[i].Zxid > zxid })
	return h.entries[i:]
}

// has reports whether there is an entry of the zxid.
func (h *history) has(zxid int64) bool {
	e := h.after(zxid - 1)
	return len(e) > 0 && e[0].Zxid == zxid
}

// committedEntries returns the applied entries.
func (h *history) committedEntries() []Record { return h.entries[:h.done] }
