package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/importer/mapping"
	"segsync/internal/safetext"
	"segsync/segmentprofiles"
)

// inspectOptions are the flags of segsync inspect.
type inspectOptions struct {
	settings settingsFlags
	file     string
	json     bool
}

func newInspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect PROFILE",
		Short: "Show one profile and the customer that it becomes",
		Long: `Inspect shows the external IDs and the traits of a profile, and the customer that the
import makes of it: where each field comes from, and what was left out and why, beside
what Voucherify has now. PROFILE is a segment id or type:value. Nothing is changed.

With --from the profile is looked for in a warehouse or a file of profiles, as an import
would read it; credentials for Segment are not needed. With --file it is read from a JSON
file with the members traits and external_ids, as Segment's API answers them; nothing is
sent at all then.`,
		Example: `  segsync inspect user_id:42
  segsync inspect user_id:42 --offline
  segsync inspect user_id:42 --from people.ndjson
  segsync inspect use_1zbUiWwtDGiBTOEbVFbjwZVTlEt --json
  segsync inspect --file profile.json`,
		Args: mostArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := o.inspect(cmd, args)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), in)
			}
			printInspection(newPage(cmd.OutOrStdout()), in)
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.file, "file", "", "read the profile from this JSON `file`")
	f.BoolVar(&o.json, "json", false, "print the profile and the customer as JSON")
	f.BoolVar(&o.settings.offline, "offline", false, "do not ask Voucherify what it has of the customer")
	o.settings.addEnvFile(f)
	o.settings.addMapping(f)
	o.settings.addFrom(f)
	f.BoolVar(&o.settings.sandbox, "sandbox", false, "inspect a profile of the embedded sandbox")
	return cmd
}

func (o *inspectOptions) inspect(cmd *cobra.Command, args []string) (*importer.Inspection, error) {
	usage := func(err error) error {
		return &exitError{exitUsage, &hinted{err, "see segsync inspect --help"}}
	}
	switch {
	case o.file != "" && len(args) > 0:
		return nil, usage(errors.New("name a profile or a --file, not both"))
	case o.file != "" && !o.settings.fromAPI():
		return nil, usage(errors.New("--file has one profile in it, and --from many: name one of both"))
	case o.file != "":
		return o.inspectFile(cmd)
	case len(args) == 0 || args[0] == "":
		return nil, usage(errors.New("which profile? name a segment id, type:value, or a --file"))
	}
	if _, ok := parseIdentifier(args[0]); !ok && o.settings.fromAPI() {
		return nil, usage(fmt.Errorf("%q is neither a segment id nor type:value, such as user_id:42", args[0]))
	}
	c, err := o.settings.connect(cmd.Flags(), bounds{attempts: 3, maxWait: 10 * time.Second, retryFor: -1}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.settings.printWarnings(cmd.ErrOrStderr())
	warn := func(text string, cause error) {
		newPage(cmd.ErrOrStderr()).linef("segsync: warning: %s: %s", text, safetext.Text(cause.Error()))
	}
	inspector := o.inspector(cmd.Context(), c, warn)
	var in *importer.Inspection
	if o.settings.fromAPI() {
		in, err = o.inspectAPI(cmd.Context(), c, inspector, args[0])
	} else {
		in, err = o.inspectFrom(cmd, c.settings, inspector, args[0])
	}
	if err != nil || o.settings.offline {
		return in, err
	}
	if err := in.CompareWith(cmd.Context(), c.voucherify); err != nil {
		warn("what Voucherify has is not shown", err)
	}
	return in, nil
}

// inspector returns what inspects as an import would: with the project's metadata schema,
// unless Voucherify is not asked.
func (o *inspectOptions) inspector(ctx context.Context, c *connection, warn func(string, error)) *importer.Inspector {
	inspector := &importer.Inspector{Identifiers: c.settings.identifiers, Mapping: c.settings.mapping}
	if o.settings.offline {
		return inspector
	}
	schema, strict, err := c.metadataSchema(ctx, warn)
	if err != nil {
		warn("metadata is shown without the project's schema", err)
	}
	if schema != nil {
		inspector.Mapping.Metadata.Objects = schema.Objects()
	}
	if strict {
		inspector.Schema = schema
	}
	return inspector
}

func (o *inspectOptions) inspectAPI(ctx context.Context, c *connection, inspector *importer.Inspector, profile string) (*importer.Inspection, error) {
	id, _ := parseIdentifier(profile)
	ids, traits, err := importer.ReadWhole(ctx, c.segment, id, c.settings.traitsLimit)
	var answer *segmentprofiles.Error
	if errors.As(err, &answer) && answer.NotFound() {
		err = &hinted{err, "external IDs are looked up in lower case, segment ids as they are; the type comes first, as in user_id:42"}
	}
	if err != nil {
		return nil, &exitError{exitCodeOf(err), err}
	}
	return inspector.Inspect(mapping.Profile{SegmentID: profile, Traits: traits}, ids), nil
}

// inspectFrom reads the profile from a warehouse or a file: all of its traits, and its
// external IDs of all types.
func (o *inspectOptions) inspectFrom(cmd *cobra.Command, set *settings, inspector *importer.Inspector, profile string) (*importer.Inspection, error) {
	query := importer.QueryFor(set.identifiers, set.mapping)
	query.IdentifierTypes, query.AllTraits, query.Only = nil, true, profile
	found, texts, err := o.settings.profiles(cmd, set, query)
	if err != nil {
		return nil, err
	}
	in, err := inspector.InspectFound(found, texts)
	if err == nil && in == nil {
		err = &hinted{fmt.Errorf("there is no profile %s in %s", safetext.Line(profile), o.settings.source()),
			"ids are looked up as they are written there; the type of an external ID comes first, as in user_id:42"}
	}
	if err != nil {
		return nil, &exitError{exitCodeOf(err), err}
	}
	return in, nil
}

// fieldIndent is the column at which the value of a field begins.
const fieldIndent = 23

// printField writes a field of a profile or of a customer.
func printField(to *page, name, value string) {
	to.line(fieldIndent, fmt.Sprintf("  %-20s %s", safetext.Text(name), value))
}

func printInspection(to *page, in *importer.Inspection) {
	to.linef("Profile %s\n\nExternal IDs", safetext.Text(in.Profile))
	for _, id := range in.ExternalIDs {
		since := ""
		if !id.CreatedAt.IsZero() {
			since = fmt.Sprintf("  (since %s)", id.CreatedAt.Format(time.RFC3339))
		}
		printField(to, id.Type, safetext.Text(id.ID)+since)
	}
	fmt.Fprintf(to, "\nTraits\n")
	for _, key := range slices.Sorted(maps.Keys(in.Traits)) {
		printField(to, key, inOneLine(in.Traits[key]))
	}
	fmt.Fprintf(to, "\nCustomer\n")
	if in.Customer == nil {
		to.linef("  none: the profile has no identifier of the types that are set")
		return
	}
	printCustomer(to, in)
	for _, condition := range in.Filtered {
		to.linef("\nfiltered: it is not imported, for it does not meet %s", safetext.Text(condition))
	}
}

// printJSON prints JSON for programs that also people may look at: what could change a
// terminal is escaped.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return &exitError{exitFailed, err}
	}
	if _, err := w.Write(safetext.JSON(b.Bytes())); err != nil {
		return &exitError{exitFailed, err}
	}
	return nil
}

// printCustomer prints each field of the customer beside the traits that it came from.
func printCustomer(to *page, in *importer.Inspection) {
	from := map[string][]string{"source_id": {in.Identifier}}
	for _, origin := range in.Origins {
		name := cmp.Or(origin.Trait, "a constant of the mapping")
		if origin.Cleared {
			name = "cleared: none of its traits is there"
		}
		from[origin.Field] = append(from[origin.Field], name)
	}
	for _, f := range customerFields(in.Customer) {
		origin := ""
		if traits := from[f.name]; len(traits) > 0 {
			origin = "  ← " + safetext.Text(strings.Join(traits, ", "))
		}
		now := ""
		if value, there := in.Existing[f.name]; there {
			now = "  (now " + inOneLine(value) + ")"
		}
		printField(to, f.name, inOneLine(f.value)+origin+now)
	}
	switch in.Effect {
	case "":
	case importer.Create:
		to.linef("\nIn Voucherify: no such customer yet")
	default:
		to.linef("\nIn Voucherify: an import would do this: %s", in.Effect)
	}
	if len(in.Warnings) > 0 {
		fmt.Fprintf(to, "\nWarnings\n")
	}
	for _, warning := range in.Warnings {
		to.line(4, "  "+safetext.Text(warning))
	}
}

// field is a field of a customer, or a member of one.
type field struct {
	name  string
	value any
}

// customerFields returns the fields of a customer's JSON, and the members of its objects
// in their place, in the order of their names but for source_id, which is the first.
func customerFields(c any) []field {
	data, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
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

// inOneLine returns the JSON of a value, without what could change a terminal, cut to
// what fits a line or two.
func inOneLine(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	text := []rune(safetext.Text(string(data)))
	if len(text) > 120 {
		return string(text[:120]) + "…"
	}
	return string(text)
}
