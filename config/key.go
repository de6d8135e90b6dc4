package config

import (
	"slices"
	"strings"
)

// Status says what quoll does with a key.
type Status int

// The statuses.
const (
	// Acts: the key does in quoll what it does in ZooKeeper.
	Acts Status = iota
	// Accepted: there is nothing to do. The key tunes an internal of the Java server.
	Accepted
	// Warns: accepted, but without the effect it has in Java; a line at start says so when the value differs from the default.
	Warns
	// Refuses: the server does not start when the value asks for what quoll does not do, because ignoring it would be unsafe.
	Refuses
)

var statusNames = [...]string{Acts: "acts", Accepted: "accepted", Warns: "warn", Refuses: "refuse"}

// String returns the word used in the documentation.
func (s Status) String() string { return statusNames[s] }

// Where says in which places Java reads a key.
type Where int

// The places.
const (
	// Both: a system property zookeeper.<name>, and <name> in zoo.cfg.
	Both Where = iota
	// FileOnly: known to the parser of zoo.cfg, and not a system property.
	FileOnly
	// PropertyOnly: a system property; the same name in zoo.cfg does nothing in Java.
	PropertyOnly
)

// Key is one row of the table of settings.
type Key struct {
	// Name is the key in zoo.cfg, or the system property when Where is PropertyOnly. A name that ends in ".N" or ".*" stands for every key with the
	// text before it.
	Name string
	// Where says where Java reads the key.
	Where Where
	// Alias is a second system property that counts when the first is absent.
	Alias string
	// Kind says how the value is parsed.
	Kind Kind
	// Word is the one word that counts, for Kind Word.
	Word string
	// Unit is the unit of a number: "ms", "hours", "ticks", "KiB", "bytes", "port".
	Unit string
	// Default is the value used when the key is absent, in the syntax of zoo.cfg; empty when there is none or when it follows from other keys.
	Default string
	// DefaultNote says what the default is when Default cannot.
	DefaultNote string
	// Choices are the only values allowed; empty when any is.
	Choices []string
	// Status says what quoll does with the key.
	Status Status
	// Lacks completes the sentence "quoll does not …", for the statuses Warns and Refuses.
	Lacks string
	// Agree says why all members of an ensemble should have the same value; empty for keys of each server's own.
	Agree string
	// Doc describes the key in one sentence.
	Doc string

	field func(*Config) any       // a pointer to where the value goes; nil when it is only checked
	asks  func(value string) bool // for Warns and Refuses: whether the value asks for what is lacking; nil for the rule of asksFor
}

// Section is a part of the table with its heading.
type Section struct {
	Title string
	Note  string // what holds for all its keys; may be empty
	Keys  []Key
}

// Property returns the name of the Java system property, or "" when the key is none.
func (k *Key) Property() string {
	switch k.Where {
	case FileOnly:
		return ""
	case PropertyOnly:
		return k.Name
	}
	return "zookeeper." + k.Name
}

// prefix returns the text before the variable part of a pattern, and whether the row is a pattern.
func (k *Key) prefix() (string, bool) {
	if p, ok := strings.CutSuffix(k.Name, "N"); ok && strings.HasSuffix(p, ".") {
		if p != "server." && k.Where == FileOnly {
			p = strings.TrimSuffix(p, ".") // Java looks for group and weight without the dot
		}
		return p, true
	}
	return strings.CutSuffix(k.Name, "*")
}

// applyDefault stores the row's default in its field.
func (k *Key) applyDefault(c *Config) {
	if k.Default == "" {
		return
	}
	if err := k.parse(c, k.Default); err != nil {
		panic("config: default of " + k.Name + ": " + err.Error())
	}
}

// asksFor reports whether value asks for what the row lacks: anything but the default and the words that switch a thing off.
func (k *Key) asksFor(value string) bool {
	if k.asks != nil {
		return k.asks(value)
	}
	off := k.Status == Refuses && slices.Contains([]string{"", "false", "none"}, strings.ToLower(value))
	return !off && !strings.EqualFold(value, k.Default)
}

//go:generate go test . -run ^TestDocumentation$ -update

// Sections returns the table of all keys. The caller must not change it.
func Sections() []Section { return sections }

// table is all rows in order; sections are slices of the same rows.
var table = func() []Key {
	var all []Key
	for _, s := range sections {
		all = append(all, s.Keys...)
	}
	return all
}()

// index finds rows by name. Patterns are tried after exact names, the longest prefix first.
type index struct {
	exact    map[string]*Key
	prefixes []prefixRow
}

type prefixRow struct {
	prefix string
	key    *Key
}

var (
	// byName finds rows by the name in zoo.cfg, or the property of rows that zoo.cfg does not know.
	byName = newIndex(func(k *Key) string { return k.Name })
	// byProperty finds rows by system property.
	byProperty = newIndex((*Key).Property)
)

func newIndex(name func(*Key) string) *index {
	x := &index{exact: map[string]*Key{}}
	for i := range table {
		k := &table[i]
		n := name(k)
		if n == "" {
			continue
		}
		if p, ok := k.prefix(); ok {
			x.prefixes = append(x.prefixes, prefixRow{strings.TrimSuffix(n, k.Name) + p, k})
			continue
		}
		x.exact[n] = k
	}
	slices.SortStableFunc(x.prefixes, func(a, b prefixRow) int { return len(b.prefix) - len(a.prefix) })
	return x
}

func (x *index) find(name string) *Key {
	if k := x.exact[name]; k != nil {
		return k
	}
	for _, p := range x.prefixes {
		if strings.HasPrefix(name, p.prefix) {
			return p.key
		}
	}
	return nil
}
