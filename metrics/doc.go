// Package metrics counts what a ZooKeeper server does, under ZooKeeper's own metric names.
//
// A server makes one [Set], updates its fields where things happen, registers its gauges while it serves, and prints the
// result as the tail of the four-letter word mntr:
//
//	set := metrics.New(metrics.Default)
//	set.ZnodeCount.Register(func() int64 { return int64(tree.Len()) })
//	set.FsyncTime.Observe(3)
//	set.BytesReceived.Add(120)
//	out = set.AppendMntr(out) // zk_znode_count<TAB>23 ...
//	set.Unregister()          // stopped serving: gauges disappear, counts stay
//
// The struct Set is the table of all names: a field's tag gives the name, the modes of a gauge, the detail of a summary and
// one sentence of documentation; [Table] returns the same as rows. Nothing here is global, so that several servers can live
// in one process. All updates are safe for concurrent use, take no lock and do not allocate, with one exception: the first
// use of a label or of a summary's buckets.
//
// It mirrors org.apache.zookeeper.server.ServerMetrics and its providers in org.apache.zookeeper.metrics.impl.
package metrics
