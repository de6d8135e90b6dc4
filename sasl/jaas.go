package sasl

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// File is a JAAS file: sections of login modules (sun.security.provider.ConfigFile).
type File struct {
	// Name is its path.
	Name     string
	sections map[string][]Module
}

// Module is a login module of a section.
type Module struct {
	// Class is the name of the Java class.
	Class string
	// Options are what follows the flag of control.
	Options map[string]string
	// Line is where it begins in the file, from 1.
	Line int
}

// ReadFile reads the JAAS file that a value of java.security.auth.login.config names: a path or a file: URL, which may begin with one more "=". Property looks up Java's system
// properties, which the value and those in the file may mention as ${name}. The errors name file and line, and nothing of what is there: where a quote is missing, any word may be of a password.
func ReadFile(value string, property func(name string) (string, bool)) (*File, error) {
	path, err := expand(strings.TrimPrefix(value, "="), property)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", value, err)
	}
	if strings.HasPrefix(path, "file:") {
		u, err := url.Parse(path)
		if err != nil || u.Path == "" || u.Host != "" {
			return nil, fmt.Errorf("%s: not the URL of a file", value)
		}
		path = u.Path
	} else if strings.Contains(path, "://") {
		return nil, fmt.Errorf("%s: only files are read", value)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseFile(path, string(text), property)
}

// FindFile is ReadFile for a setting that may be empty: then it is .java.login.config in the home directory, and nil without an error if there is none.
func FindFile(value string, property func(name string) (string, bool)) (*File, error) {
	if value != "" {
		return ReadFile(value, property)
	}
	home, ok := property("user.home")
	if !ok {
		return nil, nil
	}
	file, err := ReadFile(filepath.Join(home, ".java.login.config"), property)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

// ParseFile reads the text of a JAAS file; name is for the errors.
func ParseFile(name, text string, property func(name string) (string, bool)) (*File, error) {
	p := jaasParser{words: jaasWords{text: text, line: 1}, property: property}
	f := &File{Name: name, sections: map[string][]Module{}}
	p.next()
	for p.word.kind != endOfFile {
		if err := p.section(f); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.word.line, err)
		}
	}
	return f, nil
}

// Section returns the modules of a section in their order, none if it is not there.
func (f *File) Section(name string) []Module { return f.sections[name] }

// jaasParser reads the grammar: name { class flag option=value ... ; ... } ;
type jaasParser struct {
	words    jaasWords
	word     jaasWord // looked at and not yet taken
	property func(string) (string, bool)
}

func (p *jaasParser) next() { p.word = p.words.next() }

func (p *jaasParser) section(f *File) error {
	name, err := p.text("the name of a section")
	if err != nil {
		return err
	}
	if err := p.sign('{'); err != nil {
		return err
	}
	var modules []Module
	for p.word.kind != '}' {
		m, err := p.module()
		if err != nil {
			return err
		}
		modules = append(modules, m)
	}
	p.next()
	if err := p.sign(';'); err != nil {
		return err
	}
	if _, twice := f.sections[name]; twice {
		return fmt.Errorf("section %s is there twice", name)
	}
	f.sections[name] = modules
	return nil
}

func (p *jaasParser) module() (m Module, err error) {
	m.Line, m.Options = p.word.line, map[string]string{}
	if m.Class, err = p.text("the class of a login module"); err != nil {
		return m, err
	}
	line := p.word.line
	flag, err := p.text("required, requisite, sufficient or optional")
	if err != nil {
		return m, err
	}
	switch strings.ToLower(flag) {
	case "required", "requisite", "sufficient", "optional":
	default:
		p.word.line = line
		return m, errors.New("behind the class of a login module there is none of required, requisite, sufficient, optional")
	}
	for p.word.kind != ';' {
		key, err := p.text("an option or ;")
		if err != nil {
			return m, err
		}
		if err := p.sign('='); err != nil {
			return m, err
		}
		line := p.word.line
		value, err := p.text("the value of an option, in double quotes if it has other characters than letters")
		if err != nil {
			return m, err
		}
		if value != "" {
			expanded, err := expand(value, p.property)
			if err == nil && expanded == "" {
				err = errors.New("nothing is left of it")
			}
			if err != nil {
				p.word.line = line
				return m, fmt.Errorf("the value of an option: %w", err)
			}
			value = expanded
		}
		m.Options[key] = value
	}
	p.next()
	return m, nil
}

// text takes a word, quoted or not.
func (p *jaasParser) text(what string) (string, error) {
	if p.word.kind != textWord {
		return "", fmt.Errorf("expected %s, found %s", what, p.word.kind)
	}
	text := p.word.text
	p.next()
	return text, nil
}

func (p *jaasParser) sign(c wordKind) error {
	if p.word.kind != c {
		return fmt.Errorf("expected %s, found %s", c, p.word.kind)
	}
	p.next()
	return nil
}

// wordKind is a sign of its own, or one of those below.
type wordKind rune

const (
	endOfFile wordKind = -1
	textWord  wordKind = -2
	number    wordKind = -3 // Java takes it for a number, which has no place in the grammar
)

// String is how errors call it. What a word says is not shown: it may be a password.
func (k wordKind) String() string {
	switch k {
	case endOfFile:
		return "the end of the file"
	case textWord:
		return "a word"
	case number:
		return "a number without quotes"
	}
	return fmt.Sprintf("%q", rune(k))
}

type jaasWord struct {
	kind wordKind
	text string
	line int
}

// jaasWords cuts a text as the java.io.StreamTokenizer does that reads JAAS files.
type jaasWords struct {
	text string
	at   int
	line int
}

func isJAASLetter(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0xa0 || strings.ContainsRune("$_-*", c)
}

func isJAASDigit(c rune) bool { return c >= '0' && c <= '9' || c == '.' || c == '-' }

func (w *jaasWords) next() jaasWord {
	w.skip()
	word := jaasWord{kind: endOfFile, line: w.line}
	rest := w.text[w.at:]
	c, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
	case isJAASDigit(c):
		word.kind = number // wherever it ends: the grammar is broken already
	case isJAASLetter(c):
		word.kind, word.text = textWord, rest
		if end := strings.IndexFunc(rest, func(c rune) bool { return !isJAASLetter(c) && !isJAASDigit(c) }); end >= 0 {
			word.text = rest[:end]
		}
		w.at += len(word.text)
	case c == '"':
		w.at++
		word.kind, word.text = textWord, w.quoted()
	default:
		word.kind = wordKind(c)
		w.at += size
	}
	return word
}

// skip goes to the next word. A slash that begins no comment begins one all the same.
func (w *jaasWords) skip() {
	for w.at < len(w.text) {
		switch c := w.text[w.at]; {
		case c == '\n':
			w.line++
			w.at++
		case c == '\r':
			w.at++
			if w.at == len(w.text) || w.text[w.at] != '\n' {
				w.line++
			}
		case c <= ' ':
			w.at++
		case strings.HasPrefix(w.text[w.at:], "/*"):
			end := strings.Index(w.text[w.at+2:], "*/")
			if end < 0 {
				end = len(w.text) - w.at - 4
			}
			comment := w.text[w.at : w.at+end+4]
			w.line += strings.Count(comment, "\n")
			w.at += len(comment)
		case c == '/':
			end := strings.IndexAny(w.text[w.at:], "\r\n")
			if end < 0 {
				end = len(w.text) - w.at
			}
			w.at += end
		default:
			return
		}
	}
}

// quoted reads up to the closing quote, or the end of the line, which Java takes for one.
func (w *jaasWords) quoted() string {
	var b strings.Builder
	for w.at < len(w.text) {
		c := w.text[w.at]
		if c == '\n' || c == '\r' {
			return b.String()
		}
		w.at++
		if c == '"' {
			break
		}
		if c == '\\' && w.at < len(w.text) {
			b.WriteString(w.escape())
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// escape reads what follows a backslash.
func (w *jaasWords) escape() string {
	c := w.text[w.at]
	if c >= '0' && c <= '7' {
		value, most := rune(0), 3
		if c > '3' {
			most = 2
		}
		for ; most > 0 && w.at < len(w.text) && w.text[w.at] >= '0' && w.text[w.at] <= '7'; most-- {
			value = value*8 + rune(w.text[w.at]-'0')
			w.at++
		}
		return string(value)
	}
	w.at++
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		return "\a\b\f\n\r\t\v"[i : i+1]
	}
	return string([]byte{c})
}

// expand puts values in place of ${name}, and the separator of files in place of ${/}; ${{...}} stays as it is (sun.security.util.PropertyExpander).
func expand(s string, property func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			return b.String() + s, nil
		}
		b.WriteString(s[:start])
		s = s[start:]
		if strings.HasPrefix(s, "${{") {
			end := strings.Index(s, "}}")
			if end < 0 {
				return b.String() + s, nil
			}
			b.WriteString(s[:end+2])
			s = s[end+2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return b.String() + s, nil
		}
		name := s[2:end]
		s = s[end+1:]
		if name == "/" {
			b.WriteRune(filepath.Separator)
			continue
		}
		value, ok := property(name)
		if !ok {
			return "", errors.New("it has a ${name} of which there is no property")
		}
		b.WriteString(value)
	}
}
