package metrics

import (
	"math"
	"testing"
)

// TestJavaDouble has what Double.toString of Java 17 prints.
func TestJavaDouble(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0.0"},
		{math.Copysign(0, -1), "-0.0"},
		{1, "1.0"},
		{-1, "-1.0"},
		{0.001, "0.001"},
		{0.00099999, "9.9999E-4"},
		{9999999, "9999999.0"},
		{1e7, "1.0E7"},
		{1.795292788e9, "1.795292788E9"},
		{3.1791, "3.1791"},
		{1e-4, "1.0E-4"},
		{123456.7891, "123456.7891"},
		{5e-4, "5.0E-4"},
		{-1e21, "-1.0E21"},
		{2e-3, "0.002"},
		{4.35, "4.35"},
		{sum(0.1, 0.2), "0.30000000000000004"},
		{math.MaxFloat64, "1.7976931348623157E308"},
		{math.NaN(), "NaN"},
		{math.Inf(1), "Infinity"},
		{math.Inf(-1), "-Infinity"},
		{100, "100.0"},
		{1e6, "1000000.0"},
		{12345678.9, "1.23456789E7"},
	} {
		if got := JavaDouble(c.f); got != c.want {
			t.Errorf("%g prints as %s, not %s", c.f, got, c.want)
		}
	}
}

// TestAverage has what AvgMinMaxCounter makes of a sum and a count: four decimals, halves away from zero.
func TestAverage(t *testing.T) {
	for _, c := range []struct {
		sum, count int64
		want       string
	}{
		{0, 0, "0.0"},
		{249164, 32, "7786.375"},
		{1, 32, "0.0313"},
		{-1, 32, "-0.0313"},
		{3, 32, "0.0938"},
		{747989380, 78045, "9584.0782"},
		{887968, 66255, "13.4023"},
		{1520798850, 96650, "15735.1148"},
		{554799, 81737, "6.7876"},
		{1, 20000, "1.0E-4"},
		{1, 100000, "0.0"},
		{math.MaxInt64, 1, "9.223372036854776E18"},
	} {
		if got := JavaDouble(average(c.sum, c.count)); got != c.want {
			t.Errorf("%d/%d is %s, not %s", c.sum, c.count, got, c.want)
		}
	}
}

// sum adds with rounding; constants Go would add exactly.
func sum(a, b float64) float64 { return a + b }
