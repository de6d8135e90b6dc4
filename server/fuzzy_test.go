package server

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quoll/jute"
	"quoll/tree"
)

// treeText is everything that a tree keeps on disk.
func treeText(t *tree.Tree) map[string]string {
	all := map[string]string{}
	_ = t.Each(func(n *tree.Node) error {
		all["node "+n.Path()] = fmt.Sprintf("%q %+v %v", n.Data(), n.Persisted(), t.ACL(n))
		return nil
	})
	t.EachSession(func(id int64, timeout int32) {
		all[fmt.Sprint("session ", id)] = fmt.Sprint(timeout, len(t.Ephemerals(id)))
	})
	all["ephemerals"] = fmt.Sprint(t.NumEphemerals(), len(t.Containers()), t.NumTTLs(), t.Len())
	all["digest"] = fmt.Sprint(t.Digest(), t.LastZxid())
	return all
}

// TestFuzzySnapshotsAreRepaired copies the tree node by node while random transactions change it, as ZooKeeper writes its snapshots, and
// replays those on top of the copy.
func TestFuzzySnapshotsAreRepaired(t *testing.T) {
	changed := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		pr, live := testPreparer(t, nil)
		var entries [][]byte // of transaction 1 and up
		step := func() {
			zxid := int64(len(entries) + 1)
			txn := pr.Prepare(zxid, time.UnixMilli(1000+zxid), randomRequest(rng, 1+rng.Int64N(3)))
			entries = append(entries, txn.Append(nil))
			live.Apply(&txn, &tree.Result{}, nil)
			pr.Applied(&txn)
			clear(pr.opening)
			clear(pr.closing)
		}
		for range 20 + rng.IntN(200) {
			step()
		}

		loader := tree.NewLoader(false)
		start := live.LastZxid()
		live.EachSession(loader.Session)
		if rng.IntN(2) == 0 {
			step()
		}
		live.EachACL(loader.ACL)
		for stack := []string{tree.RootPath}; len(stack) > 0; {
			for range min(1+rng.IntN(3), len(stack)) {
				n := live.Lookup(stack[len(stack)-1])
				if stack = stack[:len(stack)-1]; n == nil {
					continue
				}
				if err := loader.Node(n.Path(), n.Data(), live.ACLNumber(n), n.Persisted()); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				for _, child := range n.Children() {
					stack = append(stack, child.Path())
				}
			}
			for range rng.IntN(8) {
				step()
			}
		}
		copied, err := loader.Finish()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		copied.SetLastZxid(start)
		for _, entry := range entries[start:] {
			txn, err := tree.DecodeTxn(entry)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if txn.Op() != jute.OpError {
				changed++
			}
			copied.Apply(&txn, &tree.Result{}, nil)
		}
		want, got := treeText(live), treeText(copied)
		for key, text := range want {
			if got[key] != text {
				t.Errorf("seed %d: %s is %s, not %s", seed, key, got[key], text)
			}
		}
		for key, text := range got {
			if _, ok := want[key]; !ok {
				t.Errorf("seed %d: %s is %s and should not be there", seed, key, text)
			}
		}
		if t.Failed() {
			return
		}
	}
	if changed < 1000 {
		t.Errorf("only %d transactions while the snapshots were made: the test has become too tame", changed)
	}
}
