package cases

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
	"segsync/segmentprofiles"
)

// rewrite returns the text of a file with the case. Of old, the text of the file before, it keeps
// all but the customer and the warnings; old is nil for a new file.
func rewrite(name string, old []byte, c *Case) ([]byte, error) {
	profile, err := encode(struct {
		SegmentID   string                       `json:"segment_id,omitempty"`
		SourceID    string                       `json:"source_id,omitempty"`
		ExternalIDs []segmentprofiles.ExternalID `json:"external_ids,omitempty"`
		Traits      map[string]any               `json:"traits"`
	}{c.Profile.SegmentID, c.Profile.SourceID, c.Profile.ExternalIDs, c.Profile.Traits.Values})
	if err != nil {
		return nil, err
	}
	isJSON := strings.HasSuffix(name, ".json")
	if isJSON && old != nil {
		err := strictjson.Members(old, func(key, value jsontext.Value, _ int) error {
			if string(key) == `"profile"` {
				profile = bytes.Clone(value)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	data, err := encode(struct {
		Profile     json.RawMessage `json:"profile"`
		Identifiers string          `json:"identifiers,omitempty"`
		Source      string          `json:"source,omitempty"`
		Customer    map[string]any  `json:"customer"`
		Warnings    []string        `json:"warnings,omitempty"`
	}{profile, c.Identifiers, c.Source, c.Customer, c.Warnings})
	if isJSON || err != nil {
		return data, err
	}
	var members map[string]any
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	text := string(old)
	for _, key := range keys {
		v, isPresent := members[key]
		section := ""
		if isPresent {
			section = key + ":" + yamlValue(v, "  ")
		}
		if old == nil || key == "customer" || key == "warnings" {
			text = replaceSection(text, key, section)
		}
	}
	return []byte(text), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// replaceSection replaces what a YAML file has of a key in its first column, or appends it.
func replaceSection(text, key, section string) string {
	var b strings.Builder
	inSection, replaced := false, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, key+":") {
			inSection, replaced = true, true
			b.WriteString(section)
			continue
		}
		if inSection = inSection && strings.ContainsAny(line[:1], " \t-\n\r"); !inSection {
			b.WriteString(line)
		}
	}
	if !replaced {
		if text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(section)
	}
	return b.String()
}

var (
	plainKey     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reservedKeys = regexp.MustCompile(`(?i)^(?:y|n|yes|no|on|off|true|false|null)$`)
)

// yamlValue returns what follows the colon of a key. Objects become blocks, as do lists, of values
// in JSON, which is YAML.
func yamlValue(v any, indent string) string {
	var b strings.Builder
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return " {}\n"
		}
		b.WriteByte('\n')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name := key
			if !plainKey.MatchString(key) || reservedKeys.MatchString(key) {
				name = inJSON(key)
			}
			b.WriteString(indent + name + ":" + yamlValue(v[key], indent+"  "))
		}
		return b.String()
	case []any:
		if len(v) == 0 {
			return " []\n"
		}
		b.WriteByte('\n')
		for _, element := range v {
			b.WriteString(indent + "- " + inJSON(element) + "\n")
		}
		return b.String()
	}
	return " " + inJSON(v) + "\n"
}

// inJSON returns the value on one line.
func inJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v) // of values that were decoded from JSON
	return strings.TrimSuffix(b.String(), "\n")
}
