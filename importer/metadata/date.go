package metadata

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// dateForm matches YYYY-MM-DD, alone or with a time of day and a time zone.
// The fraction ":sss" is the form that users of the older import tool were told
// to use.
var dateForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d` +
	`(?:T` + hour + `:[0-5]\d:[0-5]\d(?:\.\d{1,9}|:\d{3})?(?:Z|[+-]` + hour + `(?::?[0-5]\d)?))?$`)

const hour = `(?:[01]\d|2[0-3])`

var (
	errDateForm = errors.New("not a date in the form YYYY-MM-DD")
	errDateDay  = errors.New("not a day of the calendar")
)

// ParseDate returns the date of s in the form YYYY-MM-DD. It accepts
//
//	1984-05-02
//	1984-05-02T10:30:00Z       offsets too: +02:00, +0200, +02
//	1984-05-02T10:30:00.123Z   one to nine digits
//	1984-05-02T10:30:00:123Z   three digits
//
// and nothing else: no other separators, lower-case letters or white space, no
// date-time without a zone, no day that is not in the calendar. The date is the
// one that is written in s: a time zone never moves it.
func ParseDate(s string) (string, error) {
	if !dateForm.MatchString(s) {
		return "", errDateForm
	}
	date := s[:len(time.DateOnly)]
	if _, err := time.Parse(time.DateOnly, date); err != nil || strings.HasPrefix(date, "0000") { // there was no year 0
		return "", errDateDay
	}
	return date, nil
}
