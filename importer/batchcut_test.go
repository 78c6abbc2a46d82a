package importer_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/source"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
)

// slowSource is a source of profiles of which only some have an identifier.
type slowSource struct {
	pages, size int
	every       time.Duration
	has         func(i int) bool // an identifier
}

func (s *slowSource) Pages(_, _ context.Context, at source.Position, _ source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		for n := range s.pages {
			time.Sleep(s.every)
			p := &source.Page{Listed: s.size, After: source.Position{At: fmt.Sprint((n + 1) * s.size), Done: n == s.pages-1}}
			for i := n * s.size; i < (n+1)*s.size; i++ {
				profile := &source.Profile{ID: fmt.Sprint("use_", i)}
				if s.has(i) {
					profile.ExternalIDs = []segmentprofiles.ExternalID{{Type: "user_id", ID: fmt.Sprint("u", i)}}
				}
				p.Profiles = append(p.Profiles, profile)
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (s *slowSource) Lookup(context.Context, context.Context, []string) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) { yield(nil, source.ErrReadOnce) }
}

func (s *slowSource) CheckReadable(context.Context) error { return nil }

// A batch is sent when it is full; a partial one at the end, or once 100,000 profiles were read or 15
// minutes have passed since its first customer came: bulk calls are the scarcest thing.
func TestWhenABatchIsSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		from slowSource
		want []int
	}{
		{"full", slowSource{pages: 40, size: 10, has: func(i int) bool { return i%10 < 5 }}, []int{100, 100}},
		{"partial at the end", slowSource{pages: 300, size: 10, has: func(i int) bool { return i%100 == 0 }}, []int{30}},
		{"almost 100,000 profiles", slowSource{pages: 99, size: 1000, has: func(i int) bool { return i == 0 || i == 98_999 }}, []int{2}},
		{"more than 100,000 profiles", slowSource{pages: 102, size: 1000, has: func(i int) bool { return i == 0 || i == 101_999 }}, []int{1, 1}},
		{"slow pages", slowSource{pages: 40, size: 1, every: time.Minute, has: func(int) bool { return true }}, []int{16, 16, 8}},
		{"nothing to send", slowSource{pages: 50, size: 10, has: func(int) bool { return false }}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{})
				w.settings.BatchSize, w.settings.Verify.Off = 100, true
				w.settings.Source = func(settings, *journal.State, int) source.Source { return &c.from }
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantCounts(im, c.from.pages*c.from.size)
				if diff := cmp.Diff(c.want, w.Batches(t)); diff != "" {
					t.Errorf("customers of each bulk request (-want +got):\n%s", diff)
				}
			})
		})
	}
}
