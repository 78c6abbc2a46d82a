package settings

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// row is a setting: its name, what it may be, and where its value goes.
type row struct {
	name string
	value
	expected string           // "NAME must be …"
	fallback string           // its value if it is not set
	unset    string           // what it means that it is not set, where it has no fallback
	required func(Needs) bool // nil: never
	hint     string           // where a required one is found
	secret   bool
}

func (r row) isRequired(need Needs) bool { return r.required != nil && r.required(need) }

// table returns all settings, bound to the fields of s.
func (s *Settings) table() []row {
	return slices.Concat(s.apiRows(), s.mappingRows(), s.otherRows())
}

func (s *Settings) apiRows() []row {
	segment, vch := &s.Segment, &s.Voucherify
	forSegment, forVoucherify := func(n Needs) bool { return n.Segment }, func(n Needs) bool { return n.Voucherify }
	const hintSegment = "see Unify > Unify settings > API access in Segment"
	const hintVoucherify = "see Project Settings > Application Keys in Voucherify"
	const expectedURL = "an https:// URL without user, query or fragment; http:// is for loopback only"
	return []row{
		{name: "SEGMENT_ACCESS_TOKEN", value: word(&segment.Token), secret: true,
			expected: "a token without spaces", required: forSegment, hint: hintSegment},
		{name: "SEGMENT_SPACE_ID", value: word(&segment.SpaceID),
			expected: "an id without spaces", required: forSegment, hint: hintSegment},
		{name: "SEGMENT_API_URL", value: apiURL(&segment.URL), expected: expectedURL, fallback: segmentprofiles.DefaultBaseURL},
		{name: "SEGMENT_RATE_LIMIT", value: rate(&segment.Rate),
			expected: "a number of requests per second above 0", fallback: "100"},
		{name: "SEGMENT_REQUEST_LIMIT", value: number(&segment.PageSize, segmentprofiles.MaxProfilesLimit, ""),
			expected: fmt.Sprintf("a whole number from 1 to %d", segmentprofiles.MaxProfilesLimit), fallback: "100"},
		{name: "SEGMENT_TRAITS_LIMIT", value: number(&segment.TraitsLimit, segmentprofiles.MaxTraitsLimit, ""),
			expected: fmt.Sprintf("a whole number from 1 to %d", segmentprofiles.MaxTraitsLimit), fallback: "200"},

		{name: "VOUCHERIFY_APPLICATION_ID", value: word(&vch.AppID), secret: true,
			expected: "an id without spaces", required: forVoucherify, hint: hintVoucherify},
		{name: "VOUCHERIFY_SECRET_KEY", value: word(&vch.SecretKey), secret: true,
			expected: "a key without spaces", required: forVoucherify, hint: hintVoucherify},
		{name: "VOUCHERIFY_API_URL", value: apiURL(&vch.URL), expected: expectedURL, fallback: voucherify.DefaultBaseURL},
		{name: "VOUCHERIFY_BATCH_SIZE", value: number(&vch.BatchSize, MaxBatchSize, "max"),
			expected: "a whole number from 1 to 100,000, written 100000, or max", fallback: "100"},
		{name: "VOUCHERIFY_RESERVE", value: share(&vch.Reserve), expected: "a percentage from 0% to 99%", fallback: "20%"},
		{name: "METADATA_POLICY", value: policy(&vch.Policy), expected: "fit, strict or as-is", fallback: "fit"},
	}
}

func (s *Settings) mappingRows() []row {
	return []row{
		{name: "IDENTIFIER_SAVED_AS_SOURCE_ID", value: identifiers(&s.Identifiers),
			expected: "types of external IDs or traits, each once, such as user_id,email,trait:email", fallback: "user_id"},
		{name: "SEGSYNC_MAPPING", value: text(&s.MappingFile),
			expected: "the name of a file", unset: "the mapping that segsync mapping prints"},
	}
}

func (s *Settings) otherRows() []row {
	required := func(n Needs) bool { return n.Warehouse }
	requiredSchema := func(n Needs) bool { return n.Warehouse && s.Warehouse.native == nil } // else the URL has it
	login := &s.Warehouse.login
	const expectedWord, forVendor = "a text without spaces", "none: for that warehouse only"
	const hint = "see the warehouse of Unify > Profiles Sync in Segment"
	const expectedURL = "an https:// URL without user or fragment; http:// is for loopback only"
	return []row{
		{name: "SEGSYNC_WAREHOUSE_URL", value: warehouseURL(&s.Warehouse), secret: true,
			expected: "a URL such as postgres://user:password@db.example.com/profiles, or redshift://…, snowflake://…, bigquery://…, databricks://…", required: required, hint: hint},
		{name: "SEGSYNC_WAREHOUSE_SCHEMA", value: text(&s.Warehouse.Schema),
			expected: "the name of a schema", required: requiredSchema, hint: hint},
		{name: "SNOWFLAKE_PRIVATE_KEY_FILE", value: text(&login.SnowflakeKeyFile), expected: "the name of a file", unset: forVendor},
		{name: "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", value: text(&login.SnowflakePassphrase), secret: true, expected: "a text", unset: forVendor},
		{name: "SNOWFLAKE_TOKEN", value: word(&login.SnowflakeToken), secret: true, expected: expectedWord, unset: forVendor},
		{name: "GOOGLE_APPLICATION_CREDENTIALS", value: text(&login.GoogleKeyFile), expected: "the name of a file", unset: forVendor},
		{name: "GOOGLE_OAUTH_ACCESS_TOKEN", value: word(&login.GoogleToken), secret: true, expected: expectedWord, unset: forVendor},
		{name: "DATABRICKS_TOKEN", value: word(&login.DatabricksToken), secret: true, expected: expectedWord, unset: forVendor},
		{name: "DATABRICKS_CLIENT_ID", value: word(&login.DatabricksClientID), expected: expectedWord, unset: forVendor},
		{name: "DATABRICKS_CLIENT_SECRET", value: word(&login.DatabricksClientSecret), secret: true, expected: expectedWord, unset: forVendor},
		{name: "NOTIFY_URL", value: secretURL(&s.Ending.Notify), secret: true, expected: expectedURL, unset: "no notification"},
		{name: "PING_URL", value: secretURL(&s.Ending.Ping), secret: true, expected: expectedURL, unset: "no ping"},
	}
}

// Names returns the names of all settings.
func Names() (names []string) {
	for _, r := range new(Settings).table() {
		names = append(names, r.name)
	}
	return names
}

// Description is what a manual says of a setting.
type Description struct{ Name, Expected, Default string }

// Descriptions returns what a manual says of each setting.
func Descriptions() (all []Description) {
	for _, r := range new(Settings).table() {
		all = append(all, Description{r.name, r.expected, r.fallback + r.unset})
	}
	return all
}

// read sets the value from what is given, by name, and says what is wrong with it.
func (r row) read(given map[string]string, need Needs) (problem string) {
	v := given[r.name]
	if v == "" && r.isRequired(need) {
		return "is missing: " + r.hint
	}
	if v == "" && r.fallback == "" {
		return ""
	}
	if v == "" {
		v = r.fallback
	} else if problem := r.misplaced(v, given); problem != "" {
		return problem
	}
	const pasted = "“”„‟‘’‚‛«»"
	err := r.set(v)
	first, _ := utf8.DecodeRuneInString(v)
	switch {
	case strings.ContainsRune(pasted, first), err != nil && strings.ContainsAny(v, pasted):
		return "contains “ ” quotation marks: write it without them"
	case len(v) > 1 && v[0] == v[len(v)-1] && (v[0] == '"' || v[0] == '\''): // docker's --env-file keeps them
		return "is in quotes, which are part of it: write it without them"
	case err == nil:
		return ""
	case err == errExpected:
		problem = "must be " + r.expected
	default:
		problem = err.Error()
	}
	if r.hint != "" {
		return problem + ": " + r.hint
	}
	return problem + " (default: " + r.fallback + r.unset + ")"
}

// minSecret is the length from which on a value is looked for in others. A shorter one may be
// in them by chance.
const minSecret = 8

// misplaced says whether v has what belongs to another setting. That may be a secret, and v
// is one that is shown.
func (r row) misplaced(v string, given map[string]string) (problem string) {
	for _, other := range new(Settings).table() {
		secret := given[other.name]
		switch {
		case strings.Contains(v, other.name+"="):
			return "holds the setting " + other.name + ", too: the end of the line between them is missing"
		case other.secret && !r.secret && len(secret) >= minSecret && strings.Contains(v, secret):
			return "holds the value of " + other.name
		}
	}
	const prefix = "spa_" // of the ids of spaces
	if r.name == "SEGMENT_SPACE_ID" && !strings.HasPrefix(v, prefix) && strings.HasPrefix(given["SEGMENT_ACCESS_TOKEN"], prefix) {
		return "is swapped with SEGMENT_ACCESS_TOKEN: ids of spaces begin with " + prefix
	}
	return ""
}
