package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"quoll/jute"
)

// pieces is a source that gives its bytes in random pieces, with a timeout now and then.
type pieces struct {
	data []byte
	r    *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.r.IntN(10) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.r.IntN(1+p.r.IntN(3000)))], p.data)
	p.data = p.data[n:]
	return n, nil
}

// TestReaderPieces reads random packets and snapshots in random pieces, and repeats what a timeout interrupts.
func TestReaderPieces(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var stream []byte
		var want []Packet
		var bodies [][]byte // what follows each SNAP
		for range 1 + r.IntN(50) {
			p := Packet{Type: Type(1 + r.IntN(19)), Zxid: r.Int64()}
			if r.IntN(2) == 0 {
				p.Data = make([]byte, r.IntN(1<<r.IntN(15)))
				for i := range p.Data {
					p.Data[i] = byte(r.Uint32())
				}
			}
			if r.IntN(4) == 0 {
				p.AuthInfo = []jute.ID{}
				for range r.IntN(20) {
					p.AuthInfo = append(p.AuthInfo, jute.ID{Scheme: strings.Repeat("s", r.IntN(9)), ID: strings.Repeat("i", r.IntN(99))})
				}
			}
			want = append(want, p)
			stream = p.Append(stream)
			if p.Type == TypeSnap {
				body := bytes.Repeat([]byte{byte(len(bodies))}, r.IntN(9000))
				bodies = append(bodies, body)
				stream = append(stream, body...)
			}
		}
		reader := NewReader(&pieces{stream, r}, 1<<15)
		for i, w := range want {
			p, err := reader.Packet()
			for errors.Is(err, os.ErrDeadlineExceeded) {
				p, err = reader.Packet()
			}
			if err != nil || !reflect.DeepEqual(p, w) {
				t.Fatalf("seed %d: packet %d is %+v, %v, want %+v", seed, i, p, err, w)
			}
			if p.Type != TypeSnap {
				continue
			}
			body := make([]byte, len(bodies[0]))
			for got := 0; got < len(body); {
				n, err := reader.Read(body[got:])
				if got += n; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if !bytes.Equal(body, bodies[0]) {
				t.Fatalf("seed %d: the bytes behind packet %d are wrong", seed, i)
			}
			bodies = bodies[1:]
		}
		_, err := reader.Packet()
		for errors.Is(err, os.ErrDeadlineExceeded) {
			_, err = reader.Packet()
		}
		if err != io.EOF {
			t.Fatalf("seed %d: at the end: %v", seed, err)
		}
	}
}

// TestReaderCut cuts a packet at every byte.
func TestReaderCut(t *testing.T) {
	b := (&Packet{Type: TypeRequest, Data: []byte("data"), AuthInfo: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}}).Append(nil)
	for i := range b {
		want := io.ErrUnexpectedEOF
		if i == 0 {
			want = io.EOF
		}
		if _, err := NewReader(iotest.OneByteReader(bytes.NewReader(b[:i])), 100).Packet(); err != want {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

// TestReaderLimits: the limit is met to the byte.
func TestReaderLimits(t *testing.T) {
	id := func(n int) []jute.ID { return []jute.ID{{Scheme: "s", ID: strings.Repeat("i", n-13)}} } // a count, two lengths, the scheme
	many := func(n int) []jute.ID { return make([]jute.ID, n) }
	claims := func(b []byte, at int, n int32) []byte {
		return slices.Concat(b[:at], jute.AppendInt32(nil, n), b[at+4:])
	}
	plain := (&Packet{Type: TypeAck}).Append(nil)
	for _, test := range []struct {
		name  string
		bytes []byte
		ok    bool
	}{
		{"data", (&Packet{Data: make([]byte, 100)}).Append(nil), true},
		{"more data", (&Packet{Data: make([]byte, 101)}).Append(nil), false},
		{"an identity", (&Packet{AuthInfo: id(104)}).Append(nil), true},
		{"a longer identity", (&Packet{AuthInfo: id(105)}).Append(nil), false},
		{"identities", (&Packet{AuthInfo: many(12)}).Append(nil), true},
		{"more identities", (&Packet{AuthInfo: many(13)}).Append(nil), false},
		{"negative data", claims(plain, 12, -2), false},
		{"much data", claims(plain, 12, 1<<31-1), false},
		{"negative count", claims(plain, 16, -2), true}, // nothing, as in Java
		{"a count that cannot fit", claims(plain, 16, 13), false},
		{"many identities", claims(plain, 16, 1<<31-1), false},
	} {
		_, err := NewReader(bytes.NewReader(test.bytes), 100).Packet()
		if (err == nil) != test.ok || err != nil && !errors.Is(err, jute.ErrLength) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for n, ok := range map[int32]bool{-1: false, 0: false, 1: true, MaxFrame: true, MaxFrame + 1: false} {
		b := append(jute.AppendInt32(nil, n), make([]byte, max(n, 0))...)
		frame, err := NewReader(bytes.NewReader(b), 0).Frame()
		if (err == nil) != ok || ok && len(frame) != int(n) {
			t.Errorf("a frame of %d: %d bytes, %v", n, len(frame), err)
		}
	}
}

// TestReaderMemory: a length alone makes no room, and neither do many packets.
func TestReaderMemory(t *testing.T) {
	for _, sent := range []int{16, 10_000, 100_000} {
		b := jute.AppendInt32(make([]byte, 12), 1<<30)
		b = append(b, make([]byte, sent-len(b))...)
		r := NewReader(bytes.NewReader(b), 1<<30)
		if _, err := r.Packet(); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", sent, err)
		}
		if limit := max(2*sent, firstBuffer); len(r.buf) > limit {
			t.Errorf("%d bytes made a buffer of %d", sent, len(r.buf))
		}
	}
	packet := (&Packet{Data: make([]byte, 3000)}).Append(nil)
	r := NewReader(iotest.OneByteReader(&endless{data: packet}), 3000)
	for range 10 {
		if _, err := r.Packet(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) > 2*firstBuffer {
		t.Errorf("packets of 3020 bytes that come slowly made a buffer of %d", len(r.buf))
	}
	r = NewReader(&endless{data: packet}, 3000)
	for range 1000 {
		if _, err := r.Packet(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) > manyRecords {
		t.Errorf("packets of 3020 bytes made a buffer of %d", len(r.buf))
	}
}

// TestReaderPackets: what has arrived comes at once, and its bytes are the caller's. Behind a SNAP nothing is taken.
func TestReaderPackets(t *testing.T) {
	sent := []Packet{
		{Type: TypeProposal, Zxid: 1, Data: []byte("one")}, {Type: TypeCommit, Zxid: 1},
		{Type: TypeRequest, Zxid: -1, Data: []byte{}, AuthInfo: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}},
		{Type: TypeSnap, Zxid: 2}, {Type: TypePing, Zxid: 3},
	}
	var b []byte
	for i := range sent {
		b = sent[i].Append(b)
	}
	whole := NewReader(bytes.NewReader(b), 1000)
	var got []Packet
	for _, want := range []int{4, 1} {
		packets, err := whole.Packets()
		if err != nil || len(packets) != want {
			t.Fatalf("%d packets, %v, not %d", len(packets), err, want)
		}
		got = append(got, packets...)
	}
	clear(whole.buf)
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("%+v\n%+v", got, sent)
	}
	if packets, err := whole.Packets(); len(packets) != 0 || err != io.EOF {
		t.Errorf("%v, %v at the end", packets, err)
	}
	slow := NewReader(iotest.OneByteReader(bytes.NewReader(b)), 1000)
	for i := range sent {
		if packets, err := slow.Packets(); err != nil || len(packets) != 1 || !reflect.DeepEqual(packets[0], sent[i]) {
			t.Errorf("%+v, %v, not %+v", packets, err, sent[i])
		}
	}
	// A packet that is too long does not take those before it along.
	b = append(sent[0].Append(nil), sent[0].Append(nil)...)
	b[len(b)-4-3-4] = 0x7f
	bad := NewReader(bytes.NewReader(b), 1000)
	if packets, err := bad.Packets(); err != nil || len(packets) != 1 {
		t.Errorf("%v, %v", packets, err)
	}
	if packets, err := bad.Packets(); err == nil {
		t.Errorf("%v", packets)
	}
}

// TestReaderCrowded: identities beyond the limit are passed over, in packets between others, however slowly they come; they are not kept. What a string may not be ends the connection.
func TestReaderCrowded(t *testing.T) {
	const limit = 100
	before, behind := Packet{Type: TypeAck, Zxid: 1}, Packet{Type: TypePing, Data: []byte{1}}
	ids := func(n, size int) (ids []jute.ID) {
		for range n {
			ids = append(ids, jute.ID{Scheme: "ip", ID: strings.Repeat("x", size)})
		}
		return ids
	}
	for _, c := range []struct {
		name    string
		ids     []jute.ID
		crowded bool
	}{{"few", ids(2, 30), false}, {"two long ones", ids(2, 60), true}, {"many that are short", ids(10, 3), true}, {"more than could be", make([]jute.ID, 1000), true}, {"more bytes than a buffer", ids(2000, limit), true}} {
		sent := Packet{Type: TypeRequest, Zxid: -1, Data: []byte("data"), AuthInfo: c.ids}
		b := behind.Append(sent.Append(before.Append(nil)))
		want := []Packet{before, sent, behind}
		if c.crowded {
			want[1].AuthInfo, want[1].Crowded = nil, true
		}
		r := rand.New(rand.NewPCG(1, 2))
		for name, src := range map[string]io.Reader{"whole": bytes.NewReader(b), "in pieces": &pieces{b, r}} {
			reader := NewReader(src, limit)
			var got []Packet
			for len(got) < len(want) {
				packets, err := reader.Packets()
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("%s, %s: %v", c.name, name, err)
				}
				got = append(got, packets...)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %+v\n%+v", c.name, name, got, want)
			}
			if len(reader.buf) > manyRecords {
				t.Errorf("%s, %s: the buffer has %d bytes", c.name, name, len(reader.buf))
			}
		}
		for cut := before.Size() + 1; cut < min(len(b)-behind.Size(), 1000); cut++ {
			reader := NewReader(bytes.NewReader(b[:cut]), limit)
			_, _ = reader.Packets()
			if packets, err := reader.Packets(); err != io.ErrUnexpectedEOF {
				t.Fatalf("%s, cut at %d: %+v, %v", c.name, cut, packets, err)
			}
		}
	}
	bad := (&Packet{Type: TypeRequest, AuthInfo: append(ids(5, 60), ids(1, limit+1)...)}).Append(nil)
	if packets, err := NewReader(bytes.NewReader(bad), limit).Packets(); !errors.Is(err, jute.ErrLength) {
		t.Errorf("a string beyond the limit: %+v, %v", packets, err)
	}
}

func TestReaderNoProgress(t *testing.T) {
	if _, err := NewReader(idle{}, 0).Packet(); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// endless repeats its bytes, as many as there is room for.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		c := copy(b[n:], e.data[e.at:])
		n, e.at = n+c, (e.at+c)%len(e.data)
	}
	return len(b), nil
}

func TestNoAllocation(t *testing.T) {
	data := (&Packet{Type: TypeProposal, Data: make([]byte, 200)}).Append((&Packet{Type: TypeAck}).Append(nil))
	r := NewReader(&endless{data: data}, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Packet(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("reading: %v allocations", n)
	}
	b := make([]byte, 0, 1000)
	p := Packet{Type: TypeAck}
	if n := testing.AllocsPerRun(1000, func() { b = p.Append(b[:0]) }); n != 0 {
		t.Errorf("writing: %v allocations", n)
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := NewReader(&endless{data: (&Packet{Type: TypeProposal, Data: make([]byte, size)}).Append(nil)}, jute.MaxBuffer)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Packet(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzReader compares packets read in pieces with those decoded from the whole.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, g := range readGolden(f) {
		if g.kind == "packet" {
			all = append(all, g.bytes...)
		}
	}
	f.Add(all, uint64(1))
	f.Add(all[:30], uint64(2))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const limit = 1000
		r := NewReader(&pieces{stream, rand.New(rand.NewPCG(seed, 0))}, limit)
		d := jute.NewDecoder(stream)
		for {
			p, err := r.Packet()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				continue
			}
			if len(r.buf) > max(2*len(stream), firstBuffer) {
				t.Fatalf("%d bytes made a buffer of %d", len(stream), len(r.buf))
			}
			var want Packet
			want.Decode(&d)
			if err != nil {
				if d.Err() == nil && len(want.Data) <= limit && want.Size()-len(want.Data)-20 <= limit {
					t.Fatalf("%+v is refused: %v", want, err)
				}
				return
			}
			if d.Err() != nil || !reflect.DeepEqual(p, want) {
				t.Fatalf("read %+v, decoded %+v, %v", p, want, d.Err())
			}
		}
	})
}
