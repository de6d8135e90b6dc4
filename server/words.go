package server

import (
	"bufio"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"

	"quoll/ensemble"
	"quoll/jute"
	"quoll/metrics"
	"quoll/tree"
	"quoll/zab"
)

// defaultTraceMask is the trace mask of a new ZooKeeper server, which only gtmk and stmk show.
const defaultTraceMask = 306

// nodeCount is the number of znodes as ZooKeeper counts them: it knows the root under two names.
func nodeCount(t *tree.Tree) int { return t.Len() + 1 }

// dataSize is the bytes of paths and data as ZooKeeper counts them: the second name of the root is a slash.
func dataSize(t *tree.Tree) int64 { return t.DataSize() + 1 }

func (c *conn) wordSrvr(w *bufio.Writer) {
	c.s.writeVersion(w)
	c.s.writeStats(w)
}

func (s *Server) writeVersion(w *bufio.Writer) {
	fmt.Fprintf(w, "Zookeeper version: %s\n", FullVersion())
	if s.ReadOnly() {
		w.WriteString("READ-ONLY mode; serving only read-only clients\n")
	}
}

func (c *conn) wordStat(w *bufio.Writer) {
	c.s.writeVersion(w)
	w.WriteString("Clients:\n")
	for _, other := range c.s.sortedConnections() {
		other.writeInfo(w, true)
	}
	w.WriteByte('\n')
	c.s.writeStats(w)
}

func (s *Server) writeStats(w *bufio.Writer) {
	var nodes int
	s.readTree(func(t *tree.Tree) { nodes = nodeCount(t) })
	st := &s.stats
	fmt.Fprintf(w, "Latency min/avg/max: %d/%s/%d\n", st.latency.Min(), metrics.JavaDouble(st.latency.Avg()), st.latency.Max())
	fmt.Fprintf(w, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", st.received.Load(), st.sent.Load(), s.connectionCount(), s.outstanding.Load())
	mode := s.mode()
	fmt.Fprintf(w, "Zxid: %s\nMode: %s\nNode count: %d\n", hex(s.lastZxid.Load()), mode, nodes)
	if p := &st.proposal; mode == modes[zab.Leading].name {
		fmt.Fprintf(w, "Proposal sizes last/min/max: %d/%d/%d\n", p.last.Load(), p.min.Load(), p.max.Load())
	}
}

// modes are the roles of a member that serves as the words name them: in srvr, and in mntr as the state of the peer.
var modes = map[zab.Role]struct{ name, peer string }{
	zab.Leading:   {"leader", "leading - broadcast"},
	zab.Following: {"follower", "following - broadcast"},
	zab.Observing: {"observer", "observing - broadcast"},
}

// mode is the role of the server as the words name it.
func (s *Server) mode() string {
	switch {
	case s.member == nil:
		return "standalone"
	case s.ReadOnly():
		return "read-only"
	}
	return modes[s.role()].name
}

func (c *conn) wordMntr(w *bufio.Writer) {
	for _, f := range c.s.monitorHead() {
		fmt.Fprintf(w, "zk_%s\t%v\n", f.Key, f.Value)
	}
	_, _ = w.Write(c.s.metrics.AppendMntr(nil))
}

func (c *conn) wordIsro(w *bufio.Writer) {
	if c.s.ReadOnly() {
		w.WriteString("ro")
		return
	}
	w.WriteString("rw")
}

func (c *conn) wordSrst(w *bufio.Writer) {
	c.s.resetStats()
	c.s.stats.proposal.reset()
	w.WriteString("Server stats reset.\n")
}

func (s *Server) resetStats() {
	s.stats.reset()
	s.metrics.Reset()
}

func (c *conn) wordCrst(w *bufio.Writer) {
	c.s.resetConnections()
	w.WriteString("Connection stats reset.\n")
}

func (s *Server) resetConnections() {
	for _, c := range s.connections() {
		c.received.Store(0)
		c.out.Lock()
		c.out.stats.reset()
		c.out.Unlock()
	}
}

func (c *conn) wordCons(w *bufio.Writer) {
	for _, other := range c.s.sortedConnections() {
		other.writeInfo(w, false)
	}
	w.WriteByte('\n')
}

// sortedConnections returns the open connections, oldest first.
func (s *Server) sortedConnections() []*conn {
	list := s.connections()
	slices.SortFunc(list, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return list
}

func (s *Server) connectionCount() int {
	s.conns.Lock()
	defer s.conns.Unlock()
	return len(s.conns.all)
}

// connInfo is what is told of a connection.
type connInfo struct {
	remote           string // as Java prints a socket address without a name
	interest         int    // the bits of a Java selection key: 1 for reading, 4 for writing
	waiting          int64
	received, opened int64 // packets; milliseconds since 1970
	session, timeout int64 // 0 without a session
	operation        string
	answered         int64 // the server's clock, 0 before the first answer
	connStats
}

func (c *conn) info() connInfo {
	i := connInfo{remote: c.javaRemote(), interest: 1, waiting: int64(c.waiting.Load()), received: c.received.Load(), opened: c.opened.UnixMilli()}
	c.out.Lock()
	i.connStats = c.out.stats
	unsent := c.unsent() > 0 || c.out.flushing
	c.out.Unlock()
	switch {
	case c.inWord.Load():
		i.interest = 0
	case unsent:
		i.interest = 5
	}
	i.operation = lastOperation(i.last.op)
	if s := c.session.Load(); s != nil {
		i.session, i.timeout = s.id, s.timeout.Load()
	}
	if !i.last.at.IsZero() {
		i.answered = c.s.clock(i.last.at)
	}
	return i
}

// writeInfo writes one line about the connection (ServerCnxn.dumpConnectionInfo).
func (c *conn) writeInfo(w *bufio.Writer, brief bool) {
	i := c.info()
	fmt.Fprintf(w, " %s[%x](queued=%d,recved=%d,sent=%d", i.remote, i.interest, i.waiting, i.received, i.sent)
	if i.session != 0 && !brief {
		fmt.Fprintf(w, ",sid=0x%x,lop=%s,est=%d,to=%d", uint64(i.session), i.operation, i.opened, i.timeout)
		if i.last.cxid >= 0 {
			fmt.Fprintf(w, ",lcxid=0x%x", i.last.cxid)
		}
		fmt.Fprintf(w, ",lzxid=%s,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d", hex(i.last.zxid), i.answered, i.last.latency.Milliseconds(),
			i.latency.min, i.latency.mean(), i.latency.max)
	}
	w.WriteString(")\n")
}

func lastOperation(op jute.Op) string {
	if row := ops[op]; row != nil && row.lop != "" {
		return row.lop
	}
	return "NA"
}

// javaRemote is the client's address as Java prints a socket address without a name.
func (c *conn) javaRemote() string {
	ip, port := c.ipID.ID, 0
	if addr, ok := c.net.RemoteAddr().(*net.TCPAddr); ok {
		port = addr.Port
	}
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return fmt.Sprintf("/%s:%d", ip, port)
}

func (c *conn) wordConf(w *bufio.Writer) {
	for _, f := range c.s.configuration() {
		fmt.Fprintf(w, "%s=%v\n", f.Key, f.Value)
	}
	if c.s.member != nil {
		c.s.writeEnsemble(w)
	}
}

// electionAlg is the number of the only election there is since ZooKeeper 3.8.
const electionAlg = 3

// writeEnsemble is what conf says of a member (QuorumZooKeeperServer.dumpConf).
func (s *Server) writeEnsemble(w *bufio.Writer) {
	o := s.opts
	committed, lastSeen := s.member.configs()
	own, role := committed.Server(o.MyID), o.PeerType
	if own == nil {
		own = lastSeen.Server(o.MyID)
	}
	var election, quorum []ensemble.Addr
	if own != nil {
		election, quorum, role = own.Election, own.Quorum, own.Role
	}
	fmt.Fprintf(w, "initLimit=%d\nsyncLimit=%d\nelectionAlg=%d\nelectionPort=%s\nquorumPort=%s\npeerType=%d\n",
		o.InitLimit, o.SyncLimit, electionAlg, ports(election), ports(quorum), role)
	if !s.ReadOnly() {
		fmt.Fprintf(w, "membership: \n%s", committed)
	}
}

// ports lists the ports of addresses, each once.
func ports(list []ensemble.Addr) string {
	var text []string
	for _, a := range list {
		if port := strconv.Itoa(a.Port); !slices.Contains(text, port) {
			text = append(text, port)
		}
	}
	return strings.Join(text, "|")
}

func (c *conn) wordDirs(w *bufio.Writer) {
	snap, log := c.s.dirSizes()
	fmt.Fprintf(w, "datadir_size: %d\nlogdir_size: %d\n", snap, log)
}

// absDirs returns the directories of snapshots and logs, empty for a server in memory.
func (s *Server) absDirs() (snap, log string) {
	if s.opts.InMemory {
		return "", ""
	}
	abs := func(dir string) string {
		if a, err := filepath.Abs(dir); err == nil {
			return a
		}
		return dir
	}
	return abs(s.dirs.snap), abs(s.dirs.log)
}

// dirSizes returns the bytes of the files below the directories of snapshots and logs. What cannot be read, or goes meanwhile, counts
// as nothing.
func (s *Server) dirSizes() (snap, log int64) {
	if s.opts.InMemory {
		return 0, 0
	}
	snap = s.dirSize(s.dirs.snap)
	if s.dirs.log == s.dirs.snap {
		return snap, snap
	}
	return snap, s.dirSize(s.dirs.log)
}

func (s *Server) dirSize(dir string) (size int64) {
	names, err := s.opts.FS.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		name = filepath.Join(dir, name)
		if is, err := s.opts.FS.IsDir(name); err == nil && is {
			size += s.dirSize(name)
			continue
		}
		f, err := s.opts.FS.Open(name)
		if err != nil {
			continue
		}
		if n, err := f.Size(); err == nil {
			size += n
		}
		_ = f.Close()
	}
	return size
}

// expiring is a line of the word dump: what ends at a time of the server's clock.
type expiring struct {
	at, id int64
	text   string
}

func (c *conn) wordDump(w *bufio.Writer) {
	s := c.s
	w.WriteString("SessionTracker dump:\n")
	s.writeSessions(w)
	w.WriteString("ephemeral nodes dump:\n")
	s.writeEphemerals(w)
	w.WriteString("Connections dump:\nConnections ")
	var list []expiring
	// ZooKeeper closes a connection that is silent for as long as its session may be, or for the time that a client has to make one, and
	// looks at them in steps of that time.
	step := max(s.opts.SessionlessCnxnTimeout.Milliseconds(), 1)
	for _, other := range s.sortedConnections() {
		var id int64
		at := s.clock(other.opened) + step
		if session := other.session.Load(); session != nil {
			id, at = session.id, session.deadline.Load()
		}
		list = append(list, expiring{(at/step + 1) * step, id, fmt.Sprintf("ip: %s sessionId: 0x%x", other.javaRemote(), uint64(id))})
	}
	s.writeBuckets(w, list)
}

// expiring lists the local sessions and the others, each with the time at which it ends.
func (s *Server) expiring() (local, global []expiring) {
	s.sessions.each(func(session *session) {
		e := expiring{session.deadline.Load(), session.id, fmt.Sprintf("0x%x", uint64(session.id))}
		if session.local.Load() {
			local = append(local, e)
		} else {
			global = append(global, e)
		}
	})
	return local, global
}

// keepsTime reports whether this server decides when a global session ends, as only a leader does.
func (s *Server) keepsTime() bool {
	return s.member == nil || !s.ReadOnly() && s.role() == zab.Leading
}

// writeSessions lists the sessions with the times at which they end, those of others without (UpgradeableSessionTracker).
func (s *Server) writeSessions(w *bufio.Writer) {
	local, global := s.expiring()
	keeps := s.keepsTime()
	if s.makesLocalSessions() {
		w.WriteString("Local Session ")
		s.writeBuckets(w, local)
		if keeps {
			w.WriteString("Global ")
		}
	}
	if keeps {
		w.WriteString("Session ")
		s.writeBuckets(w, global)
		return
	}
	timeouts := map[int64]int32{}
	s.readTree(func(t *tree.Tree) { t.EachSession(func(id int64, timeout int32) { timeouts[id] = timeout }) })
	fmt.Fprintf(w, "Global Sessions(%d):\n", len(timeouts))
	for _, id := range slices.Sorted(maps.Keys(timeouts)) {
		fmt.Fprintf(w, "0x%x\t%dms\n", uint64(id), timeouts[id])
	}
}

// writeBuckets groups the list by time (ExpiryQueue.dump).
func (s *Server) writeBuckets(w *bufio.Writer, list []expiring) {
	slices.SortStableFunc(list, func(a, b expiring) int { return cmp.Compare(a.at, b.at) })
	buckets := map[int64]int{}
	for _, e := range list {
		buckets[e.at]++
	}
	fmt.Fprintf(w, "Sets (%d)/(%d):\n", len(buckets), len(list))
	for i, e := range list {
		if i == 0 || e.at != list[i-1].at {
			fmt.Fprintf(w, "%d expire at %s:\n", buckets[e.at], s.wall(e.at).Format("Mon Jan 02 15:04:05 MST 2006"))
		}
		fmt.Fprintf(w, "\t%s\n", e.text)
	}
}

// ephemerals are the paths of each session that has some, in order. The tree is read session by session, so that writers need not wait for a long list.
func (s *Server) ephemerals() iter.Seq2[int64, []string] {
	return func(yield func(int64, []string) bool) {
		var ids []int64
		s.readTree(func(t *tree.Tree) { ids = t.EphemeralOwners() })
		slices.Sort(ids)
		for _, id := range ids {
			var paths []string
			s.readTree(func(t *tree.Tree) { paths = t.Ephemerals(id) })
			slices.Sort(paths)
			if len(paths) > 0 && !yield(id, paths) { // or the session has ended meanwhile
				return
			}
		}
	}
}

func (s *Server) writeEphemerals(w *bufio.Writer) {
	type owned struct {
		id    int64
		paths []string
	}
	var owners []owned
	for id, paths := range s.ephemerals() {
		owners = append(owners, owned{id, paths})
	}
	fmt.Fprintf(w, "Sessions with Ephemerals (%d):\n", len(owners))
	for _, o := range owners {
		fmt.Fprintf(w, "0x%x:\n", uint64(o.id))
		for _, path := range o.paths {
			fmt.Fprintf(w, "\t%s\n", path)
		}
	}
}

func (c *conn) wordWchs(w *bufio.Writer) {
	conns, paths, total := c.s.watchSummary()
	fmt.Fprintf(w, "%d connections watching %d paths\nTotal watches:%d\n", conns, paths, total)
}

// watchSummary counts the watches of data.
func (s *Server) watchSummary() (conns, paths, total int) {
	watchers, last := map[*conn]struct{}{}, ""
	for path, watcher := range s.watches.data() {
		watchers[watcher] = struct{}{}
		if total == 0 || path != last {
			paths++
		}
		total++
		last = path
	}
	return len(watchers), paths, total
}

func (c *conn) wordWchp(w *bufio.Writer) {
	last, first := "", true
	for path, watcher := range c.s.watches.data() {
		if first || path != last {
			w.WriteString(path)
			w.WriteByte('\n')
		}
		if _, err := fmt.Fprintf(w, "\t0x%x\n", uint64(watcher.sessionID())); err != nil {
			return
		}
		last, first = path, false
	}
	w.WriteByte('\n')
}

func (c *conn) wordWchc(w *bufio.Writer) {
	for _, watcher := range c.s.sortedConnections() {
		first := true
		for path := range c.s.watchedData(watcher) {
			if first {
				fmt.Fprintf(w, "0x%x\n", uint64(watcher.sessionID()))
				first = false
			}
			if _, err := fmt.Fprintf(w, "\t%s\n", path); err != nil {
				return
			}
		}
	}
	w.WriteByte('\n')
}

// watchedData is what a connection watches the data of.
func (s *Server) watchedData(watcher *conn) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path := range watcher.watchedPaths() {
			if s.watches.modes(path, watcher)&dataModes != 0 && !yield(path) {
				return
			}
		}
	}
}

// sessionID is the id of the connection's session, 0 without one.
func (c *conn) sessionID() int64 {
	if s := c.session.Load(); s != nil {
		return s.id
	}
	return 0
}

func (c *conn) wordHash(w *bufio.Writer) {
	var digests []tree.DigestAt
	c.s.readTree(func(t *tree.Tree) { digests = t.Digests() })
	for _, d := range digests {
		fmt.Fprintf(w, "%x: %d\n", uint64(d.Zxid), d.Digest)
	}
}

func (c *conn) wordEnvi(w *bufio.Writer) {
	w.WriteString("Environment:\n")
	for _, f := range environment() {
		fmt.Fprintf(w, "%s=%s\n", f.Key, f.Value)
	}
}

// environment has every key that ZooKeeper prints; <NA> is how Java itself calls a property that is not there.
func environment() Facts {
	const missing = "<NA>"
	or := func(value string, err error) string {
		if err != nil || value == "" {
			return missing
		}
		return value
	}
	memory := []runtimemetrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/total:bytes"}}
	runtimemetrics.Read(memory)
	megabytes := func(n uint64) string { return fmt.Sprintf("%dMB", n>>20) }
	return Facts{
		{"zookeeper.version", FullVersion()},
		{"host.name", or(os.Hostname())},
		{"java.version", missing},
		{"java.vendor", missing},
		{"java.home", missing},
		{"java.class.path", missing},
		{"java.library.path", missing},
		{"java.io.tmpdir", os.TempDir()},
		{"java.compiler", missing},
		{"os.name", javaName(runtime.GOOS)},
		{"os.arch", javaName(runtime.GOARCH)},
		{"os.version", or(osVersion())},
		{"user.name", processUser()},
		{"user.home", or(os.UserHomeDir())},
		{"user.dir", or(os.Getwd())},
		{"os.memory.free", megabytes(memory[0].Value.Uint64())},
		{"os.memory.max", megabytes(uint64(debug.SetMemoryLimit(-1)))},
		{"os.memory.total", megabytes(memory[1].Value.Uint64())},
	}
}

// javaName returns what Java calls an operating system or an architecture.
func javaName(name string) string {
	switch name {
	case "linux":
		return "Linux"
	case "darwin":
		return "Mac OS X"
	case "windows":
		return "Windows"
	case "arm64":
		return "aarch64"
	case "386":
		return "i386"
	}
	return name
}

// osVersion is the release of the kernel, where a file tells it.
func osVersion() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text)), err
}
