package peer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

var ports struct {
	sync.Mutex
	given map[int]bool
	low   int // of this process's part
	owner net.Listener
}

// FreePort is a loopback TCP port that nobody listens on and that this process has not been
// given before. It lies below the range from which the kernel takes the ports of outgoing
// connections: otherwise a client that retries while a server is down could occupy the
// server's port, or even connect to itself. Each process that runs tests has a part of the
// ports, whose first one it listens on as long as it lives: otherwise a member of one test
// could dial a server of another.
func FreePort() (int, error) {
	const first, size, parts = 12000, 1000, 20
	ports.Lock()
	defer ports.Unlock()
	for i := 0; ports.owner == nil; i++ {
		if i == parts {
			return 0, fmt.Errorf("other tests have all ports from %d to %d", first, first+parts*size)
		}
		low := first + (os.Getpid()+i)%parts*size
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low)); err == nil {
			ports.owner, ports.low, ports.given = l, low, make(map[int]bool)
		}
	}
	for range 1000 {
		port := ports.low + 1 + rand.IntN(size-1)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", ports.low, ports.low+size)
}
