package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"quoll/jute"
	"quoll/txnlog"
)

// floor answers the requests of the generator with canned bytes: a Go loop that does nothing but read, look at the opcode, have the
// bytes of a write on the disk, and write. What it needs is what any server in Go needs on this machine, so it is the reference for the others.
type floor struct {
	// log has the requests that change something, as they came; nil is none. One sync is for all that connections have brought meanwhile.
	log  *txnlog.Log
	zxid atomic.Int64
	// size is the length of the data of every znode: that of the last create with any.
	size atomic.Int32
	// znodes counts the creates less the deletes. All but one are children of that one.
	znodes  atomic.Int64
	listing atomic.Pointer[listing]
	// watching are the connections whose exists set a watch; a setData tells them all.
	mu       sync.Mutex
	watching []net.Conn
	watched  atomic.Bool // watching is not empty
	// answer appends the reply to a request. Tests replace it with one that fails.
	answer func(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error)
}

func newFloor() *floor {
	f := new(floor)
	f.answer = f.canned
	return f
}

// cannedData is what data and stats are taken from, whatever the request's path.
var cannedData = make([]byte, readBuffer)

// cannedMulti is the answer to a multi of setData.
var cannedMulti = func() (b []byte) {
	for range multiSize {
		b = (&jute.MultiHeader{Type: int32(jute.OpSetData)}).Append(b)
		b = append(b, cannedData[:statLength]...)
	}
	return jute.MultiEnd.Append(b)
}()

// listing is the answer to getChildren2 of a znode with so many children.
type listing struct {
	children int64
	body     []byte
}

// list is the canned listing of the children that there are.
func (f *floor) list() []byte {
	n := max(0, f.znodes.Load()-1)
	if l := f.listing.Load(); l != nil && l.children == n {
		return l.body
	}
	b := jute.AppendInt32(nil, int32(n))
	for i := range n {
		b = jute.AppendString(b, keyName(int(i)))
	}
	b = append(b, cannedData[:statLength]...)
	f.listing.Store(&listing{n, b})
	return b
}

func (f *floor) canned(b []byte, xid int32, op jute.Op, body []byte) ([]byte, error) {
	b = jute.AppendReplyHeader(b, xid, 1, jute.OK)
	switch op {
	case jute.OpGetData:
		n := f.size.Load()
		b = append(jute.AppendInt32(b, n), cannedData[:n+statLength]...)
	case jute.OpSetData, jute.OpExists:
		b = append(b, cannedData[:statLength]...)
	case jute.OpGetChildren2:
		b = append(b, f.list()...)
	case jute.OpCreate:
		d := jute.NewDecoder(body)
		path, data := d.Text(), d.Buffer()
		if d.Err() != nil || d.Len() < 4 || len(data) > len(cannedData)-statLength {
			return b, fmt.Errorf("create of %d bytes: %w", len(data), errors.Join(d.Err()))
		}
		if len(data) > 0 {
			f.size.Store(int32(len(data)))
		}
		f.znodes.Add(1)
		if mode := body[len(body)-1]; mode == byte(jute.ModePersistentSequential) {
			path = append(path[:len(path):len(path)], "0000000000"...)
		}
		b = jute.AppendBuffer(b, path)
	case jute.OpMulti:
		b = append(b, cannedMulti...)
	case jute.OpSync:
		d := jute.NewDecoder(body)
		b = jute.AppendBuffer(b, d.Text())
	case jute.OpDelete:
		f.znodes.Add(-1)
	case jute.OpPing, jute.OpCloseSession:
	default:
		return b, fmt.Errorf("no canned answer to %v", op)
	}
	return b, nil
}

// event is what a floor sends to a connection that watches.
var event = func() []byte {
	b := jute.AppendReplyHeader(make([]byte, 4), jute.XidEvent, -1, jute.OK)
	b = (&jute.WatcherEvent{Type: int32(jute.EventNodeDataChanged), State: jute.StateSyncConnected, Path: "/"}).Append(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}()

// watch notes that c has set a watch.
func (f *floor) watch(c net.Conn) {
	f.mu.Lock()
	f.watching = append(f.watching, c)
	f.mu.Unlock()
	f.watched.Store(true)
}

// fire tells all that watch.
func (f *floor) fire() {
	f.mu.Lock()
	all := f.watching
	f.watching = nil
	f.watched.Store(false)
	f.mu.Unlock()
	for _, c := range all {
		c.Write(event) // one that has gone does not matter
	}
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
		logged := false
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
				if f.log != nil && changes(op) {
					f.log.Append(f.zxid.Add(1), frame)
					logged = true
				}
				var err error
				if out, err = f.answer(out, xid, op, frame[8:]); err != nil {
					return err
				}
				switch {
				case op == jute.OpExists && frame[n-1] == 1:
					f.watch(c)
				case op == jute.OpSetData && f.watched.Load():
					f.fire()
				}
			}
			binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		}
		if logged {
			if err := f.log.Sync(); err != nil {
				return err
			}
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

// changes reports whether the generator's requests with this opcode are writes.
func changes(op jute.Op) bool {
	return op == jute.OpCreate || op == jute.OpDelete || op == jute.OpSetData || op == jute.OpMulti
}

// logTo has writes logged into a directory, with the settings of a server. A full file goes when the next one begins: nobody reads it.
func (f *floor) logTo(dir string) {
	var open string
	f.log = txnlog.NewLog(txnlog.LogOptions{Dir: dir, PreAlloc: 64 << 20, ForceSync: true, SizeLimit: 256 << 20, OnSync: func(_ time.Duration, file string, _ int64) {
		if open != file && open != "" {
			os.Remove(open)
		}
		open = file
	}})
}

// floorIfAsked makes this process the floor if its arguments are "floor ADDRESS DIRECTORY". Then it serves until it is killed.
func floorIfAsked() {
	if len(os.Args) != 4 || os.Args[1] != "floor" {
		return
	}
	l, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		log.Fatal("floor: ", err)
	}
	f := newFloor()
	f.logTo(os.Args[3])
	log.Fatal("floor: ", f.serve(l))
}
