package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/client"
	"quoll/jute"
)

// TestAuditLog reads what a server has written down when it has stopped: the whole of it is compared with ZooKeeper's in compat/audit.
func TestAuditLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	s := startServer(t, "audit.enable=true", "audit.file="+file)
	c := connect(t, s)
	if err := c.AddAuth(t.Context(), "digest", []byte("maria:very secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), "/a", []byte("content"), client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), "/b\nresult=success\x1b[2J", nil, client.OpenACL, jute.ModePersistent); err == nil {
		t.Fatal("a path with a newline is taken")
	}
	if _, err := c.Create(t.Context(), "/a/e", nil, client.OpenACL, jute.ModeEphemeral); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetACL(t.Context(), "/a", []jute.ACL{{Perms: jute.PermAll, Scheme: "digest", ID: "maria:hash"}}, -1); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		_, fields, _ := strings.Cut(line, ": ")
		if rest, ok := strings.CutPrefix(fields, "session=0x"); ok {
			_, fields, _ = strings.Cut(rest, "\t")
		}
		got = append(got, fields)
	}
	me := processUser()
	want := []string{
		"user=" + me + "\toperation=serverStart\tresult=success",
		"user=127.0.0.1,maria\tip=127.0.0.1\toperation=create\tznode=/a\tznode_type=persistent\tresult=success",
		"user=127.0.0.1,maria\tip=127.0.0.1\toperation=create\tznode=/b\\u000aresult=success\\u001b[2J\tznode_type=persistent\tresult=failure",
		"user=127.0.0.1,maria\tip=127.0.0.1\toperation=create\tznode=/a/e\tznode_type=ephemeral\tresult=success",
		"user=127.0.0.1,maria\tip=127.0.0.1\toperation=setAcl\tznode=/a\tacl=digest:maria:x:cdrwa\tresult=success",
		"user=" + me + "\toperation=ephemeralZNodeDeletionOnSessionCloseOrExpire\tznode=/a/e\tresult=success",
		"user=" + me + "\toperation=serverStop\tresult=invoked",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestProvedUsersComeFirst has identities of every kind, in the order in which a client that hides got them.
func TestProvedUsersComeFirst(t *testing.T) {
	a := startServer(t, "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider").auth
	proved, chosen := a.users([]jute.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "digest", ID: "a,b:hash"}, {Scheme: "super"}, {Scheme: "digest", ID: " :hash"}, {Scheme: "sasl", ID: "bob"}})
	if proved != "127.0.0.1,bob" || !slices.Equal(chosen, []string{"a,b"}) {
		t.Errorf("%q, %q", proved, chosen)
	}
}

// TestAuditOff has no audit log without audit.enable, whatever audit.file says.
func TestAuditOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	s := startServer(t, "audit.file="+file)
	c := connect(t, s)
	if _, err := c.Create(t.Context(), "/a", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("there is one: %v", err)
	}
}
