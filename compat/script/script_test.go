package script

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestFormat checks that a script is printed as it was read.
func TestFormat(t *testing.T) {
	for _, s := range golden(t) {
		want, err := os.ReadFile(filepath.Join(goldenDir, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.Format()); got != string(want) {
			t.Errorf("%s is printed as\n%s", s.Name, got)
		}
		for _, l := range s.Lines {
			if l.Step == nil {
				continue
			}
			var again Script
			if err := again.Parse(strings.Join(NewStep(l.Step.Conn, l.Step.Request).Source, "\n")); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(again.Lines[0].Step.Request, l.Step.Request) {
				t.Errorf("%s:%d: made anew, the step is %s", s.Name, l.Step.Number, again.Format())
			}
		}
	}
}

const goldenDir = "../../testdata/golden"

// golden is the recorded scripts.
func golden(t testing.TB) []*Script {
	t.Helper()
	all, err := ReadAll(goldenDir + "/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	return all
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
		if err := new(Script).Parse(test.text); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("parse(%q) = %v, want %s", test.text, err, test.want)
		}
	}
}

// TestRequestErrors checks that a step that says something wrong is not sent.
func TestRequestErrors(t *testing.T) {
	r := appender()
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
		var s Script
		if err := s.Parse(test.line); err != nil {
			t.Fatal(err)
		}
		_, err := r.appendCall(nil, &conn{setUp: true}, s.Lines[0].Step.Request)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.line, err, test.want)
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
