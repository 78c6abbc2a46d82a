package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"segsync/importer/journal"
	"segsync/internal/term"
)

// Verify asks for the status of the customers that the import of the directory has sent and that are not
// confirmed.
func Verify(ctx context.Context, out *term.Output, stdin io.Reader, o *ImportOptions) error {
	return withFiles(out, o, func() error { return verify(ctx, out, stdin, o) })
}

func verify(ctx context.Context, out *term.Output, stdin io.Reader, o *ImportOptions) error {
	names := Names(o.Dir, o.Choose.ProfilesFrom, false)
	if _, err := os.Stat(names.LogPath()); errors.Is(err, fs.ErrNotExist) { // before any setting is asked for
		return Usage(advise(&journal.NoImportError{Dir: o.Dir}))
	}
	a, err := Connect(out, o.Settings, o.Wait)
	if err != nil {
		return err
	}
	defer a.Close()
	in := &Input{From: o.Settings.From, stop: func() {}}
	if o.Choose.ProfilesFrom != "" {
		if in, err = OpenInput(ctx, a.Settings, o.Settings.From, o.Choose.ProfilesFrom, stdin, o.Wait, out.Log); err != nil {
			return err
		}
	}
	unlock, err := LockDir(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	id := identity(a, in)
	if old, err := journal.Load(names); err == nil && old != nil {
		id.Mapping = old.Mapping // nothing is mapped
	}
	j, err := openJournal(out, a, in, names, journal.Start{Identity: id, Mode: journal.ContinueAny, AnySender: true})
	if err != nil {
		return err
	}
	b := newJob(out, a, in, j, o)
	_, err = execute(ctx, b, o, b.confirm)
	return err
}
