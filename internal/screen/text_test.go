package screen_test

import (
	"math"
	"testing"
	"time"

	"segsync/internal/screen"
)

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 126_400: "126,400", 1_000_000: "1,000,000",
		-31: "-31", -126_400: "-126,400", math.MinInt64: "-9,223,372,036,854,775,808"} {
		if got := screen.Number(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	tests := []struct {
		d                  time.Duration
		measured, expected string
	}{
		{0, "< 1 s", "< 1 min"},
		{900 * time.Millisecond, "< 1 s", "< 1 min"},
		{41 * time.Second, "41 s", "< 1 min"},
		{time.Minute, "1 min", "1 min"},
		{57*time.Minute + 40*time.Second, "57 min", "58 min"},
		{59*time.Minute + 50*time.Second, "59 min", "1 h"},
		{100 * time.Minute, "1 h 40 min", "1 h 40 min"},
		{24 * time.Hour, "1 d", "1 d"},
		{76*time.Hour + 5*time.Minute, "3 d 4 h", "3 d 4 h"},
	}
	for _, test := range tests {
		if got := screen.Duration(test.d); got != test.measured {
			t.Errorf("Duration(%v): got %s, want %s", test.d, got, test.measured)
		}
		if got := screen.Estimate(test.d); got != test.expected {
			t.Errorf("Estimate(%v): got %s, want %s", test.d, got, test.expected)
		}
	}
}
