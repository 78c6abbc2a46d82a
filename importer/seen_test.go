package importer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
			set, want := openSeen(t), map[uint64]bool{}
			for range 10_000 {
				h := hash()
				if added, err := set.add(h); err != nil || added == want[h] {
					t.Fatalf("add(%#x) is %v, %v after %d hashes", h, added, err, len(want))
				}
				want[h] = true
			}
		})
	}
}

func TestSeenLeavesNoFile(t *testing.T) {
	set := openSeen(t)
	if _, err := set.add(1); err != nil {
		t.Fatal(err)
	}
	if err := set.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(set.file.Name()); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

func openSeen(t *testing.T) *seen {
	t.Helper()
	set, err := newSeen(filepath.Join(t.TempDir(), "seen"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.close() })
	return set
}
