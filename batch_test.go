package quoll_test

import (
	"fmt"
	"sync"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// TestMaxBatchSize: a member syncs no more transactions at once than the key says, however many come.
func TestMaxBatchSize(t *testing.T) {
	const most = 2
	c := newTrio(t, fmt.Sprintf("maxBatchSize=%d", most), "maxClientCnxns=0")
	var work sync.WaitGroup
	for i := range 16 {
		work.Go(func() {
			zk, err := client.Connect(t.Context(), c.servers[i%3].Addr(), client.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer zk.Close()
			for j := range 20 {
				if _, err := zk.Create(t.Context(), fmt.Sprintf("/%d-%d", i, j), []byte{}, client.OpenACL, jute.ModePersistent); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	for i, s := range c.servers {
		if sizes := &s.Metrics().SyncBatchSize; sizes.Count() == 0 || sizes.Max() > most {
			t.Errorf("server %d has synced %d times, and up to %d transactions at once", i+1, sizes.Count(), sizes.Max())
		}
	}
}
