package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"quoll/ensemble"
	"quoll/zab"
	"quoll/zab/wire"
)

// serveObservers begins to pass observers on to a leader (Java's ObserverMaster answers them itself from what the follower knows). Observers that only know the followers'
// ports work, and reach a leader that they could not reach themselves; the leader still has a link for each.
func (p *Peer) serveObservers(leader int64) {
	port := p.opts.Config.ObserverMasterPort
	if port <= 0 {
		return
	}
	addresses := p.addresses(p.members.Load())
	for i, a := range addresses {
		host, _, _ := net.SplitHostPort(a)
		addresses[i] = net.JoinHostPort(host, strconv.Itoa(port))
	}
	p.master = p.listenAt(addresses, nil, func(ctx context.Context, observer *conn, first wire.Packet) {
		defer observer.Close()
		if err := p.passOn(ctx, leader, observer, first); err != nil {
			p.rated.Info("an observer cannot be passed on to the leader", "observer", observer.RemoteAddr().String(), "error", err)
		}
	})
}

func (p *Peer) stopObservers() {
	if p.master != nil {
		p.master.close()
		p.master = nil
	}
}

// passOn connects an observer with the leader until either of them ends its connection, or ctx ends. What goes over the two is the same, byte for byte; each is secured and
// authenticated for itself.
func (p *Peer) passOn(ctx context.Context, leader int64, observer *conn, first wire.Packet) error {
	if first.Type != wire.TypeObserverInfo {
		return fmt.Errorf("%v is not what an observer begins with", first.Type)
	}
	c, err := p.connect(p.members.Load().server(leader))
	if err != nil {
		return err
	}
	hangUp := func() {
		_ = observer.Close()
		_ = c.Close()
	}
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	if _, err := c.Write(first.Append(nil)); err != nil {
		return err
	}
	if err := observer.SetDeadline(time.Time{}); err != nil {
		return err
	}
	defer p.passes(observer)()
	const passed = "an observer is passed on to the leader"
	kind := passed
	if p.members.Load().server(observer.sid) != nil {
		kind = fmt.Sprint(passed, observer.sid) // which strangers do not crowd out
	}
	p.rated.Log(slog.LevelInfo, kind, passed, "sid", observer.sid, "observer", observer.RemoteAddr().String(), "leader", leader)
	p.wg.Go(func() {
		defer hangUp()
		_, _ = io.Copy(c, observer.reader)
	})
	_, _ = io.Copy(observer, c.reader)
	return nil
}

// masterTimeout is how long a follower that passes observers on may take to answer, before the next one is tried.
const masterTimeout = time.Second

// connectAsObserver connects to a voter that passes observers on; the leader is none. They are tried in random order, so that observers spread over them.
func (p *Peer) connectAsObserver() (*conn, error) {
	voters := slices.DeleteFunc(slices.Clone(p.members.Load().committed.Servers), func(s ensemble.Server) bool { return s.Role != ensemble.Participant })
	rand.Shuffle(len(voters), func(i, k int) { voters[i], voters[k] = voters[k], voters[i] })
	var errs []error
	for _, s := range voters {
		addrs := slices.Clone(s.Quorum)
		for i := range addrs {
			addrs[i].Port = p.opts.Config.ObserverMasterPort
		}
		c, err := p.connectAny(s.ID, addrs, masterTimeout)
		if err == nil {
			p.learnsFrom.Store(s.ID)
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Master is the sid of the server that this one learns from: the leader, or the follower that passes an observer on; 0 if it is no learner.
func (p *Peer) Master() int64 {
	s := p.Status()
	switch sid := p.learnsFrom.Load(); {
	case s.Role == zab.Observing && sid != 0:
		return sid
	case s.Role == zab.Observing || s.Role == zab.Following:
		return s.Leader
	}
	return 0
}
