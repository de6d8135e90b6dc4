package zab

import (
	"quoll/ensemble"
	"quoll/jute"
)

// configNode is where the config is kept as data.
const configNode = "/zookeeper/config"

// RecordOf makes a record of a transaction that came from a peer or from the log. It finds the config of a reconfig; everything else behind the header stays
// opaque. ok is false if the zxid of a record cannot be, if the header is none or of another zxid, or if a reconfig has no config: from a peer that is not taken, since
// what is in the log is read again by this server, and sent to others; from the log it is a record without a config. The record keeps data.
func RecordOf(zxid int64, data []byte) (r Record, ok bool) {
	r = Record{Zxid: zxid, Data: data}
	if c := counterOf(zxid); c == 0 || c > maxCounter || zxid < 0 {
		return r, false
	}
	d := jute.NewDecoder(data)
	var header jute.TxnHeader
	header.Decode(&d)
	if d.Err() != nil || header.Zxid != zxid {
		return r, false
	}
	if jute.Op(header.Type) != jute.OpReconfig {
		return r, true
	}
	var txn jute.SetDataTxn
	txn.Decode(&d)
	if d.Err() != nil || txn.Path != configNode {
		return r, false
	}
	c, err := ensemble.Parse(jute.JavaText(txn.Data))
	if err != nil || c.Version != zxid {
		return r, false
	}
	r.Config = c
	return r, true
}

// see makes c the last seen config (setLastSeenQuorumVerifier). A leader's NEWLEADER may take it back to an older one, since a proposal that was not committed
// may have gone with its epoch; never behind the one in force.
func (n *Node) see(c *ensemble.Config) {
	if !n.opts.Reconfig || c.Version < n.committed.Version || c.Version == n.lastSeen.Version {
		return
	}
	if c.Version == n.committed.Version {
		c = n.committed
	}
	n.lastSeen = c
	n.emit(Configure{n.committed, n.lastSeen})
}

// activate puts c in force (processReconfig). designated is the leader that its commit names, or noVote if the config came without one. It
// reports whether this server must leave its role: since its own or its leader's changed. Then n.direct says whether it knows where to go.
func (n *Node) activate(c *ensemble.Config, designated int64) (leave bool) {
	if !n.opts.Reconfig || mutant(activationForgotten) {
		return false
	}
	old, observer := n.committed, n.observer()
	if c.Version > old.Version {
		n.committed = c
		if n.lastSeen.Version <= c.Version {
			n.lastSeen = c
		}
		n.emit(Configure{n.committed, n.lastSeen})
		n.note("the config %x is in force", uint64(c.Version))
	}
	roleChanged := observer != n.observer()
	leaderChanged := false
	switch {
	case designated != noVote && designated != n.vote.leader:
		leaderChanged = true
		n.vote = ballot{leader: designated, zxid: c.Version, round: -1, epoch: -1, version: n.vote.version}
	case designated == noVote && c.Version > old.Version && !c.Equal(old):
		leaderChanged = !sameLeader(n.vote.leader, old, c)
	}
	if !roleChanged && !leaderChanged {
		return false
	}
	n.direct = designated != noVote || !leaderChanged
	return true
}

// sameLeader reports whether a leader votes in both configs and is reached at the same addresses.
func sameLeader(sid int64, old, c *ensemble.Config) bool {
	a, b := old.Server(sid), c.Server(sid)
	return a != nil && b != nil && a.Role == ensemble.Participant && b.Role == ensemble.Participant && sameQuorumAddrs(a, b)
}

func sameQuorumAddrs(a, b *ensemble.Server) bool {
	x, y := *a, *b
	x.Election, y.Election, x.Client, y.Client, x.Role, y.Role = nil, nil, nil, nil, 0, 0
	return x.Equal(&y)
}

// gossip is rule R3: while looking, a newer config that somebody has in force is put in force here, and the election begins anew with it. Java begins
// anew also if reconfig is disabled, and so forever.
func (n *Node) gossip(text string) (again bool) {
	if text == "" || text == n.configText() || !n.opts.Reconfig && !mutant(restartsForever) {
		return false
	}
	c, err := ensemble.Parse(text)
	if err != nil || c.Version <= n.committed.Version {
		return false
	}
	old := n.committed
	n.activate(c, noVote)
	n.direct = false
	if n.committed != c && !mutant(restartsForever) || c.Equal(old) {
		return false
	}
	n.look()
	return true
}

// designate chooses who leads after the leader put c in force: itself if it can go on, else the voter of c that has acknowledged most. Mirrors
// Leader.getDesignatedLeader.
func (l *leader) designate(c *ensemble.Config) int64 {
	n := l.n
	if sameLeader(n.opts.SID, n.committed, c) || mutant(designatedUnchecked) {
		return n.opts.SID
	}
	best, acked := n.opts.SID, int64(-1)
	for _, p := range l.peers {
		if c.IsVoter(p.sid) && !p.observer && p.phase >= peerAcked && p.acked >= acked {
			best, acked = p.sid, p.acked
		}
	}
	return best
}
