package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxBuffer is the default of jute.maxbuffer: the most bytes that a frame may have after its length field.
const MaxBuffer = 0xfffff

var (
	// ErrShort is the decoding error for input that ends inside a field.
	ErrShort = errors.New("jute: input ends inside a field")
	// ErrLength is the decoding error for a string or buffer whose length is negative (other than -1, null) or above the limit.
	ErrLength = errors.New("jute: unreasonable length")
	// ErrNull is the decoding error for a null where a value is needed.
	ErrNull = errors.New("jute: null where a value is needed")
)

// AppendBool appends one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendInt32 appends 4 bytes.
func AppendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendInt64 appends 8 bytes.
func AppendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBuffer appends a buffer; a nil slice is written as null.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	b = AppendInt32(b, int32(len(v)))
	return append(b, v...)
}

// AppendString appends a ustring, never null.
func AppendString(b []byte, v string) []byte {
	b = AppendInt32(b, int32(len(v)))
	return append(b, v...)
}

// AppendJavaString appends a ustring as Java's writer does: a character above U+FFFF becomes two surrogates of three bytes each
// (CESU-8). Only ACL ids, sync paths, getEphemerals answers and the events of setWatches can hold such characters.
func AppendJavaString(b []byte, v string) []byte {
	at := len(b)
	b = AppendInt32(b, int32(len(v)))
	for _, r := range v {
		if r < 0x10000 {
			b = utf8.AppendRune(b, r)
			continue
		}
		r -= 0x10000
		for _, unit := range [2]rune{0xd800 + r>>10, 0xdc00 + r&0x3ff} {
			b = append(b, 0xe0|byte(unit>>12), 0x80|byte(unit>>6)&0xbf, 0x80|byte(unit)&0x3f)
		}
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// AppendStrings appends a vector of ustrings; a nil slice is written as null.
func AppendStrings(b []byte, v []string) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	b = AppendInt32(b, int32(len(v)))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}

// Decoder reads fields from a byte slice. Its first error sticks: afterwards every read returns a zero value. Slices that it
// returns alias the input.
type Decoder struct {
	buf   []byte
	off   int
	limit int
	err   error
}

// NewDecoder returns a decoder over b whose strings and buffers are bounded by len(b) alone, as inside a frame.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b, limit: len(b)} }

// Err returns the first error, or nil.
func (d *Decoder) Err() error { return d.err }

// Offset is the number of bytes read so far.
func (d *Decoder) Offset() int { return d.off }

// Len is the number of bytes left.
func (d *Decoder) Len() int { return len(d.buf) - d.off }

// Rest returns the bytes not read yet, without reading them. It aliases the input.
func (d *Decoder) Rest() []byte { return d.buf[d.off:] }

// Fail makes err the decoder's error unless it has one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
		d.off = len(d.buf)
	}
}

func (d *Decoder) take(n int) []byte {
	if n > len(d.buf)-d.off {
		d.Fail(ErrShort)
		return nil
	}
	p := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return p
}

// Bool reads one byte; any value but 0 is true.
func (d *Decoder) Bool() bool {
	p := d.take(1)
	return p != nil && p[0] != 0
}

// Int32 reads 4 bytes.
func (d *Decoder) Int32() int32 {
	if p := d.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// Int64 reads 8 bytes.
func (d *Decoder) Int64() int64 {
	if p := d.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// Buffer reads a buffer or the bytes of a ustring. Null is nil, empty is not. The result aliases the input.
func (d *Decoder) Buffer() []byte {
	n := d.Int32()
	switch {
	case d.err != nil || n == -1:
		return nil
	case n < 0 || int(n) > d.limit:
		d.Fail(fmt.Errorf("%w = %d", ErrLength, n))
		return nil
	}
	return d.take(int(n))
}

// Text reads a ustring as its raw bytes, nil for null. The result aliases the input and may be malformed UTF-8; see [JavaText].
func (d *Decoder) Text() []byte { return d.Buffer() }

// String reads a ustring into a string of its own, decoding UTF-8 as Java does. Null is the error [ErrNull].
func (d *Decoder) String() string {
	p := d.Buffer()
	if p == nil {
		d.Fail(ErrNull)
		return ""
	}
	return JavaText(p)
}

// Count reads the count of a vector: -1 for null, any other negative count is 0. It is not bounded by the input, so callers append
// as they decode and stop at the first error.
func (d *Decoder) Count() int {
	n := d.Int32()
	if n < -1 {
		return 0
	}
	return int(n)
}

// Strings reads a vector of ustrings that may not be null themselves; a null vector is nil.
func (d *Decoder) Strings() []string {
	n := d.Count()
	if n < 0 {
		return nil
	}
	v := make([]string, 0, d.capacity(n, 4))
	for i := 0; i < n && d.err == nil; i++ {
		v = append(v, d.String())
	}
	return v
}

// Texts reads a vector of ustrings as raw bytes that alias the input; a null vector is nil.
func (d *Decoder) Texts() [][]byte {
	n := d.Count()
	if n < 0 {
		return nil
	}
	v := make([][]byte, 0, d.capacity(n, 4))
	for i := 0; i < n && d.err == nil; i++ {
		v = append(v, d.Text())
	}
	return v
}

// capacity bounds what a claimed count may allocate by what the bytes left can hold.
func (d *Decoder) capacity(n, itemSize int) int { return min(n, d.Len()/itemSize) }

// JavaText decodes UTF-8 as Java does: malformed input becomes U+FFFD, one for each maximal malformed sequence.
func JavaText(p []byte) string {
	if utf8.Valid(p) {
		return string(p)
	}
	out := make([]byte, 0, len(p)+8)
	for len(p) > 0 {
		if r, n := utf8.DecodeRune(p); r != utf8.RuneError || n > 1 {
			out = append(out, p[:n]...)
			p = p[n:]
			continue
		}
		out = append(out, "\uFFFD"...)
		p = p[malformedLength(p):]
	}
	return string(out)
}

// malformedLength is the number of bytes that Java's decoder replaces by one U+FFFD at the start of p.
func malformedLength(p []byte) int {
	continuation := func(i int) bool { return i < len(p) && p[i]&0xc0 == 0x80 }
	switch lead := p[0]; {
	case lead >= 0xe0 && lead <= 0xef:
		if !continuation(1) || lead == 0xe0 && p[1] < 0xa0 {
			return 1
		}
		if !continuation(2) {
			return 2
		}
		return 3 // a surrogate
	case lead >= 0xf0 && lead <= 0xf4:
		if !continuation(1) || lead == 0xf0 && p[1] < 0x90 || lead == 0xf4 && p[1] > 0x8f {
			return 1
		}
		if !continuation(2) {
			return 2
		}
		return 3
	}
	return 1
}
