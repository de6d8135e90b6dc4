package store

import "testing"

// SmallTables makes tables, runs, shards and pieces small, so that little data has many of them.
func SmallTables(t testing.TB) {
	wasTable, wasRun, wasShard, wasPiece := tableSize, runSize, shardSize, pieceSize
	tableSize, runSize, shardSize, pieceSize = 8<<10, 12<<10, 16<<10, 128
	t.Cleanup(func() { tableSize, runSize, shardSize, pieceSize = wasTable, wasRun, wasShard, wasPiece })
}

// Less is the order of znodes in the store: by components, so that a znode comes right before all that is below it.
func Less(a, b string) bool {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			return y != '/' && (x == '/' || x < y)
		}
	}
	return len(a) < len(b)
}
