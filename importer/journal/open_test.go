package journal_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

// Open chooses what to go on from, and writes nothing.
func TestOpen(t *testing.T) {
	none := func(t *testing.T) journal.Names { return journal.NewNames(t.TempDir(), "") }
	broken := func(t *testing.T) journal.Names {
		names := unfinished(t)
		must(t, os.WriteFile(names.LogPath(), []byte("{"), 0o600))
		return names
	}
	// unverified is finished, and the status of its customers was not checked.
	unverified := func(t *testing.T) journal.Names {
		names := none(t)
		j := open(t, names, start(journal.StartNew))
		add(t, j, sent("A", "u1", "aa_1"))
		must(t, j.Save(), j.Finish(), j.Close())
		return names
	}
	type got struct {
		Continued, Unfinished, Damaged bool
		At, Error                      string
	}
	other := func(s journal.Start) journal.Start { s.Identity.Space = "spb"; return s }
	at := func(offset string) journal.Start {
		return with1(func(s *journal.Start) { s.Mode, s.Offset = journal.StartAtOffset, offset })
	}
	const differs = `DamagedError`
	for name, c := range map[string]struct {
		dir   func(*testing.T) journal.Names
		start journal.Start
		want  got
	}{
		"new, nothing there":           {none, start(journal.StartNew), got{}},
		"new, finished":                {finished, start(journal.StartNew), got{}},
		"new, unfinished":              {unfinished, start(journal.StartNew), got{Unfinished: true}},
		"new, damaged":                 {broken, start(journal.StartNew), got{Error: differs}},
		"discard, unfinished":          {unfinished, start(journal.Discard), got{Unfinished: true}},
		"discard, damaged":             {broken, start(journal.Discard), got{Damaged: true}},
		"at, where it stopped":         {unfinished, at("20"), got{Continued: true, At: "20"}},
		"at, elsewhere":                {unfinished, at("10"), got{Unfinished: true, At: "10"}},
		"at, the beginning":            {unfinished, at("0"), got{Unfinished: true, At: "0"}},
		"at, finished":                 {finished, at("30"), got{At: "30"}},
		"at, of another space":         {unfinished, other(at("20")), got{Unfinished: true, At: "20"}},
		"at, damaged":                  {broken, at("20"), got{Damaged: true, At: "20"}},
		"resume, nothing there":        {none, start(journal.Resume), got{}},
		"resume, unfinished":           {unfinished, start(journal.Resume), got{Continued: true, At: "20"}},
		"resume, finished":             {finished, start(journal.Resume), got{}},
		"resume, unverified":           {unverified, start(journal.Resume), got{Continued: true, At: "2"}},
		"resume, no verification":      {unverified, with1(func(s *journal.Start) { s.Mode, s.Confirm = journal.Resume, false }), got{}},
		"resume, damaged":              {broken, start(journal.Resume), got{Error: differs}},
		"resume, of another space":     {unfinished, other(start(journal.Resume)), got{Error: `the Segment space "spb" instead of "spa"`}},
		"resume, of another, finished": {finished, other(start(journal.Resume)), got{}},
		"any, nothing there":           {none, start(journal.ContinueAny), got{Error: "NoImportError"}},
		"any, unfinished":              {unfinished, start(journal.ContinueAny), got{Continued: true, At: "20"}},
		"any, finished":                {finished, start(journal.ContinueAny), got{Continued: true, At: "30"}},
		"any, of another space":        {unfinished, other(start(journal.ContinueAny)), got{Error: `the Segment space "spb" instead of "spa"`}},
	} {
		t.Run(name, func(t *testing.T) {
			names := c.dir(t)
			before := filesOf(t, names.Dir)
			j, opened, err := journal.Open(names, c.start)
			var g got
			switch err := err.(type) {
			case nil:
				g = got{opened.Continued, opened.Unfinished != nil, opened.Damaged != nil, j.State().Position.At, ""}
				if j.IsSaved() != opened.Continued {
					t.Errorf("saved %v", j.IsSaved())
				}
			case *journal.DamagedError:
				g.Error = differs
			case *journal.OtherError:
				g.Error = err.Differences
			case *journal.NoImportError:
				g.Error = "NoImportError"
			default:
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, g); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, filesOf(t, names.Dir)); diff != "" {
				t.Errorf("Open changed files (-before +after):\n%s", diff)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	other := journal.Identity{Space: "spb", SegmentURL: "https://s", Source: "file", VoucherifyURL: "https://v", VoucherifyApp: "other",
		Identifier: "email", Mapping: "m2", Input: "sha"}
	want := `the source "file" instead of "api", the Segment space "spb" instead of "spa", the Segment API "https://s" instead of "", ` +
		`the Voucherify API "https://v" instead of "", another Voucherify application, the identifier "email" instead of "user_id", ` +
		`another mapping, another list of profiles`
	if got := identity.Differences(other); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := identity.Differences(identity); got != "" {
		t.Errorf("of the same: %s", got)
	}
}

// What changed since the last import is asked for where that is known, and was mapped the same way.
func TestSinceLast(t *testing.T) {
	names := finished(t)
	type got struct {
		Since                time.Time
		NoBasis, OtherMapped bool
	}
	last := began.Add(-journal.ClockMargin)
	elsewhere := journal.NewNames(t.TempDir(), "-list")
	for name, c := range map[string]struct {
		names  journal.Names
		change func(*journal.Start)
		want   got
	}{
		"the same":              {names, func(*journal.Start) {}, got{Since: last}},
		"another mapping":       {names, func(s *journal.Start) { s.Identity.Mapping = "m2" }, got{OtherMapped: true}},
		"another mapping, kept": {names, func(s *journal.Start) { s.Identity.Mapping, s.KeepSince = "m2", true }, got{Since: last}},
		"another identifier":    {names, func(s *journal.Start) { s.Identity.Identifier = "email" }, got{NoBasis: true}},
		"another space":         {names, func(s *journal.Start) { s.Identity.Space = "spb" }, got{NoBasis: true}},
		"no import":             {elsewhere, func(*journal.Start) {}, got{NoBasis: true}},
		"of another log":        {elsewhere, func(s *journal.Start) { s.Basis = names }, got{Since: last}},
		"a time":                {names, func(s *journal.Start) { s.SinceLast, s.Since = false, began.Add(time.Hour) }, got{Since: last.Add(time.Hour)}},
		"unfinished":            {unfinished(t), func(*journal.Start) {}, got{NoBasis: true}},
	} {
		j, opened, err := journal.Open(c.names, with1(func(s *journal.Start) { s.SinceLast = true; c.change(s) }))
		must(t, err)
		if g := (got{j.State().Since, opened.NoBasis, opened.MappingChanged}); !cmp.Equal(g, c.want) {
			t.Errorf("%s: %+v, want %+v", name, g, c.want)
		}
	}
}

// Only an import that left out nothing since the last one moves the time from which the next one goes on.
func TestFinishMovesTheBasis(t *testing.T) {
	later := began.Add(time.Hour)
	for name, c := range map[string]struct {
		change   func(*journal.Start)
		profiles int
		want     time.Time
	}{
		"everything":     {func(*journal.Start) {}, 1, later},
		"since the last": {func(s *journal.Start) { s.SinceLast = true }, 1, later},
		"nothing since":  {func(s *journal.Start) { s.SinceLast = true }, 0, later},
		"an empty space": {func(*journal.Start) {}, 0, began},
		"since too late": {func(s *journal.Start) { s.Since = began.Add(2 * journal.ClockMargin) }, 1, began},
		"at an offset":   {func(s *journal.Start) { s.Mode, s.Offset = journal.StartAtOffset, "7" }, 1, began},
		"of a list":      {func(s *journal.Start) { s.Identity.Input = "sha" }, 1, time.Time{}},
	} {
		names := finished(t)
		j := open(t, names, with1(c.change))
		p := journal.Page{After: atEnd, Began: later}
		for range c.profiles {
			p.Entries = append(p.Entries, journal.Entry{SegmentID: "A", Outcome: outcome.Unchanged, SourceID: "u1"})
		}
		must(t, j.AddPage(p), j.Save(), j.Finish(), j.Close())
		s, err := journal.Load(names)
		if err != nil || !s.Before.Began.Equal(c.want) || s.IsUnfinished() {
			t.Errorf("%s: %s, want %s; %v", name, s.Before.Began, c.want, err)
		}
	}
}

// An import is not finished while something is left to read or to send.
func TestFinishOnlyAtTheEnd(t *testing.T) {
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, start(journal.StartNew))
	unfinished := func(when string) {
		t.Helper()
		must(t, j.Save(), j.Finish())
		if s, err := journal.Load(names); err != nil || !s.IsUnfinished() {
			t.Errorf("%s: it is finished: %v", when, err)
		}
	}
	must(t, j.AddPage(journal.Page{After: source.Position{At: "1", Tail: true}}))
	unfinished("before the end")
	add(t, j, sent("A", "u1", "aa_1"))
	judge(t, j, sink.Verdict{ActionID: "aa_1", Failed: "an internal error"})
	unfinished("with a failed action")
	must(t, j.GiveUp("it is gone"), j.Finish())
	s, err := journal.Load(names)
	if err != nil || s.IsUnfinished() || s.NeedsResend() || !cmp.Equal(counts(s), map[outcome.Outcome]int{outcome.Rejected: 1}) {
		t.Errorf("given up: %v, %v", counts(s), err)
	}
}

// The last import that sent a customer is compared with the next one.
func TestSender(t *testing.T) {
	names, list := finished(t), journal.NewNames(t.TempDir(), "")
	senderOf := func(all ...journal.Names) *journal.Sender {
		last, err := journal.LastSender(all...)
		must(t, err)
		return last
	}
	if last := senderOf(list); last != nil {
		t.Errorf("of no import: %+v", last)
	}
	first := senderOf(names, list)
	if first == nil || first.Identity != identity {
		t.Fatalf("%+v", first)
	}
	byEmail := with1(func(s *journal.Start) { s.Identity.Identifier = "email" })
	j := open(t, names, byEmail) // a first wrong identifier, which sends nothing, can be corrected
	add(t, j, journal.Entry{SegmentID: "A", Outcome: outcome.WithoutIdentifier})
	must(t, j.Save(), j.Finish(), j.Close())
	if last := senderOf(list, names); !cmp.Equal(last, first) {
		t.Errorf("after one that sent nothing: %+v", last)
	}
	j = open(t, list, byEmail)
	add(t, j, sent("A", "u1", "aa_1"))
	must(t, j.Save(), j.Close())
	_, _, err := journal.Open(list, start(journal.StartNew))
	must(t, err)
	s := with1(func(s *journal.Start) { s.Mode, s.AnySender, s.Others = journal.Discard, false, []journal.Names{names} })
	if _, _, err := journal.Open(list, s); !errors.As(err, new(*journal.SenderError)) {
		t.Errorf("by another identifier: %v", err)
	}
	last := senderOf(names, list)
	if last == nil || last.Identifier != "email" {
		t.Errorf("the last: %+v", last)
	}
	for name, c := range map[string]struct {
		last   *journal.Sender
		change func(*journal.Identity)
		want   string
	}{
		"none":               {nil, func(*journal.Identity) {}, ""},
		"the same":           {first, func(*journal.Identity) {}, ""},
		"another space":      {first, func(id *journal.Identity) { id.Space, id.Mapping = "spb", "m2" }, ""},
		"another identifier": {first, func(id *journal.Identity) { id.Identifier = "email" }, "the last import in dir used user_id as source_id"},
		"another project":    {first, func(id *journal.Identity) { id.VoucherifyApp = "b" }, "the last import in dir went to another Voucherify project"},
		"another region":     {first, func(id *journal.Identity) { id.VoucherifyURL = "b" }, "the last import in dir went to another Voucherify project"},
	} {
		id := identity
		c.change(&id)
		err := journal.CheckSender("dir", c.last, id)
		if _, ok := errors.AsType[*journal.SenderError](err); ok != (c.want != "") || ok && err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
