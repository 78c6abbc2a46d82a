package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"segsync/importer/deletion"
	"segsync/importer/journal"
	"segsync/internal/report"
	"segsync/internal/term"
	"segsync/voucherify"
)

const (
	maxKnown        = 20  // profiles that are tried before the space is taken for a wrong one
	minDeletes      = 100 // the limit on a terminal, or the share of all customers
	deletesShare    = 100 // that is a hundredth
	shownDeletes    = 10
	callsPerDelete  = 2
	previewParallel = 8
)

// DeleteOptions are those of segsync delete.
type DeleteOptions struct {
	Given      []Flag
	From       string // the file of source ids, - for stdin
	Dir        string
	Settings   SettingsOptions
	Wait       WaitOptions
	Yes        bool
	MaxDeletes int // negative: the default
	Show       int // preview so many; 0: all
	NoLookup   bool
	Permanent  bool
	Resume     bool
}

// deleting is a run of segsync delete.
type deleting struct {
	*deletion.Deleter
	out   *term.Output
	apis  *APIs
	o     *DeleteOptions
	names journal.Names
	list  string   // fingerprint
	ids   []string // of the list
	first time.Time
}

// Delete carries out segsync delete: a preview or, with Yes, the deletion of the customers of a list.
func Delete(ctx context.Context, out *term.Output, stdin io.Reader, o *DeleteOptions) error {
	a, err := Connect(out, o.Settings, o.Wait)
	if err != nil {
		return err
	}
	defer a.Close()
	if o.Yes && !out.CanAsk() && o.MaxDeletes < 0 {
		return Usage(WithHint(errors.New("--yes without a terminal goes with --max-deletes"), "segsync delete without --yes says how many there are"))
	}
	d := &deleting{out: out, apis: a, o: o, names: journal.NewNames(o.Dir, ""),
		Deleter: &deletion.Deleter{Segment: a.Segment, Voucherify: a.Voucherify, Permanent: o.Permanent, Parallel: previewParallel}}
	if d.Types, err = lookupTypes(a, o.NoLookup); err != nil {
		return Usage(err)
	}
	if d.ids, err = readSourceIDs(o.From, stdin, a.Settings.Identifiers); err != nil {
		return Usage(WithHint(fmt.Errorf("--from: %w", err), "nothing was asked or deleted; a list has a source id on each line, or is a CSV with a column source_id"))
	}
	d.list = fmt.Sprintf("%.16x", sha256.Sum256([]byte(strings.Join(d.ids, "\n"))))
	if _, err := os.Stat(d.names.LogPath()); errors.Is(err, fs.ErrNotExist) { // locking makes its folder
		return Usage(advise(&journal.NoImportError{Dir: o.Dir}))
	}
	if o.Yes {
		unlock, err := LockDir(o.Dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	known, err := d.lastImport()
	if err != nil {
		return Usage(err)
	}
	i := watchInterrupts(ctx, out, "interrupted: finishing the customer that is being deleted; interrupt again to end at once", func() {})
	defer i.close()
	if len(d.Types) > 0 && len(d.ids) > 0 {
		err = d.CheckKnown(i.stop, known)
	}
	switch {
	case err != nil:
	case o.Yes:
		err = d.run(i)
	default:
		err = d.preview(i)
	}
	if code := i.exitCode(); code != ExitDone && err != nil {
		return &Error{Code: code}
	}
	if err != nil && !is[*Error](err) {
		err = &Error{CodeOf(err), err}
	}
	return err
}

// lookupTypes returns the types of external IDs by which the profile of a source id is looked up.
func lookupTypes(a *APIs, noLookup bool) (types []string, err error) {
	hasTrait := false
	for _, id := range a.Settings.Identifiers {
		if id.Trait != "" {
			hasTrait = true
		} else {
			types = append(types, id.Type)
		}
	}
	name := "IDENTIFIER_SAVED_AS_SOURCE_ID=" + a.Settings.Identifier()
	switch {
	case hasTrait && !noLookup:
		return nil, WithHint(fmt.Errorf("%s: the profile that has a trait cannot be looked up", name),
			"--no-lookup deletes without asking Segment for it; look at each customer of the list first")
	case noLookup && !hasTrait:
		return nil, fmt.Errorf("--no-lookup: with %s each profile can be looked up", name)
	}
	return types, nil
}

// lastImport checks that the settings are those of the last import of the directory. It returns customers
// that imports sent, and that the list does not name.
func (d *deleting) lastImport() ([]journal.Entry, error) {
	id := identity(d.apis, new(Input))
	last, err := journal.LastSender(d.names, journal.NewNames(d.o.Dir, "-retry"))
	if err != nil {
		return nil, err
	}
	s, err := journal.Load(d.names)
	if err != nil {
		return nil, err
	}
	if s == nil || last == nil {
		return nil, advise(&journal.NoImportError{Dir: d.o.Dir})
	}
	id.Source, id.Mapping, id.Input = last.Source, last.Mapping, last.Input
	if differences := last.Differences(id); differences != "" {
		return nil, WithHint(&journal.OtherError{Dir: d.o.Dir, Differences: differences}, "restore the settings of the import, or use its --dir")
	}
	if n := s.Unconfirmed(); d.o.Yes && n > 0 {
		return nil, WithHint(fmt.Errorf("%s sent, not confirmed: what is still under way may create a deleted one again", term.Count(n, "customer")),
			"run this first: "+nextCommand(s, d.o.Dir, ""))
	}
	named := make(map[string]bool)
	for _, id := range d.ids {
		named[id] = true
	}
	sent, err := journal.ReadSent(d.names, last.Identity, maxKnown, func(e *journal.Entry) bool { return named[e.SourceID] || !slices.Contains(d.Types, e.By) })
	if err != nil {
		return nil, err
	}
	d.first = sent.First
	return sent.Customers, nil
}

// preview says what would be deleted.
func (d *deleting) preview(i *interrupts) error {
	ids := d.ids
	if d.o.Show > 0 {
		ids = ids[:min(d.o.Show, len(ids))]
	}
	p, err := d.Preview(i.stop, ids)
	if err != nil {
		return err
	}
	var rows []term.Row
	row := func(name string, n int, note string) {
		if n > 0 {
			rows = append(rows, term.Row{Cells: []string{name, term.Number(n), note}})
		}
	}
	foreign, early, history := 0, 0, 0
	var deletable []string
	for _, c := range p.Deletable {
		deletable = append(deletable, c.SourceID)
		if c.Source != "segmentio" {
			foreign++
		}
		if !c.CreatedAt.IsZero() && c.CreatedAt.Before(d.first) {
			early++
		}
		if c.HasHistory {
			history++
		}
	}
	of := ""
	if len(ids) < len(d.ids) {
		of = "the first of " + term.Number(len(d.ids))
	}
	rows = append(rows, term.Row{Cells: []string{"source ids", term.Number(len(ids)), of}},
		term.Row{Cells: []string{"to delete", term.Number(len(deletable)), ""}})
	row("from elsewhere", foreign, "of these: system_metadata.source is not segmentio")
	row("created before", early, "of these: before the first import, "+d.first.Local().Format("2 Jan 2006"))
	row("with history", history, "of these: they have orders, redemptions or points")
	row("not there", p.Counts[journal.NotThere], "")
	row("still in Segment", p.Counts[journal.StillInSegment], "kept: a profile has the source id")
	row("another customer", p.Counts[journal.Kept], "kept: Voucherify answers with another source_id")
	d.out.Out.Title(describeTarget(d.apis, false))
	d.out.Out.Table(nil, rows)
	d.describe(d.out.Out, deletable)
	if len(deletable) == 0 {
		return nil
	}
	d.out.Out.Textf("Nothing was deleted: that takes --yes.")
	return exitWith(ExitChanges)
}

// describe says whom a deletion is about, how long it takes, and what it means.
func (d *deleting) describe(to *term.Printer, ids []string) {
	shown := slices.Sorted(slices.Values(ids))
	for _, id := range shown[:min(len(shown), shownDeletes)] {
		to.Linef("  %s", strings.ReplaceAll(id, "\n", " "))
	}
	if n := len(shown) - shownDeletes; n > 0 {
		to.Linef("  and %s more", term.Number(n))
	}
	if limit := d.apis.ToVoucherify.Quotas()[voucherify.CallsQuota].Limit; limit > 0 && len(ids) > 0 {
		calls := max(float64(limit)*(1-d.apis.Settings.Voucherify.Reserve), 1)
		to.Textf("%s, %s of Voucherify's %s a minute", term.Count(callsPerDelete*len(ids), "call"),
			report.About(time.Duration(float64(callsPerDelete*len(ids))/calls*float64(time.Minute))), term.Count(limit, "call"))
	}
	if d.o.Permanent {
		to.Textf("--permanent: Voucherify deletes all data about these customers, and keeps only a record of each deletion.")
	}
	if d.o.NoLookup {
		to.Textf("--no-lookup: Segment is not asked whether a profile has the trait: a customer whose profile is still there is deleted, too.")
	}
}

// run deletes the customers of the list.
func (d *deleting) run(i *interrupts) (err error) {
	j, found, err := journal.OpenLast(d.names)
	if err != nil {
		return Usage(advise(err))
	}
	defer func() {
		if closeErr := j.Close(); closeErr != nil {
			err = &Error{ExitFailed, closeErr}
		}
	}()
	shareQuotas(d.apis, j, found.Quotas)
	ids := d.ids
	if d.o.Resume {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return j.IsGone(d.list, id) })
	}
	without, err := d.WithoutProfile(i.stop, ids)
	if err != nil {
		return err
	}
	if err := d.confirm(i, without); err != nil {
		return err
	}
	told := time.Now()
	answers, err := d.Run(i.ctx, i.stop, j, d.list, ids, func(answers map[journal.Answer]int) {
		if time.Since(told) >= heartbeatInterval {
			told = time.Now()
			d.out.Log.Info("deleting", "deleted", answers[journal.Deleted], "of", len(without), "refused", answers[journal.Refused])
		}
	})
	code := ExitDone
	if answers[journal.Refused]+answers[journal.Kept] > 0 {
		code = ExitNotImported
	}
	if !d.out.IsQuiet() || code != ExitDone || err != nil {
		d.printAnswers(answers, len(d.ids)-len(ids))
	}
	if err != nil {
		code = cmp.Or(i.exitCode(), CodeOf(err))
		d.printResume(err, code)
	}
	return exitWith(code)
}

// confirm returns an error unless so many customers may be deleted, and a person or the flags say so.
func (d *deleting) confirm(i *interrupts, ids []string) error {
	limit := d.o.MaxDeletes
	if limit < 0 {
		limit = minDeletes
		if total, err := d.Voucherify.CustomersTotal(i.stop); err == nil {
			limit = max(limit, total/deletesShare)
		}
	}
	if len(ids) > limit {
		return Usage(WithHint(fmt.Errorf("%s would be deleted, more than the %s allowed: nothing was deleted", term.Count(len(ids), "customer"), term.Number(limit)),
			"segsync delete without --yes shows them; if that is right, allow as many with --max-deletes"))
	}
	if !d.out.CanAsk() || len(ids) == 0 {
		return nil
	}
	d.describe(d.out.Err, ids)
	number := strconv.Itoa(len(ids))
	answer, _ := d.out.Ask(fmt.Sprintf("%s: type %s to delete %s customers:", describeTarget(d.apis, false), number, number), i.stop.Done(), number, "")
	if answer != number {
		return &Error{ExitInterrupted, errors.New("cancelled: nothing was deleted")}
	}
	return nil
}

// printAnswers prints how many customers had which answer.
func (d *deleting) printAnswers(answers map[journal.Answer]int, before int) {
	var rows []term.Row
	row := func(mark, name string, n int, note string) {
		if n > 0 || mark == term.MarkOK {
			rows = append(rows, term.Row{Mark: mark, Cells: []string{name, term.Number(n), note}})
		}
	}
	row(term.MarkOK, "Deleted", answers[journal.Deleted], "in "+d.names.Path(d.names.Deleted))
	row("", "Not there", answers[journal.NotThere], "")
	row("", "Still in Segment", answers[journal.StillInSegment], "kept")
	row(term.MarkFailed, "Another customer", answers[journal.Kept], "kept: Voucherify answers with another source_id")
	row(term.MarkFailed, "Refused", answers[journal.Refused], "by Voucherify")
	row("", "Before", before, "gone already when this run began")
	d.out.Out.Title(describeTarget(d.apis, false))
	d.out.Out.Table(nil, rows)
}

// printResume says why a deletion stopped, and how it continues.
func (d *deleting) printResume(err error, code int) {
	if code != ExitInterrupted && code != ExitTerminated {
		d.out.PrintError(err, Hints(err))
	}
	given := &ImportOptions{Given: d.o.Given, Dir: d.o.Dir}
	const what = "Stopped before the end of the list."
	command := "segsync delete --resume --from " + ShellQuote(d.o.From) + flagsFor(given, nil, "from")
	if d.out.IsJSON() {
		d.out.Log.Error(what, "continue", command, "exit_code", code)
		return
	}
	d.out.Err.Linef("%s", what)
	d.out.Err.Command("Continue with:", command)
}
