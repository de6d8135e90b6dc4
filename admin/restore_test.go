package admin

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"quoll/client"
	"quoll/jute"
)

const may = "digest a:b"

// TestRestore goes back to a snapshot, on with writes, and over a restart.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	a := start(t, "dataDir="+dir, "admin.rateLimiterIntervalInMS=0")
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.Connect(ctx, a.Server.Addr(), client.Options{})
	must(nil, err)
	id, _, _ := c.Session()
	must(c.Create(ctx, "/kept", []byte("before"), client.OpenACL, jute.ModePersistent))
	must(c.Create(ctx, "/kept/mine", nil, client.OpenACL, jute.ModeEphemeral))
	_, snapshot := ask(t, a, "GET", "/commands/snapshot", "", "Authorization", may)
	must(c.Set(ctx, "/kept", []byte("after"), -1))
	must(c.Create(ctx, "/gone", nil, client.OpenACL, jute.ModePersistent))
	later, err := client.Connect(ctx, a.Server.Addr(), client.Options{})
	must(nil, err)
	laterID, _, _ := later.Session()
	defer later.Abandon()
	before, _ := a.Server.State()

	for what, body := range map[string]string{
		"nothing": "", "junk": "junk", "a cut one": snapshot[:len(snapshot)-70], "a flipped bit": strings.Replace(snapshot, "before", "befare", 1),
		"a compressed one": "\x1f\x8b\x08\x00", "one that claims much": "ZKSN\x00\x00\x00\x02" + strings.Repeat("\x7f", 20),
	} {
		answer, text := ask(t, a, "POST", "/commands/restore", body, "Authorization", may)
		if answer.StatusCode != 500 || text != "{\n  \"command\" : \"restore\",\n  \"error\" : null\n}" {
			t.Errorf("%s: %d %s", what, answer.StatusCode, text)
		}
	}
	if zxid, _ := a.Server.State(); zxid != before {
		t.Fatalf("what is no snapshot has moved the state from %d to %d", before, zxid)
	}
	must(c.Set(ctx, "/kept", []byte("still here"), -1))
	if n := a.Server.Metrics().RestoreErrors.Load(); n != 6 {
		t.Errorf("restore_error_count is %d", n)
	}

	answer, text := ask(t, a, "POST", "/commands/rest", snapshot, "Authorization", may)
	m := regexp.MustCompile(`^\{\n  "last_zxid" : (\d+),\n  "command" : "restore",\n  "error" : null\n\}$`).FindStringSubmatch(text)
	if answer.StatusCode != 200 || m == nil {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	zxid, err := strconv.ParseInt(m[1], 10, 64)
	must(nil, err)
	if zxid <= before+1 {
		t.Errorf("the zxid is %d behind %d", zxid, before+1)
	}
	state := func(s *Server, when string) {
		t.Helper()
		c, err := client.Connect(ctx, s.Server.Addr(), client.Options{})
		must(nil, err)
		defer c.Close()
		data, _, err := c.Get(ctx, "/kept", false)
		if err != nil || string(data) != "before" {
			t.Errorf("%s: /kept has %q, %v", when, data, err)
		}
		if _, err := c.Exists(ctx, "/gone", false); err == nil {
			t.Errorf("%s: /gone is there", when)
		}
		if _, err := c.Exists(ctx, "/kept/mine", false); err != nil {
			t.Errorf("%s: the ephemeral of a session of the snapshot: %v", when, err)
		}
	}
	state(a, "after the restore")
	alive := fmt.Sprint(a.Server.Sessions())
	if !strings.Contains(alive, fmt.Sprint(id)) || strings.Contains(alive, fmt.Sprint(laterID)) {
		t.Errorf("the sessions %s are not those of the snapshot: %d and not %d", alive, id, laterID)
	}
	writer, err := client.Connect(ctx, a.Server.Addr(), client.Options{})
	must(nil, err)
	must(writer.Create(ctx, "/new", nil, client.OpenACL, jute.ModePersistent))
	stat, err := writer.Exists(ctx, "/new", false)
	must(nil, err)
	if stat.Czxid <= zxid {
		t.Errorf("a write behind the restore has zxid %d", stat.Czxid)
	}
	writer.Abandon()
	if err := a.Server.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, "dataDir="+dir)
	state(b, "after a restart")
	reader, err := client.Connect(ctx, b.Server.Addr(), client.Options{})
	must(nil, err)
	defer reader.Close()
	must(reader.Exists(ctx, "/new", false))
}

func TestRestoreIsLimited(t *testing.T) {
	a := start(t)
	for i, want := range []int{500, 429} {
		if answer, _ := ask(t, a, "POST", "/commands/restore", "junk", "Authorization", may); answer.StatusCode != want {
			t.Errorf("restore %d: %d", i, answer.StatusCode)
		}
	}
	if n := a.Server.Metrics().RestoreRateLimited.Load(); n != 1 {
		t.Errorf("restore_rate_limited_count is %d", n)
	}
	for setting, want := range map[string]int{"admin.restore.enabled=false": 503, "serializeLastProcessedZxid.enabled=false": 500} {
		if answer, _ := ask(t, start(t, setting), "POST", "/commands/restore", "junk", "Authorization", may); answer.StatusCode != want {
			t.Errorf("%s: %d", setting, answer.StatusCode)
		}
	}
	if answer, _ := ask(t, start(t), "GET", "/commands/restore", "", "Authorization", may); answer.StatusCode != 405 {
		t.Errorf("GET: %d", answer.StatusCode)
	}
}
