package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io/fs"
	"os"
	"time"
)

// stateV1 is the state file of the first version, which had lengths without checksums,
// 64-bit hashes, and what was not imported in its report only.
type stateV1 struct {
	Version int `json:"version"`
	Identity
	Started         time.Time                 `json:"started"`
	From            string                    `json:"from"`
	Since           time.Time                 `json:"since"`
	Position        Position                  `json:"position"`
	Counts          Counts                    `json:"counts"`
	Actions         []Action                  `json:"actions"`
	Lengths         map[string]int64          `json:"lengths"`
	Finished        time.Time                 `json:"finished"`
	LastStarted     time.Time                 `json:"last_started"`
	LastEnded       time.Time                 `json:"last_ended"`
	Identifiers     map[string]int            `json:"identifiers"`
	MetadataLeftOut map[string]map[string]int `json:"metadata_left_out"`
}

// v1Names are the names of files that only the first version had.
type v1Names struct{ pending, seen, sources string }

func loadV1(path string, data []byte) (*State, error) {
	v1 := new(stateV1)
	if err := decodeStrictly(data, v1); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	s := NewState(v1.Identity, v1.From)
	s.Started, s.Since, s.Position, s.Counts, s.Actions = v1.Started, v1.Since, v1.Position, v1.Counts, v1.Actions
	s.Finished, s.Last = v1.Finished, Last{v1.LastStarted, v1.LastEnded}
	s.Details.LeftOut = v1.MetadataLeftOut
	if v1.Identifiers != nil {
		s.Details.Identifiers = v1.Identifiers
	}
	s.Hash, s.v1 = hashFNV, v1
	s.Files[filePending] = Extent{Bytes: v1.Lengths["pending"]}
	problem := s.problem()
	for name, length := range v1.Lengths {
		if length < 0 {
			problem = fmt.Sprintf("the length of %s is negative", name)
		}
	}
	if problem != "" {
		return nil, damaged(path, "%s", problem)
	}
	return s, nil
}

// convertV1 makes the files of today from those of the first version, and saves the state
// that goes with them. Until that is done, the old files stay as they are.
func (j *Journal) convertV1() error {
	v1 := j.next.v1
	old := func(name string) ([]byte, error) { return j.readV1(name, v1.Lengths) }
	pending, err := old(j.names.v1.pending)
	if err != nil {
		return err
	}
	if pending, err = j.convertPending(pending); err != nil {
		return err
	}
	seen, err := old(j.names.v1.seen)
	if err != nil {
		return err
	}
	sources, err := old(j.names.v1.sources)
	if err != nil {
		return err
	}
	records, err := j.convertRecords(j.next)
	if err != nil {
		return err
	}
	without, err := old(j.names.WithoutIdentifier)
	if err != nil {
		return err
	}
	j.next.Files = map[string]Extent{fileWithoutIdentifier: extentOf(without)}
	for _, f := range []struct {
		key, name string
		data      []byte
	}{
		{filePending, j.names.pending, pending}, {fileProfiles, j.names.profiles, widen(seen, 0)},
		{fileSources, j.names.sources, widen(sources, idBytes)}, {fileRecords, j.names.records, records},
	} {
		if err := WriteFile(j.names.Path(f.name), f.data, 0o600); err != nil {
			return err
		}
		j.next.Files[f.key] = extentOf(f.data)
	}
	j.next.v1 = nil
	if err := j.next.save(j.names.Path(j.names.State)); err != nil {
		return err
	}
	j.saved.Store(j.next.clone())
	return j.removeV1()
}

func extentOf(data []byte) Extent { return Extent{int64(len(data)), crc64.Checksum(data, sums)} }

// readV1 reads the part of a file that belongs to the state; a file that is not there is
// empty.
func (j *Journal) readV1(name string, lengths map[string]int64) ([]byte, error) {
	key := map[string]string{
		j.names.v1.pending: "pending", j.names.v1.seen: "seen", j.names.v1.sources: "sources",
		j.names.WithoutIdentifier: "without_identifier", j.names.NotImported: "not_imported",
	}[name]
	length := lengths[key]
	data, err := readOwnFile(j.names.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if int64(len(data)) < length {
		return data, damaged(j.names.Path(name), "it has %d bytes, and had %d when its state was saved", len(data), length)
	}
	return data[:length], nil
}

// convertPending turns the rows of customers into lines that name their action, and moves
// the actions' bounds to them.
func (j *Journal) convertPending(data []byte) ([]byte, error) {
	path := j.names.Path(j.names.v1.pending)
	var lines []byte
	for i := range j.next.Actions {
		a := &j.next.Actions[i]
		rows, err := csv.NewReader(bytes.NewReader(data[a.FirstByte:a.LastByte])).ReadAll()
		if err == nil && len(rows) != a.Customers {
			err = fmt.Errorf("it names %d of the %d customers of the async action %s", len(rows), a.Customers, a.ID)
		}
		if err != nil {
			return nil, &DamagedError{Path: path, Err: err}
		}
		a.FirstByte = int64(len(lines))
		for _, row := range rows {
			if len(row) != 2 {
				return nil, damaged(path, "a line has %d cells, not 2", len(row))
			}
			line, err := json.Marshal([3]string{a.ID, row[0], row[1]})
			if err != nil {
				return nil, err
			}
			lines = append(append(lines, line...), '\n')
		}
		a.LastByte = int64(len(lines))
	}
	return lines, nil
}

// widen turns 64-bit hashes into identities, each with a zero value of valueBytes.
func widen(hashes []byte, valueBytes int) []byte {
	var wide []byte
	for ; len(hashes) >= 8; hashes = hashes[8:] {
		id := identityOfFNV(binary.LittleEndian.Uint64(hashes))
		wide = append(wide, id[:]...)
		wide = append(wide, make([]byte, valueBytes)...)
	}
	return wide
}

// convertRecords returns the records, as lines, that the report of the first version has.
// People may have edited it: a line that cannot be read is passed over.
func (j *Journal) convertRecords(s *State) ([]byte, error) {
	data, err := j.readV1(j.names.NotImported, s.v1.Lengths)
	var shorter *DamagedError
	if err != nil && !errors.As(err, &shorter) {
		return nil, err
	}
	rows := csv.NewReader(bytes.NewReader(data))
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	var lines []byte
	for {
		row, err := rows.Read()
		if err != nil {
			return lines, nil
		}
		if len(row) < 6 || row[0] == "" || row[0] == "segment_id" {
			continue
		}
		r := Record{SegmentID: row[0], SourceID: row[1], Why: Why{row[2], row[3], row[4], row[5]},
			Outcome: Rejected.String(), First: s.Started, Import: s.Started}
		if r.Reason == "vanished" || r.Reason == "unknown" || r.Reason == "no_segment_id" {
			r.Outcome = Vanished.String()
		}
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, line...), '\n')
	}
}

// takeRecordsV1 takes over the records of a finished import of the first version.
func (j *Journal) takeRecordsV1(old *State) error {
	lines, err := j.convertRecords(old)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(lines) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if err := j.records.note(r); err != nil {
			return err
		}
	}
	return nil
}

// keepV1 keeps the files of an unfinished import of the first version under other names.
func (j *Journal) keepV1() error {
	for _, name := range []string{j.names.v1.pending, j.names.v1.seen, j.names.v1.sources} {
		err := os.Rename(j.names.Path(name), j.names.Path(name)+".bak")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeV1 removes the files that only the first version had.
func (j *Journal) removeV1() error {
	for _, name := range []string{j.names.v1.pending, j.names.v1.seen, j.names.v1.sources} {
		if err := os.Remove(j.names.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
