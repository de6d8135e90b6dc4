//go:build linux

package server

import (
	"net"
	"runtime"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// awaitParked waits until so many connections are parked, and no more.
func awaitParked(t *testing.T, s *Server, want int) {
	t.Helper()
	eventually(t, "that many connections are parked", func() bool {
		got := 0
		for _, c := range s.connections() {
			if c.isParked() {
				got++
			}
		}
		return got == want
	})
}

// TestLot has clients be quiet until their connections are parked, and wakes them in each way that there is.
func TestLot(t *testing.T) {
	s := startServer(t)
	const clients = 50
	before, most := runtime.NumGoroutine(), 0
	var list []net.Conn
	for range clients {
		nc := dial(t, s)
		list = append(list, nc)
		raw := client.NewRawConn(nc)
		if _, err := raw.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
			t.Fatal(err)
		}
		most = max(most, runtime.NumGoroutine())
	}
	if most > before+clients/2 { // of those who come at once, and ask nothing yet
		t.Errorf("there were %d goroutines while clients came, and %d before", most, before)
	}
	awaitParked(t, s, clients)
	if n := runtime.NumGoroutine(); n > before+clients/5 {
		t.Errorf("there are %d goroutines, there were %d before the %d clients", n, before, clients)
	}
	ping := []byte{0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11}
	pong := make([]byte, 20)
	for range 3 { // a ping is answered, whole or in pieces
		for i, nc := range list {
			for _, piece := range [][]byte{ping[:i%len(ping)], ping[i%len(ping):]} {
				if _, err := nc.Write(piece); err != nil {
					t.Fatal(err)
				}
				if i < 5 {
					time.Sleep(time.Millisecond)
				}
			}
		}
		for _, nc := range list {
			if _, err := nc.Read(pong); err != nil {
				t.Fatal(err)
			}
		}
		awaitParked(t, s, clients)
	}
	for _, nc := range list[:10] { // the client goes
		nc.Close()
	}
	awaitParked(t, s, clients-10)
	eventually(t, "who has gone is forgotten", func() bool { return len(s.connections()) == clients-10 })
	s.DropConnections()
	for _, nc := range list[10:] {
		if _, err := nc.Read(pong); err == nil {
			t.Fatal("a parked connection was not closed")
		}
	}
	eventually(t, "no goroutine is left of them", func() bool { return runtime.NumGoroutine() <= before })
}
