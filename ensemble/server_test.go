package ensemble

import (
	"strings"
	"testing"
)

// TestParseServer: what is refused and what is printed was compared with Apache ZooKeeper 3.9.5, except where a comment says so.
func TestParseServer(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"h:1:2", "h:1:2:participant"},
		{"h:1:2:", "h:1:2:participant"},
		{"h:1:2::", "h:1:2:participant"},
		{"h:1:2: OBSERVER ", "h:1:2:observer"},
		{"h:+1:2", "h:1:2:participant"},
		{"h:1:2;3", "h:1:2:participant;0.0.0.0:3"},
		{"h:1:2;3;", "h:1:2:participant;0.0.0.0:3"},
		{"h:1:2;", "h:1:2:participant"},
		{"h:1:2;;", "h:1:2:participant"},
		{"h:1:2:observer;c:3", "h:1:2:observer;c:3"},
		{"h:1:2;:5", "h:1:2:participant;localhost:5"},
		{":1:2", "localhost:1:2:participant"},
		{"[::1]:1:2;[fe80::a:b]:3", "[0:0:0:0:0:0:0:1]:1:2:participant;[fe80:0:0:0:0:0:a:b]:3"},
		{"[::ffff:10.0.0.1]:1:2", "10.0.0.1:1:2:participant"},
		{"b:1:2|a:3:4", "a:3:4|b:1:2:participant"},
		{"h:1:2|", "h:1:2:participant"},
		{"h:1:2:observer|g:3:4;5", "g:3:4|h:1:2:observer;0.0.0.0:5"},

		{"", `error: "" is not of the form host:port:port[:role]`},
		{"h:1", `error: "h:1" is not of the form host:port:port[:role]`},
		{"h:1:2:participant:x", `error: "h:1:2:participant:x" is not of the form host:port:port[:role]`},
		{"h:1:2;3;4", `error: "h:1:2;3;4" is not of the form host:port:port[:role][;[host:]port]`},
		{";5", `error: "" is not of the form host:port:port[:role]`},
		{"h:1:2;c:3:4", `error: client part "c:3:4" is not of the form [host:]port`},
		{"h:1:2;c:", `error: "c" is not a port`},
		{"h:1:2; 3", `error: " 3" is not a port`},
		{"h:1: 2", `error: " 2" is not a port`},
		{"h:1:2 ;3", `error: "2 " is not a port`},
		{"h:1:1", `error: "h:1:1" has the same port twice; the quorum and the election port must differ`},
		{"h:70000:2", `error: "70000" is not a port`},
		{"h:-1:2", `error: "-1" is not a port`},
		{"h:1:2:leader", `error: "leader" is neither participant nor observer`},
		{"h:1:2:observer|g:3:4:participant", `error: "h:1:2:observer|g:3:4:participant" has addresses of different roles`},
		{"|h:1:2", `error: "" is not of the form host:port:port[:role]`},
		{"[::1:1:2", `error: "[::1:1:2" starts with a bracket that does not close around an address`},
		{"[::1]", `error: "[::1]" is not of the form host:port:port[:role]`},
		{"[::1]:", `error: "[::1]:" has no port after the bracket`},
		{"h:1:2;[::1]", `error: "::1" is not a port`},
		{"[::1]:1:2:observer:x", `error: "[::1]:1:2:observer:x" is not of the form host:port:port[:role]`},
		// Java takes these two.
		{"[::1]x1:2", `error: "[::1]x1:2" has no port after the bracket`},
		{"[]:1:2", `error: "[]:1:2" starts with a bracket that does not close around an address`},
	} {
		got := ""
		if s, err := ParseServer(1, test.in); err != nil {
			got = "error: " + err.Error()
		} else {
			got = s.String()
		}
		if got != test.want {
			t.Errorf("%q\n got %s\nwant %s", test.in, got, test.want)
		}
	}
}

// FuzzParseServer: what is printed parses again, to the same text.
func FuzzParseServer(f *testing.F) {
	for _, s := range []string{"h:1:2", "[::1]:1:2:observer|[fe80::1%eth0]:3:4;[::]:5", ":1:2;;", "h:1:2:;:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := ParseServer(1, value)
		if err != nil {
			return
		}
		if len(s.Quorum) == 0 || len(s.Quorum) != len(s.Election) {
			t.Fatalf("%q: addresses %v and %v", value, s.Quorum, s.Election)
		}
		printed := s.String()
		again, err := ParseServer(1, printed)
		if err != nil {
			// The two address lists are sorted separately, so an election port can land beside an equal quorum port.
			if len(s.Quorum) > 1 && strings.Contains(err.Error(), "same port twice") {
				return
			}
			t.Fatalf("%q printed as %q: %v", value, printed, err)
		}
		if again.String() != printed {
			t.Fatalf("%q printed as %q and then as %q", value, printed, again)
		}
	})
}
