package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/config/properties"
)

// Kind says how Java reads the value of a key, and so what is an error and what is silently the default.
type Kind int

// The kinds. "Lenient" numbers that do not parse leave the default in place, as in Java.
const (
	// String is any text.
	String Kind = iota
	// List is a comma separated list; blanks around the elements do not count.
	List
	// Bool is true or false in any case; anything else is an error.
	Bool
	// Flag is true when the text is "true" in any case, and false otherwise.
	Flag
	// Word knows one exact word (see [Key.Word]); every other text is the opposite of it.
	Word
	// Int is a decimal 32-bit number; anything else is an error.
	Int
	// Long is a decimal 64-bit number; anything else is an error.
	Long
	// Double is a floating-point number; anything else is an error.
	Double
	// LenientInt is a lenient 32-bit number: decimal, 0x or # hexadecimal, leading 0 octal (Integer.getInteger).
	LenientInt
	// LenientLong is the same with 64 bits (Long.getLong).
	LenientLong
	// LenientDecimal is a lenient decimal 32-bit number.
	LenientDecimal
	// LenientDecimalLong is a lenient decimal 64-bit number.
	LenientDecimalLong
	// LenientDouble is a lenient floating-point number.
	LenientDouble
)

var kindNames = [...]string{
	String:             "string",
	List:               "list",
	Bool:               "`true` or `false`",
	Flag:               "flag",
	Word:               "word",
	Int:                "int",
	Long:               "long",
	Double:             "float",
	LenientInt:         "int, lenient",
	LenientLong:        "long, lenient",
	LenientDecimal:     "decimal int, lenient",
	LenientDecimalLong: "decimal long, lenient",
	LenientDouble:      "float, lenient",
}

// String returns a short name for the documentation.
func (k Kind) String() string { return kindNames[k] }

// lenient reports whether a value that does not parse leaves the default.
func (k Kind) lenient() bool { return k >= LenientInt }

// number parses integers of every kind the way the Java method behind the kind does.
func (k Kind) number(s string) (int64, error) {
	switch k {
	case Int, LenientDecimal:
		return strconv.ParseInt(s, 10, 32)
	case Long, LenientDecimalLong:
		return strconv.ParseInt(s, 10, 64)
	case LenientInt:
		return decodeNumber(s, 32)
	default:
		return decodeNumber(s, 64)
	}
}

// decodeNumber is Integer.decode and Long.decode: an optional sign, then 0x, 0X or # for hexadecimal, a leading 0 for octal, else decimal.
func decodeNumber(s string, bits int) (int64, error) {
	digits := strings.TrimPrefix(s, "-")
	negative := digits != s
	if !negative {
		digits = strings.TrimPrefix(s, "+")
	}
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		digits, base = digits[2:], 16
	case strings.HasPrefix(digits, "#"):
		digits, base = digits[1:], 16
	case strings.HasPrefix(digits, "0") && len(digits) > 1:
		digits, base = digits[1:], 8
	}
	if strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-") {
		return 0, strconv.ErrSyntax
	}
	if negative {
		digits = "-" + digits
	}
	return strconv.ParseInt(digits, base, bits)
}

// parseDouble is Double.parseDouble without its hexadecimal forms: it trims, and accepts a trailing d or f.
func parseDouble(s string) (float64, error) {
	s = properties.Trim(s)
	if n := len(s); n > 0 && strings.ContainsRune("dDfF", rune(s[n-1])) {
		s = s[:n-1]
	}
	if strings.ContainsAny(s, "xX_pP") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

// SplitList is what Java makes of a comma separated setting: the blanks around the parts do not count, nor do parts with nothing else.
func SplitList(s string) []string {
	var list []string
	for _, e := range strings.Split(s, ",") {
		if e = properties.Trim(e); e != "" {
			list = append(list, e)
		}
	}
	return list
}

// scale returns n units, or the longest duration that can be represented.
func scale(n int64, unit time.Duration) time.Duration {
	if limit := math.MaxInt64 / int64(unit); n > limit || n < -limit {
		if n < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}

// parse reads value as the row's kind and stores it in the row's field, if it has one. An error leaves the field alone.
func (k *Key) parse(c *Config, value string) error {
	var field any
	if k.field != nil {
		field = k.field(c)
	}
	switch k.Kind {
	case Bool, Flag, Word:
		b, err := k.boolean(value)
		if err != nil {
			return err
		}
		if p, ok := field.(*bool); ok {
			*p = b
		}
	case Double, LenientDouble:
		f, err := parseDouble(value)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		if p, ok := field.(*float64); ok {
			*p = f
		}
	case String, List:
		if len(k.Choices) > 0 && !slices.Contains(k.Choices, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(k.Choices, ", "))
		}
		switch p := field.(type) {
		case *string:
			*p = value
		case *[]string:
			if k.Kind == List {
				*p = SplitList(value)
			} else {
				*p = append(*p, value) // each key of a pattern adds one
			}
		}
	default:
		n, err := k.Kind.number(value)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		if k.Unit == "port" && (n < 0 || n > 65535) {
			return fmt.Errorf("%d is not a port", n)
		}
		switch p := field.(type) {
		case *int:
			*p = int(n)
		case *int64:
			*p = n
		case *time.Duration:
			*p = scale(n, k.unit())
		}
	}
	return nil
}

// boolean parses the three kinds of truth.
func (k *Key) boolean(value string) (bool, error) {
	isTrue := strings.EqualFold(value, "true")
	switch {
	case k.Kind == Word:
		return (value == k.Word) == (k.Word == "yes" || k.Word == "true"), nil
	case k.Kind == Bool && !isTrue && !strings.EqualFold(value, "false"):
		return false, fmt.Errorf("%q is neither true nor false", value)
	}
	return isTrue, nil
}

// unit is how long one of the key's number is; milliseconds where nothing else is said.
func (k *Key) unit() time.Duration {
	if k.Unit == "hours" {
		return time.Hour
	}
	return time.Millisecond
}
