package settings

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/profilessync"
)

// value is a field that a setting is kept in.
type value struct {
	set  func(text string) error // errExpected, or what else is wrong; the text is never empty
	show func() string           // as it would be set; "" if it is not
}

// errExpected says that a value is not what its row expects.
var errExpected = errors.New("not as expected")

func expect(ok bool) error {
	if !ok {
		return errExpected
	}
	return nil
}

// word is text as credentials are: printable ASCII without spaces.
func word(to *string) value {
	return textWithout(to, func(r rune) bool { return r <= ' ' || r > '~' })
}

// text is any text of one line.
func text(to *string) value { return textWithout(to, unicode.IsControl) }

func textWithout(to *string, bad func(rune) bool) value {
	return value{func(v string) error {
		*to = v
		return expect(!strings.ContainsFunc(v, bad))
	}, func() string { return *to }}
}

// number is a whole number from 1 to max, or a word for max, which may be "".
func number(to *int, max int, wordForMax string) value {
	return value{func(v string) (err error) {
		if v == wordForMax {
			v = strconv.Itoa(max)
		}
		*to, err = strconv.Atoi(v)
		return expect(err == nil && *to >= 1 && *to <= max)
	}, func() string { return strconv.Itoa(*to) }}
}

// rate is a number above 0.
func rate(to *float64) value {
	return value{func(v string) (err error) {
		*to, err = strconv.ParseFloat(v, 64)
		return expect(err == nil && *to > 0 && *to <= 1e6)
	}, func() string { return strconv.FormatFloat(*to, 'f', -1, 64) }}
}

// share is a percentage, with or without its sign. 0.2 may be meant as a share, and is refused.
func share(to *float64) value {
	return value{func(v string) error {
		number, isPercent := strings.CutSuffix(v, "%")
		percent, err := strconv.ParseFloat(number, 64)
		*to = percent / 100
		return expect(err == nil && percent >= 0 && percent < 100 && (isPercent || percent == 0 || percent >= 1))
	}, func() string { return strconv.FormatFloat(*to*100, 'g', 6, 64) + "%" }}
}

func policy(to *MetadataPolicy) value {
	return value{func(v string) error {
		if v == "strict-to-schema" { // its name in earlier versions
			v = Strict.String()
		}
		i := slices.Index(policyNames, v)
		*to = MetadataPolicy(max(i, 0))
		return expect(i >= 0)
	}, func() string { return to.String() }}
}

func identifiers(to *[]mapping.Identifier) value {
	return value{func(v string) (err error) {
		*to, err = mapping.ParseIdentifiers(v)
		return expect(err == nil)
	}, func() string {
		var names []string
		for _, id := range *to {
			names = append(names, id.String())
		}
		return strings.Join(names, ",")
	}}
}

// apiURL is the URL of an API, to which the client adds the path.
func apiURL(to **url.URL) value {
	return value{func(v string) error {
		u, err := httpretry.ParseBaseURL(v)
		if err != nil {
			return errExpected
		}
		*to = u
		if u.Path != "" {
			return errors.New("has a path: leave out what follows the host")
		}
		return nil
	}, func() string { return showURL(*to) }}
}

// secretURL is a URL whose path and query give access.
func secretURL(to **url.URL) value {
	return value{func(v string) error {
		u, err := url.Parse(v)
		if err != nil || u.User != nil || strings.Contains(v, "#") {
			return errExpected
		}
		base, err := httpretry.ParseBaseURL((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
		if err != nil {
			return errExpected
		}
		u.Host = base.Host
		*to = u
		return nil
	}, func() string { return showURL(*to) }}
}

func showURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// warehouseURL is the URL of a database. Its errors quote nothing of it.
func warehouseURL(to *Warehouse) value {
	return value{func(v string) (err error) {
		to.URL = v
		if profilessync.IsNative(v) {
			if to.native, err = profilessync.ParseNative(v); err != nil {
				return errors.New(strings.TrimPrefix(err.Error(), "the URL of the warehouse "))
			}
			to.Schema = to.native.Schema
			return nil
		}
		if to.config, err = profilessync.ParseURL(v); err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "the URL of the warehouse "))
		}
		return nil
	}, func() string { return to.URL }}
}
