package journal

import (
	"fmt"
	"strings"
	"time"

	"segsync/importer/outcome"
)

// Event is an entry of the log about a profile.
type Event struct {
	Time   time.Time `json:"time"`   // when it was saved
	Import time.Time `json:"import"` // when that import started
	Entry
}

// Find returns the events of a profile in all logs of the directory, the oldest first. id is its segment
// id or its source_id, with or without the type, such as user_id:42. The errors are *DamagedError and
// those of reading.
func Find(names Names, id string) ([]Event, error) {
	paths, err := History(names)
	if err != nil {
		return nil, err
	}
	_, value, _ := strings.Cut(id, ":")
	var all []Event
	for _, path := range append(paths, names.LogPath(), NewNames(names.Dir, "-retry").LogPath()) {
		found, err := findIn(path, id, value)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// findIn searches one log. The verdict on an action confirms its customers that have no line of their own.
func findIn(path, id, value string) (all []Event, err error) {
	var started time.Time
	saved := 0 // events of earlier commits
	sent := make(map[string]Entry)
	err = scanLines(path, func(l *line, _ int64) error {
		switch e := l.Entry; {
		case e != nil:
			if e.SegmentID == "" || e.Carried || e.SegmentID != id && e.SourceID != id && (value == "" || e.SourceID != value) {
				return nil
			}
			all = append(all, Event{Import: started, Entry: *e})
			delete(sent, e.ActionID)
			if e.Outcome == outcome.Sent {
				sent[e.ActionID] = *e
			}
		case l.Import != nil:
			started = l.Import.Started
		case l.Verdict != nil:
			if e, ok := sent[l.Verdict.ActionID]; ok && !l.Verdict.Failed && l.Verdict.Unnamed == 0 {
				e.Outcome, e.RequestID = outcome.Confirmed, l.Verdict.RequestID
				all = append(all, Event{Import: started, Entry: e})
			}
		case l.Deletion != nil && (l.Deletion.SourceID == id || value != "" && l.Deletion.SourceID == value):
			d := l.Deletion
			all = append(all, Event{Import: started, Entry: Entry{SourceID: d.SourceID,
				Why: outcome.Why{Reason: "segsync delete: " + string(d.Answer), Detail: d.Detail, RequestID: d.RequestID}}})
		case l.Commit != nil:
			for i := saved; i < len(all); i++ {
				all[i].Time = l.Commit.Time
			}
			saved = len(all)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return all, nil
}
