package server

import (
	"strings"
	"testing"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
)

// What was published about ZooKeeper must not be true of this server. The tests are named by the CVE; those of other packages are there.

// TestCVE2017_5637 asks for the four-letter words that cost the most: by default none of them is carried out, nor any other but srvr.
func TestCVE2017_5637(t *testing.T) {
	cfg, _, err := config.Load(config.Sources{Set: []string{"clientPort=0"}})
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "4lw.commands.whitelist="+strings.Join(cfg.FourLetterWhitelist, ","))
	for name := range fourLetterWords {
		if name == "srvr" || name == "\xff\xf4\xff\xfd" {
			continue
		}
		if answer, want := ask(t, s, name), name+" is not executed because it is not in the whitelist.\n"; answer != want {
			t.Errorf("%s: %q", name, answer)
		}
	}
	if len(s.turn) != 0 {
		t.Error("a word that is refused has taken a turn")
	}
}

// TestCVE2019_0201 reads an ACL with digests without the permission for it: nothing without READ or ADMIN, and no hash without ADMIN.
func TestCVE2019_0201(t *testing.T) {
	s := startServer(t)
	owner, other := connect(t, s), connect(t, s)
	if err := owner.AddAuth(t.Context(), "digest", []byte("bob:pw")); err != nil {
		t.Fatal(err)
	}
	const id = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="
	for perms, want := range map[int32]string{
		jute.PermWrite | jute.PermCreate | jute.PermDelete: "",
		jute.PermRead:  "bob:x",
		jute.PermAdmin: id,
	} {
		path := "/" + strings.Repeat("n", int(perms))
		acl := []jute.ACL{{Perms: jute.PermAll, Scheme: "digest", ID: id}, {Perms: perms, Scheme: "world", ID: "anyone"}}
		if _, err := owner.Create(t.Context(), path, nil, acl, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
		got, _, err := other.GetACL(t.Context(), path)
		switch {
		case want == "" && err != jute.ErrNoAuth:
			t.Errorf("permissions %d: %v, %v", perms, got, err)
		case want != "" && (err != nil || got[0].ID != want):
			t.Errorf("permissions %d: %v, %v, want %s", perms, got, err, want)
		}
	}
}

// TestCVE2024_23944 watches, with a persistent recursive watch, what it may not read: it is told nothing, not even that there is something.
func TestCVE2024_23944(t *testing.T) {
	s := startServer(t)
	owner := connect(t, s)
	if err := owner.AddAuth(t.Context(), "digest", []byte("bob:pw")); err != nil {
		t.Fatal(err)
	}
	spy := client.NewRawConn(dial(t, s))
	if _, err := spy.Handshake(&jute.ConnectRequest{Timeout: 30_000}); err != nil {
		t.Fatal(err)
	}
	requests := []struct {
		op   jute.Op
		body client.Body
	}{
		{jute.OpAddWatch, &jute.AddWatchRequest{Path: []byte("/"), Mode: int32(jute.AddWatchPersistentRecursive)}},
		{jute.OpAddWatch, &jute.AddWatchRequest{Path: []byte("/secret"), Mode: int32(jute.AddWatchPersistent)}},
		{jute.OpExists, &jute.PathWatchRequest{Path: []byte("/secret/plan"), Watch: true}},
	}
	for i, r := range requests {
		if err := spy.Request(int32(i+1), r.op, r.body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := spy.Reply(); err != nil {
			t.Fatal(err)
		}
	}
	mine := []jute.ACL{{Perms: jute.PermAll, Scheme: "auth"}}
	for _, path := range []string{"/secret", "/secret/plan"} {
		if _, err := owner.Create(t.Context(), path, nil, mine, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.Set(t.Context(), path, []byte("x"), -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := owner.Delete(t.Context(), "/secret/plan", -1); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Create(t.Context(), "/open", nil, client.OpenACL, jute.ModePersistent); err != nil {
		t.Fatal(err)
	}
	if err := spy.Request(jute.XidPing, jute.OpPing, nil); err != nil {
		t.Fatal(err)
	}
	var told []string
	for {
		h, d, err := spy.Reply()
		if err != nil {
			t.Fatal(err)
		}
		if h.Xid == jute.XidPing {
			break
		}
		var e jute.WatcherEvent
		dec := jute.NewDecoder(d)
		e.Decode(&dec)
		told = append(told, e.Path)
	}
	// The root, which everybody may read, has got a child each time; /secret is one of them for who lists it.
	for _, path := range told {
		if strings.HasPrefix(path, "/secret") {
			t.Errorf("told of %s", path)
		}
	}
	if len(told) == 0 || told[len(told)-1] != "/open" {
		t.Errorf("told of %q: the watch does not work at all", told)
	}
}
