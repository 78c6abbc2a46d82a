package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"
)

// Save saves what was noted: the files first, then the state that speaks of them.
func (j *Journal) Save() error {
	j.clean = false
	if !j.onDisk {
		if err := j.makeRoom(); err != nil {
			return err
		}
	}
	if err := j.flush(); err != nil {
		return err
	}
	next := j.next
	for name, file := range j.files.own() {
		next.Files[name] = file.extent()
	}
	for name, r := range j.files.reports() {
		next.Files[name] = r.extent()
	}
	spent := j.spent()
	for name := range spent {
		next.Files[name] = Extent{}
	}
	next.Outstanding = j.records.outstanding()
	if j.quotas != nil {
		next.Quotas = j.quotas()
	}
	if err := next.save(j.names.Path(j.names.State)); err != nil {
		return err
	}
	j.onDisk = true
	j.saved.Store(next)
	j.next = next.clone()
	for _, file := range spent {
		if err := file.cut(Extent{}); err != nil {
			return err
		}
	}
	if err := j.adoptRecords(); err != nil {
		return err
	}
	j.clean = true
	return nil
}

// spent returns the files that are of no use any more. They are emptied once a state says
// so.
func (j *Journal) spent() map[string]*growing {
	spent := make(map[string]*growing)
	if len(j.next.Actions) == 0 {
		spent[filePending] = j.files.pending
	}
	if !j.next.Unfinished() {
		spent[fileProfiles], spent[fileSources] = j.files.profiles, j.files.sources
	}
	return spent
}

// flush writes what was noted to the files.
func (j *Journal) flush() error {
	var syncs errgroup.Group // together, for the disk does them in one go
	f := j.files
	for _, o := range []struct {
		file  *growing
		noted *bytes.Buffer
	}{{f.pending, &j.pending}, {f.profiles, &j.ids}, {f.sources, &j.sources}, {f.records, &j.records.noted}} {
		if err := o.file.write(o.noted.Bytes()); err != nil {
			return errors.Join(err, syncs.Wait())
		}
		o.noted.Reset()
		syncs.Go(o.file.sync)
	}
	for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
		if err := r.flush(); err != nil {
			return errors.Join(err, syncs.Wait())
		}
		syncs.Go(r.sync)
	}
	return syncs.Wait()
}

// makeRoom prepares the directory for a new import. The files of an older one that was not
// finished are kept under other names. The reports are started anew, unless this import
// starts where an older one stopped.
func (j *Journal) makeRoom() error {
	path := j.names.Path(j.names.State)
	f := j.files
	if _, err := os.Lstat(path); err == nil && (j.old == nil || j.old.Unfinished() || len(j.old.Actions) > 0) {
		for _, o := range f.own() {
			if err := o.copyTo(o.file.Name() + ".bak"); err != nil {
				return err
			}
		}
		for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
			if err := r.copyTo(r.file.Name() + ".bak"); err != nil {
				return err
			}
		}
		if err := j.keepV1(); err != nil {
			return err
		}
		if err := os.Rename(path, path+".bak"); err != nil {
			return err
		}
		if err := syncDir(j.names.Dir); err != nil { // before the files that it speaks of are cut
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, o := range []*growing{f.pending, f.profiles, f.sources} {
		if err := o.cut(Extent{}); err != nil {
			return err
		}
	}
	var err error
	switch {
	case j.old == nil || j.old.v1 != nil:
		err = f.records.cut(Extent{})
	case !j.old.Unfinished() && len(j.old.Actions) == 0:
		err = j.compactRecords()
	}
	if err != nil {
		return err
	}
	if err := j.removeV1(); err != nil {
		return err
	}
	for _, r := range f.reports() {
		if j.next.From == Beginning {
			err = r.cut(Extent{})
		} else {
			err = r.continueAtEnd()
		}
		if err != nil {
			return err
		}
	}
	// The records, those not yet in the file included, are all in the report now.
	f.notImported.noted.Reset()
	return j.writeNotImported()
}

// writeNotImported writes not-imported.csv from the records, and opens it to go on.
func (j *Journal) writeNotImported() error {
	var b bytes.Buffer
	b.WriteString(notImportedHeader)
	for _, r := range j.records.sorted() {
		notImportedRow(&b, r)
	}
	old := j.files.notImported
	if err := WriteFile(j.names.Path(j.names.NotImported), b.Bytes(), 0o600); err != nil {
		return err
	}
	fresh, err := openReport(j.names.Dir, j.names.NotImported, notImportedHeader)
	if err != nil {
		return err
	}
	j.files.notImported = fresh
	return old.close()
}
