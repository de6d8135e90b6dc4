//go:build !linux && !darwin

package txnlog

// Writable is left to the start, where nobody can be asked without writing.
func Writable(string) error { return nil }

// FreeBytes does not know how much room a disk has.
func FreeBytes(string) (int64, bool) { return 0, false }
