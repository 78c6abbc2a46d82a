package journal

import (
	"errors"
	"io/fs"
	"slices"
)

// ReadOutstanding returns the records of the directory's import that are outstanding, the
// oldest first, and its state. It changes nothing, and needs no lock: of an import that
// runs it returns what was saved last. The errors are NoImportError, DamagedError, and
// those of reading.
func ReadOutstanding(names Names) ([]Record, *State, error) {
	for {
		state, err := Load(names)
		if err != nil {
			return nil, nil, err
		}
		if state == nil {
			return nil, nil, &NoImportError{names.Dir}
		}
		outstanding, err := readOutstanding(names, state)
		if err == nil {
			return outstanding, state, nil
		}
		// An import that began meanwhile may have replaced the records.
		if now, loadErr := Load(names); loadErr != nil || now == nil || now.Checksum == state.Checksum {
			return nil, nil, err
		}
	}
}

func readOutstanding(names Names, s *State) ([]Record, error) {
	j := &Journal{names: names}
	var err error
	if s.v1 != nil {
		j.records.byID = make(map[string]Record)
		err = j.takeRecordsV1(s)
	} else {
		err = j.readRecords(s.Files[fileRecords])
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(j.records.sorted(), func(r Record) bool { return !r.IsOutstanding() }), nil
}

// readRecords loads the records, from the log that the extent is one of. It opens none
// for writing.
func (j *Journal) readRecords(e Extent) error {
	var unfit error
	for _, name := range []string{j.names.newRecords, j.names.records} {
		log, err := openToRead(j.names.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			unfit = err
			continue
		}
		if err != nil {
			return err
		}
		defer log.close()
		if unfit = j.check(log, e); unfit == nil {
			log.size = e.Bytes
			j.records.log = log
			return j.records.load()
		}
	}
	if e.Bytes == 0 {
		return nil
	}
	return unfit
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
