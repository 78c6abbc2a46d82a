package sandbox

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// shape names what is special about a profile.
type shape string

const (
	plain            shape = "plain"
	anonymous        shape = "anonymous_id only"
	severalIDs       shape = "several user_ids"
	tiedIDs          shape = "user_ids of one age"
	hiddenID         shape = "user_id beyond 25 ids"
	manyIDs          shape = "more than 25 user_ids"
	manyTraits       shape = "230 traits"
	veryManyTraits   shape = "450 traits"
	camelCase        shape = "camelCase"
	snakeCase        shape = "snake_case"
	bothCases        shape = "camelCase and snake_case"
	unicodeValues    shape = "unicode"
	controlChars     shape = "control characters"
	oddKeys          shape = "odd trait keys"
	dateUTC          shape = "birthdate with Z"
	dateOffset       shape = "birthdate with offset"
	dateFraction     shape = "birthdate with fraction"
	dateColonMillis  shape = "birthdate with :sssZ"
	dateImpossible   shape = "birthdate 2023-02-29"
	dateSlashes      shape = "birthdate with slashes"
	dateNumber       shape = "birthdate number"
	dateObject       shape = "birthdate object"
	dateEmpty        shape = "birthdate empty"
	birthdayOnly     shape = "birthday"
	addressText      shape = "address string"
	addressCamel     shape = "address postalCode, street"
	addressSnake     shape = "address postal_code, line_1"
	numbers          shape = "numbers for strings"
	exponents        shape = "exponents, boolean"
	nestedMetadata   shape = "nested metadata"
	metadataText     shape = "metadata string"
	traitsNull       shape = "traits null"
	traitsEmpty      shape = "no traits"
	hugeIntegers     shape = "huge integers"
	merged           shape = "shared user_id"
	arrayName        shape = "name array"
	noBirthdate      shape = "nulls and empty strings"
	vanished         shape = "vanished"
	shapesInOneCycle       = 50
)

// mixedShapes returns the shapes of 50 consecutive profiles, in no order: each
// at least once, 16 % anonymous, the rest plain.
func mixedShapes() []shape {
	shapes := []shape{
		severalIDs, tiedIDs, hiddenID, manyIDs, manyTraits, veryManyTraits, camelCase, snakeCase, bothCases,
		unicodeValues, controlChars, oddKeys, dateUTC, dateOffset, dateFraction, dateColonMillis, dateImpossible,
		dateSlashes, dateNumber, dateObject, dateEmpty, birthdayOnly, addressText, addressCamel, addressSnake,
		numbers, exponents, nestedMetadata, metadataText, traitsNull, traitsEmpty, hugeIntegers, merged, arrayName,
		noBirthdate, vanished,
	}
	for range 8 {
		shapes = append(shapes, anonymous)
	}
	for len(shapes) < shapesInOneCycle {
		shapes = append(shapes, plain)
	}
	return shapes
}

// cleanShapes returns mixedShapes with plain ones instead of those that
// Options.Clean leaves out.
func cleanShapes() []shape {
	shapes := mixedShapes()
	left := 2 // anonymous ones
	for i, sh := range shapes {
		switch sh {
		case anonymous:
			if left--; left < 0 {
				shapes[i] = plain
			}
		case vanished, controlChars, dateNumber, dateObject, dateEmpty:
			shapes[i] = plain
		}
	}
	return shapes
}

// trait is one trait of a profile; value is JSON.
type trait struct{ key, value string }

// traitList is the traits of a profile.
type traitList []trait

func (l *traitList) set(key, value string) {
	l.remove(key)
	*l = append(*l, trait{key, value})
}

func (l *traitList) remove(keys ...string) {
	*l = slices.DeleteFunc(*l, func(t trait) bool { return slices.Contains(keys, t.key) })
}

// sort sorts the traits bytewise by key.
func (l traitList) sort() {
	slices.SortFunc(l, func(a, b trait) int { return strings.Compare(a.key, b.key) })
}

// traits returns the traits of profile i, sorted bytewise by key. null tells
// that the API answers null instead of an object.
func (s *space) traits(i int) (list traitList, null bool) {
	switch sh := s.shape(i); sh {
	case plain, anonymous:
		return s.plainTraits(i), false
	case traitsNull:
		return nil, true
	case traitsEmpty:
		return nil, false
	default:
		list = s.plainTraits(i)
		list.bend(sh)
		list.sort()
		return list, false
	}
}

// plainTraits returns valid traits, sorted.
func (s *space) plainTraits(i int) traitList {
	n := padded(i)
	h := mix(s.seed, uint64(i), 0x7a17)
	first := [...]string{"Ada", "Grace", "Alan", "Edith", "Ivan", "Maya", "Noor", "Otto"}[h%8]
	last := [...]string{"Ashbrook", "Birchfield", "Cedarton", "Elmgate", "Fernhall", "Hazelmoor", "Larkstone", "Oakwell"}[h>>8%8]
	city := [...]string{"Springfield", "Riverton", "Lakeside", "Hillview"}[h>>16%4]
	birth := strconv.Itoa(int(1950+h>>24%50)) + "-0" + strconv.Itoa(int(1+h>>32%9)) + "-1" + strconv.Itoa(int(h>>40%10))
	return traitList{
		{"address", `{"city":"` + city + `","country":"US","postalCode":"` + n[2:] + `","state":"CA","street":"` + strconv.Itoa(int(h>>48%900)+1) + ` Main Street"}`},
		{"big_spender", strconv.FormatBool(h>>3%2 == 0)},
		{"birthdate", `"` + birth + `"`},
		{"createdAt", `"2022-11-02T08:00:01.101Z"`},
		{"description", `"Customer since 2022"`},
		{"email", `"ada.` + n + `@example.com"`},
		{"favorite_brands", `["Acme","Globex"]`},
		{"lifetime_value", strconv.Itoa(int(h>>5%5000)) + ".5"},
		{"metadata", `{"lang":"en","test":true}`},
		{"name", `"` + first + ` ` + last + `"`},
		{"phone", `"+1555` + n + `"`},
	}
}

// bend changes plain traits into those of a shape.
func (l *traitList) bend(sh shape) {
	switch sh {
	case manyTraits, veryManyTraits:
		count := 230
		if sh == veryManyTraits {
			count = 450
		}
		for k := range count - len(*l) {
			*l = append(*l, trait{"a_trait_" + padded(k), strconv.Itoa(k)})
		}
	case camelCase:
		l.remove("name")
		l.set("firstName", `"Grace"`)
		l.set("lastName", `"Elmgate"`)
	case snakeCase:
		l.remove("name")
		l.set("first_name", `"Grace"`)
		l.set("last_name", `"Elmgate"`)
		l.set("created_at", `"2022-11-02T08:00:01Z"`)
	case bothCases:
		l.remove("name")
		l.set("firstName", `"Ada"`)
		l.set("first_name", `"ADA"`)
		l.set("last_name", `"Oakwell"`)
	case unicodeValues:
		l.set("name", quoted("Zoë Łąka-北京 🎈"))
		l.set("description", quoted("naïve café, e\u0301 and \u00a0 spaces, \u2028 separator"))
	case controlChars:
		l.set("name", quoted("Zoë\u0007 \u202eLarkstone"))
		l.set("description", quoted("two\nlines\tand \u001b[31mred\u001b[0m <b>&amp;</b>"))
		l.set("birthdate", quoted("\u001b[2J1984-05-02\r\u202e\u0000"))
	case oddKeys:
		for _, key := range []string{
			"3_product_views_in_last_60_days", "Campaign Name", "Invited User?", "a+b", "last,first", "größe",
			"100%", "a&b=c", "tab\tkey", "\u202ekey", "🎈", `quote"back\slash`, " ",
		} {
			l.set(key, quoted("value of "+key))
		}
	case noBirthdate:
		l.set("birthdate", `null`)
		l.set("phone", `""`)
		l.set("description", `null`)
		l.set("address", `{"city":null,"country":"","state":"CA"}`)
	case addressText:
		l.set("address", `"1 Main Street, Springfield"`)
		l.set("city", `"Springfield"`)
		l.set("country", `"US"`)
		l.set("postal_code", `"02818"`)
		l.set("state", `"CA"`)
		l.set("street", `"1 Main Street"`)
	case addressCamel:
		l.set("address", `{"city":"Riverton","country":"US","line_2":"Floor 2","postalCode":"02818","state":"CA","street":"2 Main Street"}`)
	case addressSnake:
		l.set("address", `{"city":"Riverton","country":"US","postal_code":"02819","state":"CA","line_1":"3 Main Street"}`)
	case numbers:
		l.set("address", `{"city":7,"country":"US","postalCode":90001,"state":true,"street":{"name":"Main Street"}}`)
		l.set("phone", `48123456789`)
	case exponents:
		l.set("address", `{"city":"Hillview","postalCode":9.0001e4,"street":1.2e3}`)
		l.set("phone", `4.8123456789e10`)
		l.set("description", `true`)
	case nestedMetadata:
		l.set("metadata", `{"lang":"en","visits":3,"tags":["a","b"],"store":{"id":"L1","open":{"from":9}},"gone":null}`)
	case metadataText:
		l.set("metadata", `"lang=en"`)
	case hugeIntegers:
		l.set("customer_number", `9007199254740993`)
		l.set("metadata", `{"customer_number":9007199254740993,"balance":0.1000000000000000055}`)
		l.set("phone", `9007199254740993`)
	case arrayName:
		l.set("name", `["Ada","Oakwell"]`)
	default:
		l.bendBirthdate(sh)
	}
}

func (l *traitList) bendBirthdate(sh shape) {
	switch sh {
	case dateUTC:
		l.set("birthdate", `"1984-05-02T00:00:00Z"`)
	case dateOffset:
		l.set("birthdate", `"1984-05-02T23:30:00-05:00"`)
	case dateFraction:
		l.set("birthdate", `"1984-05-02T22:15:00.000Z"`)
	case dateColonMillis:
		l.set("birthdate", `"1984-05-02T10:11:12:345Z"`)
	case dateImpossible:
		l.set("birthdate", `"2023-02-29"`)
	case dateSlashes:
		l.set("birthdate", `"05/02/1984"`)
	case dateNumber:
		l.set("birthdate", `452304000`)
	case dateObject:
		l.set("birthdate", `{"year":1984,"month":5,"day":2}`)
	case dateEmpty:
		l.set("birthdate", `""`)
	case birthdayOnly:
		l.remove("birthdate")
		l.set("birthday", `"1984-05-02T00:00:00.000Z"`)
	}
}

// traitClass is what the class parameter calls a trait: "audience",
// "computed_trait", or "" for one that was sent to Segment.
func traitClass(key string) string {
	switch key {
	case "big_spender":
		return "audience"
	case "lifetime_value":
		return "computed_trait"
	default:
		return ""
	}
}

// quoted returns s as a JSON string.
func quoted(s string) string {
	special := func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
	if strings.IndexFunc(s, special) < 0 {
		return `"` + s + `"`
	}
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
