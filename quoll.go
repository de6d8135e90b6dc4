// Package quoll embeds a ZooKeeper server in a Go program: a test that needs ZooKeeper starts one in a few milliseconds, in memory
// and on a free port, and any ZooKeeper client can use it.
//
//	s, err := quoll.Start(quoll.Options{})
//	defer s.Close()
//	conn, _, err := zk.Connect([]string{s.Addr()}, time.Second)
//
// What is hard to provoke in a real server is a method here: [Server.ExpireSession], [Server.DropConnections], [Server.DelayReplies].
package quoll

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"quoll/admin"
	"quoll/config"
	"quoll/ensemble"
	"quoll/quorum"
	"quoll/server"
	"quoll/txnlog"
)

// Options says what kind of server to start. The zero value is a server in memory on a free port of the loopback address.
type Options struct {
	// Dir is the data directory, made if it is missing: a restart finds what was written. Empty keeps everything in memory.
	Dir string
	// Addr is where to listen, host:port; empty is a free port on 127.0.0.1. With a Config it is empty to take what that says.
	Addr string
	// Set has settings by their zoo.cfg key, such as "tickTime": "200" for sessions that may be as short as 400 ms.
	Set map[string]string
	// Config is a whole configuration, as config.Load returns it, in place of Dir and Set.
	Config *config.Config
	// Logger gets what an operator should know; nil is silence.
	Logger *slog.Logger
	// Served hears of every request that was answered; see server.Options.
	Served func(server.Served)
	// Now is the wall clock that times of znodes come from; nil is time.Now.
	Now func() time.Time
}

// Server is a running server.
type Server struct {
	*server.Server
	peer  *quorum.Peer  // nil if the server stands alone
	admin *admin.Server // nil if there is none
	// metrics is the endpoint for Prometheus, nil if there is none.
	metrics *admin.Metrics
}

// Check finds out whether a server would start with a configuration: it reads the files that the settings name, and looks at the data directories, but not into their
// files. It listens nowhere and changes nothing. What a start says of the settings it says to log. The error is a config.Error, or txnlog.ErrDataDir.
func Check(cfg *config.Config, log *slog.Logger) error {
	err := check(cfg, log)
	if cfg.ClientAddr() == "" && cfg.SecureClientAddr() == "" {
		err = errors.Join(err, errNoPort)
	}
	if cfg.Rewritten() {
		if unwritable := txnlog.Writable(filepath.Dir(cfg.File)); unwritable != nil {
			err = errors.Join(err, &config.Error{Err: fmt.Errorf("reconfigEnabled: the directory of %s cannot be written to: %w", cfg.File, unwritable)})
		}
	}
	if cfg.AuditEnabled && cfg.AuditFile != "" {
		if unwritable := txnlog.Writable(filepath.Dir(cfg.AuditFile)); unwritable != nil {
			err = errors.Join(err, &config.Error{Err: fmt.Errorf("audit.file: %w", unwritable)})
		}
	}
	return errors.Join(err, txnlog.CheckDirs(cfg.DataDir, cfg.DataLogDir, cfg.DataDirAutocreate))
}

// errNoPort is the error of a server that nobody could reach.
var errNoPort = &config.Error{Err: errors.New("the configuration has no clientPort and no secureClientPort")}

// check reads the files that the settings name.
func check(cfg *config.Config, log *slog.Logger) error {
	err := errors.Join(server.Check(cfg, log), admin.Check(cfg, log))
	if cfg.Distributed {
		err = errors.Join(err, quorum.Check(cfg, log))
	}
	return err
}

// Start starts a server. It serves when Start returns.
func Start(o Options) (*Server, error) {
	cfg := o.Config
	inMemory := false
	if cfg == nil {
		src := config.Sources{Set: []string{"maxClientCnxns=0", "admin.enableServer=false"}}
		if inMemory = o.Dir == ""; !inMemory {
			src.Set = append(src.Set, "dataDir="+o.Dir)
		}
		for key, value := range o.Set {
			src.Set = append(src.Set, key+"="+value)
		}
		var err error
		if cfg, _, err = config.Load(src); err != nil {
			return nil, fmt.Errorf("quoll: %w", err)
		}
		if o.Addr == "" {
			o.Addr = "127.0.0.1:0"
		}
	}
	// What is wrong with the configuration is said before a large data directory is loaded.
	if err := check(cfg, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if o.Addr == "" {
		o.Addr = cfg.ClientAddr()
	}
	if o.Addr == "" && cfg.SecureClientAddr() == "" {
		return nil, errNoPort
	}
	opts := server.Options{Config: cfg, InMemory: inMemory, Logger: o.Logger, Served: o.Served, Now: o.Now}
	if o.Addr != "" {
		l, err := listen("clientPort", o.Addr, cfg)
		if err != nil {
			return nil, err
		}
		opts.Listeners = []net.Listener{l}
	}
	if addr := cfg.SecureClientAddr(); addr != "" {
		var err error
		if opts.SecureListener, err = listen("secureClientPort", addr, cfg); err != nil {
			closeListeners(&opts)
			return nil, err
		}
	}
	s, err := server.Start(opts)
	if err != nil {
		closeListeners(&opts)
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	running := &Server{Server: s}
	if err := running.serveHTTP(cfg, log); err != nil {
		return nil, errors.Join(err, running.giveUp())
	}
	if s.Member() == nil {
		return running, nil
	}
	m := &mover{s: s, log: log, cfg: cfg, sid: cfg.MyID, at: o.Addr}
	if own := cfg.Ensemble.Server(cfg.MyID); own != nil && own.Client != nil {
		m.at = own.Client.String()
	}
	peer, err := quorum.Start(quorum.Options{Config: cfg, Logger: log, Metrics: s.Metrics(), Configured: m.configured}, s.Member())
	if err != nil {
		return nil, errors.Join(err, running.giveUp())
	}
	s.Member().Show(peer)
	go func() {
		<-peer.Done()
		_ = s.Close()
	}()
	running.peer = peer
	return running, nil
}

// serveHTTP starts what operators ask: the AdminServer and the endpoint of the metrics. A port that is taken keeps no client from being served, but it is said aloud.
func (s *Server) serveHTTP(cfg *config.Config, log *slog.Logger) (err error) {
	o := admin.Options{Config: cfg, Server: s.Server, Logger: log}
	if cfg.AdminEnabled {
		s.admin, err = admin.Start(o)
		switch {
		case errors.Is(err, admin.ErrPort):
			log.Error("there is NO AdminServer; clients are served all the same: free the port, set another one, or set admin.enableServer=false", "error", err)
		case err != nil:
			return err
		}
	}
	if cfg.MetricsProvider == config.PrometheusMetricsProvider {
		s.metrics, err = admin.StartMetrics(o)
		if errors.Is(err, admin.ErrPort) {
			log.Error("there are NO METRICS for Prometheus; clients are served all the same: free the port, or set another one", "error", err)
			return nil
		}
		return err
	}
	return nil
}

// closeHTTP ends both.
func (s *Server) closeHTTP() (err error) {
	if s.admin != nil {
		err = s.admin.Close()
	}
	if s.metrics != nil {
		err = errors.Join(err, s.metrics.Close())
	}
	return err
}

// giveUp ends a server that was only half started.
func (s *Server) giveUp() error {
	err := s.closeHTTP()
	if m := s.Member(); m != nil {
		err = errors.Join(err, m.End())
	}
	return errors.Join(err, s.Server.Close())
}

// AdminAddr is where the AdminServer listens, host:port; empty if there is none.
func (s *Server) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr()
}

// MetricsAddr is where the endpoint for Prometheus listens, host:port; empty if there is none.
func (s *Server) MetricsAddr() string {
	if s.metrics == nil {
		return ""
	}
	return s.metrics.Addr()
}

// listen opens the port of a key.
func listen(key, addr string, cfg *config.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("quoll: %s: %w", key, err)
	}
	if n := cfg.ClientPortListenBacklog; n > 0 {
		if err := setBacklog(l, n); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("quoll: clientPortListenBacklog: %w", err)
		}
	}
	return l, nil
}

func closeListeners(o *server.Options) {
	for _, l := range append(o.Listeners, o.SecureListener) {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Close stops the server and returns when all its goroutines have ended. Sessions live on in the data directory, or in the ensemble. The error is why a member of an
// ensemble could not go on.
func (s *Server) Close() error {
	err := s.closeHTTP()
	if s.peer != nil {
		err = errors.Join(err, s.peer.Close())
	}
	return errors.Join(err, s.Server.Close())
}

// mover takes clients where the config in force says, if a reconfig has given this server another client address.
type mover struct {
	s   *server.Server
	log *slog.Logger
	cfg *config.Config
	sid int64
	at  string // where clients are taken now, host:port as in the config
}

func (m *mover) configured(c *ensemble.Config) {
	own := c.Server(m.sid)
	if own == nil || own.Client == nil {
		return
	}
	to := own.Client.String()
	if to == m.at {
		return
	}
	// The new address may be the old port.
	m.s.Listen()
	l, err := listen("reconfig", to, m.cfg)
	if err != nil {
		m.log.Error("cannot take clients at the address that the reconfig has for this server; they are taken where they were", "address", to, "error", err)
		if l, err = listen("clientPort", m.at, m.cfg); err != nil {
			m.log.Error("no clients are taken", "address", m.at, "error", err)
			return
		}
	} else {
		m.log.Info("taking clients at another address", "from", m.at, "to", to)
		m.at = to
	}
	m.s.Listen(l)
}
