package properties

import (
	"math/rand/v2"
	"testing"
)

// TestFormat has lines that ZooKeeper would write so that they mean something else when they are read.
func TestFormat(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"a", "b", "a=b"},
		{"a", "b = c : d # e", "a=b = c : d # e"},
		{"a", "", "a="},
		{"", "a", "=a"},
		{"a b", "c", `a\ b=c`},
		{"a:b", "c", `a\:b=c`},
		{"#a", "c", `\#a=c`},
		{"a!", `c\d`, `a\!=c\\d`},
		{"a", "b\nc", `a=b\u000ac`},
		{"grün", "ß", `gr\u00fcn=\u00df`},
		{"a", "𝄞", `a=\ud834\udd1e`},
	} {
		if got := Format(test.key, test.value); got != test.want {
			t.Errorf("%q %q: %s, want %s", test.key, test.value, got, test.want)
		}
	}
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	draw := func() string {
		var s []rune
		for range rng.IntN(6) {
			s = append(s, []rune("ab=: #!\\\n\tüu0é\u2028𝄞")[rng.IntN(16)])
		}
		return Trim(string(s))
	}
	for range 100000 {
		key, value := draw(), draw()
		line := Format(key, value)
		lines, err := Parse(Latin1([]byte(line)))
		if err != nil || len(lines) != 1 || lines[0].Key != key || lines[0].Value != value || lines[0].Number != 1 {
			t.Fatalf("seed %d: %q %q is written %s and read %v, %v", seed, key, value, line, lines, err)
		}
	}
}

// TestJavaOrder has keys that fall into one place of Java's table, where a grown table turns their order around; compat/reconfig compares whole files.
func TestJavaOrder(t *testing.T) {
	order := func(keys ...string) (s string) {
		var lines []Line
		for i, k := range keys {
			lines = append(lines, Line{Key: k, Value: string(rune('0' + i))})
		}
		for _, l := range JavaOrder(lines) {
			s += l.Key + l.Value + " "
		}
		return s
	}
	for _, test := range []struct {
		keys []string
		want string
	}{
		{nil, ""},
		{[]string{"c", "a", "b", "a"}, "a3 b2 c0 "},
		{[]string{"AaAa", "BBBB", "AaBB", "BBAa"}, "AaAa0 BBBB1 AaBB2 BBAa3 "}, // one hash
		{[]string{"a", "q", "A", "b", "c", "d", "e", "f", "g", "h", "i"}, "a0 q1 A2 b3 c4 d5 e6 f7 g8 h9 i: "},
		{[]string{"a", "q", "A", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, "a0 A2 b3 c4 d5 e6 f7 g8 h9 i: j; q1 "},
		{[]string{"a", "A", "q", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, "A1 a0 b3 c4 d5 e6 f7 g8 h9 i: j; q2 "},
	} {
		if got := order(test.keys...); got != test.want {
			t.Errorf("%q: %s, want %s", test.keys, got, test.want)
		}
	}
}
