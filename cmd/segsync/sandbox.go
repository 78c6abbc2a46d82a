package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"segsync/internal/sandbox"
)

// sandboxFlags are the flags of segsync sandbox.
type sandboxFlags struct {
	listen    string
	profiles  int
	seed      uint64
	rateLimit int
	latency   time.Duration
	faults    float64

	plain      bool
	identified float64
}

func newSandboxCommand() *cobra.Command {
	var o sandboxFlags
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve made-up profiles over a fake of both APIs",
		Long: `Sandbox serves fakes of the Segment Profile API and of Voucherify on loopback, with
made-up profiles, until it is interrupted. It prints the settings to use it, to be
pasted into a shell or saved as a .env file.`,
		Example: `  segsync sandbox --profiles 2000 --faults 0.02 > .env.sandbox &
  segsync import --env-file .env.sandbox`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return &exitError{exitUsage, &hinted{err, "see segsync sandbox --help"}}
			}
			return serveSandbox(cmd, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on")
	f.IntVar(&o.profiles, "profiles", 1000, "`number` of profiles")
	f.Uint64Var(&o.seed, "seed", 1, "the same `number` gives the same profiles")
	f.IntVar(&o.rateLimit, "rate-limit", 100, "Segment requests per second; 0: no limit")
	f.DurationVar(&o.latency, "latency", 50*time.Millisecond, "mean `time` that an answer of Segment takes")
	f.Float64Var(&o.faults, "faults", 0, "`share` of requests that go wrong, from 0 to 1")
	f.BoolVar(&o.plain, "plain", false, "only simple, valid profiles")
	f.Float64Var(&o.identified, "identified", 0, "`share` of profiles that have a user_id, from 0 to 1 (default: about 0.85; 1 with --plain)")
	return cmd
}

func (o *sandboxFlags) check() error {
	var errs []error
	if o.profiles < 0 {
		errs = append(errs, fmt.Errorf("--profiles %d is negative", o.profiles))
	}
	if o.rateLimit < 0 {
		errs = append(errs, fmt.Errorf("--rate-limit %d is negative", o.rateLimit))
	}
	if o.latency < 0 {
		errs = append(errs, fmt.Errorf("--latency %s is negative", o.latency))
	}
	if !(o.faults >= 0 && o.faults <= 1) {
		errs = append(errs, fmt.Errorf("--faults %v: it must be from 0 to 1", o.faults))
	}
	if !(o.identified >= 0 && o.identified <= 1) {
		errs = append(errs, fmt.Errorf("--identified %v: it must be from 0 to 1", o.identified))
	}
	return errors.Join(errs...)
}

func serveSandbox(cmd *cobra.Command, o *sandboxFlags) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	box := sandbox.New(sandbox.Options{
		Profiles: o.profiles, Seed: o.seed, RateLimit: o.rateLimit, Latency: o.latency, Faults: o.faults,
		Plain: o.plain, Identified: o.identified, Discard: o.plain,
	})
	server, err := box.Listen(o.listen)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--listen %s: %w", o.listen, err)}
	}
	defer server.Close()
	for _, s := range box.Settings(server.URL) {
		fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", s.Name, shellQuote(s.Value))
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "The sandbox is serving; interrupt it with Ctrl-C.")
	<-interrupted
	st := box.Stats()
	fmt.Fprintf(cmd.ErrOrStderr(), "Served %d requests to Segment (%d answered 429) in %s, %d to Voucherify (%d bulk), %d customers.\n",
		st.SegmentRequests, st.Segment429, st.LastSegment.Sub(st.FirstSegment).Round(time.Millisecond),
		st.VoucherifyRequests, st.BulkRequests, st.Customers)
	return nil
}
