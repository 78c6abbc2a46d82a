package journal

import (
	"errors"
	"io/fs"
	"os"
)

// ReadOutstanding returns the records of the directory's import that are outstanding, the
// oldest first, and its state. It changes nothing, and needs no lock: of an import that
// runs it returns what was saved last. The errors are NoImportError, DamagedError, and
// those of reading.
func ReadOutstanding(names Names) ([]Record, *State, error) {
	state, err := Load(names)
	if err != nil {
		return nil, nil, err
	}
	if state == nil {
		return nil, nil, &NoImportError{names.Dir}
	}
	j := &Journal{names: names}
	if state.v1 != nil {
		j.records.byID = make(map[string]Record)
		err = j.takeRecordsV1(state)
	} else {
		err = j.readRecords(state.Files[fileRecords])
	}
	if err != nil {
		return nil, nil, err
	}
	var outstanding []Record
	for _, r := range j.records.sorted() {
		if r.IsOutstanding() {
			outstanding = append(outstanding, r)
		}
	}
	return outstanding, state, nil
}

// readRecords loads the records without opening their file for writing.
func (j *Journal) readRecords(e Extent) error {
	path := j.names.Path(j.names.records)
	err := regular(path)
	if errors.Is(err, fs.ErrNotExist) && e.Bytes == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	log := &growing{file: file, size: info.Size()}
	if err := j.check(log, e); err != nil {
		return err
	}
	log.size = e.Bytes
	j.records.log = log
	return j.records.load()
}

// Forget resolves the outstanding records that match: no import tries them again, and
// not-imported.csv no longer has them. It returns how many profiles they are about. The
// caller must hold the Lock of the directory. A finished import stays finished, and an
// unfinished one can be continued as before.
func Forget(names Names, match func(Record) bool) (profiles int, err error) {
	state, err := Load(names)
	if err != nil {
		return 0, err
	}
	if state == nil {
		return 0, &NoImportError{names.Dir}
	}
	j, _, err := Open(names, Start{Identity: state.Identity, Mode: Existing})
	if err != nil {
		return 0, err
	}
	if err := j.Start(); err != nil {
		return 0, err
	}
	for _, r := range j.records.sorted() {
		if !r.IsOutstanding() || !match(r) {
			continue
		}
		profiles += max(r.Unnamed, 1)
		if err := j.records.resolve(r.ID()); err != nil {
			return 0, errors.Join(err, j.Close())
		}
	}
	if err := j.Save(); err != nil {
		return 0, errors.Join(err, j.Close())
	}
	return profiles, j.Close()
}
