package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Origin says where a setting came from.
type Origin struct {
	// Source is the path of a file, the name of an environment variable, "--set", or "command line".
	Source string
	// Line is the line in the file, from 1; 0 elsewhere.
	Line int
}

// String returns source:line, or the source alone.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.Source
	}
	return o.Source + ":" + strconv.Itoa(o.Line)
}

// setting is one key with its value and place.
type setting struct {
	key, value string
	origin     Origin
}

// errorf makes an error that names place and key.
func (s setting) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", s.origin, s.key, fmt.Errorf(format, args...))
}

// readProperties parses the Java properties file at path.
func readProperties(path string) (settings []setting, text string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	settings, err = parseProperties(path, data)
	return settings, string(data), err
}

// parseProperties parses a Java properties file (java.util.Properties.load): lines of key and value, separated by "=", ":" or blanks;
// "#" and "!" start comment lines; a backslash at the end continues the line; \t, \n, \r, \f and \uXXXX are escapes and any other escaped character
// is itself; bytes are ISO-8859-1. Keys and values are trimmed, as the ZooKeeper server does, and every occurrence of a key is returned, in order.
func parseProperties(source string, data []byte) ([]setting, error) {
	var settings []setting
	p := propertiesScanner{data: data, line: 1}
	for {
		line, raw, ok := p.logicalLine()
		if !ok {
			return settings, nil
		}
		at := Origin{source, line}
		rawKey, rawValue := splitProperty(raw)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, javaTrim(key), err)
		}
		settings = append(settings, setting{javaTrim(key), javaTrim(value), at})
	}
}

// propertiesScanner cuts a file into logical lines.
type propertiesScanner struct {
	data []byte
	pos  int
	line int // number of the line at pos, from 1
}

// naturalLine returns the next line without its terminator (\n, \r or \r\n).
func (p *propertiesScanner) naturalLine() (line []byte, ok bool) {
	if p.pos == len(p.data) {
		return nil, false
	}
	start := p.pos
	for p.pos < len(p.data) && p.data[p.pos] != '\n' && p.data[p.pos] != '\r' {
		p.pos++
	}
	line = p.data[start:p.pos]
	if p.pos < len(p.data) {
		if p.data[p.pos] == '\r' && p.pos+1 < len(p.data) && p.data[p.pos+1] == '\n' {
			p.pos++
		}
		p.pos++
	}
	p.line++
	return line, true
}

// logicalLine returns the next line that is neither blank nor a comment, with its continuations, and the number of its first line.
func (p *propertiesScanner) logicalLine() (number int, line []byte, ok bool) {
	for {
		number = p.line
		natural, ok := p.naturalLine()
		if !ok {
			return 0, nil, false
		}
		natural = trimLeftBlank(natural)
		if len(natural) == 0 || natural[0] == '#' || natural[0] == '!' || string(natural) == "\\" {
			continue // a lone backslash is no line yet, so the next one may still be a comment
		}
		for continues(natural) {
			line = append(line, natural[:len(natural)-1]...)
			if natural, ok = p.naturalLine(); !ok {
				break
			}
			natural = trimLeftBlank(natural)
		}
		return number, append(line, natural...), true
	}
}

// continues reports whether the line ends in an odd number of backslashes.
func continues(line []byte) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\f' }

func trimLeftBlank(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// splitProperty cuts a logical line at its first unescaped separator.
func splitProperty(line []byte) (key, value []byte) {
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

// unescape resolves the escapes of a key or value of ISO-8859-1 bytes.
func unescape(b []byte) (string, error) {
	units := make([]uint16, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			units = append(units, uint16(b[i]))
			continue
		}
		if i++; i == len(b) {
			break // a backslash at the end of the file
		}
		switch b[i] {
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		case 'u':
			digits := b[i+1 : min(i+5, len(b))]
			u, err := strconv.ParseUint(string(digits), 16, 16)
			if err != nil || len(digits) < 4 {
				return "", fmt.Errorf(`\u%s is not \u and four hexadecimal digits`, digits)
			}
			units = append(units, uint16(u))
			i += 4
		default:
			units = append(units, uint16(b[i]))
		}
	}
	var s strings.Builder
	for _, r := range utf16.Decode(units) {
		s.WriteRune(r)
	}
	return s.String(), nil
}
