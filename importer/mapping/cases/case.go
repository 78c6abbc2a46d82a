// Package cases runs test cases of a mapping: files with a profile, and the customer that it must
// become.
package cases

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/importer/mapping"
	"segsync/internal/strictjson"
	"segsync/segmentprofiles"
)

// Case is one test case.
type Case struct {
	Profile Profile `json:"profile"`
	// Identifiers are as in IDENTIFIER_SAVED_AS_SOURCE_ID; "" are those of the settings.
	Identifiers string `json:"identifiers,omitempty"`
	Source      string `json:"source,omitempty"` // api or warehouse; "" is api
	// Customer is the customer's JSON; nil: the profile is not imported. Without system_metadata,
	// that is not compared.
	Customer map[string]any `json:"customer"`
	Warnings []string       `json:"warnings,omitempty"` // all of them, in any order
}

// keys are those of the JSON of a Case.
var keys = []string{"profile", "identifiers", "source", "customer", "warnings"}

// Profile is a profile as Segment's API answers it. From a warehouse, a trait that is null was removed.
type Profile struct {
	SegmentID   string            `json:"segment_id,omitempty"`
	SourceID    string            `json:"source_id,omitempty"` // "" is that of the identifiers
	ExternalIDs ExternalIDs       `json:"external_ids,omitempty"`
	Traits      strictjson.Traits `json:"traits"`
}

// UnmarshalJSON leaves out traits that are damaged.
func (p *Profile) UnmarshalJSON(data []byte) error {
	type plain Profile
	return strictjson.Unmarshal(data, (*plain)(p), "traits")
}

// ExternalIDs are a list, or the API's answer with the list in data.
type ExternalIDs []segmentprofiles.ExternalID

// UnmarshalJSON reads both forms.
func (e *ExternalIDs) UnmarshalJSON(data []byte) error {
	if jsontext.Value(data).Kind() != '{' {
		return strictjson.Unmarshal(data, (*[]segmentprofiles.ExternalID)(e))
	}
	var answer struct {
		Data []segmentprofiles.ExternalID `json:"data"`
	}
	err := strictjson.Unmarshal(data, &answer)
	*e = answer.Data
	return err
}

// Parse parses a file with a case, which is JSON or, by its name, YAML.
func Parse(name string, data []byte) (*Case, error) {
	if !strings.HasSuffix(name, ".json") {
		var err error
		if data, err = mapping.YAMLToJSON(name, data); err != nil {
			return nil, err
		}
	}
	err := strictjson.Members(data, func(key, _ jsontext.Value, _ int) error {
		text, _ := jsontext.AppendUnquote(nil, key)
		if !slices.Contains(keys, string(text)) {
			return fmt.Errorf("unknown key %q: expected one of %s", text, strings.Join(keys, ", "))
		}
		return nil
	})
	var c Case
	if err == nil {
		err = strictjson.Unmarshal(data, &c, "profile")
	}
	if err == nil && c.Source != "" && c.Source != "api" && c.Source != "warehouse" {
		err = fmt.Errorf("source: expected api or warehouse, found %q", c.Source)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strictjson.Cause(err))
	}
	return &c, nil
}

// Runner runs cases.
type Runner struct {
	Mapping     mapping.Mapping
	Identifiers []mapping.Identifier // of cases without their own
	Update      bool                 // a case that fails is rewritten to what comes out
}

// Map fills in what comes out: the customer, without system_metadata, and the warnings.
func (r *Runner) Map(c *Case) error {
	identifiers := r.Identifiers
	if c.Identifiers != "" {
		var err error
		if identifiers, err = mapping.ParseIdentifiers(c.Identifiers); err != nil {
			return fmt.Errorf("identifiers: %w", err)
		}
	}
	fromWarehouse := c.Source == "warehouse"
	p := mapping.Profile{
		SegmentID: c.Profile.SegmentID, SourceID: c.Profile.SourceID, Traits: c.Profile.Traits.Values, Damaged: c.Profile.Traits.Damaged,
		Texts: fromWarehouse, Sparse: fromWarehouse,
	}
	if p.SourceID == "" {
		p.SourceID, _ = mapping.SourceID(identifiers, c.Profile.ExternalIDs, p.Traits)
	}
	c.Customer, c.Warnings = nil, nil
	if p.SourceID == "" || !r.Mapping.Matches(p, c.Profile.ExternalIDs) {
		return nil
	}
	customer, warnings := mapping.Map(p, r.Mapping)
	for _, w := range warnings {
		c.Warnings = append(c.Warnings, w.String())
	}
	customer.SystemMetadata = nil
	data, err := customer.JSON()
	if err != nil {
		return err
	}
	return strictjson.Unmarshal(data, &c.Customer)
}

// Result is the result of the case in a file.
type Result struct {
	File        string       `json:"file"`
	Passed      bool         `json:"passed"`
	Updated     bool         `json:"updated,omitempty"`
	Error       string       `json:"error,omitempty"` // the file cannot be used
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is a field, such as metadata.plan, or a warning that is not as expected; what is not there is nil.
type Difference struct {
	Field    string `json:"field"`
	Expected any    `json:"expected,omitempty"`
	Got      any    `json:"got,omitempty"`
}

// Run runs the cases in the files, and in the folders' files of the names *.yaml, *.yml and *.json.
func (r *Runner) Run(paths []string) ([]Result, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no file or folder %s", path)
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		before := len(files)
		for _, pattern := range []string{"*.yaml", "*.yml", "*.json"} {
			found, _ := filepath.Glob(filepath.Join(path, pattern))
			files = append(files, found...)
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s has no files *.yaml or *.json", path)
		}
		slices.Sort(files[before:])
	}
	var results []Result
	for _, file := range files {
		result := Result{File: file}
		if err := r.runFile(&result); err != nil {
			result.Error = err.Error()
		}
		results = append(results, result)
	}
	return results, nil
}

func (r *Runner) runFile(result *Result) error {
	data, err := os.ReadFile(result.File)
	if err != nil {
		return err
	}
	want, err := Parse(result.File, data)
	if err != nil {
		return err
	}
	got := *want
	if err := r.Map(&got); err != nil {
		return fmt.Errorf("%s: %w", result.File, err)
	}
	if s := want.Customer["system_metadata"]; s != nil && got.Customer != nil {
		got.Customer["system_metadata"] = map[string]any{"source": "segmentio"}
	}
	result.Differences = differences(want, &got)
	result.Passed = len(result.Differences) == 0
	if result.Passed || !r.Update {
		return nil
	}
	if data, err = rewrite(result.File, data, &got); err != nil {
		return err
	}
	result.Updated = true
	return os.WriteFile(result.File, data, 0o600)
}

func differences(want, got *Case) []Difference {
	var all []Difference
	if (want.Customer == nil) != (got.Customer == nil) {
		all = append(all, Difference{"customer", valueOf(want.Customer), valueOf(got.Customer)})
	} else {
		expected, found := fieldsOf(want.Customer), fieldsOf(got.Customer)
		names := slices.Collect(func(yield func(string) bool) {
			for name := range expected {
				if !yield(name) {
					return
				}
			}
			for name := range found {
				if _, both := expected[name]; !both && !yield(name) {
					return
				}
			}
		})
		slices.Sort(names)
		for _, name := range names {
			a, isExpected := expected[name]
			b, isFound := found[name]
			if isExpected != isFound || !reflect.DeepEqual(a, b) {
				all = append(all, Difference{name, present(a, isExpected), present(b, isFound)})
			}
		}
	}
	unexpected := slices.Clone(got.Warnings)
	for _, w := range want.Warnings {
		if i := slices.Index(unexpected, w); i >= 0 {
			unexpected = slices.Delete(unexpected, i, i+1)
		} else {
			all = append(all, Difference{"warning", w, nil})
		}
	}
	for _, w := range unexpected {
		all = append(all, Difference{"warning", nil, w})
	}
	return all
}

// present tells a field that is null, as JSON, from one that is not there.
func present(v any, isPresent bool) any {
	if isPresent && v == nil {
		return json.RawMessage("null")
	}
	return v
}

func valueOf(customer map[string]any) any {
	if customer == nil {
		return nil
	}
	return customer
}

// fieldsOf returns the fields of a customer, and the members of its objects in their place.
func fieldsOf(customer map[string]any) map[string]any {
	fields := make(map[string]any)
	for key, v := range customer {
		members, isObject := v.(map[string]any)
		if !isObject {
			fields[key] = v
		}
		for member, v := range members {
			fields[key+"."+member] = v
		}
	}
	return fields
}

// Create writes a new file with the case.
func Create(name string, c *Case) error {
	data, err := rewrite(name, nil, c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
