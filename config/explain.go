package config

import (
	"slices"
	"strings"

	"quoll/ensemble"
)

// Explanation says what one line of a configuration file does.
type Explanation struct {
	// Key and Value are as written, but for a value that is a secret, which is not shown.
	Key, Value string
	// Origin is the place of the line.
	Origin Origin
	// Row is the key's row in the table, nil for one that no part of the server reads.
	Row *Key
	// Hint says for a key without effect what was likely meant; it may be empty.
	Hint string
	// Risk says what a value can cost that is allowed; empty for others.
	Risk string
}

// Explain goes through the lines of zoo.cfg, or of a dynamic file. A file that cannot be read or is no properties file is an error; whether a server starts with it is for
// [Load] to say.
func Explain(file string) ([]Explanation, error) {
	settings, _, err := readProperties(file)
	if err != nil {
		return nil, readError(err)
	}
	var all []Explanation
	for _, s := range settings {
		e := Explanation{Key: s.key, Value: s.value, Origin: s.origin, Row: byName.find(s.key)}
		if e.Row != nil && e.Row.Where == PropertyOnly {
			e.Row = nil
		}
		if e.Row == nil && !ensemble.IsKey(s.key) {
			e.Hint = ignoredInFile(s.key)
		}
		for _, r := range risks {
			if r.key == s.key && r.when(s.value) {
				e.Risk = r.why
			}
		}
		if secret(s.key) {
			e.Value = "(not shown)"
		}
		all = append(all, e)
	}
	return all, nil
}

func is(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, strings.ToLower(v)) }
}

// risks are values that the server takes and an operator should know about.
var risks = []struct {
	key  string
	when func(value string) bool
	why  string
}{
	{"skipACL", is("yes"), "every client may read, change and delete everything"},
	{"forceSync", is("no"), "writes are acknowledged before they are on the disk: a loss of power loses them"},
	{"4lw.commands.whitelist", func(v string) bool { return strings.Contains(v, "*") }, "every word, also those that show clients and watched paths and those that reset statistics, for whoever reaches the client port"},
	{"maxClientCnxns", is("0"), "one client can take all connections"},
	{"autopurge.purgeInterval", is("0"), "old snapshots and logs are never removed; the disk fills up unless something else does it"},
	{"snapshot.trust.empty", is("true"), "a lost snapshot goes unnoticed"},
	{"ssl.hostnameVerification", is("false"), "whoever has any certificate that is trusted can take the place of a server"},
	{"ssl.quorum.hostnameVerification", is("false"), "whoever has any certificate that is trusted can take the place of a member"},
	{"ssl.clientAuth", is("none", "want"), "clients without a certificate are let in"},
	{"ssl.quorum.clientAuth", is("none", "want"), "servers without a certificate are let in"},
	{"portUnification", is("true"), "members are let in without TLS; for the time of a change only"},
	{"client.portUnification", is("true"), "clients are let in without TLS; for the time of a change only"},
	{"leaderServes", is("no"), "the leader takes no clients, so an ensemble of three serves from two"},
	{"syncLimit", is("1"), "a learner that pauses for a tick is left behind, and an election may follow"},
}
