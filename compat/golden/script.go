package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// script is a parsed file. Its lines keep what is printed back: comments and blank lines as
// they were, steps with their answers.
type script struct {
	name   string
	server []string // settings: lines of zoo.cfg, and JVM flags, which start with -D
	lacks  string   // what quoll refuses to start with these settings for; empty if it does start
	lines  []line
}

// line is either a step or text that is kept as it is.
type line struct {
	text string
	step *step
}

// step is something done on one connection, and the answers that were recorded for it.
type step struct {
	number  int      // of the line in the file, from 1
	source  []string // the line itself and its parts, as written
	conn    string
	request call
	answer  []string // from the real server
	reason  string   // why quoll's answer is another one; empty if it is the same
	quoll   []string // that answer, if reason is not empty
}

// call is a verb with its fields, and the parts of a multi or pipe.
type call struct {
	verb   string
	fields []field
	parts  []call
}

// field is a value as written; positional values have the name path.
type field struct {
	name, value string
}

// config is the lines of zoo.cfg among the settings, flags the JVM flags.
func (s *script) config() []string { return s.settings(false) }
func (s *script) flags() []string  { return s.settings(true) }

func (s *script) settings(flags bool) []string {
	var v []string
	for _, setting := range s.server {
		if strings.HasPrefix(setting, "-") == flags {
			v = append(v, setting)
		}
	}
	return v
}

// steps is the number of steps.
func (s *script) steps() int {
	n := 0
	for _, l := range s.lines {
		if l.step != nil {
			n++
		}
	}
	return n
}

func readScript(path string) (*script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{name: filepath.Base(path)}
	if err := s.parse(string(b)); err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return s, nil
}

func (s *script) parse(text string) error {
	var at *step // the step that answers and parts belong to
	for i, raw := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		l := strings.TrimSpace(raw)
		fail := func(err error) error { return fmt.Errorf("%d: %w", i+1, err) }
		switch {
		case l == "" || l[0] == '#' || strings.HasPrefix(l, "=="):
			at = nil
			s.lines = append(s.lines, line{text: raw})
		case strings.HasPrefix(l, "server "):
			at = nil
			s.server = append(s.server, strings.TrimSpace(l[len("server "):]))
			s.lines = append(s.lines, line{text: raw})
		case strings.HasPrefix(raw, "quoll lacks "):
			at = nil
			s.lacks = strings.TrimSpace(l[len("quoll lacks "):])
			s.lines = append(s.lines, line{text: raw})
		case raw[0] != ' ' && raw[0] != '\t':
			conn, rest, _ := strings.Cut(l, " ")
			c, err := parseCall(rest)
			if err != nil {
				return fail(err)
			}
			at = &step{number: i + 1, source: []string{raw}, conn: conn, request: c}
			s.lines = append(s.lines, line{step: at})
		case at == nil:
			return fail(fmt.Errorf("%q belongs to no step", l))
		case strings.HasPrefix(l, "quoll:"):
			at.reason = strings.TrimSpace(l[len("quoll:"):])
			if at.reason == "" {
				return fail(fmt.Errorf("a deviation without a reason"))
			}
		case l[0] == '<' || l[0] == '=':
			if at.reason != "" {
				at.quoll = append(at.quoll, l)
			} else {
				at.answer = append(at.answer, l)
			}
		case l[0] == '+':
			if err := at.addPart(l); err != nil {
				return fail(err)
			}
			at.source = append(at.source, raw)
		default:
			return fail(fmt.Errorf("%q is neither a part nor an answer", l))
		}
	}
	return nil
}

// addPart adds a line that starts with + to the request, or with ++ to the last part of it.
func (s *step) addPart(l string) error {
	parent := &s.request
	for strings.HasPrefix(l, "++") {
		if len(parent.parts) == 0 {
			return fmt.Errorf("%q is a part of nothing", l)
		}
		parent, l = &parent.parts[len(parent.parts)-1], l[1:]
	}
	c, err := parseCall(strings.TrimSpace(l[1:]))
	parent.parts = append(parent.parts, c)
	return err
}

// format is the file again.
func (s *script) format() []byte {
	var b bytes.Buffer
	for _, l := range s.lines {
		if l.step == nil {
			fmt.Fprintln(&b, l.text)
			continue
		}
		for _, source := range l.step.source {
			fmt.Fprintln(&b, source)
		}
		for _, a := range l.step.answer {
			fmt.Fprintln(&b, " ", a)
		}
		if l.step.reason != "" {
			fmt.Fprintln(&b, "  quoll:", l.step.reason)
			for _, a := range l.step.quoll {
				fmt.Fprintln(&b, " ", a)
			}
		}
	}
	return b.Bytes()
}

var named = regexp.MustCompile(`^[a-zA-Z]+=`)

// parseCall splits a line at spaces outside of quotes.
func parseCall(l string) (call, error) {
	var c call
	for l != "" {
		n, err := wordEnd(l, ' ')
		if err != nil {
			return c, err
		}
		word := l[:n]
		l = strings.TrimLeft(l[n:], " ")
		switch name := named.FindString(word); {
		case c.verb == "":
			c.verb = word
		case name != "":
			c.fields = append(c.fields, field{name[:len(name)-1], word[len(name):]})
		default:
			c.fields = append(c.fields, field{"path", word})
		}
	}
	if c.verb == "" {
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
