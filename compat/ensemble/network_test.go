package ensemble

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNetwork dials the second member as the first one would, and cuts each direction.
func TestNetwork(t *testing.T) {
	e, err := New(Options{Work: t.TempDir(), Kinds: []Kind{Quoll, Quoll}, Network: true})
	check(t, err)
	defer e.Network.Close()
	one, two := e.Members[0], e.Members[1]
	quorum, election := e.Network.ports(one, two)
	_, back := e.Network.ports(two, one)
	for _, c := range []struct {
		port int
		addr string
	}{{quorum, two.QuorumAddr()}, {election, two.ElectionAddr()}} {
		l, err := net.Listen("tcp", c.addr)
		check(t, err)
		defer l.Close()
		near, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)))
		check(t, err)
		defer near.Close()
		far, err := l.Accept()
		check(t, err)
		defer far.Close()
		fromOne, fromTwo := bufio.NewReader(far), bufio.NewReader(near)
		say := func(conn net.Conn, text string) {
			t.Helper()
			_, err := io.WriteString(conn, text+"\n")
			check(t, err)
		}
		hear := func(r *bufio.Reader, want string) {
			t.Helper()
			if got, err := r.ReadString('\n'); err != nil || got != want+"\n" {
				t.Errorf("%q, %v came, want %q", got, err, want)
			}
		}

		// Where the first member is dialled back: through the network too, if it says so on the election port.
		own := one.ElectionAddr()
		say(near, own)
		if c.port == election {
			own = net.JoinHostPort("127.0.0.1", strconv.Itoa(back))
		}
		hear(fromOne, own)

		e.Network.Cut(1, 2)
		say(near, "held")
		say(far, "passes")
		hear(fromTwo, "passes")
		far.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if b, err := fromOne.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v came through a cut", b, err)
		}
		far.SetReadDeadline(time.Time{})
		e.Network.Heal()
		hear(fromOne, "held")

		e.Network.Reset(2, 1)
		if _, err := fromTwo.ReadByte(); err == nil {
			t.Error("a connection that was reset goes on")
		}
	}
	cfg, err := os.ReadFile(one.dir + "/zoo.cfg")
	check(t, err)
	for _, want := range []string{"server.1=" + one.QuorumAddr() + ":", "server.2=127.0.0.1:" + strconv.Itoa(quorum) + ":" + strconv.Itoa(election) + ":"} {
		if !strings.Contains(string(cfg), want) {
			t.Errorf("no %q in\n%s", want, cfg)
		}
	}
}
