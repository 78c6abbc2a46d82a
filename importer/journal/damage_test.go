package journal_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/source"
)

// A log of which a byte was changed, or the end is missing, is refused with its name and the line,
// or the import comes to the end that it would have come to.
func TestDamageIsRefusedOrHarmless(t *testing.T) {
	names := unfinished(t)
	files := filesOf(t, names.Dir)
	whole := files[logName]
	want := resultOf(t, finished(t))
	lastCommit := strings.LastIndex(whole, `{"commit":`)
	lastBut1 := strings.LastIndex(whole[:lastCommit], `{"commit":`)
	firstOfLast := lastBut1 + strings.Index(whole[lastBut1:], "\n") + 1
	try := func(how string, at int, log string) {
		names := copyOf(t, with(files, log))
		defer os.RemoveAll(names.Dir)
		_, err := run(t, names, start(journal.Resume), -1)
		damaged, isDamaged := errors.AsType[*journal.DamagedError](err)
		switch {
		case isDamaged && damaged.Path == names.LogPath() && (damaged.Line > 0 || at < firstOfLast):
		case err != nil:
			t.Errorf("%s at %d: error %v", how, at, err)
		case how == "flipped" && at < lastBut1:
			t.Errorf("%s at %d: it is not refused", how, at)
		default:
			if diff := cmp.Diff(want, resultOf(t, names)); diff != "" {
				t.Errorf("%s at %d (-want +got):\n%s", how, at, diff)
			}
		}
	}
	step := 23
	if isFull {
		step = 1
	}
	for at := 0; at < len(whole); at += step {
		for _, bit := range []byte{1, 0x20, 0x80} {
			flipped := []byte(whole)
			flipped[at] ^= bit
			try("flipped", at, string(flipped))
		}
		try("cut", at, whole[:at])
		if at > firstOfLast { // a file system that kept the length, and not the blocks
			try("emptied", at, whole[:at]+strings.Repeat("\x00", len(whole)-at))
		}
	}
	for at := lastCommit; at < len(whole); at++ { // this line alone is not followed by another commit
		flipped := []byte(whole)
		flipped[at] ^= 1
		try("flipped", at, string(flipped))
	}
}

// seal ends lines as a commit does.
func seal(lines string) string {
	lines += `{"commit":{"at":{"at":"10"},"time":"2026-11-01T12:00:00Z","crc":"`
	return fmt.Sprintf("%s%08x\"}}\n", lines, crc32.Checksum([]byte(lines), crc32.MakeTable(crc32.Castagnoli)))
}

func TestLogThatCannotBeUsed(t *testing.T) {
	const first = `{"import":{"format":1,"space":"spa","identifier":"user_id","started":"2026-11-01T12:00:00Z"}}` + "\n"
	for name, c := range map[string]struct {
		log, err string
		newer    bool
	}{
		"usable":            {log: seal(first)},
		"a new member":      {log: seal(strings.Replace(first, "{", `{"new":1,`, 1))},
		"empty":             {err: " is damaged: it has no commit"},
		"no commit":         {log: first, err: " is damaged: it has no commit"},
		"newer":             {log: seal(strings.Replace(first, `"format":1`, `"format":2`, 1)), err: " cannot be used: a newer segsync wrote it (format 2; this one knows 1)", newer: true},
		"not ours":          {log: seal("[]\n" + first), err: " is damaged: line 1: json: cannot unmarshal array into Go value of type journal.line"},
		"no first line":     {log: seal(`{"before":{}}` + "\n"), err: " is damaged: line 1: expected the identity of the import"},
		"no JSON":           {log: seal(first + "{\"finished\":\n"), err: " is damaged: line 2: unexpected end of JSON input"},
		"unknown outcome":   {log: seal(first + `{"segment_id":"use_1","outcome":"lost"}` + "\n"), err: ` is damaged: line 2: unknown outcome "lost"`},
		"unknown action":    {log: seal(first + `{"segment_id":"use_1","outcome":"sent","async_action_id":"aa_1"}` + "\n"), err: " is damaged: line 2: the async action aa_1 is unknown"},
		"unknown line":      {log: seal(first + `{"profile":"use_1"}` + "\n"), err: " is damaged: line 2: unknown kind of line"},
		"wrong checksum":    {log: strings.Replace(seal(first)+seal("{}\n"), "{}", "{ }", 1), err: " is damaged: line 3: lines 3 to 4 are not what was written"},
		"uncommitted":       {log: seal(first) + `{"segment_id":"use_1","outcome":"lost"}` + "\n"},
		"a position edited": {log: strings.Replace(seal(first), `"10"`, `"20"`, 1), err: " is damaged: line 1: lines 1 to 2 are not what was written"},
	} {
		t.Run(name, func(t *testing.T) {
			names := copyOf(t, map[string]string{logName: c.log})
			s, err := journal.Load(names)
			if c.err == "" {
				if err != nil || !cmp.Equal(s.Position, source.Position{At: "10"}) {
					t.Errorf("%+v, %v", s, err)
				}
				return
			}
			damaged, ok := errors.AsType[*journal.DamagedError](err)
			if !ok || s != nil || err.Error() != names.LogPath()+c.err || damaged.Newer != c.newer {
				t.Errorf("%+v, %v\nwant %s", s, err, c.err)
			}
			if after := filesOf(t, names.Dir)[logName]; after != c.log {
				t.Error("the file was changed")
			}
		})
	}
	if s, err := journal.Load(journal.NewNames(t.TempDir(), "")); s != nil || err != nil {
		t.Errorf("no log: %v, %v", s, err)
	}
}
