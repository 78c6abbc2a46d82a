package screen_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/screen"
)

func TestTheFirstWarningOfAKindIsShown(t *testing.T) {
	date := screen.Kind{Field: "birthdate", Reason: "not YYYY-MM-DD"}
	future := screen.Kind{Field: "birthdate", Reason: "in the future"}
	email := screen.Kind{Field: "email", Reason: "not an address"}
	warnings := []screen.Kind{email, date, date, future, date, email}
	for all, want := range map[bool][]bool{
		false: {true, true, false, true, false, false},
		true:  {true, true, true, true, true, true},
	} {
		l := screen.NewLimiter(all)
		var shown []bool
		for _, kind := range warnings {
			shown = append(shown, l.Count(kind))
		}
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("all %t: shown: %s", all, diff)
		}
		counts := []screen.KindCount{{date, 3}, {email, 2}, {future, 1}}
		if diff := cmp.Diff(counts, l.Counts()); diff != "" || l.Total() != 6 {
			t.Errorf("all %t: total %d, counts: %s", all, l.Total(), diff)
		}
	}
}

func TestWarningsOfManyGoroutinesAreAllCounted(t *testing.T) {
	l := screen.NewLimiter(false)
	var routines sync.WaitGroup
	shown := make([]int, 8)
	for i := range shown {
		routines.Go(func() {
			for range 1000 {
				if l.Count(screen.Kind{Field: "birthdate"}) {
					shown[i]++
				}
			}
		})
	}
	routines.Wait()
	sum := 0
	for _, n := range shown {
		sum += n
	}
	if sum != 1 || l.Total() != 8000 {
		t.Errorf("%d shown of %d, want 1 of 8000", sum, l.Total())
	}
}
