package ensemble

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// golden makes the texts that Apache ZooKeeper 3.9.5 put into the packets of appendix A of the specification, which gives their lengths.
func golden(version string, sids ...int) string {
	lines := ""
	for _, sid := range sids {
		lines += fmt.Sprintf("server.%d=127.0.0.1:1311%[1]d:1312%[1]d:", sid)
		switch {
		case sid == 4 && version == "0":
			lines += "observer\n"
		case sid == 4:
			lines += "observer;127.0.0.1:13104\n"
		case sid == 5:
			lines += "participant;127.0.0.1:13105\n"
		default:
			lines += "participant\n"
		}
	}
	return lines + "version=" + version
}

func TestGoldenTexts(t *testing.T) {
	for _, test := range []struct {
		name, text        string
		length            int
		voters, observers Set
		version           int64
	}{
		{"B2", golden("0", 1, 2, 3), 138, Set{1, 2, 3}, nil, 0},
		{"B3", golden("0", 1, 2, 3, 4), 178, Set{1, 2, 3}, Set{4}, 0},
		{"B4", golden("100000000", 1, 2, 3), 146, Set{1, 2, 3}, nil, 0x100000000},
		{"B5", golden("10000000e", 1, 2, 4, 5), 218, Set{1, 2, 5}, Set{4}, 0x10000000e},
		{"D9", golden("100000009", 1, 2, 3, 4), 202, Set{1, 2, 3}, Set{4}, 0x100000009},
	} {
		if len(test.text) != test.length {
			t.Errorf("%s: the text has %d bytes, the captured one %d", test.name, len(test.text), test.length)
		}
		c, err := Parse(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := c.String(); got != test.text {
			t.Errorf("%s: got %q", test.name, got)
		}
		if !slices.Equal(c.Voters(), test.voters) || !slices.Equal(c.Observers(), test.observers) || c.Version != test.version {
			t.Errorf("%s: voters %v, observers %v, version %x", test.name, c.Voters(), c.Observers(), c.Version)
		}
		for sid := int64(0); sid < 7; sid++ {
			if c.IsVoter(sid) != test.voters.Contains(sid) || (c.Server(sid) != nil) != (test.voters.Contains(sid) || test.observers.Contains(sid)) {
				t.Errorf("%s: server %d: %v, votes %v", test.name, sid, c.Server(sid), c.IsVoter(sid))
			}
		}
	}
}

func TestEqual(t *testing.T) {
	const a, b = "server.1=a:1:2 server.2=b:1:2 ", "server.1=a:1:2 server.2=c:1:2 "
	const groups = "group.1=1:2 "
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{a, a, true},
		{a + "version=1", a + "version=2", true},
		{a + "version=1", b + "version=1", true}, // the version alone decides
		{a + "version=1", b + "version=2", false},
		{a, a + groups, false}, // another class, although the version is the same
		{a + "version=1", "server.1=a:1:2 version=2", false},
		{"server.1=a:1:2 version=1", "server.2=a:1:2 version=2", false},
		{"server.1=a:1:2 version=1", "server.1=a:1:2:observer version=2", false},
		{"server.1=a:1:2 version=1", "server.1=A:1:2 version=2", true},
		{"server.1=a:1:2 version=1", "server.1=a:1:3 version=2", false},
		{"server.1=a:1:2 version=1", "server.1=a:3:2 version=2", false},
		{"server.1=a:1:2;3 version=1", "server.1=a:1:2 version=2", false},
		{"server.1=a:1:2;3 version=1", "server.1=a:1:2;0.0.0.0:3 version=2", true},
		{"server.1=a:1:2;3 version=1", "server.1=a:1:2;4 version=2", false},
		{"server.1=:1:2 version=1", "server.1=localhost:1:2 version=2", true},
		{"server.1=[::1]:1:2 version=1", "server.1=[0:0:0:0:0:0:0:1]:1:2 version=2", true},
		{"server.1=a:1:2|b:3:4 version=1", "server.1=b:3:4|a:1:2 version=2", true},
		{"server.1=a:1:2|a:3:4 version=1", "server.1=a:1:4|a:3:2 version=2", true}, // the two ports are two sets
		{"server.1=a:1:2|b:3:4 version=1", "server.1=a:1:2 version=2", false},
		{a + groups + "version=1", a + groups + "version=2", true},
		{a + groups + "version=1", a + groups + "weight.1=1 version=2", true},
		{a + groups + "version=1", a + groups + "weight.1=2 version=2", false},
		{a + groups + "version=1", a + "group.1=1 group.2=2 version=2", false},
		{a + groups + "version=1", a + "group.2=1:2 version=2", false},
	} {
		x, err := Parse(strings.ReplaceAll(test.a, " ", "\n"))
		if err != nil {
			t.Fatal(err)
		}
		y, err := Parse(strings.ReplaceAll(test.b, " ", "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if x.Equal(y) != test.want || y.Equal(x) != test.want {
			t.Errorf("%s and %s: %v and %v", test.a, test.b, x.Equal(y), y.Equal(x))
		}
	}
}
