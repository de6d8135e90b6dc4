package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"quoll/ensemble"
	"quoll/jute"
)

// TestInitialMessage has what was sent to a live Apache ZooKeeper 3.9.5, except where a comment says so.
func TestInitialMessage(t *testing.T) {
	message := func(version int64, text string) []byte {
		b := jute.AppendInt64(nil, version)
		b = jute.AppendInt64(b, 7)
		return jute.AppendString(b, text)
	}
	addr := func(host string, port int) []ensemble.Addr { return []ensemble.Addr{{Host: host, Port: port}} }
	for _, test := range []struct {
		name  string
		bytes []byte
		want  *InitialMessage // nil for an error
	}{
		{"bare sid", jute.AppendInt64(nil, 3), &InitialMessage{SID: 3}},
		{"bare sid 0", jute.AppendInt64(nil, 0), &InitialMessage{}},
		{"generic observer", jute.AppendInt64(nil, GenericObserver), &InitialMessage{SID: GenericObserver}},
		{"v1", message(InitialV1, "h:1"), &InitialMessage{InitialV1, 7, addr("h", 1)}},
		{"v1 with two addresses", message(InitialV1, "h:1|g:2"), &InitialMessage{InitialV1, 7, append(addr("h", 1), addr("g", 2)...)}}, // read in the source
		{"v2", message(InitialV2, "h:1|[::1]:2"), &InitialMessage{InitialV2, 7, append(addr("h", 1), addr("::1", 2)...)}},
		{"a wildcard", message(InitialV1, "0.0.0.0:1"), &InitialMessage{InitialV1, 7, addr("0.0.0.0", 1)}},
		{"unknown version", message(-65534, "h:1"), nil},
		{"version -1", message(-1, "h:1"), nil},
		{"empty address", message(InitialV1, ""), nil},
		{"no port", message(InitialV1, "h"), nil},
		{"port out of range", message(InitialV1, "h:65536"), nil},
		{"port and more", message(InitialV1, "h:1:2"), nil},
		{"an empty part", message(InitialV2, "h:1||g:2"), nil},
		{"negative length", append(message(InitialV1, "")[:16], 0xff, 0xff, 0xff, 0xff), nil},
		{"2048 bytes", message(InitialV1, strings.Repeat("h", 2046)+":1"), &InitialMessage{InitialV1, 7, addr(strings.Repeat("h", 2046), 1)}},
		{"2049 bytes", message(InitialV1, strings.Repeat("h", 2047)+":1"), nil},
		{"cut", message(InitialV1, "h:1")[:21], nil},
	} {
		got, err := NewReader(strings.NewReader(string(test.bytes)), 0).InitialMessage()
		d := jute.NewDecoder(test.bytes)
		var direct InitialMessage
		direct.Decode(&d)
		if test.want == nil {
			if err == nil || d.Err() == nil {
				t.Errorf("%s: got %+v, errors %v and %v", test.name, got, err, d.Err())
			} else if test.name != "cut" && !errors.Is(err, ErrInitialMessage) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, *test.want) || d.Err() != nil || !reflect.DeepEqual(direct, got) {
			t.Errorf("%s: got %+v and %+v, errors %v and %v", test.name, got, direct, err, d.Err())
		}
	}
}

func FuzzInitialMessage(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.kind == "initial" {
			f.Add(g.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := jute.NewDecoder(b)
		var m InitialMessage
		m.Decode(&d)
		read, err := NewReader(strings.NewReader(string(b)), 0).InitialMessage()
		if (err == nil) != (d.Err() == nil) {
			t.Fatalf("decoding gives %v, reading %v", d.Err(), err)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(read, m) {
			t.Fatalf("decoded %+v, read %+v", m, read)
		}
		encoded := m.Append(nil)
		if len(encoded) > 20+maxInitialText { // U+FFFD is longer than what it stands for
			return
		}
		d = jute.NewDecoder(encoded)
		var again InitialMessage
		if again.Decode(&d); d.Err() != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, d.Err())
		}
	})
}
