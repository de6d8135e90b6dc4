package tree

import (
	"testing"

	"quoll/jute"
)

// TestSetConfig overwrites the config as a member does when it starts and when it is synchronized.
func TestSetConfig(t *testing.T) {
	tr := New()
	digest, znodes := tr.Digest(), tr.Len()
	for _, step := range []struct {
		text         string
		version, now int64
		ok           bool
		mtime        int64
	}{
		{"a", 0, 5, true, 5},
		{"a", 0, 6, false, 5},
		{"a", 7, 8, true, 8},
		{"bc", 7, 9, true, 9},
		{"bc", 7, 10, false, 9},
	} {
		change, ok := tr.SetConfig([]byte(step.text), step.version, step.now)
		if ok != step.ok || ok && (change.Kind != DataChanged || change.Path != ConfigPath || len(change.ACL) != 1) {
			t.Errorf("%+v: %+v %v", step, change, ok)
		}
		n := tr.Lookup(ConfigPath)
		want := jute.Stat{Mzxid: step.version, Mtime: step.mtime, Version: -1, Aversion: -1, DataLength: int32(len(step.text))}
		if stat := n.Stat(); stat != want || string(n.Data()) != step.text {
			t.Errorf("%+v: %+v %s", step, stat, n.Data())
		}
	}
	if tr.Digest() != digest || tr.Len() != znodes || tr.LastZxid() != 0 {
		t.Errorf("digest %d, %d znodes, zxid %d", tr.Digest(), tr.Len(), tr.LastZxid())
	}
	// A transaction takes over from there.
	var r Result
	tr.Apply(&Txn{TxnHeader: jute.TxnHeader{Type: int32(jute.OpReconfig), Zxid: 11, Time: 12}, Path: ConfigPath, Data: []byte("d"), Version: -1}, &r, nil)
	if want := (jute.Stat{Mzxid: 11, Mtime: 12, Version: -1, Aversion: -1, DataLength: 1}); r.Stat != want || string(r.Data) != "d" {
		t.Errorf("%+v %s", r.Stat, r.Data)
	}
	if _, ok := tr.SetConfig([]byte("d"), 11, 13); ok {
		t.Error("the config of the transaction is another")
	}

	// The database of a server older than 3.5 has no such znode.
	old := empty()
	old.plant(RootPath)
	if _, ok := old.SetConfig([]byte("a"), 1, 2); !ok || old.Lookup(ConfigPath) == nil || old.Lookup(ConfigPath).Stat().Aversion != -1 {
		t.Errorf("an old tree: %v", old.Lookup(ConfigPath))
	}
}
