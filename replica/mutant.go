//go:build !mutants

package replica

// mutant reports whether a planted fault is on: never. See mutant_on.go.
func mutant(fault) bool { return false }

// lying returns the options with a file system that does what a planted fault says: the same ones.
func lying(o *Options) *Options { return o }
