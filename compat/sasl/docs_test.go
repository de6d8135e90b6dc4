//go:build unix

package sasl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/jute"
)

// page is the examples of the section on SASL in docs/security.md, by their first lines.
func page(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	peer.Check(t, err)
	_, section, found := strings.Cut(string(text), "\n## SASL with clients\n")
	if !found {
		t.Fatal("the page has no section on SASL with clients")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	examples := map[string]string{}
	for i, part := range strings.Split(section, "\n```") {
		if i%2 == 1 {
			first, _, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
			examples[first] = strings.TrimPrefix(part, "\n") + "\n"
		}
	}
	return examples
}

// take is an example, which is then one less that nobody has tried.
func take(t *testing.T, examples map[string]string, first string) string {
	t.Helper()
	text, ok := examples[first]
	if !ok {
		t.Fatalf("the page has no example %q", first)
	}
	delete(examples, first)
	return text
}

// TestPage starts quoll with the examples of docs/security.md and has clients authenticate.
func TestPage(t *testing.T) {
	peer.RequireJVM(t)
	k := startKDC(t, "zookeeper/localhost", "bob")
	etc := filepath.Dir(k.File("krb5.conf"))
	local := strings.NewReplacer("/etc/krb5.conf", k.File("krb5.conf"), "/etc/zookeeper/", etc+"/", "zk1.example.com", "localhost", "EXAMPLE.COM", realm)
	examples := page(t)
	server := func(file, config, flags string) *peer.Server {
		jaas := take(t, examples, "// "+file)
		peer.Check(t, os.WriteFile(filepath.Join(etc, filepath.Base(file)), []byte(local.Replace(jaas)), 0o600))
		lines := strings.Split(strings.TrimSpace(local.Replace(take(t, examples, config))), "\n")
		_, value, _ := strings.Cut(strings.TrimSpace(local.Replace(take(t, examples, flags))), "=")
		return peer.Quoll(t, peer.Options{Config: lines, Flags: strings.Fields(value)})
	}
	passwords := server("/etc/zookeeper/jaas.conf", "# zoo.cfg", "SERVER_JVMFLAGS=-Djava.security.auth.login.config=/etc/zookeeper/jaas.conf")
	kerberos := server("/etc/zookeeper/jaas-kerberos.conf", "# zoo.cfg with Kerberos",
		"SERVER_JVMFLAGS=-Djava.security.auth.login.config=/etc/zookeeper/jaas-kerberos.conf -Djava.security.krb5.conf=/etc/krb5.conf")
	client := javaClient(t, take(t, examples, "// client.conf")+k.Section("Kerberos", "bob"), "-Djava.security.krb5.conf="+k.File("krb5.conf"), "-Dzookeeper.server.principal=zookeeper/localhost")
	for first := range examples {
		t.Errorf("nobody tries the example %q", first)
	}
	if out := client(t, passwords.Addr(), "Client"); !strings.Contains(out, "who sasl bob\n") || !strings.Contains(out, "acl [31,s{'sasl,'bob}") {
		t.Error(out)
	}
	if out := client(t, kerberos.Addr(), "Kerberos"); !strings.Contains(out, "who sasl bob\n") {
		t.Error(out)
	}
	talk := begin(t, passwords.Addr(), "")
	talk.request(jute.OpPing, nil)
	talk.request(jute.OpPing, nil)
	talk.conn.Close()
	if got := strings.Join(talk.record, "\n"); !strings.Contains(got, "ffffff84") || !strings.HasSuffix(got, "closed") {
		t.Errorf("somebody who has not authenticated is told %s", got)
	}
}
