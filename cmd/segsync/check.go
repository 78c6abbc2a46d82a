package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/safetext"
	"segsync/internal/screen"
	"segsync/voucherify"
)

// checkOptions are the flags of segsync check.
type checkOptions struct {
	settings settingsFlags
	dir      string
	json     bool
}

// finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or failed
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
)

func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the set-up before the first import",
		Long: `Check tries everything that an import needs: the settings, both APIs, the quotas and
the directory. It writes nothing. segsync plan --sample 200 shows what an import would make
of the first 200 profiles.

Exit codes: 0 everything is as it should be, perhaps with warnings; 2 something is wrong.`,
		Example: `  segsync check
  segsync check --from warehouse
  segsync check --sandbox --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheck(cmd, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.json, "json", false, "print the findings as JSON")
	o.settings.addMapping(f)
	o.settings.addFrom(f)
	f.StringVar(&o.dir, "dir", ".", "`directory` for the files of the import")
	o.settings.addEnvFile(f)
	f.BoolVar(&o.settings.sandbox, "sandbox", false, "check the embedded sandbox")
	return cmd
}

func runCheck(cmd *cobra.Command, o *checkOptions) error {
	c := &checker{options: o}
	c.all(cmd)
	report := checkReport{OK: true, Checks: c.findings, Settings: c.settingsShown, Advice: c.advice()}
	for _, f := range c.findings {
		if f.Status == checkFailed {
			report.OK, report.ExitCode = false, exitUsage
		}
	}
	if o.json {
		if err := printJSON(cmd.OutOrStdout(), report); err != nil {
			return err
		}
		return exitWith(report.ExitCode)
	}
	out := newPage(cmd.OutOrStdout())
	for _, f := range report.Checks {
		f.print(out)
	}
	c.printSettings(out)
	fmt.Fprintln(out)
	for _, line := range report.Advice {
		out.line(0, line)
	}
	return exitWith(report.ExitCode)
}

// print writes the finding behind its mark, and its hint below.
func (f finding) print(to *page) {
	mark := map[string]string{checkOK: screen.MarkOK, checkWarning: screen.MarkAttention, checkFailed: screen.MarkFailed}[f.Status]
	const indent = 15 // of the text
	text := fmt.Sprintf("%-12s %s", f.Check, safetext.Text(f.Text))
	if f.Hint != "" {
		text += "\nhint: " + safetext.Text(f.Hint)
	}
	to.marked(mark, indent, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent)))
}

// checker carries out the checks, one after the other.
type checker struct {
	options *checkOptions
	*connection
	mapping  mapping.Mapping // with what the project's schema adds
	strict   bool            // metadata is made to fit the project's schema
	findings []finding

	settingsShown    []shownSetting
	profiles         int // of the space, as far as they can be counted
	voucherifyFailed bool
}

func (c *checker) ok(check, format string, args ...any) {
	c.findings = append(c.findings, finding{Check: check, Status: checkOK, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(check, hint, format string, args ...any) {
	c.findings = append(c.findings, finding{check, checkWarning, fmt.Sprintf(format, args...), hint})
}

func (c *checker) fail(check string, err error) {
	c.findings = append(c.findings, finding{check, checkFailed, err.Error(), strings.Join(hints(err), "; ")})
}

// withHint gives the error a hint if it has none.
func withHint(err error, hint string) error {
	if len(hints(err)) > 0 {
		return err
	}
	return &hinted{err, hint}
}

func (c *checker) all(cmd *cobra.Command) {
	ctx := cmd.Context()
	c.directory()
	conn, err := c.options.settings.connect(cmd.Flags(), bounds{attempts: 2, maxWait: 10 * time.Second, retryFor: -1}, slog.New(slog.DiscardHandler))
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			err = exit.err
		}
		if packaged := packagedEnvFile(); packaged != "" && !cmd.Flags().Changed("env-file") {
			err = &hinted{err, "there are settings in " + packaged + ": use --env-file " + packaged}
		}
		c.fail("settings", err)
		return
	}
	defer conn.close()
	c.connection, c.mapping = conn, conn.settings.mapping
	c.ok("settings", "complete; source_id from %s, batches of %d", conn.settings.identifier(), conn.settings.batchSize)
	c.settingsShown = conn.settings.shown()
	for _, warning := range conn.settings.warnings {
		c.warn("settings", "is it a misspelt setting?", "%s", warning.text)
	}
	if c.segment != nil {
		c.checkSegment(ctx)
	}
	c.checkVoucherify(ctx)
	c.schema(ctx)
	c.unfinished(journal.NewNames(c.options.dir, ""))
	c.checkFrom(cmd)
}

func (c *checker) failed() bool {
	return slices.ContainsFunc(c.findings, func(f finding) bool { return f.Status == checkFailed })
}

// directory checks that the files of an import can be written.
func (c *checker) directory() {
	dir := c.options.dir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.ok("directory", "%s will be made", dir)
		return
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		err = writable(dir)
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
			c.warn("directory", "chmod go-w "+shellQuote(dir), "%s can be written by others, who could replace the files of the import", dir)
			return
		}
	}
	if err != nil {
		c.fail("directory", &hinted{err, "choose another --dir"})
		return
	}
	c.ok("directory", "%s can be written", dir)
}

// writable tries to make a file, and leaves none.
func writable(dir string) error {
	file, err := os.CreateTemp(dir, ".segsync-check-")
	if of, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("making a file in %s: %w", dir, of.Err)
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func (c *checker) checkSegment(ctx context.Context) {
	began := time.Now()
	page, err := c.segment.Profiles(ctx, importer.Beginning, 1)
	c.clock("Segment", c.toSegment.LastHeader())
	if err != nil {
		c.fail("Segment", withHint(err, "is the network up, and is SEGMENT_API_URL the address of your region?"))
		return
	}
	c.ok("Segment", "%s answers in %s, and takes the token and the space", c.settings.segmentURL, time.Since(began).Round(time.Millisecond))
	switch {
	case len(page.Data) == 0:
		c.warn("profile list", "is SEGMENT_SPACE_ID the space you mean?", "the space has no profiles")
	case page.Data[0].Metadata.UpdatedAt.IsZero():
		c.warn("profile list", "imports work; --since does not", "it does not show when profiles were updated")
	default:
		c.ok("profile list", "readable; the last activity was at %s", page.Data[0].Metadata.UpdatedAt.Format(time.RFC3339))
	}
	c.size(ctx)
}

// size says how many profiles there are, and how long an import of them takes.
func (c *checker) size(ctx context.Context) {
	profiles, what := importer.CountProfiles(ctx, c.segment, slog.New(slog.DiscardHandler)), "the space has about"
	if profiles == 0 {
		profiles, what = 1000, "its profiles cannot be counted;"
	}
	c.profiles = profiles
	set, n := c.settings, int64(profiles)
	requests := set.requests(n, set.requestsEach())
	c.ok("size", "%s %s profiles: up to %s requests to Segment, %s at %g a second, and up to %s bulk calls", what,
		screen.Number(n), screen.Number(requests), screen.Estimate(set.duration(requests)), set.segmentRate, screen.Number(set.bulkCalls(n)))
}

// clock compares our clock with a server's.
func (c *checker) clock(api string, header http.Header) {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil || slices.ContainsFunc(c.findings, func(f finding) bool { return f.Check == "clock" }) {
		return
	}
	if off := time.Since(theirs).Round(time.Second); off.Abs() > time.Minute {
		c.warn("clock", "set the clock: --since and the search for late profiles go by it", "it differs from %s's by %s", api, off)
		return
	}
	c.ok("clock", "agrees with %s's", api)
}

func (c *checker) checkVoucherify(ctx context.Context) {
	began := time.Now()
	_, err := c.voucherify.AsyncActions(ctx, 1, time.Time{})
	c.clock("Voucherify", c.toVoucherify.LastHeader())
	if err != nil {
		c.voucherifyFailed = true
		c.fail("Voucherify", withHint(err, "is the network up, and is VOUCHERIFY_API_URL the address of your region?"))
		return
	}
	c.ok("Voucherify", "%s answers in %s, and takes the keys", c.settings.voucherifyURL, time.Since(began).Round(time.Millisecond))
	batches := c.settings.bulkCalls(1000)
	need := fmt.Sprintf("1,000 customers take %d bulk calls and some %d others", batches, batches+1)
	header := c.toVoucherify.LastHeader()
	limit, errLimit := strconv.Atoi(header.Get("X-Rate-Limit-Limit"))
	remaining, errRemaining := strconv.Atoi(header.Get("X-Rate-Limit-Remaining"))
	if errLimit != nil || errRemaining != nil {
		c.ok("quota", "%s; Voucherify does not tell its limits", need)
		return
	}
	left := fmt.Sprintf("%d of %d calls are left, and %.4g%% stay reserved; %s", remaining, limit, c.settings.reserve*100, need)
	if float64(remaining) <= float64(limit)*c.settings.reserve {
		c.warn("quota", "an import would wait until the quota's next period, or end with exit code 5 where that is longer than --max-wait", "%s", left)
		return
	}
	c.ok("quota", "%s", left)
}

// schema reads the metadata schema.
func (c *checker) schema(ctx context.Context) {
	const check = "metadata"
	set := c.settings
	if c.voucherifyFailed || !set.mapping.Metadata.Any() {
		return
	}
	policy := set.metadataPolicy
	schema, err := c.voucherify.MetadataSchema(ctx, "customer")
	var answer *voucherify.Error
	switch {
	case errors.As(err, &answer) && answer.Forbidden() && policy != strictToSchema:
		c.warn(check, "allow it, or set METADATA_POLICY=as-is", "the application key may not read the metadata schema: metadata is sent as it is")
		return
	case waits(err):
		c.warn(check, "check again when the quota allows it", "the metadata schema was not read: %s", err)
		return
	case err != nil:
		c.fail(check, fmt.Errorf("reading the metadata schema: %w", err))
		return
	case schema == nil:
		c.ok(check, "the project has no metadata schema: anything goes")
		return
	}
	if policy != asIs {
		c.mapping.Metadata.Objects = mapping.NewSchema(schema).Objects()
	}
	if c.strict = set.strict(schema); c.strict {
		c.ok(check, "what does not fit the metadata schema is left out (%s)", strictToSchema)
	} else {
		c.ok(check, "is sent as it is, whatever the metadata schema says (%s)", asIs)
	}
}

// unfinished looks for an import that can be continued.
func (c *checker) unfinished(names journal.Names) {
	state, err := journal.Load(names)
	switch {
	case err != nil:
		c.fail("state", err)
	case state == nil:
		c.ok("state", "no import was begun in %s yet", names.Dir)
	case state.Unfinished():
		c.warn("state", "segsync import --resume"+inDir(names.Dir)+" continues it", "an import is unfinished: %d profiles read, %d customers not confirmed",
			state.Counts.Read, state.Unconfirmed())
	default:
		c.ok("state", "the last import finished at %s", state.Finished.Format(time.RFC3339))
	}
}
