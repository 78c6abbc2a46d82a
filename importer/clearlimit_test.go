package importer_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// A source that is half filled does not empty a field of everybody: the run stops before
// the batch that would pass the limit, sends what comes before it, and can be continued.
func TestClearsStopARun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ profiles, limit, sent int }{
		{300, -1, 100},    // the least, although 5 % of 300 are 15
		{300, 59, 40},     // batches of 20
		{300, 0, 0},       //
		{300, 300, 300},   // all of them
		{120, 10000, 120}, //
	} {
		t.Run(fmt.Sprintf("%d profiles, %d allowed", c.profiles, c.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: c.profiles, Plain: true, Identified: 1})
				w.settings.Mapping = onlyRules(t, "email: email\ndescription: nobody_has_it\nclear: [description]")
				w.settings.MaxClears = c.limit
				offset, err := run(t.Context(), w.importer())
				if c.sent < c.profiles {
					var clears *importer.ClearsError
					want := importer.ClearsError{Field: "description", Clears: c.sent + 20, Max: c.limit}
					if c.limit < 0 {
						want.Max = 100
					}
					if !errors.As(err, &clears) || *clears != want {
						t.Fatalf("error %v, want %v", err, &want)
					}
					if offset != fmt.Sprint(c.sent) {
						t.Errorf("stopped at %s, want %d", offset, c.sent)
					}
					// However often it is tried again, it stays so.
					for range 3 {
						clears = nil
						if err := w.importer().Run(t.Context()); !errors.As(err, &clears) || *clears != want {
							t.Errorf("tried again: error %v, want %v", err, &want)
						}
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if n := w.Box.Stats().Customers; n != c.sent {
					t.Errorf("%d customers were sent, want %d", n, c.sent)
				}
				w.settings.MaxClears = c.profiles
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantConfirmed(im, c.profiles)
				w.wantComplete() // with nulls
			})
		})
	}
}
