package deletion_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/deletion"
	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// newDeleter returns what deletes in a world where the customer gone exists and has no profile, and the journal of
// an import that has sent one.
func newDeleter(t *testing.T, w *sandboxtest.World) (*deletion.Deleter, *journal.Journal) {
	t.Helper()
	w.On(`^GET /v1/customers/gone`, sandboxtest.Body(`{"id":"cust_1","object":"customer","source_id":"gone"}`))
	retry := httpretry.New(httpretry.Options{API: "Voucherify", Base: w, MaxWait: time.Hour, RetryFor: time.Minute})
	segment, vch := sandboxtest.Clients(t, retry, sandboxtest.NoNetwork)
	names := journal.NewNames(t.TempDir(), "")
	j, _, err := journal.Open(names, journal.Start{Identity: journal.Identity{Space: "spa_sandbox", Identifier: "user_id"}})
	if err == nil {
		err = j.Start()
	}
	if err == nil {
		err = j.Save()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return &deletion.Deleter{Segment: segment, Voucherify: vch, Types: []string{"user_id"}}, j
}

func run(t *testing.T, d *deletion.Deleter, j *journal.Journal, agreed bool) map[journal.Answer]int {
	t.Helper()
	list := deletion.List{Fingerprint: "l1", IDs: []string{"gone"}, Agreed: map[string]bool{"gone": agreed}}
	answers, err := d.Run(t.Context(), t.Context(), j, list, func(map[journal.Answer]int) {})
	if err != nil {
		t.Error(err)
	}
	return answers
}

// Only customers without a profile when the deletion was agreed to are deleted, also if more profiles have left
// since.
func TestDeletesOnlyWhatWasAgreedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sandboxtest.New(sandbox.Options{Profiles: 3, Plain: true})
		deletions := w.Count(`^DELETE`)
		w.On(`^DELETE`, sandboxtest.Status(http.StatusNoContent))
		d, j := newDeleter(t, w)
		if answers := run(t, d, j, false); answers[journal.StillInSegment] != 1 || *deletions != 0 {
			t.Errorf("%v after %d deletions", answers, *deletions)
		}
		if answers := run(t, d, j, true); answers[journal.Deleted] != 1 || *deletions != 1 {
			t.Errorf("%v after %d deletions", answers, *deletions)
		}
	})
}

// A deletion that has to wait is not sent once the profile is back.
func TestLooksUpAgainAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sandboxtest.New(sandbox.Options{Profiles: 3, Plain: true})
		var isBack atomic.Bool
		deletions := w.Count(`^DELETE`)
		w.On(`user_id:gone/external_ids`, func(rw http.ResponseWriter, r *http.Request) bool {
			if !isBack.Load() {
				return false // the sandbox has no such profile
			}
			return sandboxtest.Body(`{"data":[],"cursor":{"has_more":false,"next":""}}`)(rw, r)
		})
		w.On(`^DELETE`, func(rw http.ResponseWriter, r *http.Request) bool {
			isBack.Store(true)
			rw.Header().Set("Retry-After", "60")
			rw.WriteHeader(http.StatusTooManyRequests)
			return true
		})
		d, j := newDeleter(t, w)
		if answers := run(t, d, j, true); answers[journal.StillInSegment] != 1 || *deletions != 1 {
			t.Errorf("%v after %d deletions", answers, *deletions)
		}
	})
}
