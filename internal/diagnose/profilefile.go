package diagnose

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/importer/mapping"
	"segsync/importer/mapping/cases"
	"segsync/internal/app"
	"segsync/internal/settings"
	"segsync/internal/strictjson"
	"segsync/internal/term"
	"segsync/segmentprofiles"
)

// profileFile is a profile in a file: the answers of Segment's API put together.
type profileFile struct {
	SegmentID   string            `json:"segment_id"`
	Traits      strictjson.Traits `json:"traits"`
	ExternalIDs cases.ExternalIDs `json:"external_ids"`
}

// inspectFile needs no settings but the identifier and the mapping.
func inspectFile(out *term.Output, o *InspectOptions) (*Inspection, error) {
	data, err := os.ReadFile(o.File)
	if err != nil {
		return nil, app.Usage(fmt.Errorf("--file: %w", err))
	}
	var p profileFile
	err = strictjson.Unmarshal(data, &p, "traits")
	switch {
	case err != nil:
		err = fmt.Errorf("%s is not a profile: %w", o.File, locate(data, err))
	case p.Traits.Values == nil && p.ExternalIDs == nil:
		err = fmt.Errorf("%s has neither traits nor external_ids", o.File)
	}
	if err != nil {
		return nil, app.Usage(app.WithHint(fmt.Errorf("--file: %w", err), "see segsync inspect --help"))
	}
	set, err := app.LoadSettings(out.Log, o.Settings, settings.LoadMapping)
	if err != nil {
		return nil, err
	}
	inspector := &Inspector{Identifiers: set.Identifiers, Mapping: set.Mapping}
	profile := mapping.Profile{SegmentID: cmp.Or(p.SegmentID, o.File), Traits: p.Traits.Values, Damaged: p.Traits.Damaged}
	return inspector.Inspect(profile, p.ExternalIDs), nil
}

// locate says what is wrong with the JSON of a profile, and where.
func locate(data []byte, err error) error {
	line := func(offset int64) int { return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n")) }
	_, isOfProfile := segmentprofiles.OfProfile(err)
	shape, isShape := errors.AsType[*json.SemanticError](err)
	switch syntax, isSyntax := errors.AsType[*jsontext.SyntacticError](err); {
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	case isSyntax:
		return fmt.Errorf("line %d: this is not JSON", line(syntax.ByteOffset))
	case isOfProfile && isShape:
		return fmt.Errorf("line %d: %w", line(shape.ByteOffset), shape.Err)
	case isShape:
		what := strings.TrimPrefix(string(shape.JSONPointer), "/")
		if what != "" {
			what += ": "
		}
		return fmt.Errorf("line %d: %sexpected %s, found %s", line(shape.ByteOffset), what, expectedOf(what), kindName(shape.JSONKind))
	}
	return err
}

// expectedOf names what a member of a profile is.
func expectedOf(member string) string {
	switch {
	case strings.HasPrefix(member, "segment_id"):
		return "a string"
	case strings.HasPrefix(member, "external_ids"):
		return "a list of objects"
	}
	return "an object"
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return kind.String()
}
