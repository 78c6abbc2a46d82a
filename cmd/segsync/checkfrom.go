package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	listed = importer.CountProfiles(ctx, c.segment, slog.New(slog.DiscardHandler))
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
	c.crossCheck(ctx, ids, found)
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
		c.crossCheck(cmd.Context(), ids, found)
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
	if c.strict || len(m.Traits) == 0 && !m.All {
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

// crossCheck compares the source_ids of profiles with those that they get by the API.
func (c *checker) crossCheck(ctx context.Context, ids []string, found map[string]*profilessync.Profile) {
	const check = "agreement"
	cross := importer.CrossCheck{
		Segment: c.segment, Identifiers: c.settings.identifiers,
		TraitsLimit: c.settings.traitsLimit, Readers: readers(c.settings.segmentRate),
	}
	result, err := cross.Run(ctx, ids, found)
	if err != nil {
		c.fail(check, err)
		return
	}
	if n := len(result.Different); n > 0 {
		var examples []string
		for _, d := range result.Different[:min(n, 3)] {
			examples = append(examples, fmt.Sprintf("%s: %q by the API, %q here", safetext.Line(d.SegmentID), d.API, d.Source))
		}
		c.fail(check, &hinted{
			fmt.Errorf("the source_id of %d of %d profiles differs from the API's:\n%s", n, result.Compared, strings.Join(examples, "\n")),
			"a customer's source_id cannot be changed later: choose an identifier that both agree on, and import from one of them only",
		})
		return
	}
	if result.Compared > 0 {
		c.ok(check, "%d profiles read both ways have the same source_id", result.Compared)
	}
	if result.Missing > 0 {
		c.warn(check, "those that are new come with the next sync; many mean that there was no backfill",
			"%d of %d profiles of the API are not here", result.Missing, len(ids))
	}
}
