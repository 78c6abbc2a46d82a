package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"segsync/importer/metadata"
	"segsync/internal/safetext"
)

// dateFormat is a form of dates, such as DD/MM/YYYY.
type dateFormat struct {
	layouts []string // of package time: several where a zone has several forms
	hasTime bool
	// shapes has the parts of a date by the text that they can be read from: a day of one or two
	// digits makes two texts.
	shapes map[string]string
}

// dateParts are the letters of formats, and what they are in layouts of package time. That takes
// a fraction after ss, be it in the layout or not.
var dateParts = map[string]string{
	"YYYY": "2006", "MM": "01", "M": "1", "DD": "02", "D": "2", "hh": "15", "mm": "04", "ss": "05", "Z": "Z", "T": "T",
}

var datePart = regexp.MustCompile(`^(?:YYYY|MM?|DD?|hh|mm|ss|[ZT /.:,-])`)

// warehouseFormats are the forms in which BigQuery, Snowflake, Postgres and Redshift write dates
// and timestamps as text.
var warehouseFormats = []string{
	"YYYY-MM-DD", "YYYY-MM-DD hh:mm:ss", "YYYY-MM-DD hh:mm:ss Z", "YYYY-MM-DD hh:mm:ssZ", "YYYY-MM-DDThh:mm:ss", "YYYY-MM-DDThh:mm:ssZ",
}

// DateFormats returns what a format of a mapping file stands for: itself, or the formats of a warehouse.
func DateFormats(format string) []string {
	if format == "warehouse" {
		return warehouseFormats
	}
	return []string{format}
}

var zoneLayouts = []string{"Z07:00", "Z0700", "Z07", "UTC"}

// parseDateFormat returns the formats that one format, or the name warehouse, stands for.
func parseDateFormat(format string) ([]dateFormat, error) {
	if formats := DateFormats(format); len(formats) > 1 {
		return parseDateFormats(formats)
	}
	bad := func(text string) ([]dateFormat, error) {
		return nil, fmt.Errorf("%q %s", safetext.Line(format), text)
	}
	layout, before := "", ""
	count := map[byte]int{} // of parts, by their letter
	f := dateFormat{shapes: map[string]string{"": ""}}
	for rest := format; rest != ""; {
		part := datePart.FindString(rest)
		in, isPart := dateParts[part]
		isDigits := isPart && part != "T" && part != "Z"
		switch {
		case part == "":
			return bad("is not a date format: expected YYYY, MM or M, DD or D, hh, mm, ss, Z, T, and spaces and / . - : , between them")
		case isPart && count[part[0]] > 0:
			return bad("has " + part[:1] + " twice")
		case isDigits && before != "" && (len(part) == 1 || len(before) == 1):
			return bad("is ambiguous: D or M stands beside digits")
		case isPart:
			count[part[0]]++
			layout += in
		default:
			layout += part
		}
		if before = ""; isDigits {
			before = part
		}
		rest = rest[len(part):]
		f.addPart(part, isDigits)
	}
	has := func(letter byte) bool { return count[letter] > 0 }
	switch f.hasTime = has('h'); {
	case !has('Y') || !has('M') || !has('D'):
		return bad("is not a date format: expected a year, YYYY, a month, MM, and a day, DD")
	case has('m') && !has('h') || has('s') && !has('m') || has('Z') && !has('h'):
		return bad("is not a date format: mm needs hh, ss needs mm, and Z needs hh")
	}
	if f.layouts = []string{layout}; has('Z') {
		f.layouts = nil
		for _, zone := range zoneLayouts {
			f.layouts = append(f.layouts, strings.Replace(layout, "Z", zone, 1))
		}
	}
	return []dateFormat{f}, nil
}

// addPart makes the shapes longer by a part.
func (f *dateFormat) addPart(part string, isDigits bool) {
	longer := make(map[string]string)
	for text, parts := range f.shapes {
		if !isDigits {
			longer[text+part] = parts + part
			continue
		}
		longer[text+strings.Repeat("9", len(part))] = parts + part
		if len(part) == 1 {
			longer[text+"99"] = parts + part + part
		}
	}
	f.shapes = longer
}

// parseDateFormats returns an error for formats of which two can read another date from the same
// text.
func parseDateFormats(formats []string) ([]dateFormat, error) {
	var all []dateFormat
	seen := map[string]string{} // parts by text
	for _, format := range formats {
		parsed, err := parseDateFormat(format)
		if err != nil {
			return nil, err
		}
		for _, f := range parsed {
			for text, parts := range f.shapes {
				if other, found := seen[text]; found && other != parts {
					return nil, errors.New("the formats are ambiguous: " + other + " and " + parts + " fit the same text")
				}
				seen[text] = parts
			}
		}
		all = append(all, parsed...)
	}
	return all, nil
}

// date returns the value, which is in one of the formats, as YYYY-MM-DD, with the time and the
// zone of RFC 3339 where the format has a time. Without a zone that is UTC.
func (s *Step) date(v any) (any, string) {
	converted, _ := metadata.Text(v)
	text, _ := converted.(string)
	for _, f := range s.dates {
		for _, layout := range f.layouts {
			t, err := time.ParseInLocation(layout, text, time.UTC)
			switch {
			case err != nil:
			case f.hasTime:
				return t.Format(time.RFC3339Nano), ""
			default:
				return t.Format(time.DateOnly), ""
			}
		}
	}
	return nil, "is not a date in the formats " + safetext.Line(strings.Join(s.Formats, ", "))
}
