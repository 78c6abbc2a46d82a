package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"time"

	"segsync/importer/mapping"
	"segsync/importer/metadata"
	"segsync/importer/sink/plan"
	"segsync/importer/source"
	"segsync/importer/source/file"
	"segsync/importer/source/profileapi"
	"segsync/internal/app"
	"segsync/internal/safetext"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/profilessync"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// InspectOptions are those of segsync inspect.
type InspectOptions struct {
	Settings app.SettingsOptions
	Profile  string // a segment id or type:value
	File     string // of the profile, instead
	JSON     bool
	AsTest   string // write a case for segsync test to this file, instead of printing
	Redact   bool   // its values are replaced by examples
	Stdin    io.Reader
}

// Inspect prints a profile and the customer that it becomes.
func Inspect(ctx context.Context, out *term.Output, o *InspectOptions) error {
	in, err := inspect(ctx, out, o)
	if err != nil {
		return &app.Error{Code: app.CodeOf(err), Err: err}
	}
	if o.AsTest != "" {
		err := in.WriteCase(o.AsTest, o.Redact)
		if folder := filepath.Dir(o.AsTest); errors.Is(err, fs.ErrNotExist) {
			return app.Usage(app.WithHint(fmt.Errorf("--as-test: there is no folder %s", folder), "mkdir "+app.ShellQuote(folder)))
		}
		if errors.Is(err, fs.ErrExist) {
			return app.Usage(app.WithHint(fmt.Errorf("--as-test: %s exists already", o.AsTest), "name a new file, or delete that one first"))
		}
		if err != nil {
			return &app.Error{Code: app.ExitFailed, Err: fmt.Errorf("--as-test: %w", err)}
		}
		out.Out.Linef("written: %s; segsync test %s runs it", o.AsTest, app.ShellQuote(o.AsTest))
		return nil
	}
	if !o.JSON {
		in.print(out.Out)
		return nil
	}
	if err := out.Out.JSON(in); err != nil {
		return &app.Error{Code: app.ExitFailed, Err: err}
	}
	return nil
}

func inspect(ctx context.Context, out *term.Output, o *InspectOptions) (*Inspection, error) {
	isAPI := o.Settings.From.Kind == settings.FromAPI
	id, isID := app.ParseIdentifier(o.Profile)
	wrong := ""
	switch {
	case o.Redact && o.AsTest == "":
		wrong = "--redact goes with --as-test"
	case o.File != "" && o.Profile != "":
		wrong = "name a profile or a --file, not both"
	case o.File != "" && !isAPI:
		wrong = "--file has one profile in it, and --from many: name one of both"
	case o.File != "":
		return inspectFile(out, o)
	case o.Profile == "":
		wrong = "which profile? name a segment id, type:value, or a --file"
	case isAPI && !isID:
		wrong = fmt.Sprintf("%q is neither a segment id nor type:value, such as user_id:42", o.Profile)
	}
	if wrong != "" {
		return nil, app.Usage(app.WithHint(errors.New(wrong), "see segsync inspect --help"))
	}
	apis, err := app.Connect(out, o.Settings, app.WaitOptions{Attempts: 3, MaxWait: 10 * time.Second, RetryFor: -1})
	if err != nil {
		return nil, err
	}
	defer apis.Close()
	inspector := newInspector(ctx, out, apis, o.Settings.Offline)
	var in *Inspection
	if isAPI {
		in, err = inspectAPI(ctx, apis, inspector, o.Profile, id)
	} else {
		in, err = inspectFrom(ctx, apis, inspector, o)
	}
	if err != nil || o.Settings.Offline {
		return in, err
	}
	if err := in.CompareWith(ctx, apis.Voucherify); err != nil {
		out.Log.Warn("what Voucherify has is not shown", "cause", err)
	}
	return in, nil
}

// newInspector returns what inspects as an import would: with the project's metadata schema,
// unless Voucherify is not asked.
func newInspector(ctx context.Context, out *term.Output, a *app.APIs, isOffline bool) *Inspector {
	inspector := &Inspector{Identifiers: a.Settings.Identifiers, Mapping: a.Settings.Mapping}
	if isOffline {
		return inspector
	}
	found, err := a.ReadSchema(ctx, out.Log, false)
	if err != nil {
		out.Log.Warn("metadata is shown without the project's schema", "cause", err)
	}
	if schema := a.SchemaToFit(found); schema != nil {
		inspector.Schema, inspector.Mapping.Metadata.Objects = schema, schema.Objects()
	}
	return inspector
}

func inspectAPI(ctx context.Context, a *app.APIs, inspector *Inspector, profile string, id segmentprofiles.Identifier) (*Inspection, error) {
	ids, traits, damaged, err := ReadWhole(ctx, a.Segment, id, a.Settings.Segment.TraitsLimit)
	if answer, ok := errors.AsType[*segmentprofiles.Error](err); ok && answer.NotFound() {
		err = app.WithHint(err, "external IDs are looked up in lower case, segment ids as they are; the type comes first, as in user_id:42")
	}
	if err != nil {
		return nil, err
	}
	if canonical, err := a.Segment.CanonicalID(ctx, id); err == nil && canonical != "" { // it is shown, and no more
		profile = canonical
	}
	return inspector.Inspect(mapping.Profile{SegmentID: profile, Traits: traits, Damaged: damaged}, ids), nil
}

// inspectFrom reads the profile from a warehouse or a file: all of its traits, and its
// external IDs of all types.
func inspectFrom(ctx context.Context, a *app.APIs, inspector *Inspector, o *InspectOptions) (*Inspection, error) {
	set, from := a.Settings, o.Settings.From
	query := source.QueryFor(set.Identifiers, set.Mapping)
	query.IdentifierTypes, query.AllTraits, query.Only = nil, true, o.Profile
	input, err := app.OpenInput(ctx, set, from, "", o.Stdin, app.WaitOptions{}, nil)
	if err != nil {
		return nil, err
	}
	var in *Inspection
	if input.Warehouse != nil {
		in, err = inspector.InspectFound(input.Warehouse.Profiles(ctx, query), true)
	} else {
		in, err = inspector.InspectFound(input.File.Profiles(ctx, query, profilessync.Position{}), input.File.Texts())
	}
	if err == nil && in == nil {
		err = app.WithHint(fmt.Errorf("there is no profile %s in %s", safetext.Line(o.Profile), from.Name()),
			"ids are looked up as they are written there; the type of an external ID comes first, as in user_id:42")
	}
	return in, err
}

// Inspection is one profile, and the customer that it becomes.
type Inspection struct {
	Profile     string                       `json:"profile"`
	ExternalIDs []segmentprofiles.ExternalID `json:"external_ids"`
	Traits      map[string]any               `json:"traits"`
	// Customer is nil for a profile without an identifier.
	Customer   *voucherify.Customer  `json:"customer"`
	Identifier string                `json:"identifier,omitempty"` // what source_id was taken from
	Origins    []mapping.FieldSource `json:"origins"`
	Warnings   []string              `json:"warnings"`
	// Filtered are the conditions of the mapping that the profile does not meet: its customer
	// is not sent.
	Filtered []string `json:"filtered,omitempty"`
	// Existing is what Voucherify has of the customer by field, such as address.city; nil
	// where it was not asked, or has no such customer.
	Existing map[string]any `json:"existing,omitempty"`
	// Effect is that of an import now; "" for a profile that is filtered, or where Voucherify
	// was not asked.
	Effect plan.Kind `json:"effect,omitempty"`

	inspector *Inspector
	profile   mapping.Profile
}

// CompareWith asks Voucherify for the customer, if there is one to send.
func (in *Inspection) CompareWith(ctx context.Context, vch *voucherify.Client) error {
	if in.Customer == nil {
		return nil
	}
	customer, err := in.Customer.JSON()
	if err != nil {
		return err
	}
	d, stored, err := plan.CompareWith(ctx, vch, in.Customer.SourceID, customer)
	if err != nil {
		return err
	}
	in.Existing = stored
	if len(in.Filtered) == 0 {
		in.Effect = d.Kind
	}
	return nil
}

// Inspector makes Inspections.
type Inspector struct {
	Identifiers []mapping.Identifier
	Mapping     mapping.Mapping
	Schema      *metadata.Schema // what metadata is made to fit; nil: it is sent as it is
}

// Inspect says what customer a profile becomes, and why. The SourceID of profile is not used.
func (o *Inspector) Inspect(profile mapping.Profile, ids []segmentprofiles.ExternalID) *Inspection {
	in := &Inspection{Profile: profile.SegmentID, ExternalIDs: ids, Traits: profile.Traits, Origins: []mapping.FieldSource{}, Warnings: []string{}, inspector: o, profile: profile}
	if in.ExternalIDs == nil {
		in.ExternalIDs = []segmentprofiles.ExternalID{}
	}
	var from mapping.Identifier
	if profile.SourceID, from = mapping.SourceID(o.Identifiers, ids, profile.Traits); profile.SourceID == "" {
		return in
	}
	customer, warnings := mapping.Map(profile, o.Mapping)
	in.Customer, in.Identifier = &customer, from.String()
	in.Origins = append(in.Origins, mapping.Explain(profile, o.Mapping)...)
	for _, w := range warnings {
		in.Warnings = append(in.Warnings, w.String())
	}
	if o.Schema != nil {
		for _, l := range o.Schema.FitCustomer(&customer) {
			in.Warnings = append(in.Warnings, fmt.Sprintf("metadata.%s is left out: %s", l.Key, l.Reason))
		}
	}
	for _, condition := range o.Mapping.Where {
		if !(mapping.Mapping{Where: []mapping.Condition{condition}}).Matches(profile, ids) {
			in.Filtered = append(in.Filtered, condition.String())
		}
	}
	return in
}

// InspectFound inspects the first of the profiles, which come from a warehouse or a file;
// texts says that their traits are texts. It returns nil if there is none.
func (o *Inspector) InspectFound(found iter.Seq2[*profilessync.Profile, error], texts bool) (*Inspection, error) {
	for p, err := range found {
		if err != nil {
			return nil, err
		}
		if p.Unreadable != "" {
			return nil, fmt.Errorf("the profile %s cannot be read: %s", p.SegmentID, p.Unreadable)
		}
		profile := file.ProfileOf(p, texts)
		in := o.Inspect(profile.Mapped(""), profile.ExternalIDs)
		if in.Customer != nil {
			for _, w := range profile.Warnings() {
				in.Warnings = append(in.Warnings, w.String())
			}
		}
		return in, nil
	}
	return nil, nil
}

// ReadWhole reads all external IDs and traits of a profile. damaged are the traits that were left out.
func ReadWhole(ctx context.Context, segment *segmentprofiles.Client, id segmentprofiles.Identifier, traitsLimit int) (ids []segmentprofiles.ExternalID, traits map[string]any, damaged []string, err error) {
	if ids, err = segment.ExternalIDs(ctx, id, nil); err != nil {
		return nil, nil, nil, fmt.Errorf("reading the external IDs of %s: %w", profileapi.IDOf(id), err)
	}
	if traits, damaged, err = segment.Traits(ctx, id, traitsLimit, nil); err != nil {
		return nil, nil, nil, fmt.Errorf("reading the traits of %s: %w", profileapi.IDOf(id), err)
	}
	return ids, traits, damaged, nil
}
