package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"quoll/jute"
)

// DefaultMaxFrame is the most bytes that a frame from the server may have by default, after its length field. A server has no limit of
// its own; Java's client takes 0xfffff bytes.
const DefaultMaxFrame = 64 << 20

// ErrFrame is the error of a frame whose length is negative or above the limit.
var ErrFrame = errors.New("unreasonable length of frame")

// RawConn sends and receives frames on one connection, without a session. One goroutine may send while another receives.
type RawConn struct {
	net.Conn
	MaxFrame int // bytes that Recv accepts after the length field
	r        *bufio.Reader
	out      []byte
	in       []byte
}

// Dial connects to host:port.
func Dial(ctx context.Context, addr string) (*RawConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewRawConn(conn), nil
}

// NewRawConn wraps a connection, which it owns from now on.
func NewRawConn(conn net.Conn) *RawConn {
	return &RawConn{Conn: conn, MaxFrame: DefaultMaxFrame, r: bufio.NewReaderSize(conn, 64<<10)}
}

// Send writes one frame: the length of body, and body.
func (c *RawConn) Send(body []byte) error {
	c.out = append(jute.AppendInt32(c.out[:0], int32(len(body))), body...)
	_, err := c.Write(c.out)
	return err
}

// Recv reads one frame and returns what follows the length, valid until the next Recv. At the end of the stream the error is io.EOF.
func (c *RawConn) Recv() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c.r, length[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(length[:])))
	if n < 0 || n > c.MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrFrame, n, c.MaxFrame)
	}
	c.in = slices.Grow(c.in[:0], n)[:n]
	if _, err := io.ReadFull(c.r, c.in); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return c.in, nil
}

// Handshake sends the connect request and reads the answer. A refused session is no error: its SessionID is 0.
func (c *RawConn) Handshake(req *jute.ConnectRequest) (jute.ConnectResponse, error) {
	var resp jute.ConnectResponse
	if err := c.Send(req.Append(nil)); err != nil {
		return resp, err
	}
	frame, err := c.Recv()
	if err != nil {
		return resp, err
	}
	d := jute.NewDecoder(frame)
	resp.Decode(&d)
	return resp, d.Err()
}

// Request sends a header and a record; req is nil for opcodes without one.
func (c *RawConn) Request(xid int32, op jute.Op, req Body) error {
	return c.Send(appendRequest(nil, xid, op, req))
}

// Reply reads one frame and splits it into header and body; body is valid until the next read.
func (c *RawConn) Reply() (jute.ReplyHeader, []byte, error) {
	var h jute.ReplyHeader
	frame, err := c.Recv()
	if err != nil {
		return h, nil, err
	}
	d := jute.NewDecoder(frame)
	h.Decode(&d)
	return h, d.Rest(), d.Err()
}

// Body is a request record: each of package jute, [MultiRequest], and [jute.Operation].
type Body interface {
	// Append appends the encoded record to b.
	Append(b []byte) []byte
}

// Result is an answer record: each of package jute, and [MultiResponse].
type Result interface {
	// Decode reads the record from d; whether that worked is in d.Err.
	Decode(d *jute.Decoder)
}

func appendRequest(b []byte, xid int32, op jute.Op, req Body) []byte {
	b = (&jute.RequestHeader{Xid: xid, Type: int32(op)}).Append(b)
	if req != nil {
		b = req.Append(b)
	}
	return b
}

// appendFrame appends a request with its length in front.
func appendFrame(b []byte, xid int32, op jute.Op, req Body) []byte {
	at := len(b)
	b = appendRequest(append(b, 0, 0, 0, 0), xid, op, req)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}
