package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"segsync/internal/app"
	"segsync/internal/function"
)

// functionFlags are the flags of segsync function.
type functionFlags struct {
	settings app.SettingsOptions
	plan     string
}

func newFunctionCommand() *cobra.Command {
	var o functionFlags
	cmd := &cobra.Command{
		Use:   "function",
		Short: "Print a function for Segment that maps events live, between two imports",
		Long: `Function prints a Segment Destination Function. On Segment's machines, it makes a customer
of each identify event by the same mapping, first identifier and METADATA_POLICY as an
import. It needs no credentials and no network. A nightly import corrects what events miss.`,
		Example: `  segsync function --mapping mapping.yaml > segsync-function.js
  segsync function --plan 40/s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write := func() (string, error) { return o.source(cmd) }
			if cmd.Flags().Changed("plan") {
				write = o.arithmetic
			}
			text, err := write()
			if err != nil {
				return app.Usage(err)
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), text); err != nil {
				return &app.Error{Code: app.ExitFailed, Err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.plan, "plan", "", "print what this `rate` of identify events takes of Voucherify's quotas instead: 40/s, 2400/m, 5000/h")
	addSettings(f, &o.settings)
	cmd.MarkFlagsMutuallyExclusive("plan", "mapping")
	return cmd
}

// source returns the function for the mapping and the identifiers that are set.
func (o *functionFlags) source(cmd *cobra.Command) (string, error) {
	set, err := loadSettings(cmd, o.settings)
	if err != nil {
		return "", err
	}
	source, err := function.Source(function.Options{
		Identifiers: set.Identifiers, Mapping: set.Mapping, Policy: set.Voucherify.Policy, Version: app.Version,
	})
	if err != nil {
		return "", fmt.Errorf("the mapping cannot be applied to events:\n%w", err)
	}
	return source, nil
}

// arithmetic returns what the rate of --plan takes of the quotas.
func (o *functionFlags) arithmetic() (string, error) {
	events, period, _ := strings.Cut(o.plan, "/")
	n, err := strconv.ParseFloat(events, 64)
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[period]
	if err != nil || seconds == 0 || !(n > 0 && n <= 1e6) {
		return "", app.WithHint(fmt.Errorf("--plan %q: it must be a number of events and a period", o.plan), "such as 40/s, 2400/m or 5000/h; at most 1000000")
	}
	return function.Plan(n / seconds), nil
}
