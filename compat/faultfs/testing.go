package faultfs

import (
	"errors"
	"os"
	"testing"
)

// ErrUnavailable is the error of a machine on which nothing can be mounted: there is no /dev/fuse, or this is not root.
var ErrUnavailable = errors.New("no FUSE here")

// Check skips the test aloud where nothing can be mounted. With QUOLL_REQUIRE_PEERS=1 that is a failure, unless the machine has no
// /dev/fuse at all.
func Check(t testing.TB) {
	t.Helper()
	err := available()
	if err == nil {
		return
	}
	if _, missing := os.Stat("/dev/fuse"); missing == nil && os.Getenv("QUOLL_REQUIRE_PEERS") == "1" {
		t.Fatal(err)
	}
	t.Skipf("NOT RUN: %v", err)
}

// MountFor mounts a disk for a test, on a directory of its own, until the test ends, however it does.
func MountFor(t testing.TB, d *Disk) *Mount {
	t.Helper()
	Check(t)
	m, err := d.Mount(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			t.Errorf("unmounting %s: %v", m.Dir, err)
		}
	})
	return m
}
