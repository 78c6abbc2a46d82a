package httpretry

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func remaining(n int) *http.Response {
	return &http.Response{StatusCode: 202, Header: http.Header{
		"X-Rate-Limit-Limit": {"10"}, "X-Rate-Limit-Remaining": {strconv.Itoa(n)},
	}}
}

// An answer that was overtaken tells of an earlier moment: more was left then. It does not
// give the reserve away.
func TestBudgetWhereAnswersOvertakeEachOther(t *testing.T) {
	now := time.Now()
	b := newBudget(Bucket{Name: "b", Period: time.Hour, Reserve: 0.2})
	leave := func() int { t.Helper(); return takeNow(t, b, now) }
	b.give(now, leave(), remaining(9))
	var numbers []int
	for range 7 {
		numbers = append(numbers, leave())
	}
	if turn := b.take(now); turn.news == nil {
		t.Fatalf("two are left, the reserve, but an eighth has leave: %+v", turn)
	}
	for i := len(numbers) - 1; i >= 0; i-- { // the last is answered first
		b.give(now, numbers[i], remaining(8-i))
	}
	if turn := b.take(now); !turn.dry {
		t.Errorf("nothing but the reserve is left, but another has leave: %+v", turn)
	}

	// The next period begins before it was expected.
	b = newBudget(Bucket{Name: "b", Period: time.Hour, Reserve: 0.2})
	b.give(now, leave(), remaining(4))
	b.give(now, leave(), remaining(9))
	for range 7 {
		leave()
	}
}

func takeNow(t *testing.T, b *budget, now time.Time) int {
	t.Helper()
	turn := b.take(now)
	if turn.number == 0 {
		t.Fatalf("no leave: %+v", turn)
	}
	return turn.number
}
