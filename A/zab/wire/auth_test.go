package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"quoll/jute"
)

func FuzzAuthPacket(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.kind == "auth" {
			f.Add(g.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := jute.NewDecoder(b)
		var p AuthPacket
		p.Decode(&d)
		read, err := NewReader(strings.NewReader(string(b)), len(b)).AuthPacket()
		if (err == nil) != (d.Err() == nil) || err == nil && !reflect.DeepEqual(read, p) {
			t.Fatalf("decoding gives %+v, %v, reading %+v, %v", p, d.Err(), read, err)
		}
		if err != nil {
			return
		}
		encoded := p.Append(nil)
		d = jute.NewDecoder(encoded)
		var again AuthPacket
		if again.Decode(&d); d.Err() != nil || !reflect.DeepEqual(again, p) || !strings.HasPrefix(string(b), string(encoded)) {
			t.Fatalf("%+v became %+v, %v", p, again, d.Err())
		}
	})
}

// TestAuthNext: a peer without SASL loses nothing by being looked at.
func TestAuthNext(t *testing.T) {
	p := Packet{Type: TypeFollowerInfo, Data: []byte{1}}
	r := NewReader(strings.NewReader(string(p.Append(nil))), 10)
	if next, err := r.AuthNext(); next || err != nil {
		t.Errorf("%v, %v", next, err)
	}
	if got, err := r.Packet(); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %v", got, err)
	}
	if next, err := r.AuthNext(); next || err == nil {
		t.Errorf("at the end: %v, %v", next, err)
	}
	if _, err := NewReader(strings.NewReader("GET / HTTP/1.1"), 10).AuthPacket(); !errors.Is(err, ErrAuthMagic) {
		t.Errorf("something else: %v", err)
	}
}
