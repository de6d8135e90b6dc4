package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quoll/audit"
	"quoll/config"
	"quoll/jute"
	"quoll/metrics"
	"quoll/ratelog"
	"quoll/replica"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/zab"
)

// Options says how a server runs. The configuration has the documented keys; the rest is for programs that embed it.
type Options struct {
	*config.Config
	// Listeners take clients. They are closed with the server.
	Listeners []net.Listener
	// SecureListener takes clients with TLS; nil for none. It is closed with the server.
	SecureListener net.Listener
	// InMemory keeps everything in memory: no directory is read or written.
	InMemory bool
	// FS is the file system of the data directories, and StoreFS is the same one for the store; nil is the operating system's.
	FS      txnlog.FS
	StoreFS vfs.FS
	// CheckpointBytes is how much log there may be before the store is brought up to date, 0 for as much as a start replays in well under a second.
	CheckpointBytes int64
	// Logger gets what an operator should know; nil is silence.
	Logger *slog.Logger
	// Served hears of every request that was answered, beside service and one at a time; of some it does not hear if it is too slow. nil is nobody.
	Served func(Served)
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
}

// maxEntry is the most bytes that a transaction may take in the log, or ZooKeeper could not read it back.
func (o *Options) maxEntry() int { return o.JuteMaxBuffer + o.JuteMaxBufferExtraSize }

// serverID is the id in the top byte of session ids. A standalone server without one takes 1, as ZooKeeper does.
func (o *Options) serverID() int64 { return max(o.MyID, 1) }

// Server serves clients from one tree.
type Server struct {
	opts      *Options
	log       *slog.Logger
	rated     *ratelog.Logger // of what clients can bring about as often as they like
	metrics   *metrics.Set
	auth      *authenticator
	audit     *audit.Log // nil without audit.enable
	journal   *journal   // nil if nobody wants to hear of requests
	doorstep  *doorstep  // nil if no client comes with TLS
	lot       *lot       // nil where the system has none
	tree      *tree.Tree
	locks     []paddedLock // the tree's lock in shards: a reader takes one, a writer all
	prep      *Preparer
	sequencer Sequencer
	local     *local  // the sequencer of a standalone server, nil in an ensemble
	member    *Member // the sequencer of a member of an ensemble, nil in a standalone server
	sessions  *sessionTracker
	watches   watchTable
	listings  listings
	stats     serverStats
	started   time.Time
	traceMask atomic.Int64
	samples   atomic.Pointer[samples] // nil unless somebody wants to know

	turn         Room            // has room for the one long answer to a word that is being made
	allowedWords map[string]bool // the four-letter words of the whitelist; "*" is all

	replyDelay atomic.Int64 // nanoseconds, see DelayReplies
	lastZxid   atomic.Int64 // of the last transaction applied, or e.0 of the epoch that is served
	// service counts the times that this server began to serve, is 0 while it does not, and negative while it serves read-only clients: a request belongs to the
	// one that it was read in. A standalone server has one.
	service     atomic.Int64
	outstanding atomic.Int64     // requests on their way through the pipeline
	large       atomic.Int64     // bytes of the large ones among them
	finished    chan struct{}    // a request is done, for those that are stalled
	throttle    *sessionThrottle // nil if there is none
	// outstandingShare is what this server may have of globalOutstandingLimit.
	outstandingShare atomic.Int64
	unsent           atomic.Int64 // bytes of output of all connections

	conns struct {
		sync.Mutex
		listeners []net.Listener
		all       map[*conn]struct{}
		perIP     map[string]int
		next      int64
		closed    bool
	}
	apply       applier
	checkpoints *checkpointer // nil in memory
	replica     replica.Options
	dirs        dataDirs   // set once at start; empty in memory
	files       sync.Mutex // of the directories: nothing is purged while log and snapshots are made others
	wg          sync.WaitGroup
	stop        chan struct{}
	once        sync.Once
	done        chan struct{}
}

type paddedLock struct {
	sync.RWMutex
	_ [64]byte
}

// Start loads the data directory and serves the listeners until Close. Its errors name the file or key that is wrong.
func Start(o Options) (*Server, error) {
	s := &Server{
		opts: &o, log: o.Logger, started: time.Now(), stop: make(chan struct{}), done: make(chan struct{}),
		locks: make([]paddedLock, max(1, runtime.GOMAXPROCS(0))), finished: make(chan struct{}, 1), turn: make(Room, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.rated = ratelog.New(s.log)
	if o.Now == nil {
		o.Now = time.Now
	}
	if (o.FS == nil) != (o.StoreFS == nil) && !o.InMemory {
		return nil, errors.New("server: FS and StoreFS must be the same file system")
	}
	if o.FS == nil {
		o.FS = txnlog.OS
	}
	provider, err := metrics.ParseProvider(o.MetricsProvider)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("metricsProvider.className: %w", err)}
	}
	s.metrics = metrics.New(provider)
	s.stats.latency = metrics.NewSummary()
	s.stats.reset()
	s.traceMask.Store(defaultTraceMask)
	s.allowedWords = map[string]bool{"srvr": true}
	for _, name := range o.FourLetterWhitelist {
		s.allowedWords[name] = true
	}
	s.throttle = newSessionThrottle(o.ConnectionThrottle, time.Now())
	s.outstandingShare.Store(int64(o.GlobalOutstandingLimit))
	s.conns.all, s.conns.perIP = map[*conn]struct{}{}, map[string]int{}
	if err := s.readCredentials(o.SecureListener != nil); err != nil {
		return nil, err
	}
	s.journal = newJournal(o.SlowRequestThreshold, o.Served, s.rated)
	s.listings.limit = o.MaxGetChildrenResponseCacheSize
	s.replica = replica.Options{Config: o.Config, FS: o.FS, StoreFS: o.StoreFS, Metrics: s.metrics, Logger: s.log}
	load := s.recover
	switch {
	case o.Distributed:
		load = s.join
	case o.InMemory:
		load = func() error {
			s.tree = tree.New()
			return nil
		}
	}
	if !o.Distributed {
		s.local = newLocal(s)
		s.sequencer = s.local
		s.service.Store(1)
	}
	if o.AuditEnabled {
		if s.audit, err = audit.Open(o.AuditFile, s.log); err != nil {
			return nil, &config.Error{Err: fmt.Errorf("audit.file: %w", err)}
		}
	}
	if err := load(); err != nil {
		if s.checkpoints != nil && s.checkpoints.store != nil {
			err = errors.Join(err, s.checkpoints.store.Close())
		}
		s.auditServer(audit.ServerStart, audit.Failure)
		s.closeAudit()
		return nil, err
	}
	s.setTree(s.tree)
	s.sessions = newSessionTracker(o.TickTime, o.serverID(), o.Now())
	s.trackSessions()
	if s.member == nil {
		s.beginService(zab.Looking)
	}
	if s.checkpoints != nil {
		s.wg.Go(s.checkpoints.run)
		s.startPurging()
	}
	if s.journal != nil {
		s.wg.Go(func() { s.journal.run(s.stop) })
	}
	if s.local != nil {
		s.local.begin()
		s.wg.Go(s.local.run)
	}
	s.lot = newLot(s)
	s.Listen(o.Listeners...)
	if o.SecureListener != nil {
		s.wg.Go(func() { s.accept(o.SecureListener, secure) })
	}
	if s.doorstep != nil && o.ClientCertReload {
		s.wg.Go(func() { s.doorstep.tls.Watch(s.stop, s.log) })
	}
	s.auditServer(audit.ServerStart, audit.Success)
	go func() {
		s.wg.Wait()
		s.closeAudit()
		close(s.done)
	}()
	return s, nil
}

// Check reads what the settings name for the ports of clients, JAAS file, Kerberos and stores, and says of it what a start says. The error is that of the start.
func Check(c *config.Config, log *slog.Logger) error {
	s := &Server{opts: &Options{Config: c}, log: log}
	return s.readCredentials(c.SecureClientAddr() != "")
}

// readCredentials reads what clients are known by, and the stores if they can come with TLS. Its errors name the key that is wrong.
func (s *Server) readCredentials(securePort bool) (err error) {
	if s.auth, err = newAuthenticator(s.opts); err != nil {
		return &config.Error{Err: err}
	}
	s.reportSASL()
	if securePort || s.opts.ClientPortUnification {
		if s.doorstep, err = newDoorstep(s); err != nil {
			return &config.Error{Err: err}
		}
	}
	return nil
}

// setTree puts a tree in the place of the one that there is. The lock is held, or nobody is served yet.
func (s *Server) setTree(t *tree.Tree) {
	s.tree, s.apply.mismatches = t, 0
	s.listings.clear()
	t.OnWarning(s.rated.Warn)
	s.lastZxid.Store(t.LastZxid())
	s.prepare()
}

// prepare makes the preparer for the tree.
func (s *Server) prepare() {
	s.prep = newPreparer(s.tree, s.auth, s.opts)
	s.prep.warn = s.rated.Warn
	if s.makesLocalSessions() {
		s.prep.unlisted = s.mayWriteUnlisted
	}
	s.prep.overQuota = func(path string) { s.metrics.QuotaExceededErrors.With(namespace(path)).Inc() }
}

// trackSessions begins to keep time for the sessions of the tree.
func (s *Server) trackSessions() {
	now := s.clock(time.Now())
	s.tree.EachSession(func(id int64, timeout int32) { s.sessions.add(id, now, int64(timeout)) })
}

// clock is the server's own time in milliseconds, which no change of the wall clock moves. It starts well above 0.
func (s *Server) clock(t time.Time) int64 { return t.Sub(s.started).Milliseconds() + 1_000_000 }

// wall is the wall clock's time at a time of the server's own clock.
func (s *Server) wall(clock int64) time.Time {
	now := time.Now()
	return now.Add(time.Duration(clock-s.clock(now)) * time.Millisecond)
}

// Done is closed when the server has stopped.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close stops the server and returns when all its goroutines have ended. Sessions live on in the data directory. The error is nil.
func (s *Server) Close() error {
	s.shutdown()
	<-s.done
	return nil
}

func (s *Server) shutdown() {
	s.once.Do(func() {
		s.auditServer(audit.ServerStop, audit.Invoked)
		close(s.stop)
		s.conns.Lock()
		s.conns.closed = true
		for _, l := range s.conns.listeners {
			_ = l.Close()
		}
		if l := s.opts.SecureListener; l != nil {
			_ = l.Close()
		}
		all := make([]*conn, 0, len(s.conns.all))
		for c := range s.conns.all {
			all = append(all, c)
		}
		s.conns.Unlock()
		if s.doorstep != nil {
			s.doorstep.close()
		}
		for _, c := range all {
			c.close()
		}
		s.lot.close()
		s.sequencer.close()
		if s.checkpoints != nil {
			s.checkpoints.interrupt()
		}
		s.metrics.Unregister()
	})
}

// Listen takes clients from other listeners than before, which are closed, but for the one for TLS. Connections stay. The listeners are closed with the server.
func (s *Server) Listen(listeners ...net.Listener) {
	s.conns.Lock()
	defer s.conns.Unlock()
	for _, l := range s.conns.listeners {
		_ = l.Close()
	}
	s.conns.listeners = listeners
	how := plainText
	if s.opts.ClientPortUnification {
		how = unified
	}
	for _, l := range listeners {
		if s.conns.closed {
			_ = l.Close()
			continue
		}
		s.wg.Go(func() { s.accept(l, how) })
	}
}

// Addr is the address that clients connect to, host:port; empty if there is none.
func (s *Server) Addr() string {
	s.conns.Lock()
	defer s.conns.Unlock()
	if len(s.conns.listeners) == 0 {
		return ""
	}
	return s.conns.listeners[0].Addr().String()
}

// SecureAddr is the address that clients connect to with TLS, host:port; empty if there is none.
func (s *Server) SecureAddr() string {
	if s.opts.SecureListener == nil {
		return ""
	}
	return s.opts.SecureListener.Addr().String()
}

func (s *Server) accept(l net.Listener, how security) {
	for {
		nc, err := l.Accept()
		if err != nil {
			select {
			case <-s.stop:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: others may close theirs.
			s.rated.Error("cannot accept a connection", "address", l.Addr().String(), "error", err)
			select {
			case <-s.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetKeepAlive(s.opts.ClientTCPKeepAlive)
		}
		if how == plainText {
			s.admit(newcomer{Conn: nc})
		} else {
			s.doorstep.take(nc, how)
		}
	}
}

// admit starts serving a connection, unless its address or the server has enough of them: then it is closed without a word.
func (s *Server) admit(nc newcomer) {
	ip := javaAddress(net.IPv4(127, 0, 0, 1), "")
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ip = javaAddress(addr.IP, addr.Zone)
	}
	s.conns.Lock()
	tooMany := s.opts.MaxClientCnxns > 0 && s.conns.perIP[ip] >= s.opts.MaxClientCnxns
	full := s.opts.MaxCnxns > 0 && len(s.conns.all) >= s.opts.MaxCnxns
	if tooMany || full || s.conns.closed {
		closed := s.conns.closed
		s.conns.Unlock()
		if !closed {
			s.metrics.ConnectionRejected.Inc()
			if tooMany {
				s.rated.Log(slog.LevelWarn, "maxClientCnxns", fmt.Sprintf("Too many connections from /%s - max is %d", ip, s.opts.MaxClientCnxns))
			} else {
				s.rated.Log(slog.LevelWarn, "maxCnxns", fmt.Sprintf("Too many connections - max is %d", s.opts.MaxCnxns), "client", ip)
			}
		}
		if tcp, ok := nc.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = nc.Close()
		return
	}
	s.conns.next++
	c := &conn{
		s: s, net: nc.Conn, secure: nc.secure, id: s.conns.next, ipID: jute.ID{Scheme: "ip", ID: ip}, opened: time.Now(),
		lock: &s.locks[int(s.conns.next)%len(s.locks)].RWMutex,
	}
	if tcp, ok := nc.Conn.(*net.TCPConn); ok {
		c.raw, _ = tcp.SyscallConn()
	}
	ids := append([]jute.ID{c.ipID}, nc.ids...)
	c.ids.Store(&ids)
	c.attachReader()
	c.in, c.w = nc.begin, len(nc.begin)
	c.out.stats.reset()
	s.conns.all[c] = struct{}{}
	s.conns.perIP[ip]++
	s.conns.Unlock()
	s.wg.Go(c.serve)
}

// forget takes a connection off the list.
func (s *Server) forget(c *conn) {
	s.conns.Lock()
	defer s.conns.Unlock()
	if _, ok := s.conns.all[c]; !ok {
		return
	}
	delete(s.conns.all, c)
	if ip := c.ipID.ID; s.conns.perIP[ip] > 1 {
		s.conns.perIP[ip]--
	} else {
		delete(s.conns.perIP, ip)
	}
}

// connections returns the open connections, in no order.
func (s *Server) connections() []*conn {
	s.conns.Lock()
	defer s.conns.Unlock()
	list := make([]*conn, 0, len(s.conns.all))
	for c := range s.conns.all {
		list = append(list, c)
	}
	return list
}

// lockTree excludes all readers.
func (s *Server) lockTree() {
	for i := range s.locks {
		s.locks[i].Lock()
	}
}

func (s *Server) unlockTree() {
	for i := range s.locks {
		s.locks[i].Unlock()
	}
}

// readTree calls fn while the tree does not change.
func (s *Server) readTree(fn func(*tree.Tree)) {
	s.locks[0].RLock()
	defer s.locks[0].RUnlock()
	fn(s.tree)
}

func hex(zxid int64) string { return fmt.Sprintf("0x%x", uint64(zxid)) }
