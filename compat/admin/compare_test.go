package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// node is a JSON value whose keys have kept their order.
type node struct {
	kind   string // object, array, string, int, double, bool or null
	keys   []string
	values map[string]*node
	items  []*node
	text   string // of what is none of those
}

func parse(text string) (*node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	n, err := parseValue(d)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = fmt.Errorf("something follows the value")
		}
	}
	return n, err
}

func parseValue(d *json.Decoder) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n := &node{kind: "array", values: map[string]*node{}}
		if v == '{' {
			n.kind = "object"
		}
		for d.More() {
			if n.kind == "object" {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			if n.kind == "array" {
				n.items = append(n.items, value)
			} else {
				n.values[n.keys[len(n.keys)-1]] = value
			}
		}
		_, err := d.Token()
		return n, err
	case json.Number:
		kind := "int"
		if strings.ContainsAny(v.String(), ".E") {
			kind = "double"
		}
		return &node{kind: kind, text: v.String()}, nil
	case string:
		return &node{kind: "string", text: v}, nil
	case bool:
		return &node{kind: "bool", text: fmt.Sprint(v)}, nil
	}
	return &node{kind: "null"}, nil
}

// comparison collects what is different, and which rows of the table that is for.
type comparison struct {
	t    *testing.T
	used map[*difference]bool
}

// differ reports a difference unless a row has it. place is role, question and path within the answer, one behind the other; kind is what is different.
func (c *comparison) differ(place, kind, java, quoll string) {
	for i := range differences {
		d := &differences[i]
		if d.kind == kind && regexp.MustCompile(d.place).MatchString(place) {
			c.used[d] = true
			return
		}
	}
	c.t.Errorf("%s: %s: java %s, quoll %s", place, kind, java, quoll)
}

func (c *comparison) answers(place string, java, quoll answer) {
	if java.status != quoll.status {
		c.differ(place, "status", fmt.Sprint(java.status), fmt.Sprint(quoll.status))
	}
	c.sets(place, "header", java.headers, quoll.headers)
	a, javaErr := parse(java.body)
	b, quollErr := parse(quoll.body)
	if (javaErr == nil) != (quollErr == nil) || javaErr != nil && java.body != quoll.body {
		c.differ(place, "body", fmt.Sprintf("%.200q", java.body), fmt.Sprintf("%.200q", quoll.body))
		return
	}
	if javaErr != nil {
		return
	}
	// What tools take apart line by line: how a value is laid out.
	if have := layout(b, 0); have != quoll.body {
		c.t.Errorf("%s: the layout is not that of a pretty printer\n%s", place, quoll.body)
	}
	if want := layout(a, 0); want != java.body {
		c.t.Errorf("%s: this test does not know how Java lays out\n%s", place, java.body)
	}
	c.nodes(place, a, b)
}

// sets compares names whose order does not matter.
func (c *comparison) sets(place, kind string, java, quoll []string) {
	for _, name := range java {
		if !slices.Contains(quoll, name) {
			c.differ(place+" "+name, "no "+kind, "has it", "has not")
		}
	}
	for _, name := range quoll {
		if !slices.Contains(java, name) {
			c.differ(place+" "+name, "more "+kind, "has it not", "has it")
		}
	}
}

func (c *comparison) nodes(place string, a, b *node) {
	if a.kind != b.kind {
		c.differ(place, "type", a.kind+" "+a.text, b.kind+" "+b.text)
		return
	}
	switch a.kind {
	case "object":
		c.sets(place, "key", a.keys, b.keys)
		common := func(keys []string, other *node) (list []string) {
			for _, key := range keys {
				if other.values[key] != nil {
					list = append(list, key)
				}
			}
			return list
		}
		inA, inB := common(a.keys, b), common(b.keys, a)
		if !slices.Equal(inA, inB) {
			c.differ(place, "order", fmt.Sprint(inA), fmt.Sprint(inB))
		}
		for _, key := range inA {
			c.nodes(place+" "+key, a.values[key], b.values[key])
		}
	case "array":
		if len(a.items) != len(b.items) {
			c.differ(place, "length", layout(a, 0), layout(b, 0))
			return
		}
		byText := func(x, y *node) int { return strings.Compare(x.text, y.text) } // Java has sets here
		slices.SortStableFunc(a.items, byText)
		slices.SortStableFunc(b.items, byText)
		for i := range a.items {
			c.nodes(place+" []", a.items[i], b.items[i])
		}
	default:
		if a.text != b.text {
			c.differ(place, "value", a.text, b.text)
		}
	}
}

// layout is a value as Jackson's DefaultPrettyPrinter lays it out.
func layout(n *node, level int) string {
	indent := func(level int) string { return "\n" + strings.Repeat("  ", level) }
	switch n.kind {
	case "object":
		var members []string
		for _, key := range n.keys {
			members = append(members, indent(level+1)+quoted(key)+" : "+layout(n.values[key], level+1))
		}
		if members == nil {
			return "{ }"
		}
		return "{" + strings.Join(members, ",") + indent(level) + "}"
	case "array":
		var items []string
		for _, item := range n.items {
			items = append(items, layout(item, level))
		}
		if items == nil {
			return "[ ]"
		}
		return "[ " + strings.Join(items, ", ") + " ]"
	case "string":
		return quoted(n.text)
	case "null":
		return "null"
	}
	return n.text
}

func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune("\"\\", r):
			b.WriteString(`\` + string(r))
		case strings.ContainsRune("\b\t\n\f\r", r):
			b.WriteString(map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}[r])
		case r < ' ':
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}
