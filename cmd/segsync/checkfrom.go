package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/internal/safetext"
	"segsync/profilessync"
)

const (
	// compared is how many profiles are read both ways.
	compared = 200
	// staleAfter is the age from which on a warehouse that is written to every hour is
	// taken to be no longer written to.
	staleAfter = 26 * time.Hour
)

// checkFrom checks the warehouse or the file that the profiles come from, and, where there
// are credentials for Segment, whether it agrees with the Profile API.
func (c *checker) checkFrom(cmd *cobra.Command) {
	if c.options.settings.fromAPI() {
		return
	}
	ctx := cmd.Context()
	query := importer.QueryFor(c.settings.identifiers, c.mapping)
	var ids []string // of profiles to compare
	listed := 0
	if c.segment != nil && !c.failed() {
		listed, ids = c.profilesToCompare(ctx)
	}
	o := &c.options.settings
	if o.fromWarehouse() {
		c.checkWarehouse(ctx, query, listed, ids)
		return
	}
	c.checkFile(cmd, query, listed, ids)
}

// profilesToCompare returns how many profiles the API has, and the ids of some from the
// middle of its list: those at its head have just changed.
func (c *checker) profilesToCompare(ctx context.Context) (listed int, ids []string) {
	listed = importer.CountProfiles(ctx, c.segment, 0, slog.New(slog.DiscardHandler))
	at := max(listed/2-compared/2, 0)
	for page, err := range c.segment.AllProfiles(ctx, strconv.Itoa(at), min(c.settings.pageSize, compared)) {
		if err != nil {
			c.fail("agreement", fmt.Errorf("listing profiles to compare: %w", err))
			return listed, nil
		}
		for _, p := range page.Data {
			ids = append(ids, p.SegmentID)
		}
		if len(ids) >= compared {
			break
		}
	}
	return listed, ids[:min(len(ids), compared)]
}

func (c *checker) checkWarehouse(ctx context.Context, query profilessync.Query, listed int, ids []string) {
	const check = "warehouse"
	warehouse, err := c.settings.warehouse.open(ctx)
	if err != nil {
		c.fail(check, err)
		return
	}
	report, err := warehouse.Check(ctx, query, importer.IdentifiedBy(c.settings.identifiers))
	if err != nil {
		c.fail(check, err)
		return
	}
	server, _, _ := strings.Cut(report.Server, " on ")
	c.ok(check, "%s, schema %q, can be read", server, c.settings.warehouse.schema)
	c.profilesThere("tables", report.Profiles, "%d profiles: %d rows of external IDs, %d of traits", report.Profiles, report.Identifiers, report.Traits)
	c.identified(report.Profiles, report.Identified)
	switch {
	case report.Profiles == 0:
	case report.Newest.IsZero():
		c.warn("freshness", "imports work; --since does not", "the tables do not say when their rows were written (uuid_ts)")
	case report.Age > staleAfter:
		c.warn("freshness", "look at Unify > Profiles Sync in Segment: it writes every hour", "the newest row was written at %s, %s ago",
			report.Newest.Format(time.RFC3339), report.Age.Round(time.Minute))
	default:
		c.ok("freshness", "the newest row was written at %s, %s ago", report.Newest.Format(time.RFC3339), report.Age.Round(time.Second))
	}
	c.textMetadata()
	c.absent(report.Absent)
	c.complete(report.Profiles, listed)
	if len(ids) == 0 {
		return
	}
	profiles, err := warehouse.ByID(ctx, ids, query)
	if err != nil {
		c.fail("agreement", err)
		return
	}
	found := make(map[string]*profilessync.Profile)
	for _, p := range profiles {
		found[p.SegmentID] = p
	}
	c.agreement(ctx, ids, found, true)
}

func (c *checker) checkFile(cmd *cobra.Command, query profilessync.Query, listed int, ids []string) {
	const check = "file"
	file, _, err := c.options.settings.openFile(cmd.InOrStdin())
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			err = exit.err
		}
		c.fail(check, err)
		return
	}
	found := make(map[string]*profilessync.Profile)
	for _, id := range ids {
		found[id] = nil
	}
	var profiles, identified int64
	there := map[string]bool{} // traits
	for p, err := range file.Profiles(cmd.Context(), query, profilessync.Position{}) {
		if err != nil {
			c.fail(check, err)
			return
		}
		profiles++
		if importer.IsIdentified(p, c.settings.identifiers) {
			identified++
		}
		for key := range p.Traits {
			there[key] = true
		}
		if before, wanted := found[p.SegmentID]; wanted && before == nil {
			found[p.SegmentID] = p
		}
	}
	c.profilesThere(check, profiles, "%s can be read to its end: %d profiles", c.options.settings.source(), profiles)
	c.identified(profiles, identified)
	if file.Texts() {
		c.textMetadata()
	}
	c.absent(slices.DeleteFunc(slices.Clone(query.Traits), func(key string) bool { return there[key] }))
	c.complete(profiles, listed)
	if len(ids) > 0 {
		c.agreement(cmd.Context(), ids, found, file.Texts())
	}
}

// profilesThere says what there is. Nothing is worth a warning.
func (c *checker) profilesThere(check string, profiles int64, format string, args ...any) {
	if profiles == 0 {
		c.warn(check, "has Profiles Sync run yet, and is this where it writes to?", format, args...)
		return
	}
	c.ok(check, format, args...)
}

// identified says how many profiles have what may become source_id.
func (c *checker) identified(profiles, identified int64) {
	text := fmt.Sprintf("%d of %d profiles have an identifier by IDENTIFIER_SAVED_AS_SOURCE_ID=%s", identified, profiles, c.settings.identifier())
	if identified == 0 && profiles > 0 {
		c.warn("coverage", "is IDENTIFIER_SAVED_AS_SOURCE_ID the one you mean?", "%s", text)
		return
	}
	c.ok("coverage", "%s", text)
}

// textMetadata says what becomes of the numbers and booleans in metadata, which are texts in
// a warehouse.
func (c *checker) textMetadata() {
	m := c.mapping.Metadata
	if c.fits != nil || len(m.Traits) == 0 && !m.All {
		return
	}
	c.warn("metadata", "with METADATA_POLICY=strict-to-schema they become of the type that the project's metadata schema defines",
		"numbers and booleans are texts here, and are sent as texts")
}

// absent names traits of the mapping that no profile has. The default mapping has several
// spellings of each, so that this is nothing to be warned about.
func (c *checker) absent(traits []string) {
	if len(traits) > 0 {
		c.ok("traits", "no profile has these that the mapping reads: %s", safetext.Line(strings.Join(traits, ", ")))
	}
}

// complete compares the number of profiles with the API's, which is estimated.
func (c *checker) complete(profiles int64, listed int) {
	const check = "completeness"
	share := float64(profiles) / float64(listed)
	switch {
	case listed == 0:
	case share < 0.9:
		c.warn(check, "was Profiles Sync set up with a backfill? Without it only newer profiles are there; profiles without "+
			"any external ID or trait that is read are not counted, either",
			"%d profiles, of some %d that Segment has", profiles, listed)
	default:
		c.ok(check, "%d profiles; Segment has some %d", profiles, listed)
	}
}

// agreement compares the customers that profiles become with those of the API.
func (c *checker) agreement(ctx context.Context, ids []string, found map[string]*profilessync.Profile, texts bool) {
	const check = "agreement"
	comparer := importer.Comparer{
		Segment: c.segment, Identifiers: c.settings.identifiers, Mapping: c.mapping, Schema: c.fits,
		TraitsLimit: c.settings.traitsLimit, Readers: readers(c.settings.segmentRate), Texts: texts,
	}
	a, err := comparer.Compare(ctx, ids, found)
	if err != nil {
		c.fail(check, err)
		return
	}
	if n := len(a.SourceIDs); n > 0 {
		var examples []string
		for _, d := range a.SourceIDs[:min(n, 3)] {
			examples = append(examples, fmt.Sprintf("%s: %q by the API, %q here", safetext.Line(d.SegmentID), d.API, d.Here))
		}
		c.fail(check, &hinted{
			fmt.Errorf("the source_id of %d of %d profiles is another one than by the API:\n%s", n, a.Compared, strings.Join(examples, "\n")),
			"a customer's source_id cannot be changed later: choose an identifier that both agree on, and import from one of them only",
		})
		return
	}
	if a.Compared > 0 {
		c.ok(check, "%d profiles read both ways have the same source_id", a.Compared)
	}
	if n := len(a.Absent); n > 0 {
		c.warn(check, "those that are new come with the next sync; many mean that there was no backfill", "%d of %d profiles of the API are not here", n, len(ids))
	}
	if len(a.Fields) == 0 {
		return
	}
	hint := "is one of them older than the other?"
	if texts {
		hint = "docs/sources.md says what a warehouse cannot hold"
	}
	c.warn(check, hint, "fields that differ, and in how many of %d customers: %s", a.Compared, mostOften(a.Fields))
}

// mostOften names the fields that are counted most often.
func mostOften(fields map[string]int) string {
	const most = 20
	names := slices.SortedFunc(maps.Keys(fields), func(a, b string) int { return cmp.Or(fields[b]-fields[a], cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names[:min(len(names), most)] {
		parts = append(parts, fmt.Sprintf("%s (%d)", safetext.Line(name), fields[name]))
	}
	if more := len(names) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// takeSample reads the first profiles of where they come from.
func (c *checker) takeSample(cmd *cobra.Command, sampler *importer.Sampler) (*importer.Sample, error) {
	ctx, o := cmd.Context(), &c.options.settings
	if o.fromAPI() {
		return sampler.Sample(ctx, c.options.sample)
	}
	query := importer.QueryFor(c.settings.identifiers, c.mapping)
	query.IdentifierTypes, query.AllTraits = nil, true
	all, texts, err := o.profiles(cmd, c.settings, query)
	if err != nil {
		return nil, err
	}
	sampler.Texts = texts
	return sampler.SampleOf(all, c.options.sample)
}
