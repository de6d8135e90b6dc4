package server

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// poller tells when something has arrived for one of many connections.
type poller struct {
	epoll *os.File
	raw   syscall.RawConn
	mu    sync.Mutex
	conns []*conn // by file descriptor
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	p := &poller{epoll: os.NewFile(uintptr(fd), "epoll")} // Go waits for it as for any other file
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(err, p.epoll.Close())
	}
	return p, nil
}

func (p *poller) close() { _ = p.epoll.Close() }

// add has run tell once when there is something to read. It reports whether it will.
func (p *poller) add(c *conn) (added bool) {
	_ = c.raw.Control(func(fd uintptr) {
		p.mu.Lock()
		for len(p.conns) <= int(fd) {
			p.conns = append(p.conns, nil)
		}
		p.conns[fd] = c
		p.mu.Unlock()
		event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd)}
		_ = p.raw.Control(func(epoll uintptr) {
			err := syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_MOD, int(fd), &event)
			if err == syscall.ENOENT {
				err = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, int(fd), &event)
			}
			added = err == nil
		})
	})
	return added
}

// remove forgets a connection that is about to be closed.
func (p *poller) remove(c *conn) {
	_ = c.raw.Control(func(fd uintptr) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.conns[fd] == c {
			p.conns[fd] = nil
		}
	})
}

// run calls wake for each connection that something has arrived for, and for some where nothing has, until the poller is closed.
func (p *poller) run(wake func(*conn)) {
	events := make([]syscall.EpollEvent, 256)
	var ready []*conn
	for {
		n := 0
		err := p.raw.Read(func(epoll uintptr) bool {
			n, _ = syscall.EpollWait(int(epoll), events, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		p.mu.Lock()
		for _, e := range events[:n] {
			if c := p.conns[e.Fd]; c != nil {
				p.conns[e.Fd] = nil
				ready = append(ready, c)
			}
		}
		p.mu.Unlock()
		for _, c := range ready {
			wake(c)
		}
		clear(ready)
		ready = ready[:0]
	}
}
