package app

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// makeDir makes the directory of an import if need be, unless the import is to go on from
// what the directory has: then a slip of the fingers must not make an empty one.
func makeDir(out *term.Output, dir string, mustExist bool) error {
	info, err := os.Stat(dir)
	const hint = "choose another --dir"
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		err = WithHint(fmt.Errorf("%s is not a directory", dir), hint)
	case errors.Is(err, fs.ErrNotExist) && mustExist:
		err = WithHint(fmt.Errorf("there is no directory %s", dir),
			"with --resume and --since last the directory of the import must exist; leave them out for a first import")
	case errors.Is(err, fs.ErrNotExist):
		if err = os.MkdirAll(dir, 0o700); err == nil {
			out.Log.Info("made the directory for the files of the import", "dir", dir)
			return nil
		}
		err = WithHint(fmt.Errorf("%s cannot be made: %w", dir, causeOf(err)), hint)
	default:
		err = WithHint(fmt.Errorf("%s cannot be used: %w", dir, causeOf(err)), hint)
	}
	return Usage(fmt.Errorf("--dir: %w", err))
}

// causeOf returns why a file could not be used, without the call that said so and the path.
func causeOf(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}

// LockDir makes sure that this is the only import in dir.
func LockDir(dir string) (unlock func(), err error) {
	unlock, err = journal.Lock(dir)
	if _, ok := errors.AsType[*journal.LockedError](err); ok {
		return nil, &Error{ExitLocked, WithHint(err, "wait for it, or use another --dir")}
	}
	if _, ok := errors.AsType[*journal.NotRegularError](err); ok {
		return nil, Usage(advise(err))
	}
	if err != nil {
		return nil, Usage(WithHint(fmt.Errorf("--dir: %s cannot be used: %w", dir, causeOf(err)), "choose another --dir"))
	}
	return unlock, nil
}

// Names returns the names of the files of an import. With --profiles-from they have
// "-retry" before the ending, as often as it takes to keep clear of the file that is read.
func Names(dir, profilesFrom string, dryRun bool) journal.Names {
	dry := ""
	if dryRun {
		dry = "-dry-run"
	}
	if profilesFrom == "" {
		return journal.NewNames(dir, dry)
	}
	for suffix := "-retry"; ; suffix += "-retry" {
		names := journal.NewNames(dir, suffix+dry)
		if !SameFile(profilesFrom, names.Path(names.NotImported)) && !SameFile(profilesFrom, names.Path(names.WithoutIdentifier)) {
			return names
		}
	}
}

// SameFile reports whether both paths lead to one file, or would.
func SameFile(a, b string) bool {
	if infoA, err := os.Stat(a); err == nil {
		if infoB, err := os.Stat(b); err == nil {
			return os.SameFile(infoA, infoB)
		}
	}
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// identity says what an import is about. The embedded sandbox is the same one at whatever port it
// listens.
func identity(a *APIs, in *Input) journal.Identity {
	set := a.Settings
	id := journal.Identity{
		Space:         set.Segment.SpaceID,
		SegmentURL:    set.Segment.URL.String(),
		VoucherifyURL: set.Voucherify.URL.String(),
		VoucherifyApp: fmt.Sprintf("%.16x", sha256.Sum256([]byte("voucherify application "+set.Voucherify.AppID))),
		Identifier:    set.Identifier(),
		Mapping:       set.Mapping.Fingerprint(),
		Source:        in.From.ID(set.Warehouse),
	}
	if set.Voucherify.Policy != settings.Fit {
		id.Mapping += " " + set.Voucherify.Policy.String()
	}
	if in.Profiles != nil {
		id.Input = fingerprint(in.Profiles)
	}
	if a.IsSandbox {
		id.SegmentURL, id.VoucherifyURL = "sandbox", "sandbox"
	}
	return id
}

// opened is an import that was chosen: the unfinished one of the directory, or a new one.
type opened struct {
	*journal.Journal
	start       journal.Start
	isContinued bool // it was begun by an earlier command
}

// openJournal chooses the import that is to be carried out. Where the directory has an unfinished one
// and no flag says what to do with it, a person is asked.
func openJournal(out *term.Output, a *APIs, in *Input, names journal.Names, start journal.Start) (*opened, error) {
	if start.Mode == journal.StartNew && out.CanAsk() && !in.From.ReadOnce() {
		old, err := journal.Load(names)
		if err != nil {
			return nil, Usage(advise(err))
		}
		if old != nil && old.IsUnfinished() {
			if start.Mode, err = askUnfinished(out, old); err != nil {
				return nil, err
			}
		}
	}
	j, found, err := journal.Open(names, start)
	if err != nil {
		return nil, Usage(advise(err))
	}
	at := j.State().Position
	if found.Continued && in.From.ReadOnce() && !at.Done && at.State != nil {
		return nil, Usage(WithHint(fmt.Errorf("%s cannot be read again from the middle", in.From.Name()), "start anew with --restart and the same input"))
	}
	if !a.IsSandbox { // an embedded one counts anew in each process
		shareQuotas(a, j, found.Quotas)
	}
	logOpened(out, j, found, start)
	return &opened{j, start, found.Continued}, nil
}

// askUnfinished asks what to do about the unfinished import of the directory. Without an answer
// nothing is begun.
func askUnfinished(out *term.Output, old *journal.State) (journal.Mode, error) {
	answer, ok := out.Ask(fmt.Sprintf(`The import in this directory is not finished: %s read, %s not confirmed.
Type "continue" to go on with it, "restart" to begin anew, or "cancel":`,
		term.Count(old.Counts.Read(), "profile"), term.Count(old.Unconfirmed(), "customer")), nil, "continue", "restart", "cancel", "")
	switch {
	case ok && answer == "continue":
		return journal.Resume, nil
	case ok && answer == "restart":
		return journal.Discard, nil
	}
	return 0, &Error{ExitInterrupted, WithHint(errors.New("cancelled: nothing was changed"),
		"with --resume the same command continues the import, with --restart it starts anew")}
}

// shareQuotas lets this process begin with what the one before it knew of Voucherify's quotas,
// and leave what it knows to the next one.
func shareQuotas(a *APIs, j *journal.Journal, known map[string]journal.Quota) {
	before := make(map[string]httpretry.Quota)
	for name, q := range known {
		before[name] = httpretry.Quota(q)
	}
	a.ToVoucherify.Remember(before)
	j.KeepQuotas(func() map[string]journal.Quota {
		now := make(map[string]journal.Quota)
		for name, q := range a.ToVoucherify.Quotas() {
			now[name] = journal.Quota(q)
		}
		return now
	})
}

// logOpened says what was found in the directory.
func logOpened(out *term.Output, j *journal.Journal, found *journal.Opened, start journal.Start) {
	history := j.Names().HistoryDir()
	switch {
	case found.Damaged != nil:
		out.Log.Warn("starting anew; the old log is kept in "+history, "cause", found.Damaged)
	case found.Unfinished != nil && !start.DryRun:
		out.Log.Warn("starting anew although the import in this directory is not finished: --resume would continue it; "+
			"its log is kept in "+history, "offset", found.Unfinished.Position.String())
	}
	if start.Mode == journal.Resume && !found.Continued && !start.SinceLast && !start.DryRun {
		out.Log.Info("there is no unfinished import in this directory: starting a new one")
	}
	if found.OtherSource && !start.DryRun && start.Mode == journal.StartNew {
		out.Log.Warn("the last import in this directory had another source: its next --since last will import everything; give each source a --dir of its own")
	}
	switch {
	case found.NoBasis:
		out.Log.Info("no import of this source has finished in this directory yet: importing everything")
	case found.MappingChanged:
		out.Log.Warn("the mapping changed since the last import: importing everything, not only what changed; --keep-since goes on as before")
	}
	if s := j.State(); !found.Continued && !s.Since.IsZero() {
		out.Log.Info("importing what changed", "since", s.Since.Format(time.RFC3339))
	}
}

// advise gives an error of the journal the advice that only a command can give.
func advise(err error) error {
	var other *journal.OtherError
	var none *journal.NoImportError
	var sender *journal.SenderError
	var notFile *journal.NotRegularError
	switch {
	case errors.As(err, &other):
		return WithHint(err, "restore the settings, use another --dir, or start anew with --restart")
	case errors.As(err, &sender):
		return WithHint(err, "a source_id is permanent: every customer would be created a second time; restore the setting, or use --restart if you want that")
	case errors.As(err, &none):
		return WithHint(err, "use the --dir of the import, and its --profiles-from if it had one")
	case errors.As(err, &notFile):
		return WithHint(err, "remove it, or use another --dir")
	}
	return err
}
