//go:build !mutants

package zab

// mutant reports whether a planted fault is on: never. See mutant_on.go.
func mutant(fault) bool { return false }
