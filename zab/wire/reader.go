package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"quoll/jute"
)

// Reader reads the records of one connection, on either port, and the bytes between them. It may read ahead, so that nobody else can read from
// the source any more.
//
// What a length claims is never allocated before it is there: the buffer has at most twice the bytes that arrived. A byte slice that it returns,
// alone or in a record, is valid until the next call of any method, but for those of Packets. After an error the connection is of no use, but for a timeout of the
// source: then the call can be repeated. io.EOF is the end of the source between two records, io.ErrUnexpectedEOF the end within one.
type Reader struct {
	src        io.Reader
	limit      int
	buf        []byte
	start, end int  // buf[start:end] has been read from src and not been handed out
	brimful    bool // the last read left no room in buf
	packet     packetExtent
	// crowded is the beginning, up to the identities, of a packet that has more of those than the limit. They are being passed over.
	crowded []byte
}

// The buffer of a Reader begins with firstBuffer bytes. It grows beyond manyRecords only for a record that is larger.
const (
	firstBuffer = 4 << 10
	manyRecords = 64 << 10
)

// errIdentities is that of a packet whose identities are more than the limit.
var errIdentities = fmt.Errorf("%w of all identities", jute.ErrLength)

// NewReader returns a Reader of src. limit is the most bytes that the data of a packet or of an [AuthPacket] may have, and each string of its identities:
// jute.maxbuffer and zookeeper.jute.maxbuffer.extrasize (BinaryInputArchive). The identities of a packet have no limit in Java; here it holds for all of them together,
// see [Packet.Crowded].
func NewReader(src io.Reader, limit int) *Reader { return &Reader{src: src, limit: limit} }

// Limit changes the limit for what has not been handed out yet.
func (r *Reader) Limit(limit int) { r.limit = limit }

// Packet returns the next packet of the quorum port.
func (r *Reader) Packet() (p Packet, err error) {
	r.packet = packetExtent{}
	b, err := r.record(&r.packet)
	if err != nil {
		return Packet{}, err
	}
	d := jute.NewDecoder(b)
	p.Decode(&d)
	return p, d.Err()
}

// Packets waits for a packet and returns it with those that are there already, up to a SNAP, behind which a stream comes. They are the caller's: one allocation holds
// the bytes of all. One that is crowded comes alone.
func (r *Reader) Packets() ([]Packet, error) {
	if r.crowded == nil {
		r.packet = packetExtent{}
		_, err := r.await(&r.packet)
		switch {
		case errors.Is(err, errIdentities):
			r.crowded = bytes.Clone(r.buf[r.start : r.start+r.packet.count])
			r.start += r.packet.at
		case err != nil:
			return nil, err
		}
	}
	if r.crowded != nil {
		p, err := r.passOver()
		if err != nil {
			return nil, err
		}
		return []Packet{p}, nil
	}
	count, size := 0, 0
	for read := r.buf[r.start:r.end]; size < len(read); {
		var e packetExtent
		n, err := e.extent(read[size:], r.limit)
		if err != nil || n > len(read)-size {
			break // the next call says so
		}
		first := Type(binary.BigEndian.Uint32(read[size:]))
		count, size = count+1, size+n
		if first == TypeSnap {
			break
		}
	}
	b := bytes.Clone(r.buf[r.start : r.start+size])
	r.start += size
	packets := make([]Packet, count)
	d := jute.NewDecoder(b)
	for i := range packets {
		if packets[i].Decode(&d); d.Err() != nil {
			return packets[:i], d.Err()
		}
	}
	return packets, nil
}

// passOver reads the identities of a packet that has too many of them, one after another, and returns it without.
func (r *Reader) passOver() (p Packet, err error) {
	for ; r.packet.strings > 0; r.packet.strings-- {
		if _, err := r.record(stringExtent{}); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return p, err
		}
	}
	d := jute.NewDecoder(jute.AppendInt32(r.crowded, -1))
	r.crowded = nil
	p.Decode(&d)
	p.Crowded = true
	return p, d.Err()
}

// InitialMessage returns the first message of the election port.
func (r *Reader) InitialMessage() (m InitialMessage, err error) {
	b, err := r.record(initialExtent{})
	if err != nil {
		return InitialMessage{}, err
	}
	d := jute.NewDecoder(b)
	m.Decode(&d)
	return m, d.Err()
}

// AuthPacket returns the next step of a SASL exchange.
func (r *Reader) AuthPacket() (p AuthPacket, err error) {
	b, err := r.record(authExtent{})
	if err != nil {
		return AuthPacket{}, err
	}
	d := jute.NewDecoder(b)
	p.Decode(&d)
	return p, d.Err()
}

// AuthNext reports whether an [AuthPacket] is next, without reading it. It waits for 8 bytes (QuorumAuth.nextPacketIsAuth).
func (r *Reader) AuthNext() (bool, error) {
	b, err := r.await(magicExtent{})
	return err == nil && checkAuthMagic(int64(binary.BigEndian.Uint64(b))) == nil, err
}

// Frame returns the next frame of the election port without its length: a [Notification], which may be malformed without harm to the
// connection, and so is decoded by the caller.
func (r *Reader) Frame() ([]byte, error) {
	b, err := r.record(frameExtent{})
	if err != nil {
		return nil, err
	}
	return b[4:], nil
}

// Read reads the bytes that follow the last record, as an io.Reader: those of a snapshot. It takes no more than asked from what was read ahead.
func (r *Reader) Read(p []byte) (int, error) {
	if r.start == r.end {
		return r.src.Read(p)
	}
	n := copy(p, r.buf[r.start:r.end])
	r.start += n
	return n, nil
}

// record hands out the bytes of one record.
func (r *Reader) record(e extent) ([]byte, error) {
	b, err := r.await(e)
	r.start += len(b)
	return b, err
}

// await returns the bytes of one record when they are all there, and leaves them in the buffer.
func (r *Reader) await(e extent) ([]byte, error) {
	for {
		b := r.buf[r.start:r.end]
		n, err := e.extent(b, r.limit)
		if err != nil {
			return nil, err
		}
		if n <= len(b) {
			return b[:n:n], nil
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads from the source once, into a buffer that has room.
func (r *Reader) fill() error {
	rest := r.buf[r.start:r.end]
	if len(rest) == 0 {
		r.start, r.end = 0, 0
	}
	if more := r.brimful && len(r.buf) < manyRecords; more || r.end == len(r.buf) {
		into := r.buf
		if more || len(rest) > len(r.buf)/2 || len(r.buf) == 0 {
			into = make([]byte, max(2*len(r.buf), firstBuffer))
		}
		r.start, r.end = 0, copy(into, rest)
		r.buf = into
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.brimful = r.end == len(r.buf)
		if n > 0 {
			return nil // an error will be there again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// extent finds the end of a record that begins with b: its length, or if that is not known yet, a number of bytes greater than len(b) that are
// needed to know more. It is asked again with the same bytes and more behind them.
type extent interface {
	extent(b []byte, limit int) (int, error)
}

// packetExtent remembers how far it looked: a packet may have many identities.
type packetExtent struct {
	count   int // offset of the number of identities; 0 while unknown
	at      int // offset of the next string of an identity; 0 while count is not read
	strings int // how many strings are still to come at that offset
}

func (e *packetExtent) extent(b []byte, limit int) (int, error) {
	if e.count == 0 {
		if len(b) < 16 {
			return 16, nil
		}
		n, err := checkLength(b[12:], limit)
		if err != nil {
			return 0, err
		}
		e.count = 16 + n
	}
	if e.at == 0 {
		if len(b) < e.count+4 {
			return e.count + 4, nil
		}
		n := max(int32(binary.BigEndian.Uint32(b[e.count:])), 0)
		e.at, e.strings = e.count+4, 2*int(n)
		if int(n) > limit/8 {
			return 0, errIdentities
		}
	}
	for ; e.strings > 0; e.strings-- {
		if len(b) < e.at+4 {
			return e.at + 4, nil
		}
		n, err := checkLength(b[e.at:], limit)
		if err != nil {
			return 0, err
		}
		if n > limit-(e.at-e.count) {
			return 0, errIdentities
		}
		e.at += 4 + n
	}
	return e.at, nil
}

// stringExtent is one string of an identity.
type stringExtent struct{}

func (stringExtent) extent(b []byte, limit int) (int, error) {
	if len(b) < 4 {
		return 4, nil
	}
	n, err := checkLength(b, limit)
	return 4 + n, err
}

type initialExtent struct{}

func (initialExtent) extent(b []byte, _ int) (int, error) {
	if len(b) < 8 {
		return 8, nil
	}
	first := int64(binary.BigEndian.Uint64(b))
	if first >= 0 {
		return 8, nil
	}
	if err := checkInitialVersion(first); err != nil {
		return 0, err
	}
	if len(b) < 20 {
		return 20, nil
	}
	n := int(int32(binary.BigEndian.Uint32(b[16:])))
	return 20 + n, checkInitialLength(n)
}

type authExtent struct{}

func (authExtent) extent(b []byte, limit int) (int, error) {
	if len(b) < 8 {
		return 8, nil
	}
	if err := checkAuthMagic(int64(binary.BigEndian.Uint64(b))); err != nil {
		return 0, err
	}
	if len(b) < 16 {
		return 16, nil
	}
	n, err := checkLength(b[12:], limit)
	return 16 + n, err
}

type magicExtent struct{}

func (magicExtent) extent([]byte, int) (int, error) { return 8, nil }

type frameExtent struct{}

func (frameExtent) extent(b []byte, _ int) (int, error) {
	if len(b) < 4 {
		return 4, nil
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n < 1 || n > MaxFrame {
		return 0, fmt.Errorf("%w = %d of a frame", jute.ErrLength, n)
	}
	return 4 + int(n), nil
}

// checkLength reads the length of a buffer or string at the start of b; null has no bytes.
func checkLength(b []byte, limit int) (int, error) {
	n := int32(binary.BigEndian.Uint32(b))
	if n < -1 || int(n) > limit {
		return 0, fmt.Errorf("%w = %d", jute.ErrLength, n)
	}
	return max(int(n), 0), nil
}
