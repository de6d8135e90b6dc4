package server

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/jute"
	"quoll/metrics"
	"quoll/tree"
	"quoll/zab"
)

// topShown is how many paths and clients an answer has.
const topShown = 20

// ConsoleFacts are what the console asks for beside the tree, by name. What is Heavy is made one at a time, as answers of commands are.
var ConsoleFacts = map[string]*Command{
	"ensemble": {facts: (*Server).ensembleFacts},
	"metrics":  {facts: (*Server).metricsFacts},
	"sessions": {Heavy: true, facts: (*Server).sessionsFacts},
	"session":  {Heavy: true, facts: (*Server).sessionFacts},
	"top":      {Heavy: true, facts: (*Server).topFacts},
}

// ensembleFacts are the server's own state, and of the members what it knows: a leader how far its learners are, the others who they are.
func (s *Server) ensembleFacts(url.Values) Facts {
	state := "looking"
	if s.Active() {
		state = s.mode()
	}
	zxid := s.lastZxid.Load()
	facts := Facts{{"version", FullVersion()}, {"state", state}, {"zxid", hex(zxid)}, {"uptime", s.uptime()}, {"clients", s.Addr()}}
	if s.member == nil {
		return append(facts, Fact{"members", []Facts{}})
	}
	status := s.member.status()
	committed, _ := s.member.configs()
	learners := map[int64]*zab.LearnerStatus{}
	for i := range status.Learners {
		learners[status.Learners[i].SID] = &status.Learners[i]
	}
	behind := func(zxid int64) any {
		if zxid>>32 != status.Last>>32 {
			return nil // the count begins anew with each epoch
		}
		return max(status.Last-zxid, 0)
	}
	members := []Facts{}
	for i := range committed.Servers {
		m := &committed.Servers[i]
		one := Facts{
			{"id", m.ID}, {"self", m.ID == s.opts.MyID}, {"leader", m.ID == status.Leader}, {"votes", committed.IsVoter(m.ID)}, {"quorum", addrTexts(m.Quorum)},
			{"election", addrTexts(m.Election)}, {"clients", s.clientAddress(m)},
		}
		switch l := learners[m.ID]; {
		case m.ID == s.opts.MyID:
			one = append(one, Facts{{"known", "self"}, {"zxid", hex(zxid)}, {"lag", behind(zxid)}}...)
		case status.Role != zab.Leading:
			one = append(one, Fact{"known", "config"})
		case l == nil:
			one = append(one, Fact{"known", "away"})
		default:
			at := l.Acked
			if l.Observer {
				at = l.Sent // it acknowledges nothing
			}
			one = append(one, Facts{{"known", "synced"}, {"zxid", hex(at)}, {"lag", behind(at)}}...)
		}
		members = append(members, one)
	}
	return append(facts, Facts{
		{"myid", s.opts.MyID}, {"epoch", status.Epoch}, {"config", hex(committed.Version)}, {"leads", status.Role == zab.Leading}, {"syncing", status.Syncing}, {"members", members},
	}...)
}

// metricsFacts are all metrics that have no label, with quoll's own: numbers, or what a summary has.
func (s *Server) metricsFacts(url.Values) Facts {
	values := Facts{}
	s.metrics.Each(func(m metrics.Sample) {
		switch {
		case m.Labelled:
		case m.Summary == nil:
			values = append(values, Fact{m.Name, m.Value})
		default:
			one := Facts{{"count", m.Summary.Count}, {"sum", m.Summary.Sum}, {"min", m.Summary.Min}, {"max", m.Summary.Max}}
			if m.Kind == metrics.KindAdvanced {
				if p99 := m.Summary.Quantile(0.99); !math.IsNaN(p99) {
					one = append(one, Fact{"p99", p99})
				}
			}
			values = append(values, Fact{m.Name, one})
		}
	})
	for _, own := range OwnMetrics {
		if own.Labels == nil {
			own.Values(s, func(v float64, _ ...string) { values = append(values, Fact{"quoll_" + own.Name, v}) })
		}
	}
	return Facts{{"time", time.Now().UnixMilli()}, {"metrics", values}}
}

// topFacts are who asks for what most, and what most are told of. Asking for it has requests sampled for a while.
func (s *Server) topFacts(url.Values) Facts {
	now := time.Now()
	paths, clients, seconds := s.sampling(now).most(topShown, now)
	shown := func(list []ranked, more func(r *ranked) Facts) []Facts {
		told := []Facts{}
		for i := range list {
			r := &list[i]
			told = append(told, append(more(r), Facts{{"reads", r.reads}, {"writes", r.writes}, {"bytes", r.bytes}, {"over", r.over}}...))
		}
		return told
	}
	byID := s.connectionsBySession()
	fans, size := []Facts{}, 0
	for _, f := range s.watches.most(topShown) {
		if size += len(f.path); size > consoleBytes && len(fans) > 0 {
			break
		}
		fans = append(fans, Facts{{"path", f.path}, {"watchers", f.watchers}})
	}
	return Facts{
		{"seconds", seconds}, {"every", sampleEvery}, {"outstanding_limit", s.outstandingLimit()},
		{"paths", shown(paths, func(r *ranked) Facts { return Facts{{"path", clientPath(r.text)}} })},
		{"clients", shown(clients, func(r *ranked) Facts {
			return Facts{{"session", hex(int64(r.key))}, {"address", addressOf(byID[int64(r.key)])}}
		})},
		{"watched", fans},
	}
}

func (s *Server) connectionsBySession() map[int64]*conn {
	byID := map[int64]*conn{}
	for _, c := range s.connections() {
		if id := c.sessionID(); id != 0 {
			byID[id] = c
		}
	}
	return byID
}

// addressOf is where a connection comes from, empty where there is none.
func addressOf(c *conn) string {
	if c == nil {
		return ""
	}
	return strings.TrimPrefix(c.javaRemote(), "/")
}

// listedSession is a session in the list of them.
type listedSession struct {
	id, timeout int64
	ephemerals  int
	c           *conn // nil of one that another server has, or that is not connected
	info        connInfo
	watches     int
}

func listSession(id, timeout int64, c *conn) *listedSession {
	one := &listedSession{id: id, timeout: timeout, c: c}
	if c != nil {
		one.info = c.info()
		c.watches.Lock()
		one.watches = len(c.watches.paths)
		c.watches.Unlock()
	}
	return one
}

// sessionOrders compare sessions by what the list shows of them. What only a connection has comes behind, in either direction, where there is none.
var sessionOrders = map[string]struct {
	connected bool
	compare   func(a, b *listedSession) int
}{
	"id":         {false, func(a, b *listedSession) int { return cmp.Compare(uint64(a.id), uint64(b.id)) }},
	"timeout":    {false, func(a, b *listedSession) int { return cmp.Compare(a.timeout, b.timeout) }},
	"ephemerals": {false, func(a, b *listedSession) int { return cmp.Compare(a.ephemerals, b.ephemerals) }},
	"address":    {true, func(a, b *listedSession) int { return cmp.Compare(a.info.remote, b.info.remote) }},
	"watches":    {true, func(a, b *listedSession) int { return cmp.Compare(a.watches, b.watches) }},
	"waiting":    {true, func(a, b *listedSession) int { return cmp.Compare(a.info.waiting, b.info.waiting) }},
	"received":   {true, func(a, b *listedSession) int { return cmp.Compare(a.info.received, b.info.received) }},
	"sent":       {true, func(a, b *listedSession) int { return cmp.Compare(a.info.sent, b.info.sent) }},
	"operation":  {true, func(a, b *listedSession) int { return cmp.Compare(a.info.operation, b.info.operation) }},
	"latency":    {true, func(a, b *listedSession) int { return cmp.Compare(a.info.latency.mean(), b.info.latency.mean()) }},
	"slowest":    {true, func(a, b *listedSession) int { return cmp.Compare(a.info.latency.max, b.info.latency.max) }},
}

// sessionsFacts are a page of the sessions that this server knows: its own, and in an ensemble those of other servers, of which there is less to tell. Those whose id or address contains a
// text are shown, in an order of sessionOrders, least first or most first, after as many as from says; what is equal is by id.
func (s *Server) sessionsFacts(args url.Values) Facts {
	from, _ := strconv.ParseUint(args.Get("from"), 10, 31)
	contains := args.Get("contains")
	by, known := sessionOrders[args.Get("by")]
	if !known {
		by = sessionOrders["id"]
	}
	sign := 1
	if args.Get("order") == "descending" {
		sign = -1
	}
	byID := s.connectionsBySession()
	timeouts := map[int64]int64{}
	s.readTree(func(t *tree.Tree) { t.EachSession(func(id int64, timeout int32) { timeouts[id] = int64(timeout) }) })
	s.sessions.each(func(session *session) {
		if session.local.Load() {
			timeouts[session.id] = session.timeout.Load()
		}
	})
	var found []*listedSession
	for id, timeout := range timeouts {
		c := byID[id]
		if !strings.Contains(hex(id), contains) && !strings.Contains(addressOf(c), contains) {
			continue
		}
		found = append(found, listSession(id, timeout, c))
	}
	s.readTree(func(t *tree.Tree) {
		for _, one := range found {
			one.ephemerals = t.EphemeralsOf(one.id)
		}
	})
	slices.SortFunc(found, func(a, b *listedSession) int {
		if by.connected && (a.c == nil) != (b.c == nil) {
			if a.c == nil {
				return 1
			}
			return -1
		}
		return cmp.Or(sign*by.compare(a, b), cmp.Compare(uint64(a.id), uint64(b.id)))
	})
	page := found[min(int(from), len(found)):]
	list := []Facts{}
	for _, one := range page[:min(len(page), consolePage)] {
		list = append(list, s.oneSession(one))
	}
	return Facts{{"total", len(timeouts)}, {"found", len(found)}, {"more", len(page) > len(list)}, {"sessions", list}}
}

func (s *Server) oneSession(one *listedSession) Facts {
	facts := Facts{{"id", hex(one.id)}, {"timeout", one.timeout}, {"ephemerals", one.ephemerals}, {"address", addressOf(one.c)}}
	if known := s.sessions.get(one.id); known != nil {
		facts = append(facts, Fact{"local", known.local.Load()})
	}
	if one.c == nil {
		return facts
	}
	i := &one.info
	return append(facts, Facts{
		{"watches", one.watches}, {"secure", one.c.secure}, {"established", i.opened}, {"waiting", i.waiting}, {"received", i.received}, {"sent", i.sent}, {"operation", i.operation},
		{"latency", i.latency.mean()}, {"slowest", i.latency.max},
	}...)
}

// watchKinds are the modes of watches by the names that are shown.
var watchKinds = []struct {
	modes watchMode
	name  string
}{{dataStandard, "data"}, {childStandard, "children"}, {dataPersistent, "persistent"}, {dataRecursive, "recursive"}}

// sessionFacts are one session with its ephemerals in order and what it watches in none, as many of either as a page has.
func (s *Server) sessionFacts(args url.Values) Facts {
	text := args.Get("id")
	number, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	id := int64(number)
	var timeout int64
	known := false
	var ephemerals []string
	s.readTree(func(t *tree.Tree) {
		global, ok := t.SessionTimeout(id)
		timeout, known = int64(global), ok
		ephemerals = t.Ephemerals(id)
	})
	if session := s.sessions.get(id); session != nil {
		timeout, known = session.timeout.Load(), true
	}
	if err != nil || !known {
		return Facts{{ErrorKey, "no session " + text}}
	}
	slices.Sort(ephemerals)
	c := s.connectionsBySession()[id]
	one := listSession(id, timeout, c)
	one.ephemerals = len(ephemerals)
	facts := append(s.oneSession(one), Fact{"paths", few(ephemerals)})
	if c == nil {
		return facts
	}
	watched := []Facts{}
	size := 0
	for path := range c.watchedPaths() {
		modes := s.watches.modes(path, c)
		if size += len(path); len(watched) == consolePage || size > consoleBytes && len(watched) > 0 {
			break
		}
		kinds := []string{}
		for _, k := range watchKinds {
			if modes&k.modes != 0 {
				kinds = append(kinds, k.name)
			}
		}
		if len(kinds) > 0 {
			watched = append(watched, Facts{{"path", path}, {"kinds", kinds}})
		}
	}
	return append(facts, Facts{{"watched", watched}, {"ids", few(s.auth.shown(c.identities()))}}...)
}

// few are the first texts, as many as a page has.
func few(texts []string) []string {
	size := 0
	for i, text := range texts {
		if size += len(text); i == consolePage || size > consoleBytes && i > 0 {
			return texts[:i]
		}
	}
	return append([]string{}, texts...)
}

// shown are the schemes and names of identities, without secrets.
func (a *authenticator) shown(ids []jute.ID) (list []string) {
	for _, id := range ids {
		list = append(list, strings.TrimSuffix(id.Scheme+":"+a.user(id), ":"))
	}
	return list
}
