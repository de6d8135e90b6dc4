package ensemble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/compat/faultnet"
	"quoll/compat/peer"
	"quoll/compat/recorder"
	"quoll/history"
	"quoll/jute"
)

// TestChaos has clients on all members of an ensemble while members are killed and paused, and packets between them all are lost, late and
// cut off, for QUOLL_ENSEMBLE_SECONDS on each assignment. The checker of package history and Porcupine judge what the clients were told.
// Now and then there is a calm, in which all members must come to serve, and to show the same.
func TestChaos(t *testing.T) {
	seconds := pick(t, "QUOLL_ENSEMBLE_SECONDS", 20, 1200)
	seed := peer.Setting(t, "QUOLL_ENSEMBLE_SEED", time.Now().UnixNano())
	longer := []string{"3.9.5,3.9.5,3.9.5", "quoll,quoll,quoll", "quoll,3.9.5,quoll", "3.9.5,quoll,3.9.5", "quoll,quoll,quoll,quoll,quoll"}
	for _, kinds := range assignments(t, longer[:3], longer) {
		t.Run(nameOf(kinds), func(t *testing.T) {
			t.Logf("QUOLL_ENSEMBLE_SEED=%d", seed)
			newChaos(t, kinds, seed).run(time.Duration(seconds) * time.Second)
		})
	}
}

const (
	players  = 8
	perRound = 10 * time.Second // of faults between two calms
)

type chaos struct {
	*testing.T
	*Ensemble
	network *faultnet.Network
	rng     *rand.Rand
	players []*recorder.Client
	checker *history.Checker
	faults  map[string]int
	samples int
	logged  map[int64]history.Logged // of zxids, those that nobody answered
	lost    map[request]bool         // those of the rounds before that nobody answered and that were not carried out
	read    int64                    // the last zxid of the logs that were read
	judged  int                      // violations that were looked at
	longest time.Duration            // until all served after a round
}

// request is one of a session: its number, or -1 for the end of a session that nobody asked for.
type request struct {
	session int64
	index   int
}

func newChaos(t *testing.T, kinds []Kind, seed int64) *chaos {
	network := faultnet.For(t, len(kinds)+1, seed)
	// Most faults outlast the syncLimit, after a second: then another leads.
	e := build(t, Options{Kinds: kinds, Network: network, Tick: 200, Config: []string{"syncLimit=5", "maxSessionTimeout=60000", "minSessionTimeout=1000"}})
	x := &chaos{
		T: t, Ensemble: e, network: network, rng: rand.New(rand.NewPCG(uint64(seed), 0)), faults: map[string]int{}, logged: map[int64]history.Logged{}, lost: map[request]bool{},
	}
	x.checker = history.NewChecker(history.Options{Members: true, Java: slices.ContainsFunc(kinds, func(k Kind) bool { return k != Quoll }), Logged: func(zxid int64) (history.Logged, bool) {
		l, ok := x.logged[zxid]
		return l, ok
	}})
	for id := range players {
		o := recorder.Options{
			ID: id, Seed: seed + 1, Timeout: time.Minute, Window: 8, Length: 2000, Pause: time.Duration(1+id%3) * time.Millisecond, Silence: silence,
		}
		if id%4 == 3 {
			o.Timeout, o.Ends = 3*time.Second, true // its sessions end while it is cut off
		}
		x.players = append(x.players, recorder.New(o))
	}
	return x
}

func (x *chaos) run(length time.Duration) {
	check(x.T, x.Start())
	serving(x.T, x.Ensemble)
	x.alone((*recorder.Client).Prepare)
	start, rounds := time.Now(), 0
	for first := true; first || time.Since(start) < length && !x.Failed() && x.checker.Report().Undecided == ""; first = false {
		x.round(min(perRound, length))
		x.calm()
		x.alone((*recorder.Client).Look)
		x.judge()
		rounds++
	}
	check(x.T, x.Settle("/settled"))
	check(x.T, x.Ensemble.Stop())
	check(x.T, x.SameDigests())
	r := x.checker.Report()
	var done []string
	for name, n := range x.faults {
		done = append(done, fmt.Sprintf("%d %s", n, name))
	}
	sort.Strings(done)
	x.Logf("%d requests answered (%d of them writes), %d events, %d sessions in %v, %d rounds and %d epochs; faults: %s; all served at the latest %v after the last fault of a round",
		r.Ops, r.Writes, r.Events, r.Sessions, time.Since(start).Round(time.Second), rounds, x.read>>32, strings.Join(done, ", "), x.longest.Round(time.Millisecond))
	x.Logf("%d writes that nobody answered, of which %d were done; %d samples of Porcupine; undecided: %q", r.Open, r.Done, x.samples, r.Undecided)
}

// alone has one client do something in a calm.
func (x *chaos) alone(do func(*recorder.Client, net.Conn) error) {
	x.Helper()
	for refused := false; ; refused = true {
		conn, err := x.dial(x.players[0])
		if err == nil {
			err = do(x.players[0], conn)
		}
		if refused || !errors.Is(err, recorder.ErrRefused) {
			check(x.T, err)
			return
		}
	}
}

// dial connects to a member that the client draws.
func (x *chaos) dial(c *recorder.Client) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return x.Members[c.Rand.IntN(len(x.Members))].Dial(ctx)
}

// play goes from member to member until stop is closed.
func (x *chaos) play(c *recorder.Client, stop chan struct{}) error {
	for {
		conn, err := x.dial(c)
		if err == nil {
			err = c.Play(conn, stop)
		}
		if errors.Is(err, recorder.ErrWrong) {
			return fmt.Errorf("client %d: %w", c.ID, err)
		}
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(c.Rand.IntN(50)) * time.Millisecond):
		}
	}
}

// round has all play, and does faults meanwhile.
func (x *chaos) round(length time.Duration) {
	stop := make(chan struct{})
	var work sync.WaitGroup
	errs := make(chan error, players)
	for _, c := range x.players {
		work.Go(func() { errs <- x.play(c, stop) })
	}
	for end := time.Now().Add(length); time.Now().Before(end) && len(errs) == 0; {
		x.fault()
	}
	x.heal()
	healed := time.Now()
	// The last requests are answered, by the members that serve again.
	_, served := x.Serving()
	x.longest = max(x.longest, time.Since(healed))
	close(stop)
	work.Wait()
	check(x.T, served)
	for range x.players {
		if err := <-errs; err != nil {
			x.Error(err)
		}
	}
}

// faults are what is done to members and links. Those of the network stay until it is healed.
var faults = []struct {
	name string
	do   func(*chaos)
}{
	{"kill", func(x *chaos) { x.restart(x.any()) }},
	{"kill of the leader", func(x *chaos) {
		for _, m := range x.Members {
			if m.Mode() == "leader" {
				x.restart(m)
				return
			}
		}
	}},
	{"loss of power", func(x *chaos) { // nobody is told of the end of a connection
		m := x.any()
		x.cut(hosts(m), x.network.Hosts)
		x.cut(x.network.Hosts, hosts(m))
		x.restart(m)
	}},
	{"pause", func(x *chaos) { check(x.T, x.any().Pause()) }},
	{"isolation", func(x *chaos) {
		m := x.any()
		x.cut(hosts(m), hosts(x.others(m)...))
		x.cut(hosts(x.others(m)...), hosts(m))
	}},
	{"member that is not heard", func(x *chaos) {
		m := x.any()
		x.cut(hosts(m), hosts(x.others(m)...))
	}},
	{"member that hears nobody", func(x *chaos) {
		m := x.any()
		x.cut(hosts(x.others(m)...), hosts(m))
	}},
	{"partition", func(x *chaos) { // with the clients on one side
		one, two := x.halves(x.network.Hosts)
		x.cut(one, two)
		x.cut(two, one)
	}},
	{"bridge", func(x *chaos) { // only one member hears all others
		one, two := x.halves(hosts(x.others(x.any())...))
		x.cut(one, two)
		x.cut(two, one)
	}},
	{"half a bridge", func(x *chaos) {
		one, two := x.halves(hosts(x.others(x.any())...))
		x.cut(one, two)
	}},
	{"clients cut off", func(x *chaos) {
		m := x.any()
		x.cut(hosts(m), []*faultnet.Host{m.clients})
		x.cut([]*faultnet.Host{m.clients}, hosts(m))
	}},
	{"reset", func(x *chaos) {
		m := x.any()
		x.set(hosts(m), x.network.Hosts, func() faultnet.Link { return faultnet.Link{Reset: true} })
	}},
	{"loss", func(x *chaos) {
		x.set(x.network.Hosts, x.network.Hosts, func() faultnet.Link { return faultnet.Link{Loss: x.loss()} })
	}},
	{"delay", func(x *chaos) {
		x.set(x.network.Hosts, x.network.Hosts, func() faultnet.Link { return faultnet.Link{Delay: x.delay()} })
	}},
	{"slow links", func(x *chaos) {
		x.set(x.network.Hosts, x.network.Hosts, func() faultnet.Link { return faultnet.Link{Rate: x.rate()} })
	}},
	{"bad network", func(x *chaos) {
		x.set(x.network.Hosts, x.network.Hosts, func() faultnet.Link {
			return faultnet.Link{Cut: x.rng.IntN(10) == 0, Loss: x.loss(), Delay: x.delay(), Rate: x.rate()}
		})
	}},
}

func (x *chaos) loss() float64        { return 0.01 + 0.29*x.rng.Float64() }
func (x *chaos) delay() time.Duration { return time.Duration(x.rng.IntN(300)) * time.Millisecond }
func (x *chaos) rate() int            { return 5_000 << x.rng.IntN(7) }

// fault does one thing for a moment, and sometimes a second one beside it.
func (x *chaos) fault() {
	f := faults[x.rng.IntN(len(faults))]
	x.faults[f.name]++
	f.do(x)
	time.Sleep(time.Duration(100+x.rng.IntN(4000)) * time.Millisecond) // the fault lasts so long
	if x.rng.IntN(4) > 0 {
		x.heal()
		time.Sleep(time.Duration(x.rng.IntN(1500)) * time.Millisecond)
	}
}

// any is a member.
func (x *chaos) any() *Member { return x.Members[x.rng.IntN(len(x.Members))] }

func hosts(members ...*Member) (hosts []*faultnet.Host) {
	for _, m := range members {
		hosts = append(hosts, m.host)
	}
	return hosts
}

// halves are two parts of some hosts.
func (x *chaos) halves(all []*faultnet.Host) (one, two []*faultnet.Host) {
	all = slices.Clone(all)
	x.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:len(all)/2], all[len(all)/2:]
}

func (x *chaos) restart(m *Member) {
	check(x.T, m.Kill())
	check(x.T, m.Start())
}

func (x *chaos) cut(from, to []*faultnet.Host) {
	x.set(from, to, func() faultnet.Link { return faultnet.Link{Cut: true} })
}

// set draws a link for each direction from some hosts to others.
func (x *chaos) set(from, to []*faultnet.Host, link func() faultnet.Link) {
	for _, a := range from {
		for _, b := range to {
			x.network.Set(a, b, link())
		}
	}
}

// heal ends all faults.
func (x *chaos) heal() {
	x.network.Heal()
	for _, m := range x.Members {
		check(x.T, m.Resume())
	}
}

// calm waits until all members serve, and compares what they show.
func (x *chaos) calm() {
	serving(x.T, x.Ensemble)
	var err error
	for range 5 { // a session may end between one look and the next, and what is really different stays so
		if _, err = x.SameTrees(); err == nil {
			return
		}
	}
	check(x.T, err)
}

// judge has the checkers look at all records since the last calm.
func (x *chaos) judge() {
	var records []*history.Connection
	for _, c := range x.players {
		records = append(records, c.Take()...)
	}
	x.readLogs(records)
	x.checker.Life(records)
	x.sample(records)
	x.verdict()
}

// readLogs notes what the logs of the members say of the requests in the records that nobody answered. A Java member keeps the log from before a snapshot of its leader, with
// transactions at its end that nobody has committed: logs that go on without one outvote it.
func (x *chaos) readLogs(records []*history.Connection) {
	open, answered := map[request]bool{}, map[int64]bool{}
	for _, c := range records {
		for i := range c.Ops {
			switch {
			case i >= c.Replies:
				open[request{c.Session, c.First + i}] = true
			case c.Ops[i].Writes(): // a read has the zxid of somebody's write
				answered[c.Ops[i].Zxid] = true
			}
		}
	}
	late := map[int64]bool{}
	last := x.read
	said, votes := map[int64]history.Logged{}, map[int64]int{}
	logs := make([][]int64, len(x.Members))
	for i, m := range x.Members {
		check(x.T, m.transactions(x.read, func(h jute.TxnHeader, failed jute.Code) {
			logs[i] = append(logs[i], h.Zxid)
			who := request{h.ClientID, int(h.Cxid) - 1}
			if open[who] && !answered[h.Zxid] || who.index < 0 && jute.Op(h.Type) == jute.OpCloseSession {
				said[h.Zxid] = history.Logged{Session: who.session, Request: who.index, Refused: failed == jute.ErrSessionMoved || failed == jute.ErrSessionExpired}
				votes[h.Zxid]++
			}
			if x.lost[who] && !open[who] && !answered[h.Zxid] && !late[h.Zxid] {
				late[h.Zxid] = true
				x.Logf("zxid %#x: request %d of session %#x, which nobody has answered in a round before, was carried out in this one; the checkers take it for none", h.Zxid, who.index, who.session)
			}
			last = max(last, h.Zxid)
		}))
	}
	for zxid, who := range said {
		for _, log := range logs {
			if goesOnWithout(log, zxid) {
				votes[zxid]--
			}
		}
		if votes[zxid] >= 0 {
			x.logged[zxid] = who
			delete(open, request{who.Session, who.Request})
		}
	}
	for who := range open {
		x.lost[who] = true
	}
	x.read = last
}

// goesOnWithout reports whether a log, the zxids of its records in order, goes from before a zxid to the beginning of a later epoch.
func goesOnWithout(log []int64, zxid int64) bool {
	i, found := slices.BinarySearch(log, zxid)
	return !found && i > 0 && i < len(log) && log[i]>>32 > zxid>>32 && int32(log[i]) == 1
}

// sample has Porcupine judge the writes below recorder.Certain: it knows neither reads of old state nor sessions that end by themselves.
func (x *chaos) sample(records []*history.Connection) {
	for _, s := range history.Samples(certainWrites(records), x.rng, 40, 40) {
		x.samples++
		if !s.Linearizable() {
			x.Errorf("%s is not linearizable by Porcupine", s.Path)
		}
	}
}

// certainWrites are copies of the records with nothing else in them.
func certainWrites(records []*history.Connection) (filtered []*history.Connection) {
	for _, r := range records {
		c := *r
		c.Ops, c.Replies = nil, 0
		for i, o := range r.Ops {
			switch o.Op {
			case jute.OpMulti, jute.OpCloseSession:
			case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData:
				if !strings.HasPrefix(o.Path, recorder.Certain) {
					continue
				}
			default:
				continue
			}
			c.Ops = append(c.Ops, o)
			if i < r.Replies {
				c.Replies++
			}
		}
		filtered = append(filtered, &c)
	}
	return filtered
}

// verdict fails the test for what the checker has found. A leader that is Java answers a sync at once, so after one another member may
// have written meanwhile (9.2 in docs/spec/ensemble-protocol.md): that is said, and no failure.
func (x *chaos) verdict() {
	r := x.checker.Report()
	java := slices.ContainsFunc(x.Members, func(m *Member) bool { return m.Kind() != Quoll })
	for _, v := range r.Violations[x.judged:] {
		if java && v.Rule == "read-order" {
			x.Logf("a sync that ZooKeeper answers too early: %v", v)
			continue
		}
		x.Error(v)
	}
	x.judged = len(r.Violations)
	if r.Undecided != "" {
		say := x.Logf
		if long() { // the time that was asked for is not over
			say = x.Errorf
		}
		say("UNDECIDED, and nothing checked behind: %s", r.Undecided)
	}
}
