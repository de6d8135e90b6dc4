package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quoll"
)

// TestFormat checks that a script is printed as it was read.
func TestFormat(t *testing.T) {
	testScripts(t, func(t *testing.T, path string, s *script) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.format()); got != string(want) {
			t.Errorf("it is printed as\n%s", got)
		}
	})
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"  < xid=1", "1: \"< xid=1\" belongs to no step"},
		{"c", "1: a step without a verb"},
		{"c create \"/a", "1: \"/a: invalid syntax"},
		{"c ping\n  quoll:", "2: a deviation without a reason"},
		{"c multi\n  ++ delete /a", "2: \"++ delete /a\" is a part of nothing"},
		{"c ping\n  what", "2: \"what\" is neither"},
	} {
		if err := new(script).parse(test.text); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("parse(%q) = %v, want %s", test.text, err, test.want)
		}
	}
}

// TestRequestErrors checks that a step that says something wrong is not sent.
func TestRequestErrors(t *testing.T) {
	r := &runner{norm: newNormaliser(0)}
	for _, test := range []struct{ line, want string }{
		{"c makenode /a", "unknown verb"},
		{"c create", "field path is missing"},
		{"c create /a colour=red", "create has no field colour"},
		{"c create /a flags=x", "invalid syntax"},
		{"c create /a acl=world:31", "is not scheme:id:perms"},
		{"c create /a data=0x1", "odd length"},
		{"c create /a data=\"x\"+3", "may be followed by *N only"},
		{"c connect session=@d", "connection d has no session"},
		{"c ping cut=100", "cut=100 of 8 bytes"},
		{"c multi\n  + makenode /a", "unknown operation"},
	} {
		var s script
		if err := s.parse(test.line); err != nil {
			t.Fatal(err)
		}
		_, err := r.appendCall(nil, &conn{setUp: true}, s.lines[0].step.request)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.line, err, test.want)
		}
	}
}

// TestDifference checks that an answer of one other bit is noticed, and written down by record.
func TestDifference(t *testing.T) {
	const text = `c connect
c create /a data=hi
  < xid=1 zxid=+2 err=0 path=/a
  = 00000016 00000001 0000000000000002 00000000 00000002 2f61
c getData /a
  < xid=2 zxid=+2 err=0 data=hi czxid=+2 mzxid=+2 ctime=+2 mtime=+2 version=0 cversion=0 aversion=0 ephemeralOwner=0 dataLength=2 numChildren=0 pzxid=+2
  = 0000005a 00000002 0000000000000002 00000000 00000002 6869 0000000000000002 0000000000000002 0000000000000002 0000000000000002 00000000 00000000 00000000 0000000000000000 00000002 00000000 0000000000000002
c check /a
  < xid=3 zxid=-1 err=-6(Unimplemented)
  = 00000010 00000003 ffffffffffffffff fffffffa
  quoll: as an example
  < xid=3 zxid=-1 err=-6(Unimplemented)
  = 00000010 00000003 ffffffffffffffff fffffffa
`
	right := strings.Replace(text, "connect\n", `connect
  < protocol=0 timeout=30000 session=@c passwd=@c readOnly=0
  = 00000025 00000000 00007530 5e00000000000001 00000010 50000000000000005e00000000000001 00
`, 1)
	for _, test := range []struct{ as, old, wrong, want string }{
		{as: "quoll"},
		{as: "java"},
		{"quoll", "6869 ", "6868 ", "7: c getData /a"},
		{"quoll", "path=/a\n", "path=/b\n", "4: c create /a"},
		{"java", "(Unimplemented)\n", "(NoNode)\n", "10: c check /a"},
	} {
		path := filepath.Join(t.TempDir(), "script.txt")
		if err := os.WriteFile(path, []byte(strings.Replace(right, test.old, test.wrong, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		play := func(do func(addr string, s *script) error) error {
			server, err := quoll.Start(quoll.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			s, err := readScript(path)
			if err != nil {
				t.Fatal(err)
			}
			return do(server.Addr(), s)
		}
		check := func(addr string, s *script) error { return checkScript(addr, s, test.as) }
		switch err := play(check); {
		case test.want == "" && err != nil:
			t.Error(err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("with %q: %v, want %s", test.wrong, err, test.want)
		}
		if err := play(func(addr string, s *script) error { return recordScript(addr, path, s, "java") }); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != right {
			t.Errorf("recorded %v\n%s", err, b)
		}
	}
}

func TestPassword(t *testing.T) {
	for id, want := range map[int64]string{
		0x0100001788e50000: "f159e2162a03f0cfb7e0c12a8360c7d4",
		0x0100001788e50001: "047bdc16ca4ecf14ac23295657e9dba1",
	} {
		if p := password(id); hex.EncodeToString(p[:]) != want {
			t.Errorf("password(%#x) = %x, want %s", id, p, want)
		}
	}
}

// TestNormaliser checks what is kept of values that differ in every run.
func TestNormaliser(t *testing.T) {
	n := newNormaliser(0x500000010)
	now := time.Now().UnixMilli()
	for _, test := range []struct {
		what, got, want string
	}{
		{"no zxid", second(n.relative(0)), "0"},
		{"minus one", second(n.relative(-1)), "-1"},
		{"the next zxid", second(n.relative(0x500000011)), "+1"},
		{"an old zxid", second(n.relative(0x500000010)), "0x500000010(older than the script)"},
		{"a time", second(n.time(now, 0x500000012)), "+2"},
		{"the same time", second(n.time(now, 0x500000012)), "+2"},
		{"no time", second(n.time(0, 0)), "0"},
		{"a session not seen", second(n.session(0x77)), "0x77"},
	} {
		if test.got != test.want {
			t.Errorf("%s = %s, want %s", test.what, test.got, test.want)
		}
	}
	if got := second(n.time(now+1, 0x500000012)); !strings.Contains(got, "not the time") {
		t.Errorf("another time of the same zxid = %s", got)
	}
	if got := second(n.time(now/1000, 0x500000013)); !strings.Contains(got, "far from now") {
		t.Errorf("a time in seconds = %s", got)
	}
	n.rebase(0x500000020)
	if got := second(n.relative(0x500000021)); got != "+1002" {
		t.Errorf("after a rebase = %s", got)
	}
	if got := n.absolute(1002); got != 0x500000021 {
		t.Errorf("absolute(1002) = %#x", got)
	}
}

func second(_ int64, text string) string { return text }
