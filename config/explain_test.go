package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "zoo.cfg")
	text := "tickTime=2000\nskipACL=yes\nfoo=bar\nconnectionMaxTokens=5\nserver.1=a:1:2\nssl.keyStore.password=topsecret\nDigestAuthenticationProvider.superDigest=super:x=\njute.maxbuffer=7\nforceSync=yes\n"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := Explain(Sources{File: name, Env: func(name string) string {
		return map[string]string{"JVMFLAGS": "-Xmx1g -Dzookeeper.snapCount=9 -Dfsync.warningthresholdms=5"}[name]
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		key, value string
		known      bool
		hint       string
	}{
		{"zookeeper.snapCount", "9", true, ""},
		{"fsync.warningthresholdms", "5", true, ""},
		{"tickTime", "2000", true, ""},
		{"skipACL", "yes", true, ""},
		{"foo", "bar", false, ""},
		{"connectionMaxTokens", "5", false, "the working key is connection_throttle_tokens"},
		{"server.1", "a:1:2", true, ""},
		{"ssl.keyStore.password", "(not shown)", true, ""},
		{"DigestAuthenticationProvider.superDigest", "(not shown)", true, ""},
		{"jute.maxbuffer", "7", false, "it works only as -Djute.maxbuffer"},
		{"forceSync", "yes", true, ""},
	}
	if len(all) != len(want) {
		t.Fatalf("%d lines", len(all))
	}
	for i, w := range want {
		e := all[i]
		if e.Key != w.key || e.Value != w.value || (e.Row != nil) != w.known || e.Hint != w.hint || e.Origin.Line != max(0, i-1) {
			t.Errorf("line %d: %+v", i+1, e)
		}
	}
}

// TestRisks: each row is about a key of the table and not about the default, but for the key whose default is the risk; and it is found wherever the key is set.
func TestRisks(t *testing.T) {
	const onlyDefault = "autopurge.purgeInterval"
	for _, r := range risks {
		if byName.find(r.key) == nil {
			t.Errorf("%s is no key of the table", r.key)
		} else if r.when(Defaults()) != (r.key == onlyDefault) {
			t.Errorf("%s: its default is a risk, or that of %s is none", r.key, onlyDefault)
		}
	}
	set := []string{
		"skipACL=yes", "forceSync=no", "digest.enabled=false", "snapshot.trust.empty=true", "snapCount=10", "jute.maxbuffer=99999999", "maxClientCnxns=0", "minSessionTimeout=1",
		"4lw.commands.whitelist=*", "enforce.auth.enabled=true", "enforce.auth.schemes=ip", "allowSaslFailedClients=true", "letAnySaslUserDoX=x", "ssl.hostnameVerification=false",
		"ssl.clientHostnameVerification=true", "ssl.clientAuth=want", "client.portUnification=true",
		"admin.portUnification=true", "admin.console=edit", "leaderServes=no", "syncLimit=1", "initLimit=5", "server.1=a:1:2", "server.2=b:1:2", "dataDir=" + t.TempDir(),
	}
	if err := os.WriteFile(filepath.Join(strings.TrimPrefix(set[len(set)-1], "dataDir="), "myid"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string { return map[string]string{"SERVER_JVMFLAGS": "-Dzookeeper.skipACL=yes"}[name] }
	for _, sources := range []Sources{{Set: set}, {Set: set[1:], Env: env}} {
		c, _, err := Load(sources)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, r := range c.Risks() {
			found[r.Key] = r.String()
		}
		for _, r := range risks {
			if found[r.key] == "" {
				t.Errorf("%s is not found in %v", r.key, found)
			}
		}
		if want := map[bool]string{true: "--set: skipACL: ", false: "SERVER_JVMFLAGS: skipACL: "}[sources.Env == nil]; !strings.HasPrefix(found["skipACL"], want) {
			t.Errorf("%q does not begin with %q", found["skipACL"], want)
		}
	}
}

// TestAgree: what members should have in common can be compared, and a server's own properties make the same of it that its configuration has.
func TestAgree(t *testing.T) {
	c, _, err := Load(Sources{Set: []string{"dataDir=/nowhere", "skipACL=yes", "jute.maxbuffer=7", "authProvider.1=" + digestAuthClass, "superUser.2=two", "znode.container.maxPerMinute=3"}})
	if err != nil {
		t.Fatal(err)
	}
	properties := map[string]string{}
	for _, p := range c.SystemProperties() {
		properties[p[0]] = p[1]
	}
	same, other := FromProperties(properties), FromProperties(nil)
	differ := map[string]bool{"skipACL": true, "jute.maxbuffer": true, "jute.maxbuffer.extrasize": true, "authProvider.N": true, "superUser": true, "znode.container.maxPerMinute": true}
	for i := range table {
		k := &table[i]
		if k.Agree == "" {
			continue
		}
		if k.field == nil {
			t.Errorf("%s cannot be compared", k.Name)
		} else if k.Where != FileOnly && !k.Equal(c, same) {
			t.Errorf("%s: %s there, %s here", k.Name, k.Text(same), k.Text(c))
		} else if k.Where != FileOnly && k.Equal(c, other) == differ[k.Name] {
			t.Errorf("%s: %s and the default %s", k.Name, k.Text(c), k.Text(other))
		}
	}
}
