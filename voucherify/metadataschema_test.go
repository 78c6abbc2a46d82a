package voucherify_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/sandbox"
	"segsync/voucherify"
)

func TestMetadataSchema(t *testing.T) {
	twenty := 20
	for _, c := range []struct {
		name string
		body string
		want *voucherify.MetadataSchema
	}{
		{"of the documentation", `{"id":"ms_1","related_object":"customer","properties":{
			"favorite_brands":{"type":"string","array":true,"optional":true,"objectType":null},
			"channel":{"eq":["Facebook","Website"],"type":"string","array":false,"optional":false,"objectType":null},
			"gone":{"type":"number","array":false,"optional":true,"deleted":true},
			"store":{"type":"object","array":false,"optional":true,"objectType":"store"}},
			"allow_defined_only":true,"object":"metadata_schema"}`,
			&voucherify.MetadataSchema{RelatedObject: "customer", AllowDefinedOnly: true, Properties: map[string]voucherify.Property{
				"favorite_brands": {Type: "string", Array: true, Optional: true},
				"channel":         {Type: "string", Eq: []any{"Facebook", "Website"}},
				"gone":            {Type: "number", Optional: true, Deleted: true},
				"store":           {Type: "object", Optional: true, ObjectType: "store"},
			}}},
		{"constraints", `{"related_object":"customer","properties":{
			"age":{"type":"number","gte":18,"lt":9007199254740993,"ne":[20,"x"],"eq":7},
			"since":{"type":"date","gt":"2020-01-01"},
			"code":{"type":"string","maxLength":20,"minLength":20,"exactLength":20}}}`,
			&voucherify.MetadataSchema{RelatedObject: "customer", Properties: map[string]voucherify.Property{
				"age": {Type: "number", Optional: true, Gte: json.Number("18"), Lt: json.Number("9007199254740993"),
					Ne: []any{json.Number("20"), "x"}, Eq: []any{json.Number("7")}},
				"since": {Type: "date", Optional: true, Gt: "2020-01-01"},
				"code":  {Type: "string", Optional: true, MaxLength: &twenty, MinLength: &twenty, ExactLength: &twenty},
			}}},
		{"null everywhere", `{"related_object":"customer","allow_defined_only":null,"properties":{
			"a":{"type":null,"array":null,"optional":null,"deleted":null,"eq":null,"lt":null,"maxLength":null},"b":null}}`,
			&voucherify.MetadataSchema{RelatedObject: "customer", Properties: map[string]voucherify.Property{"a": {Optional: true}, "b": {Optional: true}}}},
		{"of another kind", `{"related_object":"customer","properties":{
			"a":{"type":1,"array":"yes","optional":"no","lt":[1],"maxLength":"long","minLength":-1}}}`,
			&voucherify.MetadataSchema{RelatedObject: "customer", Properties: map[string]voucherify.Property{"a": {Optional: true}}}},
		{"no properties", `{"related_object":"customer","properties":null}`, &voucherify.MetadataSchema{RelatedObject: "customer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := newClient(t, reply(http.StatusOK, c.body)).MetadataSchema(t.Context(), "customer")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("schema (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataSchemaThatTheProjectDoesNotHave(t *testing.T) {
	srv, err := sandbox.New(sandbox.Options{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	schema, err := clientOf(t, srv.URL, "sandbox-app-id", "sandbox-secret-key").MetadataSchema(t.Context(), "customer")
	if schema != nil || err != nil {
		t.Errorf("MetadataSchema = %v, %v; want nil, nil", schema, err)
	}
}

func TestMetadataSchemaOf404WithoutAKey(t *testing.T) {
	schema, err := newClient(t, reply(http.StatusNotFound, `{"code":404,"message":"Resource not found"}`)).MetadataSchema(t.Context(), "customer")
	if schema != nil || err != nil {
		t.Errorf("MetadataSchema = %v, %v; want nil, nil", schema, err)
	}
}

func TestMetadataSchemaErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		api    bool // the error is a *voucherify.Error
	}{
		{"forbidden", http.StatusForbidden, `{"code":403,"message":"Forbidden","key":"forbidden"}`, true},
		{"another object", http.StatusOK, `{"status":"ok"}`, false},
		{"no JSON", http.StatusOK, `<html>`, false},
		{"a property that is no object", http.StatusOK, `{"properties":{"a":"string"}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			schema, err := newClient(t, reply(c.status, c.body)).MetadataSchema(t.Context(), "customer")
			var answer *voucherify.Error
			if schema != nil || err == nil || errors.As(err, &answer) != c.api {
				t.Errorf("MetadataSchema = %v, %v", schema, err)
			}
			if c.api && answer.Forbidden() != (c.status == http.StatusForbidden) {
				t.Errorf("Forbidden() = %v for %d", answer.Forbidden(), c.status)
			}
		})
	}
}
