package ensemble

import "testing"

func TestAddr(t *testing.T) {
	for _, test := range []struct {
		host              string
		wildcard, literal bool
		text              string
	}{
		{"", true, false, ":1"},
		{"0.0.0.0", true, true, "0.0.0.0:1"},
		{"::", true, true, "[::]:1"},
		{"::ffff:0.0.0.0", true, true, "[::ffff:0.0.0.0]:1"},
		{"10.0.0.1", false, true, "10.0.0.1:1"},
		{"fe80::1%eth0", false, true, "[fe80::1%eth0]:1"},
		{"zk1.example", false, false, "zk1.example:1"},
	} {
		a := Addr{test.host, 1}
		if a.Wildcard() != test.wildcard || a.Literal() != test.literal || a.String() != test.text {
			t.Errorf("%q: wildcard %v, literal %v, text %s", test.host, a.Wildcard(), a.Literal(), a)
		}
	}
}
