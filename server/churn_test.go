package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// TestNothingIsLeft has clients that come, renew their sessions, ask for much at once, read some of it or nothing, and leave at any moment,
// while others expire them. In the end nothing of them may be left.
func TestNothingIsLeft(t *testing.T) {
	s := startServer(t, "maxClientCnxns=0", "tickTime=20", "maxSessionTimeout=60000", "nio.sessionlessCnxnTimeout=200", "globalOutstandingLimit=50")
	good := connect(t, s)
	if _, err := good.Create(t.Context(), "/churn", make([]byte, 50_000), client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			session := jute.ConnectRequest{Timeout: int32(40 + rng.IntN(100))}
			for range 40 {
				session = churn(rng, s, session)
			}
		})
	}
	clients.Wait()
	eventually(t, "one connection", func() bool { return s.connectionCount() == 1 })
	eventually(t, "one session", func() bool { return len(s.Sessions()) == 1 })
	eventually(t, "no watches", func() bool { return s.watches.total.Load() == 0 && s.watches.recursive.Load() == 0 })
	eventually(t, "no output", func() bool { return s.unsent.Load() == 0 && s.outstanding.Load() == 0 })
	eventually(t, "no goroutines", func() bool { return runtime.NumGoroutine() <= before }) // fewer, if one was just ending at the start
	for i := range s.watches.shards {
		shard := &s.watches.shards[i]
		shard.Lock()
		n := len(shard.paths)
		shard.Unlock()
		if n > 0 {
			t.Errorf("%d watched paths", n)
		}
	}
	if children, _, err := good.Children(t.Context(), "/churn", false); err != nil || len(children) > 0 {
		t.Errorf("%d ephemerals, %v", len(children), err)
	}
}

func churn(rng *rand.Rand, s *Server, session jute.ConnectRequest) jute.ConnectRequest {
	nc, err := net.Dial("tcp", s.addr())
	if err != nil {
		return session
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := client.NewRawConn(nc)
	if rng.IntN(10) == 0 {
		_ = c.Send(session.Append(nil)) // and does not wait
		if rng.IntN(2) == 0 {
			return session
		}
	} else {
		answer, err := c.Handshake(&session)
		if err != nil || answer.Timeout <= 0 {
			return jute.ConnectRequest{Timeout: int32(40 + rng.IntN(100))}
		}
		session.SessionID, session.Password = answer.SessionID, answer.Password[:]
	}
	var b []byte
	acl := []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
	add := func(op jute.Op, body []byte) {
		b = jute.AppendInt32(b, int32(8+len(body)))
		b = append((&jute.RequestHeader{Xid: 1, Type: int32(op)}).Append(b), body...)
	}
	for range rng.IntN(200) {
		switch rng.IntN(12) {
		case 0:
			create := jute.Operation{Op: jute.OpCreate, Path: []byte("/churn/e-"), ACL: acl, Flags: jute.ModeEphemeralSequential}
			add(create.Op, create.Append(nil))
		case 1:
			set := jute.Operation{Op: jute.OpSetData, Path: []byte("/churn"), Data: make([]byte, 50_000), Version: -1}
			add(set.Op, set.Append(nil))
		case 2:
			add(jute.OpGetChildren, (&jute.PathWatchRequest{Path: []byte("/churn"), Watch: true}).Append(nil))
		case 3:
			add(jute.OpAddWatch, jute.AppendInt32(jute.AppendString(nil, fmt.Sprintf("/churn/e-%010d", rng.IntN(100))), int32(rng.IntN(2))))
		case 4:
			add(jute.OpGetEphemerals, jute.AppendString(nil, "/"))
		case 5:
			add(jute.OpPing, nil)
		case 6:
			if rng.IntN(10) == 0 {
				add(jute.OpCloseSession, nil)
			}
		case 7:
			if rng.IntN(10) == 0 {
				add(jute.Op(999), nil)
			}
		default:
			add(jute.OpGetData, (&jute.PathWatchRequest{Path: []byte("/churn"), Watch: true}).Append(nil))
		}
	}
	if _, err := c.Write(b); err != nil {
		return session
	}
	for range rng.IntN(100) {
		if _, _, err := c.Reply(); err != nil {
			break
		}
	}
	if rng.IntN(10) == 0 {
		_ = s.ExpireSession(session.SessionID)
	}
	return session
}
