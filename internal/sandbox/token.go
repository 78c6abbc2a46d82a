package sandbox

import (
	"hash/fnv"
	"io"
	"strconv"
	"strings"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A token is a prefix and 27 base62 characters: 22 that follow from the seed
// and the number, and 5 that hold the number, each shifted by the one before.
const (
	tokenHash   = 22
	tokenNumber = 5
)

// token returns the token of n, which is at least 0 and below 62^5.
func token(prefix string, seed uint64, n int) string {
	b := make([]byte, len(prefix), len(prefix)+tokenHash+tokenNumber)
	copy(b, prefix)
	var h uint64
	for i := range tokenHash {
		if i%10 == 0 {
			h = mix(seed, uint64(n), uint64(i))
		}
		b = append(b, base62[h%62])
		h /= 62
	}
	for rest := n; len(b) < cap(b); rest /= 62 {
		shift := strings.IndexByte(base62, b[len(b)-1])
		b = append(b, base62[(rest+shift)%62])
	}
	return string(b)
}

// parseToken returns the number of a token, and whether it is one.
func parseToken(prefix string, seed uint64, s string) (int, bool) {
	if len(s) != len(prefix)+tokenHash+tokenNumber || !strings.HasPrefix(s, prefix) {
		return 0, false
	}
	n := 0
	for i := len(s) - 1; i >= len(s)-tokenNumber; i-- {
		digit, shift := strings.IndexByte(base62, s[i]), strings.IndexByte(base62, s[i-1])
		if digit < 0 || shift < 0 {
			return 0, false
		}
		n = n*62 + (digit-shift+62)%62
	}
	return n, token(prefix, seed, n) == s
}

// mix returns a number that looks random and follows from a, b and c.
func mix(a, b, c uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 ^ b*0xbf58476d1ce4e5b9 ^ c*0x94d049bb133111eb
	for range 2 {
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// fraction maps x to [0, 1).
func fraction(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// hexID returns 16 hexadecimal digits that follow from a and b.
func hexID(a, b uint64) string {
	s := strconv.FormatUint(mix(a, b, 0x1d), 16)
	return strings.Repeat("0", 16-len(s)) + s
}

// hash maps a text to a number.
func hash(s string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, s) // a hash takes everything
	return h.Sum64()
}
