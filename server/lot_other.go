//go:build !linux

package server

// poller is what Linux has for a lot.
type poller struct{}

func newPoller() (*poller, error) { return nil, nil }

func (*poller) close() {}

func (*poller) add(*conn) bool { return false }

func (*poller) remove(*conn) {}

func (*poller) run(func(*conn)) {}
