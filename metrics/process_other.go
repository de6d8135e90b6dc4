//go:build !unix

package metrics

// OpenFDs returns the number of open file descriptors of this process, -1 if the system does not tell.
func OpenFDs() int64 { return -1 }

// MaxFDs returns the limit of open file descriptors of this process, -1 if the system does not tell.
func MaxFDs() int64 { return -1 }
