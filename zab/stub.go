package zab

import (
	"time"

	"quoll/ensemble"
)

type ballot struct{}
type election struct{}
type leader struct{ epoch int64 }
type learner struct {
	link     LinkID
	sid      int64
	epoch    int64
	inflight int
}

const peerLive = 0

func (n *Node) initialVote() ballot                               { return ballot{} }
func (n *Node) look()                                             {}
func (n *Node) hear(Heard)                                        {}
func (n *Node) linkUp(LinkUp)                                     {}
func (n *Node) leave(string)                                      {}
func (n *Node) onSynced(int64)                                    {}
func (n *Node) epochPersisted(EpochPersisted)                     {}
func (n *Node) restored(Restored)                                 {}
func (n *Node) diskFailed(DiskFailed)                             {}
func (n *Node) propose(Record)                                    {}
func (n *Node) drain()                                            {}
func (e *election) tick()                                         {}
func (e *election) deadlines() time.Duration                      { return Never }
func (l *learner) tick()                                          {}
func (l *learner) deadlines() time.Duration                       { return Never }
func (l *learner) dialFailed(DialFailed)                          {}
func (l *learner) receive(Packet)                                 {}
func (l *learner) forward(Packet)                                 {}
func (l *leader) tick()                                           {}
func (l *leader) deadlines() time.Duration                        { return Never }
func (l *leader) linkDown(LinkDown)                               {}
func (l *leader) receive(LinkID, Packet)                          {}
func (l *leader) sent(Sent)                                       {}
func (l *leader) logRead(LogRead)                                 {}
func (l *leader) sync(Sync)                                       {}
func (l *leader) reply(Reply)                                     {}
func (l *leader) nextZxid() (int64, bool)                         { return 0, false }
func (l *leader) connected(int) ensemble.Set                      { return nil }
func (l *leader) status() (learners []LearnerStatus, syncing int) { return nil, 0 }
