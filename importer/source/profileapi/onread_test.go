package profileapi_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/mapping"
	"segsync/importer/source"
	"segsync/importer/source/profileapi"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// Profiles count as read at once, although the page that they are in waits for its last one.
func TestProfilesOfAnUnfinishedPageCountAsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sandboxtest.New(sandbox.Options{Profiles: 20, Plain: true})
		w.On(`@7/`, sandboxtest.Slowly(time.Minute))
		segment, _ := sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
		var read atomic.Int64
		src := profileapi.New(segment, profileapi.Options{
			Fields:   profileapi.Fields{Identifiers: []mapping.Identifier{{Type: "user_id"}}, IDTypes: []string{"user_id"}, TraitsLimit: 100},
			PageSize: 20, Readers: 5, Log: slog.New(slog.DiscardHandler), OnRead: func() { read.Add(1) },
		})
		go func() {
			time.Sleep(30 * time.Second)
			if n := read.Load(); n != 19 {
				t.Errorf("%d profiles count as read, want 19", n)
			}
		}()
		for page, err := range src.Pages(t.Context(), t.Context(), source.Position{}, seen{}) {
			if err != nil || len(page.Profiles) != 20 || read.Load() != 20 {
				t.Errorf("page of %d profiles, %d read: %v", len(page.Profiles), read.Load(), err)
			}
			break
		}
	})
}

// seen is the set of the profiles that an import has listed.
type seen map[string]bool

func (s seen) Add(id string) bool { isNew := !s[id]; s[id] = true; return isNew }
func (s seen) Has(id string) bool { return s[id] }
func (s seen) Len() int           { return len(s) }
