package admin

import (
	"bufio"
	"fmt"
	"strconv"
	"unicode/utf8"

	"quoll/metrics"
	"quoll/server"
)

// encoder writes an answer as Jackson's DefaultPrettyPrinter does, which tools take apart line by line: objects with an indent of two blanks, a blank on both sides of a
// colon, arrays on one line. What is long is written while it is made. Errors are those of the writer, which keeps them.
type encoder struct {
	w *bufio.Writer
}

func (e encoder) value(v any, level int) {
	switch v := v.(type) {
	case nil:
		e.text("null")
	case bool:
		e.text(strconv.FormatBool(v))
	case int:
		e.int(int64(v))
	case int64:
		e.int(v)
	case int32:
		e.int(int64(v))
	case float64:
		e.number(metrics.JavaDouble(v))
	case metrics.Value:
		e.number(v.String())
	case string:
		e.string(v)
	case []string:
		array(e, v, level)
	case []int64:
		array(e, v, level)
	case []server.Facts:
		array(e, v, level)
	case server.List:
		n := 0
		v(func(element any) bool {
			e.element(n, element, level)
			n++
			return e.alive()
		})
		e.endArray(n)
	case server.Facts:
		n := 0
		for _, f := range v {
			e.member(n, f.Key, f.Value, level)
			n++
		}
		e.endObject(n, level)
	case server.Map:
		n := 0
		v(func(key string, value any) bool {
			e.member(n, key, value, level)
			n++
			return e.alive()
		})
		e.endObject(n, level)
	default:
		panic(fmt.Sprintf("admin: a fact of type %T", v))
	}
}

// alive reports whether what is written still goes somewhere.
func (e encoder) alive() bool {
	_, err := e.w.Write(nil)
	return err == nil
}

func array[T any](e encoder, list []T, level int) {
	for n, element := range list {
		e.element(n, element, level)
	}
	e.endArray(len(list))
}

func (e encoder) element(n int, v any, level int) {
	if n == 0 {
		e.text("[ ")
	} else {
		e.text(", ")
	}
	e.value(v, level)
}

func (e encoder) endArray(n int) {
	if n == 0 {
		e.text("[")
	}
	e.text(" ]")
}

func (e encoder) member(n int, key string, v any, level int) {
	if n == 0 {
		e.text("{")
	} else {
		e.text(",")
	}
	e.newline(level + 1)
	e.string(key)
	e.text(" : ")
	e.value(v, level+1)
}

func (e encoder) endObject(n, level int) {
	if n == 0 {
		e.text("{ }")
		return
	}
	e.newline(level)
	e.text("}")
}

func (e encoder) newline(level int) {
	e.text("\n")
	for range level {
		e.text("  ")
	}
}

// number writes a Java number: what JSON has no number for is a string.
func (e encoder) number(text string) {
	if text == "NaN" || text == "Infinity" || text == "-Infinity" {
		e.string(text)
		return
	}
	e.text(text)
}

func (e encoder) int(n int64) { e.text(strconv.FormatInt(n, 10)) }

func (e encoder) text(s string) { _, _ = e.w.WriteString(s) }

// escapes are those of Jackson that have a letter; other control characters have their number.
var escapes = map[byte]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}

func (e encoder) string(s string) {
	_ = e.w.WriteByte('"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:]) // what is no UTF-8 becomes U+FFFD
			_, _ = e.w.WriteRune(r)
			i += size
			continue
		}
		i++
		switch escaped := escapes[c]; {
		case escaped != "":
			e.text(escaped)
		case c < ' ':
			fmt.Fprintf(e.w, `\u%04X`, c)
		default:
			_ = e.w.WriteByte(c)
		}
	}
	_ = e.w.WriteByte('"')
}
