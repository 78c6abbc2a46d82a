package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func openTable(t *testing.T, valueBytes int) *table {
	t.Helper()
	set, err := newTable(filepath.Join(t.TempDir(), "table.tmp"), valueBytes, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.close() })
	return set
}

// The table must agree with a map, for identities that share the bits that choose their
// bucket, too.
func TestTableAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() identity{
		"labels": func() identity { return identityOf(hashSHA256, fmt.Sprint("use_", r.IntN(5000))) },
		"one bucket": func() identity {
			return identity{0: 1, 7: 1, 12: byte(r.IntN(100)), 13: byte(r.IntN(20)), 15: 1}
		},
		"small": func() identity { return identityOf(hashSHA256, fmt.Sprint(r.IntN(10))) },
		"fnv":   func() identity { return identityOf(hashFNV, fmt.Sprint("use_", r.IntN(3000))) },
	} {
		t.Run(name, func(t *testing.T) {
			set, want := openTable(t, 3), map[identity][]byte{}
			for i := range 10_000 {
				id := draw()
				value, found, err := set.get(id)
				if err != nil || found != (want[id] != nil) || found && !bytes.Equal(value, want[id]) {
					t.Fatalf("get(%x) is %v, %v, %v after %d identities, want %v", id, value, found, err, len(want), want[id])
				}
				if i%3 == 0 && found {
					continue
				}
				want[id] = []byte{byte(i), byte(i >> 8), 7}
				if err := set.put(id, want[id]); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestTableLeavesNoFile(t *testing.T) {
	set := openTable(t, 0)
	if err := set.put(identityOf(hashSHA256, "a"), nil); err != nil {
		t.Fatal(err)
	}
	if err := set.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(set.file.Name()); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// identityOf is on the disks of people: it must never change.
func TestIdentitiesNeverChange(t *testing.T) {
	for _, c := range []struct{ hash, id, want string }{
		{hashSHA256, "use_1", "d771cd1e5be2e65d007404648b592003"},
		{hashFNV, "use_1", "a0e1f76271c2a6420000000000000001"},
	} {
		if got := fmt.Sprintf("%x", identityOf(c.hash, c.id)); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.hash, c.id, got, c.want)
		}
	}
}
