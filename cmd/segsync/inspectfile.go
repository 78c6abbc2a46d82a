package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
)

// profileFile is a profile in a file: the answers of Segment's API put together.
type profileFile struct {
	SegmentID   string         `json:"segment_id"`
	Traits      map[string]any `json:"traits"`
	ExternalIDs externalIDs    `json:"external_ids"`
}

// externalIDs are a list, or the API's answer with the list in data.
type externalIDs []segmentprofiles.ExternalID

func (e *externalIDs) UnmarshalJSON(data []byte) error {
	var answer struct {
		Data []segmentprofiles.ExternalID `json:"data"`
	}
	if json.Unmarshal(data, &answer) == nil {
		*e = answer.Data
		return nil
	}
	return json.Unmarshal(data, (*[]segmentprofiles.ExternalID)(e))
}

// inspectFile needs no settings but the identifier and the mapping.
func (o *inspectOptions) inspectFile(cmd *cobra.Command) (*importer.Inspection, error) {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--file: %w", err)}
	}
	var p profileFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&p); err != nil {
		return nil, &exitError{exitUsage, &hinted{fmt.Errorf("--file: %s is not a profile: %w", o.file, jsonMistake(data, err)), "see segsync inspect --help"}}
	}
	if p.Traits == nil && p.ExternalIDs == nil {
		return nil, &exitError{exitUsage, &hinted{fmt.Errorf("--file: %s has neither traits nor external_ids", o.file), "see segsync inspect --help"}}
	}
	fromFile, err := readEnvFile(o.settings.envFile, cmd.Flags().Changed("env-file"))
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	set, err := loadOfflineSettings(lookupIn(fromFile))
	if err == nil {
		err = set.readMapping(o.settings.mapping)
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	set.printWarnings(cmd.ErrOrStderr())
	profile := mapping.Profile{SegmentID: cmp.Or(p.SegmentID, o.file), Traits: p.Traits}
	inspector := &importer.Inspector{Identifiers: set.identifiers, Mapping: set.mapping}
	return inspector.Inspect(profile, p.ExternalIDs), nil
}

// jsonMistake says what is wrong with JSON, and where.
func jsonMistake(data []byte, err error) error {
	lineAt := func(offset int64) int { return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n")) }
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("line %d: %s must not be of type %s", lineAt(kind.Offset), kind.Field, kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("line %d: an object is expected, not something of type %s", lineAt(kind.Offset), kind.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: this is not JSON", lineAt(syntax.Offset))
	}
	return err
}
