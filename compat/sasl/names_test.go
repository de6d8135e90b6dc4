//go:build unix

package sasl

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/sasl"
)

// TestNames asks ZooKeeper's own code for the ids of many users under many rules.
func TestNames(t *testing.T) {
	peer.RequireJVM(t)
	rules := []string{
		"DEFAULT", "DEFAULT DEFAULT", "RULE:[1:$1]", "RULE:[1:$1]DEFAULT", "RULE:[2:$1]", "RULE:[2:$2]", "RULE:[2:$1$2]", "RULE:[1:$0]", "RULE:[1:$1@$0]", "RULE:[1:$2]", "RULE:[1:$3]", "RULE:[2:$3]",
		"RULE:[1:$1$]", "RULE:[1:x]", "RULE:[1:]", "RULE:[0:x]", "RULE:[3:x]", "RULE:[:x]", "RULE:[x:x]", "RULE", "RULE:[1:$1", "default", "DEFAULT x", " DEFAULT ", "\u00a0DEFAULT", "RULE:[01:$1]",
		"RULE:[1:$1](b.*)", "RULE:[1:$1](b)", "RULE:[1:$1]()", "RULE:[1:$1@$0](.*@R)s/@.*//", "RULE:[1:$1@$0](.*@OTHER)s/@.*//RULE:[2:$1;$2](.*;adm)s/;.*//DEFAULT",
		"RULE:[1:$1]s/b/B/", "RULE:[1:$1]s/b/B/g", "RULE:[1:$1]s/b/B/gDEFAULT", "RULE:[1:$1]s/b/B/ g", "RULE:[1:$1]s/(b)(o)/$2$1/", "RULE:[1:$1]s/(b)/$0$1$11/", "RULE:[1:$1]s/b/$1/", "RULE:[1:$1]s/b/$/",
		"RULE:[1:$1]s/b/\\$/", "RULE:[1:$1]s/b/\\\\/", "RULE:[1:$1]s/b/\\/", "RULE:[1:$1]s/(?<x>b)/${x}${x}/", "RULE:[1:$1]s/(?<x>b)/${y}/", "RULE:[1:$1]s///", "RULE:[1:$1]s/x*/-/g", "RULE:[1:$1]s/x*/-/",
		"RULE:[1:$1]s/[a](b)//", "RULE:[1:$1]s/^(.)(.*)$/$2$1/", "RULE:[1:$1]s/(x)?b/<$1>/", "RULE:[1:$1]s/b/@/", "RULE:[1:$1]s/(?i)B/c/g", "RULE:[1:$1](", "RULE:[1:$1](b", "RULE:[1:$1]s/b", "RULE:[1:$1]s/b/c",
		"RULE:[1:$1]s/[/x/", "RULE:[1:$1](*)", "RULE:[2:$1/$2]", "RULE:[2:$1-$2]s/-/_/RULE:[1:$1]", "",
	}
	users := []string{"bob", "bobo", "bob@R", "bobo@R", "bob@OTHER", "bob/adm@R", "bob/adm@OTHER", "al@R", "a/b", "a/b/c", "a/b/c@R", "a@b@c", "@R", "@", "/@", "a/@R", "/b@R", "", "jörg@R", "юрий@R", "xb@R", "b-b@R", "bob@", "bob@r"}
	var input strings.Builder
	var want []string
	for _, rule := range rules {
		for _, remove := range []string{"", "host", "realm", "host realm"} {
			for _, user := range users {
				fmt.Fprintf(&input, "%s\t%s\t%s\n", rule, remove, user)
				want = append(want, nameOf(rule, remove, user))
			}
		}
	}
	classes := t.TempDir()
	peer.Check(t, peer.Compile("zookeeper", classes, "Names.java"))
	classpath, err := peer.Classpath("zookeeper", classes)
	peer.Check(t, err)
	krb5 := write(t, "krb5.conf", "[libdefaults]\n\tdefault_realm = R\n")
	cmd := exec.CommandContext(t.Context(), "java", "-Xmx128m", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Djava.security.krb5.conf="+krb5, "-Dlogback.configurationFile=../javaclient/logback.xml", "-cp", classpath, "Names")
	cmd.Stdin = strings.NewReader(input.String())
	out, err := cmd.Output()
	peer.Check(t, err)
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	lines := strings.Split(input.String(), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d questions", len(got), len(want))
	}
	// quoll does not start with a replacement that is broken, where ZooKeeper fails for those whose names it is for; and Go does not find an empty match right behind another match.
	different := []string{"RULE:[1:$1]s/b/$1/", "RULE:[1:$1]s/b/$/", "RULE:[1:$1]s/b/\\/", "RULE:[1:$1]s/(?<x>b)/${y}/", "RULE:[1:$1]s/x*/-/g"}
	for i := range want {
		rule, _, _ := strings.Cut(lines[i], "\t")
		if got[i] != want[i] && !slices.Contains(different, rule) {
			t.Errorf("%q: ZooKeeper %s, quoll %s", lines[i], got[i], want[i])
		}
	}
	t.Logf("%d names", len(want))
}

// nameOf is what package sasl calls a user, in the words of Names.java.
func nameOf(rule, remove, user string) string {
	parsed, err := sasl.ParseRules(rule, "R")
	if err != nil {
		return "no rules"
	}
	names := sasl.Names{Rules: parsed, RemoveHost: strings.Contains(remove, "host"), RemoveRealm: strings.Contains(remove, "realm")}
	id, err := names.Authorize(user)
	switch {
	case errors.Is(err, sasl.ErrSilent):
		return "thrown"
	case err != nil:
		return err.Error()
	}
	return "id " + id
}
