package properties

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestProperties: every expectation was compared with java.util.Properties.
func TestProperties(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"separators", "a=1\nb:2\nc 3\nd\t=\t4\ne : 5\nf  6 = 7", "a=1 b=2 c=3 d=4 e=5 f=6 = 7"},
		{"no value", "a\nb=\nc ", "a= b= c="},
		{"first separator only", "a=b=c\nx:=y\nz==", "a=b=c x==y z=="},
		{"comments", "# a=1\n  ! b=2\n\n \t\f\nc=3 # not a comment", "c=3 # not a comment"},
		{"line ends", "a=1\r\nb=2\rc=3", "a=1 b=2 c=3"},
		{"trimmed", "  a  =  1 \t \n", "a=1"},
		{"continuation", "a=1,\\\n   2,\\\r\n\t3\nb=4", "a=1,2,3 b=4"},
		{"continuation in the key", "ser\\\n  ver.1=h", "server.1=h"},
		{"no comment after continuation", "a=1\\\n#2", "a=1#2"},
		{"comment after a lone backslash", "\\\n# a=1\nb=2", "b=2"},
		{"comments do not continue", "# a \\\nb=2", "b=2"},
		{"even backslashes do not continue", "a=1\\\\\nb=2", `a=1\ b=2`},
		{"backslash at the end of the file", "a=1\\", "a=1"},
		{"blank line ends a continuation", "a=1\\\n\nb=2", "a=1 b=2"},
		{"escapes", `a\=b\:c\ d=.\t.\n.\r.\f.\q.\\`, "a=b:c d=.\t.\n.\r.\f.q.\\"},
		{"unicode", `a=\u00e9\ud83d\ude00\u0041`, "a=é😀A"},
		{"bytes are ISO-8859-1", "a=\xe9\xc3\xa9", "a=éÃ©"},
		{"windows path", `dataDir=C:\zk\new`, "dataDir=C:zk\new"},
		{"control characters are trimmed", "a=\x001\x01", "a=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines, err := Parse(Latin1([]byte(test.in)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range lines {
				got = append(got, s.Key+"="+s.Value)
			}
			if g := strings.Join(got, " "); g != test.want {
				t.Errorf("%q\n got %q\nwant %q", test.in, g, test.want)
			}
		})
	}
}

func TestPropertiesPlaces(t *testing.T) {
	lines, err := Parse("# x\r\n\r\na=1\\\n2\nb=3\ra=4")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range lines {
		got = append(got, strconv.Itoa(s.Number)+" "+s.Key)
	}
	if g, want := strings.Join(got, ", "), "3 a, 5 b, 6 a"; g != want {
		t.Errorf("got %s, want %s", g, want)
	}
	for in, want := range map[string]string{
		"a=1\nb=\\u12":    `2: b: \u12 is not \u and four hexadecimal digits`,
		"a=\\u12g4x":      `1: a: \u12g4 is not \u and four hexadecimal digits`,
		"\n\n\\u+123 = 1": `3: \u+123 is not \u and four hexadecimal digits`,
	} {
		if _, err := Parse(in); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", in, err, want)
		}
	}
}

// TestParseText: a text is characters, not the bytes of a file.
func TestParseText(t *testing.T) {
	lines, err := Parse("é=\\é\\u20ac😀")
	if err != nil || len(lines) != 1 || lines[0] != (Line{Key: "é", Value: "é€😀", Number: 1, End: len("é=\\é\\u20ac😀")}) {
		t.Errorf("got %v, %v", lines, err)
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte("a=1\n# c\nserver.1 : h\\\n x\\u0041\r\nb\\ c\t= \xe9"))
	f.Add([]byte("\\"))
	f.Add([]byte("a\\u00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := Parse(Latin1(data))
		if err != nil {
			return
		}
		natural, last := strings.Count(string(data), "\n")+strings.Count(string(data), "\r")+1, 0
		for _, s := range lines {
			if s.Key != Trim(s.Key) || s.Value != Trim(s.Value) || !utf8.ValidString(s.Key+s.Value) {
				t.Errorf("line %q = %q", s.Key, s.Value)
			}
			if s.Number <= last || s.Number > natural {
				t.Errorf("line %d after %d of %d", s.Number, last, natural)
			}
			last = s.Number
		}
	})
}
