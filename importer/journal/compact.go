package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// compactAbove is the size in bytes up to which the log of the records stays as it is.
const compactAbove = 1 << 20

// compactRecords starts a new log of the records if most lines of the old one are
// superseded: every import adds lines about the same profiles. The new log stays beside
// the old one until a state that speaks of it is saved; see adoptRecords.
func (j *Journal) compactRecords() error {
	old := j.files.records
	if old.size < compactAbove {
		return nil
	}
	var live bytes.Buffer
	for _, r := range j.records.sorted() {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		live.Write(append(line, '\n'))
	}
	if old.size < 2*int64(live.Len()) {
		return nil
	}
	if err := WriteFile(j.names.Path(j.names.newRecords), live.Bytes(), 0o600); err != nil {
		return err
	}
	if err := j.useRecords(j.names.newRecords); err != nil {
		return err
	}
	j.records.noted.Reset()
	return errors.Join(j.files.records.takeWhole(), old.close())
}

// adoptRecords gives the new log of the records, if there is one, the name of the old one.
func (j *Journal) adoptRecords() error {
	fresh := j.files.records
	if fresh.file.Name() != j.names.Path(j.names.newRecords) {
		return nil
	}
	if err := fresh.close(); err != nil { // Windows renames no open file
		return err
	}
	if err := j.names.renameNewRecords(); err != nil {
		return err
	}
	if err := j.useRecords(j.names.records); err != nil {
		return err
	}
	return j.files.records.cut(fresh.extent())
}

func (j *Journal) useRecords(name string) (err error) {
	j.files.records, err = openGrowing(j.names.Dir, name)
	j.records.log = j.files.records
	return err
}

func (n Names) renameNewRecords() error {
	if err := os.Rename(n.Path(n.newRecords), n.Path(n.records)); err != nil {
		return err
	}
	return syncDir(n.Dir)
}

// chooseRecords settles which log of the records is the state's, where a killed run left
// two: the new one, if the state speaks of it, else the old one. The state may be nil.
func (n Names) chooseRecords(s *State) error {
	log, err := openToRead(n.Path(n.newRecords))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	adopt := false
	if s != nil && s.Files[fileRecords].Bytes > 0 {
		adopt, err = log.fits(s.Files[fileRecords])
	}
	if err := errors.Join(err, log.close()); err != nil {
		return err
	}
	if adopt {
		return n.renameNewRecords()
	}
	return os.Remove(n.Path(n.newRecords))
}
