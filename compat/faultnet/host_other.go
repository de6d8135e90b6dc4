//go:build !linux

package faultnet

import "fmt"

func newHost(byte) (*Host, error) { return nil, fmt.Errorf("%w: it needs Linux", ErrUnavailable) }

// Do calls f.
func (h *Host) Do(f func() error) error { return f() }
