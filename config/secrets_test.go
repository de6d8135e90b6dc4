package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreNotShown(t *testing.T) {
	dir := t.TempDir()
	text := strings.ReplaceAll(`# a comment with password=kept
clientPort=2181
dataDir=DIR
ssl.keyStore.password=very-hidden
ssl.trustStore.password : very\
  -hidden
ssl.trustStore.passwordPath=/shown
DigestAuthenticationProvider.superDigest=super:very-hidden
myPasswd very-hidden`, "DIR", dir)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(Sources{File: file, Args: []string{"-Dzookeeper.snapCount=7", "-DmyOwn.secret=very-hidden", "-Dfoo=bar"}})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`# a comment with password=kept
clientPort=2181
dataDir=DIR
ssl.keyStore.password=******
ssl.trustStore.password=******
ssl.trustStore.passwordPath=/shown
DigestAuthenticationProvider.superDigest=******
myPasswd=******`, "DIR", dir)
	if got := c.MaskedText(); got != want {
		t.Errorf("%q, not\n%q", got, want)
	}
	var got []string
	for _, p := range c.SystemProperties() {
		got = append(got, p[0]+"="+p[1])
	}
	wantProperties := "foo=bar myOwn.secret=****** zookeeper.DigestAuthenticationProvider.superDigest=****** zookeeper.myPasswd=****** zookeeper.snapCount=7 " +
		"zookeeper.ssl.keyStore.password=****** zookeeper.ssl.trustStore.password=****** zookeeper.ssl.trustStore.passwordPath=/shown"
	if strings.Join(got, " ") != wantProperties {
		t.Errorf("%q", got)
	}
}
