package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/profilessync"
)

// The values of --from that are no files.
const (
	fromAPI       = "api"
	fromWarehouse = "warehouse"
	fromStdin     = "-"
)

const noSinceOfFile = "--since goes with --from api and --from warehouse: a file does not say when profiles changed"

func (o *settingsFlags) addFrom(f *pflag.FlagSet) {
	f.StringVar(&o.from, "from", fromAPI, "where the profiles come from: api, warehouse, or a `file`; - for stdin")
}

// fromAPI reports whether the profiles come from the Profile API.
func (o *settingsFlags) fromAPI() bool { return o.from == "" || o.from == fromAPI }

func (o *settingsFlags) fromWarehouse() bool { return o.from == fromWarehouse }

func (o *settingsFlags) fromStdin() bool { return o.from == fromStdin }

// readOnce reports whether the profiles come from what can be read only once: standard input,
// or another pipe.
func (o *settingsFlags) readOnce() bool {
	if o.fromStdin() {
		return true
	}
	info, err := os.Stat(o.fromFile()) // "" is none
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// fromFile returns the file that the profiles come from, or "".
func (o *settingsFlags) fromFile() string {
	if o.fromAPI() || o.fromWarehouse() || o.fromStdin() {
		return ""
	}
	return o.from
}

// needs says which services the settings must have credentials for.
func (o *settingsFlags) needs() needs {
	return needs{segment: o.fromAPI(), voucherify: !o.offline, warehouse: o.fromWarehouse()}
}

// checkFrom returns what is wrong with the flags where the profiles do not come from the
// Profile API.
func (o *importOptions) checkFrom(flags *pflag.FlagSet) mistakes {
	var m mistakes
	from := &o.run.settings
	if from.fromAPI() {
		return nil
	}
	if flags.Changed("offset") {
		m.add("--offset goes with --from api: elsewhere a place is no number; --resume continues, --restart starts anew")
	}
	for _, name := range []string{"profiles-from", "recheck", "no-catch-up"} {
		if flags.Changed(name) {
			m.add("--%s goes with --from api", name)
		}
	}
	switch {
	case from.fromWarehouse():
	case o.choose.since != "":
		m.add(noSinceOfFile)
	case from.readOnce() && o.start.resume:
		m.add("--resume: %s cannot be read again from the middle; save it to a file, or use --restart", from.source())
	}
	return m
}

// sourceOf returns what the state calls the place that the profiles come from, "" for the
// Profile API. A file may be moved: a resumed import knows it by what it has read of it. A
// warehouse is known by its host, database and schema.
func (o *settingsFlags) sourceOf(s *settings) string {
	switch {
	case o.fromAPI():
		return ""
	case o.fromStdin():
		return "standard input"
	case !o.fromWarehouse():
		return "file"
	}
	place := ""
	// What is behind an @ in the path is the host, and before it the end of a password.
	if u, err := url.Parse(s.warehouse.url); err == nil && !strings.Contains(u.Path, "@") {
		place = cmp.Or(u.Host, u.Query().Get("host"), os.Getenv("PGHOST"))
		if database := cmp.Or(strings.TrimPrefix(u.Path, "/"), u.Query().Get("dbname"), os.Getenv("PGDATABASE")); database != "" {
			place += "/" + database
		}
	}
	return "warehouse " + place + " " + s.warehouse.schema
}

// source is how the place that the profiles come from is shown.
func (o *settingsFlags) source() string {
	switch {
	case o.fromStdin():
		return "standard input"
	case o.fromWarehouse():
		return fromWarehouse
	}
	return o.from
}

// place is how a position is shown.
func (o *settingsFlags) place(at journal.Position) string {
	if o.fromAPI() || o.fromWarehouse() || at.Offset == importer.Beginning {
		return at.Offset
	}
	return fmt.Sprintf("line %d", at.Line)
}

// stoppedAt says where the import has stopped.
func (s *session) stoppedAt() string {
	from := &s.run.settings
	at := s.importer.State().Position
	switch {
	case from.fromAPI():
		return "Stopped at the offset: " + s.offset()
	case at.Done:
		return "Everything is read."
	case from.readOnce():
		return fmt.Sprintf("Stopped after line %d. It cannot be read again from there: start anew with the same input.", at.Line)
	case from.fromWarehouse() && at.Pass > 0:
		return "Stopped while reading again what has changed."
	case at.Offset == importer.Beginning:
		return "Stopped at the beginning."
	case from.fromWarehouse():
		return "Stopped after the profile " + at.Offset + "."
	}
	return fmt.Sprintf("Stopped after line %d of the file.", at.Line)
}

// refuses returns an error if the import cannot go on from its state.
func (o *settingsFlags) refuses(state *journal.State, continued bool) error {
	if !continued || !o.readOnce() || state.Position.Done || state.Position.Offset == importer.Beginning {
		return nil
	}
	return &hinted{fmt.Errorf("%s cannot be read again from the middle", o.source()), "start anew with --restart and the same input"}
}

// openFrom opens what the profiles come from, if it is not the Profile API.
func (s *session) openFrom(cmd *cobra.Command) error {
	from := &s.run.settings
	if from.fromAPI() {
		return nil
	}
	if from.fromWarehouse() {
		warehouse, err := s.apis.settings.warehouse.open(cmd.Context())
		if err != nil {
			return &exitError{exitCodeOf(err), err}
		}
		s.from = importer.FromWarehouse(warehouse)
		s.recommendCheck()
		return nil
	}
	file, stop, err := from.openFile(cmd.InOrStdin())
	if err != nil {
		return err
	}
	s.from, s.closeInput = importer.FromFile(file), stop
	s.recommendCheck()
	return nil
}

// profiles ranges over what the query asks for of the warehouse or the file; texts says that
// traits are texts there.
func (o *settingsFlags) profiles(cmd *cobra.Command, set *settings, q profilessync.Query) (all iter.Seq2[*profilessync.Profile, error], texts bool, err error) {
	if o.fromWarehouse() {
		warehouse, err := set.warehouse.open(cmd.Context())
		if err != nil {
			return nil, false, &exitError{exitCodeOf(err), err}
		}
		return warehouse.Profiles(cmd.Context(), q), true, nil
	}
	file, _, err := o.openFile(cmd.InOrStdin())
	if err != nil {
		return nil, false, err
	}
	return file.Profiles(cmd.Context(), q, profilessync.Position{}), file.Texts(), nil
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

// open connects to the warehouse.
func (w *warehouseSettings) open(ctx context.Context) (*profilessync.Warehouse, error) {
	return profilessync.Open(ctx, w.url, w.schema)
}

// openFile opens the file that the profiles come from. Where that may have to be waited for,
// stop ends the reading.
func (o *settingsFlags) openFile(stdin io.Reader) (file *profilessync.File, stop func(), err error) {
	stop = func() {}
	if o.readOnce() {
		if !o.fromStdin() {
			if stdin, err = os.Open(o.from); err != nil {
				return nil, nil, &exitError{exitUsage, fmt.Errorf("--from: %w", err)}
			}
		}
		stdin, stop = interruptible(stdin)
		file, err = profilessync.OpenOnce(o.source(), stdin)
	} else {
		file, err = profilessync.OpenFile(o.from)
	}
	if _, inFile := errors.AsType[*profilessync.FileError](err); err != nil && !inFile {
		err = fmt.Errorf("--from: %w", err)
		if !strings.ContainsAny(o.from, "./\\") && errors.Is(err, os.ErrNotExist) {
			err = &hinted{err, "--from takes api, warehouse, or the name of a file"}
		}
		return nil, nil, &exitError{exitUsage, err}
	}
	if err != nil {
		return nil, nil, &exitError{exitCodeOf(err), err}
	}
	return file, stop, nil
}

// recommendCheck says, before the first import into a directory, that there is a check.
func (s *session) recommendCheck() {
	names := s.run.names(false)
	if _, err := os.Stat(names.Path(names.State)); !errors.Is(err, os.ErrNotExist) || s.run.settings.readOnce() {
		return
	}
	s.tell.log.Info("the first import of this directory: segsync check --from " + shellQuote(s.run.settings.from) +
		" tells whether all profiles are there, and whether they agree with Segment's API")
}

func fileHint(e *profilessync.FileError) string {
	switch {
	case errors.Is(e, profilessync.ErrOtherFile):
		return "give the file that the import began with, or start anew with --restart"
	case errors.Is(e, profilessync.ErrReadOnce):
		return "start anew with --restart, or save it to a file, and import that"
	case e.Opening:
		return "docs/sources.md has the formats"
	}
	return "correct it there; what was imported before is kept, and lines after it may change. docs/sources.md has the formats"
}

func warehouseHint(e *profilessync.Error) string {
	switch e.Problem {
	case profilessync.InvalidURL:
		return "see SEGSYNC_WAREHOUSE_URL in .env-example"
	case profilessync.Unreachable:
		return "is the server up, and are host and port in SEGSYNC_WAREHOUSE_URL right?"
	case profilessync.TLSFailed:
		return "sslmode in SEGSYNC_WAREHOUSE_URL says how TLS is used: require takes any certificate, verify-full with sslrootcert=FILE " +
			"one of that authority, disable does without TLS"
	case profilessync.WrongPassword:
		return "check user and password in SEGSYNC_WAREHOUSE_URL; special characters are percent-encoded, such as %40 for @"
	case profilessync.LoginRefused:
		return "check user and password in SEGSYNC_WAREHOUSE_URL; or the server refuses this address, or wants TLS, which sslmode=disable prevents"
	case profilessync.UnknownDatabase:
		return "check the end of SEGSYNC_WAREHOUSE_URL: /DATABASE"
	case profilessync.UnknownSchema:
		return "check SEGSYNC_WAREHOUSE_SCHEMA; Segment shows it in Unify > Profiles Sync"
	case profilessync.MissingTable, profilessync.MissingColumn:
		return "is SEGSYNC_WAREHOUSE_SCHEMA the one of Profiles Sync, and are user_traits and user_identifiers among its selected tables?"
	case profilessync.NoTimes:
		return "import everything: leave out --since"
	case profilessync.PermissionDenied:
		return "the user needs USAGE of the schema, and SELECT of user_traits and user_identifiers"
	case profilessync.ConnectionLost:
		return "an import continues where it has stopped; do so when the warehouse is there again"
	}
	return ""
}
