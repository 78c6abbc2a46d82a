package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"segsync/voucherify"
)

// Kind is what sending a customer would do.
type Kind string

const (
	Create        Kind = "create"
	ChangeFields  Kind = "change" // at least one field gets another value; others may be cleared
	ClearFields   Kind = "clear"  // fields are cleared, and no other changes
	Unchanged     Kind = "unchanged"
	NotComparable Kind = "not_comparable" // no known change, and metadata that an export does not have
)

// Change is a field of a customer that would get another value. It holds personal data.
type Change struct {
	Field string `json:"field"` // such as address.city or metadata.plan
	Old   any    `json:"old"`   // nil: nothing is stored
	New   any    `json:"new"`   // nil: the field would be cleared
}

// Difference is what sending a customer would do to the one that Voucherify has.
type Difference struct {
	Kind          Kind
	Changes       []Change // in the order of the fields
	NotComparable []string // fields
}

// Cleared returns the fields that would be cleared.
func (d *Difference) Cleared() []string {
	var fields []string
	for _, c := range d.Changes {
		if c.New == nil {
			fields = append(fields, c.Field)
		}
	}
	return fields
}

// storedCustomer is what Voucherify has of one customer, by field.
type storedCustomer struct {
	fields map[string]any
	// known reports whether a field that is not in fields is empty; else nothing is known of
	// it.
	known  func(field string) bool
	schema *voucherify.MetadataSchema // of the project; nil: unknown, or none
}

// isTime reports whether texts of the field are compared as times: of the birthdate and of
// metadata that is defined as a date. Where no schema is known, metadata may be one.
func (s *storedCustomer) isTime(field string) bool {
	key, isMetadata := strings.CutPrefix(field, "metadata.")
	if !isMetadata || s.schema == nil {
		return isMetadata || field == "birthdate"
	}
	p := s.schema.Properties[key]
	return p.Type == "date" || p.Type == "datetime"
}

// compare says what sending the customer, its JSON, does to now, which is nil if there is no
// such customer. Fields that are not sent do not count. System metadata does not either: no
// export has it.
func compare(customer []byte, now *storedCustomer) (Difference, error) {
	fields, err := sentFields(customer)
	if err != nil {
		return Difference{}, err
	}
	create := now == nil
	if create {
		now = &storedCustomer{known: func(string) bool { return true }}
	}
	d := Difference{Kind: Unchanged}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		sent := fields[name]
		old, isPresent := now.fields[name]
		switch {
		case !isPresent && !now.known(name):
			d.NotComparable = append(d.NotComparable, name)
		case isEmpty(sent) && isEmpty(old):
		case isEmpty(sent):
			d.Changes = append(d.Changes, Change{name, old, nil})
		case !sameValue(sent, old, now.isTime(name)):
			d.Changes = append(d.Changes, Change{name, old, sent})
		}
	}
	switch n := len(d.Cleared()); {
	case create:
		d.Kind = Create
	case len(d.Changes) > n:
		d.Kind = ChangeFields
	case n > 0:
		d.Kind = ClearFields
	case len(d.NotComparable) > 0:
		d.Kind = NotComparable
	}
	return d, nil
}

// sentFields returns the fields of a customer's JSON by name, without source_id and system
// metadata.
func sentFields(customer []byte) (map[string]any, error) {
	v, err := decode(customer)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("expected a customer as a JSON object")
	}
	fields := make(map[string]any)
	for name, value := range object {
		switch name {
		case "source_id", "system_metadata":
		case "address", "metadata":
			members, _ := value.(map[string]any)
			for member, value := range members {
				fields[name+"."+member] = value
			}
		default:
			fields[name] = value
		}
	}
	return fields, nil
}

func decode(data []byte) (v any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&v)
	if err == nil && decoder.More() {
		err = fmt.Errorf("more than one value")
	}
	return v, err
}

// isEmpty takes null and "" for the same: CSV cannot tell them apart.
func isEmpty(v any) bool { return v == nil || v == "" }

// sameValue compares what is sent with what is stored: numbers and booleans by their value,
// and times, if texts are times. What is stored may be the text of a value, in a column of
// an export.
func sameValue(sent, old any, times bool) bool {
	text, isText := old.(string)
	same := func(sent, old any) bool { return sameValue(sent, old, times) }
	switch sent := sent.(type) {
	case string:
		return isText && (sent == text || times && sameTime(sent, text))
	case json.Number:
		if isText {
			return sameNumber(sent.String(), text)
		}
		number, ok := old.(json.Number)
		return ok && sameNumber(sent.String(), number.String())
	case bool:
		return sent == old || isText && strings.EqualFold(text, fmt.Sprint(sent))
	case nil:
		return isEmpty(old)
	}
	if isText {
		decoded, err := decode([]byte(text))
		if _, again := decoded.(string); err != nil || again {
			return false
		}
		old = decoded
	}
	switch sent := sent.(type) {
	case []any:
		elements, ok := old.([]any)
		return ok && slices.EqualFunc(sent, elements, same)
	case map[string]any:
		members, ok := old.(map[string]any)
		return ok && maps.EqualFunc(sent, members, same)
	}
	return false
}

// numberForm is that of a number in an export: no fractions, no digits of another base.
var numberForm = regexp.MustCompile(`^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$`)

// sameNumber reports whether both are the same double: Voucherify keeps numbers as doubles. Those
// beyond all doubles are compared as texts.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	if !numberForm.MatchString(a) || !numberForm.MatchString(b) {
		return false
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

// sameTime compares times by instant. A date is the midnight of UTC that begins it.
func sameTime(a, b string) bool {
	x, okX := parseTime(a)
	y, okY := parseTime(b)
	return okX && okY && x.Equal(y)
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02T15:04:05.999999999Z0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
