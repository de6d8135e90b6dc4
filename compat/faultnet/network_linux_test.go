package faultnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience ends waits for what must come.
const patience = 20 * time.Second

// probe is a UDP socket on a host.
type probe struct {
	*testing.T
	host *Host
	conn *net.UDPConn
}

func newProbe(t *testing.T, h *Host) *probe {
	p := &probe{T: t, host: h}
	check(t, h.Do(func() (err error) {
		p.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(h.Addr())})
		return err
	}))
	t.Cleanup(func() { p.conn.Close() })
	// Room for a whole queue, beyond what everybody may have.
	raw, err := p.conn.SyscallConn()
	check(t, err)
	check(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) }))
	check(t, err)
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// say sends a datagram.
func (p *probe) say(to *probe, text string) {
	p.Helper()
	_, err := p.conn.WriteTo([]byte(text), to.conn.LocalAddr())
	check(p.T, err)
}

// hear waits for the next datagram, which must be this one.
func (p *probe) hear(want string) {
	p.Helper()
	buf := make([]byte, 2000)
	p.conn.SetReadDeadline(time.Now().Add(patience))
	size, err := p.conn.Read(buf)
	if got := string(buf[:size]); err != nil || got != want {
		p.Fatalf("%s hears %.20q, %v; want %.20q", p.host.Addr(), got, err, want)
	}
}

// count is how many datagrams come before this one.
func (p *probe) count(last string) (n int) {
	p.Helper()
	buf := make([]byte, 2000)
	for ; ; n++ {
		p.conn.SetReadDeadline(time.Now().Add(patience))
		size, err := p.conn.Read(buf)
		if err != nil {
			p.Fatalf("after %d datagrams: %v", n, err)
		}
		if string(buf[:size]) == last {
			return n
		}
	}
}

// TestLinks does each fault to one direction between two hosts. That something does not come shows when what was sent after it does.
func TestLinks(t *testing.T) {
	n := For(t, 3, 1)
	one, two, three := newProbe(t, n.Hosts[0]), newProbe(t, n.Hosts[1]), newProbe(t, n.Hosts[2])
	set := func(l Link) { n.Set(one.host, two.host, l) }
	// others are the other ways, which pass.
	others := func() {
		t.Helper()
		two.say(one, "back")
		one.hear("back")
		one.say(three, "aside")
		three.hear("aside")
		three.say(two, "round")
		two.hear("round")
	}
	others()
	one.say(two, "hello")
	two.hear("hello")

	set(Link{Cut: true})
	one.say(two, "lost")
	others()
	n.Heal()
	one.say(two, "passes")
	two.hear("passes")

	const delay = 50 * time.Millisecond
	set(Link{Delay: delay})
	start := time.Now()
	one.say(two, "late")
	two.hear("late")
	if took := time.Since(start); took < delay {
		t.Errorf("a delay of %v took %v", delay, took)
	}
	set(Link{Delay: time.Hour})
	one.say(two, "held")
	one.say(two, "second")
	others()
	set(Link{})
	two.hear("held")
	two.hear("second")
	set(Link{Delay: time.Hour})
	one.say(two, "lost")
	one.say(three, "aside") // the switch has taken what was sent before
	three.hear("aside")
	set(Link{Cut: true})
	set(Link{})
	one.say(two, "passes")
	two.hear("passes")

	const loss, batch, batches = 0.3, 50, 40
	came := 0
	for range batches {
		set(Link{Loss: loss})
		for range batch {
			one.say(two, "perhaps")
		}
		one.say(three, "aside")
		three.hear("aside")
		set(Link{})
		one.say(two, "end")
		came += two.count("end")
	}
	others()
	// Five standard deviations of a binomial distribution are 102.
	if want := batches * batch * (1 - loss); float64(came) < want-102 || float64(came) > want+102 {
		t.Errorf("%d of %d datagrams came with a loss of %v", came, batches*batch, loss)
	}

	const size, rate, some = 972, 10_000, 6 // 28 bytes are headers
	data := strings.Repeat("x", size)
	set(Link{Rate: rate})
	start = time.Now()
	for range some {
		one.say(two, data)
	}
	for range some {
		two.hear(data)
	}
	if took, least := time.Since(start), some*(size+28)*time.Second/rate; took < least {
		t.Errorf("%d bytes at %d bytes per second took %v", some*(size+28), rate, took)
	}
	set(Link{Rate: 1})
	for range 2 * MaxQueue / (size + 28) {
		one.say(two, data)
	}
	one.say(three, "aside")
	three.hear("aside")
	set(Link{})
	one.say(two, "end")
	if came := two.count("end"); came != MaxQueue/(size+28) {
		t.Errorf("%d datagrams waited, and the queue has room for %d", came, MaxQueue/(size+28))
	}
	set(Link{Delay: time.Microsecond})
	for range 2 * MaxQueue / (size + 28) {
		one.say(two, data)
		two.hear(data) // and there is room again
	}
}

// TestTCP has the kernel retransmit what was lost, hear nothing through a cut, and take resets for its own.
func TestTCP(t *testing.T) {
	n := For(t, 2, 1)
	one, two := n.Hosts[0], n.Hosts[1]
	var l net.Listener
	check(t, two.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(two.Addr(), "2181"))
		return err
	}))
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	near, err := one.Dial(ctx, l.Addr().String())
	check(t, err)
	defer near.Close()
	far, err := l.Accept()
	check(t, err)
	defer far.Close()
	if host, _, _ := net.SplitHostPort(far.RemoteAddr().String()); host != one.Addr() {
		t.Errorf("the connection comes from %s, want %s", host, one.Addr())
	}
	far.SetDeadline(time.Now().Add(patience))
	near.SetDeadline(time.Now().Add(patience))
	fromOne, fromTwo := bufio.NewReader(far), bufio.NewReader(near)
	say := func(conn net.Conn, text string) {
		t.Helper()
		_, err := io.WriteString(conn, text+"\n")
		check(t, err)
	}
	hear := func(r *bufio.Reader, want string) {
		t.Helper()
		if got, err := r.ReadString('\n'); err != nil || got != want+"\n" {
			t.Fatalf("%q, %v came, want %q", got, err, want)
		}
	}

	n.Set(one, two, Link{Cut: true})
	say(near, "lost, and sent again")
	say(far, "passes")
	hear(fromTwo, "passes")
	n.Heal()
	hear(fromOne, "lost, and sent again")

	n.Set(one, two, Link{Loss: 0.3, Delay: time.Millisecond})
	n.Set(two, one, Link{Loss: 0.3, Rate: 1 << 20})
	const lines = 2000
	go func() {
		for i := range lines {
			fmt.Fprintf(near, "line %d\n", i)
		}
	}()
	for i := range lines {
		hear(fromOne, fmt.Sprint("line ", i))
	}
	n.Heal()

	n.Set(one, two, Link{Reset: true})
	say(near, "anything")
	if _, err := fromOne.ReadString('\n'); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a reset of the connection is heard as %v", err)
	}
	n.Heal()
	say(near, "anything") // or sent again
	if _, err := fromTwo.ReadString('\n'); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the other end of a reset connection hears %v", err)
	}
}

// TestNothingLeft has a process and a socket on a host, and looks for what remains of it in this process.
func TestNothingLeft(t *testing.T) {
	before, inside := namespaces(t), ""
	t.Run("host", func(t *testing.T) {
		h := For(t, 1, 1).Hosts[0]
		newProbe(t, h)
		check(t, h.Do(func() error {
			_, err := net.InterfaceByName("tun0")
			return err
		}))
		if _, err := net.InterfaceByName("tun0"); err == nil {
			t.Error("the device shows outside of its host")
		}
		cmd := exec.Command("sleep", "1000")
		check(t, h.Do(cmd.Start))
		var err error
		inside, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		cmd.Process.Kill()
		cmd.Wait()
		check(t, err)
	})
	if slices.Contains(before, inside) {
		t.Error("the process was not on the host")
	}
	if slices.Contains(namespaces(t), inside) {
		t.Errorf("%s is left", inside)
	}
}

// namespaces are the network namespaces of the threads and open files of this process.
func namespaces(t *testing.T) (names []string) {
	for _, pattern := range []string{"/proc/self/task/*/ns/net", "/proc/self/fd/*"} {
		files, err := filepath.Glob(pattern)
		check(t, err)
		for _, file := range files {
			if name, err := os.Readlink(file); err == nil && strings.HasPrefix(name, "net:") {
				names = append(names, name)
			}
		}
	}
	return names
}
