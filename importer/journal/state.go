package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"segsync/importer/mapping"
)

// version changes with every change of State that an older program would misread.
const version = 2

// State is what is known of an import that may be continued. It is saved after the
// reports it speaks of, and holds neither secrets nor traits. A State is never changed
// once it is saved; the next one takes its place.
type State struct {
	Version int `json:"version"`
	Identity
	Started  time.Time `json:"started"`        // when its listing began, by the source's clock
	From     string    `json:"from"`           // the offset where it began
	Since    time.Time `json:"since,omitzero"` // import only profiles active after this
	Position Position  `json:"position"`
	Counts   Counts    `json:"counts"`
	Actions  []Action  `json:"actions"` // of accepted customers that are not confirmed yet
	// Files are the parts of the files beside the state that belong to it. What is behind
	// them was written after it was saved, and is written again.
	Files    map[string]Extent `json:"files"`
	Finished time.Time         `json:"finished,omitzero"` // zero: can be continued
	Last     Last              `json:"last"`
	Details  Details           `json:"details"`
	// Outstanding is how much of the records is outstanding. It is derived from them.
	Outstanding Outstanding `json:"outstanding"`
	// Quotas are those of the Voucherify project that were known when this was saved, by name.
	Quotas map[string]Quota `json:"quotas,omitempty"`
	// Hash is how the identities of this import are computed: sha256, or fnv for one that
	// an older program began.
	Hash string `json:"hash"`
	// Checksum is the SHA-256 of the state without it.
	Checksum string `json:"checksum"`

	v1 *stateV1 // what this state was made from, nil if it is one of today's
}

// Last is what is known of the imports before.
type Last struct {
	// Started is when the last finished import began that left nothing out of what had
	// changed before; zero if there is none.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"` // of the last import that was finished
}

// Details are counts that are no part of the sum.
type Details struct {
	// Identifiers counts the customers sent by the identifier that was taken.
	Identifiers map[string]int `json:"identifiers"`
	// LeftOut counts the customers sent without a key of their metadata, by key and
	// reason. After maxLeftOut keys, further ones are counted as OtherKeys.
	LeftOut map[string]map[string]int `json:"left_out,omitempty"`
	// Cleared counts the customers sent by the field that they were sent with null for.
	Cleared map[string]int `json:"cleared,omitempty"`
	// Warnings counts the warnings by field and reason.
	Warnings map[string]map[string]int `json:"warnings,omitempty"`
}

const (
	maxLeftOut = 200
	OtherKeys  = "other keys"
)

// Extent is the part of a file that belongs to a state.
type Extent struct {
	Bytes int64  `json:"bytes"`
	Sum   uint64 `json:"sum"` // CRC-64 (ECMA) of these bytes
}

// Identity says what an import is about. Only an import of the same can be continued.
type Identity struct {
	Space      string `json:"space"`
	SegmentURL string `json:"segment_url"`
	// Source is where the profiles come from, "" for the Profile API.
	Source        string `json:"source,omitempty"`
	VoucherifyURL string `json:"voucherify_url"`
	// VoucherifyApp is a fingerprint of the application ID: all projects of a region
	// have the same URL.
	VoucherifyApp string `json:"voucherify_app"`
	Identifier    string `json:"identifier"` // identifiers, separated by commas
	Mapping       string `json:"mapping"`    // its fingerprint
	// Input is the SHA-256 of the list of profiles that was given, "" for all
	// profiles of the source.
	Input string `json:"input,omitempty"`
}

// sameTarget reports whether both import the profiles of one space into one project, whatever
// the mapping and the list of profiles: what is outstanding of one is outstanding of the other.
func (id Identity) sameTarget(other Identity) bool {
	id.Identifier, id.Mapping, id.Source, id.Input = other.Identifier, other.Mapping, other.Source, other.Input
	return id == other
}

// sameProject reports whether both import into the same Voucherify project.
func (id Identity) sameProject(other Identity) bool {
	return id.VoucherifyURL == other.VoucherifyURL && id.VoucherifyApp == other.VoucherifyApp
}

// Position is how far the profiles have been read. What its fields mean is the source's
// affair.
type Position struct {
	// Offset is the cursor of the list's next page, the number of given profiles, the last
	// canonical_segment_id of a warehouse, or the byte of a file where the next profile begins.
	Offset string `json:"offset"`
	// Line and Digest tell a position in a file: the line, and a hash of all before it.
	Line   int    `json:"line,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Pass counts the readings of the source: 0 is the first, the others look for
	// profiles that changed in the meantime.
	Pass  int       `json:"pass"`
	Since time.Time `json:"since,omitzero"` // what a later pass looks for was active after this
	// Unordered and Undated are what was seen of the list: not in falling order of
	// updated_at, or without it.
	Unordered bool `json:"unordered,omitempty"`
	Undated   bool `json:"undated,omitempty"`
	Done      bool `json:"done,omitempty"` // nothing is left to read
}

// Action is an async action of Voucherify that has not confirmed its customers yet.
type Action struct {
	ID       string    `json:"id"`
	Accepted time.Time `json:"accepted"`
	Sent     int       `json:"sent"` // records in the request
	// Customers are those of the records whose page is complete; the rest is sent
	// again if the import ends here. FirstByte and LastByte say where the pending file
	// names them.
	Customers int   `json:"customers"`
	FirstByte int64 `json:"first_byte"`
	LastByte  int64 `json:"last_byte"`
	// Failed says that the whole action failed, and its customers are to be sent
	// again; Resent that they were sent for the second time.
	Failed bool `json:"failed,omitempty"`
	Resent bool `json:"resent,omitempty"`

	// Open says that records of it are in pages that are not complete yet, and will be in
	// this run.
	Open bool `json:"-"`
}

// Outstanding says how many profiles were not imported and still should be.
type Outstanding struct {
	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"` // when the one of longest standing was not imported first
}

// Quota is what was left of a quota.
type Quota struct {
	Limit     int       `json:"limit"`
	Remaining int       `json:"remaining"`
	End       time.Time `json:"end"` // of its period
}

// NewState returns the state of an import that begins at the offset.
func NewState(id Identity, offset string) *State {
	return &State{
		Version:  version,
		Identity: id,
		Started:  time.Now().UTC(),
		From:     offset,
		Position: Position{Offset: offset},
		Files:    map[string]Extent{},
		Details:  Details{Identifiers: map[string]int{}},
		Hash:     hashSHA256,
	}
}

// DamagedError says that a file of the journal cannot be used.
type DamagedError struct {
	Path  string
	Newer bool // it is not damaged: a newer program wrote it
	Err   error
}

func (e *DamagedError) Error() string {
	if e.Newer {
		return fmt.Sprintf("%s cannot be used: %s", e.Path, e.Err)
	}
	return fmt.Sprintf("%s is damaged: %s", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

func damaged(path, format string, args ...any) error {
	return &DamagedError{Path: path, Err: fmt.Errorf(format, args...)}
}

// Load reads the state of an import. It returns nil if there is none, and a DamagedError
// if it cannot be used. The state of an older program is returned as one of today's; its
// files are converted by Start.
func Load(names Names) (*State, error) {
	path := names.Path(names.State)
	data, err := readOwnFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found struct{ Version int }
	if err := json.Unmarshal(data, &found); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	switch {
	case found.Version == 1:
		return loadV1(path, data)
	case found.Version > version:
		return nil, &DamagedError{path, true, fmt.Errorf("a newer segsync wrote it (version %d; this one knows %d)", found.Version, version)}
	}
	s := new(State)
	if err := decodeStrictly(data, s); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	if sum, err := s.checksum(); err != nil || sum != s.Checksum {
		return nil, damaged(path, "its checksum is wrong")
	}
	if problem := s.problem(); problem != "" {
		return nil, damaged(path, "%s", problem)
	}
	s.makeMaps()
	return s, nil
}

func decodeStrictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

// makeMaps makes the maps that the JSON did not have.
func (s *State) makeMaps() {
	if s.Files == nil {
		s.Files = map[string]Extent{}
	}
	if s.Details.Identifiers == nil {
		s.Details.Identifiers = map[string]int{}
	}
}

// checksum returns the SHA-256 of the state without its checksum.
func (s *State) checksum() (string, error) {
	plain := *s
	plain.Checksum = ""
	data, err := json.Marshal(&plain)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// problem says what is wrong with a state that was read, or "".
func (s *State) problem() string {
	switch {
	case s.Version != version:
		return fmt.Sprintf("its version is %d", s.Version)
	case s.Identifier == "" || s.Started.IsZero() || s.Space == "" && s.Source == "":
		return "it does not say what was imported"
	case s.Hash != hashSHA256 && s.Hash != hashFNV:
		return "it does not say how identities were computed"
	case !s.AddsUp():
		return "its counts do not add up"
	}
	for _, a := range s.Actions {
		if a.ID == "" || a.Customers < 0 || a.FirstByte < 0 || a.LastByte < a.FirstByte || a.LastByte > s.Files[filePending].Bytes {
			return "it has an async action without its customers"
		}
	}
	return ""
}

// save writes the state file.
func (s *State) save(path string) (err error) {
	if s.Checksum, err = s.checksum(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(data, '\n'), 0o600)
}

// clone returns a copy that can be changed.
func (s *State) clone() *State {
	c := *s
	c.Actions = slices.Clone(s.Actions)
	c.Files = maps.Clone(s.Files)
	c.Details.Identifiers = maps.Clone(s.Details.Identifiers)
	c.Details.Cleared = maps.Clone(s.Details.Cleared)
	c.Details.LeftOut = cloneNested(s.Details.LeftOut)
	c.Details.Warnings = cloneNested(s.Details.Warnings)
	return &c
}

func cloneNested(m map[string]map[string]int) map[string]map[string]int {
	c := maps.Clone(m)
	for key, inner := range c {
		c[key] = maps.Clone(inner)
	}
	return c
}

// noteLeftOut counts a customer sent without a key of its metadata.
func (d *Details) noteLeftOut(l mapping.LeftOut) {
	if d.LeftOut[l.Key] == nil && len(d.LeftOut) >= maxLeftOut {
		l.Key = OtherKeys
	}
	countIn(&d.LeftOut, l.Key, l.Reason)
}

// noteCleared counts a customer sent with null for the fields.
func (d *Details) noteCleared(fields []string) {
	if d.Cleared == nil && len(fields) > 0 {
		d.Cleared = make(map[string]int)
	}
	for _, field := range fields {
		d.Cleared[field]++
	}
}

func countIn(m *map[string]map[string]int, key, reason string) {
	if *m == nil {
		*m = make(map[string]map[string]int)
	}
	if (*m)[key] == nil {
		(*m)[key] = make(map[string]int)
	}
	(*m)[key][reason]++
}

// Unfinished reports whether there is something to continue.
func (s *State) Unfinished() bool { return s.Finished.IsZero() }

// Unconfirmed returns the number of customers that were sent and neither confirmed nor
// rejected yet.
func (s *State) Unconfirmed() int {
	n := 0
	for _, a := range s.Actions {
		n += a.Customers
	}
	return n
}

// Count returns the number of profiles with this outcome.
func (s *State) Count(o Outcome) int {
	if o == Unconfirmed {
		return s.Unconfirmed()
	}
	return s.Counts.Of(o)
}

// Sent returns the number of customers that were sent, whatever became of them.
func (s *State) Sent() int { return s.Count(Confirmed) + s.Count(Rejected) + s.Unconfirmed() }

// AddsUp reports whether every profile read is accounted for.
func (s *State) AddsUp() bool {
	sum := 0
	for _, o := range Outcomes() {
		sum += s.Count(o)
	}
	return s.Counts.Read == sum
}

// AtStart reports whether no page of the source is complete yet; outstanding profiles may be.
func (s *State) AtStart() bool {
	return s.Position.Offset == s.From && s.Position.Pass == 0 && !s.Position.Done
}

// action returns the action with this id, or nil.
func (s *State) action(id string) *Action {
	for i := len(s.Actions) - 1; i >= 0; i-- { // the latest is asked for most often
		if s.Actions[i].ID == id {
			return &s.Actions[i]
		}
	}
	return nil
}

// HasFailed reports whether customers of failed actions are to be sent again.
func (s *State) HasFailed() bool {
	return slices.ContainsFunc(s.Actions, func(a Action) bool { return a.Failed })
}

func (s *State) removeAction(id string) {
	s.Actions = slices.DeleteFunc(s.Actions, func(a Action) bool { return a.ID == id })
}

// Differences names what an import of other is about and one of id is not, in words.
func (id Identity) Differences(other Identity) string {
	var all []string
	compare := func(what, mine, others string) {
		if mine != others {
			all = append(all, fmt.Sprintf("%s %q instead of %q", what, others, mine))
		}
	}
	compare("the source", orAPI(id.Source), orAPI(other.Source))
	compare("the Segment space", id.Space, other.Space)
	compare("the Segment API", id.SegmentURL, other.SegmentURL)
	compare("the Voucherify API", id.VoucherifyURL, other.VoucherifyURL)
	if id.VoucherifyApp != other.VoucherifyApp {
		all = append(all, "another Voucherify application")
	}
	compare("the identifier", id.Identifier, other.Identifier)
	if id.Mapping != other.Mapping {
		all = append(all, "another mapping")
	}
	if id.Input != other.Input {
		all = append(all, "another list of profiles")
	}
	return strings.Join(all, ", ")
}

func orAPI(source string) string {
	if source == "" {
		return "api"
	}
	return source
}

// readOwnFile reads a regular file of the journal whole.
func readOwnFile(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
