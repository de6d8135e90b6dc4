package txnlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
)

// snappyHeader starts a stream of snappy-java, which is not the framing format of Snappy itself: magic, version, lowest compatible
// version. Blocks follow, each an int32 length and a raw Snappy block.
var snappyHeader = []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")

const (
	snappyMagicSize = 8
	snappyBlock     = 32 << 10
	// snappyRatio is more than a raw block can expand: its densest element turns 3 bytes into 64.
	snappyRatio = 32
)

var errSnappy = errors.New("malformed snappy block")

// snappyReader expands a stream of size bytes.
type snappyReader struct {
	src   io.Reader
	left  int64
	block []byte
	plain []byte // not read yet
	buf   []byte // that plain is a part of
}

func newSnappyReader(src io.Reader, size int64) (io.Reader, error) {
	head := make([]byte, len(snappyHeader))
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, err
	}
	if !bytes.Equal(head[:snappyMagicSize], snappyHeader[:snappyMagicSize]) {
		return nil, errSnappy
	}
	return &snappyReader{src: src, left: size - int64(len(head))}, nil
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.plain) == 0 {
		if err := r.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

func (r *snappyReader) nextBlock() error {
	var head [4]byte
	if _, err := io.ReadFull(r.src, head[:]); err != nil {
		return err
	}
	r.left -= int64(len(head))
	n := int64(int32(binary.BigEndian.Uint32(head[:])))
	if n <= 0 || n > r.left {
		return fmt.Errorf("%w: length %d where %d bytes are left", errSnappy, n, r.left)
	}
	if int64(cap(r.block)) < n {
		r.block = make([]byte, n)
	}
	r.block = r.block[:n]
	if _, err := io.ReadFull(r.src, r.block); err != nil {
		return err
	}
	r.left -= n
	if size, err := snappy.DecodedLen(r.block); err != nil || int64(size) > snappyRatio*n {
		return fmt.Errorf("%w: expands to %d bytes from %d", errSnappy, size, n)
	}
	var err error
	r.plain, err = snappy.Decode(r.buf[:cap(r.buf)], r.block)
	r.buf = r.plain
	return err
}

// snappyWriter compresses what is written to it in blocks.
type snappyWriter struct {
	dst   io.Writer
	plain []byte
	out   []byte
	begun bool
}

func (w *snappyWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), snappyBlock-len(w.plain))
		w.plain, p = append(w.plain, p[:n]...), p[n:]
		if len(w.plain) == snappyBlock {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

func (w *snappyWriter) flush() error {
	w.out = w.out[:0]
	if !w.begun {
		w.out = append(w.out, snappyHeader...)
		w.begun = true
	}
	if len(w.plain) > 0 {
		at := len(w.out)
		need := at + 4 + snappy.MaxEncodedLen(len(w.plain))
		if cap(w.out) < need {
			w.out = append(make([]byte, 0, need), w.out...)
		}
		block := snappy.Encode(w.out[at+4:need], w.plain)
		w.out = w.out[:at+4+len(block)]
		binary.BigEndian.PutUint32(w.out[at:], uint32(len(block)))
		w.plain = w.plain[:0]
	}
	_, err := w.dst.Write(w.out)
	return err
}

// Close writes what is left. It does not close the destination.
func (w *snappyWriter) Close() error { return w.flush() }
