package server

// OwnMetric is a gauge that ZooKeeper does not have: a row of [OwnMetrics], shown as quoll_ and its name.
type OwnMetric struct {
	Name, Doc string
	Labels    []string
	// Values calls emit for each value, with those of the labels.
	Values func(s *Server, emit func(v float64, labels ...string))
}

// OwnMetrics are the gauges of quoll's own, which there are in every state of a server.
var OwnMetrics = []OwnMetric{
	{"build_info", "1, with the version of ZooKeeper that is spoken and the commit that the program was built from.", []string{"version"},
		func(_ *Server, emit func(float64, ...string)) { emit(1, FullVersion()) }},
	{"server_state", "1 for the role that the server has now: standalone, leader, follower, observer, read-only, or none while it looks for a leader.", []string{"state"},
		func(s *Server, emit func(float64, ...string)) {
			if s.Active() {
				emit(1, s.mode())
			} else {
				emit(1, "none")
			}
		}},
	{"zxid_epoch", "The epoch of the last transaction applied.", nil,
		func(s *Server, emit func(float64, ...string)) { emit(float64(uint64(s.lastZxid.Load()) >> 32)) }},
	{"zxid_counter", "The number of the last transaction applied within its epoch.", nil,
		func(s *Server, emit func(float64, ...string)) { emit(float64(s.lastZxid.Load() & 0xffffffff)) }},
	{"client_output_bytes", "Bytes that wait to be sent to clients.", nil,
		func(s *Server, emit func(float64, ...string)) { emit(float64(s.unsent.Load())) }},
	{"last_snapshot_timestamp_seconds", "When this process last wrote a snapshot of ZooKeeper's, in seconds since 1970.", nil, ofSnapshot(func(t *SnapshotTaken) float64 { return float64(t.At.UnixMilli()) / 1000 })},
	{"last_snapshot_bytes", "The size of that snapshot.", nil, ofSnapshot(func(t *SnapshotTaken) float64 { return float64(t.Size) })},
}

func ofSnapshot(value func(*SnapshotTaken) float64) func(*Server, func(float64, ...string)) {
	return func(s *Server, emit func(float64, ...string)) {
		if k := s.checkpoints; k != nil {
			if last := k.last.Load(); last != nil {
				emit(value(last))
			}
		}
	}
}
