package server

import (
	"quoll/replica"
)

// ErrTTLNodes is the error of a data directory with TTL nodes while extendedTypesEnabled is off.
var ErrTTLNodes = replica.ErrTTLNodes

// dataDirs are the version-2 directories of snapshots and logs.
type dataDirs struct{ snap, log string }

// recover makes the tree from what the data directory has.
func (s *Server) recover() error {
	state, err := replica.Load(&s.replica, 0)
	if err != nil {
		return err
	}
	s.dirs, s.tree = dataDirs{state.SnapDir, state.LogDir}, state.Tree
	k := newCheckpointer(s)
	k.store = state.Store
	s.checkpoints = k
	stranded := false
	for _, id := range s.tree.EphemeralOwners() {
		if _, ok := s.tree.SessionTimeout(id); !ok {
			s.log.Warn("deleting the ephemerals of a session that is no more", "session", hex(id))
			s.tree.KillSession(id)
			stranded = true
		}
	}
	s.local.log = replica.NewLog(&s.replica, s.dirs.log, func() { s.stats.fsyncExceeded.Add(1) })
	s.local.prepareDisk()
	k.mark = state.Mark
	k.full.Store(!state.Whole)
	k.wanted.Store(!state.Newest.Ours)
	// Without any snapshot ZooKeeper would not start on this directory. And what was just deleted is in no transaction: replayed over it
	// again, the log that follows would not give the same tree.
	if !state.Found || stranded {
		if stranded {
			k.drop() // the log leads from there to what was just deleted
			k.full.Store(true)
		}
		return k.startingSnapshot()
	}
	return nil
}
