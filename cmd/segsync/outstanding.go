package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/internal/safetext"

	"github.com/spf13/cobra"
)

// outstandingOptions are the flags of segsync outstanding.
type outstandingOptions struct {
	run       runFlags // of which only those that name the files of an import
	asJSON    bool
	forget    []string
	forgetAll bool
}

func newOutstandingCommand() *cobra.Command {
	var o outstandingOptions
	cmd := &cobra.Command{
		Use:   "outstanding [flags] [--forget ID...]",
		Short: "List the profiles that could not be imported yet, or forget them",
		Long: `Outstanding lists the profiles that the imports of a directory could not import.
Each import of the directory tries them again, and ends with 3 until they are
imported, gone, or forgotten.

With --forget or --forget-all no import tries them again because they failed; a
profile that changes is imported as any other. An id is a segment_id, a source_id,
or async_action:… where Voucherify did not say which customers it rejected.

The exit code of the list is 0 if nothing is outstanding, and 3 if something is.`,
		Example: `  segsync outstanding --dir /var/lib/segsync
  segsync outstanding --json
  segsync outstanding --forget user-0000428 user-0000512
  segsync outstanding --forget-all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.takeArgs(args); err != nil {
				return &exitError{exitUsage, &hinted{err, fmt.Sprintf("see %s --help", cmd.CommandPath())}}
			}
			return o.carryOut(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.run.dir, "dir", ".", "`directory` of the import")
	f.StringVar(&o.run.profilesFrom, "profiles-from", "", "list those of the import of the profiles that this `file` names")
	f.BoolVar(&o.asJSON, "json", false, "print all that is known of them as JSON")
	f.StringArrayVar(&o.forget, "forget", nil, "no longer try the profile with this `ID`; further ones may follow")
	f.BoolVar(&o.forgetAll, "forget-all", false, "no longer try any of them")
	for _, pair := range [][]string{{"forget", "forget-all"}, {"json", "forget"}, {"json", "forget-all"}} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

// takeArgs takes the arguments as further ids of --forget.
func (o *outstandingOptions) takeArgs(args []string) error {
	if len(args) > 0 && len(o.forget) == 0 {
		return fmt.Errorf("unexpected argument %q: ids follow --forget", args[0])
	}
	o.forget = append(o.forget, args...)
	switch {
	case slices.Contains(o.forget, ""):
		return errors.New("--forget: an id is empty")
	case o.run.dir == "":
		return errors.New("--dir is empty")
	}
	return nil
}

func (o *outstandingOptions) carryOut(stdout, stderr io.Writer) error {
	records, state, err := o.read()
	switch {
	case err != nil:
		return err
	case o.forgetAll || len(o.forget) > 0:
		return o.forgetThem(stdout)
	case o.asJSON:
		err = printRecordsJSON(stdout, records)
	case len(records) == 0:
		_, err = fmt.Fprintln(stdout, "nothing is outstanding")
	default:
		err = printRecords(newPage(stdout), records)
		newPage(stderr).linef("%d outstanding since %s. Each import tries them again; --forget ends that.",
			state.Outstanding.Count, state.Outstanding.Oldest.Format(time.RFC3339))
	}
	if err != nil {
		return &exitError{exitFailed, err}
	}
	if len(records) > 0 {
		return exitWith(exitNotImported)
	}
	return nil
}

func (o *outstandingOptions) names() journal.Names { return o.run.names(false) }

func (o *outstandingOptions) read() ([]journal.Record, *journal.State, error) {
	records, state, err := journal.ReadOutstanding(o.names())
	var none *journal.NoImportError
	if errors.As(err, &none) {
		err = &hinted{err, "use the --dir of the import, and its --profiles-from if it had one"}
	}
	if err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	return records, state, nil
}

// forgetThem forgets all that the flags name, or nothing if one of them is unknown.
func (o *outstandingOptions) forgetThem(stdout io.Writer) error {
	unlock, err := lockDir(o.run.dir)
	if err != nil {
		return err
	}
	defer unlock()
	records, _, err := o.read() // again: an import may have ended just now
	if err != nil {
		return err
	}
	var unknown []error
	for _, id := range o.forget {
		if !slices.ContainsFunc(records, func(r journal.Record) bool { return isNamed(r, id) }) {
			unknown = append(unknown, fmt.Errorf("--forget %q: nothing with this id is outstanding", id))
		}
	}
	if len(unknown) > 0 {
		return &exitError{exitUsage, &hinted{errors.Join(unknown...), "segsync outstanding lists the ids; nothing was forgotten"}}
	}
	forgotten, err := journal.Forget(o.names(), func(r journal.Record) bool {
		return o.forgetAll || slices.ContainsFunc(o.forget, func(id string) bool { return isNamed(r, id) })
	})
	if err != nil {
		return &exitError{exitFailed, err}
	}
	_, state, err := o.read()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d forgotten, %d still outstanding\n", forgotten, state.Outstanding.Count)
	return nil
}

// isNamed reports whether id is the segment id, the source id or the async action of the
// record.
func isNamed(r journal.Record, id string) bool { return id == r.ID() || id == r.SourceID }

func printRecordsJSON(w io.Writer, records []journal.Record) error {
	if records == nil {
		records = []journal.Record{} // [], not null
	}
	data, err := json.MarshalIndent(records, "", "  ")
	if err == nil {
		_, err = w.Write(append(safetext.JSON(data), '\n'))
	}
	return err
}

// printRecords prints a table. The ids are needed to forget: they are never cut.
func printRecords(to *page, records []journal.Record) error {
	var rows [][]string
	for _, r := range records {
		detail := r.Detail
		if r.Unnamed > 0 {
			detail = strings.TrimSpace(fmt.Sprintf("%d customers %s", r.Unnamed, detail))
		}
		row := []string{r.ID(), r.SourceID, r.First.Format(time.DateOnly), r.Reason, detail}
		for i := range row {
			row[i] = safetext.Line(row[i])
		}
		rows = append(rows, row)
	}
	return to.list(0, strings.Fields("SEGMENT_ID SOURCE_ID SINCE REASON DETAIL"), rows)
}
