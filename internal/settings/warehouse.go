package settings

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"segsync/internal/httpretry"
	"segsync/profilessync"
)

// OpenWarehouse looks at the tables of the warehouse. One with a REST API is retried for retryFor while it
// does not answer; maxWait is the longest pause that it may ask for.
func (s *Settings) OpenWarehouse(ctx context.Context, maxWait, retryFor time.Duration, log *slog.Logger) (*profilessync.Warehouse, error) {
	w := &s.Warehouse
	if w.native == nil {
		return profilessync.Open(ctx, w.URL, w.Schema)
	}
	transport := httpretry.New(httpretry.Options{
		API: "the warehouse", MaxWait: maxWait, RetryFor: retryFor, Secrets: s.Secrets(), Log: log, Compact: true,
		MaxBody: func(*http.Request) int64 { return profilessync.MaxAnswer },
	})
	return profilessync.OpenNative(ctx, w.native, w.login, transport.Client())
}
