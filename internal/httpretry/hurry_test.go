package httpretry_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

// In a hurry nobody waits for a retry or a pause: who waits ends at once with what there
// is, and what can be sent at once still is.
func TestHurryEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{API: "Segment", Base: server(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/fine" {
				return response(200, strings.NewReader(`{}`)), nil
			}
			return response(503, strings.NewReader(`{}`), "Retry-After", "240"), nil
		})})
		began := time.Now()
		go func() {
			<-time.After(10 * time.Second)
			tr.Hurry()
		}()
		resp, err := tr.Client().Get(apiURL + "/waits")
		if err != nil || resp.StatusCode != 503 {
			t.Errorf("%v, %v", resp, err)
		}
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("it ended after %s, want 10s", waited)
		}
		if _, err := tr.Client().Get(apiURL + "/paused"); err == nil || !strings.Contains(err.Error(), "interrupted while waiting") {
			t.Errorf("during the pause: %v", err)
		}
		<-time.After(5 * time.Minute)
		if _, err := tr.Client().Get(apiURL + "/fine"); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		if waited := time.Since(began); waited > 6*time.Minute {
			t.Errorf("it took %s", waited)
		}
	})
}
