//go:build !linux

package txnlog

// Sync is the full fsync where the system has no fdatasync.
func (f osFile) Sync() error { return f.File.Sync() }
