// Package acl_test compares who may do what with ZooKeeper: every operation, alone and in multi and multiRead, for every permission, scheme and kind of client, and who
// is told of changes to znodes that may no longer be read.
package acl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/compat/script"
)

// clients are who asks: how they connect, and what they authenticate as.
var clients = []struct {
	name, connect string
	auth          []string
}{
	{"plain", "", nil},
	{"near", "from=127.0.0.2", nil},
	{"six", "via=::1", nil},
	{"bob", "", []string{"bob:pw"}},
	{"both", "", []string{"bob:pw", "alice:pw"}},
	{"admin", "", []string{"super:secret"}},
}

const (
	bob   = "digest:bob:ikIaKsbtGweaHnb/jKn7OHqbunM="
	alice = "digest:alice:V55/p2T0OpjQ+low3NVAH4aLvm0="
)

// lists are ACLs; each % is the permissions. The znodes are made by both.
var lists = []string{
	"world:anyone:%",
	"auth::%",
	bob + ":%",
	bob + ":%," + alice + ":1",
	alice + ":%,world:anyone:2",
	"ip:127.0.0.1:%",
	"ip:127.0.0.0/31:%",
	"ip:127.0.0.2/32:%",
	"ip:126.0.0.0/7:%",
	"ip:10.0.0.0/8:%",
	"ip:10.0.0.0/0:%",
	"ip:::1:%",
	"ip:0:0:0:0:0:0:0:1/128:%",
	"ip:::2/126:%",
	"ip:fe80::/10:%",
	"ip:::/0:%",
	"ip:127.0.0.1:1," + bob + ":%",
	"sasl:bob:%",
	"x509:CN=bob:%",
}

var permissions = []int{1, 2, 4, 8, 16, 30, 29, 27, 23, 15, 0, 31}

// operations are what each client asks for, all at once. $n is the znode with the ACL, which has the children d and e.
const operations = `
+ exists $n
+ getData $n
+ getACL $n
+ getChildren $n
+ getChildren2 $n
+ getAllChildrenNumber $n
+ getEphemerals $n
+ getEphemerals /
+ whoAmI
+ sync $n
+ addWatch $n mode=1
+ addWatch $n mode=0
+ checkWatches $n type=4
+ checkWatches $n type=3
+ removeWatches $n type=4
+ removeWatches $n type=3
+ setWatches data=$n child=$n
+ removeWatches $n type=3
+ multiRead
++ getData $n
++ getChildren $n
++ getData /open
+ create $n/a
+ create $n/q flags=2
+ create $n/f flags=1
+ create2 $n/b
+ createContainer $n/c flags=4
+ createTTL $n/t flags=5 ttl=1000000
+ setData $n data=x
+ delete $n/d
+ setACL $n acl=$acl
+ multi
++ create $n/ma
++ create2 $n/mb
++ createContainer $n/mc flags=4
++ createTTL $n/mt flags=5 ttl=1000000
+ multi
++ setData $n data=y
+ multi
++ check $n version=-1
+ multi
++ delete $n/e
+ multi
++ check $n version=-1
++ setData $n data=z
++ create $n/all
++ delete $n/all
++ setData /open data=1
+ multi
++ setData /open data=2
++ delete $n
+ delete $n
+ reconfig joining=null leaving=null members=null
`

// restored is what the super user does behind a client, so that the next one finds what the last one did.
const restored = `
+ create $n/d
+ create $n/e
+ delete $n/a
+ delete $n/f
+ delete $n/b
+ delete $n/c
+ delete $n/t
+ delete $n/ma
+ delete $n/mb
+ delete $n/mc
+ delete $n/mt
+ getChildren $n
`

// watching is what each client asks for while everybody may read.
const watching = `
+ getData $n watch=1
+ getChildren $n watch=1
+ exists $n/d watch=1
+ exists $n/new watch=1
+ addWatch $n/kept mode=0
+ addWatch $r mode=1
`

// taken are the requests with which the super user makes the ACLs others. They are applied before anything is changed, since ZooKeeper checks what comes right behind them by either.
const taken = `
+ setACL $n acl=$acl
+ setACL $n/d acl=$acl
+ setACL $r acl=$acl
`

// changes are what the super user does then.
const changes = `
+ setData $n data=1
+ create $n/new acl=$acl
+ setData $n/d data=1
+ create $n/kept acl=$acl
+ setData $n/kept data=1
+ delete $n/kept
+ create $r/c acl=$acl
+ setData $r/c data=1
+ create $r/o
+ setData $r/o data=1
+ delete $r/c
+ delete $r/o
+ delete $r
+ delete $n/new
+ delete $n/d
+ delete $n
`

// flavours are settings in which the same is asked.
var flavours = []struct {
	name  string
	flags []string
	lists []string // nil for all
}{
	{"schemes", []string{"-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider", "-Dzookeeper.authProvider.2=org.apache.zookeeper.server.auth.X509AuthenticationProvider"}, nil},
	{"defaults", nil, []string{"world:anyone:%", "auth::%", "sasl:bob:%", "x509:CN=bob:%"}},
	{"skipACL", []string{"-Dzookeeper.skipACL=yes"}, []string{"auth::%", "ip:10.0.0.0/8:%", "sasl:bob:%"}},
	{"no digest", []string{"-Dzookeeper.DigestAuthenticationProvider.enabled=false"}, []string{"world:anyone:%", "ip:127.0.0.2/32:%", bob + ":%"}},
	{"digest asked for", []string{"-Dzookeeper.DigestAuthenticationProvider.enabled=false", "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider"}, []string{bob + ":%"}},
}

// matrix is the script of a flavour.
func matrix(lists []string, permissions []int, digest bool) string {
	var b strings.Builder
	step := func(conn, text string, replace ...string) {
		fmt.Fprintf(&b, "%s %s\n", conn, strings.NewReplacer(replace...).Replace(strings.TrimSpace(text)))
	}
	for _, c := range clients {
		step(c.name, strings.TrimSpace("connect "+c.connect))
		for _, a := range c.auth {
			if digest {
				step(c.name, "auth scheme=digest auth="+a)
			}
		}
	}
	for _, path := range []string{"/open", "/m", "/w", "/r"} {
		step("both", "create "+path)
	}
	number := 0
	for _, list := range lists {
		for _, perms := range permissions {
			acl := strings.ReplaceAll(list, "%", fmt.Sprint(perms))
			number++
			node, watched, recursive := fmt.Sprintf("/m/%d", number), fmt.Sprintf("/w/%d", number), fmt.Sprintf("/r/%d", number)
			replace := []string{"$n", node, "$acl", acl}
			fmt.Fprintf(&b, "== %s\n", acl)
			step("both", "create $n", replace...)
			step("both", "create $n/d", replace...)
			step("both", "create $n/e", replace...)
			step("both", "setACL $n acl=$acl", replace...)
			for _, c := range clients {
				step(c.name, "pipe"+strings.ReplaceAll(operations, "\n", "\n  "), replace...)
				step("admin", "pipe"+strings.ReplaceAll(restored, "\n", "\n  "), replace...)
			}
			replace = []string{"$n", watched, "$r", recursive, "$acl", acl}
			step("admin", "create $n", replace...)
			step("admin", "create $n/d", replace...)
			step("admin", "create $r", replace...)
			for _, c := range clients {
				step(c.name, "pipe"+strings.ReplaceAll(watching, "\n", "\n  "), replace...)
			}
			step("admin", "pipe"+strings.ReplaceAll(taken, "\n", "\n  "), replace...)
			step("admin", "pipe"+strings.ReplaceAll(changes, "\n", "\n  "), replace...)
			for _, c := range clients {
				step(c.name, "ping")
			}
		}
	}
	return b.String()
}

// TestMatrix plays the matrix to both servers. With QUOLL_ACL=1 it has all permissions for each list, otherwise one of them in turn.
func TestMatrix(t *testing.T) {
	peer.RequireJVM(t)
	total, long := 0, peer.Setting(t, "QUOLL_ACL", 0) != 0
	for i, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			chosen, perms := f.lists, permissions
			if chosen == nil {
				chosen = lists
			}
			if !long {
				perms = []int{1, 30, 2, 4, 8, 16}[:max(2, 6-2*i)]
			}
			var s script.Script
			if err := s.Parse(matrix(chosen, perms, f.name != "no digest")); err != nil {
				t.Fatal(err)
			}
			var answers [2][][]string
			played := make(chan error, 2)
			for i, kind := range peer.Kinds {
				server, err := kind.Start(peer.Options{
					Work:   t.TempDir(),
					Config: []string{"clientPortAddress=::", "extendedTypesEnabled=true", "reconfigEnabled=true", "maxSessionTimeout=600000"},
					Flags: append([]string{"-Dzookeeper.forceSync=no", "-Dznode.container.checkIntervalMs=1000000000",
						"-Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4="}, f.flags...),
				})
				peer.Check(t, err)
				defer server.Close()
				go func() {
					played <- script.Play(server.Addr(), &s, func(_ *script.Step, answer []string) { answers[i] = append(answers[i], answer) })
				}()
			}
			for range 2 {
				if err := <-played; err != nil {
					t.Fatal(err)
				}
			}
			total += compare(t, &s, answers)
		})
	}
	if total < 30000 {
		t.Errorf("%d requests are too few to say anything", total)
	}
}

// compare reports the first steps in which the servers differ, and returns how many requests there were.
func compare(t *testing.T, s *script.Script, answers [2][][]string) int {
	t.Helper()
	i, differ, requests, title := 0, 0, 0, ""
	for _, l := range s.Lines {
		if l.Step == nil {
			title = l.Text
			continue
		}
		java, quoll := answers[0][i], answers[1][i]
		i++
		requests += max(1, len(l.Step.Request.Parts))
		if slices.Equal(java, quoll) {
			continue
		}
		if differ++; differ > 5 {
			continue
		}
		at := 0
		for at < len(java) && at < len(quoll) && java[at] == quoll[at] {
			at++
		}
		t.Errorf("%s: %s: line %d of the answer\njava  %q\nquoll %q", title, l.Step.Source[0], at+1, java[at:min(at+3, len(java))], quoll[at:min(at+3, len(quoll))])
	}
	t.Logf("%d requests, %d steps of %d differ", requests, differ, i)
	return requests
}
