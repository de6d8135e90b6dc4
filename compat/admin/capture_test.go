package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/ensemble"
	"quoll/compat/peer"
	"quoll/config"
	"quoll/jute"
	"quoll/server"
)

// roles are those of a server, in the order in which they are asked. The three in the middle are of one ensemble, each of the last two is a voter that is alone.
var roles = []string{"standalone", "leader", "follower", "observer", "read-only", "looking"}

const patience = time.Minute

// answer is what a server has said over HTTP.
type answer struct {
	status  int
	headers []string // their names, in order
	body    string   // with names for what is different in each run
}

// target is a server that can be asked.
type target struct {
	admin, metrics string // addresses
	hide           *strings.Replacer
	word           func(string) (string, error)
}

// question is a request to the AdminServer.
type question struct {
	method, path, body string
	authorization      string
}

func (q question) String() string {
	return strings.TrimSpace(fmt.Sprint(q.method, " ", q.path, " ", q.authorization))
}

// questions are asked in this order: what changes numbers comes last.
func questions() (list []question) {
	var late []question
	for _, c := range server.Commands() {
		q := question{method: "GET", path: "/commands/" + c.Names[0]}
		if strings.HasSuffix(c.Names[0], "_reset") {
			late = append(late, q)
			continue
		}
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b question) int { return strings.Compare(a.path, b.path) })
	list = append(list, late...)
	for _, c := range server.Commands() {
		for _, name := range c.Names[1:] {
			list = append(list, question{method: "GET", path: "/commands/" + name})
		}
	}
	return append(list, []question{
		{method: "GET", path: "/commands"},
		{method: "GET", path: "/commands/"},
		{method: "POST", path: "/commands"},
		{method: "GET", path: "/"},
		{method: "GET", path: "/commandsx"},
		{method: "GET", path: "/commands/nosuch"},
		{method: "POST", path: "/commands/nosuch"},
		{method: "GET", path: "/commands/ruok/"},
		{method: "GET", path: "/commands//ruok"},
		{method: "GET", path: "/commands/ruok;a=b?c=d"},
		{method: "GET", path: "/commands/a%22%3C%C3%A9%07"},
		{method: "POST", path: "/commands/ruok"},
		{method: "HEAD", path: "/commands/ruok"},
		{method: "PUT", path: "/commands/ruok"},
		{method: "OPTIONS", path: "/commands/ruok"},
		{method: "TRACE", path: "/commands/ruok"},
		{method: "GET", path: "/commands/stmk?traceMask=78"},
		{method: "GET", path: "/commands/gtmk?again"},
		{method: "GET", path: "/commands/stmk?traceMask=0x4e"},
		{method: "GET", path: "/commands/stmk?traceMask="},
		{method: "GET", path: "/commands/snapshot?1", authorization: "digest"},
		{method: "GET", path: "/commands/snapshot?2", authorization: "x509"},
		{method: "GET", path: "/commands/snapshot?3", authorization: "nosuch a"},
		{method: "GET", path: "/commands/snapshot?4", authorization: "ip a b"},
		{method: "GET", path: "/commands/snapshot?5", authorization: "digest user:wrong"},
		{method: "GET", path: "/commands/snapshot?6", authorization: "ip"},
		{method: "GET", path: "/commands/snapshot?streaming=TRUE", authorization: "digest user:right"},
		{method: "GET", path: "/commands/snapshot?streaming=false", authorization: "digest user:right"},
		{method: "POST", path: "/commands/snapshot?7", authorization: "digest user:right"},
		{method: "POST", path: "/commands/restore?1", body: "junk"},
		{method: "POST", path: "/commands/restore?2", body: "junk", authorization: "digest user:wrong"},
		{method: "GET", path: "/commands/restore?3", authorization: "digest user:right"},
		{method: "POST", path: "/commands/restore?4", body: "junk", authorization: "digest user:right"},
		{method: "POST", path: "/commands/restore?5", body: "junk", authorization: "digest user:right"},
	}...)
}

func (s *target) ask(t *testing.T, q question) answer {
	t.Helper()
	r, err := http.NewRequest(q.method, "http://"+s.admin+q.path, strings.NewReader(q.body))
	must(t, err)
	if q.authorization != "" {
		r.Header.Set("Authorization", q.authorization)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := transport.RoundTrip(r)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	a := answer{status: response.StatusCode, body: s.hide.Replace(string(body))}
	if response.Header.Get("Content-Type") == "application/octet-stream" {
		a.body = fmt.Sprintf("%.4s", body)
	}
	for name := range response.Header {
		a.headers = append(a.headers, name)
	}
	slices.Sort(a.headers)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visitRoles starts servers of a kind in every role, one ensemble after the other, runs the program on each that can, and calls visit for each. With Prometheus the metrics provider is that one.
func visitRoles(t *testing.T, kind ensemble.Kind, prometheus bool, visit func(role string, s *target)) {
	t.Helper()
	listen := func(s *target) []string {
		admin, err := peer.FreePort()
		must(t, err)
		s.admin = fmt.Sprint("127.0.0.1:", admin)
		// The rate of snapshots is that by a thousandth: one in 1000 seconds, however slow the machine is.
		lines := []string{"admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprint("admin.serverPort=", admin), "admin.rateLimiterIntervalInMS=1000000000", "leader.ackLoggingFrequency=1"}
		if prometheus {
			port, err := peer.FreePort()
			must(t, err)
			s.metrics = fmt.Sprint("127.0.0.1:", port)
			lines = append(lines, "metricsProvider.className="+config.PrometheusMetricsProvider, "metricsProvider.httpHost=127.0.0.1", fmt.Sprint("metricsProvider.httpPort=", port))
		}
		return lines
	}
	hide := func(s *target, e *ensemble.Ensemble, dir, addr string, ids ...int64) {
		var pairs []string
		for i := range e.Members {
			// In lists of addresses and of ports.
			for name, address := range map[string]string{"1": e.Members[i].QuorumAddr(), "2": e.Members[i].ElectionAddr()} {
				_, port, _ := strings.Cut(address, ":")
				pairs = append(pairs, ":"+port+`"`, fmt.Sprintf(`:%s000%d"`, name, i), "[ "+port+" ]", fmt.Sprintf("[ %s000%d ]", name, i))
			}
		}
		pairs = append(pairs, filepath.Dir(dir), "DIR", addr, "CLIENT", `"client_port" : `+strings.TrimPrefix(addr, "127.0.0.1:"), `"client_port" : 30000`, "clientPort="+strings.TrimPrefix(addr, "127.0.0.1:"), "clientPort=PORT", s.admin, "ADMIN", strings.TrimPrefix(s.admin, "127.0.0.1:"), "ADMINPORT")
		for i, id := range ids {
			pairs = append(pairs, fmt.Sprint(id), fmt.Sprint("99999999999", i))
		}
		s.hide = strings.NewReplacer(pairs...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	connect := func(addr string, readOnly bool) (*client.Client, int64) {
		c, err := client.Connect(ctx, addr, client.Options{Timeout: 2 * patience, ReadOnly: readOnly})
		must(t, err)
		t.Cleanup(c.Abandon)
		id, _, _ := c.Session()
		return c, id
	}

	alone := &target{}
	start := peer.Java
	if kind == ensemble.Quoll {
		start = peer.Quoll
	}
	s := start(t, peer.Options{Config: append([]string{"4lw.commands.whitelist=*", "maxSessionTimeout=120000", "ssl.keyStore.password=" + secret}, listen(alone)...)})
	alone.word = s.FourLetter
	c, id := connect(s.Addr(), false)
	program(ctx, t, c, "/standalone", true)
	hide(alone, &ensemble.Ensemble{}, s.Dir(), s.Addr(), id)
	alone.settled(t, 1)
	visit("standalone", alone)
	must(t, s.Close())

	start2 := func(o ensemble.Options, ids ...int64) (*ensemble.Ensemble, []*target) {
		o.Work = t.TempDir()
		e, err := ensemble.New(o)
		must(t, err)
		targets := make([]*target, len(o.Kinds))
		for i, m := range e.Members {
			targets[i] = &target{}
			must(t, e.Configure(m, append(listen(targets[i]), "maxSessionTimeout=120000")...))
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(e.Tails(30))
			}
			must(t, e.Close())
		})
		for i, s := range targets {
			s.word = e.Members[i].Word
			hide(s, e, e.Members[i].Dir(), e.Members[i].Addr())
		}
		for _, id := range ids {
			must(t, e.Member(id).Start())
		}
		return e, targets
	}
	e, targets := start2(ensemble.Options{Kinds: []ensemble.Kind{kind, kind, kind, kind}, Observers: 1}, 2, 3)
	leader, err := e.Serving()
	must(t, err)
	must(t, e.Start(e.Member(1), e.Member(4)))
	_, err = e.Serving()
	must(t, err)
	if leader.ID != 3 {
		t.Fatalf("member %d leads", leader.ID)
	}
	members := map[string]int64{"leader": 3, "follower": 2, "observer": 4}
	var ids []int64
	var clients []*client.Client
	for _, role := range roles[1:4] {
		c, id := connect(e.Member(members[role]).Addr(), false)
		program(ctx, t, c, "/"+role, role == "leader")
		ids, clients = append(ids, id), append(clients, c)
	}
	for _, c := range clients { // all of them before the leader is asked how far the others are
		must(t, c.Sync(ctx, "/"))
	}
	for _, role := range roles[1:4] {
		m := e.Member(members[role])
		s := targets[m.ID-1]
		hide(s, e, m.Dir(), m.Addr(), ids...)
		s.settled(t, 1)
		visit(role, s)
	}
	must(t, e.Close())
	await := func(e *ensemble.Ensemble, what string) {
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if answer, err := e.Member(1).Word("srvr"); err == nil && strings.Contains(answer, what) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("a member that is alone does not say %q", what)
			}
		}
	}
	// Each of the last is alone in an ensemble of three.
	e, targets = start2(ensemble.Options{Kinds: []ensemble.Kind{kind, kind, kind}, Flags: []string{"-Dreadonlymode.enabled=true"}, Config: []string{"localSessionsEnabled=true"}}, 1)
	await(e, "Mode: read-only")
	c, id = connect(e.Member(1).Addr(), true)
	_, err = c.ChildNames(ctx, "/", true)
	must(t, err)
	hide(targets[0], e, e.Member(1).Dir(), e.Member(1).Addr(), id)
	targets[0].settled(t, 1)
	visit("read-only", targets[0])
	must(t, e.Close())

	e, targets = start2(ensemble.Options{Kinds: []ensemble.Kind{kind, kind, kind}}, 1)
	await(e, "not currently serving")
	targets[0].settled(t, 0)
	visit("looking", targets[0])
	must(t, e.Close())
}

// settled waits until a server can be asked: it listens, the connections that had a four-letter word are gone but those of so many clients, and /zookeeper/config is counted as written, which
// a member does beside service.
func (s *target) settled(t *testing.T, clients int) {
	t.Helper()
	get := func(address, path string) (string, error) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		list, err := get(s.admin, "/commands/connections")
		found, counted := strings.Count(list, `"remote_socket_address"`), true
		if err == nil && s.metrics != "" {
			var page string
			page, err = get(s.metrics, "/metrics")
			counted = strings.Contains(page, "write_per_namespace_count")
		}
		if err == nil && found == clients && counted {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections and not %d, /zookeeper/config is counted: %t, %v", found, clients, counted, err)
		}
	}
}

// program leaves something of everything that is told: znodes, a watch of each kind, ephemerals, a quota, digests if it is to, and a root that a user may do everything with.
func program(ctx context.Context, t *testing.T, c *client.Client, app string, first bool) {
	t.Helper()
	create := func(path, data string, mode jute.CreateMode) {
		_, err := c.Create(ctx, path, []byte(data), client.OpenACL, mode)
		must(t, err)
	}
	create(app, "x", jute.ModePersistent)
	create(app+"/node", "some data", jute.ModePersistent)
	create(app+"/member", "", jute.ModeEphemeral)
	create("/zookeeper/quota"+app, "", jute.ModePersistent)
	create("/zookeeper/quota"+app+"/zookeeper_limits", "count=10,bytes=-1=;byteHardLimit=200;countHardLimit=-1", jute.ModePersistent)
	create("/zookeeper/quota"+app+"/zookeeper_stats", "count=0,bytes=0", jute.ModePersistent)
	if _, err := c.Exists(ctx, app+"/none", true); err == nil {
		t.Fatalf("%s/none exists", app)
	}
	_, err := c.ChildNames(ctx, app, true)
	must(t, err)
	if !first {
		_, _, err = c.Get(ctx, app, false)
		must(t, err)
		return
	}
	for range 150 { // a digest is kept of every 128th zxid
		_, err := c.Set(ctx, app, []byte("y"), -1)
		must(t, err)
	}
	must(t, c.AddAuth(ctx, "digest", []byte("user:right")))
	_, err = c.SetACL(ctx, "/", []jute.ACL{{Perms: jute.PermAll, Scheme: "auth"}, {Perms: jute.PermAll &^ jute.PermAdmin, Scheme: "world", ID: "anyone"}}, -1)
	must(t, err)
	_, _, err = c.Get(ctx, app, false)
	must(t, err)
}

// secret is in the configuration, and must not be in any answer of quoll.
const secret = "very-secret"
