//go:build unix

package sasl

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/sasl"
)

const realm = peer.Realm

// kdc is a KDC, and clients of it.
type kdc struct{ *peer.KDC }

func startKDC(t *testing.T, principals ...string) *kdc {
	t.Helper()
	return &kdc{peer.StartKDC(t, principals...)}
}

// TestGSSAPI has the Java client authenticate with tickets of a KDC, at servers that make different ids of its principals.
func TestGSSAPI(t *testing.T) {
	peer.RequireJVM(t)
	k := startKDC(t, "zookeeper/localhost", "bob", "alice/host.quoll.test", "carl/a")
	client := javaClient(t, k.Section("Bob", "bob")+k.Section("Alice", "alice/host.quoll.test")+k.Section("Carl", "carl/a"),
		"-Djava.security.krb5.conf="+k.File("krb5.conf"), "-Dzookeeper.server.principal=zookeeper/localhost")
	server := write(t, "server.conf", k.Section("Server", "zookeeper/localhost@"+realm))
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
			all := flags(server, "-Djava.security.krb5.conf="+k.File("krb5.conf"))
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
	server := write(t, "server.conf", k.Section("Server", "zookeeper/localhost@"+realm))
	all := [][]string{{"-Dzookeeper.superUser=bob@" + realm}, {"-Dzookeeper.allowSaslFailedClients=true"}, {"-Dzookeeper.sessionRequireClientSASLAuth=true"}}
	if !long {
		all = all[:1]
	}
	for _, settings := range all {
		t.Run(settings[0], func(t *testing.T) {
			compare(t, peer.Options{Flags: flags(server, append(settings, "-Djava.security.krb5.conf="+k.File("krb5.conf"))...), Config: []string{"maxClientCnxns=0"}}, k.scenes(t))
		})
	}
}

// client is a client's side of an exchange, with a ticket of one type of key.
func (k *kdc) client(t *testing.T, who, service, encryption string) sasl.Exchange {
	t.Helper()
	conf, err := os.ReadFile(k.File("krb5.conf"))
	peer.Check(t, err)
	restricted := write(t, "krb5.conf", strings.Replace(string(conf), "[libdefaults]\n", fmt.Sprintf("[libdefaults]\n\tdefault_tkt_enctypes = %s\n\tdefault_tgs_enctypes = %s\n", encryption, encryption), 1))
	return k.exchange(t, restricted, k.Section("Client", who), service)
}

// exchange is a client's side of an exchange, as a section named Client says.
func (k *kdc) exchange(t *testing.T, conf, section, service string) sasl.Exchange {
	t.Helper()
	exchange, err := k.Exchange(conf, section, service)
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
	k.Tool(t, "bin/kinit", "-k", "-t", k.File("bob.keytab"), "-c", "FILE:"+k.File("cache"), "bob")
	list = append(list,
		scene{"good with a ticket cache", func(talk *talk) {
			section := fmt.Sprintf("Client { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true ticketCache=%q; };", k.File("cache"))
			play(k.exchange(t, k.File("krb5.conf"), section, "zookeeper/localhost"), nil)(talk)
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
