package sasl

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Name is a Kerberos principal of one or two parts, or a plain user (org.apache.zookeeper.server.auth.KerberosName).
type Name struct {
	// Service is the first part, the user of most.
	Service string
	// Host is the second part, if HasHost; it may be empty.
	Host    string
	HasHost bool
	// Realm is what follows the @, if HasRealm; it may be empty.
	Realm    string
	HasRealm bool
}

// ParseName takes a principal apart. What has no @ is all one part, whatever slashes it has. The error is that of a text with @ which is no principal.
func ParseName(text string) (Name, error) {
	name, realm, found := strings.Cut(text, "@")
	if !found {
		return Name{Service: text}, nil
	}
	n := Name{Realm: realm, HasRealm: true}
	n.Service, n.Host, n.HasHost = strings.Cut(name, "/")
	if strings.ContainsAny(realm, "/@") || strings.Contains(n.Host, "/") {
		return Name{}, fmt.Errorf("%q is no Kerberos principal", text)
	}
	return n, nil
}

// Rules make short names of principals (zookeeper.security.auth_to_local).
type Rules []rule

// rule is one of them. A rule without a pattern to search for is its format.
type rule struct {
	text         string
	everybody    bool // DEFAULT: all of the default realm
	parts        int
	format       string
	match        *regexp.Regexp // of all of the formatted name; nil for any
	search       *regexp.Regexp
	replacement  string
	all          bool // replace all that is found, not only the first
	defaultRealm string
}

// ruleSyntax is DEFAULT, or RULE:[parts:format](match)s/search/replacement/g, of which all behind the bracket may be missing.
var ruleSyntax = regexp.MustCompile(`^\s*(?:(DEFAULT)|RULE:\[(\d+):([^\]]*)\](?:(\()([^)]*)\))?(?:(s)/([^/]*)/([^/]*)/(g)?)?)`)

// ParseRules reads rules, of which the first that fits decides. DEFAULT is for the principals of defaultRealm. A pattern of Java's that Go's regular expressions do not have, such as
// one that looks ahead, is an error.
func ParseRules(text, defaultRealm string) (Rules, error) {
	var rules Rules
	for rest := strings.TrimFunc(text, func(r rune) bool { return r <= ' ' }); rest != ""; {
		m := ruleSyntax.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("%q is no rule; there are DEFAULT and RULE:[parts:format](match)s/search/replacement/g", rest)
		}
		rest = rest[len(m[0]):]
		r := rule{text: strings.TrimSpace(m[0]), everybody: m[1] != "", format: m[3], replacement: m[8], all: m[9] != "", defaultRealm: defaultRealm}
		var err error
		if !r.everybody {
			r.parts, err = strconv.Atoi(m[2])
		}
		if err == nil && m[4] != "" {
			r.match, err = regexp.Compile(`^(?:` + m[5] + `)$`)
		}
		if err == nil && m[6] != "" {
			r.search, err = regexp.Compile(m[7])
			if err == nil {
				err = r.checkReplacement()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.text, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// errNoRule says that a principal has no short name.
var errNoRule = errors.New("no rule of auth_to_local fits")

// short is the short name of a principal: it has neither slash nor @.
func (rules Rules) short(n Name) (string, error) {
	if !n.HasRealm {
		return n.Service, nil
	}
	parts := []string{n.Realm, n.Service}
	if n.HasHost {
		parts = append(parts, n.Host)
	}
	for i := range rules {
		short, fits, err := rules[i].apply(parts)
		if err != nil {
			return "", err
		}
		if !fits {
			continue
		}
		if strings.ContainsAny(short, "/@") {
			return "", fmt.Errorf("%w: rule %s makes %q, which is not simple", errNoRule, rules[i].text, short)
		}
		return short, nil
	}
	return "", errNoRule
}

// apply uses a rule on the realm and the parts of a principal.
func (r *rule) apply(parts []string) (short string, fits bool, err error) {
	if r.everybody {
		return parts[1], parts[0] == r.defaultRealm, nil
	}
	if len(parts)-1 != r.parts {
		return "", false, nil
	}
	formatted, err := fill(r.format, parts)
	if err != nil || r.match != nil && !r.match.MatchString(formatted) {
		return "", false, err
	}
	if r.search == nil {
		return formatted, true, nil
	}
	return r.replace(formatted), true, nil
}

// fill puts parts in place of $0, $1 and so on. A $ without a number is nothing.
func fill(format string, parts []string) (string, error) {
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(format, "$")
		b.WriteString(text)
		if !found {
			return b.String(), nil
		}
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if err != nil {
			return "", fmt.Errorf("%w: $ without a number in %s", errNoRule, format)
		}
		if n > len(parts) {
			return "", fmt.Errorf("%w: there is no $%d", errNoRule, n)
		}
		if n == len(parts) {
			return "", fmt.Errorf("%w: there is no $%d", ErrSilent, n) // Java looks beyond the end of its array
		}
		b.WriteString(parts[n])
		format = rest[digits:]
	}
}

// replace puts the replacement in place of what the pattern finds.
func (r *rule) replace(s string) string {
	most := 1
	if r.all {
		most = -1
	}
	var b strings.Builder
	from := 0
	for _, found := range r.search.FindAllStringSubmatchIndex(s, most) {
		b.WriteString(s[from:found[0]])
		_ = r.expand(func(text string, group int) {
			if group < 0 {
				b.WriteString(text)
			} else if found[2*group] >= 0 {
				b.WriteString(s[found[2*group]:found[2*group+1]])
			}
		})
		from = found[1]
	}
	return b.String() + s[from:]
}

// checkReplacement finds a replacement that names a group which the pattern does not have.
func (r *rule) checkReplacement() error { return r.expand(func(string, int) {}) }

// expand reads Java's replacements: a backslash takes the next character as it is, $n is a group, of as many digits as there are groups for, and ${name} is one by name.
func (r *rule) expand(each func(text string, group int)) error {
	for s := r.replacement; s != ""; {
		switch {
		case s[0] == '\\' && len(s) > 1:
			each(s[1:2], -1)
			s = s[2:]
		case s[0] == '\\':
			return errors.New("the replacement ends with a backslash")
		case strings.HasPrefix(s, "${"):
			name, rest, closed := strings.Cut(s[2:], "}")
			group := r.search.SubexpIndex(name)
			if !closed || group < 0 {
				return fmt.Errorf("the pattern has no group %q", name)
			}
			each("", group)
			s = rest
		case s[0] == '$':
			if len(s) == 1 || s[1] < '0' || s[1] > '9' {
				return errors.New("there is no number behind a $ of the replacement")
			}
			group, end := int(s[1]-'0'), 2
			if group > r.search.NumSubexp() {
				return fmt.Errorf("the pattern has no group %d", group)
			}
			for end < len(s) && s[end] >= '0' && s[end] <= '9' && group*10+int(s[end]-'0') <= r.search.NumSubexp() {
				group = group*10 + int(s[end]-'0')
				end++
			}
			each("", group)
			s = s[end:]
		default:
			each(s[:1], -1)
			s = s[1:]
		}
	}
	return nil
}

// Names says what an authenticated user is called in ACLs (org.apache.zookeeper.server.auth.SaslServerCallbackHandler).
type Names struct {
	Rules Rules
	// RemoveHost leaves out the second part of a principal, RemoveRealm what follows its @.
	RemoveHost, RemoveRealm bool
}

// Authorize is the name for ACLs: the short name by the rules, then host and realm unless they are to be removed. A principal that no rule fits keeps its whole name. In Java that one
// gets the name that its client asks for, whatever it is. Errors wrap ErrSilent.
func (n *Names) Authorize(user string) (string, error) {
	name, err := ParseName(user)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSilent, err)
	}
	id, err := n.Rules.short(name)
	if errors.Is(err, errNoRule) {
		return user, nil
	}
	if err != nil {
		return "", err
	}
	if name.HasHost && !n.RemoveHost {
		id += "/" + name.Host
	}
	if name.HasRealm && !n.RemoveRealm {
		id += "@" + name.Realm
	}
	return id, nil
}
