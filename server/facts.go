package server

import (
	"iter"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"quoll/ensemble"
	"quoll/metrics"
	"quoll/tree"
	"quoll/txnlog"
	"quoll/zab"
)

// Command is what the AdminServer offers under some names: one row of the table of words (Commands.java).
type Command struct {
	// Names are what it is called by; the first one is that of the answer.
	Names []string
	// Always says that a server answers which does not serve.
	Always bool
	// Heavy says that the answer may be long, or long in the making.
	Heavy bool
	// Guarded says that it needs all permissions on the root, and does not tell facts: package admin knows what it does.
	Guarded bool
	// Post says that it is asked for with POST, and not with GET.
	Post bool

	facts func(s *Server, args url.Values) Facts
}

// Fact is a key of an answer with its value: nil, bool, int, int64, string, float64, [metrics.Value], []string, []int64, Facts or []Facts; or, where it may be long, a
// [List] or a [Map], whose elements are such values and are only made while they are taken.
type Fact struct {
	Key   string
	Value any
}

// Facts are an answer, or an object in one.
type Facts []Fact

// List is an array in an answer, Map an object.
type (
	List iter.Seq[any]
	Map  iter.Seq2[string, any]
)

// ErrorKey is the key of what went wrong. The answer of a command that has it already is an error.
const ErrorKey = "error"

// Commands are those of the AdminServer, in no order.
func Commands() (list []*Command) {
	for i := range wordTable {
		if c := wordTable[i].command; c != nil {
			list = append(list, c)
		}
	}
	return list
}

// Facts answers a command that is not guarded. Lists and maps in the answer are read from the server while they are taken, with nothing locked in between.
func (s *Server) Facts(c *Command, args url.Values) Facts { return c.facts(s, args) }

// NotServing is the error of a command that needs a server that serves.
var NotServing = strings.TrimSuffix(notServing, "\n")

func noFacts(*Server, url.Values) Facts { return nil }

// configuration has what the word conf prints, by the names that it prints.
func (s *Server) configuration() Facts {
	o := s.opts
	port := o.ClientPort
	if _, p, err := net.SplitHostPort(s.Addr()); err == nil {
		port, _ = strconv.Atoi(p)
	}
	securePort := o.SecureClientPort
	if _, p, err := net.SplitHostPort(s.SecureAddr()); err == nil {
		securePort, _ = strconv.Atoi(p)
	}
	snap, log := s.absDirs()
	snapSize, logSize := s.dirSizes()
	id := int64(0)
	if s.member != nil {
		id = o.MyID
	}
	return Facts{
		{"clientPort", port}, {"secureClientPort", securePort}, {"dataDir", snap}, {"dataDirSize", snapSize}, {"dataLogDir", log}, {"dataLogSize", logSize},
		{"tickTime", o.TickTime.Milliseconds()}, {"maxClientCnxns", o.MaxClientCnxns}, {"minSessionTimeout", o.MinSessionTimeout.Milliseconds()},
		{"maxSessionTimeout", o.MaxSessionTimeout.Milliseconds()}, {"clientPortListenBacklog", o.ClientPortListenBacklog}, {"serverId", id},
	}
}

// configurationFacts leaves out what ZooKeeper prints only in the word, and has the last two the other way round.
func (s *Server) configurationFacts(url.Values) (facts Facts) {
	for _, f := range s.configuration() {
		switch f.Key {
		case "secureClientPort", "dataDirSize", "dataLogSize":
		default:
			facts = append(facts, Fact{snakeCase(f.Key), f.Value})
		}
	}
	n := len(facts)
	facts[n-2], facts[n-1] = facts[n-1], facts[n-2]
	return facts
}

// snakeCase makes aBeanName a_bean_name.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (s *Server) dirsFacts(url.Values) Facts {
	snap, log := s.dirSizes()
	return Facts{{"datadir_size", snap}, {"logdir_size", log}}
}

func (s *Server) connectionsFacts(url.Values) Facts { return s.connectionLists(false) }

// connectionLists has the connections of the two ports apart. One with TLS at the port that takes both counts as ZooKeeper's do there, as plain.
func (s *Server) connectionLists(brief bool) Facts {
	list := func(secure bool) List {
		return func(yield func(any) bool) {
			for _, c := range s.sortedConnections() {
				if c.secure == secure && !yield(c.facts(brief)) {
					return
				}
			}
		}
	}
	return Facts{{"connections", list(false)}, {"secure_connections", list(true)}}
}

func (c *conn) facts(brief bool) Facts {
	i := c.info()
	facts := Facts{
		{"remote_socket_address", strings.TrimPrefix(i.remote, "/")}, {"interest_ops", i.interest}, {"outstanding_requests", i.waiting},
		{"packets_received", i.received}, {"packets_sent", i.sent},
	}
	if brief {
		return facts
	}
	return append(facts, Facts{
		{"session_id", i.session}, {"last_operation", i.operation}, {"established", i.opened}, {"session_timeout", i.timeout}, {"last_cxid", i.last.cxid},
		{"last_zxid", i.last.zxid}, {"last_response_time", i.answered}, {"last_latency", i.last.latency.Milliseconds()}, {"min_latency", i.latency.min},
		{"avg_latency", i.latency.mean()}, {"max_latency", i.latency.max},
	}...)
}

// dumpFacts has when sessions expire, as far as this server keeps their time, and who owns which ephemerals.
func (s *Server) dumpFacts(url.Values) Facts {
	local, global := s.expiring()
	expiring := local
	if s.keepsTime() {
		expiring = append(expiring, global...)
	}
	buckets := map[int64][]int64{}
	for _, e := range expiring {
		buckets[e.at] = append(buckets[e.at], e.id)
	}
	return Facts{
		{"expiry_time_to_session_ids", Map(func(yield func(string, any) bool) {
			for _, at := range slices.Sorted(maps.Keys(buckets)) {
				if !yield(strconv.FormatInt(at, 10), buckets[at]) {
					return
				}
			}
		})},
		{"session_id_to_ephemeral_paths", Map(func(yield func(string, any) bool) {
			for id, paths := range s.ephemerals() {
				if !yield(strconv.FormatInt(id, 10), paths) {
					return
				}
			}
		})},
	}
}

func (s *Server) environmentFacts(url.Values) Facts { return environment() }

func (s *Server) hashFacts(url.Values) Facts {
	digests := []Facts{}
	s.readTree(func(t *tree.Tree) {
		for _, d := range t.Digests() {
			digests = append(digests, Facts{{"zxid", d.Zxid}, {"digest", d.Digest}, {"digest_version", tree.DigestVersion}})
		}
	})
	return Facts{{"digests", digests}}
}

func (s *Server) traceMaskFacts(url.Values) Facts { return Facts{{"tracemask", s.traceMask.Load()}} }

func (s *Server) setTraceMaskFacts(args url.Values) Facts {
	const wrong = "setTraceMask requires long traceMask argument"
	if !args.Has("traceMask") {
		return Facts{{ErrorKey, wrong}}
	}
	mask, err := strconv.ParseInt(args.Get("traceMask"), 10, 64)
	if err != nil {
		return Facts{{ErrorKey, wrong + ", got " + args.Get("traceMask")}}
	}
	s.traceMask.Store(mask)
	return s.traceMaskFacts(nil)
}

// initialConfigurationFacts has the text of zoo.cfg, without its secrets; ZooKeeper has it only of a server that stands alone.
func (s *Server) initialConfigurationFacts(url.Values) Facts {
	var text any
	if s.member == nil {
		text = s.opts.MaskedText()
	}
	return Facts{{"initial_configuration", text}}
}

func (s *Server) readOnlyFacts(url.Values) Facts { return Facts{{"read_only", s.ReadOnly()}} }

// lastSnapshotFacts is the snapshot that was written last, or the newest of those that were there at the start.
func (s *Server) lastSnapshotFacts(url.Values) Facts {
	zxid, at := int64(-1), int64(-1)
	if k := s.checkpoints; k != nil {
		if last := k.last.Load(); last != nil {
			zxid, at = last.Zxid, last.At.Unix()
		} else if info, ok, err := txnlog.NewestSnapshot(s.opts.FS, s.dirs.snap); err == nil && ok {
			if file, err := os.Stat(info.File); err == nil {
				zxid, at = info.Zxid, file.ModTime().Unix()
			}
		}
	}
	return Facts{{"zxid", strconv.FormatUint(uint64(zxid), 16)}, {"timestamp", at}}
}

// inEnsemble reports whether the server is a member that serves as one, and what it knows of the others.
func (s *Server) inEnsemble() bool { return s.member != nil && s.Active() && !s.ReadOnly() }

func (s *Server) leaderFacts(url.Values) Facts {
	if !s.inEnsemble() {
		return Facts{{ErrorKey, "server is not initialized"}}
	}
	status := s.member.status()
	committed, _ := s.member.configs()
	var hosts []string
	if leader := committed.Server(status.Leader); leader != nil {
		for _, a := range leader.Quorum {
			hosts = append(hosts, a.Host)
		}
	}
	return Facts{{"is_leader", status.Role == zab.Leading}, {"leader_id", status.Leader}, {"leader_ip", strings.Join(hosts, "|")}}
}

// monitorHead is what mntr tells beside the metrics.
func (s *Server) monitorHead() Facts {
	facts := Facts{{"version", FullVersion()}, {"server_state", s.mode()}}
	if s.member != nil && !s.ReadOnly() {
		role := s.role()
		facts = append(facts, Fact{"peer_state", modes[role].peer})
		if role == zab.Observing {
			facts = append(facts, Fact{"observer_master_id", s.member.master()})
		}
	}
	return facts
}

func (s *Server) monitorFacts(url.Values) Facts {
	facts := s.monitorHead()
	s.metrics.Dump(func(key string, v metrics.Value) { facts = append(facts, Fact{key, v}) })
	return facts
}

func (s *Server) observersFacts(url.Values) Facts {
	list := []Facts{}
	if s.inEnsemble() {
		for _, l := range s.member.observerLinks() {
			list = append(list, Facts{
				{"remote_socket_address", "/" + l.Remote}, {"sid", l.SID}, {"established", l.Established}, {"queued_packets", l.QueuedPackets},
				{"queued_packets_size", l.QueuedBytes}, {"packets_received", l.Received}, {"packets_sent", l.Sent}, {"requests", l.Requests}, {"last_zxid", l.LastZxid},
			})
		}
	}
	return Facts{{"synced_observers", len(list)}, {"observers", list}}
}

func (s *Server) resetObserversFacts(url.Values) Facts {
	if s.inEnsemble() {
		s.member.resetObserverLinks()
	}
	return nil
}

func (s *Server) statsFacts(url.Values) Facts {
	st := &s.stats
	snap, log := s.dirSizes()
	var nodes int
	s.readTree(func(t *tree.Tree) { nodes = nodeCount(t) })
	mode := s.mode()
	facts := Facts{
		{"version", FullVersion()},
		{"read_only", s.ReadOnly()},
		{"server_stats", Facts{
			{"packets_sent", st.sent.Load()}, {"packets_received", st.received.Load()}, {"fsync_threshold_exceed_count", st.fsyncExceeded.Load()},
			{"client_response_stats", st.response.facts()}, {"provider_null", false}, {"server_state", mode}, {"uptime", s.uptime()},
			{"outstanding_requests", s.outstanding.Load()}, {"min_latency", st.latency.Min()}, {"avg_latency", st.latency.Avg()}, {"max_latency", st.latency.Max()},
			{"data_dir_size", snap}, {"log_dir_size", log}, {"last_processed_zxid", s.lastZxid.Load()},
			{"num_alive_client_connections", s.connectionCount()}, {"auth_failed_count", st.authFailed.Load()},
			{"non_mtlsremote_conn_count", 0}, {"non_mtlslocal_conn_count", 0},
		}},
		{"client_response", st.response.facts()},
	}
	if mode == modes[zab.Leading].name {
		facts = append(facts, Fact{"proposal_stats", st.proposal.facts()})
	}
	return append(facts, Fact{"node_count", nodes})
}

// facts are those of a BufferStats.
func (e *extremes) facts() Facts {
	return Facts{{"last_buffer_size", e.last.Load()}, {"min_buffer_size", e.min.Load()}, {"max_buffer_size", e.max.Load()}}
}

func (s *Server) statFacts(args url.Values) Facts {
	return append(s.statsFacts(args), s.connectionLists(true)...)
}

// resetStatsFacts leaves the sizes of proposals as they are, which the word srst resets too.
func (s *Server) resetStatsFacts(url.Values) Facts {
	s.resetStats()
	return nil
}

func (s *Server) resetConnectionsFacts(url.Values) Facts {
	s.resetConnections()
	return nil
}

// systemPropertiesFacts are the settings by the names of Java's system properties, in order, without the secrets among them. Those of the virtual machine are not there.
func (s *Server) systemPropertiesFacts(url.Values) (facts Facts) {
	for _, p := range s.opts.SystemProperties() {
		facts = append(facts, Fact{p[0], p[1]})
	}
	return facts
}

func (s *Server) votingViewFacts(url.Values) Facts {
	view := Facts{}
	if s.inEnsemble() {
		committed, _ := s.member.configs()
		for _, sid := range committed.Voters() {
			m := committed.Server(sid)
			view = append(view, Fact{strconv.FormatInt(sid, 10), Facts{
				{"server_addresses", addrTexts(m.Quorum)}, {"election_addresses", addrTexts(m.Election)}, {"client_address", s.clientAddress(m)}, {"learner_type", m.Role.String()},
			}})
		}
	}
	return Facts{{"current_config", view}}
}

// clientAddress is where a member takes clients; of others it is only known if the config has it.
func (s *Server) clientAddress(m *ensemble.Server) string {
	switch {
	case m.Client != nil:
		return m.Client.String()
	case m.ID != s.opts.MyID || s.opts.ClientPort < 0:
		return ""
	}
	host := s.opts.ClientPortAddress
	if host == "" {
		host = "0.0.0.0"
	}
	return ensemble.Addr{Host: host, Port: s.opts.ClientPort}.String()
}

func addrTexts(list []ensemble.Addr) []string {
	texts := []string{}
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return texts
}

func (s *Server) zabStateFacts(url.Values) Facts {
	if !s.inEnsemble() {
		return Facts{{"voting", false}, {"zabstate", ""}}
	}
	committed, lastSeen := s.member.configs()
	own := committed.Server(s.opts.MyID)
	if own == nil {
		own = lastSeen.Server(s.opts.MyID)
	}
	if own == nil {
		own = &ensemble.Server{ID: s.opts.MyID} // removed by a reconfig
	}
	zxid := s.lastZxid.Load()
	return Facts{
		{"myid", s.opts.MyID}, {"is_leader", s.role() == zab.Leading}, {"quorum_address", addresses(own.Quorum)}, {"election_address", addresses(own.Election)},
		{"client_address", s.clientAddress(own)}, {"voting", committed.IsVoter(s.opts.MyID)}, {"last_zxid", hex(zxid)},
		{"zab_epoch", int64(uint64(zxid) >> 32)}, {"zab_counter", zxid & 0xffffffff}, {"zabstate", "broadcast"},
	}
}

// addresses is what ZooKeeper shows of a MultipleAddresses. That an own address can be reached is not tried.
func addresses(list []ensemble.Addr) Facts {
	texts, wildcards, ports, hosts := addrTexts(list), []string{}, []int64{}, []string{}
	for _, a := range list {
		wildcards = append(wildcards, ensemble.Addr{Host: "0.0.0.0", Port: a.Port}.String())
		if port := int64(a.Port); !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
		hosts = append(hosts, a.Host)
	}
	var one any
	if len(texts) > 0 {
		one = texts[0]
	}
	return Facts{
		{"empty", len(list) == 0}, {"all_addresses", texts}, {"wildcard_addresses", wildcards}, {"all_ports", ports}, {"all_host_strings", hosts}, {"reachable_address", one},
		{"all_reachable_addresses", texts}, {"all_reachable_addresses_or_all", texts}, {"reachable_or_one", one}, {"one", one},
	}
}

func (s *Server) watchesFacts(url.Values) Facts {
	return Facts{{"session_id_to_watched_paths", Map(func(yield func(string, any) bool) {
		for _, c := range s.sortedConnections() {
			paths := func(yield func(any) bool) {
				for path := range s.watchedData(c) {
					if !yield(path) {
						return
					}
				}
			}
			for range s.watchedData(c) { // who watches nothing is not there
				if !yield(strconv.FormatInt(c.sessionID(), 10), List(paths)) {
					return
				}
				break
			}
		}
	})}}
}

func (s *Server) watchesByPathFacts(url.Values) Facts {
	return Facts{{"path_to_session_ids", Map(func(yield func(string, any) bool) {
		path, ids := "", []int64(nil)
		for p, c := range s.watches.data() {
			if ids != nil && p != path {
				if !yield(path, ids) {
					return
				}
				ids = nil
			}
			path, ids = p, append(ids, c.sessionID())
		}
		if ids != nil {
			yield(path, ids)
		}
	})}}
}

func (s *Server) watchSummaryFacts(url.Values) Facts {
	conns, paths, total := s.watchSummary()
	return Facts{{"num_connections", conns}, {"num_paths", paths}, {"num_total_watches", total}}
}
