package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// schema is the part of a metadata schema that is enforced. A nil schema
// allows everything.
type schema struct {
	Properties       map[string]property `json:"properties"`
	AllowDefinedOnly bool                `json:"allow_defined_only"` // null is false
}

// property is the definition of one metadata key.
type property struct {
	Type     string `json:"type"`
	Array    bool   `json:"array"`
	Optional *bool  `json:"optional"` // absent is true
	Deleted  bool   `json:"deleted"`
	Eq       []any  `json:"eq"`
}

// parseSchema returns the schema, nil when raw is empty. A schema that is not
// JSON is a mistake in the test that gave it.
func parseSchema(raw json.RawMessage) *schema {
	if len(raw) == 0 {
		return nil
	}
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		panic("sandbox: Options.Schema: " + err.Error())
	}
	maps.DeleteFunc(s.Properties, func(_ string, p property) bool { return p.Deleted })
	return &s
}

// check returns what is wrong with metadata, "" when nothing is.
func (s *schema) check(metadata json.RawMessage) string {
	if s == nil {
		return ""
	}
	var values map[string]any
	if len(metadata) > 0 {
		if err := json.Unmarshal(metadata, &values); err != nil {
			return err.Error()
		}
	}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		if text := s.Properties[key].check(values[key]); text != "" {
			wrong = append(wrong, key+": "+text)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, ok := s.Properties[key]; !ok && s.AllowDefinedOnly {
			wrong = append(wrong, key+": is not defined")
		}
	}
	return strings.Join(wrong, "; ")
}

// check returns what is wrong with value; nil stands for an absent one too.
func (p property) check(value any) string {
	if value == nil {
		if p.Optional != nil && !*p.Optional {
			return "property is required"
		}
		return ""
	}
	elements, isArray := value.([]any)
	if p.Array != isArray {
		if p.Array {
			return fmt.Sprintf("must be an array (actual value is '%v')", value)
		}
		return p.mustBe(value)
	}
	if !isArray {
		elements = []any{value}
	}
	for _, e := range elements {
		equal := func(allowed any) bool { return allowed == e }
		if !p.hasType(e) || len(p.Eq) > 0 && !slices.ContainsFunc(p.Eq, equal) {
			return p.mustBe(e)
		}
	}
	return ""
}

func (p property) hasType(v any) bool {
	text, isText := v.(string)
	switch p.Type {
	case "number":
		_, ok := v.(float64)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "date":
		_, err := time.Parse(time.DateOnly, text)
		return err == nil
	case "datetime":
		_, err := time.Parse(time.RFC3339, text)
		return err == nil
	default:
		return isText
	}
}

// mustBe says what v should have been, in Voucherify's words.
func (p property) mustBe(v any) string {
	text := "must be a " + p.Type
	if len(p.Eq) > 0 {
		allowed := make([]string, len(p.Eq))
		for i, e := range p.Eq {
			allowed[i] = fmt.Sprint(e)
		}
		text += ", must be equal to one of " + strings.Join(allowed, ",")
	}
	return fmt.Sprintf("%s (actual value is '%v')", text, v)
}
