package screen_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"segsync/internal/screen"
)

func asItIs(text string, _ int) string { return text }

// What does not fit is folded below the message, not below its level.
func TestLogRecordsAreFolded(t *testing.T) {
	style, err := screen.NewStyle("always", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fold := func(text string, indent int) string { return strings.Join(screen.Fold(text, indent, 40), "\n") }
	log := slog.New(screen.NewHandler(&out, fold, slog.LevelInfo, style))
	log.Warn("the metrics could not be written, for the disk is full", "hint", "free some space, or choose another disk")
	log.Info("asking Voucherify for an export of its customers")
	want := "\x1b[33mwarning\x1b[0m  the metrics could not be\n" +
		"         written, for the disk is full\n" +
		"         hint: free some space, or\n" +
		"         choose another disk\n" +
		"asking Voucherify for an export of its\n" +
		"  customers\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLogRecordsForPeople(t *testing.T) {
	tests := map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"the message says it all": {
			func(l *slog.Logger) {
				l.Warn(`birthdate "05/02/1984" of user-0000428 is not YYYY-MM-DD`, "field", "birthdate", "source_id", "user-0000428", "value", "05/02/1984")
			},
			"warning  birthdate \"05/02/1984\" of user-0000428 is not YYYY-MM-DD\n"},
		"other attributes": {
			func(l *slog.Logger) {
				l.Info("imported", "profiles", 1200, "per_second", 99.5, "took", 3*time.Second)
			},
			"imported (profiles 1200, per second 99.5, took 3s)\n"},
		"a number within another": {
			func(l *slog.Logger) { l.Info("1200 profiles of user-2", "batch", 2, "page", 1200) },
			"1200 profiles of user-2 (batch 2)\n"},
		"an error and a hint": {
			func(l *slog.Logger) {
				l.Error("the metrics could not be written", "error", errors.New("open m.prom: permission denied"), "attempt", 2, "hint", "change its owner")
			},
			"error    the metrics could not be written: open m.prom: permission denied (attempt 2)\n         hint: change its owner\n"},
		"several lines": {
			func(l *slog.Logger) { l.Warn("the mapping has mistakes:\nno email\nno name\n") },
			"warning  the mapping has mistakes:\n         no email\n         no name\n"},
		"groups, and attributes of the logger": {
			func(l *slog.Logger) {
				l.With("api", "Segment").WithGroup("request").With("id", "r1").Warn("slow", slog.Group("timing", "first", "2s"), "empty", "")
			},
			"warning  slow (api Segment, request id r1, request timing first 2s)\n"},
		"text that changes a terminal": {
			func(l *slog.Logger) { l.Warn("trait \x1b[2J\r\u202e", "of", "a\u009b1A\tb") },
			"warning  trait �[2J�� (of a�1A b)\n"},
		"debug is below the level": {
			func(l *slog.Logger) { l.Debug("request") },
			""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			test.log(slog.New(screen.NewHandler(&out, asItIs, slog.LevelInfo, screen.Style{})))
			if got := out.String(); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestColouredLevels(t *testing.T) {
	style, err := screen.NewStyle("always", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(screen.NewHandler(&out, asItIs, slog.LevelDebug, style))
	log.Error("one")
	log.Warn("two")
	log.Info("three")
	log.Debug("four")
	want := "\x1b[31merror\x1b[0m    one\n\x1b[33mwarning\x1b[0m  two\nthree\n\x1b[2mdebug\x1b[0m    four\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
