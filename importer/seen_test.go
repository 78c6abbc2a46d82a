package importer

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The set must agree with a map, for hashes that share their low bits, too.
func TestSeenAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, hash := range map[string]func() uint64{
		"labels":        func() uint64 { return hashOf(fmt.Sprint("use_", r.IntN(5000))) },
		"same low bits": func() uint64 { return r.Uint64N(2000) << 20 },
		"small":         func() uint64 { return r.Uint64N(10) },
	} {
		t.Run(name, func(t *testing.T) {
			set, want := newSeen(0), map[uint64]bool{}
			for range 10_000 {
				h := hash()
				if set.has(h) != want[h] {
					t.Fatalf("has(%#x) is %v after %d hashes", h, set.has(h), len(want))
				}
				if set.add(h) == want[h] {
					t.Fatalf("add(%#x) is %v after %d hashes", h, want[h], len(want))
				}
				want[h] = true
			}
		})
	}
}

func TestNilSeenIsEmpty(t *testing.T) {
	var none *seen
	if none.has(0) || none.has(1) {
		t.Error("a nil set has a hash")
	}
}
