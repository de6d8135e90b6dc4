package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestExplain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "zoo.cfg")
	text := "tickTime=2000\nskipACL=yes\nfoo=bar\nconnectionMaxTokens=5\nserver.1=a:1:2\nssl.keyStore.password=topsecret\nDigestAuthenticationProvider.superDigest=super:x=\njute.maxbuffer=7\nforceSync=yes\n"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := Explain(name)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		key, value string
		known      bool
		hint       string
		risky      bool
	}{
		{"tickTime", "2000", true, "", false},
		{"skipACL", "yes", true, "", true},
		{"foo", "bar", false, "", false},
		{"connectionMaxTokens", "5", false, "the working key is connection_throttle_tokens", false},
		{"server.1", "a:1:2", true, "", false},
		{"ssl.keyStore.password", "(not shown)", true, "", false},
		{"DigestAuthenticationProvider.superDigest", "(not shown)", true, "", false},
		{"jute.maxbuffer", "7", false, "it works only as -Djute.maxbuffer", false},
		{"forceSync", "yes", true, "", false},
	}
	if len(all) != len(want) {
		t.Fatalf("%d lines", len(all))
	}
	for i, w := range want {
		e := all[i]
		if e.Key != w.key || e.Value != w.value || (e.Row != nil) != w.known || e.Hint != w.hint || (e.Risk != "") != w.risky || e.Origin.Line != i+1 {
			t.Errorf("line %d: %+v", i+1, e)
		}
	}
}

// TestRisks: a row is about a key that can be set in zoo.cfg, and not about its default, but for keys whose default is the risk.
func TestRisks(t *testing.T) {
	for _, r := range risks {
		row := byName.find(r.key)
		if row == nil || row.Where == PropertyOnly {
			t.Errorf("%s is no key of zoo.cfg", r.key)
		} else if r.when(row.Default) && r.key != "autopurge.purgeInterval" {
			t.Errorf("%s: the default %s is a risk", r.key, row.Default)
		}
	}
}
