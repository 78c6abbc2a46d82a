package metadata

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// numberForm matches the numbers of JSON.
var numberForm = regexp.MustCompile(`^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$`)

// IsNumber reports whether the text is a number of JSON.
func IsNumber(text string) bool { return numberForm.MatchString(text) }

// Decimal writes a JSON number without exponent, and loses no digit. A number without exponent
// stays as written. It reports false where the point would move by more than 100 digits.
func Decimal(number string) (string, bool) {
	e := strings.IndexAny(number, "eE")
	if e < 0 {
		return number, true
	}
	exponent, err := strconv.Atoi(number[e+1:])
	value, ok := new(big.Rat).SetString(number[:e])
	if err != nil || !ok || exponent < -100 || exponent > 100 {
		return "", false
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		power.Inv(power)
	}
	_, fraction, _ := strings.Cut(number[:e], ".")
	return value.Mul(value, power).FloatString(max(0, len(fraction)-exponent)), true
}

// CompareNumbers compares two JSON numbers by value, exactly, but for those of absurd
// size, which it compares as float64.
func CompareNumbers(a, b json.Number) int {
	x, okX := Rational(a)
	y, okY := Rational(b)
	if okX && okY {
		return x.Cmp(y)
	}
	f, _ := a.Float64() // ±Inf for what is out of range
	g, _ := b.Float64()
	return big.NewFloat(f).Cmp(big.NewFloat(g))
}

// Rational returns the value of a JSON number, unless its size is absurd.
func Rational(number json.Number) (*big.Rat, bool) {
	digits, ok := Decimal(number.String())
	if !ok || len(digits) > 1000 {
		return nil, false
	}
	return new(big.Rat).SetString(digits)
}
