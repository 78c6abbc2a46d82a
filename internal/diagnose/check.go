// Package diagnose answers questions before and after an import: whether the set-up is right, and
// how a single profile is imported.
package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/app"
	"segsync/internal/safetext"
	"segsync/internal/settings"
	"segsync/internal/similar"
	"segsync/internal/term"
	"segsync/voucherify"
)

// CheckOptions are those of segsync check.
type CheckOptions struct {
	Settings app.SettingsOptions
	Dir      string
	JSON     bool
	Notify   bool // send a test to NOTIFY_URL and PING_URL
	Stdin    io.Reader
}

// CheckReport is what segsync check --json prints.
type CheckReport struct {
	OK       bool            `json:"ok"`
	Checks   []Finding       `json:"checks"`
	Settings []settings.Item `json:"settings,omitempty"`
	Advice   []string        `json:"advice"`
	ExitCode int             `json:"exit_code"`
}

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or failed
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

const (
	statusOK      = "ok"
	statusWarning = "warning"
	statusFailed  = "failed"
)

// Check tries everything that an import needs, writes nothing, and prints what it found. Its error has
// the exit code.
func Check(ctx context.Context, out *term.Output, o *CheckOptions) error {
	c := &checker{options: o}
	if apis := c.connect(out); apis != nil {
		defer apis.Close()
		c.APIs, c.mapping = apis, apis.Settings.Mapping
		c.checkAll(ctx)
	}
	report := c.report()
	if o.JSON {
		if err := out.Out.JSON(report); err != nil {
			return &app.Error{Code: app.ExitFailed, Err: err}
		}
	} else {
		report.print(out.Out)
	}
	if report.ExitCode != app.ExitDone {
		return &app.Error{Code: report.ExitCode}
	}
	return nil
}

// checker carries out the checks, one after the other.
type checker struct {
	options *CheckOptions
	*app.APIs
	mapping  mapping.Mapping // with what the project's schema adds
	fits     bool            // metadata is made to fit the project's schema
	findings []Finding

	customers        int64 // that an import sends at most; 0: unknown
	voucherifyFailed bool
}

func (c *checker) ok(check, format string, args ...any) {
	c.findings = append(c.findings, Finding{Check: check, Status: statusOK, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(check, hint, format string, args ...any) {
	c.findings = append(c.findings, Finding{check, statusWarning, fmt.Sprintf(format, args...), hint})
}

// fail adds an error with its hints, or with this one if it has none.
func (c *checker) fail(check string, err error, hint string) {
	if hints := app.Hints(err); len(hints) > 0 {
		hint = strings.Join(hints, "; ")
	}
	c.findings = append(c.findings, Finding{check, statusFailed, err.Error(), hint})
}

func (c *checker) hasFailed() bool {
	return slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Status == statusFailed })
}

// connect checks what needs no API: the directory and the settings. It returns nil if the settings are wrong.
func (c *checker) connect(out *term.Output) *app.APIs {
	c.checkDirectory()
	o := c.options.Settings
	apis, err := app.Connect(out, o, app.WaitOptions{Attempts: 2, MaxWait: 10 * time.Second, RetryFor: -1})
	if err == nil {
		return apis
	}
	const packaged = "/etc/segsync/segsync.env" // the one that the systemd unit reads
	if f, openErr := os.Open(packaged); openErr == nil {
		f.Close()
		if !o.EnvFileNamed {
			err = app.WithHint(err, "there are settings in "+packaged+": use --env-file "+packaged)
		}
	}
	c.fail("settings", err, "")
	return nil
}

func (c *checker) checkAll(ctx context.Context) {
	set := c.Settings
	c.ok("settings", "complete; source_id from %s, batches of %s", set.Identifier(), term.Number(set.Voucherify.BatchSize))
	for _, id := range set.Identifiers {
		if near := similar.Find(id.Type, segmentTypes, 1); len(near) > 0 && !slices.Contains(segmentTypes, id.Type) {
			c.warn("identifier", "did you mean "+near[0]+"? "+c.options.Settings.SampleCommand(c.options.Dir)+" shows which types your profiles have",
				"%s is not one of Segment's own types of external IDs", id.Type)
		}
	}
	c.checkEnvFile()
	for _, warning := range set.Warnings {
		c.warn("settings", "is it a misspelt setting?", "%s", warning.Text)
	}
	if c.Segment != nil {
		c.checkSegment(ctx)
	}
	c.checkVoucherify(ctx)
	c.checkSchema(ctx)
	c.checkExports(ctx)
	state := c.checkState()
	c.checkSource(ctx)
	c.checkBulkQuota(state)
	if c.options.Notify {
		c.checkReceivers(ctx)
	}
}

// checkEnvFile warns of a file with secrets that others can read.
func (c *checker) checkEnvFile() {
	file := c.options.Settings.EnvFile
	info, err := os.Stat(file)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o044 != 0 && c.Settings.IsFrom(file) {
		c.warn("settings", "chmod 600 "+app.ShellQuote(file), "others can read %s, which has secrets", file)
	}
}

// segmentTypes are the types of external IDs that every space has.
//
// https://segment.com/docs/unify/identity-resolution/externalids/
var segmentTypes = []string{"user_id", "email", "phone", "anonymous_id", "android.id", "android.idfa", "android.push_token",
	"cross_domain_id", "ga_client_id", "group_id", "ios.id", "ios.idfa", "ios.push_token"}

// checkDirectory checks that the files of an import can be written.
func (c *checker) checkDirectory() {
	dir := c.options.Dir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.ok("directory", "%s will be made", dir)
		return
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		err = tryFile(dir)
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
			c.warn("directory", "chmod go-w "+app.ShellQuote(dir), "others can write to %s, and replace the files of the import", dir)
			return
		}
	}
	if err != nil {
		c.fail("directory", err, "choose another --dir")
		return
	}
	c.ok("directory", "%s can be written", dir)
}

// tryFile makes a file and removes it.
func tryFile(dir string) error {
	file, err := os.CreateTemp(dir, ".segsync-check-")
	if of, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("making a file in %s: %w", dir, of.Err)
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// checkState looks for an import that can be continued, and for one that these settings contradict. It
// returns the state of the last import if it was into this project.
func (c *checker) checkState() *journal.State {
	const check = "state"
	dir := c.options.Dir
	state, err := journal.Load(journal.NewNames(dir, ""))
	switch {
	case err != nil:
		c.fail(check, err, "")
		return nil
	case state == nil:
		c.ok(check, "no import was begun in %s yet", dir)
	case state.IsUnfinished():
		c.warn(check, "segsync import --resume"+c.options.Settings.Flags(dir)+" continues it", "an import is unfinished: %s read, %s not confirmed",
			term.Count(state.Counts.Read(), "profile"), term.Count(state.Unconfirmed(), "customer"))
	default:
		c.ok(check, "the last import finished at %s", state.Finished.Format(time.RFC3339))
	}
	if err := app.CheckSender(c.APIs, dir); err != nil {
		c.fail("last import", err, "")
		return nil
	}
	return state
}

// checkBulkQuota compares the bulk calls that an import takes with those that Voucherify allows in an
// hour, as its answers told the last import. No other answer tells them.
func (c *checker) checkBulkQuota(state *journal.State) {
	const check = "bulk quota"
	const usual = 10 // calls an hour of a small plan
	batchSize := c.Settings.Voucherify.BatchSize
	calls := app.EffortOf(c.Settings, c.customers).BulkCalls
	need := fmt.Sprintf("an import of %s takes up to %s", term.Count(c.customers, "customer"), term.Count(calls, "bulk call"))
	hint := app.CallsSaved(int(c.customers), batchSize)
	quota, isKnown := journal.Quota{}, false
	if state != nil {
		quota, isKnown = state.Quotas[voucherify.BulkQuota]
	}
	switch {
	case c.customers == 0:
	case isKnown && calls > int64(quota.Limit):
		if hint == "" {
			hint = "the import goes on in the next hour: with --resume, or with a longer --max-wait"
		}
		c.warn(check, hint, "%s; Voucherify allows %s an hour", need, term.Number(quota.Limit))
	case isKnown:
		c.ok(check, "%s; Voucherify allows %s an hour", need, term.Number(quota.Limit))
	case calls > usual && hint != "":
		c.warn(check, hint, "%s; plans of Voucherify allow 1 to 50 an hour", need)
	}
}

// checkReceivers sends a test to those who are told how imports end.
func (c *checker) checkReceivers(ctx context.Context) {
	receivers, err := app.TestReceivers(ctx, c.Settings.Ending, "segsync check --notify")
	switch {
	case err != nil:
		c.fail("notify", err, "")
	case len(receivers) == 0:
		c.warn("notify", "set NOTIFY_URL or PING_URL", "no notification is configured")
	}
	for _, r := range receivers {
		if r.Err != nil {
			c.fail(r.Setting, fmt.Errorf("%s did not accept the test: %w", r.Host, r.Err), "is "+r.Setting+" right, and can this machine reach it?")
			continue
		}
		c.ok(r.Setting, "%s accepted the test", r.Host)
	}
}

// report sums the findings up.
func (c *checker) report() *CheckReport {
	r := &CheckReport{OK: true, Checks: c.findings, Advice: []string{
		"source_id is permanent: once a customer exists it cannot be changed.",
		"Be sure of the identifier before the first import: " + c.options.Settings.SampleCommand(c.options.Dir) + " shows what the first 200 profiles would become.",
	}}
	if c.APIs != nil {
		r.Settings = c.Settings.List()
	}
	if c.hasFailed() {
		r.OK, r.ExitCode = false, app.ExitUsage
		r.Advice = []string{"Fix what is marked with ✗, then run segsync check" + c.options.Settings.Flags(c.options.Dir) + " again."}
	}
	return r
}

// print prints the findings, the settings that are not default, and what failed once more.
func (r *CheckReport) print(to *term.Printer) {
	for _, f := range r.Checks {
		f.print(to)
	}
	var rows []term.Row
	for _, s := range r.Settings {
		if s.From != "default" {
			rows = append(rows, term.Row{Cells: []string{s.Name, safetext.Cut(s.Value, 60), safetext.Line(s.From)}})
		}
	}
	to.Linef("")
	if len(rows) > 0 {
		to.Table([]string{"setting", "value", "from"}, rows)
		to.Linef("")
		failed := slices.DeleteFunc(slices.Clone(r.Checks), func(f Finding) bool { return f.Status != statusFailed })
		if len(failed) > 0 {
			to.Linef("%s:", term.Count(len(failed), "problem"))
			for _, f := range failed {
				f.print(to)
			}
			to.Linef("")
		}
	}
	for _, line := range r.Advice {
		to.Linef("%s", line)
	}
}

// print writes the finding behind its mark, and its hint below.
func (f Finding) print(to *term.Printer) {
	mark := map[string]string{statusOK: term.MarkOK, statusWarning: term.MarkAttention, statusFailed: term.MarkFailed}[f.Status]
	text, more, _ := strings.Cut(f.Text, "\n")
	to.Table(nil, []term.Row{{Mark: mark, Cells: []string{fmt.Sprintf("%-12s", f.Check), text}}})
	if more != "" {
		to.Linef("    %s", strings.ReplaceAll(more, "\n", "\n    "))
	}
	if f.Hint != "" {
		to.Linef("    hint: %s", strings.ReplaceAll(f.Hint, "\n", "\n    "))
	}
}
