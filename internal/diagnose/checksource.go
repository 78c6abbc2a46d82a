package diagnose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"segsync/importer/source"
	"segsync/importer/source/profileapi"
	"segsync/internal/app"
	"segsync/internal/safetext"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/profilessync"
)

const (
	// maxCompared is how many profiles are read both ways.
	maxCompared = 200
	// staleAfter is the age from which on a warehouse that is written to every hour is
	// taken to be no longer written to.
	staleAfter = 26 * time.Hour
)

// checkSource checks the warehouse or the file that the profiles come from, and, where there
// are credentials for Segment, whether it agrees with the Profile API.
func (c *checker) checkSource(ctx context.Context) {
	from := c.options.Settings.From
	if from.Kind == settings.FromAPI {
		return
	}
	query := source.QueryFor(c.Settings.Identifiers, c.mapping)
	var ids []string // of profiles to compare
	listed := 0
	if c.Segment != nil && !c.hasFailed() {
		listed, ids = c.profilesToCompare(ctx)
	}
	check := "file"
	if from.Kind == settings.FromWarehouse {
		check = "warehouse"
	}
	in, err := app.OpenInput(ctx, c.Settings, from, "", c.options.Stdin, app.WaitOptions{}, nil)
	var found map[string]*profilessync.Profile
	if err == nil && in.Warehouse != nil {
		found, err = c.readWarehouse(ctx, in.Warehouse, query, listed, ids)
	} else if err == nil {
		found, err = c.readFile(ctx, in.File, query, listed, ids)
	}
	if err != nil {
		c.fail(check, err, "")
		return
	}
	if len(ids) > 0 {
		c.crossCheck(ctx, ids, found)
	}
}

// profilesToCompare returns how many profiles the API has, and the ids of some from the
// middle of its list: those at its head have just changed.
func (c *checker) profilesToCompare(ctx context.Context) (listed int, ids []string) {
	listed = profileapi.CountProfiles(ctx, c.Segment, slog.New(slog.DiscardHandler))
	at := max(listed/2-maxCompared/2, 0)
	for page, err := range c.Segment.AllProfiles(ctx, strconv.Itoa(at), min(c.Settings.Segment.PageSize, maxCompared)) {
		if err != nil {
			c.fail("agreement", fmt.Errorf("listing profiles to compare: %w", err), "")
			return listed, nil
		}
		for _, p := range page.Data {
			ids = append(ids, p.SegmentID)
		}
		if len(ids) >= maxCompared {
			break
		}
	}
	return listed, ids[:min(len(ids), maxCompared)]
}

// readWarehouse checks what is in the tables, and returns the profiles with these ids.
func (c *checker) readWarehouse(ctx context.Context, w *profilessync.Warehouse, query profilessync.Query, listed int, ids []string) (map[string]*profilessync.Profile, error) {
	r, err := w.Check(ctx, query, source.IdentityQuery(c.Settings.Identifiers))
	if err != nil {
		return nil, err
	}
	server, _, _ := strings.Cut(r.Server, " on ")
	c.ok("warehouse", "%s, schema %q, can be read", server, c.Settings.Warehouse.Schema)
	c.reportPresent("tables", r.Profiles, fmt.Sprintf("%s: %s of external IDs, %s of traits",
		term.Count(r.Profiles, "profile"), term.Count(r.Identifiers, "row"), term.Number(r.Traits)))
	c.reportIdentified(r.Profiles, r.Identified)
	switch {
	case r.Profiles == 0:
	case r.Newest.IsZero():
		c.warn("freshness", "imports work; --since does not", "the tables do not say when their rows were written (uuid_ts)")
	case r.Age > staleAfter:
		c.warn("freshness", "look at Unify > Profiles Sync in Segment: it writes every hour", "the newest row was written at %s, %s ago",
			r.Newest.Format(time.RFC3339), term.Duration(r.Age))
	default:
		c.ok("freshness", "the newest row was written at %s, %s ago", r.Newest.Format(time.RFC3339), term.Duration(r.Age))
	}
	c.reportTexts()
	c.reportAbsent(r.Absent)
	c.reportComplete(r.Profiles, listed)
	if len(ids) == 0 {
		return nil, nil
	}
	profiles, err := w.ByID(ctx, ids, query)
	found := make(map[string]*profilessync.Profile)
	for _, p := range profiles {
		found[p.SegmentID] = p
	}
	return found, err
}

// readFile reads the file to its end, and returns the profiles with these ids.
func (c *checker) readFile(ctx context.Context, file *profilessync.File, query profilessync.Query, listed int, ids []string) (map[string]*profilessync.Profile, error) {
	found := make(map[string]*profilessync.Profile)
	for _, id := range ids {
		found[id] = nil
	}
	var profiles, identified int64
	seen := map[string]bool{} // traits
	for p, err := range file.Profiles(ctx, query, profilessync.Position{}) {
		if err != nil {
			return nil, err
		}
		profiles++
		if IsIdentified(p, c.Settings.Identifiers) {
			identified++
		}
		for key := range p.Traits {
			seen[key] = true
		}
		if other, isWanted := found[p.SegmentID]; isWanted && other == nil {
			found[p.SegmentID] = p
		}
	}
	c.reportPresent("file", profiles, fmt.Sprintf("%s can be read to its end: %s", c.options.Settings.From.Name(), term.Count(profiles, "profile")))
	c.reportIdentified(profiles, identified)
	if file.Texts() {
		c.reportTexts()
	}
	c.reportAbsent(slices.DeleteFunc(slices.Clone(query.Traits), func(key string) bool { return seen[key] }))
	c.reportComplete(profiles, listed)
	return found, nil
}

// reportPresent says what the source has. It warns if that is nothing.
func (c *checker) reportPresent(check string, profiles int64, text string) {
	if profiles == 0 {
		c.warn(check, "has Profiles Sync run yet, and is this where it writes to?", "%s", text)
		return
	}
	c.ok(check, "%s", text)
}

// reportIdentified says how many profiles have what may become source_id.
func (c *checker) reportIdentified(profiles, identified int64) {
	c.customers = identified
	text := fmt.Sprintf("%s of %s have an identifier by IDENTIFIER_SAVED_AS_SOURCE_ID=%s", term.Number(identified), term.Count(profiles, "profile"), c.Settings.Identifier())
	if identified == 0 && profiles > 0 {
		c.warn("coverage", "is IDENTIFIER_SAVED_AS_SOURCE_ID the one you mean?", "%s", text)
		return
	}
	c.ok("coverage", "%s", text)
}

// reportTexts says how the numbers and booleans in metadata are sent, which are texts in
// a warehouse.
func (c *checker) reportTexts() {
	m := c.mapping.Metadata
	if c.fits || len(m.Traits) == 0 && !m.All {
		return
	}
	c.warn("metadata", "METADATA_POLICY=fit converts those that the project's metadata schema defines, and as in the mapping any",
		"numbers and booleans are texts here, and are sent as texts")
}

// reportAbsent names traits of the mapping that no profile has. The default mapping has several
// spellings of each, so this is not a warning.
func (c *checker) reportAbsent(traits []string) {
	if len(traits) > 0 {
		c.ok("traits", "no profile has these that the mapping reads: %s", safetext.Line(strings.Join(traits, ", ")))
	}
}

// reportComplete compares the number of profiles with the API's, which is estimated.
func (c *checker) reportComplete(profiles int64, listed int) {
	const check = "completeness"
	share := float64(profiles) / float64(listed)
	switch {
	case listed == 0:
	case share < 0.9:
		c.warn(check, "a warehouse that was connected late may hold only what was active in the last two months: ask Segment for a full "+
			"Profiles Backfill. Profiles without any external ID or trait that is read are not counted, either",
			"%s; Segment has about %s", term.Count(profiles, "profile"), term.Number(listed))
	default:
		c.ok(check, "%s; Segment has about %s", term.Count(profiles, "profile"), term.Number(listed))
	}
}

// crossCheck compares the source_ids of profiles with those that they get by the API.
func (c *checker) crossCheck(ctx context.Context, ids []string, found map[string]*profilessync.Profile) {
	const check = "agreement"
	cross := CrossCheck{
		Segment: c.Segment, Identifiers: c.Settings.Identifiers,
		TraitsLimit: c.Settings.Segment.TraitsLimit, Readers: app.Readers(c.Settings.Segment.Rate),
	}
	result, err := cross.Run(ctx, ids, found)
	if err != nil {
		c.fail(check, err, "")
		return
	}
	if n := len(result.Different); n > 0 {
		text := fmt.Sprintf("the source_id of %d of %s differs from the API's:", n, term.Count(result.Compared, "profile"))
		for _, d := range result.Different[:min(n, 3)] {
			text += fmt.Sprintf("\n%s: %q by the API, %q here", safetext.Line(d.SegmentID), d.API, d.Source)
		}
		c.fail(check, errors.New(text), "a customer's source_id cannot be changed later: choose an identifier that both agree on, and import from one of them only")
		return
	}
	if result.Compared > 0 {
		c.ok(check, "%s read both ways have the same source_id", term.Count(result.Compared, "profile"))
	}
	if result.Missing > 0 {
		c.warn(check, "new ones come with the next sync; many mean that there was no backfill",
			"%d of %s of the API are not here", result.Missing, term.Count(len(ids), "profile"))
	}
}
