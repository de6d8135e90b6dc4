package tlsconf

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// keywords are the attributes that have a name in RFC 2253; every other one goes by its number.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

// attribute is a type with its value.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// attributeSet is what a name is a sequence of. Package asn1 knows by the end of the type's name that it is a set.
type attributeSET []attribute

// SubjectName is a subject or issuer in DER as text: the id of the scheme x509. The error is that of a name that is not well formed. Mirrors the method X500Principal.getName
// of Java, which shows strings as their bytes, taken for UTF-8: also those that are no UTF-8.
func SubjectName(der []byte) (string, error) {
	var sets []attributeSET
	if rest, err := asn1.Unmarshal(der, &sets); err != nil {
		return "", err
	} else if len(rest) > 0 {
		return "", fmt.Errorf("%d bytes behind the name", len(rest))
	}
	var names []string
	for _, set := range slices.Backward(sets) {
		var parts []string
		for _, a := range set {
			parts = append(parts, a.text())
		}
		names = append(names, strings.Join(parts, "+"))
	}
	return strings.Join(names, ","), nil
}

// stringTags are the string types of ASN.1 whose values Java shows as text.
var stringTags = []int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString}

func (a *attribute) text() string {
	name, known := keywords[a.Type.String()]
	if !known {
		name = a.Type.String()
	}
	if !known || a.Value.Class != asn1.ClassUniversal || !slices.Contains(stringTags, a.Value.Tag) {
		return name + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	value := javaUTF8(a.Value.Bytes)
	edge := len(value) - len(strings.TrimLeft(value, " \r")) // before it is blank
	tail := len(strings.TrimRight(value, " \r"))             // behind it is blank
	var b strings.Builder
	b.WriteString(name + "=")
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case strings.IndexByte(`,=+<>#;"\`, c) >= 0, i < edge, i >= tail:
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// javaUTF8 puts U+FFFD where b is no UTF-8: one for the longest beginning of a character that breaks off, as Java and Unicode have it, where Go has one for each byte.
func javaUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r != utf8.RuneError || n > 1:
		case b[0] == 0xed: // half a surrogate pair counts as one
			for n < min(3, len(b)) && b[n]&0xc0 == 0x80 {
				n++
			}
		default:
			for n < len(b) && !utf8.FullRune(b[:n+1]) {
				n++
			}
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// ValidName reports whether Java reads the text as a distinguished name, in any of its three notations: only then an ACL entry may have it. Mirrors the constructor of
// X500Principal.
func ValidName(text string) bool {
	if text == "" {
		return true
	}
	for _, set := range splitName(text, ",;") {
		for _, part := range splitName(set, "+") {
			if !validAttribute(part) {
				return false
			}
		}
	}
	return true
}

// splitName cuts a name at separators that are neither quoted nor escaped.
func splitName(text, separators string) []string {
	var parts []string
	start, quotes := 0, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"' && !escapedAt(text, i):
			quotes++
		case strings.IndexByte(separators, text[i]) >= 0 && quotes != 1 && !escapedAt(text, i):
			parts = append(parts, text[start:i])
			start, quotes = i+1, 0
		}
	}
	return append(parts, text[start:])
}

// escapedAt reports whether an odd number of backslashes is before text[i].
func escapedAt(text string, i int) bool {
	n := 0
	for n < i && text[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// moreKeywords are names of attributes that Java reads beside those it writes.
var moreKeywords = []string{
	"S", "T", "IP", "DNQ", "DNQUALIFIER", "SURNAME", "GIVENNAME", "INITIALS", "GENERATION", "EMAIL", "EMAILADDRESS", "SERIALNUMBER",
	"CN", "C", "L", "ST", "STREET", "O", "OU", "DC", "UID",
}

func validAttribute(text string) bool {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !validKeyword(strings.ToUpper(strings.TrimFunc(name, func(r rune) bool { return r <= ' ' }))) {
		return false
	}
	value = strings.TrimLeft(value, " \n")
	switch {
	case value == "":
		return true
	case value[0] == '#':
		return validHex(value[1:])
	case value[0] == '"':
		return validQuoted(value[1:])
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\':
			n := escapeLength(value[i+1:], ",=\n+<>#;\\\" ")
			if n == 0 {
				return false
			}
			i += n
		case strings.IndexByte(`,+<>;"`, c) >= 0:
			return false
		}
	}
	return true
}

func validKeyword(name string) bool {
	if slices.Contains(moreKeywords, name) {
		return true
	}
	arcs := strings.Split(strings.TrimPrefix(name, "OID."), ".")
	if len(arcs) < 2 {
		return false
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 64)
		if arc == "" || strings.Trim(arc, "0123456789") != "" || i == 0 && (err != nil || n > 2) {
			return false
		}
		if i == 1 && arcs[0] != "2" && (err != nil || n > 39) {
			return false
		}
	}
	return true
}

// validHex wants the bytes of one value in DER.
func validHex(text string) bool {
	der, err := hex.DecodeString(text)
	if err != nil || len(der) == 0 {
		return false
	}
	var value asn1.RawValue
	rest, err := asn1.Unmarshal(der, &value)
	return err == nil && len(rest) == 0
}

// validQuoted wants a quotation mark at the end, with nothing but blanks behind it.
func validQuoted(text string) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			n := escapeLength(text[i+1:], ",=\n+<>#;\\\"")
			if n == 0 {
				return false
			}
			i += n
		case '"':
			return strings.Trim(text[i+1:], " \n") == ""
		}
	}
	return false
}

// escapeLength is how many bytes belong to the backslash before text: two hexadecimal digits, or one of the special characters; 0 if it may not stand there.
func escapeLength(text, special string) int {
	isHex := func(i int) bool {
		return i < len(text) && strings.IndexByte("0123456789ABCDEFabcdef", text[i]) >= 0
	}
	switch {
	case text == "":
		return 0
	case isHex(0) && isHex(1):
		return 2
	case strings.IndexByte(special, text[0]) >= 0:
		return 1
	}
	return 0
}
