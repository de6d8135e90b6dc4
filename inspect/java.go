package inspect

import (
	"cmp"
	"slices"
	"unicode/utf16"
)

// Layouts of Java's dates in English.
const (
	dateToString   = "Mon Jan 02 15:04:05 MST 2006" // Date.toString
	dateShortLong  = "1/2/06, 3:04:05 PM MST"       // DateFormat, date SHORT and time LONG
	dateMediumBoth = "Jan 2, 2006, 3:04:05 PM"      // DateFormat.getDateTimeInstance
)

// hashOrder is the order in which a Java HashMap or HashSet iterates over keys that were put into it in the given order, none of them
// twice: where capacity is its initial one, and no more than eight keys ever share a bucket.
func hashOrder(hashes []uint32, capacity int) []int {
	for size := 1; size <= len(hashes); size++ {
		if size > capacity*3/4 {
			capacity *= 2
		}
	}
	order := make([]int, len(hashes))
	for i := range order {
		order[i] = i
	}
	bucket := func(i int) uint32 { return (hashes[i] ^ hashes[i]>>16) & uint32(capacity-1) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(bucket(a), bucket(b)) })
	return order
}

// stringHash is String.hashCode.
func stringHash(s string) (h uint32) {
	for _, r := range s {
		if r < 0x10000 {
			h = 31*h + uint32(r)
			continue
		}
		high, low := utf16.EncodeRune(r)
		h = 31*(31*h+uint32(high)) + uint32(low)
	}
	return h
}

// longHash is Long.hashCode.
func longHash(v int64) uint32 { return uint32(v ^ int64(uint64(v)>>32)) }
