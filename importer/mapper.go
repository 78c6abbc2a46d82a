package importer

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"segsync/importer/coverage"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/importer/metadata"
	"segsync/importer/outcome"
	"segsync/importer/source"
	"segsync/internal/safetext"
)

// Mapper makes the customers of profiles.
type Mapper struct {
	Identifiers []mapping.Identifier // where source_id comes from, in order of preference
	Mapping     mapping.Mapping
	Schema      *metadata.Schema  // what metadata is made to fit; nil: it is sent as it is
	Coverage    *coverage.Counter // counts what the profiles have, for a plan; nil counts nothing
	// RefuseOdd leaves out profiles whose source_id would be a mistake of the program that wrote it,
	// such as NULL or 42.0.
	RefuseOdd bool
	Log       *slog.Logger

	countNulls bool // see Options.MaxClears
	unused     unusedTraits
}

// UseSchema makes metadata fit the schema, and lets it have objects where the schema defines them.
// It must not be called during a run.
func (m *Mapper) UseSchema(s *metadata.Schema) {
	m.Mapping.Metadata.Objects = s.Objects()
	m.Schema = s
}

// mapPage gives each profile of the page its customer, or its outcome where there is nothing to
// send. The profiles that were read are dropped.
func (m *Mapper) mapPage(p *page) error {
	p.profiles = make([]*profile, len(p.Page.Profiles))
	all := make([]profile, len(p.Page.Profiles))
	for i, from := range p.Page.Profiles {
		p.profiles[i] = &all[i]
		all[i].page = p
		if err := m.mapProfile(&all[i], from); err != nil {
			return err
		}
	}
	p.Page.Profiles = nil
	return nil
}

// mapProfile maps one profile. The conditions do not apply to one without a source_id: its traits may not have
// been read.
func (m *Mapper) mapProfile(to *profile, from *source.Profile) (err error) {
	to.ID = from.ID
	to.entry = journal.Entry{SegmentID: from.ID, Nameless: from.Nameless, Late: to.page.Late, Retry: to.page.isRetry}
	sourceID, identifier := mapping.SourceID(m.Identifiers, from.ExternalIDs, from.Traits)
	to.SourceID = sourceID
	if from.Outcome != outcome.None {
		to.Outcome, to.Why = from.Outcome, from.Why
		return nil
	}
	p := from.Mapped(sourceID)
	m.Coverage.AddProfile(p, from.ExternalIDs, identifier.String())
	switch {
	case m.isDamaged(from.Damaged, identifier): // its source_id would be wrong, permanently
		to.Outcome = outcome.Unreadable
		to.Why = outcome.Why{Reason: "invalid_utf8", Detail: "the trait that its source_id comes from is damaged: it is not valid Unicode text, or comes twice"}
		return nil
	case sourceID == "":
		to.Outcome = outcome.WithoutIdentifier
		return nil
	}
	matches := m.Mapping.Matches(p, from.ExternalIDs)
	m.unused.observe(from.Traits, matches, m.Mapping, m.Log)
	switch {
	case !matches:
		to.Outcome = outcome.Filtered
		return nil
	case m.RefuseOdd && isOddIdentifier(sourceID):
		to.Outcome = outcome.Unreadable
		to.Why = outcome.Why{Reason: "odd-identifier", Detail: fmt.Sprintf("the identifier %q looks like a mistake of what wrote it", sourceID)}
		return nil
	}
	if identifier != m.Identifiers[0] {
		to.entry.By = identifier.String()
	}
	customer, warnings := mapping.Map(p, m.Mapping)
	m.Coverage.AddCustomer(p, &customer, warnings)
	var leftOut []metadata.LeftOut
	for _, w := range append(warnings, from.Warnings()...) {
		if w.LeftOut.Reason != "" {
			leftOut = append(leftOut, w.LeftOut)
			continue
		}
		to.entry.Warnings = append(to.entry.Warnings, journal.Warning{Field: w.Field, Reason: w.Reason, Value: w.Value, Text: w})
		to.entry.NullBirthdate = to.entry.NullBirthdate || w.Field == "birthdate"
	}
	if m.Schema != nil {
		leftOut = append(leftOut, m.Schema.FitCustomer(&customer)...)
		if missing := m.Schema.Missing(customer.Metadata); len(missing) > 0 && m.Coverage == nil { // a plan counts them by key
			to.Outcome = outcome.Rejected
			to.Why = outcome.Why{Reason: outcome.MetadataRequired, Detail: "the project's metadata schema requires what the customer lacks: " + strings.Join(missing, ", ")}
		}
	}
	for _, l := range leftOut {
		m.Log.Debug("left out of the metadata", "key", l.Key, "reason", l.Reason, "segment_id", from.ID)
		to.entry.LeftOut = append(to.entry.LeftOut, journal.Remark{Key: l.Key, Reason: l.Reason})
	}
	if to.Outcome == outcome.Rejected {
		return nil
	}
	if to.entry.Cleared = customer.Clear; m.countNulls {
		to.entry.Cleared = customer.NullFields()
	}
	to.Customer, err = customer.JSON()
	return err
}

// oddIdentifier matches what programs write for a missing value, and numbers that a spreadsheet
// or pandas has rewritten: 42.0, 4.91234E+11. Spaces around an identifier are odd, too. A customer's source_id
// cannot be changed later.
var oddIdentifier = regexp.MustCompile(`(?i)^(null|undefined|nan|none|nil|\\n|<na>|#n/a|\[object object\]|-?[0-9]+\.0+|[0-9](\.[0-9]+)?e\+[0-9]+)$`)

func isOddIdentifier(id string) bool {
	bare := strings.TrimSpace(id)
	return bare != id || oddIdentifier.MatchString(bare)
}

// isDamaged reports whether the trait of an identifier that comes before the used one is damaged.
func (m *Mapper) isDamaged(damaged []string, used mapping.Identifier) bool {
	if len(damaged) == 0 {
		return false
	}
	for _, id := range m.Identifiers {
		if id == used {
			return false
		}
		if id.Trait != "" && slices.Contains(damaged, safetext.Line(id.Trait)) {
			return true
		}
	}
	return false
}

// unusedAfter is the number of profiles that are searched for unused traits.
const unusedAfter = 1000

// unusedTraits looks for traits of the mapping that no profile has: their names may be wrong.
type unusedTraits struct {
	profiles int
	matching int            // of these, those that the conditions let through
	seen     map[string]int // profiles by trait
}

// observe counts the traits of a profile, be it filtered or not. After enough profiles it warns, once.
func (u *unusedTraits) observe(traits map[string]any, matches bool, m mapping.Mapping, log *slog.Logger) {
	if u.profiles++; u.profiles > unusedAfter {
		return
	}
	if matches {
		u.matching++
	}
	if u.seen == nil {
		u.seen = make(map[string]int)
	}
	for key := range traits {
		u.seen[key]++
	}
	if u.profiles < unusedAfter || m.Fingerprint() == mapping.Default().Fingerprint() { // that one knows many names
		return
	}
	for _, miss := range m.Unknown(u.seen) {
		log.Warn("a trait of the mapping is in none of the first profiles: is its name right?", "trait", miss.Trait,
			"field", miss.Field, "did_you_mean", strings.Join(miss.Near, " or "), "profiles", unusedAfter, "setting", "SEGSYNC_MAPPING")
	}
	if u.matching == 0 {
		log.Warn("the conditions of the mapping let none of the first profiles through: are they right?", "profiles", unusedAfter,
			"setting", "SEGSYNC_MAPPING")
	}
}

// minFiltered is the number of profiles of an import from which it is an error that the conditions of the
// mapping match none.
const minFiltered = 100

// NoneMatched reports whether the conditions of the mapping match none of many profiles.
func NoneMatched(s *journal.State) bool {
	filtered := s.Count(outcome.Filtered)
	others := s.Count(outcome.WithoutIdentifier) + s.Count(outcome.Vanished) + s.Count(outcome.Unreadable)
	return filtered > 0 && s.Counts.Read() > minFiltered && filtered+others >= s.Counts.Read()
}
