package store

import "testing"

// SmallTables makes tables and runs small, so that little data has many of them.
func SmallTables(t testing.TB) {
	wasTable, wasRun := tableSize, runSize
	tableSize, runSize = 8<<10, 12<<10
	t.Cleanup(func() { tableSize, runSize = wasTable, wasRun })
}
