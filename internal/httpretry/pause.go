package httpretry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackoff returns exponential delays with full jitter: uniform between zero and
// a bound that doubles from 0.5 s to 30 s. (The randomization factor 1 spreads each
// delay between zero and twice the interval.)
func newBackoff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     250 * time.Millisecond,
		Multiplier:          2,
		MaxInterval:         15 * time.Second,
		RandomizationFactor: 1,
	}
}

// askedPause returns the pause that an answer asks for: by Retry-After (seconds or
// an HTTP date), or on 429 by Voucherify's X-Rate-Limit-Retry (unix seconds).
// 0 means that it asks for none.
//
// https://docs.voucherify.io/guides/limits
func askedPause(resp *http.Response, now time.Time) time.Duration {
	if v := resp.Header.Get("Retry-After"); v != "" {
		if seconds, err := strconv.ParseFloat(v, 64); err == nil {
			return boundedSeconds(seconds)
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return max(retryTime(resp, now).Sub(now), 0)
	}
	return 0
}

// boundedSeconds converts seconds to a duration; what no clock can hold becomes a
// year.
func boundedSeconds(s float64) time.Duration {
	const year = 365 * 24 * time.Hour
	if !(s > 0) { // NaN too
		return 0
	}
	if s > year.Seconds() {
		return year
	}
	return time.Duration(s * float64(time.Second))
}
