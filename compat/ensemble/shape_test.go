package ensemble

import (
	"fmt"
	"net"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// shape is an ensemble whose members are written in another way than those of the other tests.
type shape struct {
	*testing.T
	*Ensemble
	writes int
}

func newShape(t *testing.T, o Options) *shape {
	s := &shape{T: t, Ensemble: build(t, o)}
	check(t, s.Start())
	serving(t, s.Ensemble)
	return s
}

// write writes through each member that runs.
func (s *shape) write() {
	s.Helper()
	ctx, cancel := patient()
	defer cancel()
	for _, m := range s.Members {
		if !m.Running() {
			continue
		}
		c, err := connect(ctx, nil, m)
		check(s.T, err)
		s.writes++
		_, err = c.Create(ctx, fmt.Sprintf("/write-%d", s.writes), nil, client.OpenACL, jute.ModePersistent)
		check(s.T, err)
		check(s.T, c.Close())
	}
}

// end compares what all have.
func (s *shape) end() {
	s.Helper()
	_, err := s.Agree()
	check(s.T, err)
}

// TestAddresses has members find each other at addresses of IPv6, at ports that are open on all addresses, and at two addresses each: the ports are open where they should be,
// and not where they are not found.
func TestAddresses(t *testing.T) {
	for _, kinds := range assignments(t, []string{"quoll,3.9.5,quoll"}, []string{"quoll,3.9.5,3.9.5", "3.9.5,quoll,quoll", "quoll,quoll,quoll"}) {
		for name, shape := range map[string]struct {
			Options
			open, closed []string
		}{
			"IPv6":          {Options{Hosts: []string{"[::1]"}}, []string{"[::1]"}, []string{"127.0.0.1"}},
			"all addresses": {Options{Hosts: []string{"localhost"}, Config: []string{"quorumListenOnAllIPs=true"}}, []string{"[::1]", "127.0.0.1", "127.0.0.3"}, nil},
			"two addresses": {Options{Hosts: []string{"127.0.0.2", "[::1]"}, Flags: []string{"-Dzookeeper.multiAddress.enabled=true"}}, []string{"127.0.0.2", "[::1]"}, []string{"127.0.0.1"}},
		} {
			t.Run(nameOf(kinds)+" "+name, func(t *testing.T) {
				t.Parallel()
				shape.Kinds = kinds
				s := newShape(t, shape.Options)
				s.write()
				leader := serving(t, s.Ensemble)
				ports := []int{leader.quorum}
				for _, m := range s.Members {
					ports = append(ports, m.election)
				}
				for i, host := range append(shape.open, shape.closed...) {
					for _, port := range ports {
						conn, err := net.Dial("tcp", fmt.Sprint(host, ":", port))
						if open := i < len(shape.open); (err == nil) != open {
							t.Errorf("%s:%d is open: %v, and should be: %v", host, port, err == nil, open)
						}
						if err == nil {
							check(t, conn.Close())
						}
					}
				}
				check(t, leader.Kill())
				serving(t, s.Ensemble)
				s.write()
				check(t, leader.Start())
				serving(t, s.Ensemble)
				s.write()
				s.end()
			})
		}
	}
}

// TestGroups has five members in two groups: the first has three with a weight of 1, the second one with 1 and one with 0. A quorum needs both groups.
func TestGroups(t *testing.T) {
	for _, kinds := range assignments(t, []string{"3.9.5,quoll,quoll,3.9.5,quoll"}, []string{"quoll,3.9.5,3.9.5,quoll,3.9.5", "quoll,quoll,quoll,quoll,quoll"}) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			s := newShape(t, Options{Kinds: kinds, Config: []string{"group.1=1:2:3", "group.2=4:5", "weight.1=1", "weight.2=1", "weight.3=1", "weight.4=1", "weight.5=0"}})
			s.write()
			stop := func(serve bool, ids ...int64) {
				t.Helper()
				for _, id := range ids {
					check(t, s.Member(id).Kill())
				}
				if serve {
					serving(t, s.Ensemble)
					s.write()
				} else {
					check(t, s.await(func() bool {
						for _, m := range s.Members {
							if m.Running() && m.Mode() != "" {
								return false
							}
						}
						return true
					}))
				}
				for _, id := range ids {
					check(t, s.Member(id).Start())
				}
				if leader := serving(t, s.Ensemble); leader.ID == 5 {
					t.Error("a server without weight leads")
				}
				s.write()
			}
			stop(true, 5)     // has no weight
			stop(false, 4)    // is the second group
			stop(true, 1)     // of three
			stop(false, 2, 3) // of three
			s.end()
		})
	}
}

// TestTwoStop ends two of five at once, the leader and a follower, while the follower with the largest id, whom the others would elect, is stopped. The rest goes on, and who was
// stopped comes back to them.
func TestTwoStop(t *testing.T) {
	for _, kinds := range assignments(t, []string{"quoll,3.9.5,quoll,quoll,quoll"}, []string{"quoll,quoll,quoll,quoll,quoll", "3.9.5,quoll,3.9.5,quoll,3.9.5"}) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Parallel()
			s := newShape(t, Options{Kinds: kinds})
			s.write()
			leader := serving(t, s.Ensemble)
			others := s.others(leader)
			stopped, follower := others[len(others)-1], others[0]
			check(t, stopped.Pause())
			check(t, leader.Stop())
			check(t, s.await(func() bool { // of the three that are left
				leads, follows := 0, 0
				for _, m := range others[:3] {
					switch m.Mode() {
					case "leader":
						leads++
					case "follower":
						follows++
					}
				}
				return leads == 1 && follows == 2
			}))
			check(t, stopped.Resume())
			serving(t, s.Ensemble)
			s.write()
			check(t, leader.Start())
			leader = serving(t, s.Ensemble)
			if follower == leader {
				follower = s.others(leader)[0]
			}
			ended := make(chan error)
			for _, m := range []*Member{leader, follower} {
				go func() { ended <- m.Stop() }()
			}
			check(t, <-ended)
			check(t, <-ended)
			serving(t, s.Ensemble)
			s.write()
			check(t, s.Start(leader, follower))
			serving(t, s.Ensemble)
			s.end()
		})
	}
}
