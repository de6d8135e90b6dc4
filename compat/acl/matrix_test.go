// Package acl_test compares who may do what with ZooKeeper: every operation, alone and in multi and multiRead, for every permission, scheme and kind of client, and who
// is told of changes to znodes that may no longer be read.
package acl_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/compat/script"
	"quoll/sasl"
	"quoll/tlsconf/tlstest"
)

// client is who asks: how it connects, and what it authenticates as.
type client struct {
	name, connect string
	digest        []string // user:password
	certificate   string   // the common name of that which it shows
	user          string   // of SASL with a password
	principal     string   // of SASL with a ticket
}

// clients are those of a flavour that has no others. The znodes are made by both, and what a client has changed is put back by admin.
var clients = []client{
	{name: "plain"},
	{name: "near", connect: "from=127.0.0.2"},
	{name: "six", connect: "via=::1"},
	{name: "bob", digest: []string{"bob:pw"}},
	{name: "both", digest: []string{"bob:pw", "alice:pw"}},
	{name: "admin", digest: []string{"super:secret"}},
}

// proven are clients that prove who they are by a certificate, by SASL, or by both.
var proven = []client{
	{name: "plain"},
	{name: "certificate", certificate: "bob"},
	{name: "sasl", user: "bob"},
	{name: "both", certificate: "bob", user: "bob"},
	{name: "others", certificate: "alice", user: "alice", digest: []string{"bob:pw"}},
	{name: "cert-super", certificate: "root"},
	{name: "sasl-boss", user: "boss"},
	{name: "sasl-super", user: "super"},
	{name: "admin", digest: []string{"super:secret"}},
}

// provenLists are their ACLs. Whoever has authenticated by SASL is anysasl.
var provenLists = []string{"auth::%", "sasl:bob:%", "sasl:anysasl:%", "x509:CN=bob:%", "sasl:bob:1,x509:CN=bob:%", "x509:CN=bob:1,sasl:alice:%", "world:anyone:%"}

// ticketed are clients that prove who they are by tickets of Kerberos.
var ticketed = []client{
	{name: "plain"},
	{name: "bob", principal: "bob"},
	{name: "host", principal: "bob/near.test"},
	{name: "both", principal: "bob", certificate: "bob"},
	{name: "others", principal: "alice/near.test", digest: []string{"bob:pw"}},
	{name: "boss", principal: "boss/near.test"},
	{name: "super", principal: "super"},
	{name: "admin", digest: []string{"super:secret"}},
}

// ticketedLists have the ids that the settings make of their principals, one or the other.
var ticketedLists = []string{
	"auth::%", "sasl:bob:%", "sasl:bob@QUOLL.TEST:%", "sasl:bob/near.test@QUOLL.TEST:%", "sasl:bob/near.test:%", "sasl:bob@ELSEWHERE:%", "sasl:bob/near.test:1,sasl:alice/near.test@QUOLL.TEST:%", "sasl:alice:%,x509:CN=bob:1",
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

const (
	bySASL        = "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
	byCertificate = "-Dzookeeper.authProvider.2=org.apache.zookeeper.server.auth.X509AuthenticationProvider"
	noHosts       = "-Dzookeeper.kerberos.removeHostFromPrincipal=true"
	noRealms      = "-Dzookeeper.kerberos.removeRealmFromPrincipal=true"
)

// flavours are settings in which the same is asked.
var flavours = []struct {
	name    string
	flags   []string
	lists   []string // nil for all
	clients []client // nil for those that have no certificates, and no users of SASL
	long    bool     // part of the long form alone
}{
	{"schemes", []string{bySASL, byCertificate}, nil, nil, false},
	{"defaults", nil, []string{"world:anyone:%", "auth::%", "sasl:bob:%", "x509:CN=bob:%"}, nil, false},
	{"skipACL", []string{"-Dzookeeper.skipACL=yes"}, []string{"auth::%", "ip:10.0.0.0/8:%", "sasl:bob:%"}, nil, false},
	{"no digest", []string{"-Dzookeeper.DigestAuthenticationProvider.enabled=false"}, []string{"world:anyone:%", "ip:127.0.0.2/32:%", bob + ":%"}, nil, false},
	{"digest asked for", []string{"-Dzookeeper.DigestAuthenticationProvider.enabled=false", "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider"}, []string{bob + ":%"}, nil, false},
	{"certificates and SASL", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss", "-Dzookeeper.letAnySaslUserDoX=anysasl", "-Dzookeeper.X509AuthenticationProvider.superUser=CN=root"}, provenLists, proven, false},
	{"tickets", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss/near.test@QUOLL.TEST"}, ticketedLists, ticketed, false},
	{"tickets without hosts and realms", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss", noHosts, noRealms}, ticketedLists, ticketed, false},
	{"tickets without hosts", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss@QUOLL.TEST", noHosts}, ticketedLists, ticketed, true},
	{"tickets without realms", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss/near.test", noRealms}, ticketedLists, ticketed, true},
	{"tickets with other names", []string{bySASL, byCertificate, "-Dzookeeper.superUser=boss", noHosts, noRealms, "-Dzookeeper.security.auth_to_local=RULE:[2:$1](alice)s/alice/bob/RULE:[1:$1](bob)s/b$/ss/DEFAULT"}, append([]string{"sasl:boss:%"}, ticketedLists...), ticketed, true},
}

// matrix is the script of a flavour.
func matrix(clients []client, lists []string, permissions []int, digest bool) string {
	var b strings.Builder
	step := func(conn, text string, replace ...string) {
		fmt.Fprintf(&b, "%s %s\n", conn, strings.NewReplacer(replace...).Replace(strings.TrimSpace(text)))
	}
	for _, c := range clients {
		step(c.name, strings.TrimSpace("connect "+c.connect))
		if c.user != "" {
			step(c.name, "login user="+c.user+" password=secret")
		}
		if c.principal != "" {
			step(c.name, "login principal="+c.principal)
		}
		for _, a := range c.digest {
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

// TestMatrix plays the matrix to both servers. With QUOLL_ACL=1 it has all flavours, and all permissions for each list, otherwise some of them.
func TestMatrix(t *testing.T) {
	peer.RequireJVM(t)
	total, long := 0, peer.Setting(t, "QUOLL_ACL", 0) != 0
	for i, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			if f.long && !long {
				t.Skip("QUOLL_ACL=1 has it")
			}
			chosen, perms := f.lists, permissions
			if chosen == nil {
				chosen = lists
			}
			if !long {
				perms = []int{1, 30, 2, 4, 8, 16}[:max(2, 6-2*i)]
			}
			who, config, flags, equip := clients, []string(nil), f.flags, func(*script.Player) {}
			if f.clients != nil {
				who = f.clients
				config, flags, equip = prove(t, who, flags)
			}
			var s script.Script
			if err := s.Parse(matrix(who, chosen, perms, f.name != "no digest")); err != nil {
				t.Fatal(err)
			}
			var answers [2][][]string
			played := make(chan error, 2)
			for i, kind := range peer.Kinds {
				server, err := kind.Start(peer.Options{
					Work:   t.TempDir(),
					Config: append([]string{"clientPortAddress=::", "extendedTypesEnabled=true", "reconfigEnabled=true", "maxSessionTimeout=600000"}, config...),
					Flags: append([]string{"-Dzookeeper.forceSync=no", "-Dznode.container.checkIntervalMs=1000000000",
						"-Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4="}, flags...),
				})
				peer.Check(t, err)
				defer server.Close()
				go func() {
					player, err := script.NewPlayer(server.Addr())
					if err == nil {
						defer player.Close()
						equip(player)
						err = player.Play(&s, func(_ *script.Step, answer []string) { answers[i] = append(answers[i], answer) })
					}
					played <- err
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

// prove makes what a server needs that clients prove themselves to, plain or with TLS on one port, and gives a player their certificates and tickets.
func prove(t *testing.T, clients []client, flags []string) (config, all []string, equip func(*script.Player)) {
	t.Helper()
	ca, dir, shown := tlstest.New(t, "ca"), t.TempDir(), map[string]*tls.Config{}
	file := func(name string) string { return filepath.Join(dir, name) }
	users, principals := "", []string{"zookeeper/localhost"}
	for _, c := range clients {
		if c.certificate != "" {
			shown[c.name] = ca.Config(ca.Issue(c.certificate, nil))
		}
		if c.user != "" {
			users += fmt.Sprintf("user_%s=%q ", c.user, "secret")
		}
		if c.principal != "" && !slices.Contains(principals, c.principal) {
			principals = append(principals, c.principal)
		}
	}
	ca.Write(file("ca.pem"), ca.Trust())
	ca.Write(file("server.pem"), ca.Store(ca.Issue("server", nil)))
	config = []string{
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory", "client.portUnification=true", "ssl.clientAuth=want",
		"ssl.keyStore.location=" + file("server.pem"), "ssl.trustStore.location=" + file("ca.pem"),
	}
	all = append([]string{"-Djava.security.auth.login.config=" + file("jaas.conf")}, flags...)
	section, tickets := "Server { org.apache.zookeeper.server.auth.DigestLoginModule required "+users+"; };", (func(string) (sasl.Exchange, error))(nil)
	if len(principals) > 1 {
		k := peer.StartKDC(t, principals...)
		section, all = k.Section("Server", principals[0]+"@"+peer.Realm), append(all, "-Djava.security.krb5.conf="+k.File("krb5.conf"))
		tickets = func(principal string) (sasl.Exchange, error) {
			return k.Exchange(k.File("krb5.conf"), k.Section("Client", principal), principals[0])
		}
	}
	ca.Write(file("jaas.conf"), []byte(section))
	return config, all, func(p *script.Player) {
		p.Tickets = tickets
		p.Wrap = func(name string, c net.Conn) net.Conn {
			if shown[name] != nil {
				return tls.Client(c, shown[name])
			}
			return c
		}
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
