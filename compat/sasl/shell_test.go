//go:build unix

package sasl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// TestJavaEnv has quoll under the name zkCli.sh take the settings out of java.env, as the script does.
func TestJavaEnv(t *testing.T) {
	home, file := t.TempDir(), jaas(t)
	text, err := os.ReadFile(file)
	peer.Check(t, err)
	client := fmt.Sprintf("Client { org.apache.zookeeper.server.auth.DigestLoginModule required username=\"bob\" password=%q; };\n", users["bob"])
	peer.Check(t, os.WriteFile(file, append(text, client...), 0o600))
	peer.Check(t, os.Mkdir(filepath.Join(home, "conf"), 0o700))
	peer.Check(t, os.WriteFile(filepath.Join(home, "conf", "java.env"), []byte("export JVMFLAGS='-Dzookeeper.fips-mode=false -Djava.security.auth.login.config="+file+"'\n"), 0o600))
	quoll, err := peer.Binary()
	peer.Check(t, err)
	_, err = peer.Output(t, patience, nil, quoll, "scripts", filepath.Join(home, "bin"))
	peer.Check(t, err)
	s := peer.Quoll(t, peer.Options{Flags: flags(file, "-Dzookeeper.sessionRequireClientSASLAuth=true")})
	out, err := peer.Output(t, patience, nil, filepath.Join(home, "bin", "zkCli.sh"), "-server", s.Addr(), "whoami")
	if err != nil || !strings.Contains(out, "sasl: bob\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestShell has zkCli.sh and quoll cli ask a server who they are, with the same flags of the JVM: passwords and tickets that are good, wrong, or missing.
func TestShell(t *testing.T) {
	peer.RequireJVM(t)
	classpath, err := peer.Classpath("zookeeper")
	peer.Check(t, err)
	quoll, err := peer.Binary()
	peer.Check(t, err)
	k := startKDC(t, "zookeeper/localhost", "bob")
	k.Tool(t, "bin/kinit", "-k", "-t", k.File("bob.keytab"), "-c", "FILE:"+k.File("cache"), "bob")
	digest := func(section, user, password string) string {
		return fmt.Sprintf("%s { org.apache.zookeeper.server.auth.DigestLoginModule required username=%q password=%q; };\n", section, user, password)
	}
	passwords := write(t, "passwords.conf", digest("Client", "bob", users["bob"])+digest("Wrong", "bob", "wrong")+digest("Unknown", "nemo", "x"))
	tickets := write(t, "tickets.conf", k.Section("Client", "bob")+
		"Cache { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true; };\n"+
		fmt.Sprintf("Named { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true ticketCache=%q; };\n", k.File("cache"))+
		fmt.Sprintf("None { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true ticketCache=%q; };\n", k.File("nothing")))
	kerberos := "java.security.krb5.conf=" + k.File("krb5.conf")
	const noFIPS = "zookeeper.fips-mode=false"
	section := func(name string) string { return "zookeeper.sasl.clientconfig=" + name }
	type asks struct {
		name     string
		settings []string
		want     string // "sasl: bob" and so on; empty if there is no answer
	}
	for _, mechanism := range []struct {
		file   string // of the client
		server []string
		all    []asks
	}{
		{passwords, flags(jaas(t)), []asks{
			{"the password", []string{noFIPS}, "sasl: bob"},
			{"in FIPS mode", nil, ""},
			{"a wrong password", []string{noFIPS, section("Wrong")}, ""},
			{"nobody knows him", []string{noFIPS, section("Unknown")}, ""},
			{"no such section", []string{noFIPS, section("Nobody")}, "ip: 127.0.0.1"},
			{"no such file", []string{noFIPS, "java.security.auth.login.config=" + passwords + ".no"}, "ip: 127.0.0.1"},
			{"switched off", []string{noFIPS, "zookeeper.sasl.client=false"}, "ip: 127.0.0.1"},
		}},
		{tickets, flags(write(t, "server.conf", k.Section("Server", "zookeeper/localhost@"+realm)), "-D"+kerberos), []asks{
			{"a keytab", nil, "sasl: bob@" + realm},
			{"the user's cache", []string{section("Cache")}, "sasl: bob@" + realm},
			{"a cache", []string{section("Named")}, "sasl: bob@" + realm},
			{"another name of the server", []string{"zookeeper.server.principal=zookeeper/localhost@" + realm}, "sasl: bob@" + realm},
			{"another service", []string{"zookeeper.sasl.client.username=other"}, ""},
		}},
	} {
		peer.Each(t, peer.Options{Flags: mechanism.server}, func(t *testing.T, s *peer.Server) {
			for i, ask := range mechanism.all {
				settings := append([]string{kerberos, "java.security.auth.login.config=" + mechanism.file}, ask.settings...)
				addr := strings.Replace(s.Addr(), "127.0.0.1", "localhost", 1)
				for name, command := range map[string]string{
					"zkCli.sh":  "exec java -Xmx128m -XX:TieredStopAtLevel=1 -Dzookeeper.log.level=OFF $CLIENT_JVMFLAGS -cp " + classpath + " org.apache.zookeeper.ZooKeeperMain",
					"quoll cli": "exec " + quoll + " cli",
				} {
					if !long && ((name == "quoll cli") == (s.Kind() == "quoll") || name == "zkCli.sh" && i > 0) {
						continue // each shell at the other's server, and the slow one once
					}
					env := []string{"CLIENT_JVMFLAGS=-D" + strings.Join(settings, " -D"), "KRB5CCNAME=" + k.File("cache"), "HOME=" + t.TempDir()}
					out, err := peer.Output(t, 4*patience, env, "sh", "-c", command+" -server "+addr+" -timeout 3000 -waitforconnection whoami")
					if strings.Contains(out, "sasl: ") != strings.HasPrefix(ask.want, "sasl: ") || !strings.Contains(out, ask.want) {
						t.Errorf("%s: %s at %s: %v, want %q\n%s", ask.name, name, s.Kind(), err, ask.want, out)
					}
					if name == "quoll cli" && (err == nil) != (ask.want != "") { // the other one shows nobody, and is content
						t.Errorf("%s: %s: %v", ask.name, name, err)
					}
				}
			}
		})
	}
}
