package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"segsync/importer"
)

// chooseState returns the state to go on from: that of the unfinished import in the
// directory if it is asked for, else a new one.
func (s *session) chooseState(id importer.Identity, files importer.Files) (*importer.State, error) {
	o := s.options
	if o.dryRun {
		imported := importer.NewFiles(o.dir, "")
		old, err := importer.LoadState(imported.Path(imported.State))
		if err != nil && o.since == lastImport {
			return nil, err
		}
		return s.newState(id, old)
	}
	path := files.Path(files.State)
	old, err := importer.LoadState(path)
	switch {
	case errors.Is(err, importer.ErrState) && s.flags.Changed("offset"):
		s.log.Warn("starting anew; the old state is kept as "+path+".bak", "cause", err)
	case errors.Is(err, importer.ErrState):
		return nil, &hinted{err, "move it away, or start anew with --offset 0, which keeps it as " + path + ".bak"}
	case err != nil:
		return nil, err
	case old == nil || !old.Unfinished():
	case o.resume:
		return old, refuseOther(old, id, files)
	case s.flags.Changed("offset") && old.Position.Pass == 0 && !old.Position.Done && old.Position.Offset == o.offset &&
		old.Identity == id:
		return old, nil // the command that the unfinished import printed
	default:
		s.log.Warn("starting anew although the import in this directory is not finished: --resume would continue it; "+
			"its state is kept as "+path+".bak", "offset", old.Position.Offset)
	}
	return s.newState(id, old)
}

// newState returns the state of a new import, after an older one in the same directory or
// nil.
func (s *session) newState(id importer.Identity, old *importer.State) (*importer.State, error) {
	state := importer.NewState(id, s.options.offset)
	if old != nil && old.Identity == id {
		state.LastStarted, state.LastEnded = old.LastStarted, old.LastEnded
	}
	switch {
	case s.options.since == "":
	case s.options.since != lastImport:
		since, err := parseSince(s.options.since, time.Now())
		if err != nil {
			return nil, err
		}
		state.Since = since.Add(-importer.ClockMargin)
	case state.LastStarted.IsZero():
		s.log.Info("there is no finished import in this directory yet: importing everything")
	default:
		state.Since = state.LastStarted.Add(-importer.ClockMargin)
	}
	if !state.Since.IsZero() {
		s.log.Info("importing what changed", "since", state.Since.Format(time.RFC3339))
	}
	return state, nil
}

// lastImport is the value of --since for the start of the last finished import.
const lastImport = "last"

// parseSince parses a time, or a duration before now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			return now.AddDate(0, 0, -n).UTC(), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.After(now) {
				return t, errors.New("it is in the future")
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("it must be last, a duration such as 24h or 7d, or a time such as 2026-11-19T00:00:00Z")
}

// refuseOther returns an error if the state is of another import than id says.
func refuseOther(state *importer.State, id importer.Identity, files importer.Files) error {
	differences := state.Identity.Differences(id)
	if differences == "" {
		return nil
	}
	return &hinted{
		fmt.Errorf("the import in %s is about something else: the settings now have %s", files.Dir, differences),
		"restore the settings, use another --dir, or start anew with --offset 0",
	}
}
