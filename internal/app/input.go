package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"segsync/importer/journal"
	"segsync/importer/source"
	"segsync/importer/source/file"
	"segsync/importer/source/idlist"
	"segsync/importer/source/profileapi"
	"segsync/importer/source/warehouse"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// Input is what the profiles come from. At most one of File, Warehouse and Profiles is set;
// without one it is the Profile API.
type Input struct {
	From      settings.Source
	File      *profilessync.File
	Warehouse *profilessync.Warehouse
	Profiles  []segmentprofiles.Identifier // of --profiles-from
	stop      func()                       // ends a reading that may have to be waited for
}

// OpenInput opens what the profiles come from. The wait and the log are those of a warehouse with a REST API.
func OpenInput(ctx context.Context, set *settings.Settings, from settings.Source, profilesFrom string, stdin io.Reader, w WaitOptions, log *slog.Logger) (*Input, error) {
	in := &Input{From: from, stop: func() {}}
	var err error
	switch {
	case profilesFrom != "":
		if in.Profiles, err = readProfiles(profilesFrom, stdin); err != nil {
			return nil, Usage(fmt.Errorf("--profiles-from: %w", err))
		}
	case from.Kind == settings.FromWarehouse:
		if in.Warehouse, err = set.OpenWarehouse(ctx, w.MaxWait, w.RetryFor, log); err != nil {
			return nil, &Error{CodeOf(err), err}
		}
	case from.Kind != settings.FromAPI:
		return in, in.openFile(stdin, source.QueryFor(set.Identifiers, set.Mapping))
	}
	return in, nil
}

func (in *Input) openFile(stdin io.Reader, query profilessync.Query) (err error) {
	if in.From.ReadOnce() {
		if in.From.Kind != settings.FromStdin {
			if stdin, err = os.Open(in.From.Values()[0]); err != nil {
				return Usage(fmt.Errorf("--from: %w", err))
			}
		}
		var until io.Reader
		until, in.stop = interruptible(stdin)
		in.File, err = profilessync.OpenOnce(in.From.Name(), until)
	} else {
		var files []string
		if files, err = in.From.Files(); err == nil {
			in.File, err = profilessync.OpenFile(files...)
		}
	}
	if err == nil {
		err = in.File.CheckColumns(query)
	}
	if _, isInFile := errors.AsType[*profilessync.FileError](err); err != nil && !isInFile {
		return fromError(in.From, err)
	}
	if err != nil {
		return &Error{CodeOf(err), err}
	}
	return nil
}

// checkFrom returns an error where --from names a file that is not there. It needs no settings.
func checkFrom(from settings.Source) error {
	if from.Kind != settings.FromFile {
		return nil
	}
	files, err := from.Files()
	for _, file := range files {
		if _, statErr := os.Stat(file); err == nil && errors.Is(statErr, os.ErrNotExist) {
			err = &os.PathError{Op: "open", Path: file, Err: causeOf(statErr)}
		}
	}
	if err != nil {
		return fromError(from, err)
	}
	return nil
}

// fromError returns the error of a --from that cannot be read.
func fromError(from settings.Source, err error) error {
	err = fmt.Errorf("--from: %w", err)
	if !strings.ContainsAny(from.String(), "./\\") && errors.Is(err, os.ErrNotExist) {
		err = WithHint(err, "--from takes api, warehouse, or the name of a file")
	}
	return Usage(err)
}

// interruptible returns what r has, until stop is called. Its goroutine ends with the process
// at the latest: a read of a pipe cannot be called off.
func interruptible(r io.Reader) (until io.Reader, stop func()) {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out, func() { out.CloseWithError(context.Canceled) }
}

// isAPI reports whether all profiles of the space are read by the Profile API.
func (in *Input) isAPI() bool { return in.File == nil && in.Warehouse == nil && in.Profiles == nil }

// source returns the source of one run.
func (in *Input) source(a *APIs, s *journal.State, out *term.Output, o profileapi.Options) source.Source {
	set := a.Settings
	query := source.QueryFor(set.Identifiers, set.Mapping)
	if o.Fields.Whole {
		query.Traits = nil // all
	} else {
		o.Fields.IDTypes, o.Fields.Traits = source.FieldsNeeded(set.Identifiers, set.Mapping)
		o.Fields.NeedIDs = len(set.Mapping.ExternalIDTypes()) > 0
	}
	o.Fields.Identifiers, o.Fields.TraitsLimit = set.Identifiers, set.Segment.TraitsLimit
	o.PageSize, o.Readers, o.Log = set.Segment.PageSize, Readers(set.Segment.Rate), out.Log
	o.Since, o.ClockBehind, o.Learned = s.Since, s.Before.ClockBehind, s.Before.Position
	switch {
	case in.File != nil:
		return file.New(in.File, query, o.PageSize, o.Limit)
	case in.Warehouse != nil:
		return warehouse.New(in.Warehouse, query, s.Since, o.PageSize, o.Limit)
	case in.Profiles != nil:
		return idlist.New(a.Segment, in.Profiles, o)
	}
	return profileapi.New(a.Segment, o)
}

// describe names where the profiles come from, for people.
func (in *Input) describe(a *APIs) string {
	switch {
	case in.From.Kind != settings.FromAPI:
		return in.From.Name()
	case a.IsSandbox:
		return "sandbox"
	}
	return "Segment space " + shorten(a.Settings.Segment.SpaceID, 12)
}

// describeTarget names the project that the customers go to.
func describeTarget(a *APIs, isDryRun bool) string {
	app := ", app " + shorten(a.Settings.Voucherify.AppID, 3)
	switch host := a.Settings.Voucherify.URL.Host; {
	case isDryRun:
		return "a dry run"
	case a.IsSandbox:
		return "sandbox"
	case host == "api.voucherify.io":
		return "Voucherify eu" + app
	default:
		return "Voucherify " + strings.TrimSuffix(host, ".api.voucherify.io") + app
	}
}

// shorten returns the beginning of an id, enough for a person to know it by.
func shorten(id string, n int) string {
	if len(id) <= n {
		return id
	}
	return id[:n] + "…"
}
