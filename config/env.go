package config

import (
	"fmt"
	"strings"
)

// Property is a Java system property as -D gives it.
type Property struct {
	// Name is the full name, such as zookeeper.snapCount.
	Name string
	// Value is the text after "="; empty when there is none.
	Value string
	// Origin says which variable it came from.
	Origin Origin
}

// FromEnv reads the -D settings out of the environment variables that ZooKeeper's scripts hand to java, SERVER_JVMFLAGS and then JVMFLAGS, in the
// order in which they are found, so that a later one wins. ZOO_DATADIR_AUTOCREATE_DISABLE counts as -Dzookeeper.datadir.autocreate=false in front,
// and KRB5_CONFIG, which is Kerberos' own, as -Djava.security.krb5.conf.
// Tokens are split at blanks; quotes and backslashes work as in a shell. All other JVM options are ignored with one warning.
func FromEnv(getenv func(string) string) ([]Property, []Warning) {
	var properties []Property
	var warnings []Warning
	if getenv("ZOO_DATADIR_AUTOCREATE_DISABLE") != "" {
		properties = append(properties, Property{"zookeeper.datadir.autocreate", "false", Origin{Source: "ZOO_DATADIR_AUTOCREATE_DISABLE"}})
	}
	if file := getenv("KRB5_CONFIG"); file != "" {
		properties = append(properties, Property{"java.security.krb5.conf", file, Origin{Source: "KRB5_CONFIG"}})
	}
	var ignored []string
	for _, name := range []string{"SERVER_JVMFLAGS", "JVMFLAGS"} {
		tokens, closed := splitShell(getenv(name))
		if !closed {
			warnings = append(warnings, Warning{File: name, Message: "a quote is not closed; the rest is taken as one word"})
		}
		for _, t := range tokens {
			if p, ok := parseDefine(t, name); ok {
				properties = append(properties, p)
			} else {
				ignored = append(ignored, t)
			}
		}
	}
	if len(ignored) > 0 {
		warnings = append(warnings, Warning{File: "JVMFLAGS", Message: fmt.Sprintf("JVM options have no effect: %s", strings.Join(ignored, " "))})
	}
	if getenv("JMXPORT") != "" {
		warnings = append(warnings, Warning{File: "JMXPORT", Message: "there is no JMX"})
	}
	return properties, warnings
}

// Defines are the -D settings among the flags of a JVM, without an origin.
func Defines(flags string) (list []Property) {
	tokens, _ := splitShell(flags)
	for _, t := range tokens {
		if p, ok := parseDefine(t, ""); ok {
			list = append(list, p)
		}
	}
	return list
}

// parseDefine reads a token of the form -Dname=value or -Dname.
func parseDefine(token, source string) (Property, bool) {
	define, ok := strings.CutPrefix(token, "-D")
	name, value, _ := strings.Cut(define, "=")
	if !ok || name == "" {
		return Property{}, false
	}
	return Property{name, value, Origin{Source: source}}, true
}

// splitShell splits at blanks outside of quotes and removes the quotes, as a shell does, without expanding anything.
// closed is false when a quote is left open.
func splitShell(s string) (tokens []string, closed bool) {
	var token strings.Builder
	var quote byte
	inToken := false
	flush := func() {
		if inToken {
			tokens = append(tokens, token.String())
			token.Reset()
			inToken = false
		}
	}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case quote == '\'' && ch != '\'':
			token.WriteByte(ch)
		case ch == '\\' && i+1 < len(s) && (quote == 0 || strings.IndexByte(`"\$`+"`", s[i+1]) >= 0):
			i++
			token.WriteByte(s[i])
			inToken = true
		case quote != 0 && ch == quote:
			quote = 0
		case quote != 0:
			token.WriteByte(ch)
		case ch == '"' || ch == '\'':
			quote, inToken = ch, true
		case ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r':
			flush()
		default:
			token.WriteByte(ch)
			inToken = true
		}
	}
	flush()
	return tokens, quote == 0
}
