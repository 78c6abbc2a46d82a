package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"segsync/importer/metadata"
	"segsync/importer/sink/plan"
	"segsync/importer/source/profileapi"
	"segsync/internal/app"
	"segsync/internal/report"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/voucherify"
)

func (c *checker) checkSegment(ctx context.Context) {
	began := time.Now()
	page, err := c.Segment.Profiles(ctx, "0", 1)
	c.checkClock("Segment", c.ToSegment.LastHeader())
	if err != nil {
		c.fail("Segment", err, "is the network up, and is SEGMENT_API_URL the address of your region?")
		return
	}
	c.ok("Segment", "%s answers in %s, and takes the token and the space", c.Settings.Segment.URL, time.Since(began).Round(time.Millisecond))
	switch {
	case len(page.Data) == 0:
		c.warn("profile list", "is SEGMENT_SPACE_ID the space you mean?", "the space has no profiles")
		return
	case page.Data[0].Metadata.UpdatedAt.IsZero():
		c.warn("profile list", "imports work; --since does not", "it does not show when profiles were updated")
	default:
		c.ok("profile list", "readable; the last activity was at %s", page.Data[0].Metadata.UpdatedAt.Format(time.RFC3339))
	}
	c.checkSize(ctx)
}

// checkSize says how many profiles there are, and how long an import of them takes.
func (c *checker) checkSize(ctx context.Context) {
	n := int64(profileapi.CountProfiles(ctx, c.Segment, slog.New(slog.DiscardHandler)))
	c.customers = n
	what := fmt.Sprintf("the space has about %s", term.Count(n, "profile"))
	if n == 0 {
		n, what = 1000, "the profiles cannot be counted; for every 1,000"
	}
	e := app.EffortOf(c.Settings, n)
	c.ok("size", "%s: up to %s to Segment, %s at %g a second, and up to %s", what, term.Count(e.Requests, "request"),
		report.About(e.Duration), c.Settings.Segment.Rate, term.Count(e.BulkCalls, "bulk call"))
}

// checkClock compares our clock with a server's, once.
func (c *checker) checkClock(api string, header http.Header) {
	const check = "clock"
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil || slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Check == check }) {
		return
	}
	if off := time.Since(theirs).Round(time.Second); off.Abs() > time.Minute {
		c.warn(check, "set the clock: --since and the search for late profiles go by it", "it differs from %s's by %s", api, off)
		return
	}
	c.ok(check, "agrees with %s's", api)
}

func (c *checker) checkVoucherify(ctx context.Context) {
	began := time.Now()
	_, _, err := c.Voucherify.AsyncActions(ctx, 1, time.Time{})
	c.checkClock("Voucherify", c.ToVoucherify.LastHeader())
	if err != nil {
		c.voucherifyFailed = true
		c.fail("Voucherify", err, "is the network up, and is VOUCHERIFY_API_URL the address of your region?")
		return
	}
	set := c.Settings.Voucherify
	c.ok("Voucherify", "%s answers in %s, and takes the keys", set.URL, time.Since(began).Round(time.Millisecond))
	customers := cmp.Or(c.customers, 1000)
	batches := app.EffortOf(c.Settings, customers).BulkCalls
	need := fmt.Sprintf("an import of %s takes %s and about %s", term.Count(customers, "customer"), term.Count(batches, "bulk call"), term.Count(batches+1, "other call"))
	limit, remaining, _, ok := voucherify.ReadQuota(c.ToVoucherify.LastHeader())
	if !ok {
		c.ok("quota", "%s; Voucherify does not tell its limits", need)
		return
	}
	left := fmt.Sprintf("%s of %s are left, and %.4g%% stay reserved; %s", term.Number(remaining), term.Count(limit, "call"), set.Reserve*100, need)
	if float64(remaining) <= float64(limit)*set.Reserve {
		c.warn("quota", "an import would wait until the quota's next period, or end with exit code 5 where that is longer than --max-wait", "%s", left)
		return
	}
	c.ok("quota", "%s", left)
}

// checkExports looks for exports that segsync ordered and did not delete. A key that may not list them
// is no matter here.
func (c *checker) checkExports(ctx context.Context) {
	if c.voucherifyFailed {
		return
	}
	left, err := plan.LeftExports(ctx, c.Voucherify)
	if err != nil || len(left) == 0 {
		return
	}
	c.warn("exports", "delete them in Voucherify, in the list of exports: they hold the data of all customers",
		"%s of all customers that segsync ordered are still at Voucherify, the oldest of %s", term.Count(len(left), "export"), left[len(left)-1].CreatedAt.Format(time.RFC3339))
}

// checkSchema reads the metadata schema, and says how metadata is sent.
func (c *checker) checkSchema(ctx context.Context) {
	const check = "metadata"
	policy := c.Settings.Voucherify.Policy
	if c.voucherifyFailed || !c.mapping.Metadata.Any() {
		return
	}
	schema, err := c.Voucherify.MetadataSchema(ctx, "customer")
	answer, isAnswer := errors.AsType[*voucherify.Error](err)
	switch {
	case isAnswer && answer.Unknown() && policy != settings.Strict:
		c.ok(check, "this Voucherify has no metadata schemas: metadata is sent as it is")
		return
	case isAnswer && answer.Forbidden() && policy != settings.Strict:
		c.warn(check, "allow it, or set METADATA_POLICY=as-is", "the application key may not read the metadata schema: metadata is sent as it is")
		return
	case app.IsQuotaWait(err):
		c.warn(check, "check again when the quota allows it", "the metadata schema was not read: %s", err)
		return
	case err != nil:
		c.fail(check, fmt.Errorf("reading the metadata schema: %w", err), "")
		return
	case schema == nil:
		c.ok(check, "the project has no metadata schema: anything goes")
		return
	}
	c.fits = policy != settings.AsIs
	switch {
	case !c.fits:
		c.ok(check, "is sent as it is, whatever the metadata schema says (%s)", policy)
		return
	case policy == settings.Strict || schema.AllowDefinedOnly:
		c.ok(check, "is made to fit the metadata schema; keys that it does not define are left out (%s)", settings.Strict)
	default:
		c.ok(check, "is made to fit the metadata schema; keys that it does not define are sent as they are (%s)", settings.Fit)
	}
	c.mapping.Metadata.Objects = metadata.NewSchema(schema).Objects()
}
