package toolkit

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestSnapshotWrite has a running server write a snapshot, and writes one from its directory once it was killed. ZooKeeper's tool must find the
// same in both.
func TestSnapshotWrite(t *testing.T) {
	peer.RequireJVM(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := peer.Quoll(t, peer.Options{})
	c, err := client.Connect(ctx, s.Addr(), client.Options{})
	must(t, err)
	for i := range 300 {
		_, err := c.Create(ctx, fmt.Sprintf("/n%d", i), []byte("data"), client.OpenACL, jute.CreateMode(i%2))
		must(t, err)
	}
	write := func(to string) string {
		file := filepath.Join(t.TempDir(), to)
		answer := quoll(t, s.Dir(), "UTC", "", "quoll", "snapshot", "write", "--data-dir", s.Dir(), "--to", file)
		if answer.code != 0 {
			t.Fatalf("write ends with %d: %s%s", answer.code, answer.out, answer.err)
		}
		if v := quoll(t, s.Dir(), "UTC", "", "quoll", "snapshot", "verify", file); v.code != 0 {
			t.Errorf("verify ends with %d: %s%s", v.code, v.out, v.err)
		}
		return blocks(java(t, s.Dir(), "UTC", "", "SnapshotFormatter", "-d", file).out)
	}
	running := write("snapshot.12d")
	must(t, s.Kill())
	c.Abandon()
	if stopped := write("snapshot.12d"); stopped != running {
		t.Error(difference(running, stopped))
	}
}
