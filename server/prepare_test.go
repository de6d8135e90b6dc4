package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"quoll/config"
	"quoll/jute"
	"quoll/tree"
)

func testPreparer(t testing.TB, set func(*config.Config)) (*Preparer, *tree.Tree) {
	cfg := config.Defaults()
	cfg.ExtendedTypesEnabled, cfg.EnforceQuota = true, true
	if set != nil {
		set(cfg)
	}
	o := &Options{Config: cfg}
	auth, err := newAuthenticator(o)
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New()
	return newPreparer(tr, auth, o), tr
}

// randomOperation is any write, sensible or not, on a few paths.
func randomOperation(rng *rand.Rand, multi bool) jute.Operation {
	path := ""
	for range 1 + rng.IntN(3) {
		path += "/" + string(rune('a'+rng.IntN(3)))
	}
	switch rng.IntN(40) {
	case 0:
		path = "/"
	case 1:
		path += "/"
	case 2:
		path = tree.QuotaPath + path
	case 3:
		path += "\x00"
	}
	ops := []jute.Op{jute.OpCreate, jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer, jute.OpDelete, jute.OpDelete, jute.OpSetData, jute.OpSetData, jute.OpSetACL}
	if multi {
		ops[9] = jute.OpCheck
	}
	o := jute.Operation{Op: ops[rng.IntN(len(ops))], Path: []byte(path), Flags: jute.CreateMode(rng.IntN(4)), TTL: -1, Version: -1}
	if o.Op == jute.OpCreateTTL {
		o.Flags, o.TTL = jute.ModePersistentWithTTL+jute.CreateMode(rng.IntN(2)), 1+rng.Int64N(1000)
	}
	if rng.IntN(4) == 0 {
		o.Version = rng.Int32N(3)
	}
	if rng.IntN(5) > 0 {
		o.Data = make([]byte, rng.IntN(20))
	}
	o.ACL = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	switch rng.IntN(12) {
	case 0:
		o.ACL[0].Perms = rng.Int32N(32)
	case 1:
		o.ACL = nil
	}
	return o
}

func randomRequest(rng *rand.Rand, session int64) *Request {
	r := &Request{Session: session, IDs: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	switch rng.IntN(12) {
	case 0:
		r.Op = jute.OpMulti
		for range rng.IntN(5) {
			o := randomOperation(rng, true)
			r.Body = (&jute.MultiHeader{Type: int32(o.Op), Err: -1}).Append(r.Body)
			r.Body = o.Append(r.Body)
		}
		r.Body = jute.MultiEnd.Append(r.Body)
	case 1:
		if rng.IntN(3) == 0 {
			r.Op = jute.OpCloseSession
			return r
		}
		r.Op, r.Body = jute.OpCreateSession, jute.AppendInt32(nil, 4000)
	default:
		o := randomOperation(rng, false)
		r.Op, r.Body = o.Op, o.Append(nil)
	}
	return r
}

// TestPreparedDigests prepares random requests some way ahead of applying them. The digest that a transaction carries was computed from what
// was pending, the tree's from what was applied: they must agree, and so must a preparer that looks at the applied tree alone.
func TestPreparedDigests(t *testing.T) {
	kinds := map[jute.Code]int{}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		pr, tr := testPreparer(t, nil)
		var queue []tree.Txn
		var r tree.Result
		for zxid := int64(1); zxid < 400; zxid++ {
			txn := pr.Prepare(zxid, time.UnixMilli(1000+zxid), randomRequest(rng, 1+rng.Int64N(3)))
			entry := txn.Append(nil)
			decoded, err := tree.DecodeTxn(entry)
			if err != nil {
				t.Fatalf("seed %d zxid %d: %v", seed, zxid, err)
			}
			queue = append(queue, decoded)
			for len(queue) > 0 && rng.IntN(6) == 0 {
				txn := queue[0]
				queue = queue[1:]
				tr.Apply(&txn, &r, nil)
				kinds[r.Err]++
				if txn.Op() != jute.OpError && r.Err != jute.OK {
					t.Fatalf("seed %d: prepared transaction %+v failed with %v", seed, txn, r.Err)
				}
				if txn.HasDigest && txn.Op() != jute.OpError && txn.Digest != tr.Digest() {
					t.Fatalf("seed %d: after %+v the tree has digest %d", seed, txn, tr.Digest())
				}
				pr.Applied(&txn)
			}
		}
		for i := range queue {
			tr.Apply(&queue[i], &r, nil)
			pr.Applied(&queue[i])
		}
		if len(pr.outstanding) != 0 || len(pr.order) != 0 || int64(pr.digest) != tr.Digest() {
			t.Fatalf("seed %d: everything is applied, %d znodes are still pending, digest %d and %d", seed, len(pr.outstanding), int64(pr.digest), tr.Digest())
		}
	}
	for _, code := range []jute.Code{jute.OK, jute.ErrNoNode, jute.ErrNodeExists, jute.ErrNotEmpty, jute.ErrBadVersion, jute.ErrNoAuth, jute.ErrInvalidACL, jute.ErrBadArguments, jute.ErrSessionExpired, jute.ErrNoChildrenForEphemerals} {
		if kinds[code] == 0 {
			t.Errorf("no request ended with %v: the test has become too tame", code)
		}
	}
}

// TestFailedMultiRestoresPending has a multi fail behind unapplied creates of the same parent: their sequence numbers must not come again.
func TestFailedMultiRestoresPending(t *testing.T) {
	pr, tr := testPreparer(t, nil)
	zxid := int64(0)
	run := func(op jute.Op, body []byte) tree.Txn {
		zxid++
		return pr.Prepare(zxid, time.UnixMilli(1), &Request{Session: 1, Op: op, Body: body})
	}
	open := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	sequential := jute.Operation{Op: jute.OpCreate, Path: []byte("/s-"), ACL: open, Flags: jute.ModePersistentSequential}
	run(jute.OpCreateSession, jute.AppendInt32(nil, 4000))
	first := run(jute.OpCreate, sequential.Append(nil))
	multi := (&jute.MultiHeader{Type: int32(jute.OpCreate)}).Append(nil)
	multi = sequential.Append(multi)
	multi = (&jute.MultiHeader{Type: int32(jute.OpCheck)}).Append(multi)
	multi = (&jute.Operation{Op: jute.OpCheck, Path: []byte("/none")}).Append(multi)
	failed := run(jute.OpMulti, jute.MultiEnd.Append(multi))
	second := run(jute.OpCreate, sequential.Append(nil))
	if failed.Multi[1].Err != jute.ErrNoNode || failed.Multi[0].Path != "/s-0000000001" {
		t.Fatalf("the multi became %+v", failed)
	}
	if first.Path != "/s-0000000000" || second.Path != "/s-0000000001" {
		t.Errorf("sequential creates around a failed multi: %s and %s", first.Path, second.Path)
	}
	if failed.Digest != first.Digest || tr.Len() != 4 {
		t.Errorf("a failed multi changed the digest from %d to %d", first.Digest, failed.Digest)
	}
}

// TestCloseSessionFitsTheLog closes a session with more ephemerals than ZooKeeper could read back in one record.
func TestCloseSessionFitsTheLog(t *testing.T) {
	pr, tr := testPreparer(t, func(c *config.Config) { c.JuteMaxBuffer, c.JuteMaxBufferExtraSize = 4000, 4000 })
	var r tree.Result
	const session = 7
	for zxid := int64(1); zxid <= 1000; zxid++ {
		txn := tree.Txn{TxnHeader: jute.TxnHeader{ClientID: session, Zxid: zxid, Type: int32(jute.OpCreate)}, Path: fmt.Sprintf("/ephemeral-%d", zxid), Ephemeral: true, ParentCVersion: -1}
		tr.Apply(&txn, &r, nil)
	}
	pr.digest = uint64(tr.Digest())
	txn := pr.Prepare(1001, time.UnixMilli(1), &Request{Session: session, Op: jute.OpCloseSession})
	if size := len(txn.Append(nil)); size > pr.opts.maxEntry() {
		t.Errorf("the record takes %d bytes, ZooKeeper reads %d", size, pr.opts.maxEntry())
	}
	tr.Apply(&txn, &r, nil)
	if tr.NumEphemerals() != 0 || tr.Len() != 4 || tr.Digest() != txn.Digest {
		t.Errorf("%d ephemerals left, digest %d, want %d", tr.NumEphemerals(), tr.Digest(), txn.Digest)
	}
}

// TestOversizeIsRefused sends a create whose auth entries expand to more than a log record may hold.
func TestOversizeIsRefused(t *testing.T) {
	pr, tr := testPreparer(t, func(c *config.Config) { c.JuteMaxBuffer, c.JuteMaxBufferExtraSize = 4000, 4000 })
	r := &Request{Session: 1, Op: jute.OpCreate, internal: true}
	for i := range 100 {
		r.IDs = append(r.IDs, jute.ID{Scheme: "digest", ID: fmt.Sprintf("user%d:%s", i, strings.Repeat("x", 28))})
	}
	o := jute.Operation{Op: jute.OpCreate, Path: []byte("/a"), ACL: []jute.ACLText{
		{Perms: 1, Scheme: []byte("auth")}, {Perms: 2, Scheme: []byte("auth")}, {Perms: 3, Scheme: []byte("auth")},
	}}
	r.Body = o.Append(nil)
	txn := pr.Prepare(1, time.UnixMilli(1), r)
	if txn.Op() != jute.OpError || txn.Err != jute.ErrMarshalling || len(pr.outstanding) != 0 || int64(pr.digest) != tr.Digest() {
		t.Errorf("became %+v with %d pending znodes", txn, len(pr.outstanding))
	}
}

func TestReapable(t *testing.T) {
	tr := tree.New()
	var r tree.Result
	zxid := int64(0)
	apply := func(op jute.Op, path string, ttl int64) {
		zxid++
		txn := tree.Txn{TxnHeader: jute.TxnHeader{Zxid: zxid, Time: 1000, Type: int32(op)}, Path: path, TTL: ttl, ParentCVersion: -1}
		tr.Apply(&txn, &r, nil)
	}
	apply(jute.OpCreateContainer, "/never", 0)
	apply(jute.OpCreateContainer, "/used", 0)
	apply(jute.OpCreate, "/used/child", 0)
	apply(jute.OpCreateTTL, "/short", 500)
	apply(jute.OpCreateTTL, "/long", 5000)
	apply(jute.OpCreateTTL, "/busy", 500)
	apply(jute.OpCreate, "/busy/child", 0)
	at := func(ms int64, unused time.Duration) string {
		return fmt.Sprint(reapable(tr, time.UnixMilli(ms), unused))
	}
	if got := at(1500, 0); got != "[]" {
		t.Errorf("at the very end of a time to live %s would go", got)
	}
	if got := at(1501, 0); got != "[/short]" {
		t.Errorf("after a time to live %s would go", got)
	}
	apply(jute.OpDelete, "/used/child", 0)
	if got := at(1501, 0); got != "[/used /short]" {
		t.Errorf("after the last child %s would go", got)
	}
	if got := at(1400, 100*time.Millisecond); got != "[/never /used]" && got != "[/used /never]" {
		t.Errorf("with an unused interval %s would go", got)
	}
}
