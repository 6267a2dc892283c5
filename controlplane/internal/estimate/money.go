package estimate

import (
	"math"
	"strconv"
)

// Money is whole cents, so that the lines of a bill add up to its total.
type Money int64

// dollars rounds a number of dollars to whole cents.
func dollars(v float64) Money { return Money(math.Round(v * 100)) }

// Dollars returns m in dollars.
func (m Money) Dollars() float64 { return float64(m) / 100 }

// String writes $1,234.50.
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return sign + "$" + grouped(int64(m/100)) + "." + strconv.Itoa(int(m%100/10)) + strconv.Itoa(int(m%10))
}

// grouped writes a number with a comma before each three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for k := len(text) - 3; k > 0; k -= 3 {
		text = text[:k] + "," + text[k:]
	}
	return text
}

// MarshalJSON writes dollars.
func (m Money) MarshalJSON() ([]byte, error) {
	return []byte(strconv.FormatFloat(m.Dollars(), 'f', 2, 64)), nil
}

// UnmarshalJSON reads dollars.
func (m *Money) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	*m = dollars(v)
	return err
}
