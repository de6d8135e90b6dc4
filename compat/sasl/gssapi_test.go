//go:build unix

package sasl

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/sasl"
)

const realm = "QUOLL.TEST"

// kdc is a KDC of MIT Kerberos on the loopback interface, with its own database, that ends with the test.
type kdc struct {
	dir, usr string
	env      []string
}

// startKDC makes a realm with the principals, each with a keytab of the name of its first part.
func startKDC(t *testing.T, principals ...string) *kdc {
	t.Helper()
	root, err := peer.Path("krb5")
	peer.Check(t, err)
	k := &kdc{dir: t.TempDir(), usr: filepath.Join(root, "usr")}
	libs, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-*"))
	peer.Check(t, err)
	more, err := filepath.Glob(filepath.Join(root, "lib/*-linux-*"))
	peer.Check(t, err)
	if len(libs) == 0 {
		t.Fatal("no libraries in " + root)
	}
	port, err := peer.FreePort()
	peer.Check(t, err)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	k.write(t, "krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = %s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	rdns = false
	udp_preference_limit = 1
[realms]
	%s = {
		kdc = %s
	}
[domain_realm]
	localhost = %s
`, realm, realm, addr, realm))
	k.write(t, "kdc.conf", fmt.Sprintf(`[kdcdefaults]
	kdc_listen = %s
	kdc_tcp_listen = %s
[realms]
	%s = {
		database_name = %s
		key_stash_file = %s
		supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal
	}
[dbmodules]
	db_module_dir = %s
[logging]
	kdc = STDERR
`, addr, addr, realm, k.file("principal"), k.file("stash"), filepath.Join(libs[0], "krb5/plugins/kdb")))
	k.env = []string{"KRB5_CONFIG=" + k.file("krb5.conf"), "KRB5_KDC_PROFILE=" + k.file("kdc.conf"), "LD_LIBRARY_PATH=" + strings.Join(append(libs, more...), ":")}
	k.tool(t, "sbin/kdb5_util", "create", "-s", "-r", realm, "-P", "master")
	for _, p := range principals {
		name, _, _ := strings.Cut(p, "/")
		k.tool(t, "sbin/kadmin.local", "-r", realm, "-q", "addprinc -randkey "+p)
		k.tool(t, "sbin/kadmin.local", "-r", realm, "-q", "ktadd -k "+k.file(name+".keytab")+" "+p)
	}
	server := &peer.Process{
		Args: []string{filepath.Join(k.usr, "sbin/krb5kdc"), "-n", "-r", realm}, Env: k.env, Dir: k.dir, LogPath: k.file("kdc.log"),
		Ready: func() error {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err
		},
	}
	t.Cleanup(func() {
		server.Kill()
		peer.ShowLog(t, "the KDC", server)
	})
	peer.Check(t, server.Start())
	return k
}

func (k *kdc) file(name string) string { return filepath.Join(k.dir, name) }

func (k *kdc) write(t *testing.T, name, text string) {
	t.Helper()
	peer.Check(t, os.WriteFile(k.file(name), []byte(text), 0o600))
}

func (k *kdc) tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := run(t, k.env, filepath.Join(k.usr, name), args...); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// section is one of a JAAS file.
func (k *kdc) section(name, principal string) string {
	first, _, _ := strings.Cut(principal, "/")
	return fmt.Sprintf("%s {\n  com.sun.security.auth.module.Krb5LoginModule required\n    useKeyTab=true keyTab=%q storeKey=true useTicketCache=false principal=%q;\n};\n", name, k.file(first+".keytab"), principal)
}

// TestGSSAPI has the Java client authenticate with tickets of a KDC, at servers that make different ids of its principals.
func TestGSSAPI(t *testing.T) {
	peer.RequireJVM(t)
	k := startKDC(t, "zookeeper/localhost", "bob", "alice/host.quoll.test", "carl/a")
	client := javaClient(t, k.section("Bob", "bob")+k.section("Alice", "alice/host.quoll.test")+k.section("Carl", "carl/a"),
		"-Djava.security.krb5.conf="+k.file("krb5.conf"), "-Dzookeeper.server.principal=zookeeper/localhost")
	server := write(t, "server.conf", k.section("Server", "zookeeper/localhost@"+realm))
	all := []struct {
		name  string
		flags []string
		words []string
	}{
		{"rules", []string{"kerberos.removeHostFromPrincipal=true", "kerberos.removeRealmFromPrincipal=true", "security.auth_to_local=RULE:[2:$1;$2](alice;.*)s/^alice;.*/admin/RULE:[1:$1](b.*)s/b/B/g"},
			[]string{"who sasl admin\n", "who sasl BoB\n", "who sasl carl/a@" + realm}}, // no rule is for carl
		{"whole names", nil, []string{"who sasl bob@" + realm, "who sasl alice/host.quoll.test@" + realm}},
		{"no hosts", []string{"kerberos.removeHostFromPrincipal=true"}, []string{"who sasl alice@" + realm}},
		{"no realms, a superuser", []string{"kerberos.removeRealmFromPrincipal=true", "superUser=bob"}, []string{"who sasl alice/host.quoll.test\n", "who super"}},
	}
	if !long {
		all = all[:1]
	}
	for _, test := range all {
		t.Run(test.name, func(t *testing.T) {
			all := flags(server, "-Djava.security.krb5.conf="+k.file("krb5.conf"))
			for _, f := range test.flags {
				all = append(all, "-Dzookeeper."+f)
			}
			seen := map[string]string{}
			peer.Each(t, peer.Options{Flags: all}, func(t *testing.T, s *peer.Server) { seen[s.Kind()] = client(t, s.Addr(), "Bob", "Alice", "Carl") })
			same(t, seen, test.words...)
		})
	}
}

// TestGSSAPIScenes plays scenes of a client of package sasl that does everything right and wrong, and compares what the two servers answer; the good ones have every type of key, and want the
// server to prove itself, as Java's client does not.
func TestGSSAPIScenes(t *testing.T) {
	peer.RequireJVM(t)
	k := startKDC(t, "zookeeper/localhost", "other/localhost", "bob", "alice/host.quoll.test")
	server := write(t, "server.conf", k.section("Server", "zookeeper/localhost@"+realm))
	all := [][]string{{"-Dzookeeper.superUser=bob@" + realm}, {"-Dzookeeper.allowSaslFailedClients=true"}, {"-Dzookeeper.sessionRequireClientSASLAuth=true"}}
	if !long {
		all = all[:1]
	}
	for _, settings := range all {
		t.Run(settings[0], func(t *testing.T) {
			compare(t, peer.Options{Flags: flags(server, append(settings, "-Djava.security.krb5.conf="+k.file("krb5.conf"))...), Config: []string{"maxClientCnxns=0"}}, k.scenes(t))
		})
	}
}

// client is a client's side of an exchange, with a ticket of one type of key.
func (k *kdc) client(t *testing.T, who, service, encryption string) sasl.Exchange {
	t.Helper()
	conf, err := os.ReadFile(k.file("krb5.conf"))
	peer.Check(t, err)
	restricted := write(t, "krb5.conf", strings.Replace(string(conf), "[libdefaults]\n", fmt.Sprintf("[libdefaults]\n\tdefault_tkt_enctypes = %s\n\tdefault_tgs_enctypes = %s\n", encryption, encryption), 1))
	return k.exchange(t, restricted, k.section("Client", who), service)
}

// exchange is a client's side of an exchange, as a section named Client says.
func (k *kdc) exchange(t *testing.T, conf, section, service string) sasl.Exchange {
	t.Helper()
	kerberos, err := sasl.ReadKerberos(conf)
	peer.Check(t, err)
	file, err := sasl.ParseFile("client.conf", section, func(string) (string, bool) { return "", false })
	peer.Check(t, err)
	login, err := file.Login("Client", kerberos)
	peer.Check(t, err)
	exchange, err := login.Client("", "", service)
	peer.Check(t, err)
	return exchange
}

func (k *kdc) scenes(t *testing.T) []scene {
	const aes256 = "aes256-cts-hmac-sha1-96"
	// play goes through an exchange, whose tokens may be changed on the way; change returns nil to say that it is over.
	play := func(c sasl.Exchange, change func(i int, token []byte) []byte) func(talk *talk) {
		return func(talk *talk) {
			talk.opaque = true
			answer := []byte(nil)
			for i := 0; !talk.over && !c.Done(); i++ {
				token, err := c.Step(answer)
				if err != nil {
					return // the server has refused
				}
				if change != nil {
					if token = change(i, token); token == nil {
						return
					}
				}
				talk.token(string(token))
				answer = talk.answer
			}
		}
	}
	var list []scene
	for _, encryption := range []string{aes256, "aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha384-192", "aes128-cts-hmac-sha256-128"} {
		list = append(list, scene{"good with " + encryption, func(talk *talk) { play(k.client(t, "bob", "zookeeper/localhost", encryption), nil)(talk) }})
	}
	bad := func(name string, change func(i int, token []byte) []byte) {
		list = append(list, scene{name, func(talk *talk) { play(k.client(t, "bob", "zookeeper/localhost", aes256), change)(talk) }})
	}
	at := func(n int, change func(token []byte) []byte) func(int, []byte) []byte {
		return func(i int, token []byte) []byte {
			if i == n {
				return change(token)
			}
			return token
		}
	}
	for n := range 3 {
		bad(fmt.Sprint("garbage for token ", n), at(n, func([]byte) []byte { return []byte("garbage") }))
		bad(fmt.Sprint("long garbage for token ", n), at(n, func([]byte) []byte { return make([]byte, 5000) }))
		if n != 1 {
			bad(fmt.Sprint("nothing for token ", n), at(n, func([]byte) []byte { return []byte{} }))
			bad(fmt.Sprint("half of token ", n), at(n, func(token []byte) []byte { return token[:len(token)/2] }))
			bad(fmt.Sprint("a change at the end of token ", n), at(n, func(token []byte) []byte { token[len(token)-1] ^= 1; return token }))
			bad(fmt.Sprint("a change at the start of token ", n), at(n, func(token []byte) []byte { token[0] ^= 1; return token }))
			bad(fmt.Sprint("a change in the middle of token ", n), at(n, func(token []byte) []byte { token[len(token)/2] ^= 1; return token }))
			bad(fmt.Sprint("a tail of token ", n), at(n, func(token []byte) []byte { return append(token, 0) }))
		}
	}
	var shown []byte
	k.tool(t, "bin/kinit", "-k", "-t", k.file("bob.keytab"), "-c", "FILE:"+k.file("cache"), "bob")
	list = append(list,
		scene{"good with a ticket cache", func(talk *talk) {
			section := fmt.Sprintf("Client { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true ticketCache=%q; };", k.file("cache"))
			play(k.exchange(t, k.file("krb5.conf"), section, "zookeeper/localhost"), nil)(talk)
		}},
		scene{"another service", func(talk *talk) { play(k.client(t, "bob", "other/localhost", aes256), nil)(talk) }},
		scene{"shown once", func(talk *talk) {
			play(k.client(t, "bob", "zookeeper/localhost", aes256), at(0, func(token []byte) []byte { shown = token; return token }))(talk)
		}},
		scene{"shown once, and again", func(talk *talk) { talk.opaque = true; talk.token(string(shown)) }},
		scene{"a token too many", func(talk *talk) {
			play(k.client(t, "alice/host.quoll.test", "zookeeper/localhost", aes256), nil)(talk)
			talk.token("")
		}},
		scene{"two principals", func(talk *talk) {
			play(k.client(t, "alice/host.quoll.test", "zookeeper/localhost", aes256), nil)(talk)
			play(k.client(t, "bob", "zookeeper/localhost", aes256), nil)(talk)
		}},
	)
	return list
}
