package shell

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"quoll/jute"
)

// sortJava sorts as String.compareTo does, by UTF-16 units.
func sortJava(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
}

// printStat prints the eleven lines of a Stat.
func (s *Shell) printStat(stat *jute.Stat) {
	date := func(ms int64) string { return time.UnixMilli(ms).Format("Mon Jan 02 15:04:05 MST 2006") }
	s.print("cZxid = 0x%x\nctime = %s\nmZxid = 0x%x\nmtime = %s\npZxid = 0x%x\ncversion = %d\ndataVersion = %d\naclVersion = %d\n"+
		"ephemeralOwner = 0x%x\ndataLength = %d\nnumChildren = %d\n",
		uint64(stat.Czxid), date(stat.Ctime), uint64(stat.Mzxid), date(stat.Mtime), uint64(stat.Pzxid), stat.Cversion, stat.Version, stat.Aversion,
		uint64(stat.EphemeralOwner), stat.DataLength, stat.NumChildren)
}

// hexDump is a table of 16 bytes a row, as Netty's prettyHexDump draws it; empty for no bytes.
func hexDump(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	const (
		top  = "         +-------------------------------------------------+\n         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n"
		rule = "+--------+-------------------------------------------------+----------------+"
	)
	var b strings.Builder
	b.WriteString(top + rule)
	for at := 0; at < len(data); at += 16 {
		row := data[at:min(at+16, len(data))]
		text := make([]byte, len(row))
		for i, c := range row {
			if text[i] = c; c < 0x20 || c >= 0x7f {
				text[i] = '.'
			}
		}
		fmt.Fprintf(&b, "\n|%08x| %-48s|%-16s|", at, fmt.Sprintf("% x", row), text)
	}
	b.WriteString("\n" + rule)
	return b.String()
}

// decodeBase64 takes base64 with or without padding.
func decodeBase64(text string) ([]byte, error) {
	encoding := base64.StdEncoding
	if !strings.HasSuffix(text, "=") {
		encoding = base64.RawStdEncoding
	}
	data, err := encoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fail("-b: %q is not base64", text)
	}
	return data, nil
}

// parseACL reads scheme:id:perms entries with commas between them. It complains of what it cannot read and leaves that out; the list is
// empty if nothing is left.
func (s *Shell) parseACL(text string) []jute.ACL {
	acl := []jute.ACL{}
	for entry := range strings.SplitSeq(strings.TrimRight(text, ","), ",") {
		first, last := strings.IndexByte(entry, ':'), strings.LastIndexByte(entry, ':')
		if first == last {
			s.complain(entry + " does not have the form scheme:id:perm")
			continue
		}
		a := jute.ACL{Scheme: entry[:first], ID: entry[first+1 : last]}
	letters:
		for _, letter := range entry[last+1:] {
			for _, p := range jute.PermLetters {
				if p.Letter == letter {
					a.Perms |= p.Bit
					continue letters
				}
			}
			s.complain("Unknown perm type: " + string(letter))
		}
		acl = append(acl, a)
	}
	return acl
}
