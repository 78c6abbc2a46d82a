package journal

import (
	"errors"
	"strings"
)

// files are the open files of a journal.
type files struct {
	withoutIdentifier, merged, warnings *report
	notImported                         *report // has no extent: it is written anew
	pending, profiles, sources, records *growing
}

// The keys of State.Files.
const (
	fileWithoutIdentifier = "without_identifier"
	fileMerged            = "merged"
	fileWarnings          = "warnings"
	filePending           = "pending"
	fileProfiles          = "profiles"
	fileSources           = "sources"
	fileRecords           = "records"
)

func (f *files) reports() map[string]*report {
	return map[string]*report{
		fileWithoutIdentifier: f.withoutIdentifier, fileMerged: f.merged, fileWarnings: f.warnings,
	}
}

func (f *files) own() map[string]*growing {
	return map[string]*growing{
		filePending: f.pending, fileProfiles: f.profiles, fileSources: f.sources, fileRecords: f.records,
	}
}

func openFiles(n Names, warnValues bool) (*files, error) {
	f, warnings := new(files), warningsHeader
	if warnValues {
		warnings = strings.TrimSuffix(warnings, "\n") + ",value\n"
	}
	var err error
	for _, r := range []struct {
		name, header string
		into         **report
	}{
		{n.WithoutIdentifier, "", &f.withoutIdentifier}, {n.Merged, mergedHeader, &f.merged},
		{n.Warnings, warnings, &f.warnings}, {n.NotImported, notImportedHeader, &f.notImported},
	} {
		if *r.into, err = openReport(n.Dir, r.name, r.header); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	for _, o := range []struct {
		name string
		into **growing
	}{{n.pending, &f.pending}, {n.profiles, &f.profiles}, {n.sources, &f.sources}, {n.records, &f.records}} {
		if *o.into, err = openGrowing(n.Dir, o.name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *files) close() error {
	var errs []error
	for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	for _, o := range f.own() {
		if o != nil {
			errs = append(errs, o.close())
		}
	}
	return errors.Join(errs...)
}
