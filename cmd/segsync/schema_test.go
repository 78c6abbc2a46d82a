package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"segsync/importer/journal"
	"segsync/internal/report"
	"segsync/internal/sandbox"
)

const schemaFile = "../../docs/summary.schema.json"

// summaryValid checks a JSON summary against docs/summary.schema.json.
func summaryValid(data []byte) error {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// writtenSummary is a summary as it is in its file.
type writtenSummary struct {
	report.Summary
	Counts countsRead `json:"counts"`
}

type countsRead struct {
	Read, Sent, Outstanding int
	Confirmed, Rejected     int
	Unreadable, Unconfirmed int
	WithoutIdentifier       int `json:"without_identifier"`
	Vanished, Merged        int
	Filtered, Unchanged     int
	WouldSend               int `json:"would_send"`
	InvalidBirthdates       int `json:"invalid_birthdates"`
	FoundLate               int `json:"found_late"`
	CreatedAgain            int `json:"created_again"`
	Identifiers             map[string]int
	LeftOut                 map[string]int `json:"metadata_left_out"`
	Warnings                map[string]int
}

func readSummary(t *testing.T, path string) writtenSummary {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check(t, summaryValid(data))
	wantNoSecrets(t, path, string(data))
	var sum writtenSummary
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// A summary has all that the schema describes, and the schema describes all of it.
func TestSummarySchemaNamesEveryField(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Description          string                     `json:"description"`
		Type                 any                        `json:"type"`
		Properties           map[string]json.RawMessage `json:"properties"`
		AdditionalProperties any                        `json:"additionalProperties"`
	}
	var walk func(name string, raw json.RawMessage, value any)
	walk = func(name string, raw json.RawMessage, value any) {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if o.Description == "" {
			t.Errorf("%s has no description", name)
		}
		inner, ok := value.(map[string]any)
		if !ok || o.Properties == nil {
			return
		}
		if o.AdditionalProperties != false {
			t.Errorf("%s lets in fields that are not described", name)
		}
		for _, key := range slices.Sorted(maps.Keys(o.Properties)) {
			field, there := inner[key]
			if !there {
				t.Errorf("%s.%s is described, but not written", name, key)
			}
			walk(name+"."+key, o.Properties[key], field)
		}
		for key := range inner {
			if o.Properties[key] == nil {
				t.Errorf("%s.%s is written, but not described", name, key)
			}
		}
	}
	full := report.Summary{
		Error: "e", Hints: []string{"h"}, Continue: "c",
		Counts: report.Counts{State: &journal.State{Import: journal.Import{Identity: journal.Identity{Source: "s"}}}},
	}
	full.Costs = &report.Costs{All: new(report.Cost)}
	full.Settings.Input, full.Settings.Source = "i", "s"
	written, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(written, &value); err != nil {
		t.Fatal(err)
	}
	walk("summary", data, value)
}

func TestSummaryOfAnInterruptedImport(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500, AccessToken: canaryToken, AppID: canaryAppID, SecretKey: canarySecret})
	reached := w.hold(`@250/traits`, 1)
	w.hold(`next=400$`, 1)
	p := w.start(t, "import", "--summary", "sum.json", "--dir", "out")
	await(t, "the request", reached)
	p.signal(t, os.Interrupt)
	p.stderr.await(t, "interrupted: finishing", 1)
	w.mend()
	p.wantExit(t, 130)
	sum := readSummary(t, filepath.Join(w.dir, "sum.json"))
	command, offset, err := printedCommand(p.stderr.String())
	check(t, err)
	if sum.ExitCode != 130 || sum.Finished || sum.Offset != offset || sum.Continue != command || !sum.AddsUp || sum.Error != "" && sum.Error != "stopped" {
		t.Errorf("summary: %+v", sum)
	}

	w.resume(t, p, 0) // with --summary, too
	sum = readSummary(t, filepath.Join(w.dir, "sum.json"))
	if sum.ExitCode != 0 || !sum.Finished || sum.Continue != "" || sum.Counts.Read != 500 || sum.Counts.Confirmed != 400 {
		t.Errorf("summary: %+v", sum)
	}
	if !sum.Started.Before(sum.Began) || sum.Ended.Before(sum.Began) {
		t.Errorf("started %s, began %s, ended %s", sum.Started, sum.Began, sum.Ended)
	}
}
