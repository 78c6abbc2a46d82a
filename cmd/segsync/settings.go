package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/joho/godotenv"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// settings are what the environment and the .env file say.
type settings struct {
	segmentToken, spaceID string
	segmentURL            *url.URL
	segmentRate           float64 // requests per second
	appID, secretKey      string
	voucherifyURL         *url.URL

	identifiers           []mapping.Identifier
	pageSize, traitsLimit int
	batchSize             int
	reserve               float64 // share of Voucherify's quotas left to others

	mappingFile    string // "" for the default mapping
	mapping        mapping.Mapping
	metadataPolicy string // strictToSchema, asIs, or "": that the project decides
}

// The values of METADATA_POLICY.
const (
	strictToSchema = "strict-to-schema"
	asIs           = "as-is"
)

// secrets returns the values that must never be shown.
func (s *settings) secrets() []string { return []string{s.segmentToken, s.appID, s.secretKey} }

// identifier returns the identifiers as they are set.
func (s *settings) identifier() string {
	var names []string
	for _, id := range s.identifiers {
		names = append(names, id.String())
	}
	return strings.Join(names, ",")
}

// strict reports whether metadata is made to fit the schema.
func (s *settings) strict(schema *voucherify.MetadataSchema) bool {
	return s.metadataPolicy == strictToSchema || s.metadataPolicy == "" && schema.AllowDefinedOnly
}

// identity says what an import with these settings is about.
func (s *settings) identity(profiles []segmentprofiles.Identifier) journal.Identity {
	id := journal.Identity{
		Space:         s.spaceID,
		SegmentURL:    s.segmentURL.String(),
		VoucherifyURL: s.voucherifyURL.String(),
		VoucherifyApp: fmt.Sprintf("%.16x", sha256.Sum256([]byte("voucherify application "+s.appID))),
		Identifier:    s.identifier(),
		Mapping:       s.mapping.Fingerprint(),
	}
	if profiles != nil {
		id.Input = fingerprint(profiles)
	}
	return id
}

const (
	hintSegment    = "see Unify > Unify settings > API access in Segment"
	hintVoucherify = "see Project Settings > Application Keys in Voucherify"
)

// loadSettings reads all settings by lookup, which returns "" for one that is not set.
// Its error lists everything that is missing or malformed.
func loadSettings(lookup func(name string) string) (*settings, error) {
	l := &loader{lookup: lookup}
	s := &settings{
		segmentToken:  l.secret("SEGMENT_ACCESS_TOKEN", hintSegment),
		spaceID:       l.secret("SEGMENT_SPACE_ID", hintSegment),
		segmentURL:    l.url("SEGMENT_API_URL", segmentprofiles.DefaultBaseURL),
		segmentRate:   l.rate("SEGMENT_RATE_LIMIT", 100),
		appID:         l.secret("VOUCHERIFY_APPLICATION_ID", hintVoucherify),
		secretKey:     l.secret("VOUCHERIFY_SECRET_KEY", hintVoucherify),
		voucherifyURL: l.url("VOUCHERIFY_API_URL", voucherify.DefaultBaseURL),
		identifiers:   l.identifiers("IDENTIFIER_SAVED_AS_SOURCE_ID", "user_id"),
		pageSize:      l.integer("SEGMENT_REQUEST_LIMIT", 100, 1, segmentprofiles.MaxProfilesLimit),
		traitsLimit:   l.integer("SEGMENT_TRAITS_LIMIT", 200, 1, segmentprofiles.MaxTraitsLimit),
		batchSize:     l.integer("VOUCHERIFY_BATCH_SIZE", 100, 1, 10_000),
		reserve:       l.share("VOUCHERIFY_RESERVE", 0.20),
		mappingFile:   l.lookup("SEGSYNC_MAPPING"),
		mapping:       mapping.Default(),
		metadataPolicy: l.choice("METADATA_POLICY", strictToSchema, asIs,
			"strict-to-schema where the project allows only defined metadata, else as-is"),
	}
	return s, l.err()
}

// loadOfflineSettings reads the settings that matter where nothing is sent.
func loadOfflineSettings(lookup func(name string) string) (*settings, error) {
	l := &loader{lookup: lookup}
	s := &settings{
		identifiers: l.identifiers("IDENTIFIER_SAVED_AS_SOURCE_ID", "user_id"),
		mappingFile: l.lookup("SEGSYNC_MAPPING"),
		mapping:     mapping.Default(),
	}
	return s, l.err()
}

// loader reads settings one by one and collects what is wrong with them.
type loader struct {
	lookup   func(string) string
	problems []string
}

// err lists the problems, or is nil.
func (l *loader) err() error {
	if len(l.problems) == 0 {
		return nil
	}
	return &hinted{
		errors.New("settings are missing or wrong:\n" + strings.Join(l.problems, "\n")),
		"set them in the environment or in a .env file (.env-example shows all); segsync import --sandbox needs none",
	}
}

func (l *loader) problem(name, format string, args ...any) {
	l.problems = append(l.problems, name+" "+fmt.Sprintf(format, args...))
}

// secret reads a required setting whose value is not shown, not even when it is wrong.
func (l *loader) secret(name, hint string) string {
	v := l.lookup(name)
	if v == "" {
		l.problem(name, "is missing: %s", hint)
	} else if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		l.problem(name, "has a space or another character that cannot be in it: %s", hint)
	}
	return v
}

func (l *loader) url(name, fallback string) *url.URL {
	v := l.lookup(name)
	if v == "" {
		v = fallback
	}
	u, err := httpretry.ParseBaseURL(v)
	if err != nil {
		l.problem(name, "is wrong: %s (default: %s)", err, fallback)
	}
	return u
}

func (l *loader) integer(name string, fallback, least, most int) int {
	v := l.lookup(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		l.problem(name, "is %q: it must be a whole number from %d to %d (default: %d)", v, least, most, fallback)
	}
	return n
}

func (l *loader) rate(name string, fallback float64) float64 {
	v := l.lookup(name)
	if v == "" {
		return fallback
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f > 0) || f > 1e6 {
		l.problem(name, "is %q: it must be a number of requests per second above 0 (default: %v)", v, fallback)
	}
	return f
}

// share reads a percentage, such as 20%.
func (l *loader) share(name string, fallback float64) float64 {
	v := l.lookup(name)
	if v == "" {
		return fallback
	}
	number, isPercent := strings.CutSuffix(v, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if err == nil && !isPercent && percent > 0 && percent < 1 {
		err = errors.New("a share, not a percentage")
	}
	if err != nil || !(percent >= 0 && percent < 100) {
		l.problem(name, "is %q: it must be a percentage from 0%% to 99%% (default: %.0f%%)", v, fallback*100)
	}
	return percent / 100
}

// choice reads one of two words, "" if it is not set; fallback says what that means.
func (l *loader) choice(name, one, other, fallback string) string {
	v := l.lookup(name)
	if v != "" && v != one && v != other {
		l.problem(name, "is %q: it must be %s or %s (default: %s)", v, one, other, fallback)
	}
	return v
}

// identifiers reads where source_id comes from.
func (l *loader) identifiers(name, fallback string) []mapping.Identifier {
	v := cmp.Or(l.lookup(name), fallback)
	ids, err := mapping.ParseIdentifiers(v)
	if err != nil {
		l.problem(name, "is %q: %s (default: %s)", v, err, fallback)
	}
	return ids
}

// lookupIn returns a lookup in the environment, then in the file.
func lookupIn(file map[string]string) func(string) string {
	return func(name string) string {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return v
		}
		return strings.TrimSpace(file[name])
	}
}

// readEnvFile reads a .env file. A missing one is empty unless it is required.
func readEnvFile(path string, required bool) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	values, line := parseEnv(data)
	if line > 0 {
		return nil, &hinted{
			fmt.Errorf("%s, line %d: not of the form NAME=value", path, line),
			"put values with special characters into single quotes, and close every quote",
		}
	}
	return values, nil
}

// parseEnv parses a .env file. If it is malformed, it returns the number of the line
// with the mistake: godotenv's own errors quote the rest of the file, secrets
// included.
func parseEnv(data []byte) (values map[string]string, badLine int) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	values, err := godotenv.UnmarshalBytes(data)
	if _, nameless := values[""]; err == nil && !nameless {
		return values, 0
	}
	// The mistake is in the line after the longest part that can be parsed. A shorter
	// part may end within a quoted value of several lines.
	lines := bytes.SplitAfter(data, []byte("\n"))
	for n := len(lines) - 1; n > 0; n-- {
		part, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil))
		if _, nameless := part[""]; err == nil && !nameless {
			return nil, n + 1
		}
	}
	return nil, 1
}
