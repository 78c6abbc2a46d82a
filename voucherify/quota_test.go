package voucherify_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"segsync/voucherify"
)

func TestQuotaOf(t *testing.T) {
	for request, want := range map[[2]string]string{
		{http.MethodPost, "/v1/customers/bulk/async"}: voucherify.BulkQuota,
		{http.MethodPost, "/v1/customers"}:            voucherify.CallsQuota,
		{http.MethodGet, "/v1/async-actions"}:         voucherify.CallsQuota,
	} {
		req, err := http.NewRequest(request[0], "https://api.voucherify.io"+request[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := voucherify.QuotaOf(req); got != want {
			t.Errorf("%s %s counts in %s, want %s", request[0], request[1], got, want)
		}
	}
}

func TestReadQuota(t *testing.T) {
	soon := time.Now().Add(time.Minute).Truncate(time.Second)
	type quota struct {
		limit, remaining int
		resets           time.Time
		ok               bool
	}
	for _, c := range []struct {
		name                     string
		limit, remaining, resets string
		want                     quota
	}{
		{"all", "100", "99", unix(soon), quota{100, 99, soon, true}},
		{"more left than there was", "100", "101", "", quota{100, 100, time.Time{}, true}},
		{"milliseconds", "100", "99", unix(soon) + "000", quota{100, 99, time.Time{}, true}},
		{"only a time", "", "", unix(soon), quota{0, 0, soon, false}},
		{"no calls", "0", "0", "", quota{0, 0, time.Time{}, false}},
	} {
		h := http.Header{"X-Rate-Limit-Limit": {c.limit}, "X-Rate-Limit-Remaining": {c.remaining}, "X-Rate-Limit-Retry": {c.resets}}
		var got quota
		got.limit, got.remaining, got.resets, got.ok = voucherify.ReadQuota(h)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
