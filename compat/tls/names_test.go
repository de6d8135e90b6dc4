package tls

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/tlsconf"
)

// TestNames compares the names of subjects, and what is a name at all, with Java's: every type of attribute with every type of string, sets of several, and texts made of the
// pieces that matter to a parser.
func TestNames(t *testing.T) {
	peer.Require(t, "zookeeper")
	classes := t.TempDir()
	peer.Check(t, peer.Compile("zookeeper", classes, "Names.java"))
	rnd := rand.New(rand.NewPCG(1, 2))

	var lines bytes.Buffer
	var subjects [][]byte
	for _, der := range subjectNames(t, rnd) {
		subjects = append(subjects, der)
		fmt.Fprintf(&lines, "der %x\n", der)
	}
	texts := someTexts(rnd)
	for _, text := range texts {
		fmt.Fprintf(&lines, "text %x\n", text)
	}
	cmd := exec.CommandContext(t.Context(), "java", "-Xmx64m", "-cp", classes, "Names")
	cmd.Stdin = &lines
	out, err := cmd.Output()
	peer.Check(t, err)
	answers := strings.Fields(string(out))
	if len(answers) != len(subjects)+len(texts) {
		t.Fatalf("%d answers to %d questions", len(answers), len(subjects)+len(texts))
	}
	refused := map[bool]int{}
	for i, answer := range answers {
		text, err := hex.DecodeString(answer)
		peer.Check(t, err)
		java := string(text)
		if i < len(subjects) {
			ours := "invalid"
			if name, err := tlsconf.SubjectName(subjects[i]); err == nil {
				ours = "=" + name
			}
			if ours != java {
				t.Errorf("%x: %q, Java has %q", subjects[i], ours, java)
			}
			continue
		}
		q := texts[i-len(subjects)]
		refused[java == "invalid"]++
		if ours := tlsconf.ValidName(q); ours != (java == "valid") {
			t.Errorf("%q: valid is %v, Java says %s", q, ours, java)
		}
	}
	t.Logf("%d subjects, %d texts, of which %d are names", len(subjects), len(texts), refused[false])
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type setSET []attribute

// subjectNames are some 2,600 names in DER.
func subjectNames(t *testing.T, rnd *rand.Rand) (names [][]byte) {
	types := []asn1.ObjectIdentifier{
		{2, 5, 4, 3}, {2, 5, 4, 6}, {2, 5, 4, 7}, {2, 5, 4, 8}, {2, 5, 4, 9}, {2, 5, 4, 10}, {2, 5, 4, 11}, {0, 9, 2342, 19200300, 100, 1, 25}, {0, 9, 2342, 19200300, 100, 1, 1},
		{2, 5, 4, 4}, {2, 5, 4, 5}, {2, 5, 4, 12}, {2, 5, 4, 42}, {2, 5, 4, 46}, {1, 2, 840, 113549, 1, 9, 1}, {1, 2, 3, 4}, {2, 999, 1},
	}
	tags := []int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagBMPString, 27, 28, asn1.TagNumericString, 26, asn1.TagInteger, asn1.TagOctetString}
	values := []string{
		"bob", "", " ", "  two  ", "\rx\r", "#hash", "a,b+c\"d\\e<f>g;h=i", "Müller", "日本", "a\x00b", "\x00b\x00o", "\xfc\xff", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x82x", "\xed\xa0\x80", "\xc0\x80", "tab\tnew\nline", "a@b.c", "*&_", "\U0001F600", " #", "\\",
	}
	for range 300 {
		b := make([]byte, 1+rnd.IntN(6))
		for i := range b {
			b[i] = "\x41\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5 "[rnd.IntN(19)]
		}
		values = append(values, string(b))
	}
	add := func(sets ...setSET) {
		der, err := asn1.Marshal(sets)
		peer.Check(t, err)
		names = append(names, der)
	}
	one := func(oid asn1.ObjectIdentifier, tag int, value string) attribute {
		return attribute{oid, asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
	}
	add()
	for _, oid := range types {
		for _, tag := range tags {
			add(setSET{one(oid, tag, "bob")})
		}
	}
	for _, tag := range tags[:7] {
		for _, value := range values {
			add(setSET{one(types[0], tag, value)})
		}
	}
	for range 200 {
		var sets []setSET
		for range 1 + rnd.IntN(4) {
			var set setSET
			for range 1 + rnd.IntN(2)*rnd.IntN(3) {
				set = append(set, one(types[rnd.IntN(len(types))], tags[rnd.IntN(4)], values[rnd.IntN(len(values))]))
			}
			sets = append(sets, set)
		}
		add(sets...)
	}
	return names
}

// someTexts are names and what is nearly one.
func someTexts(rnd *rand.Rand) []string {
	texts := []string{
		"", " ", "CN=bob", "cn=bob", " CN = bob ", "CN=", "CN", "=bob", "CN=bob,", ",CN=bob", "CN=a;O=b", "CN=a+O=b", "CN=a+", "X=1", "OID.1.2.3=x", "1.2.3=#0401ff", "1.2.3=#04", "1.2.3=#0402ff",
		"3.1=x", "1.40=x", "2.999=x", "1=x", "1.=x", "1..2=x", "CN=#", "CN=#zz", "CN=#0c0161 ", `CN="a,b"`, `CN="a,b" x`, `CN="a`, `CN=a"b`, `CN=a\"b`, `CN=\,`, `CN=\x`, `CN=\41`, `CN=\4`, `CN=\`,
		"EMAILADDRESS=a@b", "E=a@b", "SERIALNUMBER=1", "CN=a<b", "CN=a=b", "CN=a#b", "CN=Müller", "CN=a\nb", "DNQ=x", "GIVENNAME=x", "C=DEU", "UID=1", "TITLE=x",
	}
	pieces := []string{"CN", "O", "1.2.3", "=", "=", ",", "+", ";", " ", "a", "bob", "#", "0401ff", "\"", "\\", "\\,", "\\\"", "\\41", "<", "é", "\n", "4"}
	for range 3000 {
		var b strings.Builder
		b.WriteString([]string{"", "CN=", "CN=", "O=x,CN="}[rnd.IntN(4)])
		for range rnd.IntN(7) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		texts = append(texts, b.String())
	}
	return texts
}
