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

// Verify checks the status of the customers that the import of the directory has sent.
func Verify(ctx context.Context, out *term.Output, stdin io.Reader, o *ImportOptions) error {
	return withFiles(out, o, func() error { return verify(ctx, out, stdin, o) })
}

func verify(ctx context.Context, out *term.Output, stdin io.Reader, o *ImportOptions) error {
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
	names := Names(o.Dir, o.Choose.ProfilesFrom, false)
	if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		return Usage(advise(&journal.NoImportError{Dir: o.Dir})) // and none is made by locking
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
