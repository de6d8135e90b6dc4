package shell

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// option is an option of a command. Names of several letters take one dash, too.
type option struct {
	name string
	arg  bool // takes a value
	desc string
}

// invocation is a parsed command line.
type invocation struct {
	args   []string // without options; the first is the command
	values map[string]string
}

// has reports whether the option was given.
func (in *invocation) has(name string) bool {
	_, ok := in.values[name]
	return ok
}

// grammar is how a command's options are read, with the rules and the error texts of commons-cli's DefaultParser.
type grammar struct {
	options   []option
	exclusive bool // at most one of them
	required  bool // at least one of them
}

// parseError is an error of commons-cli, whose class name users see.
func parseError(class, format string, args ...any) error {
	return fail("org.apache.commons.cli.%sException: %s", class, fmt.Sprintf(format, args...))
}

func unrecognized(token string) error {
	return parseError("UnrecognizedOption", "Unrecognized option: %s", token)
}

func (g *grammar) find(name string) *option {
	for i := range g.options {
		if g.options[i].name == name {
			return &g.options[i]
		}
	}
	return nil
}

// optionParser is the state of one parse.
type optionParser struct {
	*grammar
	in      invocation
	waiting *option // took no value yet
}

func (g *grammar) parse(argv []string) (*invocation, error) {
	p := optionParser{grammar: g, in: invocation{values: map[string]string{}}}
	onlyArgs := false
	for _, token := range argv {
		var err error
		switch {
		case onlyArgs:
			p.in.args = append(p.in.args, token)
		case token == "--":
			onlyArgs = true
		case p.waiting != nil && p.isArgument(token):
			p.value(unquote(token))
		case strings.HasPrefix(token, "--"):
			err = unrecognized(token)
		case strings.HasPrefix(token, "-") && token != "-":
			err = p.optionToken(token)
		default:
			p.in.args = append(p.in.args, token)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.checkWaiting(); err != nil {
		return nil, err
	}
	if g.required && len(p.in.values) == 0 {
		var all []string
		for _, o := range g.options {
			all = append(all, "-"+o.name+" "+o.desc)
		}
		return nil, parseError("MissingOption", "Missing required option: [%s]", strings.Join(all, ", "))
	}
	return &p.in, nil
}

// isArgument reports whether a token can be the value of an option: numbers can, but nothing that begins like an option.
func (p *optionParser) isArgument(token string) bool {
	if len(token) < 2 || token[0] != '-' {
		return true
	}
	if _, err := strconv.ParseFloat(token, 64); err == nil {
		return true
	}
	name, _, _ := strings.Cut(token[1:], "=")
	return p.find(name) == nil && (name == "" || p.find(name[:1]) == nil)
}

// optionToken reads -x, -xyz (x, y and z, or x with the value yz), -x=value and -name.
func (p *optionParser) optionToken(token string) error {
	name := token[1:]
	if o := p.find(name); o != nil {
		return p.option(o)
	}
	if key, value, ok := strings.Cut(name, "="); ok {
		o := p.find(key)
		if len(key) != 1 || o == nil || !o.arg {
			return unrecognized(token)
		}
		if err := p.option(o); err != nil {
			return err
		}
		p.value(value)
		return nil
	}
	if len(name) == 1 {
		return unrecognized(token)
	}
	for i := range len(name) {
		o := p.find(name[i : i+1])
		if o == nil {
			return unrecognized(token)
		}
		if err := p.option(o); err != nil {
			return err
		}
		if o.arg && i+1 < len(name) {
			p.value(name[i+1:])
			break
		}
	}
	return nil
}

func (p *optionParser) option(o *option) error {
	if err := p.checkWaiting(); err != nil {
		return err
	}
	if p.exclusive {
		for other := range p.in.values {
			if other != o.name {
				return parseError("AlreadySelected",
					"The option '%s' was specified but an option from this group has already been selected: '%s'", o.name, other)
			}
		}
	}
	if _, given := p.in.values[o.name]; !given {
		p.in.values[o.name] = ""
	} else if o.arg { // the first value counts
		o = &option{name: "", arg: true}
	}
	if o.arg {
		p.waiting = o
	}
	return nil
}

func (p *optionParser) value(v string) {
	if p.waiting.name != "" {
		p.in.values[p.waiting.name] = v
	}
	p.waiting = nil
}

func (p *optionParser) checkWaiting() error {
	if p.waiting == nil {
		return nil
	}
	return parseError("MissingArgument", "Missing argument for option: %s", p.waiting.name)
}

// unquote takes one pair of double quotes off.
func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' && !strings.Contains(s[1:len(s)-1], `"`) {
		return s[1 : len(s)-1]
	}
	return s
}

// help is the list of options as commons-cli's HelpFormatter prints it, a line each.
func (g *grammar) help() string {
	options := slices.SortedFunc(slices.Values(g.options), func(a, b option) int {
		return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
	})
	var heads []string
	width := 0
	for _, o := range options {
		head := " -" + o.name
		if o.arg {
			head += " <arg>"
		}
		heads = append(heads, head)
		width = max(width, len(head))
	}
	var b strings.Builder
	for i, o := range options {
		fmt.Fprintf(&b, "%-*s   %s\n", width, heads[i], o.desc)
	}
	return b.String()
}

// word is a word of a line with the blanks around it: it ends at a blank, or if it begins with a quote at the next one of its kind. A
// quote without its partner is in no word, unless blanks without another use stand before it.
var word = regexp.MustCompile(`[ \t-\r]*([^"'][^ \t-\r]*|"[^"]*"|'[^']*')[ \t-\r]*`)

// splitLine cuts a line into words and takes the quotes around them off.
func splitLine(line string) []string {
	var words []string
	for _, match := range word.FindAllStringSubmatch(line, -1) {
		w := match[1]
		if w[0] == '"' || w[0] == '\'' {
			w = w[1 : len(w)-1]
		}
		words = append(words, w)
	}
	return words
}

// unescape takes the backslash off each character that has one in front.
func unescape(line string) string {
	if !strings.Contains(line, `\`) {
		return line
	}
	var b strings.Builder
	escaped := false
	for _, r := range line {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		b.WriteRune(r)
	}
	return b.String()
}
