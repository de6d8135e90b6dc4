package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll"
	"quoll/compat/script"
)

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
		play := func(do func(addr string, s *script.Script) error) error {
			server, err := quoll.Start(quoll.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			s, err := script.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			return do(server.Addr(), s)
		}
		check := func(addr string, s *script.Script) error { return checkScript(addr, s, test.as) }
		switch err := play(check); {
		case test.want == "" && err != nil:
			t.Error(err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("with %q: %v, want %s", test.wrong, err, test.want)
		}
		if err := play(func(addr string, s *script.Script) error { return recordScript(addr, path, s, "java") }); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != right {
			t.Errorf("recorded %v\n%s", err, b)
		}
	}
}
