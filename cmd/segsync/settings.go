package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// settings are what the environment and the .env file say. The rows of table tell what
// each is called there.
type settings struct {
	segmentToken, spaceID string
	segmentURL            *url.URL
	segmentRate           float64 // requests per second
	appID, secretKey      string
	voucherifyURL         *url.URL

	identifiers           []mapping.Identifier
	pageSize, traitsLimit int
	batchSize             int     // at most maxBatchSize, which means as many as fit
	reserve               float64 // share of Voucherify's quotas left to others

	mappingFile    string // "" for the default mapping
	mapping        mapping.Mapping
	metadataPolicy string // strictToSchema, asIs, or "": that the project decides

	warehouse warehouseSettings
	ending    endingSettings

	warnings []settingWarning         // names in the environment that look like misspelled settings
	origin   func(name string) string // see originIn; nil where there is no .env file
}

// warehouseSettings say where Segment's Profiles Sync writes to.
type warehouseSettings struct {
	url    string // with its password: never shown; "" if there is none
	schema string
}

// endingSettings say who is told of the end of an import. Both URLs are secrets: their
// paths give access. They are nil if they are not set.
type endingSettings struct {
	notify *url.URL // takes the summary
	ping   *url.URL // of a dead man's switch, such as healthchecks.io
}

// The values of METADATA_POLICY.
const (
	strictToSchema = "strict-to-schema"
	asIs           = "as-is"
)

// maxBatchSize is the value of VOUCHERIFY_BATCH_SIZE=max. What a request takes in bytes
// is reached before.
const maxBatchSize = 100_000

// secrets returns the values that must never be shown.
func (s *settings) secrets() []string {
	all := []string{s.segmentToken, s.appID, s.secretKey, s.warehouse.url}
	if u, err := url.Parse(s.warehouse.url); err == nil && u.User != nil {
		password, _ := u.User.Password()
		_, escaped, _ := strings.Cut(u.User.String(), ":")
		all = append(all, password, escaped)
	}
	for _, u := range []*url.URL{s.ending.notify, s.ending.ping} {
		if u == nil {
			continue
		}
		all = append(all, u.String())
		if path := u.RequestURI(); len(path) >= minSecret { // not a path that other texts have, such as /
			all = append(all, path)
		}
	}
	return slices.DeleteFunc(all, func(secret string) bool { return secret == "" })
}

// identifier returns the identifiers as they are set.
func (s *settings) identifier() string { return identifiersValue{&s.identifiers}.String() }

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

// needs are the services that a command cannot do without. Their credentials are
// required; all other settings may be missing, but are checked where they are set.
type needs struct{ segment, voucherify, warehouse bool }

// loadSettings reads all settings by lookup, which returns "" for one that is not set.
// Without needs, both APIs are needed. Its error lists everything that is missing or
// wrong, and quotes no value: what stands in the wrong place may be a secret.
func loadSettings(lookup func(name string) string, of ...needs) (*settings, error) {
	need := needs{segment: true, voucherify: true}
	if len(of) > 0 {
		need = of[0]
	}
	s := &settings{mapping: mapping.Default(), warnings: misspelledIn(os.Environ())}
	return s, s.load(s.table(), need, lookup)
}

// loadOfflineSettings reads the settings that matter where nothing is sent.
func loadOfflineSettings(lookup func(name string) string) (*settings, error) {
	s := &settings{mapping: mapping.Default(), warnings: misspelledIn(os.Environ())}
	return s, s.load(s.mappingRows(), needs{}, lookup)
}

// load reads the settings of the rows.
func (s *settings) load(rows []setting, need needs, lookup func(string) string) error {
	given := make(map[string]string)
	for _, row := range rows {
		given[row.name] = lookup(row.name)
	}
	var problems []string
	for _, row := range rows {
		if problem := row.read(given, need); problem != "" {
			problems = append(problems, row.name+" "+problem)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &hinted{
		errors.New("settings are missing or wrong:\n" + strings.Join(problems, "\n")),
		"set them in the environment or in a .env file (.env-example shows all); segsync import --sandbox needs none",
	}
}

// shownSetting is a setting as a person may see it.
type shownSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"` // of a secret only whether it is set
	From  string `json:"from"`  // "environment", ".env, line 3", or "default"
}

// shown returns all settings as they are in force.
func (s *settings) shown() []shownSetting {
	origin := s.origin
	if origin == nil {
		origin = originIn(nil)
	}
	var all []shownSetting
	for _, row := range s.table() {
		value := row.value.String()
		if row.secret && value == "" {
			value = "not set"
		} else if row.secret {
			value = "set"
		}
		all = append(all, shownSetting{row.name, value, cmp.Or(origin(row.name), "default")})
	}
	return all
}
