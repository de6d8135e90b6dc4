package main

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
	eachScript(f, func(_ string, s *script) {
		for _, l := range s.lines {
			if l.step == nil {
				continue
			}
			// Requests that need what happened before, such as a session, are no seeds.
			r := &runner{norm: newNormaliser(0)}
			if b, err := r.appendCall(nil, &conn{setUp: true}, l.step.request); err == nil && len(b) < 1000 {
				f.Add(b, l.step.request.verb != "connect")
			}
		}
	})
	server, err := quoll.Start(quoll.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { server.Close() })

	// What only this client may change is in reach of no one who does not know its password.
	good := &runner{addr: server.Addr(), norm: newNormaliser(0), conns: map[string]*conn{}, sessions: map[string]int64{}}
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
			hello, err := good.appendConnect(make([]byte, 4), call{verb: "connect"})
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
func (r *runner) must(t testing.TB, line string) {
	t.Helper()
	var s script
	if err := s.parse(line); err != nil {
		t.Fatal(err)
	}
	answer, err := r.step(s.lines[0].step)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) == 0 || !strings.Contains(answer[0], " err=0") && !strings.Contains(answer[0], " session=@") {
		t.Fatalf("%s: %q", line, answer)
	}
}
