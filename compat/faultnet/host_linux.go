package faultnet

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// newHost makes a host with a number from 1 on.
func newHost(number byte) (*Host, error) {
	h := &Host{number: number}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: it ends with the goroutine, wherever it is then
		done <- h.open()
	}()
	if err := <-done; err != nil {
		if h.namespace != nil {
			h.namespace.Close()
		}
		if h.device != nil {
			h.device.Close()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return h, nil
}

// open makes the namespace and its devices, on a thread that nobody else needs.
func (h *Host) open() error {
	home, err := here()
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if h.namespace, err = here(); err != nil {
		return err
	}
	if err := h.plug(); err != nil {
		return err
	}
	// Who is root in a namespace of users only could not come back in Do.
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	return nil
}

// Do calls f on a thread that is on the host: sockets that it opens and processes that it starts are there for all their lives. What f has
// other goroutines do is not.
func (h *Host) Do(f func() error) error {
	if h == nil {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := here()
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(h.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("a thread cannot leave the namespace of a host: %v", err))
		}
	}()
	return f()
}

// here is the network namespace of this thread.
func here() (*os.File, error) { return os.Open("/proc/thread-self/ns/net") }

// plug gives the namespace that the thread is in its devices.
func (h *Host) plug() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	// Not earlier than TUNSETIFF is the device something that can be waited for.
	tun, err := unix.NewIfreq("tun0")
	if err == nil {
		tun.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, tun)
	}
	h.device = os.NewFile(uintptr(fd), "tun0")
	if err == nil {
		err = h.configure()
	}
	if err != nil {
		return fmt.Errorf("tun0 of %s: %w", h.Addr(), err)
	}
	return nil
}

func (h *Host) configure() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, c := range []struct {
		device string
		op     uint
		set    func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{"tun0", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{10, 83, 0, h.number}) }},
		{"tun0", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		// Packets that wait for this process: a busy machine must not lose what nobody has asked it to.
		{"tun0", unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(10_000); return nil }},
		{"tun0", unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(c.device)
		if err == nil {
			err = c.set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, c.op, r)
		}
		if err != nil {
			return fmt.Errorf("ioctl %#x of %s: %w", c.op, c.device, err)
		}
	}
	return nil
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}
