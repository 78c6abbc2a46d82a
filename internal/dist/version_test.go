package main

import (
	"testing"
	"time"
)

func TestPackageVersion(t *testing.T) {
	date := time.Date(2026, 11, 21, 4, 5, 6, 0, time.UTC)
	for version, want := range map[string]string{
		"v1.2.3":                        "1.2.3",
		"1.2.3":                         "1.2.3",
		"v1.2.3-dirty":                  "1.2.3+dirty",
		"v1.2.3-rc.1":                   "1.2.3~rc.1",
		"v1.2.3-14-gabcdef0":            "1.2.3+14.gabcdef0",
		"v1.2.3-rc.1-14-gabcdef0-dirty": "1.2.3~rc.1+14.gabcdef0+dirty",
		"abcdef0":                       "0~20261121040506.abcdef0",
		"1234567":                       "0~20261121040506.1234567", // a commit, although all digits
		"abcdef0-dirty":                 "0~20261121040506.abcdef0+dirty",
		"nightly_4-a":                   "0~20261121040506.nightly.4.a",
	} {
		if got := packageVersion(version, date); got != want {
			t.Errorf("packageVersion(%q) = %q, want %q", version, got, want)
		}
	}
}
