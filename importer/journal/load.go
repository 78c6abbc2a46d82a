package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

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

// readOwnFile reads a regular file of the journal whole.
func readOwnFile(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
