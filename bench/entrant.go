package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quoll/compat/peer"
	"quoll/jute"
)

// entrant is a server that takes part in a comparison, or an ensemble: then it is the first member of that.
type entrant struct {
	*peer.Process
	name    string
	addr    string
	dir     string // dataDir; empty if it has none
	version string
	close   func() error
	others  []*entrant // the other members of its ensemble
	given   *target    // it ran already
}

// all is every server of the entrant.
func (e *entrant) all() []*entrant { return append([]*entrant{e}, e.others...) }

// target is what the generator drives.
func (e *entrant) target() (t target) {
	if e.given != nil {
		return *e.given
	}
	for _, m := range e.all() {
		t.addrs = append(t.addrs, m.addr)
		t.pids = append(t.pids, m.PID())
	}
	return t
}

// entry is how a server of a comparison is started.
type entry struct {
	work  string // directory for its data and logs
	heap  string // of the JVM, fixed unless the stage lets it grow
	given target // servers that run already, if there are any
	stage *stage
}

// settings are the lines of zoo.cfg that all servers get beside the port and the directory.
var settings = []string{"maxClientCnxns=0"}

// ensembleSettings come to those in an ensemble. Its servers stand still for longer than the usual ten seconds while it is another's
// turn, and none may take its leader for dead because of that.
var ensembleSettings = []string{"tickTime=2000", "initLimit=10", "syncLimit=150"}

// entrants has a row for each name that -servers takes, and for the arms of stages.
var entrants = map[string]func(entry) (*entrant, error){
	"java": func(e entry) (*entrant, error) {
		opts := e.options()
		opts.Heap = e.heap
		opts.Flags = []string{"-XX:+UseG1GC"}
		if !e.stage.grow {
			opts.Flags = append(opts.Flags, "-Xms"+e.heap)
		}
		if e.stage.pauses {
			opts.Flags = append(opts.Flags, "-Xlog:gc")
		}
		return e.start(peer.Kinds[0], opts)
	},
	"quoll": func(e entry) (*entrant, error) {
		opts := e.options()
		if e.stage.pauses {
			opts.Env = []string{"GODEBUG=gctrace=1"}
		}
		return e.start(peer.Kinds[1], opts)
	},
	"floor":  startFloor,
	storeOff: func(e entry) (*entrant, error) { return startEmbedded(e.work, storeOff) },
	storeOn:  func(e entry) (*entrant, error) { return startEmbedded(e.work, storeOn) },
}

// given is the servers that run already.
func given(e entry) (*entrant, error) {
	return &entrant{Process: new(peer.Process), name: strings.Join(e.given.addrs, ","), addr: e.given.addrs[0], given: &e.given, close: func() error { return nil }}, nil
}

func (e entry) options() peer.Options {
	return peer.Options{Work: e.work, Config: slices.Concat(settings, e.stage.config)}
}

// start starts the servers.
func (e entry) start(kind peer.Kind, opts peer.Options) (*entrant, error) {
	if e.stage.members < 2 {
		s, err := kind.Start(opts)
		if err != nil {
			return nil, err
		}
		return enter(s)
	}
	opts.Config = append(opts.Config, ensembleSettings...)
	servers, err := peer.StartEnsemble(opts, slices.Repeat([]peer.Kind{kind}, e.stage.members)...)
	if err != nil {
		return nil, err
	}
	closeAll := func() (err error) {
		for _, s := range servers {
			err = errors.Join(err, s.Close())
		}
		return err
	}
	var members []*entrant
	for _, s := range servers {
		m, err := enter(s)
		if err != nil {
			return nil, errors.Join(err, closeAll())
		}
		members = append(members, m)
	}
	members[0].others, members[0].close = members[1:], closeAll
	return members[0], nil
}

// enter makes a running server an entrant; it is closed if it does not answer.
func enter(s *peer.Server) (*entrant, error) {
	answer, err := s.FourLetter("srvr")
	if err != nil {
		s.Close()
		return nil, err
	}
	version, _, _ := strings.Cut(answer, "\n")
	return &entrant{Process: &s.Process, name: s.Kind(), addr: s.Addr(), dir: s.Dir(), version: version, close: s.Close}, nil
}

func startFloor(e entry) (*entrant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := peer.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p := &peer.Process{
		Args:    []string{self, "floor", addr, e.work},
		LogPath: filepath.Join(e.work, "floor.log"),
		Ready: func() error {
			c, err := dial(addr)
			if err != nil {
				return err
			}
			return c.finish()
		},
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return &entrant{Process: p, name: "floor", addr: addr, version: "canned answers of this program", close: p.Kill}, nil
}

// pause stops the processes of the entrant where they are, and resume lets them go on.
func (e *entrant) pause() error  { return e.signal(syscall.SIGSTOP) }
func (e *entrant) resume() error { return e.signal(syscall.SIGCONT) }

func (e *entrant) signal(s syscall.Signal) (err error) {
	if e.given != nil {
		return nil
	}
	for _, m := range e.all() {
		err = errors.Join(err, syscall.Kill(m.PID(), s))
	}
	return err
}

// trim deletes what its servers no longer need.
func (e *entrant) trim() error {
	for _, m := range e.all() {
		if m.dir == "" {
			continue
		}
		if err := trimLogs(m.dir); err != nil {
			return err
		}
	}
	return nil
}

// trimmed calls do and trims while it runs: five million creates make Java write many snapshots.
func (e *entrant) trimmed(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(2 * time.Second):
			if err := e.trim(); err != nil {
				log.Printf("%s: %v", e.name, err)
			}
		}
	}
}

// failed is the error of a row that could not be measured, with what the servers said last.
func (e *entrant) failed(row string, err error) error {
	err = fmt.Errorf("%s on %s: %w", row, e.name, err)
	if e.given != nil {
		return err
	}
	for _, m := range e.all() {
		said := m.Log()
		err = fmt.Errorf("%w; the log of %s ends:\n%s", err, m.addr, said[max(0, len(said)-2000):])
	}
	return err
}

// settle waits until the memory of the server says what its state needs. The JVM is asked to collect its garbage, which gives
// memory back to the system; a Go process gets no such help.
func (t *turn) settle() error {
	if t.server == "java" {
		if out, err := exec.Command("jcmd", strconv.Itoa(t.e.PID()), "GC.run").CombinedOutput(); err != nil {
			return fmt.Errorf("jcmd GC.run: %w\n%s", err, out)
		}
	}
	time.Sleep(t.long(3 * time.Second))
	return nil
}

// resident is the memory of the server in bytes when it has settled.
func (t *turn) resident() (int64, error) {
	if err := t.settle(); err != nil {
		return 0, err
	}
	return memoryOf(t.e.PID(), "VmRSS")
}

// firstAnswer starts a server with start and returns how long it took until a client had the answer to its first request.
func firstAnswer(addr string, start func() error) (time.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	answered := make(chan time.Duration, 1)
	go func() {
		for ctx.Err() == nil {
			if askOnce(addr) == nil {
				answered <- time.Since(began)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := start(); err != nil {
		return 0, err
	}
	select {
	case d := <-answered:
		return d, nil
	case <-time.After(replyTimeout):
		return 0, fmt.Errorf("%s runs but does not answer", addr)
	}
}

// askOnce opens a session, asks whether the root exists, and closes the session. It gives up soon, because a server that is
// still starting may accept a connection that it never answers.
func askOnce(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c, err := open(nc, 100*time.Millisecond)
	if err != nil {
		nc.Close()
		return err
	}
	if err := c.ask(newStep(jute.OpExists, "/", noWatch, statLength)); err != nil {
		nc.Close()
		return err
	}
	return c.finish()
}
