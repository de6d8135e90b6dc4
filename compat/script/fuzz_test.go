package script

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"quoll"
)

// FuzzFrames sends any bytes to a server, on a connection of their own, next to a client that
// must go on working. The seeds are the requests of the recorded scripts.
func FuzzFrames(f *testing.F) {
	for _, s := range golden(f) {
		for _, l := range s.Lines {
			if l.Step == nil {
				continue
			}
			// Requests that need what happened before, such as a session, are no seeds.
			r := appender()
			if b, err := r.appendCall(nil, &conn{setUp: true}, l.Step.Request); err == nil && len(b) < 1000 {
				f.Add(b, l.Step.Request.Verb != "connect")
			}
		}
	}
	server, err := quoll.Start(quoll.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { server.Close() })

	// What only this client may change is in reach of no one who does not know its password.
	good := &Player{addr: server.Addr(), norm: newNormaliser(0), conns: map[string]*conn{}}
	good.must(f, "c connect timeout=40000")
	good.must(f, "c auth scheme=digest auth=good:secret")
	good.must(f, "c create /good acl=auth::31")
	good.must(f, "c create /good/child acl=auth::31")

	f.Fuzz(func(t *testing.T, b []byte, connected bool) {
		evil, err := net.Dial("tcp", server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer evil.Close()
		evil.SetDeadline(time.Now().Add(deadline))
		if connected {
			hello, err := good.appendConnect(make([]byte, 4), Call{Verb: "connect"})
			if err != nil {
				t.Fatal(err)
			}
			b = append(seal(hello), b...)
		}
		// The server may close the connection at any byte, but it has to within the deadline.
		evil.Write(b)
		evil.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, evil); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection is still open")
		}
		good.must(t, "c setData /good/child data=x")
		good.must(t, "c getData /good/child")
		good.must(t, "c ping")
	})
}

// must does a step and fails the test unless the answer is ok.
func (r *Player) must(t testing.TB, line string) {
	t.Helper()
	var s Script
	if err := s.Parse(line); err != nil {
		t.Fatal(err)
	}
	answer, err := r.Step(s.Lines[0].Step)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) == 0 || !strings.Contains(answer[0], " err=0") && !strings.Contains(answer[0], " session=@") {
		t.Fatalf("%s: %q", line, answer)
	}
}
