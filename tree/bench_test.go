package tree

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"quoll/jute"
)

// benchTree is a tree of n znodes of 100 bytes, a thousand below each parent, and their paths in random order.
func benchTree(b *testing.B, n int) (*Tree, []string) {
	t := New()
	var r Result
	var paths []string
	create := func(path string) {
		zxid := t.LastZxid() + 1
		t.Apply(&Txn{TxnHeader: jute.TxnHeader{Zxid: zxid, Type: int32(jute.OpCreate)}, Path: path, Data: make([]byte, 100), ACL: everyone, ParentCVersion: -1}, &r, nil)
		if r.Err != jute.OK {
			b.Fatal(path, r.Err)
		}
	}
	for i := range n {
		if i%1000 == 0 {
			create(fmt.Sprintf("/p%05d", i/1000))
		}
		paths = append(paths, fmt.Sprintf("/p%05d/node-%05d", i/1000, i%1000))
		create(paths[i])
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(n, func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	return t, paths
}

var everyone = []jute.ACL{{Perms: jute.PermAll, Scheme: "world", ID: "anyone"}}

// BenchmarkGet looks znodes up whose cache lines are not at hand.
func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 200_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t, names := benchTree(b, n)
			paths := make([][]byte, n)
			for i, name := range names {
				paths[i] = []byte(name)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if t.Get(paths[i%n]) == nil {
					b.Fatal(names[i%n])
				}
				i++
			}
		})
	}
}

// BenchmarkApply is what a committed transaction costs.
func BenchmarkApply(b *testing.B) {
	const n = 100_000
	data := make([]byte, 100)
	run := func(name string, txn func(i int, path string) Txn) {
		b.Run(name, func(b *testing.B) {
			t, paths := benchTree(b, n)
			var r Result
			var changes []Change
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				x := txn(i, paths[i/2%n])
				x.Zxid = t.LastZxid() + 1
				if changes = t.Apply(&x, &r, changes[:0]); r.Err != jute.OK {
					b.Fatal(x.Path, r.Err)
				}
				i++
			}
		})
	}
	set := func(_ int, path string) Txn {
		return Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpSetData)}, Path: path, Data: data, Version: 1}
	}
	remove := func(_ int, path string) Txn {
		return Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpDelete)}, Path: path}
	}
	run("setData", set)
	run("delete-create", func(i int, path string) Txn {
		if i%2 == 0 {
			return remove(i, path)
		}
		return Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpCreate)}, Path: path, Data: data, ACL: everyone, ParentCVersion: -1}
	})
	parts := make([]Txn, 10)
	run("multi", func(i int, path string) Txn {
		for k := range parts {
			parts[k] = set(i, path)
		}
		return Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpMulti)}, Multi: parts}
	})
}

// BenchmarkTxn writes a transaction as the log has it, and reads it again.
func BenchmarkTxn(b *testing.B) {
	x := Txn{TxnHeader: jute.TxnHeader{Zxid: 1, Type: int32(jute.OpSetData)}, Path: "/app/config/limits", Data: make([]byte, 100), Version: 1, HasDigest: true}
	entry := x.Append(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			entry = x.Append(entry[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeTxn(entry); err != nil {
				b.Fatal(err)
			}
		}
	})
}
