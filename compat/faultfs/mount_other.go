//go:build !linux

package faultfs

import "fmt"

func available() error { return fmt.Errorf("%w: it needs Linux", ErrUnavailable) }

// Mount fails here.
func (d *Disk) Mount(string) (*Mount, error) { return nil, available() }

// Mount is a mounted disk.
type Mount struct{ Dir string }

// Unmount does nothing here.
func (m *Mount) Unmount() error { return nil }
