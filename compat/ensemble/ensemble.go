package ensemble

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quoll/compat/faultnet"
	"quoll/compat/peer"
)

// Options describe an ensemble.
type Options struct {
	// Work is where each member has its directory, by its number.
	Work string

	// Kinds are those of the members 1, 2 and so on.
	Kinds []Kind

	// Observers is how many of the last members are observers.
	Observers int

	// Tick is the tickTime in milliseconds; 0 means 400. initLimit and syncLimit give a loaded machine 10 and 4 s.
	Tick int

	// Hosts are where the members find each other in their server lines, at several addresses if there are several; none means the address of each.
	Hosts []string

	// Config are further lines of every zoo.cfg.
	Config []string

	// Flags are JVM flags of all members; quoll takes those with -D.
	Flags []string

	// Network has a host for each member, and one more for their clients. It is the caller's, and outlives the ensemble. With nil all are on
	// the loopback address.
	Network *faultnet.Network
}

// Ensemble is some servers that know of each other.
type Ensemble struct {
	Members []*Member
	options Options
}

// patience ends every wait, whatever the load of the machine.
const patience = 90 * time.Second

const pollInterval = 50 * time.Millisecond

// New makes the directories of an ensemble and starts nothing.
func New(o Options) (*Ensemble, error) {
	e := &Ensemble{options: o}
	for i, kind := range o.Kinds {
		m := &Member{ID: int64(i + 1), Observer: i >= len(o.Kinds)-o.Observers, kind: kind, dir: filepath.Join(o.Work, fmt.Sprint(i+1)), flags: o.Flags}
		if o.Network != nil {
			m.host, m.clients = o.Network.Hosts[i], o.Network.Hosts[len(o.Kinds)]
		}
		for _, port := range []*int{&m.quorum, &m.election, &m.client} {
			var err error
			if *port, err = peer.FreePort(); err != nil {
				return nil, err
			}
		}
		if err := os.MkdirAll(m.Dir(), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(m.Dir(), "myid"), fmt.Appendln(nil, m.ID), 0o644); err != nil {
			return nil, err
		}
		e.Members = append(e.Members, m)
	}
	for _, m := range e.Members {
		if err := e.Configure(m); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Configure writes the zoo.cfg of a member anew, with further lines of its own in place of those that it had. A member that runs reads it at its next start.
func (e *Ensemble) Configure(m *Member, lines ...string) error {
	return os.WriteFile(filepath.Join(m.dir, "zoo.cfg"), []byte(e.config(m, lines)), 0o644)
}

// config is the zoo.cfg of a member, with lines of its own.
func (e *Ensemble) config(m *Member, own []string) string {
	tick := e.options.Tick
	if tick == 0 {
		tick = 400
	}
	lines := []string{
		fmt.Sprint("tickTime=", tick), fmt.Sprint("initLimit=", 10_000/tick), fmt.Sprint("syncLimit=", 4_000/tick),
		"dataDir=" + m.Dir(), fmt.Sprint("clientPort=", m.client), "clientPortAddress=" + m.host.Addr(), "maxClientCnxns=0",
		"4lw.commands.whitelist=*", "admin.enableServer=false",
	}
	if m.Observer {
		lines = append(lines, "peerType=observer")
	}
	lines = append(append(lines, e.options.Config...), own...)
	for _, other := range e.Members {
		role := "participant"
		if other.Observer {
			role = "observer"
		}
		hosts := e.options.Hosts
		if len(hosts) == 0 {
			hosts = []string{other.host.Addr()}
		}
		var addresses []string
		for _, host := range hosts {
			addresses = append(addresses, fmt.Sprintf("%s:%d:%d:%s", host, other.quorum, other.election, role))
		}
		lines = append(lines, fmt.Sprintf("server.%d=%s", other.ID, strings.Join(addresses, "|")))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Member is the member with a number.
func (e *Ensemble) Member(id int64) *Member { return e.Members[id-1] }

// Start starts some members, all if none is given, in this order, and does not wait until they serve.
func (e *Ensemble) Start(members ...*Member) error {
	if len(members) == 0 {
		members = e.Members
	}
	for _, m := range members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Serving waits until all members that run serve in their roles, one of them as the leader, which it returns. Members that are torn are
// started. The error has the ends of all logs.
func (e *Ensemble) Serving() (*Member, error) {
	var leader *Member
	var state string
	var failed error
	err := e.await(func() bool {
		leader, state = nil, ""
		leaders, missing := 0, 0
		for _, m := range e.Members {
			if m.Torn() && failed == nil {
				failed = m.Start()
			}
			if !m.Running() {
				continue
			}
			mode := m.Mode()
			state += fmt.Sprintf(" %d:%s", m.ID, mode)
			switch {
			case mode == "leader" && !m.Observer:
				leader = m
				leaders++
			case mode == "follower" && !m.Observer, mode == "observer" && m.Observer:
			default:
				missing++
			}
		}
		return failed != nil || leaders == 1 && missing == 0
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("the members are%s after %w\n%s", state, err, e.Tails(25))
	}
	return leader, nil
}

// await polls until ok; the error says how long that was, or who died meanwhile.
func (e *Ensemble) await(ok func() bool) error {
	died := func() (n int) {
		for _, m := range e.Members {
			m.mu.Lock()
			n += len(m.died)
			m.mu.Unlock()
		}
		return n
	}
	before, start := died(), time.Now()
	for !ok() {
		switch {
		case died() > before:
			return fmt.Errorf("%v, and somebody died: %q", time.Since(start).Round(time.Millisecond), e.Complaints())
		case time.Since(start) > patience:
			return fmt.Errorf("%v", patience)
		}
		time.Sleep(pollInterval)
	}
	return nil
}

// Stop ends all members with SIGTERM, at the same time.
func (e *Ensemble) Stop() error {
	errs := make(chan error)
	for _, m := range e.Members {
		go func() { errs <- m.Stop() }()
	}
	var all error
	for range e.Members {
		all = errors.Join(all, <-errs)
	}
	return all
}

// Close kills all members. The directories stay.
func (e *Ensemble) Close() error {
	var all error
	for _, m := range e.Members {
		all = errors.Join(all, m.Kill())
	}
	return all
}
