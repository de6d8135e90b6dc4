package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"quoll/ensemble"
)

// Explanation says what one setting does.
type Explanation struct {
	// Key and Value are as written, but for a value that is a secret, which is not shown.
	Key, Value string
	// Origin is the place of the setting.
	Origin Origin
	// Row is the key's row in the table, nil for one that no part of the server reads.
	Row *Key
	// Hint says for a key without effect what was likely meant; it may be empty.
	Hint string
}

// Explain goes through the -D settings of the environment and the lines of zoo.cfg, or of a dynamic file. A file that cannot be read or is no properties file is an error;
// whether a server starts with it is for [Load] to say.
func Explain(src Sources) ([]Explanation, error) {
	var all []Explanation
	if src.Env != nil {
		defines, _ := FromEnv(src.Env)
		for _, p := range defines {
			row := byProperty.find(p.Name)
			if row == nil {
				row = byAlias(p.Name)
			}
			all = append(all, Explanation{Key: p.Name, Value: shown(p.Name, p.Value), Origin: p.Origin, Row: row})
		}
	}
	settings, _, err := readProperties(src.File)
	if err != nil {
		return nil, &Error{readError(err)}
	}
	for _, s := range settings {
		e := Explanation{Key: s.key, Value: shown(s.key, s.value), Origin: s.origin, Row: byName.find(s.key)}
		if e.Row != nil && e.Row.Where == PropertyOnly {
			e.Row = nil
		}
		if e.Row == nil && !ensemble.IsKey(s.key) {
			e.Hint = ignoredInFile(s.key)
		}
		all = append(all, e)
	}
	return all, nil
}

// shown is a value unless it is a secret.
func shown(key, value string) string {
	if secret(key) {
		return "(not shown)"
	}
	return value
}

// Risk is a value that the server takes and an operator should know about.
type Risk struct {
	// Key is the name in zoo.cfg.
	Key string
	// Origin is where it was set; empty for a default.
	Origin Origin
	// Why says what it can cost.
	Why string
}

// String returns the risk as file:line: key: why.
func (r Risk) String() string {
	where := "default"
	if r.Origin.Source != "" {
		where = r.Origin.String()
	}
	return fmt.Sprintf("%s: %s: %s", where, r.Key, r.Why)
}

// Risks returns what is risky in the configuration, wherever it was set.
func (c *Config) Risks() []Risk {
	var all []Risk
	for _, r := range risks {
		if r.when(c) {
			origin, _ := c.Origin(r.key)
			all = append(all, Risk{r.key, origin, r.why})
		}
	}
	return all
}

// takesTLS reports whether clients can come with TLS.
func (c *Config) takesTLS() bool { return c.SecureClientPort >= 0 || c.ClientPortUnification }

// optional reports whether the setting of clientAuth lets in who has no certificate.
func (t *TLS) optional() bool {
	auth := strings.ToLower(t.ClientAuth)
	return auth == "none" || auth == "want"
}

// risks are values that the server takes and an operator should know about. What a start itself warns about, such as certificates that are compared with no host, is not
// among them.
var risks = []struct {
	key  string
	when func(*Config) bool
	why  string
}{
	{"skipACL", func(c *Config) bool { return c.SkipACL }, "every client may read, change and delete everything"},
	{"forceSync", func(c *Config) bool { return !c.ForceSync }, "writes are acknowledged before they are on the disk: a loss of power loses them"},
	{"digest.enabled", func(c *Config) bool { return !c.DigestEnabled }, "a server whose tree is not that of the others goes unnoticed"},
	{"snapshot.trust.empty", func(c *Config) bool { return c.SnapshotTrustEmpty }, "a lost snapshot goes unnoticed; remove it when the server has started once"},
	{"autopurge.purgeInterval", func(c *Config) bool { return c.AutopurgePurgeInterval <= 0 }, "old snapshots and logs are never removed; the disk fills up unless something else does it"},
	{"snapCount", func(c *Config) bool { return c.IsSet("snapCount") && c.SnapCount < 1000 }, "a snapshot of everything after so few transactions keeps the disk busy"},
	{"jute.maxbuffer", func(c *Config) bool { return c.JuteMaxBuffer > 16<<20 }, "one request or reply may take that much memory, and every member and client needs the same setting to read it"},
	{"maxClientCnxns", func(c *Config) bool { return c.MaxClientCnxns <= 0 && c.MaxCnxns <= 0 }, "one client can take all connections"},
	{"minSessionTimeout", func(c *Config) bool { return c.MinSessionTimeout < 2*c.TickTime }, "a session may expire over a pause of one tick"},
	{"4lw.commands.whitelist", func(c *Config) bool { return slices.Contains(c.FourLetterWhitelist, "*") },
		"every word, also those that show clients and watched paths and those that reset statistics, for whoever reaches the client port"},
	{"enforce.auth.schemes", func(c *Config) bool { return c.EnforceAuthEnabled && slices.Contains(c.EnforceAuthSchemes, "ip") }, "every client has the scheme ip, so nobody is refused"},
	{"allowSaslFailedClients", func(c *Config) bool { return c.SASL.AllowFailed }, "a client whose SASL authentication failed is served, as nobody in particular"},
	{"letAnySaslUserDoX", func(c *Config) bool { return c.SASL.LetAnyUserDo != "" }, "every SASL user may do what ACLs grant to that id"},
	{"ssl.hostnameVerification", func(c *Config) bool {
		return c.takesTLS() && c.ClientTLS.ClientHostnameVerification && !c.ClientTLS.HostnameVerification
	},
		"the certificates of clients are compared with no address, although ssl.clientHostnameVerification asks for it"},
	{"ssl.clientAuth", func(c *Config) bool { return c.takesTLS() && c.ClientTLS.optional() }, "clients without a certificate are let in"},
	{"client.portUnification", func(c *Config) bool { return c.ClientPortUnification }, "clients are let in without TLS; for the time of a change only"},
	{"admin.portUnification", func(c *Config) bool { return c.AdminEnabled && c.AdminPortUnification && !c.AdminForceHTTPS }, "credentials for snapshot, restore and the console may come in plain text"},
	{"admin.console", func(c *Config) bool { return c.AdminEnabled && c.AdminConsole == ConsoleEdit }, "znodes are changed from browsers, by whoever has all permissions on the znode / : everybody, until its ACL is set"},
	{"leaderServes", func(c *Config) bool { return c.Distributed && !c.LeaderServes }, "the leader takes no clients, so an ensemble of three serves from two"},
	{"syncLimit", func(c *Config) bool { return c.Distributed && c.SyncLimit == 1 }, "a learner that pauses for a tick is left behind, and an election may follow"},
}

// FromProperties returns what Java system properties alone would make of the configuration, such as a running server tells at its AdminServer: a key that they do not have is at
// its default. What other keys say of it is not checked.
func FromProperties(properties map[string]string) *Config {
	l := loader{c: tableDefaults(), winners: map[string]winner{}}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if secret(name) && properties[name] == Masked {
			continue
		}
		l.define(Property{Name: name, Value: properties[name]})
	}
	l.apply()
	l.checkAuth(func(string, string, ...any) {})
	l.c.derive()
	return l.c
}

// Equal reports whether two configurations have the same value for a key.
func (k *Key) Equal(a, b *Config) bool {
	return k.field == nil || reflect.DeepEqual(k.field(a), k.field(b))
}

// Text is the value that a configuration has for a key, as zoo.cfg spells it; a secret is not shown.
func (k *Key) Text(c *Config) string {
	if k.field == nil {
		return ""
	}
	text := ""
	switch v := reflect.ValueOf(k.field(c)).Elem().Interface().(type) {
	case time.Duration:
		text = fmt.Sprint(int64(v / k.unit()))
	case []string:
		text = strings.Join(v, ",")
	case bool:
		text = fmt.Sprint(v)
		if k.Kind == Word && (k.Word == "yes" || k.Word == "no") {
			text = map[bool]string{true: "yes", false: "no"}[v]
		}
	default:
		text = fmt.Sprint(v)
	}
	return shown(k.Name, text)
}

// Secret reports whether the value of a key is never shown.
func (k *Key) Secret() bool { return secret(k.Name) }
