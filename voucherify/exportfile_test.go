package voucherify_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

func readExport(r io.Reader, fields, schemaKeys []string) (all []voucherify.ExportedCustomer, err error) {
	for customer, err := range voucherify.ReadExport(fields, schemaKeys, r) {
		if err != nil {
			return all, err
		}
		all = append(all, *customer)
	}
	return all, nil
}

func compressed(s string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func TestReadExport(t *testing.T) {
	type customer = voucherify.ExportedCustomer
	type fields = map[string]string
	type metadata = map[string]any
	two := []string{"source_id", "name"}
	withMetadata := []string{"source_id", "phone", "metadata"}
	address := []string{"source_id", "address_city", "address_line_1", "birthdate", "address_postal_code"}
	for _, c := range []struct {
		name         string
		fields, keys []string
		file         string
		want         []customer
	}{
		{"titles", two, nil, "Source ID,Name\nu1,Ada\nu2,\n", []customer{
			{SourceID: "u1", Fields: fields{"name": "Ada"}}, {SourceID: "u2", Fields: fields{"name": ""}},
		}},
		{"names of fields", two, nil, "source_id,name\nu1,Ada\n", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"any case, CRLF, BOM, no line end at the end", two, nil, "\ufeffSOURCE_id, NAME \r\nu1,Ada", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"another order", two, nil, "Name,Source Id\nAda,u1\n", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"unknown titles by position", two, nil, "Kunde,Benennung\nu1,Ada\n", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"a title of a field that was not ordered", two, nil, "ID,Name\nu1,Ada\n", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"short titles", address, nil, "Source ID,City,Line 1,Birthdate,Postal Code\nu1,London,12 Square,1815-12-10,W1\n", []customer{{
			SourceID: "u1", Fields: fields{"address_city": "London", "address_line_1": "12 Square", "birthdate": "1815-12-10", "address_postal_code": "W1"},
		}}},
		{"full titles", address, nil, "Source ID,Address City,Address Line 1,Birthdate,Address Postal Code\nu1,London,12 Square,1815-12-10,W1\n", []customer{{
			SourceID: "u1", Fields: fields{"address_city": "London", "address_line_1": "12 Square", "birthdate": "1815-12-10", "address_postal_code": "W1"},
		}}},
		{"quotes and line ends in values", two, nil, "Source ID,Name\n\"a,\"\"b\"\"\",\"x\ny\"\n", []customer{{SourceID: `a,"b"`, Fields: fields{"name": "x\ny"}}}},
		{"CRLF in values, and behind rows", two, nil, "Source ID,Name\r\n\"a\"\"b\",\"x\r\ny\r\n\"\r\nu2,\"\r\n\r\r\n\"\r\n", []customer{
			{SourceID: `a"b`, Fields: fields{"name": "x\r\ny\r\n"}}, {SourceID: "u2", Fields: fields{"name": "\r\n\r\r\n"}},
		}},
		{"a customer without a source_id", two, nil, "Source ID,Name\n,Ada\n", []customer{{Fields: fields{"name": "Ada"}}}},
		{"no customers", two, nil, "Source ID,Name\n", nil},
		{"metadata as JSON", withMetadata, []string{"plan"}, "Source ID,Phone,Metadata\nu1,+1,\"{\"\"plan\"\":\"\"pro\"\",\"\"n\"\":9007199254740993}\"\nu2,,\nu3,,null\n", []customer{
			{SourceID: "u1", Fields: fields{"phone": "+1"}, AllMetadata: true, Metadata: metadata{"plan": "pro", "n": json.Number("9007199254740993")}},
			{SourceID: "u2", AllMetadata: true, Fields: fields{"phone": ""}}, {SourceID: "u3", AllMetadata: true, Fields: fields{"phone": ""}},
		}},
		{"metadata by prefix", withMetadata, []string{"plan", "a.b"}, "Source ID,Phone,metadata.plan,Metadata.a.b\nu1,+1,pro,\n", []customer{
			{SourceID: "u1", Fields: fields{"phone": "+1"}, Metadata: metadata{"plan": "pro", "a.b": ""}},
		}},
		{"metadata by key", withMetadata, []string{"plan"}, "Source ID,Phone,plan,Gone\nu1,+1,pro,x\n", []customer{
			{SourceID: "u1", Fields: fields{"phone": "+1"}, Metadata: metadata{"plan": "pro", "Gone": "x"}},
		}},
		{"metadata keys that are names of fields", withMetadata, []string{"phone", "City", "name"}, "Source ID,Mobile,phone,City,name\nu1,+1,+2,London,A\n", []customer{
			{SourceID: "u1", Fields: fields{"phone": "+1"}, Metadata: metadata{"phone": "+2", "City": "London", "name": "A"}},
		}},
		{"metadata columns first", withMetadata, []string{"plan"}, "plan,Source ID,Phone\npro,u1,+1\n", []customer{
			{SourceID: "u1", Fields: fields{"phone": "+1"}, Metadata: metadata{"plan": "pro"}},
		}},
		{"no metadata defined", withMetadata, nil, "Source ID,Phone\nu1,+1\n", []customer{{SourceID: "u1", Fields: fields{"phone": "+1"}}}},
		{"metadata that was not ordered", two, nil, "Source ID,Name,plan\nu1,Ada,pro\n", []customer{{SourceID: "u1", Fields: fields{"name": "Ada"}}}},
		{"a file of unknown order", nil, []string{"plan"}, "Name,City,Source ID,plan,Email,x\nAda,London,u1,pro,a@example.com,y\n", []customer{{
			SourceID: "u1", Fields: fields{"name": "Ada", "address_city": "London", "email": "a@example.com"}, Metadata: metadata{"plan": "pro", "x": "y"},
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.file), iotest.OneByteReader(strings.NewReader(c.file)), strings.NewReader(compressed(c.file))} {
				got, err := readExport(r, c.fields, c.keys)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("customers (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestReadExportErrors(t *testing.T) {
	two := []string{"source_id", "name"}
	withMetadata := []string{"source_id", "metadata"}
	for _, c := range []struct {
		name   string
		fields []string
		file   string
		before int // customers before the error
		want   string
	}{
		{"empty", two, "", 0, "reading the export's header: the file is empty"},
		{"blank lines", nil, "\n\n", 0, "reading the export's header: the file is empty"},
		{"a field twice, order unknown", nil, "Source ID,Name,name\nu1,Ada,Ada\n", 0, `reading the export's header: there are two columns of name, "name" is one of them`},
		{"too few fields", two, "Source ID,Name\nu1,Ada\nCANARY\n", 1, "reading the export's customer 2: line 3: wrong number of fields"},
		{"too many fields", two, "Source ID,Name\nu1,Ada,CANARY\n", 0, "reading the export's customer 1: line 2: wrong number of fields"},
		{"a quote that is not closed", two, "Source ID,Name\nu1,Ada\nu2,\"CANARY", 1, `reading the export's customer 2: line 3: extraneous or missing " in quoted-field`},
		{"no source_id", []string{"name"}, "Name\nAda\n", 0, "reading the export's header: there is no column of source_id"},
		{"no source_id, order unknown", nil, "Name\nAda\n", 0, "reading the export's header: there is no column of source_id"},
		{"a column is missing", two, "Source ID\nu1\n", 0, "reading the export's header: there is no column of name"},
		{"a field twice", two, "Name,Name\nu1,Ada\n", 0, `reading the export's header: there are two columns of name, "Name" is one of them`},
		{"a metadata key twice", withMetadata, "Source ID,plan,metadata.plan\n", 0, `reading the export's header: there are two columns of the metadata key "plan"`},
		{"both forms of metadata", withMetadata, "Source ID,Metadata,plan\n", 0, "reading the export's header: there is a column of all metadata, and columns of single keys"},
		{"metadata that is no JSON", withMetadata, "Source ID,Metadata\nu1,CANARY\n", 0, "reading the export's customer 1: its metadata is not a JSON object"},
		{"metadata that is no object", withMetadata, "Source ID,Metadata\nu1,[1]\n", 0, "reading the export's customer 1: its metadata is not a JSON object"},
		{"compressed, and cut", two, compressed("Source ID,Name\nu1,Ada\n")[:20], 0, "reading the export's header: unexpected EOF"},
		{"not UTF-8", two, "Source ID,Name\nu1,Ada\nu2,CANARY\xf3\n", 1, "reading the export's customer 2: it is not UTF-8 text"},
		{"a header that is not UTF-8", two, "Source ID,\xf3CANARY\n", 0, "reading the export's header: it is not UTF-8 text"},
		{"metadata with a tail", withMetadata, "Source ID,Metadata\nu1,{} {}\n", 0, "reading the export's customer 1: its metadata is not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readExport(strings.NewReader(c.file), c.fields, nil)
			if err == nil || err.Error() != c.want || len(got) != c.before {
				t.Errorf("%d customers, %v\nwant %d, %s", len(got), err, c.before, c.want)
			}
		})
	}
}

// A connection that breaks is no end of the file.
func TestReadExportThatIsCut(t *testing.T) {
	file := io.MultiReader(strings.NewReader("Source ID,Name\nu1,Ada\nu2,Gra"), iotest.ErrReader(io.ErrUnexpectedEOF))
	got, err := readExport(file, []string{"source_id", "name"}, nil)
	if want := "reading the export's customer 2: unexpected EOF"; err == nil || err.Error() != want || len(got) != 1 {
		t.Errorf("%d customers, %v, want 1, %s", len(got), err, want)
	}
}

type endlessText struct{}

func (endlessText) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestReadExportBoundsARow(t *testing.T) {
	got, err := readExport(io.MultiReader(strings.NewReader("Source ID,Name\nu1,Ada\nu2,\""), endlessText{}), []string{"source_id", "name"}, nil)
	if want := "reading the export's customer 2: a row has more than 4194304 bytes"; err == nil || err.Error() != want || len(got) != 1 {
		t.Errorf("%d customers, %v, want 1, %s", len(got), err, want)
	}
}

// Who keeps the ids of a large export must not keep its rows.
func TestSourceIDDoesNotKeepTheRow(t *testing.T) {
	const rows, size = 1000, 20_000
	row := "," + strings.Repeat("x", size) + "\n"
	parts := []io.Reader{strings.NewReader("Source ID,Name\n")}
	for i := range rows {
		parts = append(parts, strings.NewReader(fmt.Sprintf("u%d", i)), strings.NewReader(row))
	}
	var ids []string
	r := io.MultiReader(parts...)
	for customer, err := range voucherify.ReadExport([]string{"source_id", "name"}, nil, r) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, customer.SourceID)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(ids)
	if m.HeapAlloc > rows*size/2 {
		t.Errorf("%d ids hold %d bytes of %d", len(ids), m.HeapAlloc, rows*size)
	}
}

func TestReadExportStops(t *testing.T) {
	for range voucherify.ReadExport([]string{"source_id"}, nil, strings.NewReader("Source ID\nu1\nu2\n")) {
		break // must not panic
	}
}

// FuzzReadExport compares the rows with those of a plain reader of CSV.
func FuzzReadExport(f *testing.F) {
	for _, seed := range []string{
		"Source ID,Name\nu1,Ada\n", "source_id,City,metadata\nu1,London,\"{\"\"a\"\":1}\"\n", "a,b,plan\n1,2,3\n",
		"metadata.x,source_id,metadata.x\n", "\ufeffName,Name\n\"", "Source ID,Name,plan,metadata.plan\nu,n,1,2", ",,\n,,\n",
		"source_id,name\r\n\"a\r\nb\",\"\r\r\n\"\r\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, file string, ordered bool) {
		var fields []string
		if ordered {
			fields = []string{"source_id", "name", "metadata"}
		}
		got, err := readExport(strings.NewReader(file), fields, []string{"plan", "name"})
		plain := csv.NewReader(strings.NewReader(strings.TrimPrefix(file, "\ufeff")))
		rows, plainErr := plain.ReadAll()
		if err == nil && (plainErr != nil || len(got) != len(rows)-1) {
			t.Fatalf("%d customers of %d rows, %v", len(got), len(rows), plainErr)
		}
		for i, customer := range got {
			if plainErr != nil {
				return
			}
			values := map[string]bool{}
			for _, value := range rows[i+1] {
				values[value] = true
			}
			// A plain reader takes away the CR of a line end in quotes.
			plain := func(value string) string { return strings.ReplaceAll(value, "\r\n", "\n") }
			if !values[plain(customer.SourceID)] {
				t.Errorf("source_id %q is not in the row %q", customer.SourceID, rows[i+1])
			}
			for field, value := range customer.Fields {
				if !values[plain(value)] || ordered && field != "name" {
					t.Errorf("%s %q is not in the row %q", field, value, rows[i+1])
				}
			}
		}
	})
}
