package replicatest

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"quoll/config"
	"quoll/history"
	"quoll/metrics"
	"quoll/replica"
	"quoll/server"
	"quoll/tree"
	"quoll/zab/zabtest"
)

const dataDir = "/data"

// Cast makes whole servers and clients for a world.
type Cast struct {
	config  *config.Config
	metrics *metrics.Set
	logger  *slog.Logger

	servers []*Server
	clients []*client
	now     func() time.Duration
	instant int64
	// connections are those of all clients in this run.
	connections []*history.Connection
	// digests are those of the state after each transaction that anybody has applied.
	digests map[int64]int64

	// Counts of all runs.
	Stats Stats
}

// New returns a cast.
func New() *Cast {
	c := config.Defaults()
	c.DataDir, c.DataLogDir = dataDir, dataDir
	c.DataDirAutocreate, c.DBAutocreate = true, false
	c.PreAllocSizeKiB = 0
	return &Cast{config: c, metrics: metrics.New(metrics.Null), logger: slog.New(slog.DiscardHandler), Stats: Stats{Cut: map[string]int{}}}
}

// Begin implements [zabtest.Cast].
func (c *Cast) Begin(seed uint64, servers, clients int, now func() time.Duration) {
	for _, s := range c.servers {
		s.close()
	}
	c.now, c.instant, c.connections, c.digests = now, 0, nil, map[int64]int64{}
	c.servers, c.clients = nil, nil
	for i := range servers {
		c.servers = append(c.servers, newServer(c, seed, i))
	}
	for i := range clients {
		c.clients = append(c.clients, newClient(c, seed, i))
	}
}

// Replica implements [zabtest.Cast].
func (c *Cast) Replica(i int) zabtest.Replica { return c.servers[i] }

// Client implements [zabtest.Cast].
func (c *Cast) Client(i int) zabtest.Client { return c.clients[i] }

// tick is an instant: the time in the run, but never the same twice.
func (c *Cast) tick() int64 {
	c.instant = max(c.instant+1, int64(c.now()))
	return c.instant
}

func (c *Cast) options(s *Server) *replica.Options {
	return &replica.Options{Config: c.config, FS: s.disk, StoreFS: s.disk.VFS(), Metrics: c.metrics, Logger: c.logger, Still: true}
}

func (c *Cast) preparer(t *tree.Tree) *server.Preparer {
	p, err := server.NewPreparer(t, &server.Options{Config: c.config})
	if err != nil {
		panic(err)
	}
	return p
}

// Settled implements [zabtest.Cast]: the servers have the same tree, and so has a server that starts alone on the disk of each.
func (c *Cast) Settled(servers []int) error {
	var first *Server
	for _, i := range servers {
		s := c.servers[i]
		if first == nil {
			first = s
		}
		if err := sameTree(first.tree(), s.tree()); err != nil {
			return fmt.Errorf("servers %d and %d: %w", first.index+1, i+1, err)
		}
		if err := s.coldStart(); err != nil {
			return fmt.Errorf("server %d: %w", i+1, err)
		}
	}
	return c.sameLogs(servers)
}

// End implements [zabtest.Cast]: what the clients saw is allowed.
func (c *Cast) End() error {
	for _, client := range c.clients {
		client.Lost()
	}
	checker := history.NewChecker(history.Options{Members: true})
	checker.Life(c.connections)
	r := checker.Report()
	c.Stats.Ops += r.Ops
	c.Stats.Writes += r.Writes
	if r.Undecided != "" {
		c.Stats.Undecided++
	}
	if len(r.Violations) > 0 {
		return errors.New(r.Violations[0].String())
	}
	return nil
}

// Close gives everything back.
func (c *Cast) Close() {
	for _, s := range c.servers {
		s.close()
	}
	c.servers = nil
}

// sameTree compares everything that two trees have.
func sameTree(a, b *tree.Tree) error {
	if a.LastZxid() != b.LastZxid() || a.Digest() != b.Digest() || a.Len() != b.Len() {
		return fmt.Errorf("zxid %#x, digest %x, %d znodes and zxid %#x, digest %x, %d znodes", a.LastZxid(), a.Digest(), a.Len(), b.LastZxid(), b.Digest(), b.Len())
	}
	sessions := func(t *tree.Tree) map[int64]int32 {
		all := map[int64]int32{}
		t.EachSession(func(id int64, timeout int32) { all[id] = timeout })
		return all
	}
	if !maps.Equal(sessions(a), sessions(b)) {
		return fmt.Errorf("sessions %v and %v", sessions(a), sessions(b))
	}
	return a.Each(func(n *tree.Node) error {
		m := b.Lookup(n.Path())
		switch {
		case m == nil:
			return fmt.Errorf("%s is not in both", n.Path())
		case string(n.Data()) != string(m.Data()) || (n.Data() == nil) != (m.Data() == nil) || n.Persisted() != m.Persisted():
			return fmt.Errorf("%s differs: %q %+v and %q %+v", n.Path(), n.Data(), n.Persisted(), m.Data(), m.Persisted())
		case !slices.Equal(a.ACL(n), b.ACL(m)):
			return fmt.Errorf("%s has the ACLs %v and %v", n.Path(), a.ACL(n), b.ACL(m))
		}
		return nil
	})
}

// sameLogs compares the records that the logs of servers have of the same zxids.
func (c *Cast) sameLogs(servers []int) error {
	records := map[int64]string{}
	for _, i := range servers {
		err := c.servers[i].eachRecord(func(zxid int64, data []byte) error {
			if was, ok := records[zxid]; ok && was != string(data) {
				return fmt.Errorf("server %d has another record %#x in its log than a server before", i+1, zxid)
			}
			records[zxid] = string(data)
			return nil
		})
		if err != nil {
			return fmt.Errorf("server %d: %w", i+1, err)
		}
	}
	return nil
}
