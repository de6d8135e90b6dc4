package admin

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/metrics"
	"quoll/server"
)

// start starts a server with its AdminServer, both with the settings.
func start(t *testing.T, settings ...string) *Server {
	t.Helper()
	set := append([]string{"dataDir=" + t.TempDir(), "clientPort=0", "admin.serverAddress=127.0.0.1", "admin.serverPort=0"}, settings...)
	cfg, _, err := config.Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Options{Config: cfg, Listeners: []net.Listener{l}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	a, err := Start(Options{Config: cfg, Server: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// ask sends a request and returns the answer and its body. Headers are pairs.
func ask(t *testing.T, a *Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// TestJSON has what Jackson's DefaultPrettyPrinter makes of values of each kind.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	encoder{w}.value(server.Facts{
		{Key: "null", Value: nil}, {Key: "bool", Value: true}, {Key: "int", Value: -1}, {Key: "long", Value: int64(72060975843442688)}, {Key: "double", Value: 9.3333},
		{Key: "large", Value: metrics.Float(1.795292788e9)}, {Key: "nan", Value: metrics.Float(0 / zero)}, {Key: "whole", Value: metrics.Int(3)},
		{Key: "text", Value: "a\"\\/\b\f\n\r\t\x01\x1f\x7fé\u2028\xff"}, {Key: "none", Value: []string{}}, {Key: "two", Value: []int64{1, 2}},
		{Key: "empty", Value: server.Facts{}}, {Key: "objects", Value: []server.Facts{{{Key: "a", Value: 1}}, {}}},
		{Key: "list", Value: server.List(func(yield func(any) bool) { _ = yield("x") && yield(server.Facts{{Key: "y", Value: "z"}}) })},
		{Key: "map", Value: server.Map(func(yield func(string, any) bool) { _ = yield("1", []string{"/a", "/b"}) && yield("2", []int64{}) })},
		{Key: "nothing", Value: server.Map(func(func(string, any) bool) {})},
	}, 0)
	w.Flush()
	want := `{
  "null" : null,
  "bool" : true,
  "int" : -1,
  "long" : 72060975843442688,
  "double" : 9.3333,
  "large" : 1.795292788E9,
  "nan" : "NaN",
  "whole" : 3,
  "text" : "a\"\\/\b\f\n\r\t\u0001\u001F` + "\x7fé\u2028\ufffd" + `",
  "none" : [ ],
  "two" : [ 1, 2 ],
  "empty" : { },
  "objects" : [ {
    "a" : 1
  }, { } ],
  "list" : [ "x", {
    "y" : "z"
  } ],
  "map" : {
    "1" : [ "/a", "/b" ],
    "2" : [ ]
  },
  "nothing" : { }
}`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

var zero = 0.0

// TestHTTP has what a running ZooKeeper 3.9.5 answers, but for the two cases in which that is a stack trace.
func TestHTTP(t *testing.T) {
	a := start(t)
	ruok := "{\n  \"command\" : \"ruok\",\n  \"error\" : null\n}"
	unknown := func(name string) string {
		return fmt.Sprintf("{\n  \"command\" : %q,\n  \"error\" : \"Unknown command: %s\"\n}", name, name)
	}
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/commands/ruok", 200, ruok},
		{"GET", "/commands/ruok?x=1", 200, ruok},
		{"GET", "/commands/ruok;x=1", 200, ruok},
		{"HEAD", "/commands/ruok", 200, ""},
		{"GET", "/commands/ruok/", 200, unknown("ruok/")},
		{"GET", "/commands//ruok", 200, unknown("/ruok")},
		{"GET", "/commands/nosuch", 200, unknown("nosuch")},
		{"POST", "/commands/nosuch", 200, unknown("nosuch")},
		{"POST", "/commands/ruok", 405, "{\n  \"command\" : \"ruok\",\n  \"error\" : \"the command needs GET, HEAD\"\n}"},
		{"GET", "/commands/restore", 401, "{\n  \"command\" : \"restore\",\n  \"error\" : \"Auth info is missing for the command\"\n}"},
		{"GET", "/commands/leader", 200, "{\n  \"error\" : \"server is not initialized\",\n  \"command\" : \"leader\"\n}"},
		{"GET", "/commands/zabstate", 200, "{\n  \"voting\" : false,\n  \"zabstate\" : \"\",\n  \"command\" : \"zabstate\",\n  \"error\" : null\n}"},
		{"GET", "/commands/stmk?traceMask=0x5", 200, "{\n  \"error\" : \"setTraceMask requires long traceMask argument, got 0x5\",\n  \"command\" : \"set_trace_mask\"\n}"},
		{"GET", "/commands/stmk?traceMask=5", 200, "{\n  \"tracemask\" : 5,\n  \"command\" : \"set_trace_mask\",\n  \"error\" : null\n}"},
		{"TRACE", "/commands/ruok", 403, ""},
		{"PUT", "/commands/ruok", 405, ""},
		{"DELETE", "/commands/ruok", 405, ""},
		{"OPTIONS", "/commands/ruok", 200, ""},
		{"GET", "/", 404, "404 page not found\n"},
		{"GET", "/commandsx", 404, "404 page not found\n"},
	} {
		answer, body := ask(t, a, test.method, test.path, "")
		if answer.StatusCode != test.status || body != test.body {
			t.Errorf("%s %s: %d %q, not %d %q", test.method, test.path, answer.StatusCode, body, test.status, test.body)
		}
		if isJSON := answer.Header.Get("Content-Type") == "application/json"; isJSON != strings.HasPrefix(body, "{") && test.method != "HEAD" {
			t.Errorf("%s %s: Content-Type: %s", test.method, test.path, answer.Header.Get("Content-Type"))
		}
		if answer.ContentLength < 0 {
			t.Errorf("%s %s: an answer that fits has no Content-Length", test.method, test.path)
		}
	}
}

// TestListing has the links in the order of their names, and each of them works.
func TestListing(t *testing.T) {
	a := start(t, "admin.commandURL=/a&b")
	for _, path := range []string{"/a&b", "/a&b/"} {
		_, body := ask(t, a, "GET", path, "")
		lines := strings.Split(body, "\n")
		if len(lines) != 2*len(server.Commands())+1 || lines[0] != `<a href="/a&amp;b/configuration">configuration</a>` || lines[1] != "<br/>" ||
			lines[2] != `<a href="/a&amp;b/connection_stat_reset">connection_stat_reset</a>` {
			t.Errorf("%s: %q", path, body)
		}
	}
	for _, c := range server.Commands() {
		for _, name := range c.Names {
			answer, body := ask(t, a, "GET", "/a&b/"+name, "")
			if want := fmt.Sprintf("\"command\" : %q", c.Names[0]); c.Guarded && answer.StatusCode != 401 || !c.Guarded && (answer.StatusCode != 200 || !strings.Contains(body, want)) {
				t.Errorf("%s: %d %s", name, answer.StatusCode, body)
			}
		}
	}
}

// guarded is an AdminServer whose snapshots who may takes. check asks for one with headers and compares the status, setACL changes the root's list.
func guarded(t *testing.T) (check func(want int, headers ...string), setACL func(acl ...jute.ACL)) {
	t.Helper()
	a := start(t, "admin.rateLimiterIntervalInMS=0", "DigestAuthenticationProvider.superDigest=super:"+digestOf("super:secret"))
	c, err := client.Connect(t.Context(), a.Server.Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.AddAuth(t.Context(), "digest", []byte("super:secret")); err != nil {
		t.Fatal(err)
	}
	check = func(want int, headers ...string) {
		t.Helper()
		if answer, _ := ask(t, a, "GET", "/commands/snapshot?streaming=false", "", headers...); answer.StatusCode != want {
			t.Errorf("%q: %d, not %d", headers, answer.StatusCode, want)
		}
	}
	setACL = func(acl ...jute.ACL) {
		t.Helper()
		if _, err := c.SetACL(t.Context(), "/", acl, -1); err != nil {
			t.Fatal(err)
		}
	}
	return check, setACL
}

// TestCVE2025_58457 has who may take a snapshot: the root's ACL counts with each of its permissions.
func TestCVE2025_58457(t *testing.T) {
	check, setACL := guarded(t)
	check(401)
	for _, bad := range []string{"", "digest", "x509", "nosuch a", "world anyone", "super x", "sasl x", "ip a b", "digest  a:b"} {
		check(401, "Authorization", bad)
	}
	check(200, "Authorization", "digest a:b") // anyone may do anything at the root
	check(200, "Authorization", "ip")
	user := digestOf("u:p")
	setACL(jute.ACL{Perms: jute.PermAll &^ jute.PermAdmin, Scheme: "digest", ID: "u:" + user}, jute.ACL{Perms: jute.PermRead, Scheme: "world", ID: "anyone"})
	check(403, "Authorization", "digest u:p")
	check(403, "Authorization", "digest a:b")
	check(200, "Authorization", "digest super:secret")
	setACL(jute.ACL{Perms: jute.PermAll, Scheme: "digest", ID: "u:" + user})
	check(200, "Authorization", "digest u:p")
	check(403, "Authorization", "digest u:q")
}

// TestCVE2024_51504 says in headers where a request comes from: the address that counts is that of the connection.
func TestCVE2024_51504(t *testing.T) {
	check, setACL := guarded(t)
	setACL(jute.ACL{Perms: jute.PermAll, Scheme: "ip", ID: "10.1.2.3"})
	check(403, "Authorization", "ip")
	check(403, "Authorization", "ip", "X-Forwarded-For", "10.1.2.3")
	check(403, "Authorization", "ip 10.1.2.3")
	setACL(jute.ACL{Perms: jute.PermAll, Scheme: "ip", ID: "127.0.0.0/8"})
	check(200, "Authorization", "ip")
	check(200, "Authorization", "ip", "X-Forwarded-For", "10.1.2.3")
}

// TestGuardedWhereClientsAuthenticate asks for what the root's ACL leaves open to everybody, where the client port does not.
func TestGuardedWhereClientsAuthenticate(t *testing.T) {
	for _, test := range []struct {
		schemes             string
		ip, user, superuser int
	}{{"digest", 401, 200, 200}, {"ip", 200, 401, 200}, {"sasl", 401, 401, 200}} {
		a := start(t, "enforce.auth.enabled=true", "enforce.auth.schemes="+test.schemes, "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
			"admin.rateLimiterIntervalInMS=0", "DigestAuthenticationProvider.superDigest=super:"+digestOf("super:secret"))
		for header, want := range map[string]int{"ip": test.ip, "digest u:p": test.user, "digest super:secret": test.superuser} {
			if answer, _ := ask(t, a, "GET", "/commands/snapshot?streaming=false", "", "Authorization", header); answer.StatusCode != want {
				t.Errorf("%s where clients need %s: %s, want %d", header, test.schemes, answer.Status, want)
			}
		}
	}
}

// TestSnapshot streams one that is as on the disk, and no more often than the limit lets it.
func TestSnapshot(t *testing.T) {
	a := start(t, "admin.rateLimiterIntervalInMS=2000000000")
	answer, body := ask(t, a, "GET", "/commands/snap", "", "Authorization", "digest a:b")
	h := answer.Header
	if answer.StatusCode != 200 || h["Last_zxid"] == nil || h["Last_zxid"][0] != "0x0" || h["Snapshot_size"][0] != fmt.Sprint(len(body)) || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d %v, %d bytes", answer.StatusCode, h, len(body))
	}
	if !strings.HasPrefix(body, "ZKSN") || !strings.HasSuffix(body, "/") {
		t.Errorf("%q is no snapshot", body)
	}
	if answer, body := ask(t, a, "GET", "/commands/snap", "", "Authorization", "digest a:b"); answer.StatusCode != 429 || body != "{\n  \"command\" : \"snapshot\",\n  \"error\" : null\n}" {
		t.Errorf("the next one at once: %d %s", answer.StatusCode, body)
	}
	if n := a.Server.Metrics().SnapshotRateLimited.Load(); n != 1 {
		t.Errorf("snapshot_rate_limited_count is %d", n)
	}
	for setting, want := range map[string]int{"admin.snapshot.enabled=false": 503, "serializeLastProcessedZxid.enabled=false": 500} {
		if answer, _ := ask(t, start(t, setting), "GET", "/commands/snap", "", "Authorization", "digest a:b"); answer.StatusCode != want {
			t.Errorf("%s: %d", setting, answer.StatusCode)
		}
	}
}

// TestCrowd has more connections than there may be: those that say nothing go, and who asks is answered.
func TestCrowd(t *testing.T) {
	a := start(t)
	var idle []net.Conn
	for range maxConnections + 10 {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	if answer, _ := ask(t, a, "GET", "/commands/ruok", ""); answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	for _, c := range idle[:10] {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("one of the oldest is still there: %v", err)
		}
	}
	a.endpoint.port.crowd.Lock()
	defer a.endpoint.port.crowd.Unlock()
	if n := a.endpoint.port.crowd.list.Len(); n > maxConnections {
		t.Errorf("%d connections", n)
	}
}

// TestCrowdThatIsAnswered has as many connections as there may be wait for answers: who comes, from there or from elsewhere, is answered all the same.
func TestCrowdThatIsAnswered(t *testing.T) {
	a := start(t)
	a.turn <- struct{}{} // which they wait for
	defer func() { <-a.turn }()
	crowd := &a.endpoint.port.crowd
	dial := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	busy := func() (n int) {
		crowd.Lock()
		defer crowd.Unlock()
		for e := crowd.list.Front(); e != nil; e = e.Next() {
			if e.Value.(*member).busy.Load() {
				n++
			}
		}
		return n
	}
	first := dial("127.0.0.3")
	for i := range maxConnections {
		c := first
		if i > 0 {
			c = dial("127.0.0.2")
		}
		if _, err := io.WriteString(c, "GET /commands/dump HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); busy() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d wait for their answers", busy(), i+1)
			}
		}
	}
	for _, from := range []string{"127.0.0.4", "127.0.0.2"} {
		c := dial(from)
		if _, err := io.WriteString(c, "GET /commands/ruok HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), " 200 OK") {
			t.Errorf("from %s: %q, %v", from, answer, err)
		}
	}
	crowd.Lock()
	defer crowd.Unlock()
	if host, _, _ := net.SplitHostPort(crowd.list.Front().Value.(*member).RemoteAddr().String()); host != "127.0.0.3" {
		t.Errorf("the oldest one is from %s: the only one of its address has gone", host)
	}
}

// TestNoClientHoldsAnything has one take its long answer slowly: short ones are answered meanwhile.
func TestNoClientHoldsAnything(t *testing.T) {
	a := start(t)
	a.turn <- struct{}{}
	if answer, _ := ask(t, a, "GET", "/commands/ruok", ""); answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	<-a.turn
	if answer, _ := ask(t, a, "GET", "/commands/wchp", ""); answer.StatusCode != 200 || len(a.turn) != 0 {
		t.Errorf("%s, %d turns taken", answer.Status, len(a.turn))
	}
	c, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /commands/ruok HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*headerLimit))
	if line, _ := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "431") {
		t.Errorf("headers without end: %q", line)
	}
}

// TestPortInUse has the error that is no reason not to serve clients.
func TestPortInUse(t *testing.T) {
	a := start(t)
	_, port, _ := net.SplitHostPort(a.Addr())
	cfg := *a.Config
	fmt.Sscan(port, &cfg.AdminPort)
	if _, err := Start(Options{Config: &cfg, Server: a.Server, Logger: a.Logger}); !errors.Is(err, ErrPort) || !strings.Contains(err.Error(), "admin.serverPort") {
		t.Errorf("a port in use: %v", err)
	}
}

func TestCommandsOfTheServerAreServed(t *testing.T) {
	for _, c := range server.Commands() {
		if c.Guarded && !slices.Contains([]string{"snapshot", "restore"}, c.Names[0]) {
			t.Errorf("%s is guarded, and not done here", c.Names[0])
		}
	}
}

// digestOf is the secret half of a digest identity.
func digestOf(user string) string {
	sum := sha1.Sum([]byte(user))
	return base64.StdEncoding.EncodeToString(sum[:])
}
