package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"segsync/importer/journal"
	"segsync/internal/httpretry"
)

// makeDir makes the directory of an import if need be, unless the import is to go on from
// what the directory has: then a slip of the fingers must not make an empty one.
func (s *session) makeDir(dir string, goesOn bool) error {
	info, err := os.Stat(dir)
	const hint = "choose another --dir"
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		err = &hinted{fmt.Errorf("%s is not a directory", dir), hint}
	case errors.Is(err, fs.ErrNotExist) && goesOn && s.flags.Changed("dir"):
		err = &hinted{fmt.Errorf("there is no directory %s", dir),
			"with --resume and --since last the directory of the import must exist; leave them out for a first import"}
	case errors.Is(err, fs.ErrNotExist):
		if err = os.MkdirAll(dir, 0o700); err == nil {
			s.tell.log.Info("made the directory for the files of the import", "dir", dir)
			return nil
		}
		err = &hinted{fmt.Errorf("%s cannot be made: %w", dir, causeOf(err)), hint}
	default:
		err = &hinted{fmt.Errorf("%s cannot be used: %w", dir, causeOf(err)), hint}
	}
	return &exitError{exitUsage, fmt.Errorf("--dir: %w", err)}
}

// causeOf returns why a file could not be used, without the call that said so and the path.
func causeOf(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// lockDir makes sure that this is the only import in dir.
func lockDir(dir string) (unlock func(), err error) {
	unlock, err = journal.Lock(dir)
	var locked *journal.LockedError
	if errors.As(err, &locked) {
		return nil, &exitError{exitLocked, &hinted{err, "wait for it, or use another --dir"}}
	} else if err != nil {
		return nil, &exitError{exitUsage, &hinted{fmt.Errorf("--dir: %s cannot be used: %w", dir, causeOf(err)), "choose another --dir"}}
	}
	return unlock, nil
}

// mode says how the flags want an import to begin.
func (o *startFlags) mode(offsetGiven bool) journal.Mode {
	switch {
	case o.resume:
		return journal.Resume
	case o.restart, offsetGiven && o.offset == journal.Beginning:
		return journal.Anew
	case offsetGiven:
		return journal.At
	}
	return journal.Plain
}

// openJournal chooses the import that is to be carried out: the unfinished one of the
// directory, if the flags want that, or a new one.
func (s *session) openJournal(names journal.Names, start journal.Start) error {
	var old *journal.State
	if start.Mode == journal.Plain && s.tell.interactive && !s.run.settings.readOnce() {
		var err error
		if old, err = journal.Load(names); err != nil {
			return &exitError{exitUsage, advise(err)}
		}
		if old != nil && start.LeftOf(old) {
			goesOn, err := s.askContinue(old)
			if err != nil {
				return err
			}
			if goesOn {
				start.Mode = journal.Resume
			}
		}
	}
	j, opened, err := journal.Open(names, start)
	if err != nil {
		return &exitError{exitUsage, advise(err)}
	}
	if err := s.run.settings.refuses(j.State(), opened.Continued); err != nil {
		return &exitError{exitUsage, err}
	}
	if !s.run.settings.sandbox { // an embedded one counts anew in each process
		s.shareQuotas(j, opened.Quotas)
	}
	s.journal, s.continued = j, opened.Continued
	s.tellOpened(names, start, opened)
	return nil
}

// shareQuotas lets this process begin with what the one before it knew of Voucherify's quotas,
// and leave what it knows to the next one.
func (s *session) shareQuotas(j *journal.Journal, known map[string]journal.Quota) {
	before := make(map[string]httpretry.Quota)
	for name, q := range known {
		before[name] = httpretry.Quota(q)
	}
	s.apis.toVoucherify.Remember(before)
	j.KeepQuotas(func() map[string]journal.Quota {
		now := make(map[string]journal.Quota)
		for name, q := range s.apis.toVoucherify.Quotas() {
			now[name] = journal.Quota(q)
		}
		return now
	})
}

// tellOpened says what was found in the directory.
func (s *session) tellOpened(names journal.Names, start journal.Start, opened *journal.Opened) {
	backup := names.Path(names.State) + ".bak"
	switch {
	case opened.Damaged != nil:
		s.tell.log.Warn("starting anew; the old state is kept as "+backup, "cause", opened.Damaged)
	case opened.Unfinished != nil && !s.dry.run:
		s.tell.log.Warn("starting anew although the import in this directory is not finished: --resume would continue it; "+
			"its state is kept as "+backup, "offset", opened.Unfinished.Position.Offset)
	}
	if opened.NoBasis {
		s.tell.log.Info("there is no finished import in this directory yet: importing everything")
	}
	if state := s.journal.State(); !opened.Continued && !state.Since.IsZero() {
		s.tell.log.Info("importing what changed", "since", state.Since.Format(time.RFC3339))
	}
}

// advise gives an error of the journal the advice that only this command can give.
func advise(err error) error {
	var other *journal.OtherError
	var none *journal.NoImportError
	var notFile *journal.NotRegularError
	switch {
	case errors.As(err, &other):
		return &hinted{err, "restore the settings, use another --dir, or start anew with --restart"}
	case errors.As(err, &none):
		return &hinted{err, "use the --dir of the import, and its --profiles-from if it had one"}
	case errors.As(err, &notFile):
		return &hinted{err, "remove what stands there, or use another --dir"}
	}
	return err
}
