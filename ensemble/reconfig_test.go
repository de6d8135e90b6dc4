package ensemble

import (
	"errors"
	"strings"
	"testing"

	"quoll/jute"
)

func TestReconfig(t *testing.T) {
	const one, two, three = "server.1=a:1:2:participant;0.0.0.0:3 ", "server.2=b:1:2:participant;0.0.0.0:3 ", "server.3=c:1:2:participant;0.0.0.0:3 "
	const tree = one + two + three
	text := func(s string) []byte {
		if s == "null" {
			return nil
		}
		return []byte(s)
	}
	for _, test := range []struct {
		name, from, join, leave, members string
		id                               int64
		want                             string
	}{
		{"nothing", tree, "null", "null", "null", -1, tree},
		{"the right version", tree, "", "", "null", 0x100000000, tree},
		{"another version", tree, "", "", "null", 0, "BadVersion"},
		{"join", tree, "server.4=d:1:2:observer;3", "null", "null", -1, tree + "server.4=d:1:2:observer;0.0.0.0:3 "},
		{"join without the word", one + two, " 3=c:1:2;3 ,", "null", "null", -1, tree},
		{"change a role", tree, "server.3=c:1:2:observer;3", "null", "null", -1, one + two + "server.3=c:1:2:observer;0.0.0.0:3 "},
		{"leave", tree, "null", "3, ,9", "null", -1, one + two},
		{"leave and join", tree, "server.1=a:1:2;3", "1", "null", -1, tree},
		{"takes the place of one that leaves", tree, "server.4=c:1:2;3", "3", "null", -1, one + two + "server.4=c:1:2:participant;0.0.0.0:3 "},
		{"no number leaves", tree, "null", "x", "null", -1, "MarshallingError"},
		{"no number joins", tree, "server.x=d:1:2;3", "null", "null", -1, "MarshallingError"},
		{"no number at all", tree, "server.4.=d:1:2;3", "null", "null", -1, "MarshallingError"},
		{"a sign", tree, "server.+4=d:1:2:observer;3", "null", "null", -1, tree + "server.4=d:1:2:observer;0.0.0.0:3 "},
		{"two signs of equality", tree, "server.4==d:1:2:observer;3:=", "null", "null", -1, tree + "server.4=d:1:2:observer;0.0.0.0:3 "},
		{"three parts", tree, "server.4=d=e", "null", "null", -1, "BadArguments"},
		{"no value", tree, "server.4=", "null", "null", -1, "BadArguments"},
		{"only a semicolon", tree, "server.4=;", "null", "null", -1, "MarshallingError"},
		{"no address", tree, "server.4=;3", "null", "null", -1, "BadArguments"},
		{"no number for a port", tree, "server.4=d:x:2;3", "null", "null", -1, "BadArguments"},
		{"a port beyond all numbers", tree, "server.4=d:1:2;99999999999", "null", "null", -1, "BadArguments"},
		{"a port that is too large", tree, "server.4=d:99999:2;3", "null", "null", -1, "MarshallingError"},
		{"a client port that is too large", tree, "server.4=d:1:2;99999", "null", "null", -1, "MarshallingError"},
		{"a negative port", tree, "server.4=d:-1:2;3", "null", "null", -1, "MarshallingError"},
		{"one port twice", tree, "server.4=d:1:1;3", "null", "null", -1, "BadArguments"},
		{"no line", tree, "server.4", "null", "null", -1, "BadArguments"},
		{"a bad line", tree, "server.4=d:1;3", "null", "null", -1, "BadArguments"},
		{"no client port", tree, "server.4=d:1:2", "null", "null", -1, "BadArguments"},
		{"several addresses", tree, "server.4=d:1:2|e:1:2;3", "null", "null", -1, "BadArguments"},
		{"the same address", tree, "server.4=A:1:7;8", "null", "null", -1, "BadArguments"},
		{"the same address for another port", tree, "server.4=d:7:8;a:2", "null", "null", -1, "BadArguments"},
		{"the same loopback address", "server.1=127.0.0.1:1:2;3 server.2=localhost:4:5;6 ", "server.3=127.0.0.1:1:2;[::1]:3,server.4=localhost:4:5;6", "null", "null", -1,
			"server.1=127.0.0.1:1:2:participant;0.0.0.0:3 server.2=localhost:4:5:participant;0.0.0.0:6 server.3=127.0.0.1:1:2:participant;[0:0:0:0:0:0:0:1]:3 server.4=localhost:4:5:participant;0.0.0.0:6 "},
		{"too few voters", tree, "server.2=b:1:2:observer;3", "3", "null", -1, "BadArguments"},
		{"part of a hierarchy", tree + "group.1=1:2:3 ", "null", "3", "null", -1, "BadArguments"},
		{"whole", tree, "server.7=g:1:2;3", "1", "server.1=a:1:2;3,server.2=b:1:2;3 ", -1, one + two},
		{"whole, into a hierarchy", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1,group.2=2", -1, one + two + "group.1=1 group.2=2 weight.1=1 weight.2=1 "},
		{"whole and empty", tree, "null", "null", "", -1, "BadArguments"},
		{"whole with a comment", tree, "null", "null", "#server.1=a:1:2;3,server.2=b:1:2;3,server.3=c:1:2;3,version=7", -1, two + three},
		{"whole and nonsense", tree, "null", "null", "nonsense", -1, "BadArguments"},
		{"whole, no number", tree, "null", "null", "server.x=a:1:2;3", -1, "MarshallingError"},
		{"whole, no version", tree, "null", "null", "version=zz", -1, "MarshallingError"},
		{"whole, no escape", tree, "null", "null", `\u00zz`, -1, "MarshallingError"},
		{"whole, a bad line", tree, "null", "null", "server.1=a:1:2:bogus", -1, "BadArguments"},
		{"whole, a bad port", tree, "null", "null", "server.1=a:1:99999", -1, "MarshallingError"},
		{"whole, one server", tree, "null", "null", "server.1=a:1:2;3", -1, "BadArguments"},
		{"whole, observers alone", tree, "null", "null", "server.1=a:1:2:observer;3", -1, "MarshallingError"},
		{"whole, one server and an observer", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2:observer;3", -1, "MarshallingError"},
		{"whole, a voter in no group", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1", -1, "BadArguments"},
		{"whole, in two groups", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2,group.2=2", -1, "BadArguments"},
		{"whole, no number in a group", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2:x", -1, "MarshallingError"},
		{"whole, an empty group", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=", -1, "MarshallingError"},
		{"whole, a stranger in a group", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2:9", -1, "MarshallingError"},
		{"whole, no number of a group", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,groupx=1:2", -1, "MarshallingError"},
		{"whole, no weight", tree, "null", "null", "server.1=a:1:2;3,server.2=b:1:2;3,group.1=1:2,weight.1=x", -1, "MarshallingError"},
		{"whole and wrong", tree, "null", "null", "clientPort=2181", -1, "BadArguments"},
	} {
		c, err := Parse(strings.ReplaceAll(test.from, " ", "\n") + "version=100000000")
		if err != nil {
			t.Fatal(err)
		}
		before := c.String()
		r := &jute.ReconfigRequest{JoiningServers: text(test.join), LeavingServers: text(test.leave), NewMembers: text(test.members), CurConfigID: test.id}
		got := ""
		next, err := c.Reconfig(r, 0x200000001, Rules{StandaloneEnabled: true})
		if code := jute.OK; errors.As(err, &code) {
			got = code.Text()
		} else if err == nil {
			lines, ok := strings.CutSuffix(next.String(), "version=200000001")
			if got = strings.ReplaceAll(lines, "\n", " "); !ok {
				t.Errorf("%s: version %x", test.name, next.Version)
			}
		}
		if got != test.want {
			t.Errorf("%s (%v)\n got %s\nwant %s", test.name, err, got, test.want)
		}
		if c.String() != before {
			t.Errorf("%s: the old config has become\n%s", test.name, c)
		}
	}
}

func TestReconfigRules(t *testing.T) {
	c, err := Parse("server.1=a:1:2;3\nserver.2=b:1:2;3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reconfig(&jute.ReconfigRequest{LeavingServers: []byte("2"), CurConfigID: -1}, 1, Rules{}); err != nil {
		t.Errorf("one voter: %v", err)
	}
	if _, err := c.Reconfig(&jute.ReconfigRequest{LeavingServers: []byte("1,2"), CurConfigID: -1}, 1, Rules{}); !errors.Is(err, jute.ErrBadArguments) {
		t.Errorf("no voter: %v", err)
	}
	if _, err := c.Reconfig(&jute.ReconfigRequest{JoiningServers: []byte("3=c:1:2|d:1:2;3"), CurConfigID: -1}, 1, Rules{MultiAddress: true}); err != nil {
		t.Errorf("several addresses: %v", err)
	}
}
