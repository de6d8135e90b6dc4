package quorum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quoll/zab"
	"quoll/zab/wire"
)

const (
	// readAhead is how many bytes of a link may be read that the driver has not taken.
	readAhead = 4 << 20
	// writeChunk is how much is written at a time, so that the node sees a link drain.
	writeChunk = 256 << 10
	// lingering is how long a link that ends may take to write what was sent on it.
	lingering = time.Second
)

var errEnded = errors.New("the link has ended")

// link is one connection of the quorum port, with a goroutine that reads and one that writes.
type link struct {
	p       *Peer
	id      zab.LinkID
	conn    *conn
	dialled bool
	reader  *wire.Reader
	ahead   *gauge                         // bytes that were read and not taken by the driver
	resume  chan io.Reader                 // what follows a SNAP packet and its stream
	done    chan struct{}                  // closed when the link is gone
	learner atomic.Pointer[learnerMetrics] // of a learner, when it is known who it is
	touched bool                           // it is in Peer.touched; the driver's own
	traffic traffic

	mu      sync.Mutex
	more    *sync.Cond
	out     []segment
	count   int64    // packets that were sent
	writing bool     // the writer has taken a segment and not written it
	direct  directly // nil if only the writer can write
	ending  bool     // nothing is added any more
	gone    bool
	detach  func() bool // from the peer's context
}

// directly writes as much as a connection takes at once, which may be nothing.
type directly func(b []byte) (n int)

// segment is a part of what is to be written: encoded packets, or the state.
type segment struct {
	b []byte
	// uncounted is how many of the bytes the node did not send.
	uncounted int
	queued    queued
	stream    *stream
}

// stream is the state on its way to a learner.
type stream struct {
	turn chan struct{} // closed when everything before it is written
	sent chan sent
}

type sent struct {
	zxid int64
	err  error
}

// newLink makes a link of a connection, which ends with the peer.
func (p *Peer) newLink(c *conn, dialled bool) *link {
	l := &link{p: p, id: zab.LinkID(p.lastLink.Add(1)), conn: c, reader: c.reader, dialled: dialled, ahead: newGauge(readAhead, nil), resume: make(chan io.Reader), done: make(chan struct{}), direct: writeDirectly(c.Conn)}
	l.more = sync.NewCond(&l.mu)
	l.reader.Limit(p.packetLimit())
	l.traffic.begun = time.Now()
	l.traffic.reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detach = context.AfterFunc(p.ctx, l.end)
	return l
}

// start begins reading, at first what was read already, and writing.
func (l *link) start(first ...wire.Packet) {
	l.p.wg.Go(func() { l.read(first) })
	l.p.wg.Go(l.write)
}

// read hands packets to the driver, as many at a time as have arrived.
func (l *link) read(first []wire.Packet) {
	l.hand(first)
	for {
		packets, err := l.reader.Packets()
		l.hand(packets)
		if err != nil {
			l.p.post(message{event: zab.LinkDown{Link: l.id, Reason: reason(err)}})
			l.end()
			return
		}
		if l.dialled && packets[len(packets)-1].Type == wire.TypeSnap {
			// A stream follows: the disk's goroutine reads it, and hands back what is behind.
			select {
			case src := <-l.resume:
				l.reader = wire.NewReader(src, l.p.packetLimit())
			case <-l.done:
				return
			}
		}
	}
}

func (l *link) hand(packets []wire.Packet) {
	if len(packets) == 0 {
		return
	}
	size := 0
	for i := range packets {
		size += packets[i].Size()
	}
	l.traffic.arrived(packets)
	l.ahead.add(size)
	l.p.tell(message{packets: packets, link: l, size: size, ahead: l.ahead})
	l.ahead.wait()
	if l.dialled {
		l.p.behind.wait()
	}
}

// reason says for people why a connection ended.
func reason(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "it closed the connection"
	case errors.Is(err, net.ErrClosed):
		return "a newer connection took its place"
	}
	return err.Error()
}

// Read is the stream behind a SNAP packet; it is for the disk's goroutine, while read waits.
func (l *link) Read(b []byte) (int, error) {
	_ = l.conn.SetReadDeadline(time.Now().Add(l.p.initTime()))
	n, err := l.reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// goOn lets read go on behind a stream of which rest was read too much.
func (l *link) goOn(rest []byte) {
	_ = l.conn.SetReadDeadline(time.Time{})
	select {
	case l.resume <- io.MultiReader(bytes.NewReader(rest), l.reader):
	case <-l.done:
	}
}

// send puts packets into the output, which leaves when the turn ends. counted says that the node sent them. It is for the driver.
func (l *link) send(packets []wire.Packet, counted bool) {
	if !l.touched {
		l.touched = true
		l.p.touched = append(l.p.touched, l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return
	}
	for i := range packets {
		if n := len(l.out); n == 0 || l.out[n-1].stream != nil || len(l.out[n-1].b) >= writeChunk {
			l.out = append(l.out, segment{b: l.p.buffer()})
		}
		s := &l.out[len(l.out)-1]
		before := len(s.b)
		s.b = packets[i].Append(s.b)
		s.queued.add(l.count)
		l.count++
		l.traffic.leaves(&packets[i])
		if !counted {
			s.uncounted += len(s.b) - before
		}
	}
}

// flush writes what the driver has sent. It returns how much of what the node sent is gone; what the connection does not take at once the writer writes, which
// costs two wake-ups.
func (l *link) flush() (counted int) {
	l.touched = false
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) == 1 && l.out[0].stream == nil && !l.writing && l.direct != nil {
		s := &l.out[0]
		n := l.direct(s.b)
		counted = s.wrote(n)
		if n == len(s.b) {
			l.learner.Load().taken(&s.queued)
			l.p.recycle(s.b)
			l.out[0] = segment{}
			l.out = l.out[:0]
			return counted
		}
		s.b = s.b[n:]
	}
	l.more.Signal()
	return counted
}

// wrote notes that n bytes more were written, and returns how many of them the node sent.
func (s *segment) wrote(n int) int {
	uncounted := min(n, s.uncounted)
	s.uncounted -= uncounted
	return n - uncounted
}

// sendStream reserves the place of a stream, which then calls run.
func (l *link) sendStream() *stream {
	s := &stream{turn: make(chan struct{}), sent: make(chan sent, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = append(l.out, segment{stream: s})
	l.more.Signal()
	return s
}

// run writes the state at zxid, in its turn.
func (s *stream) run(l *link, zxid int64, write func(io.Writer) error, err error) {
	if err == nil {
		select {
		case <-s.turn:
		case <-l.done:
			err = errEnded
		}
	}
	if err == nil {
		w := bufio.NewWriterSize(&patientWriter{l}, writeChunk)
		snap := wire.Packet{Type: wire.TypeSnap, Zxid: zxid}
		if _, err = w.Write(snap.Append(nil)); err == nil {
			err = write(w)
		}
		if err == nil {
			err = w.Flush()
		}
	}
	s.sent <- sent{zxid, err}
}

// patientWriter gives a peer time to take each portion.
type patientWriter struct{ l *link }

func (w *patientWriter) Write(b []byte) (int, error) {
	_ = w.l.conn.SetWriteDeadline(time.Now().Add(w.l.p.initTime()))
	return w.l.conn.Write(b)
}

// write writes the output until the link ends.
func (l *link) write() {
	for {
		l.mu.Lock()
		l.writing = false
		for len(l.out) == 0 && !l.ending {
			l.more.Wait()
		}
		if len(l.out) == 0 {
			l.mu.Unlock()
			l.end()
			return
		}
		s := l.out[0]
		l.out = slices.Delete(l.out, 0, 1)
		l.writing = true
		l.mu.Unlock()
		var err error
		if s.stream != nil {
			err = l.writeStream(s.stream)
		} else {
			l.learner.Load().taken(&s.queued)
			err = l.writeBytes(&s)
			l.p.recycle(s.b)
		}
		if err != nil {
			l.p.post(message{event: zab.LinkDown{Link: l.id, Reason: reason(err)}})
			l.end()
			return
		}
	}
}

func (l *link) writeBytes(s *segment) error {
	for rest := s.b; len(rest) > 0; {
		n, err := l.conn.Write(rest[:min(len(rest), writeChunk)])
		rest = rest[n:]
		if counted := s.wrote(n); counted > 0 {
			l.p.post(message{event: zab.Sent{Link: l.id, Bytes: counted}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeStream lets the state be written, and tells the node now and then that it goes on.
func (l *link) writeStream(s *stream) error {
	close(s.turn)
	alive := time.NewTicker(l.p.opts.Config.TickTime)
	defer alive.Stop()
	for {
		select {
		case sent := <-s.sent:
			_ = l.conn.SetWriteDeadline(time.Time{})
			if sent.err != nil {
				return fmt.Errorf("the snapshot was not sent: %w", sent.err)
			}
			l.p.post(message{event: zab.Sent{Link: l.id, Snapshot: true, Zxid: sent.zxid}})
			return nil
		case <-alive.C:
			l.p.post(message{event: zab.Sent{Link: l.id}})
		case <-l.done:
			return errEnded
		}
	}
}

// finish ends the link when what was sent on it is written, or after a moment.
func (l *link) finish() {
	l.mu.Lock()
	l.ending = true
	l.more.Signal()
	l.mu.Unlock()
	time.AfterFunc(lingering, l.end)
}

// end ends the link at once.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	l.out = nil
	l.more.Signal()
	if l.gone {
		return
	}
	l.gone = true
	l.detach()
	close(l.done)
	l.ahead.close()
	began := time.Now()
	_ = l.conn.Close()
	l.p.logging.m.SocketClosingTime.Observe(time.Since(began).Milliseconds())
}
