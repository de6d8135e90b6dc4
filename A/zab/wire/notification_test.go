package wire

import (
	"strings"
	"testing"

	"quoll/jute"
)

// TestNotificationRules has what was sent to a live Apache ZooKeeper 3.9.5: which lengths and versions it takes, and as what.
func TestNotificationRules(t *testing.T) {
	full := (&Notification{State: 2, Leader: 3, Zxid: 7<<32 | 1, Round: 5, PeerEpoch: 6, Config: "version=0"}).AppendFrame(nil)[4:]
	body := func(length int, version int32, more string) []byte {
		b := append([]byte(nil), full[:min(length, 36)]...)
		if length > 36 {
			b = jute.AppendInt32(b, version)
		}
		return append(b, more...)
	}
	for _, test := range []struct {
		name string
		body []byte
		ok   bool
		want Notification // peerEpoch, version and config
	}{
		{"nothing", nil, false, Notification{}},
		{"27 bytes", body(27, 0, ""), false, Notification{}},
		{"28 bytes", body(28, 0, ""), true, Notification{PeerEpoch: 7}},
		{"29 bytes", body(29, 0, ""), false, Notification{}},
		{"36 bytes", body(36, 0, ""), false, Notification{}},
		{"40 bytes, version 1", body(40, 1, ""), true, Notification{PeerEpoch: 6}},
		{"40 bytes, version 2", body(40, 2, ""), true, Notification{PeerEpoch: 6}},
		{"41 bytes, version 1", body(40, 1, "x"), true, Notification{PeerEpoch: 6, Version: 1}},
		{"41 bytes, version 2", body(40, 2, "x"), false, Notification{}},
		{"44 bytes, version 0", body(40, 0, "\xff\xff\xff\xff"), true, Notification{PeerEpoch: 6}},
		{"44 bytes, version -1", body(40, -1, "\xff\xff\xff\xff"), true, Notification{PeerEpoch: 6, Version: -1}},
		{"no config", body(40, 2, "\xff\xff\xff\xff"), false, Notification{}},
		{"negative config", body(40, 2, "\xff\xff\xff\xfe"), false, Notification{}},
		{"empty config", body(40, 2, "\x00\x00\x00\x00"), true, Notification{PeerEpoch: 6, Version: 2}},
		{"config too long", body(40, 2, "\x00\x00\x00\x02a"), false, Notification{}},
		{"config and more", body(40, 2, "\x00\x00\x00\x02abc"), true, Notification{PeerEpoch: 6, Version: 2, Config: "ab"}},
		{"version 3", body(40, 3, "\x00\x00\x00\x02ab"), true, Notification{PeerEpoch: 6, Version: 3, Config: "ab"}},
		{"not UTF-8", body(40, 2, "\x00\x00\x00\x01\xff"), true, Notification{PeerEpoch: 6, Version: 2, Config: "\ufffd"}},
		{"version 2", full, true, Notification{PeerEpoch: 6, Version: 2, Config: "version=0"}},
	} {
		d := jute.NewDecoder(test.body)
		var n Notification
		n.Decode(&d)
		if (d.Err() == nil) != test.ok {
			t.Errorf("%s: %v", test.name, d.Err())
			continue
		}
		test.want.State, test.want.Leader, test.want.Zxid, test.want.Round = 2, 3, 7<<32|1, 5
		if test.ok && n != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, n, test.want)
		}
	}
}

func FuzzNotification(f *testing.F) {
	for _, g := range readGolden(f) {
		if g.kind == "frame" {
			f.Add(g.bytes[4:])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := jute.NewDecoder(body)
		var n Notification
		n.Decode(&d)
		if d.Err() != nil {
			return
		}
		if len(n.Config) > 3*len(body) {
			t.Fatalf("%d bytes of config", len(n.Config))
		}
		n.Version = NotificationVersion
		frame := n.AppendFrame(nil)
		if len(n.Config) <= MaxFrame-44 {
			again, err := NewReader(strings.NewReader(string(frame)), 0).Frame()
			if err != nil || string(again) != string(frame[4:]) {
				t.Fatalf("%x is read as %x, %v", frame, again, err)
			}
		}
		d = jute.NewDecoder(frame[4:])
		var again Notification
		if again.Decode(&d); d.Err() != nil || again != n {
			t.Fatalf("%+v became %+v, %v", n, again, d.Err())
		}
	})
}
