package sandbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// store holds the customers and the async actions. Actions make progress by
// the clock alone: each look at the store first applies those whose time has
// come, so nothing runs in the background.
type store struct {
	mu          sync.Mutex
	actions     []*action // in order of creation
	byID        map[string]*action
	settled     int       // actions before this one are done, or stuck
	free        time.Time // when the last action ends
	born        uint64    // tells the ids of this store from those of an earlier one
	customers   map[string]*customer
	order       []string // source_ids in order of creation
	created     int      // customers, those that are deleted since included
	fullAddress bool     // as in Options
	applied     int      // records
	rejected    int
	duplicate   int
}

func newStore() *store {
	return &store{byID: map[string]*action{}, customers: map[string]*customer{}, born: uint64(time.Now().UnixNano())}
}

// action is one bulk request.
type action struct {
	id, requestID          string
	created, started, done time.Time
	fails, stuck, hidden   bool
	apply                  func(*action) // applies the records; nil once done

	doneCount, failedCount int
	errors                 []failure
	results                []legacyResult // only with Options.LegacyResults
}

// failure is a record that failed inside an action.
type failure struct {
	Message  string `json:"message"`
	Details  string `json:"details"`
	Key      string `json:"key"`
	SourceID string `json:"source_id"`
}

// legacyResult is what results had for each record until 2024-08-21.
type legacyResult struct {
	SourceID string `json:"source_id"`
	Found    bool   `json:"found"`
	Updated  bool   `json:"updated"`
}

// enqueue adds the action that upserts records.
func (t *store) enqueue(s *Sandbox, records []json.RawMessage, requestID string, now time.Time) *action {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.actions) + 1
	is := func(choose func(int) bool) bool { return choose != nil && choose(n) }
	a := &action{
		id:        actionID(t.born, n, len(records)),
		requestID: requestID,
		created:   now,
		started:   now,
		fails:     is(s.o.FailActions),
		stuck:     is(s.o.StuckActions),
		hidden:    is(s.o.ForgetActions),
		apply:     func(a *action) { t.upsert(s, a, records) },
	}
	if t.free.After(now) {
		a.started = t.free
	}
	a.done = a.started.Add(s.o.ActionDelay)
	if !a.stuck {
		t.free = a.done
	}
	t.actions = append(t.actions, a)
	t.byID[a.id] = a
	t.settle(now)
	return a
}

const actionIDForm = "aa_%016x%06x"

// actionID returns the id of the n-th action. It tells the number of records, for
// pastAction.
func actionID(born uint64, n, records int) string {
	return fmt.Sprintf(actionIDForm, mix(born, uint64(n), 0), records)
}

// pastAction returns the action of a sandbox before this one, as if it had been
// carried out, or nil if id is not of an action.
func pastAction(id string, now time.Time) *action {
	var unique uint64
	var records int
	if n, err := fmt.Sscanf(id, actionIDForm, &unique, &records); err != nil || n != 2 || len(id) != len("aa_")+22 {
		return nil
	}
	return &action{id: id, requestID: "past", created: now, started: now, done: now, doneCount: records}
}

// settle applies the actions that are done by now. t.mu must be held.
func (t *store) settle(now time.Time) {
	for ; t.settled < len(t.actions); t.settled++ {
		a := t.actions[t.settled]
		if a.stuck {
			continue
		}
		if a.done.After(now) {
			return
		}
		if !a.fails {
			a.apply(a)
		}
		a.apply = nil // and with it the records
	}
}

// status returns the status and the progress of a.
func (a *action) status(now time.Time) (string, int) {
	switch {
	case now.Before(a.started):
		return "ENQUEUED", 0
	case a.stuck || now.Before(a.done):
		return "IN_PROGRESS", 40
	case a.fails:
		return "FAILED", 100
	default:
		return "DONE", 100
	}
}

// action returns the JSON of one action, nil when there is none.
func (t *store) action(o *Options, id string, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	a := t.byID[id]
	if a == nil && o.PastActions {
		a = pastAction(id, now)
	}
	if a == nil || a.hidden {
		return nil
	}
	return append(a.appendAll(nil, o, now), '}')
}

// appendHead appends what every form of the action has, without the closing
// brace.
func (a *action) appendHead(b []byte, now time.Time) []byte {
	status, progress := a.status(now)
	updated := "null"
	if progress == 100 {
		updated = `"` + formatMillis(a.done) + `"`
	}
	return fmt.Appendf(b, `{"id":"%s","type":"CUSTOMERS.BULK_UPDATE","status":"%s","created_at":"%s","updated_at":%s,"request_id":"%s","progress":%d,"object":"async_action"`,
		a.id, status, formatMillis(a.created), updated, a.requestID, progress)
}

// appendAll appends the whole action, without the closing brace.
func (a *action) appendAll(b []byte, o *Options, now time.Time) []byte {
	b = a.appendHead(b, now)
	status, _ := a.status(now)
	switch status {
	case "ENQUEUED", "IN_PROGRESS":
		return append(b, `,"operation_status":"UNKNOWN","processing_time":null,"result":null`...)
	}
	b = append(b, `,"processing_time":`...)
	b = strconv.AppendInt(b, a.done.Sub(a.started).Milliseconds(), 10)
	if status == "FAILED" {
		return append(b, `,"operation_status":"FAILED","result":null`...)
	}
	if o.LegacyResults {
		b = append(b, `,"result":{"results":`...)
		b = appendJSON(b, a.results)
		return fmt.Appendf(b, `,"done_count":%d}`, a.doneCount)
	}
	operation := "SUCCESS"
	if a.failedCount > 0 {
		operation = o.OperationStatus
	}
	if operation != "-" {
		b = append(b, `,"operation_status":`+quoted(operation)...)
	}
	b = fmt.Appendf(b, `,"result":{"done_count":%d,"failed_count":%d,"reports":["https://reports.example.com/%s"],"reports_available_till":"%s","errors":`,
		a.doneCount, a.failedCount, a.id, formatMillis(a.done.AddDate(0, 0, 1)))
	return append(appendJSON(b, a.errors), '}')
}

// listActions returns the JSON of the list, newest first. before is the
// end_date, or zero; actions younger than fresh are not shown.
func (t *store) listActions(limit int, before time.Time, fresh time.Duration, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	b := []byte(`{"object":"list","data_ref":"async_actions","async_actions":[`)
	shown := 0
	for i := len(t.actions) - 1; i >= 0 && shown < limit; i-- {
		a := t.actions[i]
		// What a client knows of created_at has milliseconds.
		late := !before.IsZero() && !a.created.Truncate(time.Millisecond).Before(before)
		if a.hidden || late || now.Sub(a.created) < fresh {
			continue
		}
		if shown > 0 {
			b = append(b, ',')
		}
		b = append(a.appendHead(b, now), '}')
		shown++
	}
	return append(b, `]}`...)
}

// totals returns how many records were applied, failed, and stood twice in a
// request.
func (t *store) totals(now time.Time) (applied, rejected, duplicate int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	return t.applied, t.rejected, t.duplicate
}

func formatMillis(t time.Time) string { return t.UTC().Format(millis) }

// appendJSON appends v, an empty array for an empty slice.
func appendJSON[T any](b []byte, v []T) []byte {
	if len(v) == 0 {
		return append(b, `[]`...)
	}
	j, _ := json.Marshal(v) // its callers have structs of strings and booleans
	return append(b, j...)
}
