package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/app"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

// sandboxFlags are the flags of segsync sandbox.
type sandboxFlags struct {
	listen    string
	profiles  int
	seed      uint64
	rateLimit int
	taken     int
	latency   time.Duration
	faults    float64

	plain, clean bool
	identified   float64
	activity     float64

	voucherifyLatency   time.Duration
	apiCalls, bulkCalls quotaFlag
	maxCustomers        int
	reject              float64
	strictSchema        bool
	outage              sandbox.Outage

	out fillFlags
}

// strictSchema is a metadata schema that takes the key lang of the made-up profiles, wants
// another type than theirs of test, and does not know the others.
const strictSchema = `{
  "id": "ms_sandbox", "related_object": "customer", "object": "metadata_schema", "allow_defined_only": true,
  "properties": {
    "lang": {"type": "string", "array": false, "optional": true, "deleted": false},
    "test": {"type": "string", "array": false, "optional": true, "deleted": false}
  }
}`

// quotaFlag is a quota of Voucherify as a flag, such as 100/1m; the zero value is none.
type quotaFlag sandbox.Bucket

func (q *quotaFlag) Set(s string) error {
	calls, period, _ := strings.Cut(s, "/")
	limit, err := strconv.Atoi(calls)
	if err != nil || limit < 1 {
		return errors.New("it must be a number of calls and a period, such as 100/1m")
	}
	q.Limit = limit
	if q.Period, err = time.ParseDuration(period); err != nil || q.Period <= 0 {
		return errors.New("it must end with a period, such as /1m or /1h")
	}
	return nil
}

func (q *quotaFlag) String() string {
	if q.Limit == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%s", q.Limit, q.Period)
}

func (q *quotaFlag) Type() string { return "calls/period" }

func newSandboxCommand() *cobra.Command {
	var o sandboxFlags
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve made-up profiles over a fake of both APIs",
		Long: `Sandbox serves fakes of the Segment Profile API and of Voucherify on loopback, with
made-up profiles, until it is interrupted. It prints the settings to use it, to be
pasted into a shell or saved as a .env file.

With --ndjson or --postgres it writes the same profiles to a file or to a database
instead, to try segsync import --from.`,
		Example: `  segsync sandbox --profiles 2000 --faults 0.02 > .env.sandbox &
  segsync import --env-file .env.sandbox
  segsync sandbox --outage-after 200 --outage-for 20s > .env.sandbox &`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return app.Usage(app.WithHint(err, "see segsync sandbox --help"))
			}
			if o.out.any() {
				return o.fill(cmd)
			}
			return serveSandbox(cmd, &o)
		},
	}
	o.addTo(cmd.Flags())
	return cmd
}

func (o *sandboxFlags) addTo(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on")
	group(f, "Where it serves", "listen")

	f.IntVar(&o.profiles, "profiles", 1000, "`number` of profiles")
	f.Uint64Var(&o.seed, "seed", 1, "the same `number` gives the same profiles")
	f.BoolVar(&o.clean, "clean", false, "fewer profiles that an import complains about")
	f.BoolVar(&o.plain, "plain", false, "only simple, valid profiles; customers are not kept")
	f.Float64Var(&o.identified, "identified", 0, "`share` of profiles that have a user_id, from 0 to 1 (default: about 0.85; 1 with --plain)")
	f.Float64Var(&o.activity, "activity", 0, "`number` of profiles that become active, and move to the head of the list, with each page of it")
	group(f, "Profiles", "profiles", "seed", "clean", "plain", "identified", "activity")

	f.IntVar(&o.rateLimit, "rate-limit", 100, "Segment `requests` per second; 0: no limit")
	f.IntVar(&o.taken, "taken", 0, "Segment `requests` per second that somebody else uses")
	f.DurationVar(&o.latency, "latency", 50*time.Millisecond, "mean `time` that an answer of Segment takes")
	f.DurationVar(&o.voucherifyLatency, "voucherify-latency", 0, "`time` that an answer of Voucherify takes")
	f.Var(&o.apiCalls, "api-calls", "Voucherify's quota of calls, such as 100/1m (default: no limit)")
	f.Var(&o.bulkCalls, "bulk-calls", "Voucherify's quota of bulk calls, such as 10/1h (default: no limit)")
	f.IntVar(&o.maxCustomers, "max-customers", 0, "largest `number` of customers that Voucherify takes in a bulk call; 0: no limit")
	group(f, "Limits", "rate-limit", "taken", "latency", "voucherify-latency", "api-calls", "bulk-calls", "max-customers")

	f.Float64Var(&o.faults, "faults", 0, "`share` of requests that go wrong, from 0 to 1")
	f.Float64Var(&o.reject, "reject", 0, "`share` of customers that Voucherify rejects, from 0 to 1")
	f.BoolVar(&o.strictSchema, "strict-schema", false, "Voucherify takes no metadata but that of a schema")
	f.DurationVar(&o.outage.For, "outage-for", 0, "both APIs answer 503 for this `time`, once")
	f.IntVar(&o.outage.After, "outage-after", 0, "the outage begins after this `number` of requests")
	group(f, "What goes wrong", "faults", "reject", "strict-schema", "outage-for", "outage-after")

	o.out.addTo(f)
	group(f, "Instead of serving", "ndjson", "postgres", "schema")
}

func (o *sandboxFlags) check(f *pflag.FlagSet) error {
	var errs []error
	host, _, err := net.SplitHostPort(o.listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("--listen %q: it must be a loopback address with a port, such as 127.0.0.1:8080", o.listen))
	}
	for _, c := range []struct {
		flag       string
		value, max float64
	}{
		{"profiles", float64(o.profiles), math.Inf(1)},
		{"identified", o.identified, 1},
		{"activity", o.activity, 100},
		{"rate-limit", float64(o.rateLimit), math.Inf(1)},
		{"latency", o.latency.Seconds(), math.Inf(1)},
		{"voucherify-latency", o.voucherifyLatency.Seconds(), math.Inf(1)},
		{"max-customers", float64(o.maxCustomers), math.Inf(1)},
		{"faults", o.faults, 1},
		{"reject", o.reject, 1},
		{"outage-for", o.outage.For.Seconds(), math.Inf(1)},
		{"outage-after", float64(o.outage.After), math.Inf(1)},
	} {
		switch given := f.Lookup(c.flag).Value; {
		case c.value >= 0 && c.value <= c.max:
		case math.IsInf(c.max, 1):
			errs = append(errs, fmt.Errorf("--%s %s is negative", c.flag, given))
		default: // NaN included
			errs = append(errs, fmt.Errorf("--%s %s: it must be from 0 to %g", c.flag, given, c.max))
		}
	}
	if o.taken < 0 || o.taken > o.rateLimit {
		errs = append(errs, fmt.Errorf("--taken %d: it must be from 0 to the --rate-limit, %d", o.taken, o.rateLimit))
	}
	if o.outage.After > 0 && o.outage.For == 0 {
		errs = append(errs, errors.New("--outage-after goes with --outage-for"))
	}
	return errors.Join(errs...)
}

// options returns what the flags ask of the sandbox.
func (o *sandboxFlags) options() sandbox.Options {
	options := sandbox.Options{
		Profiles: o.profiles, Seed: o.seed, RateLimit: o.rateLimit, Taken: o.taken, Latency: o.latency, Faults: o.faults,
		Plain: o.plain, Clean: o.clean, Identified: o.identified, Discard: o.plain, Activity: o.activity,
		VoucherifyLatency: o.voucherifyLatency, MaxCustomers: o.maxCustomers, RejectShare: o.reject,
		APICalls: sandbox.Bucket(o.apiCalls), BulkCalls: sandbox.Bucket(o.bulkCalls),
		Outage: o.outage,
	}
	if o.strictSchema {
		options.Schema, options.EnforceSchema = json.RawMessage(strictSchema), true
	}
	return options
}

func serveSandbox(cmd *cobra.Command, o *sandboxFlags) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	box := sandbox.New(o.options())
	server, err := box.Listen(o.listen)
	if err != nil {
		return app.Usage(fmt.Errorf("--listen %s: %w", o.listen, err))
	}
	defer server.Close()
	for _, s := range box.Settings(server.URL) {
		fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", s.Name, app.ShellQuote(s.Value))
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "The sandbox is serving; interrupt it with Ctrl-C.")
	<-interrupted
	st := box.Stats()
	fmt.Fprintf(cmd.ErrOrStderr(), "Served %d requests to Segment (%d answered 429) in %s, %d to Voucherify (%d bulk), %d customers.\n",
		st.SegmentRequests, st.Segment429, st.LastSegment.Sub(st.FirstSegment).Round(time.Millisecond),
		st.VoucherifyRequests, st.BulkRequests, st.Customers)
	return nil
}

// fillFlags say where the made-up profiles are written to, instead of being served.
type fillFlags struct {
	ndjson   string
	postgres string
	schema   string
}

func (o *fillFlags) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.ndjson, "ndjson", "", "write the profiles to this `file`, one a line, instead of serving them; - for stdout")
	f.StringVar(&o.postgres, "postgres", "", "write the profiles to the Postgres at this `URL`, as Profiles Sync does, instead of serving them")
	f.StringVar(&o.schema, "schema", "profiles", "`name` of the schema that --postgres makes")
}

func (o *fillFlags) any() bool { return o.ndjson != "" || o.postgres != "" }

// fill writes the profiles of the sandbox.
func (o *sandboxFlags) fill(cmd *cobra.Command) error {
	box := sandbox.New(o.options())
	if o.out.ndjson != "" {
		if err := writeNDJSON(o.out.ndjson, cmd.OutOrStdout(), box.People()); err != nil {
			return &app.Error{Code: app.ExitFailed, Err: fmt.Errorf("--ndjson: %w", err)}
		}
	}
	if o.out.postgres == "" {
		return nil
	}
	if err := o.fillPostgres(cmd.Context(), box); err != nil {
		if errors.Is(err, context.Canceled) {
			return &app.Error{Code: app.ExitFailed, Err: err}
		}
		return &app.Error{Code: app.CodeOf(err), Err: fmt.Errorf("--postgres: %w", err)}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "export SEGSYNC_WAREHOUSE_URL=%s\nexport SEGSYNC_WAREHOUSE_SCHEMA=%s\n",
		app.ShellQuote(o.out.postgres), app.ShellQuote(o.out.schema))
	return nil
}

func (o *sandboxFlags) fillPostgres(ctx context.Context, box *sandbox.Sandbox) error {
	conn, err := profilessync.Connect(ctx, o.out.postgres)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return sandbox.FillPostgres(ctx, conn, o.out.schema, box.People())
}

// writeNDJSON writes a file of profiles, one a line.
func writeNDJSON(path string, stdout io.Writer, people iter.Seq[sandbox.Person]) (err error) {
	to := stdout
	if path != "-" {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		to = file
	}
	return sandbox.WriteNDJSON(to, people)
}
