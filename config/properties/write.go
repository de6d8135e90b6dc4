package properties

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Format returns one line, key=value without its end. It is written plainly, as ZooKeeper does it, if [Parse] makes the same key and value of that, and
// with escapes otherwise: a backslash or a letter beyond ASCII would be another after each rewriting of the file.
func Format(key, value string) string {
	plain := key + "=" + value
	lines, err := Parse(Latin1([]byte(plain)))
	if err == nil && len(lines) == 1 && lines[0].Key == key && lines[0].Value == value {
		return plain
	}
	return escape(key, "\\=: #!") + "=" + escape(value, "\\")
}

// escape puts a backslash before the characters of special, and writes what is not printable ASCII as an escape.
func escape(s, special string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		switch {
		case u < ' ' || u > '~':
			fmt.Fprintf(&b, `\u%04x`, u)
		case strings.IndexByte(special, byte(u)) >= 0:
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteByte(byte(u))
		}
	}
	return b.String()
}

// JavaOrder returns the lines as java.util.Properties lists them after it has read them in the given order: each key once, with its last value, by a
// hash table. It is the order of the lines in a file that ZooKeeper rewrites. Mirrors ConcurrentHashMap, but for the trees that it makes of eight keys
// in one place, which no configuration has.
func JavaOrder(lines []Line) []Line {
	bins := make([][]hashed, 16)
	count := 0
	for _, l := range lines {
		h := hashed{l, hash(l.Key)}
		bin := &bins[h.hash&uint32(len(bins)-1)]
		if i := slices.IndexFunc(*bin, func(o hashed) bool { return o.Key == l.Key }); i >= 0 {
			(*bin)[i] = h
			continue
		}
		*bin = append(*bin, h)
		if count++; count >= len(bins)/4*3 {
			bins = grow(bins)
		}
	}
	var ordered []Line
	for _, bin := range bins {
		for _, h := range bin {
			ordered = append(ordered, h.Line)
		}
	}
	return ordered
}

type hashed struct {
	Line
	hash uint32
}

// hash is String.hashCode, folded as the table does.
func hash(s string) uint32 {
	var h uint32
	for _, u := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(u)
	}
	return (h ^ h>>16) & 0x7fffffff
}

// grow doubles the table. Of each bin the end that goes to one place stays as it is, and what is before it is put in front, one by one.
func grow(bins [][]hashed) [][]hashed {
	n := uint32(len(bins))
	grown := make([][]hashed, 2*n)
	for i, bin := range bins {
		if len(bin) == 0 {
			continue
		}
		run := len(bin) - 1
		for run > 0 && bin[run-1].hash&n == bin[run].hash&n {
			run--
		}
		low, high := &grown[i], &grown[i+int(n)]
		if bin[run].hash&n == 0 {
			*low = slices.Clone(bin[run:])
		} else {
			*high = slices.Clone(bin[run:])
		}
		for _, h := range bin[:run] {
			to := low
			if h.hash&n != 0 {
				to = high
			}
			*to = slices.Insert(*to, 0, h)
		}
	}
	return grown
}
