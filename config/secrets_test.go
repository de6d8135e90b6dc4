package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreNotShown(t *testing.T) {
	dir := t.TempDir()
	text := strings.NewReplacer("DIR", dir, "CR", "\r").Replace(`# a comment
  #ssl.keyStore.password=very-hidden
! the old superDigest was very-hiddenCRsnapCount=9CR\
clientPort=2181
dataDir=DIRCRssl.keyStore.password=very-hiddenCRtickTime=2000
ssl.trustStore.password : very\
  -hidden\CR-hidden
maxClientCnxns=\
  7
ssl.trustStore.passwordPath=/shown
DigestAuthenticationProvider.superDigest=super:very-hidden
myPasswd very-hidden
jaasOnly=very-hidden
é=é`)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(Sources{File: file, Args: []string{"-Dzookeeper.snapCount=7", "-DmyOwn.secret=very-hidden", "-DforJAAS=very-hidden", "-Dfoo=bar"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zookeeper.jaasOnly", "forJAAS", "zookeeper.snapCount"} {
		if _, ok := c.Property(name); !ok {
			t.Errorf("there is no %s", name)
		}
	}
	want := strings.NewReplacer("DIR", dir, "CR", "\r").Replace(`# a comment
# ******
# ******CRsnapCount=9CR\
clientPort=2181
dataDir=DIRCRssl.keyStore.password=******CRtickTime=2000
ssl.trustStore.password=******
maxClientCnxns=\
  7
ssl.trustStore.passwordPath=/shown
DigestAuthenticationProvider.superDigest=******
myPasswd=******
jaasOnly=******
é=é`)
	if got := c.MaskedText(); got != want {
		t.Errorf("%q, not\n%q", got, want)
	}
	var got []string
	for _, p := range c.SystemProperties() {
		got = append(got, p[0]+"="+p[1])
	}
	wantProperties := "foo=bar forJAAS=****** myOwn.secret=****** zookeeper.DigestAuthenticationProvider.superDigest=****** zookeeper.jaasOnly=****** " +
		"zookeeper.myPasswd=****** zookeeper.snapCount=9 zookeeper.ssl.keyStore.password=****** zookeeper.ssl.trustStore.password=****** zookeeper.ssl.trustStore.passwordPath=/shown zookeeper.Ã©=Ã©"
	if strings.Join(got, " ") != wantProperties {
		t.Errorf("%q", got)
	}
}
