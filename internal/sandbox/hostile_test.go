package sandbox_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"segsync/internal/sandbox"
)

// hostileRequest has a request of each route.
var hostileRequest = map[string]string{
	"list": "GET " + profiles, "external_ids": "GET " + profiles + "/segment_id:x/external_ids", "traits": "GET " + profiles + "/segment_id:x/traits",
	"bulk": "POST " + bulk, "actions": "GET " + actions, "action": "GET " + actions + "/aa_1", "schema": "GET /v1/metadata-schemas/customer",
	"customer": "GET " + customersPath + "/x", "exports": "POST " + exportsPath, "export": "GET " + exportsPath + "/exp_1",
}

// TestHostiles asks each hostile server and goes away: it must misbehave, and
// the sandbox must be able to end.
func TestHostiles(t *testing.T) {
	secret := "CANARY/1"
	kinds := map[string]int{}
	for _, h := range sandbox.Hostiles([]string{secret, "CANARY2"}) {
		kinds[h.Name]++
		method, path, ok := strings.Cut(hostileRequest[h.Route], " ")
		if h.Route == "download" || kinds[h.Name] > 1 {
			continue
		}
		if !ok {
			t.Fatalf("unknown route %q", h.Route)
		}
		_, c := start(t, sandbox.Options{Misbehave: sandbox.Misbehaviour{Hostile: &h}})
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		resp, err := c.Do(c.request(method, path, nil).WithContext(ctx))
		if err == nil {
			context.AfterFunc(ctx, func() { resp.Body.Close() }) // the body of a 101 does not end with ctx
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			text := resp.Status + resp.Header.Get("Request-Id") + resp.Header.Get("Location") + string(body)
			if strings.HasPrefix(h.Name, "secrets") && !strings.Contains(h.Name, "escaped") && !strings.Contains(h.Name, "base64") && !strings.Contains(text, "CANARY") {
				t.Errorf("%s: no secret in %q", h.Name, text)
			}
			if resp.StatusCode == 404 {
				t.Errorf("%s: the sandbox answered", h.Name)
			}
		}
		cancel()
	}
	equal(t, "routes of the general kinds", kinds["gzip bomb"], 11)
}
