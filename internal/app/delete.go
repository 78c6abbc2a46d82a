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
	"segsync/importer/mapping"
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
		return Usage(WithHint(errors.New("--yes needs --max-deletes where nobody can be asked: without a terminal, and where the list comes from stdin"),
			"segsync delete without --yes says how many there are; then add --max-deletes with that number"))
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
	known, err := d.known()
	if err != nil {
		return err
	}
	i := watchInterrupts(ctx, out, "interrupted: finishing what is under way; interrupt again to end at once", func() {})
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
		if errors.Is(err, errCancelled) {
			return &Error{code, errCancelled}
		}
		return &Error{Code: code}
	}
	if err != nil && !is[*Error](err) {
		err = &Error{CodeOf(err), err}
	}
	return err
}

// errCancelled is the error of a deletion that nobody agreed to.
var errCancelled = errors.New("cancelled: nothing was deleted")

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

// known checks that the settings are those of the last import of the directory. It returns customers that
// imports sent, and that the list does not name.
func (d *deleting) known() ([]journal.Entry, error) {
	last, err := lastImport(d.apis, d.o.Dir)
	if err != nil {
		return nil, err
	}
	var earlier []journal.Identity
	for _, names := range []journal.Names{d.names, journal.NewNames(d.o.Dir, "-retry")} {
		of, err := journal.Load(names)
		if err != nil {
			return nil, Usage(advise(err))
		}
		if of != nil && names == d.names {
			earlier = of.Before.Earlier
		}
		if of == nil || !d.o.Yes || of.Unconfirmed() == 0 {
			continue
		}
		return nil, Usage(WithHint(fmt.Errorf("%s sent, not confirmed: what is still under way may create a deleted one again",
			term.Count(of.Unconfirmed(), "customer")), "run this first: "+nextCommand(of, d.o.Dir)))
	}
	named := make(map[string]bool)
	for _, id := range d.ids {
		named[id] = true
	}
	sent, err := journal.ReadSent(d.names, last.Identity, maxKnown, func(e *journal.Entry) bool { return named[e.SourceID] || !slices.Contains(d.Types, e.By) })
	if err != nil {
		return nil, Usage(advise(err))
	}
	d.first = sent.First
	return sent.Customers, d.addTypes(append(sent.Others, earlier...), last.Identity)
}

// addTypes adds the identifiers that earlier imports into the project used: a customer that one of them sent is
// looked up by its own.
func (d *deleting) addTypes(others []journal.Identity, last journal.Identity) error {
	for _, other := range others {
		if other.VoucherifyURL != last.VoucherifyURL || other.VoucherifyApp != last.VoucherifyApp {
			continue // into another project
		}
		if other.Space != d.apis.Settings.Segment.SpaceID {
			return Usage(fmt.Errorf("an earlier import in %s sent profiles of the Segment space %s to this project: they cannot be looked up in %s",
				d.o.Dir, other.Space, d.apis.Settings.Segment.SpaceID))
		}
		identifiers, err := mapping.ParseIdentifiers(other.Identifier)
		if err != nil {
			return Usage(err)
		}
		for _, id := range identifiers {
			if id.Trait != "" && !d.o.NoLookup {
				return Usage(WithHint(fmt.Errorf("an earlier import in %s used %s: the profile that has a trait cannot be looked up", d.o.Dir, other.Identifier),
					"delete such customers in Voucherify; look at each of them first"))
			}
			if id.Trait == "" && !slices.Contains(d.Types, id.Type) {
				d.Types = append(d.Types, id.Type)
			}
		}
	}
	return nil
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
	d.print(
		count{"", "source ids", len(ids), of, true}, count{"", "to delete", len(deletable), "", true},
		count{"", "from elsewhere", foreign, "of these: system_metadata.source is not segmentio", false},
		count{"", "created before", early, "of these: before the first import, " + d.first.Local().Format("2 Jan 2006"), false},
		count{"", "with history", history, "of these: they have orders, redemptions or points", false},
		count{"", "not there", len(p.IDs[journal.NotThere]), "Voucherify has no such customer", false},
		count{"", "still in Segment", len(p.IDs[journal.StillInSegment]), "kept: a profile has the source id", false},
		count{"", "another customer", len(p.IDs[journal.Kept]), "kept: Voucherify answers with another source_id", false})
	d.describe(d.out.Out, deletable)
	for _, answer := range []journal.Answer{journal.NotThere, journal.StillInSegment, journal.Kept} {
		if ids := p.IDs[answer]; len(ids) > 0 {
			d.out.Out.Linef("%s:", answer)
			listIDs(d.out.Out, ids)
		}
	}
	if len(deletable) == 0 {
		return nil
	}
	d.out.Out.Linef("Nothing was deleted. To delete them, run it again with --yes.")
	return exitWith(ExitChanges)
}

// describe says whom a deletion is about, how long it takes, and what it means.
func (d *deleting) describe(to *term.Printer, ids []string) {
	listIDs(to, ids)
	if limit := d.apis.ToVoucherify.Quotas()[voucherify.CallsQuota].Limit; limit > 0 && len(ids) > 0 {
		calls := max(float64(limit)*(1-d.apis.Settings.Voucherify.Reserve), 1)
		to.Linef("%s, %s of Voucherify's %s a minute", term.Count(callsPerDelete*len(ids), "call"),
			report.About(time.Duration(float64(callsPerDelete*len(ids))/calls*float64(time.Minute))), term.Count(limit, "call"))
	}
	if d.o.Permanent {
		to.Linef("--permanent: Voucherify deletes all data about these customers, and keeps only a record of each deletion.")
	}
	if d.o.NoLookup {
		to.Linef("--no-lookup: Segment is not asked whether a profile has the trait: a customer whose profile is still there is deleted, too.")
	}
}

// listIDs prints the first of the source ids.
func listIDs(to *term.Printer, ids []string) {
	shown := slices.Sorted(slices.Values(ids))
	for _, id := range shown[:min(len(shown), shownDeletes)] {
		to.Linef("  %s", strings.ReplaceAll(id, "\n", " "))
	}
	if n := len(shown) - shownDeletes; n > 0 {
		to.Linef("  and %s more", term.Number(n))
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
	if err := d.confirm(i, without, len(d.ids)-len(ids)); err != nil {
		return err
	}
	if err := j.BeginDeletion(journal.DeletionBegan{List: d.list, Flags: d.flags()}); err != nil {
		return err
	}
	told := time.Now()
	list := deletion.List{Fingerprint: d.list, IDs: ids, Agreed: make(map[string]bool)}
	for _, id := range without {
		list.Agreed[id] = true
	}
	answers, err := d.Run(i.ctx, i.stop, j, list, func(answers map[journal.Answer]int) {
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
		d.print(
			count{term.MarkOK, "Deleted", answers[journal.Deleted], "in " + d.names.Path(d.names.Deleted), true},
			count{"", "Not there", answers[journal.NotThere], "", false},
			count{"", "Still in Segment", answers[journal.StillInSegment], "kept", false},
			count{term.MarkFailed, "Another customer", answers[journal.Kept], "kept: Voucherify answers with another source_id", false},
			count{term.MarkFailed, "Refused", answers[journal.Refused], "by Voucherify", false},
			count{"", "Before", len(d.ids) - len(ids), "gone already when this run began", false})
	}
	if err != nil {
		code = cmp.Or(i.exitCode(), CodeOf(err))
		d.printResume(err, code)
	}
	return exitWith(code)
}

// confirm returns an error unless so many customers may be deleted, and a person or the flags say so. The limit is of
// the whole list: gone are those that an earlier run of the same deletion has dealt with.
func (d *deleting) confirm(i *interrupts, ids []string, gone int) error {
	limit := d.o.MaxDeletes
	if limit < 0 {
		limit = minDeletes
		if total, err := d.Voucherify.CustomersTotal(i.stop); err == nil {
			limit = max(limit, total/deletesShare)
		}
	}
	if n := len(ids) + gone; n > limit {
		return Usage(WithHint(fmt.Errorf("up to %s would be deleted, more than the %s allowed: nothing was deleted", term.Count(n, "customer"), term.Number(limit)),
			"segsync delete without --yes shows them; if that is right, allow as many with --max-deletes"))
	}
	if !d.out.CanAsk() || len(ids) == 0 {
		return nil
	}
	d.describe(d.out.Err, ids)
	number := strconv.Itoa(len(ids))
	answer, _ := d.out.Ask(fmt.Sprintf("%s: type %s to delete %s at most, or press Enter to cancel:",
		describeTarget(d.apis, false), number, term.Count(len(ids), "customer")), i.stop.Done(), number, "")
	if answer != number {
		return &Error{ExitInterrupted, errCancelled}
	}
	return nil
}

// count is a row of the table that a preview or a deletion prints.
type count struct {
	mark, name string
	n          int
	note       string
	always     bool // also where it is zero
}

// print prints counts.
func (d *deleting) print(counts ...count) {
	var rows []term.Row
	for _, c := range counts {
		if c.n > 0 || c.always {
			rows = append(rows, term.Row{Mark: c.mark, Cells: []string{c.name, term.Number(c.n), c.note}})
		}
	}
	d.out.Out.Title(describeTarget(d.apis, false))
	d.out.Out.Table(nil, rows)
}

// printResume says why a deletion stopped, and how it continues.
func (d *deleting) printResume(err error, code int) {
	if code != ExitInterrupted && code != ExitTerminated {
		d.out.PrintError(err, Hints(err))
	}
	what := "Stopped before the end of the list."
	if d.o.From == "-" {
		what += " It goes on with the same list on stdin."
	}
	command := "segsync delete --resume" + d.flags() + dirFlag(d.o.Dir)
	if d.out.IsJSON() {
		d.out.Log.Error(what, "continue", command, "exit_code", code)
		return
	}
	d.out.Err.Linef("%s", what)
	d.out.Err.Command("Continue with:", command)
}

// flags returns those that a command which continues the deletion needs, but for its directory.
func (d *deleting) flags() string {
	return flag("from", d.o.From) + flagsFor(&ImportOptions{Given: d.o.Given, Dir: "."}, nil, "from")
}
