package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync/atomic"

	"quoll/jute"
)

// floor answers the requests of the generator with canned bytes: a Go loop that does nothing but read, look at the opcode and
// write. What it needs is what any server in Go needs on this machine, so it is the reference for the others.
type floor struct {
	// size is the length of the data of every znode: that of the last create with any.
	size atomic.Int32
	// answer appends the reply to a request. Tests replace it with one that fails.
	answer func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error)
}

func newFloor() *floor {
	f := new(floor)
	f.answer = f.canned
	return f
}

// canned bodies: data and names are taken from a piece of this, whatever the request's path.
var (
	cannedData  = make([]byte, readBuffer)
	cannedNames = func() []byte {
		b := jute.AppendInt32(nil, childCount)
		for i := range childCount {
			b = jute.AppendString(b, keyName(i))
		}
		return append(b, make([]byte, statLength)...)
	}()
)

func (f *floor) canned(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
	b = jute.AppendReplyHeader(b, xid, 1, jute.OK)
	switch op {
	case jute.OpGetData:
		n := f.size.Load()
		b = append(jute.AppendInt32(b, n), cannedData[:n+statLength]...)
	case jute.OpSetData, jute.OpExists:
		b = append(b, cannedData[:statLength]...)
	case jute.OpGetChildren2:
		b = append(b, cannedNames...)
	case jute.OpCreate:
		d := jute.NewDecoder(body)
		path, data := d.Text(), d.Buffer()
		if d.Err() != nil || len(data) > len(cannedData)-statLength {
			return b, fmt.Errorf("create of %d bytes: %w", len(data), errors.Join(d.Err()))
		}
		if len(data) > 0 {
			f.size.Store(int32(len(data)))
		}
		b = jute.AppendBuffer(b, path)
	case jute.OpSync:
		d := jute.NewDecoder(body)
		b = jute.AppendBuffer(b, d.Text())
	case jute.OpDelete, jute.OpPing, jute.OpCloseSession:
	default:
		return b, fmt.Errorf("no canned answer to %v", op)
	}
	return b, nil
}

// serve answers connections until the listener is closed. A connection whose client sends what the generator does not is closed.
func (f *floor) serve(l net.Listener) error {
	for session := int64(1); ; session++ {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			f.serveConn(c, session)
		}()
	}
}

// serveConn returns at the end of the session.
func (f *floor) serveConn(c net.Conn, session int64) error {
	in, start, end := make([]byte, readBuffer), 0, 0
	var out []byte
	for greeted := false; ; {
		out = out[:0]
		for end-start >= 4 {
			n := int(int32(binary.BigEndian.Uint32(in[start:])))
			if n < 8 || n > len(in)-4 {
				return fmt.Errorf("a frame of %d bytes", n)
			}
			if end-start < 4+n {
				break
			}
			frame := in[start+4 : start+4+n]
			start += 4 + n
			at := len(out)
			out = append(out, 0, 0, 0, 0)
			if !greeted {
				out = greeting(out, session)
				greeted = true
			} else {
				xid, op := int32(binary.BigEndian.Uint32(frame)), jute.Op(binary.BigEndian.Uint32(frame[4:]))
				var err error
				if out, err = f.answer(out, xid, op, frame[8:]); err != nil {
					return err
				}
			}
			binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		}
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return err
			}
		}
		copy(in, in[start:end])
		start, end = 0, end-start
		n, err := c.Read(in[end:])
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			return nil
		}
		end += n
	}
}

func greeting(b []byte, session int64) []byte {
	resp := jute.ConnectResponse{Timeout: int32(sessionTimeout.Milliseconds()), SessionID: session, HasReadOnly: true}
	return resp.Append(b)
}

// floorIfAsked makes this process the floor if its arguments are "floor ADDRESS". Then it serves until it is killed.
func floorIfAsked() {
	if len(os.Args) != 3 || os.Args[1] != "floor" {
		return
	}
	l, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		log.Fatal("floor: ", err)
	}
	log.Fatal("floor: ", newFloor().serve(l))
}
