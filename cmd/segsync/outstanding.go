package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"segsync/internal/app"
	"segsync/internal/term"
)

func newOutstandingCommand() *cobra.Command {
	var o app.OutstandingOptions
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
			if err := takeIDs(&o, args); err != nil {
				return app.Usage(app.WithHint(err, "see segsync outstanding --help"))
			}
			out, err := newOutput(cmd, term.Options{})
			if err != nil {
				return err
			}
			return app.Outstanding(out, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	addDir(f, &o.Dir)
	f.StringVar(&o.ProfilesFrom, "profiles-from", "", "list those of the import of the profiles that this `file` names")
	f.BoolVar(&o.JSON, "json", false, "print all that is known of them as JSON")
	f.StringArrayVar(&o.Forget, "forget", nil, "no longer try the profile with this `ID`; further ones may follow")
	f.BoolVar(&o.ForgetAll, "forget-all", false, "no longer try any of them")
	for _, pair := range [][]string{{"forget", "forget-all"}, {"json", "forget"}, {"json", "forget-all"}} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

// takeIDs takes the arguments as further ids of --forget.
func takeIDs(o *app.OutstandingOptions, args []string) error {
	if len(args) > 0 && len(o.Forget) == 0 {
		return fmt.Errorf("unexpected argument %q: ids follow --forget", args[0])
	}
	o.Forget = append(o.Forget, args...)
	switch {
	case slices.Contains(o.Forget, ""):
		return errors.New("--forget: an id is empty")
	case o.Dir == "":
		return errors.New("--dir is empty")
	}
	return nil
}
