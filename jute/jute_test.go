package jute

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// fill gives every field a value from rng: null, empty and full slices, extreme numbers.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 1)
	case reflect.Int32, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 1 << 31 >> 1, -1 << 31, int64(rng.Int32())}[rng.IntN(6)] >> rng.IntN(2))
	case reflect.String:
		v.SetString([]string{"", "/a", "/café", "x\x00y"}[rng.IntN(4)])
	case reflect.Uint8:
		v.SetUint(uint64(rng.IntN(256)))
	case reflect.Slice:
		if n := rng.IntN(4) - 1; n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(rng, v.Index(i))
			}
		}
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	for name, make := range newRecord {
		for seed := range uint64(200) {
			want := make()
			fill(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(want).Elem())
			b := want.Append(nil)
			got := make()
			d := NewDecoder(b)
			got.Decode(&d)
			if d.Err() != nil || d.Len() != 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s seed %d: %+v became %+v, %d bytes left, error %v", name, seed, want, got, d.Len(), d.Err())
			}
			for cut := range b {
				d := NewDecoder(b[:cut])
				make().Decode(&d)
				if d.Err() == nil {
					t.Fatalf("%s seed %d: decodes from %d of %d bytes", name, seed, cut, len(b))
				}
			}
		}
	}
}

func FuzzRecords(f *testing.F) {
	names := []string{}
	for name, make := range newRecord {
		names = append(names, name)
		r := make()
		fill(rand.New(rand.NewPCG(1, 2)), reflect.ValueOf(r).Elem())
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range names {
			r := newRecord[name]()
			d := NewDecoder(b)
			r.Decode(&d)
			if d.Err() != nil {
				continue
			}
			// Malformed text is repaired by decoding, so what was decoded once must be stable from then on.
			again := r.Append(nil)
			d = NewDecoder(again)
			second := newRecord[name]()
			second.Decode(&d)
			if d.Err() != nil || !bytes.Equal(second.Append(nil), again) {
				t.Fatalf("%s: not stable: %x then %x (%v)", name, again, second.Append(nil), d.Err())
			}
		}
	})
}

func FuzzMulti(f *testing.F) {
	var b []byte
	for _, o := range []Operation{{Op: OpCreate, Path: []byte("/a"), ACL: []ACLText{{Perms: 31}}}, {Op: OpSetData, Path: []byte("/a"), Version: -1}} {
		b = (&MultiHeader{Type: int32(o.Op), Err: -1}).Append(b)
		b = o.Append(b)
	}
	f.Add(MultiEnd.Append(b))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(b)
		ops := DecodeMulti(&d)
		var again []byte
		for _, o := range ops {
			if (o.Op == OpCreate || o.Op == OpCreateContainer) && (o.ACL == nil || !o.Flags.Valid()) {
				return // a createTTL without a TTL mode: it may have what a create may not
			}
			again = (&MultiHeader{Type: int32(o.Op), Err: -1}).Append(again)
			again = o.Append(again)
		}
		again = MultiEnd.Append(again)
		d = NewDecoder(again)
		if second := DecodeMulti(&d); d.Err() != nil || !reflect.DeepEqual(second, ops) {
			t.Fatalf("not stable: %+v then %+v (%v)", ops, second, d.Err())
		}
	})
}

func FuzzConnect(f *testing.F) {
	f.Add((&ConnectRequest{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true}).Append(nil))
	f.Add((&ConnectResponse{Timeout: 10000}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []Record{&ConnectRequest{}, &ConnectResponse{}} {
			d := NewDecoder(b)
			r.Decode(&d)
			if d.Err() == nil && len(r.Append(nil)) > len(b) {
				t.Fatalf("%T grew from %x", r, b)
			}
		}
	})
}

func TestNullAndEmptyDiffer(t *testing.T) {
	for want, b := range map[string][]byte{"null": {0xff, 0xff, 0xff, 0xff}, "empty": {0, 0, 0, 0}} {
		d := NewDecoder(b)
		if p := d.Buffer(); d.Err() != nil || (p == nil) != (want == "null") {
			t.Errorf("%s buffer decoded as %#v, %v", want, p, d.Err())
		}
		d = NewDecoder(b)
		if v := d.Strings(); d.Err() != nil || (v == nil) != (want == "null") {
			t.Errorf("%s vector decoded as %#v, %v", want, v, d.Err())
		}
	}
	d := NewDecoder([]byte{0xff, 0xff, 0xff, 0xff})
	if _ = d.String(); !errors.Is(d.Err(), ErrNull) {
		t.Errorf("null string: %v", d.Err())
	}
	d = NewDecoder([]byte{0xff, 0xff, 0xff, 0xfe})
	if v := d.Texts(); d.Err() != nil || v == nil || len(v) != 0 {
		t.Errorf("a vector of count -2 is empty in ZooKeeper, got %#v, %v", v, d.Err())
	}
	d = NewDecoder([]byte{0xff, 0xff, 0xff, 0xfe})
	if d.Buffer(); !errors.Is(d.Err(), ErrLength) {
		t.Errorf("a buffer of length -2: %v", d.Err())
	}
}

func TestJavaText(t *testing.T) {
	for in, want := range map[string]string{
		"/a":                       "/a",
		"\xff":                     "\uFFFD",
		"\xed\xa0\x80x":            "\uFFFDx", // one surrogate, one replacement
		"\xe2\x82":                 "\uFFFD",
		"\xe2\x28\xa1":             "\uFFFD(\uFFFD",
		"\xf0\x9f\x98":             "\uFFFD",
		"\xc0\x80":                 "\uFFFD\uFFFD",
		"\xf5\x80\x80\x80":         "\uFFFD\uFFFD\uFFFD\uFFFD",
		"a\uFFFDb\xe0\x80\x80\x00": "a\uFFFDb\uFFFD\uFFFD\uFFFD\x00",
	} {
		if got := JavaText([]byte(in)); got != want {
			t.Errorf("%x: got %q, want %q", in, got, want)
		}
	}
	if got := AppendJavaString(nil, "\U0001F600"); !bytes.Equal(got, []byte("\x00\x00\x00\x06\xed\xa0\xbd\xed\xb8\x80")) {
		t.Errorf("U+1F600 encoded as %x", got)
	}
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "records_gen.go")
	if msg, err := exec.Command("go", "run", "./gen", "records.schema", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	got, _ := os.ReadFile("records_gen.go")
	want, _ := os.ReadFile(out)
	if !bytes.Equal(got, want) {
		t.Error("records_gen.go is out of date: run go generate ./jute")
	}
}
