package journal_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/outcome"
)

// The undisturbed import is what the tests of kills and damage compare with.
func TestImport(t *testing.T) {
	got := resultOf(t, finished(t))
	want := result{
		Counts: map[outcome.Outcome]int{outcome.Confirmed: 14, outcome.Rejected: 6, outcome.Unreadable: 1, outcome.WithoutIdentifier: 3,
			outcome.Vanished: 5, outcome.Merged: 1},
		Read: 30,
		Details: journal.Details{
			Identifiers: map[string]int{"user_id": 16},
			LeftOut:     map[string]map[string]int{"vip": {"not defined": 3}},
			Cleared:     map[string]int{"birthdate": 3},
			Warnings:    map[string]map[string]int{"birthdate": {"not a date": 3}},
			Birthdates:  3,
		},
		Records: []string{
			"async_action:aa_2_1  rejected {not_named one of 1 customers that were rejected without their names, of the 2 in this async action aa_2_1 v-1}\n",
			"use_0_0 user-0-0 rejected {too_large Voucherify answered 413  }\n",
			"use_0_5 user-0-5 rejected {invalid no such thing aa_0_1 v-1}\n",
			"use_1_0 user-1-0 rejected {too_large Voucherify answered 413  }\n",
			"use_1_8 user-1-8 rejected {too_large   }\n",
			"use_1_9  unreadable {malformed   }\n",
			"use_2_0 user-2-0 rejected {too_large Voucherify answered 413  }\n",
		},
		Reports: map[string]string{
			"merged.csv": "segment_id,source_id\nuse_0_3,user-0-4\n",
			"not-imported.csv": `,,not_named,"one of 1 customers that were rejected without their names, of the 2 in this async action",aa_2_1,v-1
segment_id,source_id,reason,detail,async_action_id,request_id
use_0_0,user-0-0,too_large,Voucherify answered 413,,
use_0_2,,vanished,,,
use_0_5,user-0-5,invalid,no such thing,aa_0_1,v-1
use_1_0,user-1-0,too_large,Voucherify answered 413,,
use_1_2,,vanished,,,
use_1_4,,vanished,,,
use_1_8,user-1-8,too_large,,,
use_1_9,,malformed,,,
use_2_0,user-2-0,too_large,Voucherify answered 413,,
use_2_2,,vanished,,,
use_2_9,,vanished,,,
`,
			"profiles-without-identifier.txt": "use_0_1\nuse_1_1\nuse_2_1\n",
			"warnings.csv": `segment_id,source_id,field,reason
use_0_4,user-0-4,birthdate,not a date
use_1_4,user-1-4,birthdate,not a date
use_2_4,user-2-4,birthdate,not a date
`,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const commit = `{"commit":`

// endOfCommit returns where the nth commit of a log ends.
func endOfCommit(log string, n int) int {
	end := 0
	for line := range strings.Lines(log) {
		if n == 0 {
			break
		}
		if end += len(line); strings.HasPrefix(line, commit) {
			n--
		}
	}
	return end
}

// Killed at any instant, an import comes to the end that it would have come to: after each operation,
// and with the log of the next one written in part, or left in a temporary file.
func TestKilledAtAnyInstant(t *testing.T) {
	want := resultOf(t, finished(t))
	resume := func(name string, files map[string]string) {
		t.Helper()
		names := copyOf(t, files)
		if _, err := run(t, names, start(journal.Resume), -1); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, resultOf(t, names)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		os.RemoveAll(names.Dir)
	}
	step := 97
	if isFull {
		step = 1
	}
	before, cuts := "", 0
	for operations := 0; ; operations++ {
		names := journal.NewNames(t.TempDir(), "")
		_, err := run(t, names, start(journal.StartNew), operations)
		if err == nil {
			if operations < 30 || cuts < 30 {
				t.Errorf("only %d operations and %d cuts", operations, cuts)
			}
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		files := filesOf(t, names.Dir)
		log := files[logName]
		resume(t.Name(), files)
		if before == "" && log != "" { // written, and not renamed yet
			delete(files, logName)
			files["segsync-data/.journal.ndjson.1.tmp"] = log
			resume("first Save", files)
		}
		for at := endOfCommit(log, strings.Count(before, commit)) + 1; before != "" && at < len(log); at += step {
			cuts++
			resume("cut", with(files, log[:at]))
		}
		before = log
	}
}
