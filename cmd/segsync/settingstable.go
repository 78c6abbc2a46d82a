package main

import (
	"fmt"
	"slices"
	"strings"

	"segsync/segmentprofiles"
	"segsync/voucherify"
)

const (
	hintSegment    = "see Unify > Unify settings > API access in Segment"
	hintVoucherify = "see Project Settings > Application Keys in Voucherify"
	hintWarehouse  = "see the warehouse of Unify > Profiles Sync in Segment"
)

// minSecret is the length from which on a value is looked for in others. A shorter one
// is in them by chance.
const minSecret = 8

// setting is a row of the table of all settings: its name, what it may be, and where its
// value goes.
type setting struct {
	name     string
	value    value
	expected string             // "NAME must be …"
	fallback string             // its value if it is not set
	unset    string             // what it means that it is not set, where it has no fallback
	required func(n needs) bool // nil if it never is
	hint     string             // where a required one is found
	secret   bool
}

// table returns all settings, bound to the fields of s.
func (s *settings) table() []setting {
	return slices.Concat(s.segmentRows(), s.voucherifyRows(), s.mappingRows(), s.warehouseRows(), s.endingRows())
}

func (s *settings) segmentRows() []setting {
	required := func(n needs) bool { return n.segment }
	return []setting{
		{name: "SEGMENT_ACCESS_TOKEN", value: (*wordValue)(&s.segmentToken), secret: true,
			expected: "a token without spaces", required: required, hint: hintSegment},
		{name: "SEGMENT_SPACE_ID", value: (*wordValue)(&s.spaceID),
			expected: "an id without spaces", required: required, hint: hintSegment},
		{name: "SEGMENT_API_URL", value: baseURLValue{&s.segmentURL},
			expected: expectedURL, fallback: segmentprofiles.DefaultBaseURL},
		{name: "SEGMENT_RATE_LIMIT", value: (*rateValue)(&s.segmentRate),
			expected: "a number of requests per second above 0", fallback: "100"},
		{name: "SEGMENT_REQUEST_LIMIT", value: numberValue{&s.pageSize, segmentprofiles.MaxProfilesLimit},
			expected: fmt.Sprintf("a whole number from 1 to %d", segmentprofiles.MaxProfilesLimit), fallback: "100"},
		{name: "SEGMENT_TRAITS_LIMIT", value: numberValue{&s.traitsLimit, segmentprofiles.MaxTraitsLimit},
			expected: fmt.Sprintf("a whole number from 1 to %d", segmentprofiles.MaxTraitsLimit), fallback: "200"},
	}
}

func (s *settings) voucherifyRows() []setting {
	required := func(n needs) bool { return n.voucherify }
	return []setting{
		{name: "VOUCHERIFY_APPLICATION_ID", value: (*wordValue)(&s.appID), secret: true,
			expected: "an id without spaces", required: required, hint: hintVoucherify},
		{name: "VOUCHERIFY_SECRET_KEY", value: (*wordValue)(&s.secretKey), secret: true,
			expected: "a key without spaces", required: required, hint: hintVoucherify},
		{name: "VOUCHERIFY_API_URL", value: baseURLValue{&s.voucherifyURL},
			expected: expectedURL, fallback: voucherify.DefaultBaseURL},
		{name: "VOUCHERIFY_BATCH_SIZE", value: batchValue{numberValue{&s.batchSize, maxBatchSize}},
			expected: "a whole number from 1 to 100,000, written 100000, or max", fallback: "100"},
		{name: "VOUCHERIFY_RESERVE", value: (*shareValue)(&s.reserve),
			expected: "a percentage from 0% to 99%", fallback: "20%"},
		{name: "METADATA_POLICY", value: choiceValue{&s.metadataPolicy, []string{strictToSchema, asIs}},
			expected: strictToSchema + " or " + asIs,
			unset:    "strict-to-schema where the project allows only defined metadata, else as-is"},
	}
}

// mappingRows are the settings that matter where nothing is sent, too.
func (s *settings) mappingRows() []setting {
	return []setting{
		{name: "IDENTIFIER_SAVED_AS_SOURCE_ID", value: identifiersValue{&s.identifiers},
			expected: "types of external IDs or traits, each once, such as user_id,email,trait:email", fallback: "user_id"},
		{name: "SEGSYNC_MAPPING", value: (*textValue)(&s.mappingFile),
			expected: "the name of a file", unset: "the mapping that segsync mapping prints"},
	}
}

func (s *settings) warehouseRows() []setting {
	required := func(n needs) bool { return n.warehouse }
	return []setting{
		{name: "SEGSYNC_WAREHOUSE_URL", value: (*warehouseURLValue)(&s.warehouse.url), secret: true,
			expected: "a URL such as postgres://user:password@db.example.com/profiles or redshift://…", required: required, hint: hintWarehouse},
		{name: "SEGSYNC_WAREHOUSE_SCHEMA", value: (*textValue)(&s.warehouse.schema),
			expected: "the name of a schema", required: required, hint: hintWarehouse},
	}
}

func (s *settings) endingRows() []setting {
	return []setting{
		{name: "NOTIFY_URL", value: secretURLValue{&s.ending.notify}, secret: true,
			expected: expectedSecretURL, unset: "nobody is told"},
		{name: "PING_URL", value: secretURLValue{&s.ending.ping}, secret: true,
			expected: expectedSecretURL, unset: "nobody is told"},
	}
}

// read sets the value from what is given, by name, and says what is wrong with it.
func (row setting) read(given map[string]string, need needs) (problem string) {
	v := given[row.name]
	required := row.required != nil && row.required(need)
	if v == "" && required {
		return "is missing: " + row.hint
	}
	if v == "" && row.fallback == "" {
		return ""
	}
	if v == "" {
		v = row.fallback
	} else if problem := row.mixedUp(v, given); problem != "" {
		return problem
	} else if quoted(v) {
		return "is in quotes, which are part of it: write it without them" // as docker's --env-file keeps them
	}
	if row.value.Set(v) {
		return ""
	}
	problem = "must be " + row.expected
	switch {
	case row.hint != "":
		return problem + ": " + row.hint
	case row.fallback != "":
		return problem + " (default: " + row.fallback + ")"
	}
	return problem + " (default: " + row.unset + ")"
}

// quoted reports whether there are quotes around a value.
func quoted(v string) bool {
	return len(v) > 1 && v[0] == v[len(v)-1] && (v[0] == '"' || v[0] == '\'')
}

// mixedUp says whether v has what belongs to another setting: it may be a secret, and v
// itself is one that is shown.
func (row setting) mixedUp(v string, given map[string]string) (problem string) {
	for _, other := range new(settings).table() {
		secret := given[other.name]
		switch {
		case strings.Contains(v, other.name+"="):
			return "holds the setting " + other.name + ", too: the end of the line between them is missing"
		case other.secret && !row.secret && len(secret) >= minSecret && strings.Contains(v, secret):
			return "holds the value of " + other.name
		}
	}
	const prefix = "spa_" // of the ids of spaces
	if row.name == "SEGMENT_SPACE_ID" && !strings.HasPrefix(v, prefix) && strings.HasPrefix(given["SEGMENT_ACCESS_TOKEN"], prefix) {
		return "is swapped with SEGMENT_ACCESS_TOKEN: ids of spaces begin with " + prefix
	}
	return ""
}
