package main

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"segsync/importer/mapping"
	"segsync/internal/httpretry"
)

// value is a setting being read, much like a flag.Value.
type value interface {
	Set(text string) bool // false if the text cannot be one; it is never empty
	String() string       // as it would be set; "" if it is not
}

// wordValue is text as credentials are: printable ASCII without spaces.
type wordValue string

func (w *wordValue) String() string { return string(*w) }

func (w *wordValue) Set(v string) bool {
	*w = wordValue(v)
	return !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
}

// textValue is any text of one line.
type textValue string

func (t *textValue) String() string { return string(*t) }

func (t *textValue) Set(v string) bool {
	*t = textValue(v)
	return !strings.ContainsFunc(v, unicode.IsControl)
}

// choiceValue is one of some words.
type choiceValue struct {
	in    *string
	words []string
}

func (c choiceValue) String() string { return *c.in }

func (c choiceValue) Set(v string) bool {
	*c.in = v
	return slices.Contains(c.words, v)
}

// numberValue is a whole number from 1 to most.
type numberValue struct {
	in   *int
	most int
}

func (n numberValue) String() string { return strconv.Itoa(*n.in) }

func (n numberValue) Set(v string) bool {
	i, err := strconv.Atoi(v)
	*n.in = i
	return err == nil && i >= 1 && i <= n.most
}

// batchValue is a number, or "max" for the largest.
type batchValue struct{ numberValue }

func (b batchValue) Set(v string) bool {
	if v == "max" {
		v = strconv.Itoa(b.most)
	}
	return b.numberValue.Set(v)
}

// rateValue is a number above 0.
type rateValue float64

func (r *rateValue) String() string { return strconv.FormatFloat(float64(*r), 'f', -1, 64) }

func (r *rateValue) Set(v string) bool {
	f, err := strconv.ParseFloat(v, 64)
	*r = rateValue(f)
	return err == nil && f > 0 && f <= 1e6
}

// shareValue is a percentage, with or without its sign. What may be meant as a share, such
// as 0.2, is none.
type shareValue float64

func (s *shareValue) String() string {
	return strconv.FormatFloat(float64(*s)*100, 'g', 6, 64) + "%"
}

func (s *shareValue) Set(v string) bool {
	number, isPercent := strings.CutSuffix(v, "%")
	percent, err := strconv.ParseFloat(number, 64)
	*s = shareValue(percent / 100)
	return err == nil && percent >= 0 && percent < 100 && (isPercent || percent == 0 || percent >= 1)
}

// identifiersValue says where source_id comes from.
type identifiersValue struct{ in *[]mapping.Identifier }

func (i identifiersValue) String() string {
	var names []string
	for _, id := range *i.in {
		names = append(names, id.String())
	}
	return strings.Join(names, ",")
}

func (i identifiersValue) Set(v string) bool {
	ids, err := mapping.ParseIdentifiers(v)
	*i.in = ids
	return err == nil
}

const expectedURL = "an https:// URL without /v1, user, query or fragment; http:// is for loopback only"

// baseURLValue is the URL of an API.
type baseURLValue struct{ in **url.URL }

func (b baseURLValue) String() string { return urlString(*b.in) }

func (b baseURLValue) Set(v string) bool {
	u, err := httpretry.ParseBaseURL(v)
	*b.in = u
	return err == nil && !strings.HasSuffix(u.Path, "/v1") // the clients add it
}

const expectedSecretURL = "an https:// URL without user or fragment; http:// is for loopback only"

// secretURLValue is a URL whose path and query give access.
type secretURLValue struct{ in **url.URL }

func (s secretURLValue) String() string { return urlString(*s.in) }

func (s secretURLValue) Set(v string) bool {
	u, err := url.Parse(v)
	if err != nil || u.User != nil || strings.Contains(v, "#") {
		return false
	}
	base, err := httpretry.ParseBaseURL((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	if err != nil {
		return false
	}
	u.Host = base.Host
	*s.in = u
	return true
}

func urlString(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// warehouseURLValue is the URL of a database.
type warehouseURLValue string

func (w *warehouseURLValue) String() string { return string(*w) }

func (w *warehouseURLValue) Set(v string) bool {
	u, err := url.Parse(v)
	*w = warehouseURLValue(v)
	return err == nil && slices.Contains([]string{"postgres", "postgresql", "redshift"}, u.Scheme) && u.Opaque == ""
}
