package quorum_test

import (
	"fmt"
	"strings"
	"testing"

	"quoll/metrics"
	"quoll/zab"
)

// metrics are the values of mntr.
func (m *member) metrics() map[string]int64 {
	values := map[string]int64{}
	m.s.Metrics().Dump(func(key string, v metrics.Value) { values[key] = int64(v.Float64()) })
	return values
}

// TestCounters is that members count what they do as an ensemble, in every role: as often as there were transactions, elections and synchronizations.
func TestCounters(t *testing.T) {
	const every = 100
	c := newCluster(t, 4, fmt.Sprintf("leader.ackLoggingFrequency=%d", every))
	leader := c.leader()
	conn := leader.dial()
	for i := range 1000 {
		c.create(conn, fmt.Sprintf("/n%d", i), []byte("x"))
	}
	c.same()
	zxid, _ := leader.s.State()
	n := zxid & 0xffffffff
	for _, m := range c.members {
		role := m.peer.Status().Role
		// On a slow machine the first two elect a leader before the third is there, and look again.
		elections := 1 + int64(strings.Count(m.log.String(), "ING ends: "))
		want := map[string]int64{"looking_count": elections, "cnt_unavailable_time": 1, "request_commit_queued": n, "cnt_propagation_latency": n, "sync_processor_request_queued": n,
			"quorum_size": 3, "quit_leading_due_to_disloyal_voter": 0}
		switch role {
		case zab.Leading:
			for key, value := range map[string]int64{"proposal_count": n, "commit_count": n, "cnt_quorum_ack_latency": n, "cnt_leader_unavailable_time": 1, "cnt_election_time": elections,
				"learners": 3, "synced_followers": 2, "synced_observers": 1, "synced_non_voting_followers": 0, "pending_syncs": 0} {
				want[key] = value
			}
		case zab.Following:
			for key, value := range map[string]int64{"learner_proposal_received_count": n, "learner_commit_received_count": n, "cnt_proposal_latency": n,
				"cnt_commit_propagation_latency": n, "cnt_follower_sync_time": 1, "cnt_election_time": elections, "proposal_count": 0, "cnt_leader_unavailable_time": 0} {
				want[key] = value
			}
		case zab.Observing:
			for key, value := range map[string]int64{"learner_proposal_received_count": 0, "learner_commit_received_count": n, "cnt_commit_propagation_latency": n,
				"cnt_observer_sync_time": 1, "cnt_election_time": 0, "cnt_proposal_ack_creation_latency": 0} {
				want[key] = value
			}
		}
		var have map[string]int64
		for key, value := range want {
			c.eventually(fmt.Sprintf("%v %d has %s=%d", role, m.id, key, value), func() bool {
				have = m.metrics()
				return have[key] == value
			})
		}
		if role != zab.Observing {
			c.eventually("all transactions are durable", func() bool { return m.metrics()["cnt_proposal_ack_creation_latency"] == n })
		}
		if role == zab.Leading {
			acks := int64(0)
			for id := 1; id <= 4; id++ {
				acks += have[fmt.Sprintf("cnt_%d_ack_latency", id)]
				if _, ok := have[fmt.Sprintf("cnt_%d_learner_handler_qp_size", id)]; ok != (id != m.id) {
					t.Errorf("learner_handler_qp_size of %d: %v", id, ok)
				}
			}
			// Two ACKs commit a transaction; who comes third is not timed.
			if timed := zxid/every - (zxid-n)/every; acks < 2*timed || acks > 3*timed || have["cnt_4_ack_latency"] > 0 {
				t.Errorf("of %d transactions %d ACKs were timed, and %d of the observer", n, acks, have["cnt_4_ack_latency"])
			}
			if have["diff_count"]+have["snap_count"] != 3 || have["cnt_inflight_diff_count"]+have["cnt_inflight_snap_count"] != 6 {
				t.Errorf("the learners were synchronized by %d differences and %d snapshots", have["diff_count"], have["snap_count"])
			}
		}
	}

	conn.Close()
	leader.stop()
	leader = c.leader()
	for _, m := range c.members {
		if m.alive {
			led := int64(0)
			if m == leader {
				led = 1
			}
			for key, value := range map[string]int64{"looking_count": 2, "cnt_unavailable_time": 2, "cnt_leader_unavailable_time": led} {
				if have := m.metrics()[key]; have < value || key == "cnt_leader_unavailable_time" && have != value {
					t.Errorf("after a second election server %d has %s=%d, not %d", m.id, key, have, value)
				}
			}
		}
	}
}
