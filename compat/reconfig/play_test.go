package reconfig

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// request is one reconfig of the play. In its texts {N} is the line of server N as a participant and {N:role} with a role; a nil text is null.
type request struct {
	join, leave, members string
	asked                [3]bool // which of the three are not null
	version              string  // of the config that is to be changed: "" for any, "now" for the present one, otherwise that number
	anonymous            bool    // else the superuser asks
	want                 jute.Code
	either               bool // the answer may be lost, since there is another leader behind it
}

func join(text string, want jute.Code) request {
	return request{join: text, asked: [3]bool{true, false, false}, want: want}
}

func leave(text string, want jute.Code) request {
	return request{leave: text, asked: [3]bool{false, true, false}, want: want}
}

func whole(text string, want jute.Code) request {
	return request{members: text, asked: [3]bool{false, false, true}, want: want}
}

func (r request) of(version string) request {
	r.version = version
	return r
}

func (r request) anonymously() request {
	r.anonymous = true
	return r
}

const three = "server.1={1},server.2={2}\nserver.3={3}"

// play is what is asked of three servers, with what Apache ZooKeeper 3.9.5 answers.
var play = []request{
	// The order of the checks: version, text, number of voters, quorum, permission.
	join("nonsense", jute.ErrBadVersion).of("5").anonymously(),
	join("nonsense", jute.ErrBadArguments).of("now").anonymously(),
	join("server.5={5},server.6={6},server.7={7},server.8={8}", jute.ErrNewConfigNoQuorum).anonymously(),
	join("server.4={4:observer}", jute.ErrNoAuth).anonymously(),
	whole("server.1={1}", jute.ErrBadArguments).anonymously(),

	join("server.4={4:observer}", jute.OK),
	join("server.4={4:observer}", jute.ErrBadVersion).of("5"),
	join("server.4={4:observer}", jute.OK).of("now"),
	leave("4", jute.OK),
	{version: "", want: jute.OK}, // nothing but a new version
	leave("9, 9", jute.OK),
	leave("", jute.OK),
	leave("1,2", jute.ErrBadArguments),
	leave("x", jute.ErrMarshalling),
	leave("1x", jute.ErrMarshalling),

	join("server.4=a=b", jute.ErrBadArguments),
	join("server.4", jute.ErrBadArguments),
	join("=", jute.ErrBadArguments),
	join("server.4=", jute.ErrBadArguments),
	join("server.4=;3", jute.ErrBadArguments),
	join("server.4=;", jute.ErrMarshalling),
	join("server.x=a:1:2;3", jute.ErrMarshalling),
	join("server.99999999999999999999=a:1:2;3", jute.ErrMarshalling),
	join("server.4=a:1:2", jute.ErrBadArguments),
	join("server.4=a:1:2;", jute.ErrBadArguments),
	join("server.4=a:1:2;x", jute.ErrBadArguments),
	join("server.4=a:1:2;h:1:2", jute.ErrBadArguments),
	join("server.4=a:x:2;3", jute.ErrBadArguments),
	join("server.4=a:1:1;3", jute.ErrBadArguments),
	join("server.4=a:1:2:bogus;3", jute.ErrBadArguments),
	join("server.4=a:1:2:observer:x;3", jute.ErrBadArguments),
	join("server.4=a:1:2;3;4", jute.ErrBadArguments),
	join("server.4=a:1:2|b:1:2;3", jute.ErrBadArguments),
	join("server.4=a:99999:2;3", jute.ErrMarshalling),
	join("server.4=a:1:2;99999", jute.ErrMarshalling),
	join("server.4=a:1:2;99999999999", jute.ErrBadArguments),
	join("server.4=[::1:1:2;3", jute.ErrBadArguments),
	join("server.4= : : ;3", jute.ErrBadArguments),
	join("server.4={4:observer},junk", jute.ErrBadArguments),
	join("server.4=10.0.0.1:1:2:observer;3,server.5=10.0.0.1:1:7:observer;4", jute.ErrBadArguments),

	join("server.4==a:1:2:observer;7:=", jute.OK),
	join("4=a:1:2: observer ;[::1]:7", jute.OK),
	join("server.+4=:1:2:OBSERVER;:7", jute.OK),
	leave("4", jute.OK),

	whole("", jute.ErrBadArguments),
	whole("nonsense", jute.ErrBadArguments),
	whole("server.1=nonsense", jute.ErrBadArguments),
	whole("server.x=a:1:2", jute.ErrMarshalling),
	whole("server.9=a:1:2:observer", jute.ErrMarshalling),
	whole("server.1={1},server.9=a:1:2:observer", jute.ErrMarshalling),
	whole("version=zz", jute.ErrMarshalling),
	whole("\\u00zz", jute.ErrMarshalling),
	whole(three+",clientPort=1", jute.ErrBadArguments),
	whole(three+",group.1=1:2", jute.ErrBadArguments),
	whole(three+",weight.1=1", jute.ErrBadArguments),
	whole(three+",group.1=1:2:3,group.2=3", jute.ErrBadArguments),
	whole(three+",weight.1=x", jute.ErrMarshalling),
	whole(three+",group.1=1:2:x", jute.ErrMarshalling),
	whole(three+",group.1=", jute.ErrMarshalling),
	whole(three+",group.1=1:2:3:9", jute.ErrMarshalling),
	whole(three+",groupx=1:2:3", jute.ErrMarshalling),
	whole(three+",server.5={5},server.6={6},server.7={7},server.8={8}", jute.ErrNewConfigNoQuorum),

	whole("#"+three+",version=5", jute.OK), // server 1 is in a comment
	whole(three, jute.OK),
	whole(three+",group.1=1:2:3,weight.9=1", jute.OK),
	leave("3", jute.ErrBadArguments), // groups can only be changed as a whole
	whole(three, jute.OK),
	{join: "nonsense", members: three, asked: [3]bool{true, false, true}, want: jute.OK},
}

// script is what a play writes down: it must be the same for both kinds.
type script struct {
	w     *world
	zxids map[string]string
	lines []string
	timed bool // the znode has the time of the transaction everywhere, since nobody is synchronized, which gives it one of its own
}

var (
	place   = regexp.MustCompile(`\{(\d)(?::(\w+))?\}`)
	longHex = regexp.MustCompile(`\b[0-9a-f]{9,16}\b`)
)

// expand fills in the server lines.
func (w *world) expand(text string) string {
	return place.ReplaceAllStringFunc(text, func(s string) string {
		m := place.FindStringSubmatch(s)
		sid, _ := strconv.ParseInt(m[1], 10, 64)
		if m[2] == "" {
			m[2] = "participant"
		}
		return w.line(sid, m[2])
	})
}

// note writes down a line, with names for what differs from run to run: the ports, and zxids in the order in which they are seen.
func (s *script) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for sid, ports := range s.w.ports {
		for i, port := range ports {
			text = strings.ReplaceAll(text, strconv.Itoa(port), fmt.Sprintf("P%d%c", sid, "qec"[i]))
		}
	}
	text = longHex.ReplaceAllStringFunc(text, func(zxid string) string {
		if s.zxids[zxid] == "" {
			s.zxids[zxid] = fmt.Sprintf("zxid%d", len(s.zxids)+1)
		}
		return s.zxids[zxid]
	})
	s.lines = append(s.lines, strings.Split(text, "\n")...)
}

// state writes down what every one of the servers says of a config, and has on its disk, when all know it.
func (s *script) state(version string, sids ...int64) {
	w := s.w
	w.t.Helper()
	mtimes := map[int64]bool{}
	for _, sid := range sids {
		c := w.connect(false, nil, sid)
		var data []byte
		var stat jute.Stat
		w.await(fmt.Sprintf("server %d to have the config %s", sid, version), func() bool {
			var err error
			data, stat, err = c.GetConfig(w.ctx, false)
			return err == nil && strings.HasSuffix(string(data), "version="+version)
		})
		var files map[string]string
		w.await(fmt.Sprintf("the files of server %d", sid), func() bool {
			files = w.files(sid)
			return strings.HasSuffix(files["zoo.cfg"], ".dynamic."+version+"\n") && files["zoo.cfg.dynamic.next"] == "" &&
				!slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(name string) bool { return strings.HasSuffix(name, ".tmp") })
		})
		mtimes[stat.Mtime] = true
		s.note("server %d: %s\n%s\n%s", sid, show(stat), data, list(files))
		if err := c.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(mtimes) > 1 && s.timed {
		w.t.Errorf("%s: the config %s has %d times", w.kind.Name, version, len(mtimes))
	}
}

// version is the version of the config, at the end of its text.
func (w *world) version(c *client.Client) string {
	w.t.Helper()
	var data []byte
	w.await("the config", func() (ok bool) {
		var err error
		data, _, err = c.GetConfig(w.ctx, false)
		return err == nil
	})
	_, version, _ := strings.Cut(string(data), "version=")
	return version
}

// ask makes a request and writes down the answer.
func (s *script) ask(c *client.Client, r request) (version string, err error) {
	w := s.w
	w.t.Helper()
	q := jute.ReconfigRequest{CurConfigID: -1}
	for i, part := range []*[]byte{&q.JoiningServers, &q.LeavingServers, &q.NewMembers} {
		if r.asked[i] {
			*part = []byte(w.expand([]string{r.join, r.leave, r.members}[i]))
		}
	}
	switch r.version {
	case "":
	case "now":
		q.CurConfigID, err = strconv.ParseInt(w.version(c), 16, 64)
	default:
		q.CurConfigID, err = strconv.ParseInt(r.version, 16, 64)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	before := ""
	if r.either {
		before = w.version(c)
	}
	var answer jute.GetDataResponse
	err = c.Do(w.ctx, jute.OpReconfig, &q, &answer)
	code := jute.OK
	if r.either && err == jute.ErrConnectionLoss {
		w.await("the config to change", func() bool { version = w.version(c); return version != before })
		return version, nil
	}
	if err != nil && !errors.As(err, &code) || code != r.want {
		w.t.Errorf("%s: join %q leave %q members %q version %q: %v, want %v", w.kind.Name, r.join, r.leave, r.members, r.version, err, r.want)
	}
	if r.either {
		return strconv.FormatInt(answer.Stat.Mzxid, 16), nil
	}
	s.note("join %q leave %q members %q version %q: %v", r.join, r.leave, r.members, r.version, err)
	if err != nil {
		return "", err
	}
	s.note("%s\n%s", show(answer.Stat), answer.Data)
	return strconv.FormatInt(answer.Stat.Mzxid, 16), nil
}

// same reports the first difference of two plays.
func same(t *testing.T, java, quoll []string) {
	t.Helper()
	for i := range max(len(java), len(quoll)) {
		a, b := "(the end)", "(the end)"
		if i < len(java) {
			a = java[i]
		}
		if i < len(quoll) {
			b = quoll[i]
		}
		if a != b {
			t.Fatalf("line %d: quoll says\n%s\nand ZooKeeper\n%s\nafter\n%s", i+1, b, a, strings.Join(java[max(0, i-40):min(i, len(java))], "\n"))
		}
	}
}

// each runs a play on an ensemble of each kind and compares what they wrote down.
func each(t *testing.T, play func(s *script)) {
	peer.RequireJVM(t)
	var scripts [][]string
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			w := newWorld(t, kind)
			w.start(w.members(3), 1, 3)
			w.leader() // which is 3, however slow its start
			w.start(w.members(3), 2)
			s := &script{w: w, zxids: map[string]string{}}
			play(s)
			scripts = append(scripts, s.lines)
		})
	}
	if !t.Failed() && len(scripts) == 2 {
		same(t, scripts[0], scripts[1])
	}
}

// TestPlay makes all requests of the play at a follower.
func TestPlay(t *testing.T) {
	each(t, func(s *script) {
		w := s.w
		_, follower := w.leader()
		super, anonymous := w.connect(true, nil, follower), w.connect(false, nil, follower)
		s.state(w.version(super), 1, 2, 3)
		for _, r := range play {
			c := super
			if r.anonymous {
				c = anonymous
			}
			if version, err := s.ask(c, r); err == nil {
				s.timed = true
				s.state(version, 1, 2, 3)
			}
		}
	})
}

// TestEvents has persistent watches on the config, at the leader and at a follower, see each change once, or twice of ZooKeeper.
func TestEvents(t *testing.T) {
	each(t, func(s *script) {
		w := s.w
		leader, follower := w.leader()
		var mu sync.Mutex
		events := map[int64][]string{}
		for _, sid := range []int64{leader, follower} {
			c := w.connect(false, func(e client.Event) {
				if e.Type != client.EventNone {
					mu.Lock()
					defer mu.Unlock()
					events[sid] = append(events[sid], fmt.Sprintf("%v %s %x", e.Type, e.Path, e.Zxid))
				}
			}, sid)
			if err := c.AddWatch(w.ctx, client.ConfigPath, jute.AddWatchPersistent); err != nil {
				w.t.Fatal(err)
			}
		}
		super := w.connect(true, nil, follower)
		var want []string
		for range 5 {
			version, err := s.ask(super, request{})
			if err != nil {
				w.t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%v %s %s", jute.EventNodeDataChanged, client.ConfigPath, version))
		}
		for _, sid := range []int64{leader, follower} {
			var seen []string
			w.await(fmt.Sprintf("the last event at server %d", sid), func() bool {
				mu.Lock()
				defer mu.Unlock()
				seen = slices.Clone(events[sid])
				return slices.Contains(seen, want[len(want)-1])
			})
			if w.kind.Name == "java" {
				seen = slices.Compact(seen)
			}
			if !slices.Equal(seen, want) {
				w.t.Errorf("%s: server %d sends %q, want %q", w.kind.Name, sid, seen, want)
			}
		}
	})
}

// TestRestart has all servers start with the files that a reconfig left.
func TestRestart(t *testing.T) {
	each(t, func(s *script) {
		w := s.w
		_, follower := w.leader()
		version, err := s.ask(w.connect(true, nil, follower), join("server.4={4:observer}", jute.OK))
		if err != nil {
			w.t.Fatal(err)
		}
		s.state(version, 1, 2, 3)
		for sid := int64(1); sid <= 3; sid++ {
			if err := w.servers[sid].Kill(); err != nil {
				w.t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for sid := int64(1); sid <= 3; sid++ {
			wg.Go(func() {
				if err := w.servers[sid].Restart(); err != nil {
					w.t.Error(err)
				}
			})
		}
		wg.Wait()
		s.state(version, 1, 2, 3)
		if version, err = s.ask(w.connect(true, nil, follower), leave("4", jute.OK).of("now")); err != nil {
			w.t.Fatal(err)
		}
		s.state(version, 1, 2, 3)
	})
}

// TestMembers has a server come as an observer, vote, and go, and the leader be removed, which then follows without a vote.
func TestMembers(t *testing.T) {
	each(t, func(s *script) {
		w := s.w
		leader, follower := w.leader()
		c := w.connect(true, nil, follower)
		w.start(append(w.members(3), "server.4="+w.line(4, "observer")), 4)
		for _, r := range []request{
			join("server.4={4:observer}", jute.OK), join("server.4={4}", jute.OK), join("server.4={4:observer}", jute.OK), leave("4", jute.OK),
			join("server.4={4}", jute.OK), // it follows without a vote, and so counts
		} {
			version, err := s.ask(c, r)
			if err != nil {
				w.t.Fatal(err)
			}
			s.state(version, 1, 2, 3, 4)
			role := map[bool]string{true: "observer", false: "follower"}[strings.Contains(r.join, "observer")]
			w.await("server 4 to be "+role, func() bool { return w.mode(4) == role })
		}
		removal := leave(strconv.FormatInt(leader, 10), jute.OK)
		removal.either = true
		version, err := s.ask(c, removal)
		if err != nil {
			w.t.Fatal(err)
		}
		w.await("the removed leader to follow", func() bool { return w.mode(leader) == "follower" })
		s.state(version, 1, 2, 3, 4)
		version, err = s.ask(w.connect(true, nil, follower), join(fmt.Sprintf("server.%d={%d}", leader, leader), jute.OK))
		if err != nil {
			w.t.Fatal(err)
		}
		s.state(version, 1, 2, 3, 4)
	})
}

// TestUnderWay asks for a reconfig while another is not committed.
func TestUnderWay(t *testing.T) {
	each(t, func(s *script) {
		w := s.w
		leader, _ := w.leader()
		first, second := w.connect(true, nil, leader), w.connect(true, nil, leader)
		w.stopOthers(leader)
		ask := func(c *client.Client, text string) chan error {
			answer := make(chan error, 1)
			go func() {
				answer <- c.Do(w.ctx, jute.OpReconfig, &jute.ReconfigRequest{JoiningServers: []byte(text), CurConfigID: -1}, new(jute.GetDataResponse))
			}()
			return answer
		}
		proposals := func() string {
			text, err := w.servers[leader].FourLetter("mntr")
			if err != nil {
				w.t.Fatal(err)
			}
			_, value, _ := strings.Cut(text, "zk_proposal_count\t")
			value, _, _ = strings.Cut(value, "\n")
			return value
		}
		one := ask(first, "server.4="+w.line(4, "observer"))
		w.await("the reconfig to be proposed", func() bool { return w.files(leader)["zoo.cfg.dynamic.next"] != "" })
		before := proposals()
		two := ask(second, "nonsense")
		w.await("the answer to be proposed", func() bool { return proposals() != before })
		w.continueOthers(leader)
		s.note("%v and %v", <-one, <-two)
		if want := []string{"<nil> and " + jute.ErrReconfigInProgress.Error()}; !slices.Equal(s.lines, want) {
			w.t.Errorf("%q, want %q", s.lines, want)
		}
		s.state(w.version(first), 1, 2, 3)
	})
}
