package profilessync

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

// readProfiles reads the profiles of parts that have one in a line or a record.
func (r *reader) readProfiles(take func(*Profile) error) error {
	for {
		line, err := r.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		profile, err := r.parseProfile(line, r.place())
		if err != nil {
			return r.lineError(line, err)
		}
		r.lines.take()
		if profile == nil {
			continue // it is none of those that are wanted
		}
		profile.Position, profile.Bytes = r.position(profile.SegmentID), len(line)
		if err := take(profile); err != nil {
			return err
		}
	}
}

// profileLine is a line of a file of profiles.
type profileLine struct {
	SegmentID   string `json:"segment_id"`
	ExternalIDs []struct {
		Type      string `json:"type"`
		ID        string `json:"id"`
		CreatedAt string `json:"created_at"`
	} `json:"external_ids"`
	Traits strictjson.Traits `json:"traits"`
}

// parseProfile returns nil for a profile that is none of those that the selection is limited
// to.
func parseProfile(line []byte, selected *selection) (*Profile, error) {
	var in profileLine
	if !selected.all {
		in.Traits.Wants = func(name []byte) bool { return selected.traits[string(name)] }
	}
	err := strictjson.Unmarshal(line, &in, "traits")
	switch {
	case isDamage(err):
		return unreadableProfile(line, err, selected)
	case err != nil:
		return nil, jsonError(line, err, "a profile")
	case in.SegmentID == "":
		return nil, errors.New("the profile has no segment_id")
	}
	profile := &Profile{SegmentID: in.SegmentID, Traits: in.Traits.Values, Damaged: in.Traits.Damaged}
	if profile.Traits == nil {
		profile.Traits = map[string]any{}
	}
	for key, value := range profile.Traits {
		if value == nil {
			profile.Removed = append(profile.Removed, nameOf(key))
		}
	}
	slices.Sort(profile.Removed)
	wanted := selected.only == "" || selected.only == profile.SegmentID
	for _, id := range in.ExternalIDs {
		wanted = wanted || selected.isOnly(id.Type, id.ID)
		if selected.identifierRole(id.Type) == 0 {
			continue
		}
		external := ExternalID{Type: id.Type, ID: id.ID}
		if id.CreatedAt != "" {
			if external.CreatedAt, err = time.Parse(time.RFC3339, id.CreatedAt); err != nil {
				return nil, &placedError{bytes.Index(line, []byte(`"`+id.CreatedAt+`"`)), "created_at is not a timestamp such as 2026-05-01T10:00:00Z"}
			}
		}
		profile.ExternalIDs = append(profile.ExternalIDs, external)
	}
	if !wanted {
		return nil, nil
	}
	return profile, nil
}

// unreadableProfile returns the profile of a line that is damaged beside the traits.
func unreadableProfile(line []byte, damage error, selected *selection) (*Profile, error) {
	var in struct {
		SegmentID jsontext.Value `json:"segment_id"`
	}
	if err := json.Unmarshal(line, &in, strictjson.Lenient); err != nil {
		return nil, jsonError(line, err, "a profile")
	}
	var id string
	if err := strictjson.Unmarshal(in.SegmentID, &id); err != nil || id == "" {
		return nil, errors.New("the segment_id is not valid Unicode text")
	}
	if selected.only != "" && selected.only != id {
		return nil, nil
	}
	return &Profile{SegmentID: id, Traits: map[string]any{}, Unreadable: damage.Error()}, nil
}

// placedError is an error at a place in a line.
type placedError struct {
	at   int // byte of the line
	text string
}

func (e *placedError) Error() string { return e.text }

// jsonError returns what is wrong with a line of JSON, and where. whole is what the line
// should be.
func jsonError(line []byte, err error, whole string) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &placedError{int(syntax.ByteOffset), "this line is not JSON: " + syntax.Err.Error()}
	}
	shape, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case errors.Is(err, strictjson.ErrNameTwice):
		return strictjson.ErrNameTwice
	case !ok:
		return err
	}
	at := int(shape.ByteOffset)
	at += len(line[at:]) - len(bytes.TrimLeft(line[at:], " \t\r\n"))
	name := shape.JSONPointer.LastToken()
	switch parent := shape.JSONPointer.Parent(); {
	case name == "":
		name = whole
	case parent == "/external_ids":
		name = "an external ID"
	}
	return &placedError{at, name + " must not be of type " + kindName(jsontext.Value(line[at:]).Kind())}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	}
	return kind.String()
}
