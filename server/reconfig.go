package server

import (
	"errors"
	"fmt"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/tree"
)

// Membership is what a reconfig asks of the ensemble: the zab.Node of its leader.
type Membership interface {
	// Configs are the config in force and the newest one heard of; their versions differ while a reconfig is under way.
	Configs() (committed, lastSeen *ensemble.Config)
	// CanReconfigure reports whether the leader and the followers in step with it contain a quorum of a config.
	CanReconfigure(*ensemble.Config) bool
}

// Members sets whom a reconfig asks; nil, as it is to begin with, is for a server that stands alone.
func (pr *Preparer) Members(m Membership) { pr.members = m }

// reconfig prepares a change of the members (the reconfig case of PrepRequestProcessor.pRequest2Txn), with ZooKeeper's checks in its order: those of the
// request come before those of who asks.
func (pr *Preparer) reconfig(txn *tree.Txn, r *Request, d *jute.Decoder) jute.Code {
	var q jute.ReconfigRequest
	q.Decode(d)
	switch {
	case d.Err() != nil:
		return jute.ErrMarshalling
	case !pr.opts.ReconfigEnabled:
		return jute.ErrReconfigDisabled
	case !pr.alive(r):
		return jute.ErrSessionExpired
	case pr.members == nil:
		return jute.ErrUnimplemented
	}
	committed, lastSeen := pr.members.Configs()
	if committed.Version != lastSeen.Version {
		return jute.ErrReconfigInProgress
	}
	rules := ensemble.Rules{MultiAddress: pr.opts.MultiAddressEnabled, StandaloneEnabled: pr.opts.StandaloneEnabled}
	next, err := lastSeen.Reconfig(&q, txn.Zxid, rules)
	if code := jute.OK; errors.As(err, &code) {
		pr.warn("reconfig refused", "session", hex(r.Session), "error", err)
		return code
	}
	if !pr.members.CanReconfigure(next) {
		return jute.ErrNewConfigNoQuorum
	}
	var node pending
	if code := pr.permitted(tree.ConfigPath, &node, jute.PermWrite, r); code != jute.OK {
		return code
	}
	txn.Path, txn.Data, txn.Version = tree.ConfigPath, []byte(next.String()), -1
	after := node
	after.stat.Version, after.stat.Mzxid, after.stat.Mtime = txn.Version, txn.Zxid, txn.Time
	after.crc = pr.digester.Content(tree.ConfigPath, txn.Data)
	pr.put(tree.ConfigPath, txn.Zxid, &node, &after)
	return jute.OK
}

// replyData appends the answer to a reconfig: the config's text and the stat.
func replyData(b []byte, r *tree.Result) []byte { return r.Stat.Append(jute.AppendBuffer(b, r.Data)) }

// setConfig makes /zookeeper/config say what the committed config is, and tells those who watch it. Members do that of their own accord, each for itself, since a
// config comes by election and synchronization as well as by a transaction (ZKDatabase.initConfigInZKDatabase).
// A config that is older than the newest reconfig of the history is not told: it is forgotten after the next start, and the history must not be (zab.Disk.Config).
func (s *Server) setConfig(c *ensemble.Config) {
	s.shareOutstanding(c)
	s.lockTree()
	if n := s.tree.Lookup(tree.ConfigPath); n != nil && s.opts.ReconfigEnabled && n.Persisted().Mzxid > c.Version {
		s.unlockTree()
		return
	}
	change, changed := s.tree.SetConfig([]byte(c.String()), c.Version, s.opts.Now().UnixMilli())
	if changed && s.watches.total.Load() > 0 {
		s.notify(&change, c.Version)
	}
	s.unlockTree()
	s.countConfig(c)
	s.flushAll()
	if changed {
		s.log.Info(fmt.Sprintf("the members are %v and the observers %v", c.Voters(), c.Observers()), "version", fmt.Sprintf("%x", uint64(c.Version)))
	}
}
