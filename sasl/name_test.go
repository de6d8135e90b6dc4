package sasl

import (
	"errors"
	"strings"
	"testing"
)

// TestAuthorize has the ids that ZooKeeper's own KerberosName makes of names; compat/sasl asks it for many more.
func TestAuthorize(t *testing.T) {
	for _, c := range []struct {
		rules, user, want string
	}{
		{"DEFAULT", "bob", "bob"},
		{"DEFAULT", "a/b", "a/b"},
		{"DEFAULT", "bob@R", "bob@R"},
		{"DEFAULT", "bob/host@R", "bob/host@R"},
		{"DEFAULT", "bob@OTHER", "bob@OTHER"},
		{"DEFAULT", "", ""},
		{"DEFAULT", "a/b/c@R", "silent"},
		{"DEFAULT", "a@b@c", "silent"},
		{"RULE:[1:$1](b.*)s/o/0/ DEFAULT", "bobo@R", "b0bo@R"},
		{"RULE:[1:$1](b.*)s/o/0/g DEFAULT", "bobo@R", "b0b0@R"},
		{"RULE:[1:$1](b.*)s/o/0/gDEFAULT", "al@R", "al@R"},
		{"RULE:[2:$1;$2](.*;adm)s/^(.*);adm$/$1/", "bob/adm@R", "bob/adm@R"},
		{"RULE:[1:$1@$0](.*@OTHER)s/@.*//", "bob@OTHER", "bob@OTHER"},
		{"RULE:[1:$1@$0]", "bob@R", "bob@R"}, // not simple: the whole name stays
		{"RULE:[1:root]", "bob@R", "root@R"},
		{"RULE:[1:$2]", "bob@R", "silent"}, // one beyond the array
		{"RULE:[1:$3]", "bob@R", "bob@R"},  // further beyond: said in words
		{"RULE:[1:a$]", "bob@R", "bob@R"},
		{"RULE:[1:$1]s/(b)(o)/$2$1\\$\\\\/", "bob@R", `ob$\b@R`},
		{"RULE:[1:$1]s/(?P<x>o)/${x}${x}/", "bob@R", "boob@R"},
		{"RULE:[1:$1]s/(b)/$12/", "bob@R", "b2ob@R"},
		{"RULE:[1:$1]s/[a](b)?//", "ab@R", "@R"},
		{"RULE:[1:$1](b)", "bob@R", "bob@R"}, // the match is of the whole
		{"RULE:[1:x](z)RULE:[1:y](y)", "bob@R", "y@R"},
		{"", "bob@R", "bob@R"},
		{"", "bob", "bob"},
	} {
		rules, err := ParseRules(c.rules, "R")
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		names := Names{Rules: rules}
		got, err := names.Authorize(c.user)
		if errors.Is(err, ErrSilent) {
			got, err = "silent", nil
		}
		if got != c.want || err != nil {
			t.Errorf("%s: %q is %q, %v, want %q", c.rules, c.user, got, err, c.want)
		}
	}
	names := Names{Rules: mustRules(t, "DEFAULT"), RemoveHost: true}
	for _, removeRealm := range []bool{false, true} {
		names.RemoveRealm = removeRealm
		want := "bob@R"
		if removeRealm {
			want = "bob"
		}
		if got, err := names.Authorize("bob/host@R"); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func mustRules(t *testing.T, text string) Rules {
	t.Helper()
	rules, err := ParseRules(text, "R")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestRuleErrors(t *testing.T) {
	for text, want := range map[string]string{
		"RULE":                          "is no rule",
		"DEFAULT x":                     `" x" is no rule`,
		"RULE:[:x]":                     "is no rule",
		"RULE:[99999999999999999999:x]": "out of range",
		"RULE:[1:$1](()":                "missing closing",
		"RULE:[1:$1](a(?=b))":           "unsupported Perl syntax", // the match ends at the first bracket
		"RULE:[1:$1]s/a(?=b)//":         "invalid or unsupported Perl syntax",
		"RULE:[1:$1]s/a/$1/":            "no group 1",
		"RULE:[1:$1]s/a/$/":             "no number",
		"RULE:[1:$1]s/a/${x}/":          `no group "x"`,
		`RULE:[1:$1]s/a/\/`:             "ends with a backslash",
	} {
		if _, err := ParseRules(text, "R"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("RULE:[2:$1;$2](.*;adm)s/^(.*);adm$/$1\\$/g DEFAULT", "bob/adm@R")
	f.Fuzz(func(t *testing.T, text, user string) {
		rules, err := ParseRules(text, "R")
		if err != nil {
			return
		}
		names := Names{Rules: rules}
		_, _ = names.Authorize(user)
	})
}
