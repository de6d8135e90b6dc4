// Package properties reads the format of java.util.Properties, in which ZooKeeper's configuration is written.
package properties

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Line is one key with its value.
type Line struct {
	// Key and Value are unescaped and trimmed.
	Key, Value string
	// Number is that of the natural line on which the key starts, from 1.
	Number int
	// Start and End are where the line is in the text, its continuations included and the line end behind it not.
	Start, End int
}

// Latin1 decodes a properties file, whose bytes are ISO-8859-1.
func Latin1(data []byte) string {
	var s strings.Builder
	for _, b := range data {
		s.WriteRune(rune(b))
	}
	return s.String()
}

// Parse does what Properties.load does with a Reader: lines of key and value, separated by "=", ":" or blanks; "#" and "!" start comment
// lines; a backslash at the end continues the line; \t, \n, \r, \f and \uXXXX are escapes and any other escaped character is itself. Keys and
// values are trimmed, as the ZooKeeper server does, and every occurrence of a key is returned, in order. An error starts with the number of its line.
func Parse(text string) ([]Line, error) {
	var lines []Line
	s := scanner{text: text, line: 1}
	for {
		l, raw, ok := s.logicalLine()
		if !ok {
			return lines, nil
		}
		rawKey, rawValue := split(raw)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", l.Number, err)
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("%d: %s: %w", l.Number, Trim(key), err)
		}
		l.Key, l.Value = Trim(key), Trim(value)
		lines = append(lines, l)
	}
}

// Trim is String.trim: everything up to the blank goes, at both ends.
func Trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// scanner cuts a text into logical lines.
type scanner struct {
	text string
	pos  int
	end  int // of the natural line that came last, without its terminator
	line int // number of the line at pos, from 1
}

// naturalLine returns the next line without its terminator (\n, \r or \r\n).
func (s *scanner) naturalLine() (line string, ok bool) {
	if s.pos == len(s.text) {
		return "", false
	}
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] != '\n' && s.text[s.pos] != '\r' {
		s.pos++
	}
	line, s.end = s.text[start:s.pos], s.pos
	if s.pos < len(s.text) {
		if s.text[s.pos] == '\r' && s.pos+1 < len(s.text) && s.text[s.pos+1] == '\n' {
			s.pos++
		}
		s.pos++
	}
	s.line++
	return line, true
}

// logicalLine returns the next line that is neither blank nor a comment, with its continuations, and where it is.
func (s *scanner) logicalLine() (l Line, line string, ok bool) {
	for {
		l.Number, l.Start = s.line, s.pos
		natural, ok := s.naturalLine()
		if !ok {
			return l, "", false
		}
		natural = trimLeftBlank(natural)
		if len(natural) == 0 || natural[0] == '#' || natural[0] == '!' || natural == "\\" {
			continue // a lone backslash is no line yet, so the next one may still be a comment
		}
		if !continues(natural) {
			l.End = s.end
			return l, natural, true
		}
		var joined []byte
		for continues(natural) {
			joined = append(joined, natural[:len(natural)-1]...)
			if natural, ok = s.naturalLine(); !ok {
				break
			}
			natural = trimLeftBlank(natural)
		}
		l.End = s.end
		return l, string(append(joined, natural...)), true
	}
}

// continues reports whether the line ends in an odd number of backslashes.
func continues(line string) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\f' }

func trimLeftBlank(s string) string { return strings.TrimLeft(s, " \t\f") }

// split cuts a logical line at its first unescaped separator.
func split(line string) (key, value string) {
	end := 0
	for end < len(line) && line[end] != '=' && line[end] != ':' && !isBlank(line[end]) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	key, value = line[:end], trimLeftBlank(line[end:])
	if len(value) > 0 && (value[0] == '=' || value[0] == ':') {
		value = trimLeftBlank(value[1:])
	}
	return key, value
}

// unescape resolves the escapes of a key or value.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	units := make([]uint16, 0, len(s)) // an escape is one UTF-16 unit, and two of them may be one character
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		if r != '\\' {
			units = utf16.AppendRune(units, r)
			continue
		}
		if s == "" {
			break // a backslash at the end of the text
		}
		r, n = utf8.DecodeRuneInString(s)
		s = s[n:]
		switch r {
		case 't':
			r = '\t'
		case 'n':
			r = '\n'
		case 'r':
			r = '\r'
		case 'f':
			r = '\f'
		case 'u':
			digits := s[:min(4, len(s))]
			u, err := strconv.ParseUint(digits, 16, 16)
			if err != nil || len(digits) < 4 {
				return "", fmt.Errorf(`\u%s is not \u and four hexadecimal digits`, digits)
			}
			units = append(units, uint16(u))
			s = s[4:]
			continue
		}
		units = utf16.AppendRune(units, r)
	}
	return string(utf16.Decode(units)), nil
}
