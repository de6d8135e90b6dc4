package wire

import (
	"bytes"
	"reflect"
	"testing"

	"quoll/jute"
)

func TestPacketNulls(t *testing.T) {
	for _, p := range []Packet{
		{Type: TypePing, Zxid: -1},
		{Type: TypePing, Data: []byte{}},
		{Type: -7, AuthInfo: []jute.ID{}},
		{Type: 1 << 30, Data: []byte{1}, AuthInfo: []jute.ID{{}, {Scheme: "ip", ID: "é"}}},
	} {
		b := p.Append(nil)
		d := jute.NewDecoder(b)
		var got Packet
		if got.Decode(&d); d.Err() != nil || d.Len() != 0 || !reflect.DeepEqual(got, p) || len(b) != p.Size() {
			t.Errorf("%+v became %+v of %d bytes, %v", p, got, len(b), d.Err())
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.kind == "packet" {
			f.Add(g.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := jute.NewDecoder(b)
		var p Packet
		p.Decode(&d)
		if d.Err() != nil {
			return
		}
		if cap(p.AuthInfo) > len(b)/8 {
			t.Fatalf("%d bytes made room for %d identities", len(b), cap(p.AuthInfo))
		}
		encoded := p.Append(nil)
		if len(encoded) != p.Size() {
			t.Fatalf("Size is %d of %d", p.Size(), len(encoded))
		}
		d = jute.NewDecoder(encoded)
		var again Packet
		if again.Decode(&d); d.Err() != nil || d.Len() > 0 || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v became %+v, %v", p, again, d.Err())
		}
	})
}

// FuzzPayloads decodes arbitrary data as each payload: what is encoded again is the data, as far as the payload knows it.
func FuzzPayloads(f *testing.F) {
	f.Add([]byte{})
	for _, g := range readGolden(f) {
		if g.kind == "packet" {
			f.Add(g.bytes[16:])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range []jute.Record{&Request{}, &Activation{}, &LearnerInfo{}, &LeaderInfo{}, &AckEpoch{}, &Session{}, &SessionValid{}} {
			d := jute.NewDecoder(data)
			r.Decode(&d)
			if d.Err() != nil {
				continue
			}
			encoded := r.Append(nil)
			d = jute.NewDecoder(encoded)
			again := reflect.New(reflect.TypeOf(r).Elem()).Interface().(jute.Record)
			if again.Decode(&d); d.Err() != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v became %+v, %v", r, again, d.Err())
			}
			if _, valid := r.(*SessionValid); !valid && !bytes.HasPrefix(data, encoded) { // a boolean may be any byte
				t.Fatalf("%T: %x became %x", r, data, encoded)
			}
		}
	})
}

func TestLearnerInfo(t *testing.T) {
	full := (&LearnerInfo{SID: 5, ProtocolVersion: ProtocolVersion, ConfigVersion: 9}).Append(nil)
	for length, want := range map[int]*LearnerInfo{
		0: nil, 7: nil,
		8: {5, NoProtocolVersion, NoConfigVersion}, 11: {5, NoProtocolVersion, NoConfigVersion},
		12: {5, ProtocolVersion, NoConfigVersion}, 19: {5, ProtocolVersion, NoConfigVersion},
		20: {5, ProtocolVersion, 9}, 21: {5, ProtocolVersion, 9},
	} {
		d := jute.NewDecoder(append(full, 1)[:length])
		var got LearnerInfo
		got.Decode(&d)
		if want == nil && d.Err() == nil || want != nil && (d.Err() != nil || got != *want) {
			t.Errorf("%d bytes: %+v, %v", length, got, d.Err())
		}
	}
}

func TestTouches(t *testing.T) {
	data := (&Session{1, 2}).Append((&Session{3, 4}).Append(nil))
	d, n := jute.NewDecoder(data[:23]), 0
	for d.Len() > 0 {
		var s Session
		s.Decode(&d)
		n++
	}
	if d.Err() == nil || n != 2 {
		t.Errorf("half a session: %v after %d", d.Err(), n)
	}
}
