package tlsconf

import (
	"encoding/binary"
	"errors"
)

var errJKS = errors.New("the file is damaged: it ends within an entry")

// checkJKS finds out whether what the counts and lengths of a JKS store claim is there: the library that reads it makes room for it first.
func checkJKS(data []byte) error {
	rest, whole := data, true
	skip := func(n int) []byte {
		if n > len(rest) {
			whole, n = false, len(rest)
		}
		b := rest[:n]
		rest = rest[n:]
		return b
	}
	number := func(size int) int {
		if b := skip(size); !whole {
			return 0
		} else if size == 2 {
			return int(binary.BigEndian.Uint16(b))
		} else {
			return int(binary.BigEndian.Uint32(b))
		}
	}
	skip(4)
	version := number(4)
	certificates := func(n int) {
		for ; n > 0 && whole; n-- {
			if version == 2 {
				skip(number(2)) // its type
			}
			skip(number(4))
		}
	}
	for entries := number(4); entries > 0 && whole; entries-- {
		tag := number(4)
		skip(number(2)) // alias
		skip(8)         // date
		switch tag {
		case 1:
			skip(number(4)) // key
			certificates(number(4))
		case 2:
			certificates(1)
		default:
			return nil // the library says so
		}
	}
	if !whole {
		return errJKS
	}
	return nil
}
