package voucherify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Customer is one record of POST /v1/customers/bulk/async: the fields to set on
// the customer that has SourceID, which is created if there is none. A field
// that is empty here is left out of the JSON, and a field that is left out keeps
// the value that Voucherify has.
//
// https://docs.voucherify.io/api-reference/customers/update-customers-in-bulk
type Customer struct {
	// SourceID is the upsert key. It is required, and cannot be changed once
	// the customer exists.
	SourceID    string    `json:"source_id"`
	Name        string    `json:"name,omitempty"`
	Email       string    `json:"email,omitempty"`
	Phone       string    `json:"phone,omitempty"`
	Description string    `json:"description,omitempty"`
	Birthdate   Birthdate `json:"birthdate,omitzero"`
	Address     *Address  `json:"address,omitempty"`
	// Metadata is the customer's own data. Numbers in it are json.Number, so
	// that no digit is lost.
	Metadata       map[string]any    `json:"metadata,omitempty"`
	SystemMetadata map[string]string `json:"system_metadata,omitempty"`
	// Clear names fields that are sent as null where they are empty here, so that
	// Voucherify's value goes, too: name, email, phone, description, birthdate, a member of
	// the address such as address.line_2, or a metadata key such as metadata.plan. A field
	// that is set, a null in Metadata included, wins. Another name makes MarshalJSON fail.
	Clear []string `json:"-"`
}

// JSON returns the record with the nulls of Clear. It is json.Marshal(c) in half the time,
// which checks again what MarshalJSON returns.
func (c Customer) JSON() ([]byte, error) {
	record, err := c.record()
	if err != nil {
		return nil, err
	}
	return json.Marshal(record)
}

// MarshalJSON returns the record with the nulls of Clear. It leaves the escaping of HTML to
// the encoder that calls it.
func (c Customer) MarshalJSON() ([]byte, error) {
	record, err := c.record()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(record)
	return b.Bytes(), err
}

// NullFields returns the fields that are sent as null, or with a null in them: those of Clear,
// NoBirthdate, and keys of the metadata.
func (c *Customer) NullFields() []string {
	fields := slices.Clone(c.Clear)
	if c.Birthdate.null && !slices.Contains(fields, "birthdate") {
		fields = append(fields, "birthdate")
	}
	for key, v := range c.Metadata {
		if hasNull(v) {
			fields = append(fields, "metadata."+key)
		}
	}
	return fields
}

func hasNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, hasNull)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), hasNull)
	}
	return false
}

// record returns what is encoded of the customer.
func (c Customer) record() (any, error) {
	type plain Customer
	if len(c.Clear) == 0 {
		return plain(c), nil
	}
	cleared := struct {
		plain
		Name        any            `json:"name,omitempty"`
		Email       any            `json:"email,omitempty"`
		Phone       any            `json:"phone,omitempty"`
		Description any            `json:"description,omitempty"`
		Address     map[string]any `json:"address,omitempty"`
		Metadata    map[string]any `json:"metadata,omitempty"`
	}{
		plain: plain(c), Name: set(c.Name), Email: set(c.Email), Phone: set(c.Phone), Description: set(c.Description),
		Address: c.Address.members(), Metadata: maps.Clone(c.Metadata),
	}
	if cleared.Metadata == nil {
		cleared.Metadata = make(map[string]any)
	}
	fields := map[string]*any{
		"name": &cleared.Name, "email": &cleared.Email, "phone": &cleared.Phone, "description": &cleared.Description,
	}
	for _, name := range c.Clear {
		member, inAddress := strings.CutPrefix(name, "address.")
		key, inMetadata := strings.CutPrefix(name, "metadata.")
		field := fields[name]
		switch {
		case field != nil && *field == nil:
			*field = null
		case field != nil:
		case name == "birthdate" && c.Birthdate == Birthdate{}:
			cleared.Birthdate = NoBirthdate
		case name == "birthdate":
		case inAddress && addressMembers[member]:
			clearMember(cleared.Address, member)
		case inMetadata && key != "":
			clearMember(cleared.Metadata, key)
		default:
			return nil, fmt.Errorf("the field %q of a customer cannot be cleared", name)
		}
	}
	return cleared, nil
}

// null is sent where omitempty would leave nil out.
var null = json.RawMessage("null")

func set(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func clearMember(members map[string]any, key string) {
	if _, ok := members[key]; !ok {
		members[key] = null
	}
}

// Address is a customer's postal address. Empty members are left out: Voucherify
// stores a null member as null, over a good value.
type Address struct {
	City       string `json:"city,omitempty"`
	State      string `json:"state,omitempty"`
	Country    string `json:"country,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Line1      string `json:"line_1,omitempty"`
	Line2      string `json:"line_2,omitempty"`
}

var addressMembers = map[string]bool{
	"city": true, "state": true, "country": true, "postal_code": true, "line_1": true, "line_2": true,
}

// members returns those that are not empty. The address may be nil.
func (a *Address) members() map[string]any {
	members := make(map[string]any)
	if a == nil {
		return members
	}
	for name, value := range map[string]string{
		"city": a.City, "state": a.State, "country": a.Country, "postal_code": a.PostalCode, "line_1": a.Line1, "line_2": a.Line2,
	} {
		if value != "" {
			members[name] = value
		}
	}
	return members
}

// Birthdate is a calendar date, YYYY-MM-DD. Its zero value is absent and leaves
// Voucherify's value as it is; NoBirthdate is sent as null.
type Birthdate struct {
	date string
	null bool
}

// NoBirthdate says that the birthdate is not known: JSON null.
var NoBirthdate = Birthdate{null: true}

// NewBirthdate returns the birthdate for a date in the form YYYY-MM-DD, which the
// caller has checked.
func NewBirthdate(date string) Birthdate { return Birthdate{date: date} }

// String returns the date, or "" if there is none.
func (b Birthdate) String() string { return b.date }

// MarshalJSON returns the date as a string, or null for NoBirthdate.
func (b Birthdate) MarshalJSON() ([]byte, error) {
	if b.null || b.date == "" {
		return []byte("null"), nil
	}
	return json.Marshal(b.date)
}

// UnmarshalJSON takes null for absent.
func (b *Birthdate) UnmarshalJSON(data []byte) error {
	*b = Birthdate{}
	return json.Unmarshal(data, &b.date)
}

// Customer returns what Voucherify has of the customer with this source_id, or an Error that
// is NotFound. Null and absent members are empty, and SystemMetadata is not read.
//
// https://docs.voucherify.io/api-reference/customers/get-customer
func (c *Client) Customer(ctx context.Context, sourceID string) (*Customer, error) {
	type Plain Customer
	var answer struct {
		Plain
		SystemMetadata jsontext.Value `json:"system_metadata"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: customerPath(sourceID)}, &answer); err != nil {
		return nil, err
	}
	if answer.SourceID != sourceID { // the API takes its own ids, too
		return nil, &ForeignAnswerError{"is another customer, or none"}
	}
	customer := Customer(answer.Plain)
	return &customer, nil
}

func customerPath(id string) string {
	path := url.PathEscape(id)
	if path == "." || path == ".." { // would lead to another path
		path = strings.ReplaceAll(path, ".", "%2E")
	}
	return "/v1/customers/" + path
}

// CustomersTotal returns how many customers the project has.
//
// https://docs.voucherify.io/api-reference/customers/list-customers
func (c *Client) CustomersTotal(ctx context.Context) (int, error) {
	var answer struct {
		Total *int `json:"total"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/customers?limit=1"}, &answer); err != nil {
		return 0, err
	}
	if answer.Total == nil || *answer.Total < 0 {
		return 0, &ForeignAnswerError{"is not a list of customers"}
	}
	return *answer.Total, nil
}
