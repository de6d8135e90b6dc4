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
}

// FreePort is a loopback TCP port that nobody listens on and that this process has not been
// given before. It lies below the range from which the kernel takes the ports of outgoing
// connections: otherwise a client that retries while a server is down could occupy the
// server's port, or even connect to itself. Tests that run beside this one mostly look elsewhere.
func FreePort() (int, error) {
	const size, parts = 1000, 20
	low := 12000 + os.Getpid()%parts*size
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for range 1000 {
		port := low + rand.IntN(size)
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
	return 0, fmt.Errorf("no free port between %d and %d", low, low+size)
}
