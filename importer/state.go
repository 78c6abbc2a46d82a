package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"segsync/importer/mapping"
	"slices"
	"strings"
	"time"
)

// stateVersion changes with every change of State that an older program would misread.
const stateVersion = 1

// State is what is known of an import that may be continued. It is saved after the
// reports it speaks of, and holds neither secrets nor traits. A State is never changed
// once it is saved; the next one takes its place.
type State struct {
	Version int `json:"version"`
	Identity
	Started  time.Time `json:"started"`        // when its listing began
	From     string    `json:"from"`           // the offset where it began
	Since    time.Time `json:"since,omitzero"` // import only profiles active after this
	Position Position  `json:"position"`
	Counts   Counts    `json:"counts"`
	Actions  []Action  `json:"actions"` // of accepted customers that are not confirmed yet
	// Lengths are the bytes of each file beside the state that belong to it; what is
	// behind them was written after it was saved, and is written again.
	Lengths  map[string]int64 `json:"lengths"`
	Finished time.Time        `json:"finished,omitzero"` // zero: can be continued
	// LastStarted is when the last finished import began that left nothing out of what
	// had changed before; zero if there is none.
	LastStarted time.Time `json:"last_started,omitzero"`
	// LastEnded is when the last import that was finished ended.
	LastEnded time.Time `json:"last_ended,omitzero"`
	// Identifiers counts the customers sent by the identifier that was taken.
	Identifiers map[string]int `json:"identifiers"`
	// MetadataLeftOut counts the customers sent without a key of their metadata, by key
	// and reason. After maxLeftOutKeys keys, further ones are counted as OtherKeys.
	MetadataLeftOut map[string]map[string]int `json:"metadata_left_out,omitempty"`
}

const (
	maxLeftOutKeys = 200
	OtherKeys      = "other keys"
)

// Identity says what an import is about. Only an import of the same can be continued.
type Identity struct {
	Space         string `json:"space"`
	SegmentURL    string `json:"segment_url"`
	VoucherifyURL string `json:"voucherify_url"`
	// VoucherifyApp is a fingerprint of the application ID: all projects of a region
	// have the same URL.
	VoucherifyApp string `json:"voucherify_app"`
	Identifier    string `json:"identifier"` // Identifiers, separated by commas
	Mapping       string `json:"mapping"`    // Fingerprint
	// Input is the SHA-256 of the list of profiles that was given, "" for all
	// profiles of the space.
	Input string `json:"input,omitempty"`
}

// Position is how far the profiles have been listed.
type Position struct {
	Offset string `json:"offset"` // cursor of the next page
	// Pass counts the readings of the list: 0 is the first, the others look for
	// profiles that moved to its head in the meantime.
	Pass  int       `json:"pass"`
	Since time.Time `json:"since,omitzero"` // what a later pass looks for was active after this
	// Unordered and Undated are what was seen of the list: not in falling order of
	// updated_at, or without it.
	Unordered bool `json:"unordered,omitempty"`
	Undated   bool `json:"undated,omitempty"`
	Done      bool `json:"done,omitempty"` // nothing is left to list
}

// Counts say what became of the profiles before the position. Read is the sum of
// Confirmed, Rejected, WithoutIdentifier, Vanished, Merged, WouldSend and
// State.Unconfirmed.
type Counts struct {
	Read              int `json:"read"`               // profiles
	Confirmed         int `json:"confirmed"`          // customers that Voucherify confirmed
	Rejected          int `json:"rejected"`           // customers that Voucherify refused
	WithoutIdentifier int `json:"without_identifier"` // profiles not sent for lack of a source_id
	Vanished          int `json:"vanished"`           // profiles listed, but gone when they were read
	Merged            int `json:"merged"`             // profiles whose source_id another one was sent with
	InvalidBirthdates int `json:"invalid_birthdates"` // customers sent with birthdate null
	FoundLate         int `json:"found_late"`         // profiles that only a later pass found
	WouldSend         int `json:"would_send"`         // customers of a dry run
}

func (c *Counts) add(d Counts) {
	c.Read += d.Read
	c.Confirmed += d.Confirmed
	c.Rejected += d.Rejected
	c.WithoutIdentifier += d.WithoutIdentifier
	c.Vanished += d.Vanished
	c.Merged += d.Merged
	c.InvalidBirthdates += d.InvalidBirthdates
	c.FoundLate += d.FoundLate
	c.WouldSend += d.WouldSend
}

// Action is an async action of Voucherify that has not confirmed its customers yet.
type Action struct {
	ID       string    `json:"id"`
	Accepted time.Time `json:"accepted"`
	Sent     int       `json:"sent"` // records in the request
	// Customers are those of the records whose page is complete; the rest is sent
	// again if the import ends here. FirstByte and LastByte say where
	// PendingFile names them.
	Customers int   `json:"customers"`
	FirstByte int64 `json:"first_byte"`
	LastByte  int64 `json:"last_byte"`
	// Failed says that the whole action failed, and its customers are to be sent
	// again; Resent that they were sent for the second time.
	Failed bool `json:"failed,omitempty"`
	Resent bool `json:"resent,omitempty"`

	open bool // records of it are in pages that are not complete yet
}

// NewState returns the state of an import that begins at the offset.
func NewState(id Identity, offset string) *State {
	return &State{
		Version:  stateVersion,
		Identity: id,
		Started:  time.Now().UTC(),
		From:     offset,
		Position: Position{Offset: offset},
		Lengths:  map[string]int64{},

		Identifiers: map[string]int{},
	}
}

// ErrState is the error of a state file that cannot be used.
var ErrState = errors.New("the state file cannot be used")

// LoadState reads a state file. It returns nil if there is none, and an ErrState if it
// is damaged or of a newer program.
func LoadState(path string) (*State, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var version struct{ Version int }
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: %s is damaged: %w", ErrState, path, err)
	}
	if version.Version > stateVersion {
		return nil, fmt.Errorf("%w: %s was written by a newer segsync (version %d of the file, this one knows %d)",
			ErrState, path, version.Version, stateVersion)
	}
	s := new(State)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: %s is damaged: %w", ErrState, path, err)
	}
	if s.Identifiers == nil {
		s.Identifiers = map[string]int{}
	}
	if problem := s.problem(); problem != "" {
		return nil, fmt.Errorf("%w: %s is damaged: %s", ErrState, path, problem)
	}
	return s, nil
}

// problem says what is wrong with a state that was read, or "".
func (s *State) problem() string {
	switch {
	case s.Version != stateVersion:
		return fmt.Sprintf("its version is %d", s.Version)
	case s.Space == "" || s.Identifier == "" || s.Started.IsZero():
		return "it does not say what was imported"
	case !s.Position.Done && s.Position.Offset == "":
		return "it has no offset"
	case !s.AddsUp():
		return "its counts do not add up"
	}
	for _, a := range s.Actions {
		if a.ID == "" || a.Customers < 0 || a.FirstByte < 0 || a.LastByte < a.FirstByte || a.LastByte > s.Lengths[PendingFile] {
			return "it has an async action without its customers"
		}
	}
	return ""
}

// save writes the state file.
func (s *State) save(path string) error {
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
	c.Lengths = maps.Clone(s.Lengths)
	c.Identifiers = maps.Clone(s.Identifiers)
	c.MetadataLeftOut = maps.Clone(s.MetadataLeftOut)
	for key, reasons := range c.MetadataLeftOut {
		c.MetadataLeftOut[key] = maps.Clone(reasons)
	}
	return &c
}

// noteLeftOut counts n customers sent without a key of their metadata.
func (s *State) noteLeftOut(l mapping.LeftOut, n int) {
	if s.MetadataLeftOut == nil {
		s.MetadataLeftOut = make(map[string]map[string]int)
	}
	if s.MetadataLeftOut[l.Key] == nil && len(s.MetadataLeftOut) >= maxLeftOutKeys {
		l.Key = OtherKeys
	}
	if s.MetadataLeftOut[l.Key] == nil {
		s.MetadataLeftOut[l.Key] = make(map[string]int)
	}
	s.MetadataLeftOut[l.Key][l.Reason] += n
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

// AddsUp reports whether every profile read is accounted for.
func (s *State) AddsUp() bool {
	c := s.Counts
	return c.Read == c.Confirmed+c.Rejected+s.Unconfirmed()+c.WithoutIdentifier+c.Vanished+c.Merged+c.WouldSend
}

// action returns the action with this id, or nil.
func (s *State) action(id string) *Action {
	for i := range s.Actions {
		if s.Actions[i].ID == id {
			return &s.Actions[i]
		}
	}
	return nil
}

// ensureAction returns the action with a's id, which is a unless it is there already.
func (s *State) ensureAction(a Action) *Action {
	if known := s.action(a.ID); known != nil {
		return known
	}
	s.Actions = append(s.Actions, a)
	return &s.Actions[len(s.Actions)-1]
}

// HasFailed reports whether customers of failed actions are to be sent again.
func (s *State) HasFailed() bool {
	return slices.ContainsFunc(s.Actions, func(a Action) bool { return a.Failed })
}

func (s *State) removeAction(id string) {
	s.Actions = slices.DeleteFunc(s.Actions, func(a Action) bool { return a.ID == id })
}

// Differences names what an import of other is about and s is not, in words.
func (id Identity) Differences(other Identity) string {
	var all []string
	compare := func(what, mine, others string) {
		if mine != others {
			all = append(all, fmt.Sprintf("%s %q instead of %q", what, others, mine))
		}
	}
	compare("the Segment space", id.Space, other.Space)
	compare("the Segment API", id.SegmentURL, other.SegmentURL)
	compare("the Voucherify API", id.VoucherifyURL, other.VoucherifyURL)
	if id.VoucherifyApp != other.VoucherifyApp {
		all = append(all, "another VOUCHERIFY_APPLICATION_ID")
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
