package voucherify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"segsync/internal/strictjson"
)

// MetadataSchema says what the metadata of one kind of resource may hold.
//
// https://docs.voucherify.io/api-reference/metadata-schemas/get-metadata-schema
type MetadataSchema struct {
	RelatedObject string `json:"related_object"` // such as customer
	// AllowDefinedOnly says that a record with a key that is not defined is rejected.
	// Without it such a key is stored as text.
	AllowDefinedOnly bool                `json:"allow_defined_only"`
	Properties       map[string]Property `json:"properties"` // by metadata key
}

// Property is the definition of a metadata key. It holds for records of a schema without
// AllowDefinedOnly, too.
type Property struct {
	Type       string // string, number, boolean, date, datetime, geopoint, image_url or object
	Array      bool   // the value is an array of the type
	Optional   bool   // a record may be without it; true if the answer does not say
	Deleted    bool   // as if it were not defined
	ObjectType string // name of the nested schema of an object
	// Eq are the values that are allowed, all if there are none; Ne those that are not.
	// They are strings, booleans and json.Numbers.
	Eq, Ne []any
	// Lt, Lte, Gt and Gte are bounds: a json.Number, a string, or nil for none.
	Lt, Lte, Gt, Gte any
	// MinLength, MaxLength and ExactLength are of text, in characters; nil for none.
	MinLength, MaxLength, ExactLength *int
}

// UnmarshalJSON takes what is of another kind than documented, or null, for absent: the
// documents call everything nullable.
func (p *Property) UnmarshalJSON(data []byte) error {
	var m map[string]any
	if err := strictjson.Unmarshal(data, &m); err != nil {
		return err
	}
	*p = Property{
		Eq: values(m["eq"]), Ne: values(m["ne"]),
		Lt: bound(m["lt"]), Lte: bound(m["lte"]), Gt: bound(m["gt"]), Gte: bound(m["gte"]),
		MinLength: length(m["minLength"]), MaxLength: length(m["maxLength"]), ExactLength: length(m["exactLength"]),
	}
	p.Type, _ = m["type"].(string)
	p.ObjectType, _ = m["objectType"].(string)
	p.Array, _ = m["array"].(bool)
	p.Deleted, _ = m["deleted"].(bool)
	optional, known := m["optional"].(bool)
	p.Optional = optional || !known
	return nil
}

func values(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func bound(v any) any {
	switch v.(type) {
	case json.Number, string:
		return v
	}
	return nil
}

func length(v any) *int {
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil || n < 0 {
		return nil
	}
	i := int(n)
	return &i
}

// MetadataSchema returns the metadata schema of the project for a resource, such as
// customer, or nil if the project has none: then anything goes. Any answer of 404 says so,
// for the key not_found is not guaranteed.
func (c *Client) MetadataSchema(ctx context.Context, resource string) (*MetadataSchema, error) {
	schema := new(MetadataSchema)
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/metadata-schemas/" + url.PathEscape(resource)}, schema)
	var answer *Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case schema.RelatedObject == "" && schema.Properties == nil:
		return nil, &ForeignAnswerError{"is not a metadata schema"}
	}
	return schema, nil
}
