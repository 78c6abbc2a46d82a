package voucherify

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"segsync/internal/strictjson"
)

// Names of Voucherify's quotas.
//
// https://docs.voucherify.io/guides/limits
const (
	CallsQuota = "api_calls"       // counted by the minute
	BulkQuota  = "bulk_api_calls"  // counted by the hour
	cycleQuota = "api_calls_cycle" // of a billing cycle
)

// QuotaOf returns the name of the quota that a request counts in, and the documented length
// of its period. Bulk requests have one of their own.
func QuotaOf(req *http.Request) (name string, period time.Duration) {
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/customers/bulk/async") {
		return BulkQuota, time.Hour
	}
	return CallsQuota, time.Minute
}

// ReadQuota returns what the header of an answer says about the quota that its request counts
// in: the calls of a period, those that are left, and when the next call may be made, zero
// if that is not a time. ok is false if the numbers of calls are missing or make no sense.
func ReadQuota(h http.Header) (limit, remaining int, resets time.Time, ok bool) {
	const maxLimit = 1_000_000_000
	limit, errLimit := strconv.Atoi(h.Get("X-Rate-Limit-Limit"))
	remaining, errRemaining := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	ok = errLimit == nil && errRemaining == nil && limit > 0 && limit <= maxLimit && remaining >= 0
	// No period is longer than a billing cycle: more is a mistake, such as milliseconds.
	latest := time.Now().Add(32 * 24 * time.Hour)
	if seconds, err := strconv.ParseInt(h.Get("X-Rate-Limit-Retry"), 10, 64); err == nil && seconds >= 0 && seconds <= latest.Unix() {
		resets = time.Unix(seconds, 0)
	}
	return limit, min(remaining, limit), resets, ok
}

// IsFinal reports whether another attempt of a request cannot have another answer: the calls of the billing cycle
// are used up, and nobody waits for the next one, or a record conflicts with one that is stored. The body of the
// answer can be read again.
//
// https://docs.voucherify.io/guides/errors (duplicate_found, duplicate_resource_key)
func IsFinal(resp *http.Response) bool {
	if resp.Header.Get("X-Rate-Limit-Type") == cycleQuota {
		return true
	}
	if resp.StatusCode != http.StatusConflict {
		return false
	}
	body, _ := io.ReadAll(resp.Body) // from memory
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var answer struct {
		Key string `json:"key"`
	}
	return strictjson.Unmarshal(body, &answer) == nil && strings.HasPrefix(answer.Key, "duplicate_")
}
