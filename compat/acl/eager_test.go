package acl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/compat/script"
)

// awaitSame waits until two servers have applied the same.
func awaitSame(t *testing.T, one, other string) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		a, err := script.Zxid(one)
		peer.Check(t, err)
		b, err := script.Zxid(other)
		peer.Check(t, err)
		if a == b {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has applied %#x and %s %#x after a minute", one, a, other, b)
		}
	}
}

// judged are writes that a follower may refuse before the leader gets them, and others that it must not. $n has the ACL, and the children d and e.
var judged = []string{
	"create $n/a", "create2 $n/b", "create $n/q flags=2", "createContainer $n/c flags=4", "createTTL $n/t flags=5 ttl=1000000", "create $n/a", "create $n/none/a",
	"create $n/x acl=[]", "create $n/x acl=digest:bob:1", "create $n/x acl=nobody:x:1", "create $n/x acl=auth::31", "create $n/x acl=world:other:1", "create2 /x acl=[]", "createContainer $n/x flags=4 acl=[]",
	"create $n/f flags=1", "create $n/f/x", "create $n/x flags=77", "create x", `create ""`, "create /", "create $n/", "create $n//x",
	"setData $n data=x", "setData $n data=x version=77", "setData $n/none data=x", "setData x data=x", "setData / data=x", "setData /zookeeper/config data=x", "setData $n/a/ data=x",
	"setACL $n acl=[]", "setACL $n acl=auth::31", "setACL $n version=77", "setACL $n/none", "setACL $n/none acl=[]", "setACL x acl=[]", "setACL $n acl=$acl,$acl",
	"delete $n/d", "delete $n/d", "delete $n/e version=77", "delete $n", "delete /zookeeper", "delete /", "delete x", `delete ""`, "delete $n/",
	"multi\n  + create $n/m\n  + delete $n/e", "multi\n  + setData $n data=y", "multi\n  + check $n version=-1", "getData $n",
}

// TestEagerACLCheck has a follower of each kind refuse what the ACLs in its own tree do not allow (enableEagerACLCheck): the zxid of an answer, 0 or not, tells who has judged. Requests come one
// by one, since ZooKeeper's answers overtake others here.
func TestEagerACLCheck(t *testing.T) {
	peer.RequireJVM(t)
	var b strings.Builder
	step := func(conn, text string, replace ...string) {
		fmt.Fprintf(&b, "%s %s\n", conn, strings.NewReplacer(replace...).Replace(text))
	}
	who := []client{{name: "plain"}, {name: "bob", digest: []string{"bob:pw"}}, {name: "admin", digest: []string{"super:secret"}}}
	for _, c := range who {
		step(c.name, "connect")
		for _, a := range c.digest {
			step(c.name, "auth scheme=digest auth="+a)
		}
	}
	for i, acl := range []string{"world:anyone:31", "world:anyone:1", "world:anyone:30", "world:anyone:27", "world:anyone:23", bob + ":15", bob + ":4", "ip:127.0.0.1:2", "ip:10.0.0.1:31"} {
		for _, c := range who {
			replace := []string{"$n", fmt.Sprintf("/%d-%s", i, c.name), "$acl", acl}
			fmt.Fprintf(&b, "== %s\n", acl)
			for _, text := range []string{"create $n", "create $n/d", "create $n/e", "setACL $n acl=$acl"} {
				step("admin", text, replace...)
			}
			for _, text := range judged {
				step(c.name, text, replace...)
			}
		}
	}
	var s script.Script
	if err := s.Parse(b.String()); err != nil {
		t.Fatal(err)
	}
	var answers [2][][]string
	here := 0 // answers of the follower itself
	for i, kind := range peer.Kinds {
		servers := peer.Ensemble(t, peer.Options{
			Config: []string{"extendedTypesEnabled=true"},
			Flags:  []string{"-Dzookeeper.enableEagerACLCheck=true", "-Dzookeeper.forceSync=no", "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4="},
		}, kind, kind)
		follower := slices.IndexFunc(servers, func(s *peer.Server) bool {
			said, err := s.FourLetter("srvr")
			peer.Check(t, err)
			return strings.Contains(said, "Mode: follower")
		})
		if follower < 0 {
			t.Fatal("nobody follows")
		}
		peer.Check(t, script.Play(servers[follower].Addr(), &s, func(step *script.Step, answer []string) {
			answers[i] = append(answers[i], answer)
			// Until ZooKeeper's leader has applied a setACL, which its follower may have answered before, it judges by the old list.
			if step.Request.Verb == "setACL" {
				awaitSame(t, servers[0].Addr(), servers[1].Addr())
			}
			if strings.Contains(answer[0], "zxid=0 err=-102") {
				here++
			}
		}))
	}
	if here < 200 {
		t.Errorf("the followers have refused %d requests, which is too few to say anything", here)
	}
	compare(t, &s, answers)
}
