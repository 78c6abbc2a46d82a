package voucherify_test

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

// TestReadExportOfSeveralFiles: the files have one header, or the second one's first customer would be
// taken for it.
func TestReadExportOfSeveralFiles(t *testing.T) {
	read := func(files ...string) (ids []string, problem string) {
		var readers []io.Reader
		for _, f := range files {
			readers = append(readers, strings.NewReader(f))
		}
		for c, err := range voucherify.ReadExport([]string{"source_id", "name"}, nil, readers...) {
			if err != nil {
				return ids, err.Error()
			}
			ids = append(ids, c.SourceID)
		}
		return ids, ""
	}
	for _, tt := range []struct {
		files   []string
		ids     []string
		problem string
	}{
		{[]string{"Source ID,Name\na,A\nb,B\n", "Source ID,Name\nc,C\n"}, []string{"a", "b", "c"}, ""},
		{[]string{"Source ID,Name\na,A\n", "Source ID,Name\n"}, []string{"a"}, ""},
		{[]string{"Source ID,Name\na,A\n", "b,B\nc,C\n"}, []string{"a"}, "reading the export's header: the files of the export have different headers"},
		{[]string{"Source ID,Name\na,A\n", ""}, []string{"a"}, "reading the export's header: the file is empty"},
		{[]string{"Source ID,Name\na,A\n", "Source ID,Name\nb,B\nc\n"}, []string{"a", "b"}, "reading the export's customer 3: line 3: wrong number of fields"},
	} {
		ids, problem := read(tt.files...)
		if diff := cmp.Diff(tt.ids, ids); diff != "" || problem != tt.problem {
			t.Errorf("%q: %q, want %q (-want +got):\n%s", tt.files, problem, tt.problem, diff)
		}
	}
}

// TestTitlesOfADownloadedFile: titles that a real export has are fields, not metadata.
func TestTitlesOfADownloadedFile(t *testing.T) {
	file := "Customer ID,Source ID,Creation Date,Last Update Date,Zip Code,Date of Birth,plan\ncust_1,a,2026,2026,123,2000-01-02,pro\n"
	for c, err := range voucherify.ReadExport(nil, nil, strings.NewReader(file)) {
		want := &voucherify.ExportedCustomer{SourceID: "a", Metadata: map[string]any{"plan": "pro"}, Fields: map[string]string{
			"id": "cust_1", "created_at": "2026", "updated_at": "2026", "address_postal_code": "123", "birthdate": "2000-01-02"}}
		if diff := cmp.Diff(want, c); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}
