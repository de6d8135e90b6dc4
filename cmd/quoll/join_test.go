package main

import (
	"strings"
	"testing"

	"quoll/ensemble"
)

func TestNextJoin(t *testing.T) {
	const one, two, three = "server.1=a:1:2:participant;0.0.0.0:3 ", "server.2=b:1:2:participant;0.0.0.0:3 ", "server.3=c:1:2:participant;0.0.0.0:3 "
	const observer, participant = "server.4=d:1:2:observer;0.0.0.0:3", "server.4=d:1:2:participant;0.0.0.0:3"
	for _, test := range []struct {
		name, from, want string
		seen             sighting
		move             string // done, wait, the line of a reconfig, or the error
	}{
		{"a stranger", one + two + three, participant, sighting{}, observer},
		{"a stranger that follows", one + two + three, participant, sighting{"follower", 9}, observer},
		{"an observer that is not there", one + two + three + observer, participant, sighting{}, "wait"},
		{"an observer that is behind", one + two + three + observer, participant, sighting{"observer", 6}, "wait"},
		{"an observer in step", one + two + three + observer, participant, sighting{"observer", 7}, participant},
		{"a voter that still observes", one + two + three + participant, participant, sighting{"observer", 8}, "wait"},
		{"a voter that is gone", one + two + three + participant, participant, sighting{}, "wait"},
		{"a voter", one + two + three + participant, participant, sighting{"follower", 8}, "done"},
		{"a voter that leads", one + two + three + participant, participant, sighting{"leader", 8}, "done"},

		{"an observer to be", one + two + three, observer, sighting{}, observer},
		{"an observer that is", one + two + three + observer, observer, sighting{"observer", 7}, "done"},
		{"an observer that still follows", one + two + three + observer, observer, sighting{"follower", 7}, "wait"},
		{"a voter becomes an observer", one + two + three + participant, observer, sighting{}, observer},

		{"the second one is not in step", one, participant, sighting{"follower", 6}, "wait"},
		{"the second one", one, participant, sighting{"follower", 7}, participant},
		{"the second one only observes", one, observer, sighting{}, observer},

		{"another place", one + two + three + "server.4=e:1:2:observer;0.0.0.0:3", participant, sighting{}, "there is a server 4 already, at e:1:2:observer;0.0.0.0:3; it has to leave first"},
	} {
		c, err := ensemble.Parse(strings.ReplaceAll(test.from, " ", "\n") + "\nversion=5")
		if err != nil {
			t.Fatal(err)
		}
		want, err := parseMember(test.want)
		if err != nil {
			t.Fatal(err)
		}
		mv, err := nextJoin(c, want, test.seen, 7)
		got := mv.joining
		switch {
		case err != nil:
			got = err.Error()
		case mv.done:
			got = "done"
		case mv.wait:
			got = "wait"
		case mv.version != 5 || mv.leaving != "":
			t.Errorf("%s: %+v", test.name, mv)
		}
		if got != test.move {
			t.Errorf("%s: %s, want %s", test.name, got, test.move)
		}
		if err == nil && mv.why == "" {
			t.Errorf("%s: nothing is said", test.name)
		}
	}
}

func TestNextLeave(t *testing.T) {
	c, err := ensemble.Parse("server.1=a:1:2;3\nserver.2=b:1:2;3\nversion=5")
	if err != nil {
		t.Fatal(err)
	}
	if mv := nextLeave(c, 2); mv.done || mv.wait || mv.leaving != "2" || mv.joining != "" || mv.version != 5 {
		t.Errorf("%+v", mv)
	}
	if mv := nextLeave(c, 3); !mv.done {
		t.Errorf("%+v", mv)
	}
	if mv := nextLeaveAbove(c, 0); mv.done || mv.leaving != "2" || mv.version != 5 {
		t.Errorf("%+v", mv)
	}
	if mv := nextLeaveAbove(c, 2); !mv.done {
		t.Errorf("%+v", mv)
	}
}

func TestParseMember(t *testing.T) {
	for in, want := range map[string]string{
		"server.4=d:1:2;3":            "4 d:1:2:participant;0.0.0.0:3",
		"server.-4=d:1:2:observer;:3": "-4 d:1:2:observer;localhost:3",
	} {
		s, err := parseMember(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := strings.Join([]string{strings.TrimPrefix(strings.Split(in, "=")[0], "server."), s.String()}, " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{"", "server.4", "4=d:1:2;3", "server.x=d:1:2;3", "server.4=d:1:2", "server.4=d:1;3"} {
		if s, err := parseMember(in); err == nil {
			t.Errorf("%q is %v", in, s)
		}
	}
}

func TestParseSrvr(t *testing.T) {
	for in, want := range map[string]sighting{
		"Zookeeper version: 3.9.5\nZxid: 0x10000000a\nMode: follower\nNode count: 5\n": {"follower", 0x10000000a},
		"Zxid: 0x1\r\nMode: observer\r\n":                                              {"observer", 1},
		"Zxid: 0x1\nMode: read-only\n":                                                 {"read-only", 1},
		"This ZooKeeper instance is not currently serving requests\n":                  {},
		"": {},
	} {
		if got := parseSrvr(in); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

// TestWhereToLook has the address at which a new server is asked: of its line, with TLS at the ensemble's port, or what the operator says.
func TestWhereToLook(t *testing.T) {
	for _, test := range []struct {
		line, said, servers string
		overTLS             bool
		want                string
	}{
		{"server.4=four:2888:3888;2181", "", "one:2181", false, "four:2181"},
		{"server.4=four:2888:3888;10.0.0.4:2182", "", "one:2181", false, "10.0.0.4:2182"},
		{"server.4=four:2888:3888;127.0.0.1:12181", "", "one:2281,two:2282", true, "four:2281"},
		{"server.4=four:2888:3888;2181", "", "one", true, "four:2181"},
		{"server.4=four:2888:3888;2181", "vier:2381", "one:2281", true, "vier:2381"},
	} {
		want, err := parseMember(test.line)
		if err != nil {
			t.Fatal(err)
		}
		if have := whereToLook(want, test.said, test.servers, test.overTLS); have != test.want {
			t.Errorf("%s, %q: %s, not %s", test.line, test.servers, have, test.want)
		}
	}
}
