package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"segsync/internal/app"
	"segsync/internal/function"
	"segsync/internal/settings"
)

// functionFlags are the flags of segsync function.
type functionFlags struct {
	settings app.SettingsOptions
	plan     rateFlag
}

func newFunctionCommand() *cobra.Command {
	var o functionFlags
	cmd := &cobra.Command{
		Use:   "function",
		Short: "Print a function for Segment that maps events live, between two imports",
		Long: `Function prints a Segment Destination Function. On Segment's machines, it makes a customer
of each identify event by the same mapping, first identifier and METADATA_POLICY as an
import. It needs no credentials and no network. An import each night stays the truth.`,
		Example: `  segsync function --mapping mapping.yaml > segsync-function.js
  segsync function --plan 40/s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var text string
			if o.plan.events > 0 {
				text = function.Plan(o.plan.perSecond())
			} else {
				var err error
				if text, err = o.source(cmd); err != nil {
					return app.Usage(err)
				}
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), text); err != nil {
				return &app.Error{Code: app.ExitFailed, Err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(&o.plan, "plan", "print what this `rate` of identify events takes of Voucherify's quotas instead: 40/s, 2400/m, 5000/h")
	addSettings(f, &o.settings)
	cmd.MarkFlagsMutuallyExclusive("plan", "mapping")
	return cmd
}

// source returns the function for the mapping and the identifiers that are set.
func (o *functionFlags) source(cmd *cobra.Command) (string, error) {
	o.settings.EnvFileNamed = cmd.Flags().Changed("env-file")
	env, err := app.ReadEnv(o.settings)
	if err != nil {
		return "", err
	}
	set, err := settings.Load(env, settings.Needs{})
	if err == nil {
		err = set.ReadMapping(o.settings.Mapping)
	}
	if err != nil {
		return "", err
	}
	for _, warning := range set.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "segsync: warning: %s\n", warning.Text)
	}
	source, err := function.Source(function.Options{
		Identifiers: set.Identifiers, Mapping: set.Mapping, Policy: set.Voucherify.Policy, Version: app.Version,
	})
	if err != nil {
		return "", fmt.Errorf("the mapping cannot be applied to events:\n%w", err)
	}
	return source, nil
}

// rateFlag is a number of events in a period, such as 40/s; the zero value is none.
type rateFlag struct {
	events float64
	period string // s, m or h
}

var ratePeriods = map[string]float64{"s": 1, "m": 60, "h": 3600} // in seconds

func (r *rateFlag) Set(s string) error {
	events, period, _ := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(events, 64)
	if err != nil || !(n > 0 && n <= 1e6) || ratePeriods[period] == 0 {
		return errors.New("it must be a number of events above 0, at most 1000000, and a period, such as 40/s, 2400/m or 5000/h")
	}
	*r = rateFlag{n, period}
	return nil
}

func (r *rateFlag) String() string {
	if r.events == 0 {
		return ""
	}
	return strconv.FormatFloat(r.events, 'f', -1, 64) + "/" + r.period
}

func (r *rateFlag) Type() string { return "rate" }

func (r *rateFlag) perSecond() float64 { return r.events / ratePeriods[r.period] }
