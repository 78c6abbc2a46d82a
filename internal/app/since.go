package app

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// LastImport is the value of --since for the start of the last finished import.
const LastImport = "last"

// ParseSince parses a time, or a duration before now.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if days, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			return now.AddDate(0, 0, -n).UTC(), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.After(now) {
				return t, errors.New("it is in the future")
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("it must be last, a duration such as 24h or 7d, or a time such as 2026-11-19T00:00:00Z")
}
