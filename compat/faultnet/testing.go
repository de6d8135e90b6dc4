package faultnet

import (
	"errors"
	"os"
	"testing"
)

// ErrUnavailable is the error of a machine on which there can be no network: there is no /dev/net/tun, or this is not root.
var ErrUnavailable = errors.New("no network namespaces here")

// For makes a network for a test, until the test ends. Where there can be none it skips the test aloud; with QUOLL_REQUIRE_PEERS=1 that is
// a failure, unless the machine has no /dev/net/tun at all.
func For(t testing.TB, hosts int, seed int64) *Network {
	t.Helper()
	n, err := New(hosts, uint64(seed))
	_, missing := os.Stat("/dev/net/tun")
	switch {
	case err == nil:
	case errors.Is(err, ErrUnavailable) && (missing != nil || os.Getenv("QUOLL_REQUIRE_PEERS") != "1"):
		t.Skipf("NOT RUN: %v", err)
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
