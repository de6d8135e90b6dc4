package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quoll/alarm"
	"quoll/config"
	"quoll/ensemble"
	"quoll/metrics"
	"quoll/quorum/election"
	"quoll/ratelog"
	"quoll/zab"
	"quoll/zab/wire"
)

const (
	// behindLimit is how many bytes of transactions may wait for the disk or for the state before no more are taken in.
	behindLimit = 8 << 20
	// heardLimit is how many bytes of votes may wait for the driver before no more are read.
	heardLimit = 1 << 20
	// reloadPause is how long a disk that cannot be read is left alone.
	reloadPause = time.Second
	// finalizeWait is how long a won election waits for a better vote. Java waits 200 ms. A vote that comes later costs one more election and nothing
	// else, and who votes has usually done so within a few milliseconds.
	finalizeWait = 20 * time.Millisecond
)

// Options says how a [Peer] runs.
type Options struct {
	// Config is the configuration, with the membership and the id of this server.
	Config *config.Config
	// Logger gets what an operator should know; nil is silence.
	Logger *slog.Logger
	// Metrics are those of the server, where the ensemble counts too; nil is none.
	Metrics *metrics.Set
	// Configured, if it is set, is told each config that is put in force, by a goroutine of its own.
	Configured func(*ensemble.Config)
	// Secure comes first on a new connection of either port: it returns the connection that is to be used. host is the one that was dialled, as in the config,
	// and empty on an accepted connection. It has to return when conn is closed, which it may be at any time; what it returned is never closed itself. Nil is what Config
	// says: TCP, or TLS.
	Secure func(conn net.Conn, host string) (net.Conn, error)
	// Authenticate comes next, on the election port behind the initial message: as the client on a connection that was dialled, as the server on one that was
	// accepted. sid is 0 where it is not known yet. Everything is read from r. It has to return when the connection is closed. Nil is what Config says: none, or SASL.
	Authenticate func(conn net.Conn, r *wire.Reader, sid int64, dialled bool) error
}

// Peer is this server as a member of its ensemble.
type Peer struct {
	opts  Options
	log   *slog.Logger
	rated *ratelog.Logger // of what others can bring about as often as they like
	app   App
	node  *zab.Node
	begin time.Time
	votes *election.Port
	// material is TLS as the configuration has it, nil for none.
	material *security

	disk   *queue
	reads  *queue // of the log, for learners
	state  *queue
	told   *queue // of Options.Configured
	behind *gauge // bytes of transactions that wait for disk and state
	// waiting is how many transactions wait for the disk.
	waiting atomic.Int64
	heard   *gauge // bytes of votes that wait for the driver

	// The driver's own.
	links    map[zab.LinkID]*link
	listener *listener
	master   *listener // while following, with observerMasterPort
	effects  []zab.Effect
	taken    []message
	touched  []*link // that were sent something in this turn
	counters counters

	inbox struct {
		sync.Mutex
		list []message
	}
	turn struct {
		sync.Mutex             // of who drives
		news       atomic.Bool // something has happened that nobody has looked at
		ended      bool        // nobody drives any more
	}
	wake     chan struct{} // has the driver's own goroutine drive
	alarm    *alarm.Alarm  // has it drive in less than a millisecond
	alarmed  bool          // it is set; of who drives
	timer    *time.Timer   // has it drive when the node wants a tick, or requests are due
	lastLink atomic.Uint64
	members  atomic.Pointer[members]
	role     atomic.Int32 // a zab.Role, that of the last turn
	// learnsFrom is the follower that an observer is passed on by, 0 for none; passedOn are the observers that are passed on here.
	learnsFrom atomic.Int64
	passedOn   struct {
		sync.Mutex
		since map[*conn]time.Time
	}

	// maxBatch is how many transactions may have one sync, 0 for no limit; set once at start.
	maxBatch int

	// The disk goroutine's own.
	unsynced, failed bool
	logging          logging

	buffers sync.Pool
	guests  guests
	ctx     context.Context // of everything that waits for others, connections too
	cancel  context.CancelFunc
	stop    chan struct{} // the peer is to end
	once    sync.Once
	wg      sync.WaitGroup // links and dials
	done    chan struct{}
	err     error
}

// members are the configs as the driver last heard of them.
type members struct{ committed, lastSeen *ensemble.Config }

// server finds a member, of the committed config if it is there.
func (m *members) server(sid int64) *ensemble.Server {
	if s := m.committed.Server(sid); s != nil {
		return s
	}
	return m.lastSeen.Server(sid)
}

// hosts are the names and addresses of all members.
func (m *members) hosts() (hosts []string) {
	for _, c := range []*ensemble.Config{m.committed, m.lastSeen} {
		for _, server := range c.Servers {
			for _, a := range slices.Concat(server.Quorum, server.Election) {
				if a.Host != "" && !slices.Contains(hosts, a.Host) {
					hosts = append(hosts, a.Host)
				}
			}
		}
	}
	return hosts
}

// message is an event for the driver.
type message struct {
	event   zab.Event
	link    *link         // a new one, with LinkUp, or the one of the packets
	packets []wire.Packet // that arrived, in place of an event
	size    int           // what it counts for in ahead
	ahead   *gauge        // of the link that it came from
}

// Start makes the server behind app a member of the ensemble that the configuration names. Its errors name the key that is wrong.
func Start(o Options, app App) (*Peer, error) {
	c := o.Config
	p := &Peer{opts: o, log: o.Logger, app: app, begin: time.Now(), disk: newQueue(), reads: newQueue(), state: newQueue(), told: newQueue(), links: map[zab.LinkID]*link{},
		wake: make(chan struct{}, 1), guests: guests{members: map[int64][]*conn{}}, stop: make(chan struct{}), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.rated = ratelog.New(p.log)
	p.behind, p.heard = newGauge(behindLimit, p.poke), newGauge(heardLimit, nil)
	if c.MaxBatchSize > 0 && c.IsSet("maxBatchSize") {
		p.maxBatch = c.MaxBatchSize
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New(metrics.Null)
	}
	p.counters, p.logging.m = newCounters(o.Metrics, c), o.Metrics
	committed, lastSeen := &c.Ensemble, c.LastSeen
	if lastSeen == nil {
		lastSeen = committed
	}
	if committed.Server(c.MyID) == nil && lastSeen.Server(c.MyID) == nil {
		return nil, fmt.Errorf("quorum: My id %d not in the peer list", c.MyID)
	}
	p.members.Store(&members{committed, lastSeen})
	material, identity, err := readCredentials(c, p.members.Load, p.log)
	if err != nil {
		return nil, fmt.Errorf("quorum: %w", err)
	}
	if material != nil && p.opts.Secure == nil {
		p.opts.Secure = material.secure
	}
	if identity != nil && p.opts.Authenticate == nil {
		p.opts.Authenticate = identity.authenticate
	}
	handshake := c.QuorumCnxnTimeout
	if handshake <= 0 {
		handshake = time.Duration(c.SyncLimit) * c.TickTime
	}
	p.votes, err = election.Open(election.Options{
		SID: c.MyID, ListenOnAllIPs: c.QuorumListenOnAllIPs, BindRetries: c.ElectionPortBindRetry, CnxTimeout: c.CnxTimeout, HandshakeTimeout: handshake,
		KeepAlive: c.TCPKeepAlive, MultiAddress: c.MultiAddressEnabled, RefuseStrangers: !c.ReconfigEnabled,
		Heard:      p.hear,
		BindFailed: func(err error) { p.fail(fmt.Errorf("quorum: the election port: %w", err)) },
		Secure:     p.opts.Secure, Authenticate: p.opts.Authenticate, Logger: p.log,
	}, committed, lastSeen)
	if err != nil {
		return nil, fmt.Errorf("quorum: %w", err)
	}
	p.node = zab.New(nodeOptions(c), zab.State{Disk: app.Disk(), Committed: committed, LastSeen: lastSeen})
	p.timer = time.NewTimer(time.Hour)
	p.alarm = alarm.New(p.drive)
	app.Attach(p.drive, p.state.push)
	p.state.push(func() { app.Configured(committed) })
	p.material = material
	if material != nil && c.QuorumCertReload {
		p.wg.Go(func() { material.tls.Watch(p.ctx.Done(), p.log) })
	}
	go p.run()
	return p, nil
}

// Check reads what the settings name for the ports between servers, and says of it what a start says. The error is that of the start.
func Check(c *config.Config, log *slog.Logger) error {
	_, _, err := readCredentials(c, nil, log)
	return err
}

// readCredentials reads the stores of TLS between servers and the sections of SASL, each nil if it is not used, and checks the limits of the protocol. The error is a config.Error.
func readCredentials(c *config.Config, members func() *members, log *slog.Logger) (*security, *authentication, error) {
	if err := nodeOptions(c).Validate(); err != nil {
		return nil, nil, &config.Error{Err: err}
	}
	material, err := newSecurity(c, members, log)
	if err != nil {
		return nil, nil, &config.Error{Err: err}
	}
	identity, err := newAuthentication(c, members, log)
	if err != nil {
		return nil, nil, &config.Error{Err: err}
	}
	return material, identity, nil
}

// nodeOptions are the settings of the node.
func nodeOptions(c *config.Config) zab.Options {
	var pause func() time.Duration
	if most := c.ObserverReconnectDelay; most > 0 {
		pause = func() time.Duration { return rand.N(most) }
	}
	return zab.Options{
		ReconnectPause: pause,

		SID: c.MyID, Tick: c.TickTime, InitLimit: c.InitLimit, SyncLimit: c.SyncLimit, Reconfig: c.ReconfigEnabled, ReadOnly: c.ReadOnlyModeEnabled,
		MinNotificationInterval: c.MinNotificationInterval, MaxNotificationInterval: c.MaxNotificationInterval, FinalizeWait: finalizeWait,
		ConnectPause: c.LeaderConnectDelayDuringRetry, ConnectTime: time.Duration(c.ConnectToLearnerMasterLimit) * c.TickTime, MaxTimeToWaitForEpoch: c.LeaderMaxTimeToWaitForEpoch,
		ForceSnapshotSync: c.ForceSnapshotSync, SnapshotSizeFactor: c.SnapshotSizeFactor, CommitLogCount: c.CommitLogCount,
		MaxSnapshots: c.LeaderMaxConcurrentSnapSyncs, MaxDiffs: c.LeaderMaxConcurrentDiffSyncs,
	}
}

// initTime is how long a peer may take for one step of a synchronization.
func (p *Peer) initTime() time.Duration {
	return time.Duration(p.opts.Config.InitLimit) * p.opts.Config.TickTime
}

// Status is a picture of the node.
func (p *Peer) Status() zab.Status {
	p.turn.Lock()
	s := p.node.Status()
	p.turn.Unlock()
	if p.turn.news.Load() {
		p.poke() // who brought it took this for somebody who drives
	}
	return s
}

// Configs are the configs in force and last seen.
func (p *Peer) Configs() (committed, lastSeen *ensemble.Config) {
	m := p.members.Load()
	return m.committed, m.lastSeen
}

// Done is closed when the peer has ended, by Close or because it cannot go on: then Err says why.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Err says why the peer ended by itself; it is nil before Done is closed.
func (p *Peer) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Close leaves the ensemble and closes the data directory. It returns when everything has ended.
func (p *Peer) Close() error {
	p.fail(nil)
	<-p.done
	return p.err
}

// fail ends the peer.
func (p *Peer) fail(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.stop)
	})
}

// hear hands a vote to the driver, and holds up its connection if there are many.
func (p *Peer) hear(from int64, vote wire.Notification) {
	size := 64 + len(vote.Config)
	p.heard.add(size)
	p.post(message{event: zab.Heard{From: from, Vote: vote}, size: size, ahead: p.heard})
	p.heard.wait()
}

// post leaves an event for the next turn, which is soon. It may be called from within a turn.
func (p *Peer) post(m message) {
	p.leave(m)
	p.poke()
}

// tell gives an event to the node at once, if nobody else is driving.
func (p *Peer) tell(m message) {
	p.leave(m)
	p.drive()
}

func (p *Peer) leave(m message) {
	p.inbox.Lock()
	defer p.inbox.Unlock()
	p.inbox.list = append(p.inbox.list, m)
}

// poke has the driver's own goroutine drive.
func (p *Peer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Peer) now() time.Duration { return time.Since(p.begin) }

// run drives when it is time, and ends the peer.
func (p *Peer) run() {
	var diskDone, stateDone sync.WaitGroup
	diskDone.Go(func() { p.disk.run(p.sync) })
	stateDone.Go(func() { p.state.run(nil) })
	stateDone.Go(func() { p.told.run(nil) })
	stateDone.Go(func() { p.reads.run(nil) })
	for {
		p.drive()
		select {
		case <-p.wake:
		case <-p.timer.C:
		case <-p.stop:
			p.end()
			p.disk.close()
			diskDone.Wait()
			p.state.close()
			p.told.close()
			p.reads.close()
			stateDone.Wait()
			p.wg.Wait()
			p.err = errors.Join(p.err, p.app.End())
			close(p.done)
			return
		}
	}
}

// maxTurns is how many turns somebody takes who has something else to do, such as to read a link on, before he leaves the driving to the driver's own goroutine.
const maxTurns = 4

// drive takes turns until nothing has happened that was not looked at, unless somebody else is driving, who then does. Whoever brings news drives: to wake
// a goroutine for it would cost more than most turns. Who calls it holds no lock.
func (p *Peer) drive() {
	p.turn.news.Store(true)
	runtime.Gosched() // what others are about to bring is for the same turn
	for turns := 0; p.turn.news.Load() && p.turn.TryLock(); turns++ {
		switch {
		case p.turn.ended:
			p.turn.Unlock()
			return
		case turns == maxTurns:
			p.turn.Unlock()
			p.poke()
			return
		}
		p.turn.news.Store(false)
		p.takeTurn()
		p.turn.Unlock()
	}
}

// takeTurn takes in what has happened and carries out what follows from it.
func (p *Peer) takeTurn() {
	p.step()
	wait := zab.Never
	if !p.behind.full() {
		wait = p.app.Work(p.now(), p.node)
	}
	p.carryOut()
	p.flush()
	p.counters.seen(p.node.Role(), p.node.Round())
	p.role.Store(int32(p.node.Role()))
	if at := p.node.Deadline(); at != zab.Never {
		wait = min(wait, max(0, at-p.now()))
	}
	switch soon := wait > 0 && wait < time.Millisecond; {
	case soon:
		p.alarm.Set(wait)
		p.alarmed = true
		return
	case p.alarmed:
		p.alarm.Set(0)
		p.alarmed = false
	}
	p.timer.Reset(min(wait, time.Hour))
}

// end closes what is open. It takes no part in elections any more when its links end: who loses them would hear from it that it leads, and follow it again.
func (p *Peer) end() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.turn.ended = true
	p.timer.Stop()
	p.alarm.Close()
	p.heard.close()
	if p.material != nil {
		p.material.tls.Close() // handshakes wait for others than the peer
	}
	p.votes.Close()
	p.cancel()
	p.listen(false)
	p.stopObservers()
	p.behind.close()
	p.state.push(p.app.StopServing())
}

// step takes in what has happened.
func (p *Peer) step() {
	p.inbox.Lock()
	p.taken, p.inbox.list = p.inbox.list, p.taken[:0]
	p.inbox.Unlock()
	now := p.now()
	for i := range p.taken {
		m := &p.taken[i]
		if m.ahead != nil {
			m.ahead.add(-m.size)
		}
		if len(m.packets) > 0 {
			p.event(now, m.link, zab.Received{Link: m.link.id, Packets: m.packets})
		}
		if m.event != nil {
			p.event(now, m.link, m.event)
		}
		*m = message{}
	}
	p.taken = p.taken[:0]
	if p.node.Deadline() <= now {
		p.node.Step(now, zab.Tick{})
	}
}

// event gives an event to the node, unless it is of a link that the node has closed.
func (p *Peer) event(now time.Duration, l *link, e zab.Event) {
	if p.known(l, e) {
		was := p.node.Role()
		p.node.Step(now, e)
		p.counters.stepped(e, was, p.node.Role(), p.links)
	}
}

// known notes links that come and go, and reports whether an event is of one that the node may hear of.
func (p *Peer) known(l *link, e zab.Event) bool {
	var id zab.LinkID
	switch e := e.(type) {
	case zab.LinkUp:
		p.links[e.Link] = l
		return true
	case zab.LinkDown:
		_, ok := p.links[e.Link]
		delete(p.links, e.Link)
		return ok
	case zab.Received:
		id = e.Link
	case zab.Sent:
		id = e.Link
	case zab.LogRead:
		id = e.Link
	default:
		return true
	}
	_, ok := p.links[id]
	return ok
}

// carryOut runs the effects.
func (p *Peer) carryOut() {
	p.effects = p.node.Effects(p.effects[:0])
	for i, e := range p.effects {
		p.counters.carried(e)
		p.carry(e)
		p.effects[i] = nil
	}
}

// flush lets leave what was sent in this turn.
func (p *Peer) flush() {
	for len(p.touched) > 0 {
		for i, l := range p.touched {
			if n := l.flush(); n > 0 && p.links[l.id] == l {
				p.node.Step(p.now(), zab.Sent{Link: l.id, Bytes: n})
			}
			p.touched[i] = nil
		}
		p.touched = p.touched[:0]
		p.carryOut()
	}
}

func (p *Peer) carry(e zab.Effect) {
	switch e := e.(type) {
	case zab.Notify:
		p.votes.Notify(e.To, e.Vote)
	case zab.Dial:
		p.dial(e)
	case zab.Listen:
		p.listen(e.On)
	case zab.Close:
		p.closeLink(e)
	case zab.Send:
		if l := p.links[e.Link]; l != nil {
			l.send(e.Packets, true)
		}
	case zab.EchoPing:
		if l := p.links[e.Link]; l != nil {
			l.send([]wire.Packet{{Type: wire.TypePing, Zxid: e.Zxid, Data: p.app.Touched()}}, false)
		}
	case zab.SendSnapshot:
		if l := p.links[e.Link]; l != nil {
			s := l.sendStream()
			p.state.push(func() {
				p.app.Stream(func(zxid int64, write func(w io.Writer) error, err error) { s.run(l, zxid, write, err) })
			})
		}
	case zab.Deliver:
		p.deliver(e)
	case zab.Append:
		p.append(e.Records)
	case zab.PersistEpoch:
		p.onDisk(func() error {
			if err := p.app.PersistEpoch(e.File, e.Epoch); err != nil {
				return fmt.Errorf("%v: %w", e.File, err)
			}
			p.post(message{event: zab.EpochPersisted(e)})
			return nil
		})
	case zab.Truncate:
		p.restore(e.Restore, func() (then func(), err error) { return nil, p.app.Truncate(e.Zxid) })
	case zab.InstallSnapshot:
		l := p.links[e.Link]
		p.restore(e.Restore, func() (then func(), err error) { return p.install(l, e.Zxid) })
	case zab.Reload:
		p.reload(e.Restore)
	case zab.ReadLog:
		p.readLog(e)
	case zab.Apply:
		p.apply(e.Records)
	case zab.Configure:
		p.configure(e)
	case zab.Serve:
		p.log.Info(fmt.Sprintf("%v in epoch %d: serving", e.Role, e.Epoch), "leader", e.Leader)
		p.state.push(p.app.Serve(e))
		if e.Role == zab.Following {
			p.serveObservers(e.Leader)
		}
	case zab.ServeReadOnly:
		p.log.Warn("no quorum: serving read-only clients")
		p.state.push(p.app.ServeReadOnly())
	case zab.StopServing:
		p.state.push(p.app.StopServing())
		p.stopObservers()
	case zab.SyncDone:
		p.state.push(func() { p.app.SyncDone(e.Tag) })
	case zab.Note:
		level := slog.LevelInfo
		if e.Warn {
			level = slog.LevelWarn
		}
		if e.Kind == "" {
			p.log.Log(context.Background(), level, e.Text)
		} else {
			p.rated.Log(level, e.Kind, e.Text)
		}
	default:
		panic(fmt.Sprintf("quorum: unknown effect %T", e))
	}
}

// deliver hands on a packet: a learner's at once, the leader's in its turn among the transactions.
func (p *Peer) deliver(e zab.Deliver) {
	l := p.links[e.Link]
	switch {
	case l == nil:
	case l.dialled:
		p.state.push(func() {
			if err := p.app.Answer(e.Packet); err != nil { // somebody waits for what it was to say
				p.post(message{event: zab.LinkDown{Link: e.Link, Reason: "what cannot be read: " + err.Error()}})
				l.end()
			}
		})
	default:
		p.turn.news.Store(true) // for Work to take it in one more turn
		if err := p.app.Deliver(e); err != nil {
			p.rated.Warn("closing the link of a learner", "sid", e.SID, "error", err)
			delete(p.links, e.Link)
			l.end()
			p.node.Step(p.now(), zab.LinkDown{Link: e.Link, Reason: err.Error()})
		}
	}
}

func (p *Peer) closeLink(e zab.Close) {
	l := p.links[e.Link]
	if l == nil {
		return
	}
	delete(p.links, e.Link)
	if e.Error {
		p.rated.Warn("closing a link", "peer", l.conn.RemoteAddr().String(), "reason", e.Reason)
	}
	l.finish()
}

// configure puts configs in force.
func (p *Peer) configure(e zab.Configure) {
	before := p.members.Load()
	p.members.Store(&members{e.Committed, e.LastSeen})
	p.votes.Configure(e.Committed, e.LastSeen)
	p.onDisk(func() error {
		p.app.Configure(e.Committed, e.LastSeen)
		return nil
	})
	p.state.push(func() { p.app.Configured(e.Committed) })
	if told := p.opts.Configured; told != nil {
		p.told.push(func() { told(e.Committed) })
	}
	if p.listener != nil && !slices.Equal(p.addresses(before), p.addresses(p.members.Load())) {
		p.listen(false)
		p.listen(true)
	}
}

func (p *Peer) buffer() []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 4096)
}

func (p *Peer) recycle(b []byte) {
	if cap(b) <= 4*writeChunk {
		p.buffers.Put(&b)
	}
}
