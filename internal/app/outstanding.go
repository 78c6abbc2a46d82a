package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// OutstandingOptions are those of segsync outstanding.
type OutstandingOptions struct {
	Dir          string
	ProfilesFrom string
	Forget       []string // ids
	ForgetAll    bool
	JSON         bool
}

// Outstanding lists what is outstanding in a directory, or forgets it.
func Outstanding(out *term.Output, o OutstandingOptions) error {
	names := Names(o.Dir, o.ProfilesFrom, false)
	records, s, err := readOutstanding(names)
	switch {
	case err != nil:
		return err
	case o.ForgetAll || len(o.Forget) > 0:
		return forget(out, names, o)
	case o.JSON:
		if records == nil {
			records = []journal.Entry{} // [], not null
		}
		if err := out.Out.JSON(records); err != nil {
			return &Error{ExitFailed, err}
		}
	case len(records) == 0:
		out.Out.Linef("nothing is outstanding")
	default:
		printRecords(out.Out, records)
		out.Err.Linef("%s outstanding since %s. %s",
			term.Number(s.Outstanding.Count), s.Outstanding.Oldest.Format(time.RFC3339), whatNext(records))
	}
	if len(records) > 0 {
		return exitWith(ExitNotImported)
	}
	return nil
}

func readOutstanding(names journal.Names) ([]journal.Entry, *journal.State, error) {
	records, s, err := journal.ReadOutstanding(names)
	if err != nil {
		return nil, nil, Usage(advise(err))
	}
	return records, s, nil
}

// whatNext says what to do about the records. Of a rejected customer that Voucherify does not name, nobody
// knows which profile to read again.
func whatNext(records []journal.Entry) string {
	unnamed := func(r journal.Entry) bool { return r.SegmentID == "" }
	switch {
	case !slices.ContainsFunc(records, unnamed):
		return "Each import tries them again; --forget ends that."
	case slices.ContainsFunc(records, func(r journal.Entry) bool { return !unnamed(r) }):
		return "Each import tries those again that have a segment id; import --restart sends all customers again; --forget ends that."
	}
	return "No import can try them again, because Voucherify did not name them: import --restart sends all customers again; then --forget them."
}

// forget forgets all that the options name, or nothing if one of them is unknown.
func forget(out *term.Output, names journal.Names, o OutstandingOptions) error {
	unlock, err := LockDir(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	records, _, err := readOutstanding(names) // again: an import may have ended just now
	if err != nil {
		return err
	}
	isNamed := func(r journal.Entry, id string) bool { return id == r.ID() || id == r.SourceID }
	var unknown []error
	for _, id := range o.Forget {
		if !slices.ContainsFunc(records, func(r journal.Entry) bool { return isNamed(r, id) }) {
			unknown = append(unknown, fmt.Errorf("--forget %q: nothing with this id is outstanding", id))
		}
	}
	if len(unknown) > 0 {
		return Usage(WithHint(errors.Join(unknown...), "segsync outstanding"+flag("profiles-from", o.ProfilesFrom)+dirFlag(o.Dir)+" lists the ids; nothing was forgotten"))
	}
	forgotten, err := journal.Forget(names, func(r journal.Entry) bool {
		return o.ForgetAll || slices.ContainsFunc(o.Forget, func(id string) bool { return isNamed(r, id) })
	})
	if err != nil {
		return &Error{ExitFailed, err}
	}
	_, s, err := readOutstanding(names)
	if err != nil {
		return err
	}
	out.Out.Linef("%s forgotten, %s still outstanding", term.Number(forgotten), term.Number(s.Outstanding.Count))
	return nil
}

// printRecords prints a table. The ids are needed to forget: they are never cut.
func printRecords(to *term.Printer, records []journal.Entry) {
	var rows []term.Row
	for _, r := range records {
		detail := r.Detail
		if r.Unnamed > 0 {
			detail = strings.TrimSpace(term.Count(r.Unnamed, "customer") + " " + detail)
		}
		rows = append(rows, term.Row{Cells: []string{r.ID(), r.SourceID, r.First.Format(time.DateOnly), r.Reason, detail}})
	}
	to.Table(strings.Fields("SEGMENT_ID SOURCE_ID SINCE REASON DETAIL"), rows)
}

// Status is what a directory is about, as segsync status tells.
type Status struct {
	journal.Identity
	LastFinished *time.Time          `json:"last_finished"` // null: none
	Unfinished   bool                `json:"unfinished"`
	Running      bool                `json:"running"`
	Position     string              `json:"offset"`
	Read         int                 `json:"read"`
	Unconfirmed  int                 `json:"unconfirmed"`
	Outstanding  journal.Outstanding `json:"outstanding"`
	Deletion     bool                `json:"unfinished_deletion"`
	Next         string              `json:"next"` // the command to type next
}

// ShowStatus tells, offline, what a directory is about and what to type next.
func ShowStatus(out *term.Output, dir, profilesFrom string, asJSON bool) error {
	names := Names(dir, profilesFrom, false)
	isRunning := journal.IsLocked(dir)
	s, err := journal.Load(names)
	switch {
	case err == nil && s == nil && isRunning:
		return &Error{ExitLocked, fmt.Errorf("an import is running in %s, and has saved nothing yet", dir)}
	case err == nil && s == nil:
		err = &journal.NoImportError{Dir: dir}
	}
	if err != nil {
		return Usage(advise(err))
	}
	status := Status{
		Identity: s.Identity, Running: isRunning, Unfinished: s.IsUnfinished(), Position: s.Position.String(), Read: s.Counts.Read(),
		Unconfirmed: s.Unconfirmed(), Outstanding: s.Outstanding, Deletion: s.Deletion != nil, Next: nextCommand(s, dir),
	}
	if ended := s.Before.Ended; !ended.IsZero() {
		status.LastFinished = &ended
	}
	if asJSON {
		return out.Out.JSON(status)
	}
	status.print(out.Out, s)
	return nil
}

// nextCommand returns what to type next.
func nextCommand(s *journal.State, dir string) string {
	command, stdin := "segsync import --resume --since last", settings.Source{Kind: settings.FromStdin}
	switch {
	case s.IsUnfinished() && s.Source == stdin.Name() && !s.Position.Done:
		command = "segsync import --restart"
	case s.IsUnfinished(), s.Unconfirmed() > 0 && strings.Contains(s.Flags, " --sandbox"):
		command = "segsync import --resume"
	case s.Unconfirmed() > 0:
		command = "segsync verify"
	case s.Deletion != nil:
		return "segsync delete --resume" + s.Deletion.Flags + dirFlag(dir)
	case s.Input != "", s.Source != "" && !strings.HasPrefix(s.Source, "warehouse"): // there is no --since
		command = "segsync import"
	}
	return command + s.Flags + dirFlag(dir)
}

func (st *Status) print(to *term.Printer, s *journal.State) {
	row := func(name, value string) term.Row { return term.Row{Cells: []string{name, value}} }
	rows := []term.Row{row("Segment space", s.Space), row("Voucherify", s.VoucherifyURL), row("identifier", s.Identifier),
		row("source", cmp.Or(s.Source, "the Profile API"))}
	last := "never"
	if st.LastFinished != nil {
		last = st.LastFinished.Local().Format("2 Jan 2006 15:04")
		if s.Flags != "" && !s.IsUnfinished() { // else they are another import's
			last += "," + s.Flags
		}
	}
	rows = append(rows, row("last finished", last))
	at := fmt.Sprintf("%s read, saved up to the offset: %s", term.Count(st.Read, "profile"), st.Position)
	switch {
	case st.Running:
		rows = append(rows, row("running", at))
	case st.Unfinished:
		rows = append(rows, row("unfinished", at))
	}
	if st.Deletion {
		rows = append(rows, row("unfinished", "a deletion of customers"))
	}
	if st.Unconfirmed > 0 {
		rows = append(rows, row("not confirmed", term.Number(st.Unconfirmed)))
	}
	if n := st.Outstanding.Count; n > 0 {
		rows = append(rows, row("outstanding", fmt.Sprintf("%s since %s", term.Number(n), st.Outstanding.Oldest.Local().Format("2 Jan 2006"))))
	}
	if n := s.Count(outcome.Confirmed); n > 0 {
		rows = append(rows, row("confirmed", term.Number(n)+" by the last import"))
	}
	to.Table(nil, rows)
	if st.Running {
		return
	}
	to.Command("Next:", st.Next)
}

// ShowHistory prints what the imports of a directory noted about a profile.
func ShowHistory(out *term.Output, dir, id string, asJSON bool) error {
	events, err := journal.Find(journal.NewNames(dir, ""), id)
	if err != nil {
		return Usage(advise(err))
	}
	if len(events) == 0 {
		return Usage(fmt.Errorf("no import in %s noted anything about %s", dir, id))
	}
	if asJSON {
		return out.Out.JSON(events)
	}
	var rows []term.Row
	for _, e := range events {
		rows = append(rows, term.Row{Cells: []string{e.Time.Local().Format(time.DateTime), e.SegmentID, e.SourceID, e.Outcome.String(), e.ActionID,
			strings.TrimSpace(e.Reason + " " + e.Detail)}})
	}
	out.Out.Table(strings.Fields("TIME SEGMENT_ID SOURCE_ID OUTCOME ASYNC_ACTION REASON"), rows)
	return nil
}
