package voucherify

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
	// Clear has the paths of the fields to send as null, such as address.line_2 and
	// metadata.plan.
	Clear []string `json:"-"`
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
	return []byte(`"` + b.date + `"`), nil
}
