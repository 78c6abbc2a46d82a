package voucherify_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

func marshal(t *testing.T, c voucherify.Customer) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if quick, err := c.JSON(); err != nil || string(quick) != string(b) {
		t.Errorf("JSON() gives %s, %v, json.Marshal %s", quick, err, b)
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
		if _, err := adaLovelace.JSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClear(t *testing.T) {
	every := []string{"name", "email", "phone", "description", "birthdate", "address.city", "address.line_2", "metadata.plan", "metadata.a.b"}
	for _, c := range []struct {
		name string
		in   voucherify.Customer
		want string
	}{
		{"one field", voucherify.Customer{SourceID: "u1", Clear: []string{"phone"}}, `{"source_id":"u1","phone":null}`},
		{"a member of the address", voucherify.Customer{SourceID: "u1", Clear: []string{"address.line_2"}},
			`{"source_id":"u1","address":{"line_2":null}}`},
		{"a member beside others", voucherify.Customer{
			SourceID: "u1", Address: &voucherify.Address{City: "London"}, Clear: []string{"address.line_2", "address.city"},
		}, `{"source_id":"u1","address":{"city":"London","line_2":null}}`},
		{"a metadata key beside others", voucherify.Customer{
			SourceID: "u1", Metadata: map[string]any{"seats": json.Number("3")}, Clear: []string{"metadata.plan", "metadata.seats"},
		}, `{"source_id":"u1","metadata":{"plan":null,"seats":3}}`},
		{"all of them", voucherify.Customer{SourceID: "u1", Clear: every},
			`{"source_id":"u1","birthdate":null,"name":null,"email":null,"phone":null,"description":null,` +
				`"address":{"city":null,"line_2":null},"metadata":{"a.b":null,"plan":null}}`},
		{"what is set wins", voucherify.Customer{
			SourceID: "u1", Name: "<Z> & Ü", Email: "e", Phone: "p", Description: "d", Birthdate: voucherify.NewBirthdate("1984-05-02"),
			Address: &voucherify.Address{City: "c", Line2: "2"}, Metadata: map[string]any{"plan": "pro", "a.b": nil},
			SystemMetadata: map[string]string{"source": "segmentio"}, Clear: every,
		}, `{"source_id":"u1","birthdate":"1984-05-02","system_metadata":{"source":"segmentio"},"name":"\u003cZ\u003e \u0026 Ü",` +
			`"email":"e","phone":"p","description":"d","address":{"city":"c","line_2":"2"},"metadata":{"a.b":null,"plan":"pro"}}`},
		{"no birthdate stays null", voucherify.Customer{SourceID: "u1", Birthdate: voucherify.NoBirthdate, Clear: []string{"birthdate"}},
			`{"source_id":"u1","birthdate":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := maps.Clone(c.in.Metadata)
			if got := string(marshal(t, c.in)); got != c.want {
				t.Errorf("JSON %s\nwant %s", got, c.want)
			}
			if diff := cmp.Diff(before, c.in.Metadata); diff != "" {
				t.Errorf("the customer's own metadata changed (-want +got):\n%s", diff)
			}
		})
	}
	for _, field := range []string{"source_id", "system_metadata", "address", "address.", "address.street", "metadata", "metadata.", "Phone", ""} {
		if b, err := json.Marshal(voucherify.Customer{SourceID: "u1", Clear: []string{field}}); err == nil {
			t.Errorf("clearing %q gives %s, want an error", field, b)
		}
	}
}

func TestCustomer(t *testing.T) {
	for _, c := range []struct {
		id, uri, body string
		want          *voucherify.Customer
	}{
		{"alice.morgan@email.com", "/v1/customers/alice.morgan@email.com", `{"id":"cust_T8","source_id":"alice.morgan@email.com","name":"Alice Morgan",
			"email":null,"address":null,"system_metadata":{"n":1},"summary":{"orders":{}},"object":"customer"}`,
			&voucherify.Customer{SourceID: "alice.morgan@email.com", Name: "Alice Morgan"}},
		{"a/b?c d+ü", "/v1/customers/a%2Fb%3Fc%20d+%C3%BC", `{"source_id":"a/b?c d+ü","birthdate":"1984-05-02","phone":"+1","description":"d",
			"address":{"city":"c","state":null,"line_1":"1"},"metadata":{"big":9007199254740993,"plan":null,"list":["x"]}}`,
			&voucherify.Customer{
				SourceID: "a/b?c d+ü", Birthdate: voucherify.NewBirthdate("1984-05-02"), Phone: "+1", Description: "d",
				Address:  &voucherify.Address{City: "c", Line1: "1"},
				Metadata: map[string]any{"big": json.Number("9007199254740993"), "plan": nil, "list": []any{"x"}},
			}},
		{"..", "/v1/customers/%2E%2E", `{"source_id":"..","birthdate":null}`, &voucherify.Customer{SourceID: ".."}},
	} {
		t.Run(c.id, func(t *testing.T) {
			var uri string
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				uri = r.RequestURI
				io.WriteString(w, c.body)
			})
			got, err := client.Customer(t.Context(), c.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(voucherify.Birthdate{})); diff != "" {
				t.Errorf("customer (-want +got):\n%s", diff)
			}
			if uri != c.uri {
				t.Errorf("request of %s, want %s", uri, c.uri)
			}
		})
	}
}

func TestCustomerThatIsNotThere(t *testing.T) {
	const body = `{"code":404,"key":"not_found","message":"Resource not found","resource_type":"customer"}`
	customer, err := newClient(t, reply(404, body)).Customer(t.Context(), "u1")
	if e, ok := errors.AsType[*voucherify.Error](err); !ok || !e.NotFound() || customer != nil {
		t.Errorf("%v, %v, want one that is not found", customer, err)
	}
	// A source_id may be the id that Voucherify gave to another customer.
	customer, err = newClient(t, reply(200, `{"id":"cust_1","source_id":"u1"}`)).Customer(t.Context(), "cust_1")
	if _, ok := errors.AsType[*voucherify.ForeignAnswerError](err); !ok || customer != nil {
		t.Errorf("another customer: %v, %v, want an error", customer, err)
	}
}

func TestCustomersTotal(t *testing.T) {
	var uri string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		uri = r.Method + " " + r.RequestURI
		io.WriteString(w, `{"object":"list","data_ref":"customers","customers":[{"id":"cust_1"}],"total":28001,"has_more":true}`)
	})
	if n, err := c.CustomersTotal(t.Context()); n != 28001 || err != nil || uri != "GET /v1/customers?limit=1" {
		t.Errorf("%s: %d, %v, want 28001", uri, n, err)
	}
	for _, body := range []string{`{}`, `{"total":null}`, `{"total":-1}`, `{"total":"many"}`, `{"Total":1}`} {
		if n, err := newClient(t, reply(200, body)).CustomersTotal(t.Context()); n != 0 || err == nil {
			t.Errorf("%s: %d, %v, want an error", body, n, err)
		}
	}
}

// Names are exact: what only looks like the customer's member is another one.
func TestCustomerHasExactNames(t *testing.T) {
	got, err := newClient(t, reply(200, `{"source_id":"u1","NAME":"b","metadata":{"n":1.50,"N":2}}`)).Customer(t.Context(), "u1")
	want := &voucherify.Customer{SourceID: "u1", Metadata: map[string]any{"n": json.Number("1.50"), "N": json.Number("2")}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(voucherify.Birthdate{})); err != nil || diff != "" {
		t.Errorf("%v, customer (-want +got):\n%s", err, diff)
	}
}
