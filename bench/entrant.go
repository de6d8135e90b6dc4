package main

import (
	"context"
	"fmt"
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

// entrant is a server that takes part in a comparison.
type entrant struct {
	*peer.Process
	name    string
	addr    string
	dir     string // dataDir; empty if it has none
	version string
	close   func() error
}

// entry is how the servers of a comparison are started.
type entry struct {
	work string   // directory for their data and logs
	heap string   // of the JVM, fixed unless grow is set
	grow bool     // the JVM starts with a small heap, so that its size tells what it needs
	more []string // further lines of zoo.cfg
	port int      // 0 means a free one
}

// settings are the lines of zoo.cfg that all servers get beside the port and the directory.
var settings = []string{"maxClientCnxns=0"}

// entrants has a row for each name that -servers takes.
var entrants = map[string]func(entry) (*entrant, error){
	"java": func(e entry) (*entrant, error) {
		opts := e.options("java")
		opts.Heap = e.heap
		if !e.grow {
			opts.Flags = []string{"-Xms" + e.heap}
		}
		return enter(peer.StartJava(opts))
	},
	"quoll": func(e entry) (*entrant, error) { return enter(peer.StartQuoll(e.options("quoll"))) },
	"floor": startFloor,
}

func (e entry) options(name string) peer.Options {
	return peer.Options{Work: filepath.Join(e.work, name), Port: e.port, Config: slices.Concat(settings, e.more)}
}

func enter(s *peer.Server, err error) (*entrant, error) {
	if err != nil {
		return nil, err
	}
	answer, err := s.FourLetter("srvr")
	if err != nil {
		s.Close()
		return nil, err
	}
	version, _, _ := strings.Cut(answer, "\n")
	return &entrant{&s.Process, s.Kind(), s.Addr(), s.Dir(), version, s.Close}, nil
}

func startFloor(e entry) (*entrant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port := e.port
	if port == 0 {
		if port, err = peer.FreePort(); err != nil {
			return nil, err
		}
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p := &peer.Process{
		Args:    []string{self, "floor", addr},
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
	return &entrant{p, "floor", addr, "", "canned answers of this program", p.Kill}, nil
}

// pause stops the process of the entrant where it is, and resume lets it go on.
func (e *entrant) pause() error  { return syscall.Kill(e.PID(), syscall.SIGSTOP) }
func (e *entrant) resume() error { return syscall.Kill(e.PID(), syscall.SIGCONT) }

// failed is the error of a row that could not be measured, with what the server said last.
func (e *entrant) failed(row string, err error) error {
	said := e.Log()
	return fmt.Errorf("%s on %s: %w; its log ends:\n%s", row, e.name, err, said[max(0, len(said)-2000):])
}

// settle waits until the memory of the entrant says what its state needs. The JVM is asked to collect its garbage, which gives
// memory back to the system; a Go process gets no such help.
func (e *entrant) settle() error {
	if e.name == "java" {
		if out, err := exec.Command("jcmd", strconv.Itoa(e.PID()), "GC.run").CombinedOutput(); err != nil {
			return fmt.Errorf("jcmd GC.run: %w\n%s", err, out)
		}
	}
	time.Sleep(3 * time.Second)
	return nil
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
	exists := newStep(jute.OpExists, "/", noWatch, statLength)
	if err := c.drive(list(1, func(int) step { return exists }), 1, window{}, nil); err != nil {
		nc.Close()
		return err
	}
	return c.finish()
}
