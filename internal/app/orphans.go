package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/importer/sink/plan"
	"segsync/importer/source/profileapi"
	"segsync/internal/term"
)

// ParseCondition parses a condition on a field of a customer, as where in a mapping has it on a trait:
// metadata.origin=segment, or != for any other value. An asterisk in the value stands for any characters.
func ParseCondition(s string) (mapping.Condition, error) {
	field, value, found := strings.Cut(s, "=")
	field, isNot := strings.CutSuffix(field, "!")
	if !found || field == "" || value == "" {
		return mapping.Condition{}, errors.New("expected FIELD=VALUE, such as metadata.origin=segment")
	}
	operators := []mapping.Operator{mapping.Is, mapping.IsNot, mapping.Like, mapping.NotLike}
	i := 0
	if strings.Contains(value, "*") {
		i = 2
	}
	if isNot {
		i++
	}
	return mapping.Condition{Trait: mapping.Path{field}, Operator: operators[i], Values: []any{value}}, nil
}

// lastImport returns the last import of the directory that sent customers. It is an error if it was of
// another space, into another project, or under another identifier than the settings name.
func lastImport(a *APIs, dir string) (*journal.Sender, error) {
	last, err := journal.LastSender(journal.NewNames(dir, ""), journal.NewNames(dir, "-retry"))
	if err == nil && last == nil {
		err = &journal.NoImportError{Dir: dir}
	}
	if err != nil {
		return nil, Usage(advise(err))
	}
	id := identity(a, new(Input))
	id.Source, id.Mapping, id.Input = last.Source, last.Mapping, last.Input
	if differences := last.Differences(id); differences != "" {
		return nil, Usage(WithHint(&journal.OtherError{Dir: dir, Differences: differences}, "restore the settings of the import, or use its --dir"))
	}
	return last, nil
}

// checkOrphans returns an error before anything is read if nobody can say which customers are orphans.
func checkOrphans(a *APIs, in *Input, o *PlanOptions) error {
	if o.Orphans == "" || a.IsSandbox {
		return nil
	}
	if !in.isAPI() && a.Segment == nil {
		return Usage(errors.New("--orphans: the number of profiles is compared with that of Segment's API: set SEGMENT_ACCESS_TOKEN and SEGMENT_SPACE_ID"))
	}
	_, err := lastImport(a, o.Import.Dir)
	return err
}

// writeOrphans writes the source ids that only Voucherify has, one a line, and counts them.
func (b *job) writeOrphans(ctx context.Context, existing *plan.Existing, o *PlanOptions, isPartial bool) (n int, err error) {
	isOwned, err := ownedBy(o.OwnedBy, existing)
	switch {
	case err != nil:
		return 0, err
	case isPartial:
		return 0, errors.New("not all profiles could be read, so it is unknown which customers only Voucherify has")
	case o.Existing == "" && !existing.IsComplete():
		return 0, errors.New("the number of customers cannot be read, so it is unknown whether the export has them all")
	}
	if !b.input.isAPI() {
		if err := b.compareWithAPI(ctx, o); err != nil {
			return 0, err
		}
	}
	leftOut := 0
	err = journal.ReplaceFile(o.Orphans, 0o600, func(file *os.File) error {
		out := bufio.NewWriter(file)
		for orphan, err := range existing.Orphans() {
			if err != nil {
				return err
			}
			switch {
			case !isOwned(orphan):
			case !isListable(orphan.SourceID, b.apis.Settings.Identifiers):
				leftOut++
			default:
				n++
				fmt.Fprintln(out, orphan.SourceID) // Flush returns its error
			}
		}
		return out.Flush()
	})
	if leftOut > 0 {
		b.out.Log.Warn("--orphans leaves out source ids that a line of a list cannot name, such as those with a comma or a line break", "customers", leftOut)
	}
	return n, err
}

// ownedBy returns what --owned-by says of a customer.
func ownedBy(text string, existing *plan.Existing) (func(plan.Orphan) bool, error) {
	if text == "" {
		return func(plan.Orphan) bool { return true }, nil
	}
	condition, err := ParseCondition(text)
	if err != nil {
		return nil, fmt.Errorf("--owned-by %q: %w", text, err)
	}
	if field := condition.Trait[0]; !existing.HasField(field) {
		return nil, Usage(fmt.Errorf("--owned-by: the export has no field %s; of the metadata it has what the project's schema defines, and none where the mapping has none", field))
	}
	of := mapping.Mapping{Where: []mapping.Condition{condition}}
	return func(c plan.Orphan) bool { return of.Matches(mapping.Profile{Traits: c.Fields, Texts: true}, nil) }, nil
}

// compareWithAPI returns an error unless the source has as many profiles as the API, within one percent:
// what a warehouse lacks for want of a backfill would seem to have left.
func (b *job) compareWithAPI(ctx context.Context, o *PlanOptions) error {
	read, listed := b.opened.State().Counts.Read(), profileapi.CountProfiles(ctx, b.apis.Segment, b.out.Log)
	if off := max(read-listed, listed-read); off*100 > listed || listed == 0 {
		return WithHint(fmt.Errorf("%s, and Segment's API has about %s: more than 1 %% apart", term.Count(read, "profile"), term.Number(listed)),
			"segsync check"+o.Import.Settings.Flags(o.Import.Dir)+" compares them")
	}
	return nil
}
