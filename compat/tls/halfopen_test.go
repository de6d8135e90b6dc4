//go:build unix

package tls

import (
	"bufio"
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
)

// senders is how many processes send the handshakes that do not end, of which this one is none: what they take of the machine is theirs.
const senders = 4

// TestHalfOpen has handshakes that do not end come to the port for TLS, out of other processes, beside a client that works: it is answered, and others can come. What it notices
// is in the log of the test. QUOLL_TLS=long has 10,000 of them come, to ZooKeeper too.
func TestHalfOpen(t *testing.T) {
	total, span, start := 400, 500*time.Millisecond, func(t *testing.T, o peer.Options, f func(*testing.T, *peer.Server)) {
		t.Run("quoll", func(t *testing.T) { f(t, peer.Quoll(t, o)) })
	}
	if os.Getenv("QUOLL_TLS") == "long" {
		total, span, start = 10_000, 10*time.Second, peer.Each
	}
	s := newStores(t)
	opts, addr := s.options(t)
	start(t, opts, func(t *testing.T, server *peer.Server) {
		worker := s.connect(t, addr)
		// work has the client ask until the channel is closed, and tells its p99.
		work := func(until <-chan struct{}) time.Duration {
			var took []time.Duration
			for {
				began := time.Now()
				if _, err := worker.Exists(t.Context(), "/", false); err != nil {
					t.Fatalf("a client that works: %v", err)
				}
				took = append(took, time.Since(began))
				select {
				case <-until:
					slices.Sort(took)
					return took[len(took)*99/100]
				default:
				}
			}
		}
		after := func(d time.Duration) <-chan struct{} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx.Done()
		}
		work(after(span)) // warm
		// while is what the client notices while a crowd comes, and how long that takes.
		while := func(c crowd) (p99, took time.Duration) {
			come, failed, began := make(chan struct{}), make(chan error, 1), time.Now()
			go func() {
				defer close(come)
				failed <- c.send()
			}()
			p99 = work(come)
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
			return p99, time.Since(began)
		}
		elsewhere, here := gather(t, taker(t), total), gather(t, addr, total)
		alone := work(after(span))
		control, _ := while(elsewhere)
		under, took := while(here)
		s.connect(t, addr) // one of those who come
		hanging := work(after(min(span, 5*time.Second)))
		times := func(d time.Duration) string { return fmt.Sprintf("%v (%.1f times)", d, float64(d)/float64(alone)) }
		t.Logf("%s: p99 of a client that works: %v alone, %s while %d come to a process that does nothing with them, %s while they come here and do not end their handshakes, for %v, %s while they hang",
			server.Kind(), alone, times(control), total, times(under), took.Round(time.Millisecond), times(hanging))
	})
}

// connect connects bob.
func (s *stores) connect(t *testing.T, addr string) *client.Client {
	t.Helper()
	cert, err := cryptotls.LoadX509KeyPair(s.file("bob.crt"), s.file("bob.key"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := &cryptotls.Dialer{Config: s.Config(cert)}
	c, err := client.Connect(ctx, addr, client.Options{Dial: func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// crowd are processes that connect and hang.
type crowd []sender

// taker is the address of a process that takes connections and nothing else, until the test ends.
func taker(t *testing.T) string {
	t.Helper()
	s := another(t)
	addr, err := s.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

type sender struct {
	in  io.Writer
	out *bufio.Reader
}

// gather starts processes that are about to connect so many times in all, and end with the test.
func gather(t *testing.T, addr string, total int) (all crowd) {
	t.Helper()
	for range senders {
		s := another(t, addr, strconv.Itoa(total/senders))
		if err := s.says("ready"); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// another starts this program with arguments for [TestSender]. The process ends with the test.
func another(t *testing.T, args ...string) sender {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{"-test.run=^TestSender$", "--", "sender"}, args...)...)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which it waits for
		_ = cmd.Wait()
	})
	return sender{in, bufio.NewReader(out)}
}

// send returns when all of them hang.
func (c crowd) send() error {
	for _, s := range c {
		if _, err := fmt.Fprintln(s.in, "go"); err != nil {
			return err
		}
	}
	for _, s := range c {
		if err := s.says("they hang"); err != nil {
			return err
		}
	}
	return nil
}

func (s sender) says(want string) error {
	if line, err := s.out.ReadString('\n'); err != nil || line != want+"\n" {
		return fmt.Errorf("a sender says %q, %v", line, err)
	}
	return nil
}

// TestSender is a process of a [crowd], or the [taker]. A third of its connections say nothing, a third begin a ClientHello, and a third send all of it, for which the server
// computes its part.
func TestSender(t *testing.T) {
	args := flag.Args()
	switch len(args) {
	case 1:
		take(t)
	case 3:
		hang(t, args[1], args[2])
	default:
		t.Skip("no process of TestHalfOpen")
	}
}

func take(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	l.Close()
}

func hang(t *testing.T, addr, count string) {
	total, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		t.Fatal(err)
	}
	hello := hello()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return // the test has ended
	}
	for i := range total {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(hello[:[]int{0, 5, len(hello)}[i%3]]) // the server may have closed it already
	}
	fmt.Println("they hang")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hello is the first flight of a client.
func hello() []byte {
	var b bytes.Buffer
	_ = cryptotls.Client(writer{&b}, &cryptotls.Config{ServerName: "localhost"}).Handshake() // nobody answers
	return b.Bytes()
}

// writer is a connection whose other side has gone after what it is sent.
type writer struct{ io.Writer }

func (writer) Read([]byte) (int, error)         { return 0, io.EOF }
func (writer) Close() error                     { return nil }
func (writer) LocalAddr() net.Addr              { return nil }
func (writer) RemoteAddr() net.Addr             { return nil }
func (writer) SetDeadline(time.Time) error      { return nil }
func (writer) SetReadDeadline(time.Time) error  { return nil }
func (writer) SetWriteDeadline(time.Time) error { return nil }
