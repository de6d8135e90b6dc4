package tree

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The names of the znodes that hold a quota, below QuotaPath + the path that it is for.
const (
	LimitsName = "zookeeper_limits"
	StatsName  = "zookeeper_stats"
)

// Quota is the text of a limits or stats znode (StatsTrack). -1 is no limit.
type Quota struct {
	Count, Bytes                   int64
	CountHardLimit, BytesHardLimit int64
}

// ParseQuota reads the text of a limits or stats znode. What it leaves out is -1.
func ParseQuota(data []byte) (Quota, error) {
	q := Quota{-1, -1, -1, -1}
	if len(data) == 0 {
		return q, errors.New("no text")
	}
	for _, pair := range strings.FieldsFunc(string(data), func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		value = strings.TrimSuffix(value, "=") // "bytes=-1=;byteHardLimit=..." is for old parsers
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return q, fmt.Errorf("%q is not name=number", pair)
		}
		switch key {
		case "count":
			q.Count = n
		case "bytes":
			q.Bytes = n
		case "countHardLimit":
			q.CountHardLimit = n
		case "byteHardLimit":
			q.BytesHardLimit = n
		}
	}
	return q, nil
}

// QuotaFor returns the deepest path with a quota that is path or above it, "" if there is none.
func (t *Tree) QuotaFor(path string) string {
	if len(t.quotas) == 0 {
		return ""
	}
	for ; path != ""; path = ParentPath(path) {
		if _, ok := t.quotas[path]; ok {
			return path
		}
	}
	return ""
}

// Quota returns the limits and the counters of a path that has a quota. ok is false if one of the two znodes is missing or malformed.
func (t *Tree) Quota(path string) (limits, stats Quota, ok bool) {
	for name, q := range map[string]*Quota{LimitsName: &limits, StatsName: &stats} {
		n := t.index.find(QuotaPath + path + "/" + name)
		if n == nil {
			return limits, stats, false
		}
		var err error
		if *q, err = ParseQuota(n.Data()); err != nil {
			t.warnings("malformed quota znode", "path", n.Path(), "error", err)
			return limits, stats, false
		}
	}
	return limits, stats, true
}

// EachQuota calls fn for every path that has a quota, in no order.
func (t *Tree) EachQuota(fn func(path string)) {
	for path := range t.quotas {
		fn(path)
	}
}

// quotaPathOf returns the path whose quota the znode at path belongs to, if its name is name.
func quotaPathOf(path, name string) (string, bool) {
	rest, ok := strings.CutPrefix(path, QuotaPath+"/")
	if !ok || !strings.HasSuffix(rest, "/"+name) {
		return "", false
	}
	return "/" + strings.TrimSuffix(rest, "/"+name), true
}

func (t *Tree) quotaCreated(path string, n *Node) {
	if quota, ok := quotaPathOf(path, LimitsName); ok {
		t.quotas[quota] = struct{}{}
	}
	if quota, ok := quotaPathOf(path, StatsName); ok {
		t.setQuotaStats(n, 0, 0)
		t.recount = append(t.recount, quota)
	}
	t.countQuota(path, max(int(n.dataLen), 0), 1)
}

func (t *Tree) quotaDeleted(path string, bytes int) {
	if quota, ok := quotaPathOf(path, LimitsName); ok {
		delete(t.quotas, quota)
	}
	t.countQuota(path, -bytes, -1)
}

// countQuota adds to the counters of the quota that path is under. The stats znode changes silently: no version, time or watch.
func (t *Tree) countQuota(path string, bytes, count int) {
	quota := t.QuotaFor(path)
	if quota == "" || bytes == 0 && count == 0 {
		return
	}
	n := t.index.find(QuotaPath + quota + "/" + StatsName)
	if n == nil {
		t.warnings("missing stat node of a quota", "path", quota)
		return
	}
	q, err := ParseQuota(n.Data())
	if err != nil {
		t.warnings("malformed quota znode", "path", n.Path(), "error", err)
		return
	}
	t.setQuotaStats(n, q.Count+int64(count), q.Bytes+int64(bytes))
}

func (t *Tree) setQuotaStats(n *Node, count, bytes int64) {
	t.touch(n)
	t.replaceData(n, fmt.Appendf(nil, "count=%d,bytes=%d", count, bytes))
	t.settle(n)
}

// recountQuotas counts anew what new stats znodes are for, once for each path: a multi can make the same one thousands of times.
func (t *Tree) recountQuotas() {
	slices.Sort(t.recount)
	for _, path := range slices.Compact(t.recount) {
		t.recountQuota(path)
	}
	t.recount = t.recount[:0]
}

// recountQuota sets the counters of a path's quota from the znodes below it.
func (t *Tree) recountQuota(path string) {
	stats := t.index.find(QuotaPath + path + "/" + StatsName)
	if stats == nil {
		return
	}
	var count, bytes int64
	if n := t.index.find(path); n != nil {
		w := t.Walk(n)
		for n := w.Next(); n != nil; n = w.Next() {
			count, bytes = count+1, bytes+int64(max(n.dataLen, 0))
		}
	}
	t.setQuotaStats(stats, count, bytes)
}
