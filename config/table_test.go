package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/ensemble"
)

const specFile = "../docs/spec/operations.md"

// TestTableCoversSpec walks the tables of sections 2 and 3 of the operations page: each key named there has a row.
func TestTableCoversSpec(t *testing.T) {
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## 2. zoo.cfg keys")
	tables, _, ok2 := strings.Cut(rest, "\n## 4. ")
	if !ok || !ok2 {
		t.Fatal("sections 2 to 4 not found")
	}
	notKeys := []string{"want", "none"} // words of clientAuth
	code := regexp.MustCompile("`([^`]+)`")
	keys := 0
	for _, line := range strings.Split(tables, "\n") {
		cell, isRow := strings.CutPrefix(line, "| `")
		if !isRow {
			if !strings.HasPrefix(line, "| client-side properties") {
				continue
			}
			cell = line[2:]
		} else {
			cell = "`" + cell
		}
		cell, _, _ = strings.Cut(cell, " | ")
		var bases []string // full names seen in this cell, which later abbreviations refer to
		for _, m := range code.FindAllStringSubmatch(cell, -1) {
			// "a/b/c" shares the part up to its last dot.
			parts := strings.Split(m[1], "/")
			for _, name := range parts {
				if slices.Contains(notKeys, name) {
					continue
				}
				keys++
				full, ok := resolve(name, bases)
				if !ok {
					t.Errorf("%s: no row for %q", strings.TrimSpace(line), name)
				}
				bases = append(bases, full)
			}
		}
	}
	if keys < 200 {
		t.Errorf("only %d keys found in %s; did its form change?", keys, specFile)
	}
}

// resolve finds a row for a name, which may be an abbreviation that follows one of bases, such as `fill_count` after `zookeeper.connection_throttle_fill_time`.
func resolve(name string, bases []string) (full string, ok bool) {
	if end, ok := strings.CutPrefix(name, "…"); ok && len(bases) > 0 {
		first := strings.TrimPrefix(bases[0], "zookeeper.")
		common := first[:strings.IndexAny(first, "._")+1]
		i := slices.IndexFunc(table, func(k Key) bool { return strings.HasPrefix(k.Name, common) && strings.HasSuffix(k.Name, end) })
		return name, i >= 0
	}
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		prefix = strings.TrimPrefix(prefix, "zookeeper.")
		i := slices.IndexFunc(table, func(k Key) bool { return strings.HasPrefix(k.Name, prefix) })
		return name, i >= 0
	}
	candidates := []string{name, "zookeeper." + name}
	for _, b := range bases {
		for i := len(b); i > 0; i-- {
			if b[i-1] == '.' || b[i-1] == '_' {
				candidates = append(candidates, b[:i]+name)
			}
		}
	}
	for _, c := range candidates {
		stripped := strings.TrimPrefix(c, "zookeeper.")
		for i := range table {
			k := &table[i]
			if k.Name == c || k.Property() == c || k.Name == stripped {
				return c, true
			}
			if p, pattern := k.prefix(); pattern && len(p) > 0 && k.Name != "ssl.*" && strings.HasPrefix(stripped, p) && stripped != p {
				return c, true
			}
		}
	}
	return name, false
}

func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for i := range table {
		k := &table[i]
		if seen[k.Name] {
			t.Errorf("%s has two rows", k.Name)
		}
		seen[k.Name] = true
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: the description %q is no sentence", k.Name, k.Doc)
		}
		if lacking := k.Status == Warns || k.Status == Refuses; lacking != (k.Lacks != "") {
			t.Errorf("%s: status %s with Lacks %q", k.Name, k.Status, k.Lacks)
		}
		if k.Status != Accepted && k.Lacks == "" && k.field == nil && !ensemble.IsKey(strings.Replace(k.Name, "N", "1", 1)) {
			t.Errorf("%s acts, but has no field", k.Name)
		}
		if k.Kind == Word && k.Word == "" {
			t.Errorf("%s: which word?", k.Name)
		}
		if k.Default != "" && k.asks == nil && k.asksFor(k.Default) {
			t.Errorf("%s: the default asks for what is lacking", k.Name)
		}
	}
	for heading, working := range headings {
		if k := byName.find(working); k == nil || k.Where == PropertyOnly {
			t.Errorf("%s: the working key %s does not work in zoo.cfg", heading, working)
		}
		if byName.find(heading) != nil {
			t.Errorf("%s is a key and a heading", heading)
		}
	}
}

// TestEveryFieldHasARow finds fields of Config that no row can set.
func TestEveryFieldHasARow(t *testing.T) {
	derived := []string{"File", "Text", "MyID", "Distributed", "Ensemble", "LastSeen", "Properties", "PeerType", "LogLevel", "origins", "properties", "asked", "membersSet"}
	c := tableDefaults()
	set := map[any]bool{}
	for i := range table {
		if table[i].field != nil {
			set[reflect.ValueOf(table[i].field(c)).Pointer()] = true
		}
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			if slices.Contains(derived, name) {
				continue
			}
			if f.Kind() == reflect.Struct {
				walk(f)
				continue
			}
			if !set[f.Addr().Pointer()] {
				t.Errorf("no row sets %s", name)
			}
		}
	}
	walk(reflect.ValueOf(c).Elem())
}

func TestDefaults(t *testing.T) {
	c := Defaults()
	if c.TickTime.Milliseconds() != 3000 || c.MinSessionTimeout != 2*c.TickTime || c.MaxSessionTimeout != 20*c.TickTime {
		t.Errorf("ticks %v, sessions %v to %v", c.TickTime, c.MinSessionTimeout, c.MaxSessionTimeout)
	}
	if c.ClientPort != -1 || c.ClientAddr() != "" || c.MyID != -1 {
		t.Errorf("port %d, address %q, id %d", c.ClientPort, c.ClientAddr(), c.MyID)
	}
	if !c.ForceSync || c.SkipACL || !c.LeaderServes || !c.AdminEnabled || !c.DigestAuthEnabled || c.ReadOnlyModeEnabled {
		t.Errorf("switches: %+v", c)
	}
	if c.JuteMaxBuffer != 0xfffff || c.JuteMaxBufferExtraSize != 0xfffff {
		t.Errorf("jute.maxbuffer %d, extra %d", c.JuteMaxBuffer, c.JuteMaxBufferExtraSize)
	}
}

func TestDigestHash(t *testing.T) {
	for alg, size := range map[string]int{"SHA1": 20, "sha-1": 20, "SHA-256": 32, "SHA3-256": 32, "SHA-512/224": 28, "MD5": 16} {
		if h := DigestHash(alg); h == nil || h().Size() != size {
			t.Errorf("%s: not a hash of %d bytes", alg, size)
		}
	}
	if DigestHash("SHA0") != nil {
		t.Error("SHA0 is known")
	}
}
