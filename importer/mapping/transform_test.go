package mapping

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDateFormats(t *testing.T) {
	for _, c := range []struct{ formats, text, want string }{
		{"DD/MM/YYYY", "02/05/1984", "1984-05-02"},
		{"DD/MM/YYYY", "2/5/1984", ""},
		{"DD/MM/YYYY", "02/05/1984 ", ""},
		{"DD/MM/YYYY", "30/02/1984", ""},
		{"D/M/YYYY", "2/5/1984", "1984-05-02"},
		{"D/M/YYYY", "12/11/1984", "1984-11-12"},
		{"YYYYMMDD", "19840502", "1984-05-02"},
		{"M/D/YYYY hh:mm", "5/2/1984 23:59", "1984-05-02T23:59:00Z"},
		{"YYYY-MM-DDThh:mm:ssZ", "1984-05-02T23:59:00+0200", "1984-05-02T23:59:00+02:00"},
		{"YYYY-MM-DDThh:mm:ssZ", "1984-05-02T23:59:00.5Z", "1984-05-02T23:59:00.5Z"},
		{"YYYY-MM-DDThh:mm:ssZ", "1984-05-02T23:59:00", ""},
		{"warehouse", "1984-05-02 00:00:00 UTC", "1984-05-02T00:00:00Z"}, // BigQuery
		{"warehouse", "1984-05-02 00:00:00.123456 UTC", "1984-05-02T00:00:00.123456Z"},
		{"warehouse", "1984-05-02 00:00:00.000 +0000", "1984-05-02T00:00:00Z"}, // Snowflake
		{"warehouse", "1984-05-02 00:00:00.000 -0700", "1984-05-02T00:00:00-07:00"},
		{"warehouse", "1984-05-02 00:00:00+00", "1984-05-02T00:00:00Z"}, // Postgres
		{"warehouse", "1984-05-02 00:00:00.5+05:30", "1984-05-02T00:00:00.5+05:30"},
		{"warehouse", "1984-05-02 00:00:00", "1984-05-02T00:00:00Z"},
		{"warehouse", "1984-05-02", "1984-05-02"},
		{"warehouse", "1984-05-02 00:00:00 CET", ""},
		{"warehouse", "02/05/1984", ""},
	} {
		dates, err := parseDateFormats([]string{c.formats})
		if err != nil {
			t.Fatal(err)
		}
		s := Step{Formats: []string{c.formats}, dates: dates}
		got, reason := s.date(c.text)
		if got == nil {
			got = ""
		}
		if got != c.want || (reason == "") != (c.want != "") {
			t.Errorf("%s of %q: %q %s, want %q", c.formats, c.text, got, reason, c.want)
		}
	}
}

// What formats takes is the date that is written, and is never another one in another format.
func FuzzDateFormats(f *testing.F) {
	f.Add("DD/MM/YYYY", "D.M.YYYY", "02/05/1984")
	f.Add("YYYY-MM-DD hh:mm:ss Z", "warehouse", "1984-05-02 00:00:00 UTC")
	f.Add("MM/DD/YYYY", "DD/MM/YYYY", "02/05/1984")
	f.Add("DDMMYYYY", "YYYYMMDD", "20011012")
	f.Fuzz(func(t *testing.T, one, other, text string) {
		if _, err := parseDateFormats([]string{one, other}); err != nil {
			return
		}
		var found []string
		for _, format := range []string{one, other} {
			dates, err := parseDateFormats([]string{format})
			if err != nil {
				t.Fatalf("%q alone: %v", format, err)
			}
			s := Step{Formats: []string{format}, dates: dates}
			if v, reason := s.date(text); reason == "" {
				date := v.(string)[:len(time.DateOnly)]
				if _, err := time.Parse(time.DateOnly, date); err != nil {
					t.Errorf("%q of %q gives %q", format, text, v)
				}
				found = append(found, date)
			}
		}
		if len(found) == 2 && found[0] != found[1] {
			t.Errorf("%q and %q are not ambiguous, and read %q and %q from %q", one, other, found[0], found[1], text)
		}
	})
}

// Whatever the value is, transforms end, leave it unchanged, and give the same twice.
func FuzzTransform(f *testing.F) {
	m := parse(f, `metadata: {rename: {
    a: {traits: v, trim: true, lower: true, digits: true}, b: {traits: v, formats: [warehouse, DD/MM/YYYY], as: date},
    c: {traits: v, values: {x: 1, "1": true}, default: z}, d: {traits: v, as: number}, e: {traits: v, as: boolean},
    f: {traits: v, as: text, digits: true}, g: {traits: v, lower: true, as: datetime}}}`)
	for _, seed := range []string{`"1984-05-02 00:00:00 UTC"`, `" Ada "`, `["x", 1, [true]]`, `{"a": null}`, `1e400`, `-1.50e3`, `"+48 600"`, `"İ\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			t.Skip("not JSON")
		}
		before := string(marshal(t, v))
		for i := range m.Metadata.Traits {
			transform := m.Metadata.Traits[i].Transform
			got, reason := transform.apply(v)
			again, _ := transform.apply(v)
			if !reflect.DeepEqual(got, again) || (got == nil) != (reason != "") {
				t.Errorf("%s: %v and %v, %q", m.Metadata.Traits[i].Key, got, again, reason)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("%s: %v", m.Metadata.Traits[i].Key, err)
			}
		}
		if after := string(marshal(t, v)); after != before {
			t.Errorf("the value was changed from %s to %s", before, after)
		}
	})
}
