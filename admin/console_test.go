package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// told is an answer to the console's page.
type told struct {
	Error    string
	Path     string
	Total    int
	Found    int
	More     bool
	Children []struct{ Name, Kind string }
	Bytes    int
	Null     bool
	Data     *[]byte
	ACL      []struct{ Perms, Scheme, ID string }
	IDs      []string
	Stat     struct{ Version int }
	Sessions []oneSession
	Metrics  map[string]any
	State    string
	Members  []any
	Watched  []struct {
		Path     string
		Kinds    []string
		Watchers int
	}
	Clients any // of a server where it takes them, or those that ask most
	Paths   any // of a session, or those that are asked for most
	oneSession
}

type oneSession struct {
	ID, Address         string
	Timeout             int
	Ephemerals, Watches int
}

// page asks like the page.
func page(t *testing.T, a *Server, who, name string, query ...string) (status int, answer told) {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	r, body := ask(t, a, "GET", "/console/api/"+name+"?"+values.Encode(), "", "Authorization", who)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v in %.200s", name, err, body)
	}
	return r.StatusCode, answer
}

// grow makes znodes: those that do not begin with anything else have the open ACL.
func grow(t *testing.T, a *Server) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), a.Server.Addr(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func create(t *testing.T, c *client.Client, path string, data []byte, acl ...jute.ACL) {
	t.Helper()
	if len(acl) == 0 {
		acl = client.OpenACL
	}
	if _, err := c.Create(t.Context(), path, data, acl, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
}

func only(perms int32, user string) jute.ACL {
	name, _, _ := strings.Cut(user, ":")
	return jute.ACL{Perms: perms, Scheme: "digest", ID: name + ":" + digestOf(user)}
}

// TestConsolePage has the page with what keeps other sites from it, for everybody, and nothing of a znode in it.
func TestConsolePage(t *testing.T) {
	a := start(t)
	for path, kind := range map[string]string{
		"/console/": "text/html; charset=utf-8", "/console/console.js": "text/javascript; charset=utf-8", "/console/console.css": "text/css; charset=utf-8", "/console/icon.svg": "image/svg+xml",
	} {
		r, body := ask(t, a, "GET", path, "")
		h := r.Header
		if r.StatusCode != 200 || h.Get("Content-Type") != kind || body == "" {
			t.Errorf("%s: %s, %s", path, r.Status, h.Get("Content-Type"))
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
		if strings.Contains(body, "innerHTML") || strings.Contains(body, "://") && !strings.Contains(body, "http://www.w3.org/2000/svg") {
			t.Errorf("%s has markup from text, or another host", path)
		}
	}
	for path, want := range map[string]int{"/console": 307, "/console/nosuch": 404, "/console/../admin.go": 307, "/consolex": 404, "/console/api/nosuch": 404} {
		if r, _ := ask(t, a, "GET", path, ""); r.StatusCode != want {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if r, _ := ask(t, a, method, "/console/api/node", "{}", "Authorization", may); r.StatusCode != 405 {
			t.Errorf("%s: %s", method, r.Status)
		}
	}
	if r, _ := ask(t, a, "GET", "/commands", ""); !strings.Contains(r.Header.Get("Link"), "/console/") {
		t.Error("the list of commands does not lead to the console")
	}
	off := start(t, "admin.console=off")
	if r, _ := ask(t, off, "GET", "/console/", ""); r.StatusCode != 404 {
		t.Errorf("switched off: %s", r.Status)
	}
	if r, _ := ask(t, start(t, "admin.snapshot.enabled=false"), "GET", "/console/", ""); r.StatusCode != 404 {
		t.Errorf("with snapshots switched off: %s", r.Status)
	}
	if r, _ := ask(t, off, "GET", "/commands", ""); r.Header.Get("Link") != "" {
		t.Error("the list of commands leads to a console that is not there")
	}
}

// TestConsoleAuthentication has nothing for who does not say who that is, as for the command snapshot.
func TestConsoleAuthentication(t *testing.T) {
	a := start(t)
	names := []string{"children", "node", "who", "session", "sessions", "ensemble", "metrics", "top"}
	for _, name := range names {
		if r, body := ask(t, a, "GET", "/console/api/"+name+"?path=/", ""); r.StatusCode != 401 || strings.Contains(body, "zookeeper") {
			t.Errorf("%s without credentials: %s %s", name, r.Status, body)
		}
		for _, bad := range []string{"", "digest", "x509", "nosuch a", "world anyone", "super x", "sasl x", "Basic YTpi"} {
			if status, _ := page(t, a, bad, name, "path", "/"); status != 401 {
				t.Errorf("%s with %q: %d", name, bad, status)
			}
		}
		if status, answer := page(t, a, "digest a:b", name, "path", "/"); status != 200 {
			t.Errorf("%s: %d %s", name, status, answer.Error)
		}
	}
	_, who := page(t, a, "digest maria:secret", "who")
	if want := []string{"ip:127.0.0.1", "digest:maria"}; !slices.Equal(who.IDs, want) {
		t.Errorf("%+v", who)
	}
	c := grow(t, a)
	if _, err := c.SetACL(t.Context(), "/", []jute.ACL{only(jute.PermAll, "u:p"), {Perms: jute.PermRead, Scheme: "world", ID: "anyone"}}, -1); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]int{"digest u:p": 200, "digest u:q": 403, "ip": 403} { // as for the guarded commands, whatever the znode's own ACL
		for _, name := range names {
			if status, _ := page(t, a, who, name, "path", "/zookeeper"); status != want {
				t.Errorf("%s as %s with the root closed: %d", name, who, status)
			}
		}
	}
	strict := start(t, "enforce.auth.enabled=true", "enforce.auth.schemes=digest")
	if status, _ := page(t, strict, "ip", "node", "path", "/"); status != 401 {
		t.Errorf("who lacks the scheme that clients need: %d", status)
	}
	if status, _ := page(t, strict, "digest a:b", "node", "path", "/"); status != 200 {
		t.Errorf("who has it: %d", status)
	}
}

// TestConsoleACL shows a znode to who may read it, as a client sees it.
func TestConsoleACL(t *testing.T) {
	a := start(t, "DigestAuthenticationProvider.superDigest=super:"+digestOf("super:secret"))
	c := grow(t, a)
	create(t, c, "/open", []byte("for all"))
	create(t, c, "/closed", []byte("for u"), only(jute.PermAll, "u:p"))
	create(t, c, "/closed2", []byte("for u"), only(jute.PermAdmin, "u:p"), only(jute.PermRead, "v:p"))
	create(t, c, "/blind", []byte("for nobody"), only(jute.PermWrite|jute.PermCreate|jute.PermDelete, "u:p"))
	create(t, c, "/here", []byte("by address"), jute.ACL{Perms: jute.PermRead, Scheme: "ip", ID: "127.0.0.1"})
	for _, test := range []struct {
		who, path string
		status    int
		data      string // "-" for none
	}{
		{"digest x:y", "/open", 200, "for all"},
		{"digest x:y", "/nosuch", 404, "-"},
		{"digest x:y", "/closed", 403, "-"},
		{"digest u:q", "/closed", 403, "-"},
		{"ip", "/closed", 403, "-"},
		{"digest u:p", "/closed", 200, "for u"},
		{"digest super:secret", "/closed", 200, "for u"},
		{"digest u:p", "/closed2", 200, "-"}, // may change the list, and not read
		{"digest v:p", "/closed2", 200, "for u"},
		{"digest u:p", "/blind", 403, "-"},
		{"digest x:y", "/here", 200, "by address"}, // a client has its address whatever it authenticates as
	} {
		status, node := page(t, a, test.who, "node", "path", test.path)
		got := "-"
		if node.Data != nil {
			got = string(*node.Data)
		}
		if status != test.status || got != test.data {
			t.Errorf("%s %s: %d %q", test.who, test.path, status, got)
		}
	}
	if _, node := page(t, a, "digest v:p", "node", "path", "/closed2"); node.ACL[0].ID != "u:x" {
		t.Errorf("the hash is shown to who may not change the list: %v", node.ACL)
	}
	if _, node := page(t, a, "digest u:p", "node", "path", "/closed"); node.ACL[0].ID != "u:"+digestOf("u:p") || node.ACL[0].Perms != "cdrwa" {
		t.Errorf("%v", node.ACL)
	}
	_, list := page(t, a, "digest x:y", "children", "path", "/")
	kinds := map[string]string{}
	for _, child := range list.Children {
		kinds[child.Name] = child.Kind
	}
	if kinds["open"] != "persistent" || kinds["closed"] != "" || len(kinds) != 6 {
		t.Errorf("of what may not be read there is more than the name: %v", kinds)
	}
	if status, list := page(t, a, "digest x:y", "children", "path", "/closed"); status != 403 || list.Children != nil {
		t.Errorf("children of what may not be read: %d %v", status, list.Children)
	}
}

// TestConsolePages goes through many children page by page, and none of the answers is long.
func TestConsolePages(t *testing.T) {
	a := start(t)
	c := grow(t, a)
	create(t, c, "/many", nil)
	var want []string
	for i := range 450 {
		want = append(want, fmt.Sprintf("n%03d", i*7%450))
		create(t, c, "/many/"+want[i], nil)
	}
	slices.Sort(want)
	var got []string
	for after, pages := "", 1; ; pages++ {
		_, list := page(t, a, may, "children", "path", "/many", "after", after)
		if list.Total != 450 || list.Found != 450 || len(list.Children) > 200 {
			t.Fatalf("%d of %d, %d found", len(list.Children), list.Total, list.Found)
		}
		for _, child := range list.Children {
			got = append(got, child.Name)
		}
		if !list.More {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, list := page(t, a, may, "children", "path", "/many", "contains", "44"); len(list.Children) != 14 || list.Found != 14 || list.Total != 450 || list.More { // 044, 144, 244, 344, 440 to 449
		t.Errorf("%d with 44: %v", len(list.Children), list)
	}
	if _, list := page(t, a, may, "children", "path", "/many", "contains", "4", "after", "n100"); len(list.Children) != 107 || list.Found != 126 || list.More { // 19 in each hundred below 400, and all from 400 on
		t.Errorf("%d with 4 after the first hundred, %d in all", len(list.Children), list.Found)
	}
	create(t, c, "/long", nil)
	for i := range 4 {
		create(t, c, "/long/"+strings.Repeat("x", 100_000)+fmt.Sprint(i), nil)
	}
	if _, list := page(t, a, may, "children", "path", "/long"); len(list.Children) != 2 || !list.More {
		t.Errorf("%d children with long names", len(list.Children))
	}
}

// TestConsoleData has data of every kind, and no more than a MiB of what is larger.
func TestConsoleData(t *testing.T) {
	a := start(t, "jute.maxbuffer=4000000")
	c := grow(t, a)
	create(t, c, "/null", nil)
	create(t, c, "/empty", []byte{})
	create(t, c, "/bytes", []byte{0, 255, '<'})
	create(t, c, "/large", make([]byte, 3<<20))
	create(t, c, "/<script>alert(1)<", nil)
	for path, want := range map[string]struct {
		bytes, sent int
		null        bool
	}{"/null": {0, 0, true}, "/empty": {0, 0, false}, "/bytes": {3, 3, false}, "/large": {3 << 20, 1 << 20, false}} {
		_, node := page(t, a, may, "node", "path", path)
		if node.Bytes != want.bytes || len(*node.Data) != want.sent || node.Null != want.null {
			t.Errorf("%s: %d of %d bytes, null is %v", path, len(*node.Data), node.Bytes, node.Null)
		}
	}
	r, body := ask(t, a, "GET", "/console/api/children?path=/", "", "Authorization", may)
	if r.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"<script>alert(1)<"`) {
		t.Errorf("%s", body)
	}
}

// TestConsoleEdit changes znodes where the configuration allows it, as a client that is who asks.
func TestConsoleEdit(t *testing.T) {
	a := start(t, "admin.console=edit", "admin.rateLimiterIntervalInMS=0")
	c := grow(t, a)
	create(t, c, "/closed", []byte("for u"), only(jute.PermAll, "u:p"))
	b64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	own := []string{"X-Quoll-Console", "1", "Authorization", "digest u:p"}
	other := []string{"X-Quoll-Console", "1", "Authorization", "digest x:y"}
	for _, test := range []struct {
		name, body string
		headers    []string
		status     int
	}{
		{"create", `{"path":"/new","data":"` + b64("one") + `","mode":"persistent","acl":"world"}`, own, 200},
		{"create", `{"path":"/new","mode":"persistent","acl":"world"}`, own, 409},
		{"create", `{"path":"/mine","mode":"container","acl":"auth"}`, own, 200},
		{"create", `{"path":"/x","mode":"nosuch","acl":"world"}`, own, 400},
		{"create", `{"path":"/x","mode":"persistent"}`, own, 400},
		{"create", `{"path":"x","mode":"persistent","acl":"world"}`, own, 400},
		{"create", `{"path":"/no/parent","mode":"persistent","acl":"world"}`, own, 404},
		{"create", `{`, own, 400},
		{"set", `{"path":"/new","data":"` + b64("two") + `","version":0}`, own, 200},
		{"set", `{"path":"/new","data":"` + b64("lost") + `","version":0}`, own, 409},
		{"set", `{"path":"/closed","data":"` + b64("theirs") + `","version":-1}`, other, 403},
		{"set", `{"path":"/closed","data":"` + b64("mine") + `","version":-1}`, own, 200},
		{"delete", `{"path":"/closed","version":7}`, own, 409},
		{"delete", `{"path":"/closed","version":1}`, own, 200},
		{"set", `{"path":"/new","version":-1}`, []string{"Authorization", "digest u:p"}, 403}, // another site's page cannot send the header
		{"set", `{"path":"/new","version":-1}`, append(slices.Clone(own), "Origin", "http://elsewhere.example"), 403},
		{"set", `{"path":"/new","version":-1}`, append(slices.Clone(own), "Sec-Fetch-Site", "cross-site"), 403},
		{"set", `{"path":"/new","version":-1}`, append(slices.Clone(own), "Sec-Fetch-Site", "same-site"), 403},
		{"set", `{"path":"/new","version":-1}`, []string{"X-Quoll-Console", "1"}, 401},
		{"set", `{"path":"/new","version":-1,"data":"` + strings.Repeat("A", 3<<20) + `"}`, own, 400},
	} {
		if r, body := ask(t, a, "POST", "/console/api/"+test.name, test.body, test.headers...); r.StatusCode != test.status {
			t.Errorf("%s %.80s %q: %s %s", test.name, test.body, test.headers, r.Status, body)
		}
	}
	if r, body := ask(t, a, "GET", "/console/api/set?path=/new", "", own...); r.StatusCode != 404 {
		t.Errorf("GET: %s %s", r.Status, body)
	}
	data, stat, err := c.Get(t.Context(), "/new", false)
	if err != nil || string(data) != "two" || stat.Version != 1 {
		t.Errorf("%q, version %d, %v", data, stat.Version, err)
	}
	if _, err := c.Exists(t.Context(), "/closed", false); err != jute.ErrNoNode {
		t.Errorf("/closed: %v", err)
	}
	if _, _, err := c.Get(t.Context(), "/mine", false); err != jute.ErrNoAuth {
		t.Errorf("/mine: %v", err)
	}
	if n := len(a.Server.Sessions()); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
	limited := start(t, "admin.console=edit")
	var got []int
	for range 2 {
		r, _ := ask(t, limited, "POST", "/console/api/create", `{"path":"/a","mode":"sequential","acl":"world"}`, own...)
		got = append(got, r.StatusCode)
	}
	if !slices.Equal(got, []int{200, http.StatusTooManyRequests}) {
		t.Errorf("two at once: %d", got)
	}
	off := start(t)
	if r, _ := ask(t, off, "POST", "/console/api/create", `{"path":"/a","mode":"persistent","acl":"world"}`, own...); r.StatusCode != 403 {
		t.Errorf("not configured: %s", r.Status)
	}
}

// TestConsoleSessions has sessions in pages, by id, and one with what it owns, watches and is.
func TestConsoleSessions(t *testing.T) {
	a := start(t, "maxClientCnxns=0")
	c := grow(t, a)
	id, _, timeout := c.Session()
	text := fmt.Sprintf("0x%x", uint64(id))
	create(t, c, "/a", nil)
	for i := range 250 {
		if _, err := c.Create(t.Context(), fmt.Sprintf("/a/e%03d", i), nil, client.OpenACL, jute.ModeEphemeral); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Exists(t.Context(), "/a", true); err != nil {
		t.Fatal(err)
	}
	if err := c.AddWatch(t.Context(), "/a", jute.AddWatchPersistentRecursive); err != nil {
		t.Fatal(err)
	}
	if err := c.AddAuth(t.Context(), "digest", []byte("maria:secret")); err != nil {
		t.Fatal(err)
	}
	_, one := page(t, a, may, "session", "id", text)
	paths, _ := one.Paths.([]any)
	if one.ID != text || one.Timeout != int(timeout.Milliseconds()) || one.Address != c.LocalAddr().String() || one.Ephemerals != 250 || len(paths) != 200 || paths[0] != "/a/e000" ||
		len(one.Watched) != 1 || one.Watched[0].Path != "/a" || !slices.Equal(one.Watched[0].Kinds, []string{"data", "recursive"}) || !slices.Equal(one.IDs, []string{"ip:127.0.0.1", "digest:maria"}) {
		t.Errorf("%+v", one)
	}
	for _, bad := range []string{"", "0x1", "x", "0x" + strings.Repeat("f", 17)} {
		if _, one := page(t, a, may, "session", "id", bad); one.Error == "" {
			t.Errorf("session %q: %+v", bad, one)
		}
	}
	for range 220 {
		other, err := client.Connect(t.Context(), a.Server.Addr(), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(other.Abandon)
	}
	for _, by := range []string{"id", "nosuch", "timeout", "ephemerals", "address", "watches", "waiting", "received", "sent", "operation", "latency", "slowest"} {
		for _, order := range []string{"ascending", "descending"} {
			seen := map[string]bool{}
			var ids []string
			for {
				_, list := page(t, a, may, "sessions", "from", fmt.Sprint(len(ids)), "by", by, "order", order)
				if len(list.Sessions) > 200 || list.Total != 221 || list.Found != 221 {
					t.Fatalf("%d of %d sessions, %d found", len(list.Sessions), list.Total, list.Found)
				}
				for _, s := range list.Sessions {
					ids = append(ids, s.ID)
					seen[s.ID] = true
				}
				if !list.More || len(ids) > 221 {
					break
				}
			}
			if len(ids) != 221 || len(seen) != 221 {
				t.Errorf("%d sessions, %d different ones, by %s", len(ids), len(seen), by)
			}
			sorted := slices.Sorted(slices.Values(ids))
			at := slices.Index(ids, text)
			switch by {
			case "id", "nosuch":
				if order == "descending" {
					slices.Reverse(sorted)
				}
				if !slices.Equal(ids, sorted) {
					t.Errorf("by %s, %s: %q", by, order, ids)
				}
			case "ephemerals", "watches", "received", "sent": // of which it has the most
				if order == "descending" && at != 0 || order == "ascending" && at != 220 {
					t.Errorf("by %s, %s it is at %d", by, order, at)
				}
			}
		}
	}
	if _, list := page(t, a, may, "sessions", "from", "1000000"); len(list.Sessions) != 0 || list.More || list.Found != 221 {
		t.Errorf("behind the last: %+v", list)
	}
	if _, list := page(t, a, may, "sessions", "contains", c.LocalAddr().String()); len(list.Sessions) != 1 || list.Found != 1 || list.Total != 221 || list.Sessions[0].ID != text || list.Sessions[0].Ephemerals != 250 {
		t.Errorf("by address: %+v", list.Sessions)
	}
}

// TestConsoleState has the server, its metrics, and what is asked for most once somebody has asked for that.
func TestConsoleState(t *testing.T) {
	a := start(t)
	c := grow(t, a)
	create(t, c, "/<b>", nil)
	if _, err := c.Exists(t.Context(), "/<b>", true); err != nil {
		t.Fatal(err)
	}
	if _, state := page(t, a, may, "ensemble"); state.State != "standalone" || len(state.Members) != 0 || state.Clients != a.Server.Addr() {
		t.Errorf("%+v", state)
	}
	_, m := page(t, a, may, "metrics")
	latency, _ := m.Metrics["readlatency"].(map[string]any)
	_, own := m.Metrics["quoll_client_output_bytes"].(float64) // which is 0 a moment after the client has its reply
	if m.Metrics["znode_count"] != 6.0 || latency["count"].(float64) < 1 || !own {
		t.Errorf("%v", m.Metrics)
	}
	page(t, a, may, "top")
	for range 64 * 20 {
		if _, _, err := c.Get(t.Context(), "/<b>", false); err != nil {
			t.Fatal(err)
		}
	}
	_, top := page(t, a, may, "top")
	paths, _ := top.Paths.([]any)
	if len(paths) != 1 || paths[0].(map[string]any)["path"] != "/<b>" || len(top.Watched) != 1 || top.Watched[0].Watchers != 1 {
		t.Errorf("%+v", top)
	}
}

// TestConsoleAudit has who changed what by the console in the audit log, as of every client.
func TestConsoleAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit")
	a := start(t, "admin.console=edit", "audit.enable=true", "audit.file="+file)
	if r, body := ask(t, a, "POST", "/console/api/create", `{"path":"/a","mode":"persistent","acl":"world"}`, "X-Quoll-Console", "1", "Authorization", "digest maria:secret"); r.StatusCode != 200 {
		t.Fatal(body)
	}
	if err := a.Server.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^.*maria.*operation=create.*znode=/a.*result=success|operation=create.*znode=/a.*result=success.*maria`).Match(log) || bytes.Contains(log, []byte("secret")) {
		t.Errorf("%s", log)
	}
}

// TestConsoleCertificate lets in who has a certificate that clients could use as well, and says so by the scheme x509.
func TestConsoleCertificate(t *testing.T) {
	a := start(t, append([]string{"admin.forceHttps=true", "client.portUnification=true"}, tlsSettings...)...)
	if status, _ := get(t, browser(t, true), "https://"+a.Addr()+"/console/api/who", "Authorization", "x509"); status != 401 {
		t.Errorf("a certificate that nobody asks for: %d", status)
	}
	a = start(t, append([]string{"admin.forceHttps=true", "admin.needClientAuth=true", "client.portUnification=true"}, tlsSettings...)...)
	for _, name := range []string{"who", "node?path=/", "children?path=/"} {
		for who, want := range map[string]int{"x509": 200, "digest a:b": 200, "": 401} {
			if status, _ := get(t, browser(t, true), "https://"+a.Addr()+"/console/api/"+name, "Authorization", who); status != want {
				t.Errorf("%s as %q: %d", name, who, status)
			}
		}
	}
}
