package quoll_test

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"quoll"
)

// A test that needs ZooKeeper starts a server of its own, in memory, and can make its sessions expire.
func ExampleStart() {
	s, err := quoll.Start(quoll.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	conn, events, err := zk.Connect([]string{s.Addr()}, 5*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	wait(events, zk.StateHasSession)
	path, err := conn.Create("/lock", []byte("mine"), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	fmt.Println(path, err)

	if err := s.ExpireSession(conn.SessionID()); err != nil {
		fmt.Println(err)
	}
	wait(events, zk.StateExpired)
	wait(events, zk.StateHasSession)
	exists, _, err := conn.Exists("/lock")
	fmt.Println(exists, err)
	// Output:
	// /lock <nil>
	// false <nil>
}

// wait returns when the client's session is in a state.
func wait(events <-chan zk.Event, state zk.State) {
	for e := range events {
		if e.State == state {
			return
		}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}
