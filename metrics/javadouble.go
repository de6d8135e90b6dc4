package metrics

import (
	"math"
	"strconv"
	"strings"
)

// JavaDouble prints f as Java's Double.toString does since JDK 19: the fewest digits that denote f, with at least one
// decimal; outside of [0.001, 10,000,000) with an exponent: 0.0, 3.1791, 1.795292788E9, NaN, -Infinity.
func JavaDouble(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+") + "inity"
	case a == 0 || a >= 1e-3 && a < 1e7:
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(digits, ".") {
		digits += ".0"
	}
	e, _ := strconv.Atoi(exponent) // drops the plus sign and the leading zero
	return digits + "E" + strconv.Itoa(e)
}

// round4 rounds the exact value of f to four decimals, halves away from zero, as BigDecimal's HALF_UP does.
func round4(f float64) float64 {
	// strconv rounds the exact value too, but halves to even. f lies exactly between two four-decimal numbers only if it is an
	// odd multiple of 1/32, since 1/20000 = 1/32 * 1/625.
	if t := f * 32; t == math.Trunc(t) && math.Mod(t, 2) != 0 {
		f = math.Nextafter(f, math.Copysign(math.Inf(1), f))
	}
	r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', 4, 64), 64)
	return r
}
