package txnlog_test

import (
	"bytes"
	"testing"

	"quoll/jute"
	"quoll/tree"
	"quoll/txnlog"
)

// javaStream is the stream that Apache ZooKeeper would send of the tree in one of its snapshots: the same bytes without header, seals and other blocks.
func javaStream(t testing.TB) []byte {
	const trailers = 13 + 20 + 13 + 8 + 13
	b := golden(t, "g3-snapshot.1a")
	b = bytes.Clone(b[16 : len(b)-trailers])
	if !bytes.HasSuffix(b, []byte("\x00\x00\x00\x01/")) {
		t.Fatal("the golden snapshot has other blocks at its end")
	}
	return append(b, "\x00\x00\x00\x0aBenWasHere"...)
}

// again takes what a stream has as the source of another one.
type again struct {
	src   txnlog.SnapshotSource
	nodes []byte
}

func (a *again) Session(id int64, timeout int32) {
	a.src.Sessions = append(a.src.Sessions, txnlog.Session{ID: id, Timeout: timeout})
}

func (a *again) ACL(number int64, acl []jute.ACL) {
	a.src.ACLs = append(a.src.ACLs, txnlog.ACLList{Number: number, ACL: acl})
}

func (a *again) Node(path string, data []byte, acl int64, stat jute.StatPersisted) error {
	a.nodes = txnlog.AppendNode(a.nodes, path, data, acl, &stat)
	return nil
}

// TestStream reads what Java sends and writes it to the byte, and reads no more than its own.
func TestStream(t *testing.T) {
	want := javaStream(t)
	var a again
	rest, err := txnlog.ReadStream(bytes.NewReader(append(bytes.Clone(want), "a packet"...)), 0, &a)
	if err != nil || string(rest) != "a packet" {
		t.Fatalf("%q behind the stream, %v", rest, err)
	}
	a.src.Nodes = func(b []byte) ([]byte, bool, error) { return append(b, a.nodes...), false, nil }
	var got bytes.Buffer
	if err := txnlog.WriteStream(&got, a.src); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the stream that was written differs from the one that was read: %d and %d bytes", got.Len(), len(want))
	}
	loader := tree.NewLoader(false)
	if _, err := txnlog.ReadStream(bytes.NewReader(want), 0, loader); err != nil {
		t.Fatal(err)
	}
	if tr, err := loader.Finish(); err != nil || tr.Digest() != goldenDigest {
		t.Errorf("the tree's digest is %d, and not %d: %v", tr.Digest(), goldenDigest, err)
	}
}

// TestStreamBroken cuts a stream off at each byte, and spoils its end.
func TestStreamBroken(t *testing.T) {
	want := javaStream(t)
	for n := range want {
		if _, err := txnlog.ReadStream(bytes.NewReader(want[:n]), 0, tree.NewLoader(false)); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a stream", n, len(want))
		}
	}
	want[len(want)-1]++
	if _, err := txnlog.ReadStream(bytes.NewReader(want), 0, tree.NewLoader(false)); err == nil {
		t.Error("a wrong signature is taken for the end")
	}
}
