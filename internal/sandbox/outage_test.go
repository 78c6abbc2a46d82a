package sandbox_test

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
)

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{Outage: sandbox.Outage{After: 2, For: time.Minute}})
		ask := func() int {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", actions, nil)
			r.Header.Set("X-App-Id", "sandbox-app-id")
			r.Header.Set("X-App-Token", "sandbox-secret-key")
			s.ServeHTTP(w, r)
			return w.Code
		}
		got := []int{ask(), ask(), ask()}
		time.Sleep(59 * time.Second)
		got = append(got, ask())
		time.Sleep(time.Second)
		equal(t, "answers", append(got, ask()), []int{200, 200, 503, 503, 200})
	})
}
