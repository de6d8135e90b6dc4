package hostile

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// TestBrokenFrames sends frames of every opcode with random bodies, records with a few bytes changed, cut or added, lengths that are
// wrong, and plain noise, before and after the handshake.
func TestBrokenFrames(t *testing.T) {
	const seed = 1
	dir := t.TempDir()
	t.Run("attack", func(t *testing.T) {
		s, _ := start(t, dir, map[string]string{"4lw.commands.whitelist": "*", "extendedTypesEnabled": "true", "snapCount": "1000"})
		stop := workBeside(t, s.Addr())
		var attackers sync.WaitGroup
		for i := range 4 {
			attackers.Go(func() {
				a := attacker{rand.New(rand.NewPCG(seed, uint64(i)))}
				for range size(2_000, 50_000) {
					a.attack(t, s.Addr())
				}
			})
		}
		attackers.Wait()
		stop()
	})
	reopen(t, dir, javaOptions())
}

type attacker struct{ *rand.Rand }

var evilPaths = []string{"/", "/evil", "/evil/a", "/evil/a/b", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "", "evil", "//", "/evil/", "/evil/../good", "/ev\x00il", "/\xff\xfe", "/\xed\xa0\x80"}

func (a attacker) attack(t *testing.T, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	var b []byte
	switch a.IntN(8) {
	case 0:
		b = a.noise(200)
	case 1:
		b = a.frame(nil, a.noise(100))
	default:
		hello := (&jute.ConnectRequest{Timeout: a.Int32N(10_000), Password: make([]byte, 16), HasReadOnly: true}).Append(nil)
		if a.IntN(10) == 0 {
			hello = a.damage(hello)
		}
		b = a.frame(nil, hello)
		for range 1 + a.IntN(20) {
			b = a.frame(b, a.request())
		}
	}
	if a.IntN(4) == 0 {
		b = b[:a.IntN(len(b)+1)]
	}
	conn.Write(b)
	switch a.IntN(3) {
	case 0: // gone without a word
	case 1:
		conn.(*net.TCPConn).SetLinger(0) // a reset
	default:
		conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Errorf("the connection is still open after %x", b)
			}
		}
	}
}

func (a attacker) noise(most int) []byte {
	b := make([]byte, a.IntN(most))
	for i := range b {
		b[i] = byte(a.Uint32())
	}
	return b
}

// frame appends a frame, now and then with a length that is not the body's.
func (a attacker) frame(b, body []byte) []byte {
	n := uint32(len(body))
	switch a.IntN(40) {
	case 0:
		n = a.Uint32()
	case 1:
		n = 0xfffff + 1
	case 2:
		n = uint32(max(0, len(body)-1-a.IntN(8)))
	}
	return append(binary.BigEndian.AppendUint32(b, n), body...)
}

var everyOp = append(jute.Ops(), 10, 25, 99, 108, 1000, -2, -12, 1<<30)

func (a attacker) request() []byte {
	op := everyOp[a.IntN(len(everyOp))]
	b := (&jute.RequestHeader{Xid: a.Int32(), Type: int32(op)}).Append(nil)
	switch a.IntN(4) {
	case 0:
		return append(b, a.noise(100)...)
	case 1:
		return a.damage(append(b, a.record(op)...))
	}
	return append(b, a.record(op)...)
}

func (a attacker) path() []byte { return []byte(evilPaths[a.IntN(len(evilPaths))]) }

// record is a body that can be decoded, for most opcodes.
func (a attacker) record(op jute.Op) []byte {
	paths := func() [][]byte { return [][]byte{a.path(), a.path()} }
	switch op {
	case jute.OpMulti, jute.OpMultiRead:
		var m client.MultiRequest
		for range a.IntN(5) {
			part := jute.Op(a.IntN(23))
			m = append(m, a.operation(part))
		}
		return m.Append(nil)
	case jute.OpSetWatches:
		return (&jute.SetWatchesRequest{RelativeZxid: a.Int64(), Data: paths(), Exist: paths(), Child: paths()}).Append(nil)
	case jute.OpSetWatches2:
		return (&jute.SetWatches2Request{RelativeZxid: a.Int64(), Data: paths(), Exist: paths(), Child: paths(), Persistent: paths(), PersistentRecursive: paths()}).Append(nil)
	case jute.OpAuth:
		return (&jute.AuthPacket{Scheme: []byte([]string{"digest", "ip", "x509", "sasl", ""}[a.IntN(5)]), Auth: a.noise(20)}).Append(nil)
	case jute.OpAddWatch, jute.OpCheckWatches, jute.OpRemoveWatches:
		return jute.AppendInt32(jute.AppendBuffer(nil, a.path()), int32(a.IntN(7)))
	case jute.OpReconfig:
		return (&jute.ReconfigRequest{JoiningServers: a.noise(30), CurConfigID: -1}).Append(nil)
	case jute.OpSync, jute.OpGetEphemerals, jute.OpGetAllChildrenNumber, jute.OpGetACL:
		return jute.AppendBuffer(nil, a.path())
	case jute.OpExists, jute.OpGetChildren2:
		op = jute.OpGetData
	}
	o := a.operation(op)
	return o.Append(nil)
}

func (a attacker) operation(op jute.Op) jute.Operation {
	acl := []jute.ACLText{{Perms: a.Int32N(40), Scheme: []byte("world"), ID: []byte("anyone")}}
	switch a.IntN(8) {
	case 0:
		acl = nil
	case 1:
		acl = []jute.ACLText{}
	case 2:
		acl[0] = jute.ACLText{Perms: -1, Scheme: a.noise(6), ID: a.noise(10)}
	}
	return jute.Operation{
		Op: op, Path: a.path(), Data: a.noise(50), ACL: acl, Flags: jute.CreateMode(a.IntN(8)), TTL: a.Int64N(1<<41) - 1<<40,
		Version: a.Int32N(4) - 1, Watch: a.IntN(2) == 0,
	}
}

// damage changes some bytes, or cuts or lengthens.
func (a attacker) damage(b []byte) []byte {
	for range 1 + a.IntN(3) {
		if len(b) > 0 {
			b[a.IntN(len(b))] = byte(a.Uint32())
		}
	}
	switch a.IntN(3) {
	case 0:
		b = b[:a.IntN(len(b)+1)]
	case 1:
		b = append(b, a.noise(20)...)
	}
	return b
}
