package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"segsync/importer/sink/plan"
	"segsync/internal/report"
	"segsync/internal/safetext"
	"segsync/internal/strictjson"
	"segsync/internal/term"
	"segsync/voucherify"
)

// print writes the profile, and each field of the customer beside the traits that it came from.
func (in *Inspection) print(to *term.Printer) {
	to.Linef("Profile %s\n", safetext.Line(in.Profile))
	to.Title("External IDs")
	var rows []term.Row
	add := func(cells ...string) { rows = append(rows, term.Row{Cells: cells}) }
	flush := func() { to.Table(nil, rows); rows = nil }
	for _, id := range in.ExternalIDs {
		since := ""
		if !id.CreatedAt.IsZero() {
			since = fmt.Sprintf("  (since %s)", id.CreatedAt.Format(time.RFC3339))
		}
		add(id.Type, id.ID+since)
	}
	flush()
	to.Linef("")
	to.Title("Traits")
	for _, key := range slices.Sorted(maps.Keys(in.Traits)) {
		add(key, report.InOneLine(in.Traits[key]))
	}
	flush()
	to.Linef("")
	to.Title("Customer")
	if in.Customer == nil {
		to.Linef("  none: the profile has no identifier of the types that are set")
		return
	}
	origins := in.originsByField()
	for _, f := range fieldsOf(in.Customer) {
		text := report.InOneLine(f.value)
		if from := origins[f.name]; len(from) > 0 {
			text += "  ← " + strings.Join(from, ", ")
		}
		if value, ok := in.Existing[f.name]; ok && report.InOneLine(value) != report.InOneLine(f.value) {
			text += "  (now " + report.InOneLine(value) + ")"
		}
		add(f.name, text)
	}
	flush()
	switch in.Effect {
	case "":
	case plan.Create:
		to.Linef("\nIn Voucherify: no such customer yet")
	default:
		to.Linef("\nIn Voucherify: an import would do this: %s", in.Effect)
	}
	if len(in.Warnings) > 0 {
		to.Linef("")
		to.Title("Warnings")
	}
	for _, warning := range in.Warnings {
		to.Linef("  %s", warning)
	}
	for _, condition := range in.Filtered {
		to.Linef("\nfiltered: it is not imported, because it does not meet %s", condition)
	}
}

// originsByField returns where each field of the customer comes from.
func (in *Inspection) originsByField() map[string][]string {
	all := map[string][]string{"source_id": {in.Identifier}}
	for _, origin := range in.Origins {
		from := cmp.Or(origin.Trait, "a constant of the mapping")
		switch {
		case origin.Cleared:
			from = "cleared: the profile has none of its traits"
		case origin.Result != nil && origin.Trait == "":
			from = "the default of the mapping"
		case origin.Result != nil:
			from += " " + report.InOneLine(origin.Value) + " → " + report.InOneLine(origin.Result)
		}
		all[origin.Field] = append(all[origin.Field], from)
	}
	return all
}

// field is a field of a customer, or a member of one.
type field struct {
	name  string
	value any
}

// fieldsOf returns the fields of a customer's JSON, and the members of its objects
// in their place: source_id first, the others by name.
func fieldsOf(customer *voucherify.Customer) []field {
	data, err := customer.JSON()
	if err != nil {
		return nil
	}
	var object map[string]any
	if strictjson.Unmarshal(data, &object) != nil {
		return nil
	}
	fields := []field{{"source_id", object["source_id"]}}
	delete(object, "source_id")
	for _, key := range slices.Sorted(maps.Keys(object)) {
		members, isObject := object[key].(map[string]any)
		if !isObject {
			fields = append(fields, field{key, object[key]})
			continue
		}
		for _, member := range slices.Sorted(maps.Keys(members)) {
			fields = append(fields, field{key + "." + member, members[member]})
		}
	}
	return fields
}
