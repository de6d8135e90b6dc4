package script

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Script is a parsed file. Its lines keep what is printed back: comments and blank lines as
// they were, steps with their answers.
type Script struct {
	Name   string
	Server []string // settings: lines of zoo.cfg, and JVM flags, which start with -D
	Lacks  string   // what quoll refuses to start with these settings for; empty if it does start
	Lines  []Line
}

// Line is either a step or text that is kept as it is.
type Line struct {
	Text string
	Step *Step
}

// Step is something done on one connection, and the answers that were recorded for it.
type Step struct {
	Number  int      // of the line in the file, from 1
	Source  []string // the line itself and its parts, as written
	Conn    string
	Request Call
	Answer  []string // from the real server
	Reason  string   // why quoll's answer is another one; empty if it is the same
	Quoll   []string // that answer, if reason is not empty
}

// Call is a verb with its fields, and the parts of a multi or pipe.
type Call struct {
	Verb   string
	Fields []Field
	Parts  []Call
}

// Field is a value as written; positional values have the name path.
type Field struct {
	Name, Value string
}

// Config is the lines of zoo.cfg among the settings, flags the JVM flags.
func (s *Script) Config() []string { return s.settings(false) }
func (s *Script) Flags() []string  { return s.settings(true) }

func (s *Script) settings(flags bool) []string {
	var v []string
	for _, setting := range s.Server {
		if strings.HasPrefix(setting, "-") == flags {
			v = append(v, setting)
		}
	}
	return v
}

// Steps is the number of Steps.
func (s *Script) Steps() int {
	n := 0
	for _, l := range s.Lines {
		if l.Step != nil {
			n++
		}
	}
	return n
}

// ReadAll reads the files that match a pattern of filepath.Glob; none is an error.
func ReadAll(pattern string) (all []*Script, err error) {
	paths, err := filepath.Glob(pattern)
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("no file matches %s", pattern)
	}
	for _, path := range paths {
		s, readErr := Read(path)
		all, err = append(all, s), errors.Join(err, readErr)
	}
	return all, err
}

// Read reads a file.
func Read(path string) (*Script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Script{Name: filepath.Base(path)}
	if err := s.Parse(string(b)); err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return s, nil
}

// Parse adds the lines of text.
func (s *Script) Parse(text string) error {
	var at *Step // the step that answers and parts belong to
	for i, raw := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		l := strings.TrimSpace(raw)
		fail := func(err error) error { return fmt.Errorf("%d: %w", i+1, err) }
		switch {
		case l == "" || l[0] == '#' || strings.HasPrefix(l, "=="):
			at = nil
			s.Lines = append(s.Lines, Line{Text: raw})
		case strings.HasPrefix(l, "server "):
			at = nil
			s.Server = append(s.Server, strings.TrimSpace(l[len("server "):]))
			s.Lines = append(s.Lines, Line{Text: raw})
		case strings.HasPrefix(raw, "quoll lacks "):
			at = nil
			s.Lacks = strings.TrimSpace(l[len("quoll lacks "):])
			s.Lines = append(s.Lines, Line{Text: raw})
		case raw[0] != ' ' && raw[0] != '\t':
			conn, rest, _ := strings.Cut(l, " ")
			c, err := parseCall(rest)
			if err != nil {
				return fail(err)
			}
			at = &Step{Number: i + 1, Source: []string{raw}, Conn: conn, Request: c}
			s.Lines = append(s.Lines, Line{Step: at})
		case at == nil:
			return fail(fmt.Errorf("%q belongs to no step", l))
		case strings.HasPrefix(l, "quoll:"):
			at.Reason = strings.TrimSpace(l[len("quoll:"):])
			if at.Reason == "" {
				return fail(fmt.Errorf("a deviation without a reason"))
			}
		case l[0] == '<' || l[0] == '=':
			if at.Reason != "" {
				at.Quoll = append(at.Quoll, l)
			} else {
				at.Answer = append(at.Answer, l)
			}
		case l[0] == '+':
			if err := at.addPart(l); err != nil {
				return fail(err)
			}
			at.Source = append(at.Source, raw)
		default:
			return fail(fmt.Errorf("%q is neither a part nor an answer", l))
		}
	}
	return nil
}

// NewStep is a step on a connection, as if it had been parsed.
func NewStep(conn string, request Call) *Step {
	return &Step{Conn: conn, Request: request, Source: request.lines(conn+" ", "  +")}
}

// lines is a call as written: its own line behind before, then its parts, each behind bullet.
func (c *Call) lines(before, bullet string) []string {
	line := before + c.Verb
	for _, f := range c.Fields {
		if f.Name == "path" && !named.MatchString(f.Value) {
			line += " " + f.Value
		} else {
			line += " " + f.Name + "=" + f.Value
		}
	}
	lines := []string{line}
	for i := range c.Parts {
		lines = append(lines, c.Parts[i].lines(bullet+" ", bullet+"+")...)
	}
	return lines
}

// addPart adds a line that starts with + to the request, or with ++ to the last part of it.
func (s *Step) addPart(l string) error {
	parent := &s.Request
	for strings.HasPrefix(l, "++") {
		if len(parent.Parts) == 0 {
			return fmt.Errorf("%q is a part of nothing", l)
		}
		parent, l = &parent.Parts[len(parent.Parts)-1], l[1:]
	}
	c, err := parseCall(strings.TrimSpace(l[1:]))
	parent.Parts = append(parent.Parts, c)
	return err
}

// Format is the file again.
func (s *Script) Format() []byte {
	var b bytes.Buffer
	for _, l := range s.Lines {
		if l.Step == nil {
			fmt.Fprintln(&b, l.Text)
			continue
		}
		for _, source := range l.Step.Source {
			fmt.Fprintln(&b, source)
		}
		for _, a := range l.Step.Answer {
			fmt.Fprintln(&b, " ", a)
		}
		if l.Step.Reason != "" {
			fmt.Fprintln(&b, "  quoll:", l.Step.Reason)
			for _, a := range l.Step.Quoll {
				fmt.Fprintln(&b, " ", a)
			}
		}
	}
	return b.Bytes()
}

var named = regexp.MustCompile(`^[a-zA-Z]+=`)

// parseCall splits a line at spaces outside of quotes.
func parseCall(l string) (Call, error) {
	var c Call
	for l != "" {
		n, err := wordEnd(l, ' ')
		if err != nil {
			return c, err
		}
		word := l[:n]
		l = strings.TrimLeft(l[n:], " ")
		switch name := named.FindString(word); {
		case c.Verb == "":
			c.Verb = word
		case name != "":
			c.Fields = append(c.Fields, Field{name[:len(name)-1], word[len(name):]})
		default:
			c.Fields = append(c.Fields, Field{"path", word})
		}
	}
	if c.Verb == "" {
		return c, fmt.Errorf("a step without a verb")
	}
	return c, nil
}

// wordEnd is the index of the first separator in l that is not inside a Go string, or len(l).
func wordEnd(l string, separator byte) (int, error) {
	for i := 0; i < len(l); i++ {
		switch l[i] {
		case separator:
			return i, nil
		case '"':
			quoted, err := strconv.QuotedPrefix(l[i:])
			if err != nil {
				return 0, fmt.Errorf("%s: %w", l[i:], err)
			}
			i += len(quoted) - 1
		}
	}
	return len(l), nil
}

// value is the bytes that a word of a script stands for, nil for null.
func value(word string, hexadecimal bool) ([]byte, error) {
	switch {
	case word == "null":
		return nil, nil
	case hexadecimal && strings.HasPrefix(word, "0x"):
		return hex.DecodeString(word[2:])
	case !strings.HasPrefix(word, `"`):
		return []byte(word), nil
	}
	quoted, err := strconv.QuotedPrefix(word)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	times := 1
	if rest := word[len(quoted):]; rest != "" {
		if times, err = strconv.Atoi(strings.TrimPrefix(rest, "*")); err != nil || rest[0] != '*' || times < 0 {
			return nil, fmt.Errorf("%s: a string may be followed by *N only", word)
		}
	}
	return bytes.Repeat([]byte(text), times), nil
}

// words is the items of a list, nil for null.
func words(list string) ([]string, error) {
	switch list {
	case "null":
		return nil, nil
	case "[]":
		return []string{}, nil
	}
	var v []string
	for {
		n, err := wordEnd(list, ',')
		if err != nil {
			return nil, err
		}
		v = append(v, list[:n])
		if n == len(list) {
			return v, nil
		}
		list = list[n+1:]
	}
}
