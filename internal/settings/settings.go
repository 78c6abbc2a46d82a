// Package settings reads the settings from the environment and a .env file. Its table is the
// only list of their names and defaults.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"segsync/importer/mapping"
	"segsync/profilessync"
)

// Settings are the values that a command works with.
type Settings struct {
	Segment    Segment
	Voucherify Voucherify
	Warehouse  Warehouse
	Ending     Ending

	Identifiers []mapping.Identifier
	MappingFile string // "" for the default mapping
	Mapping     mapping.Mapping

	Warnings []Warning         // of names in the environment that look like misspelled settings
	origins  map[string]string // by the names of settings that are not default
}

// Segment says how to read from Segment's Profile API.
type Segment struct {
	Token, SpaceID        string // both "" where a command does not need them
	URL                   *url.URL
	Rate                  float64 // requests per second
	PageSize, TraitsLimit int
}

// Voucherify says how to write to Voucherify's API.
type Voucherify struct {
	AppID, SecretKey string // both "" where a command does not need them
	URL              *url.URL
	BatchSize        int     // at most MaxBatchSize
	Reserve          float64 // share of each quota that is left to others
	Policy           MetadataPolicy
}

// Warehouse is where Segment's Profiles Sync writes to.
type Warehouse struct {
	URL    string // with its password: never shown; "" if there is none
	Schema string
	config *pgconn.Config       // of the URL; nil if there is none
	native *profilessync.Native // likewise, of a warehouse with a REST API
	login  profilessync.Credentials
}

// Ending says who is notified of the end of an import. Both URLs are secrets, and nil if not
// set.
type Ending struct {
	Notify *url.URL // takes the summary
	Ping   *url.URL // of a dead man's switch, such as healthchecks.io
}

// MaxBatchSize is the value of VOUCHERIFY_BATCH_SIZE=max. The limit of a request in bytes is
// reached before.
const MaxBatchSize = 100_000

// MetadataPolicy says what is sent of metadata that the project's schema refuses.
type MetadataPolicy int

// The policies.
const (
	Fit    MetadataPolicy = iota // keys that the schema defines are converted to its types, or left out
	Strict                       // keys that it does not define are left out, too
	AsIs                         // all of it
)

var policyNames = []string{Fit: "fit", Strict: "strict", AsIs: "as-is"}

func (p MetadataPolicy) String() string { return policyNames[p] }

// Identifier returns IDENTIFIER_SAVED_AS_SOURCE_ID.
func (s *Settings) Identifier() string { return identifiers(&s.Identifiers).show() }

// Secrets returns the values that must never be shown.
func (s *Settings) Secrets() []string {
	all := []string{s.Segment.Token, s.Voucherify.AppID, s.Voucherify.SecretKey, s.Warehouse.URL}
	if s.Warehouse.config != nil {
		all = append(all, s.Warehouse.config.Password)
	}
	login := s.Warehouse.login
	all = append(all, login.SnowflakePassphrase, login.SnowflakeToken, login.GoogleToken, login.DatabricksToken, login.DatabricksClientSecret)
	for _, u := range []*url.URL{s.Ending.Notify, s.Ending.Ping} {
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

// Needs are the services whose settings a command requires. Other settings may be missing,
// but are checked where they are set.
type Needs struct{ Segment, Voucherify, Warehouse bool }

// Env is where settings are read from.
type Env struct {
	Sandbox map[string]string // those of the embedded sandbox, which win
	Environ []string          // as os.Environ returns it
	File    *File             // for what the environment does not set; nil: there is none
}

func (e Env) lookup(name string) (value, origin string) {
	if v := e.Sandbox[name]; v != "" {
		return v, "sandbox"
	}
	for _, assignment := range e.Environ {
		if v, found := strings.CutPrefix(assignment, name+"="); found && strings.TrimSpace(v) != "" {
			return strings.TrimSpace(v), "environment"
		}
	}
	if e.File == nil || e.File.values[name].text == "" {
		return "", ""
	}
	v := e.File.values[name]
	return v.text, fmt.Sprintf("%s, line %d", e.File.path, v.line)
}

// describe says where settings were read from, as the beginning of a hint.
func (e Env) describe() string {
	if e.File == nil {
		return "the settings were read from the environment"
	}
	path, err := filepath.Abs(e.File.path)
	if err != nil {
		path = e.File.path
	}
	if e.File.missing {
		return "there is no file " + filepath.Base(path) + " in " + filepath.Dir(path)
	}
	if len(e.File.values) == 0 {
		return path + " has no settings"
	}
	return "the settings were read from " + path + " and the environment"
}

// Error is an error of the settings with a hint. It quotes no value: what stands in the wrong
// place may be a secret.
type Error struct {
	error
	hint string
}

func (e *Error) Hint() string  { return e.hint }
func (e *Error) Unwrap() error { return e.error }

// Load reads all settings. Its error lists all that are missing or wrong; the others are
// valid even then.
func Load(env Env, need Needs) (*Settings, error) { return load(env, need, (*Settings).table) }

// LoadMapping reads only the settings that matter where nothing is read or sent.
func LoadMapping(env Env) (*Settings, error) { return load(env, Needs{}, (*Settings).mappingRows) }

func load(env Env, need Needs, rowsOf func(*Settings) []row) (*Settings, error) {
	s := &Settings{Mapping: mapping.Default(), Warnings: misspelled(env.Environ), origins: make(map[string]string)}
	rows, given := rowsOf(s), make(map[string]string)
	anyRequired := false // whether one of the required settings is there
	for _, r := range rows {
		given[r.name], s.origins[r.name] = env.lookup(r.name)
		anyRequired = anyRequired || r.isRequired(need) && given[r.name] != ""
	}
	var problems []string
	for _, r := range rows {
		if problem := r.read(given, need); problem != "" {
			problems = append(problems, r.name+" "+problem)
		}
	}
	if problems == nil {
		return s, nil
	}
	hint := env.describe() + "; .env-example explains each setting"
	if !anyRequired && need != (Needs{}) {
		hint += ". segsync import --sandbox needs none"
	}
	return s, &Error{errors.New("settings are missing or wrong:\n" + strings.Join(problems, "\n")), hint}
}

// ReadMapping reads the mapping from the file that --mapping names, else SEGSYNC_MAPPING.
func (s *Settings) ReadMapping(flag string) error {
	named := "SEGSYNC_MAPPING"
	if flag != "" {
		named, s.MappingFile = "--mapping", flag
		s.origins["SEGSYNC_MAPPING"] = named
	}
	if s.MappingFile == "" {
		return nil
	}
	data, err := os.ReadFile(s.MappingFile)
	if err != nil {
		return &Error{fmt.Errorf("%s: reading the mapping: %w", named, err), "segsync mapping > FILE makes one to start from"}
	}
	if s.Mapping, err = mapping.Parse(s.MappingFile, data); err != nil {
		return &Error{fmt.Errorf("the mapping has mistakes:\n%w", err),
			"segsync mapping prints the default one, with comments that explain the form"}
	}
	return nil
}

// IsFrom reports whether a secret was read from the file.
func (s *Settings) IsFrom(path string) bool {
	return slices.ContainsFunc(s.table(), func(r row) bool { return r.secret && strings.HasPrefix(s.origins[r.name], path+", line ") })
}

// Item is a setting as it may be shown.
type Item struct {
	Name  string `json:"name"`
	Value string `json:"value"` // of a secret only whether it is set
	From  string `json:"from"`  // "environment", ".env, line 3", "--mapping", "sandbox", or "default"
}

// List returns all settings as they are in force.
func (s *Settings) List() []Item {
	var all []Item
	for _, r := range s.table() {
		value := r.show()
		if r.secret && value == "" {
			value = "not set"
		} else if r.secret {
			value = "set"
		}
		all = append(all, Item{r.name, value, cmp.Or(s.origins[r.name], "default")})
	}
	return all
}
