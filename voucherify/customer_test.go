package voucherify_test

import (
	"encoding/json"
	"testing"

	"segsync/voucherify"
)

func marshal(t *testing.T, c voucherify.Customer) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A field that is left out keeps the value that Voucherify has; one that is null or
// empty would erase it.
func TestCustomerJSON(t *testing.T) {
	for _, c := range []struct {
		name string
		in   voucherify.Customer
		want string
	}{
		{"source_id alone", voucherify.Customer{SourceID: "u1"}, `{"source_id":"u1"}`},
		{"source_id is always there", voucherify.Customer{}, `{"source_id":""}`},
		{"empty values", voucherify.Customer{
			SourceID: "u1", Birthdate: voucherify.Birthdate{}, Metadata: map[string]any{}, SystemMetadata: map[string]string{},
		}, `{"source_id":"u1"}`},
		{"no birthdate", voucherify.Customer{SourceID: "u1", Birthdate: voucherify.NoBirthdate}, `{"source_id":"u1","birthdate":null}`},
		{"birthdate", voucherify.Customer{SourceID: "u1", Birthdate: voucherify.NewBirthdate("1984-05-02")},
			`{"source_id":"u1","birthdate":"1984-05-02"}`},
		{"part of an address", voucherify.Customer{SourceID: "u1", Address: &voucherify.Address{PostalCode: "02818"}},
			`{"source_id":"u1","address":{"postal_code":"02818"}}`},
		{"numbers of metadata", voucherify.Customer{SourceID: "u1", Metadata: map[string]any{
			"big": json.Number("9007199254740993"), "money": json.Number("1.50"), "list": []any{json.Number("1e400")}, "null": nil,
		}}, `{"source_id":"u1","metadata":{"big":9007199254740993,"list":[1e400],"money":1.50,"null":null}}`},
		{"everything", voucherify.Customer{
			SourceID: "John.Smith@email.com", Name: "John Smith", Email: "john.smith@email.com", Phone: "+1 (132) 222-2222",
			Description: "Updating customer data", Birthdate: voucherify.NewBirthdate("2022-04-04"),
			Address: &voucherify.Address{
				City: "New York", State: "NY", Country: "United States", PostalCode: "10001", Line1: "123 Main St.", Line2: "APT 3 BLG 4",
			},
			Metadata: map[string]any{"lang": "en", "test": true}, SystemMetadata: map[string]string{"source": "segmentio"},
		}, `{"source_id":"John.Smith@email.com","name":"John Smith","email":"john.smith@email.com","phone":"+1 (132) 222-2222",` +
			`"description":"Updating customer data","birthdate":"2022-04-04","address":{"city":"New York","state":"NY",` +
			`"country":"United States","postal_code":"10001","line_1":"123 Main St.","line_2":"APT 3 BLG 4"},` +
			`"metadata":{"lang":"en","test":true},"system_metadata":{"source":"segmentio"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(marshal(t, c.in)); got != c.want {
				t.Errorf("JSON %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBirthdateString(t *testing.T) {
	for b, want := range map[voucherify.Birthdate]string{
		{}:                                    "",
		voucherify.NoBirthdate:                "",
		voucherify.NewBirthdate("1984-05-02"): "1984-05-02",
	} {
		if got := b.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
	if (voucherify.Birthdate{}) == voucherify.NoBirthdate {
		t.Error("an absent birthdate equals NoBirthdate")
	}
}

var adaLovelace = voucherify.Customer{
	SourceID: "user-0000001", Name: "Ada Lovelace", Email: "ada.0000001@example.com", Phone: "+447700900001",
	Birthdate:      voucherify.NewBirthdate("1815-12-10"),
	Address:        &voucherify.Address{City: "London", Country: "United Kingdom", PostalCode: "W1G 9PU", Line1: "12 St James's Square"},
	Metadata:       map[string]any{"plan": "pro", "seats": json.Number("3")},
	SystemMetadata: map[string]string{"source": "segmentio"},
}

func BenchmarkCustomerJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(adaLovelace); err != nil {
			b.Fatal(err)
		}
	}
}
