package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Answer says what a deletion found or did.
type Answer string

const (
	Deleted        Answer = "deleted"
	NotThere       Answer = "not there"        // Voucherify has no such customer
	StillInSegment Answer = "still in Segment" // a profile has the source id: it is not deleted
	Kept           Answer = "kept"             // Voucherify answers with another customer
	Refused        Answer = "refused"          // by Voucherify
)

// Deletion is a customer that was to be deleted.
type Deletion struct {
	SourceID  string    `json:"source_id"`
	List      string    `json:"list"` // fingerprint of the list that names it
	Time      time.Time `json:"time"`
	Answer    Answer    `json:"answer"`
	Detail    string    `json:"detail,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
}

// DeletionBegan says which deletion has begun.
type DeletionBegan struct {
	List  string `json:"list"`  // its fingerprint
	Flags string `json:"flags"` // of the command that began it
}

// IsGone reports whether Voucherify has no such customer any more.
func (d *Deletion) IsGone() bool { return d.Answer == Deleted || d.Answer == NotThere }

// deletedKey is what later imports know a deleted customer by: they do not keep its id.
func deletedKey(sourceID string) string { return fmt.Sprintf("%.16x", sha256.Sum256([]byte(sourceID))) }

// addDeletion notes that a customer is gone, and with it what was outstanding of it.
func (f *fold) addDeletion(d *Deletion) {
	if !d.IsGone() {
		return
	}
	f.deleted[deletedKey(d.SourceID)] = d.List
	for id, r := range f.records {
		if r.SourceID == d.SourceID {
			delete(f.records, id)
		}
	}
}

// finishDeletion ends the deletion of a list: the next one of the same list begins anew.
func (f *fold) finishDeletion(list string) {
	for key, of := range f.deleted {
		if of == list {
			f.deleted[key] = ""
		}
	}
	if began := f.state.Deletion; began != nil && began.List == list {
		f.state.Deletion = nil
	}
}

// recreate counts a customer that is sent again after it was deleted.
func (f *fold) recreate(sourceID string) {
	if len(f.deleted) == 0 {
		return
	}
	key := deletedKey(sourceID)
	if _, was := f.deleted[key]; was {
		delete(f.deleted, key)
		f.state.Details.Recreated++
	}
}

// IsGone reports whether the unfinished deletion of the list has found that the customer is gone.
func (j *Journal) IsGone(list, sourceID string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return list != "" && j.fold.deleted[deletedKey(sourceID)] == list
}

// BeginDeletion notes that a deletion begins. PrepareDeletions writes it to the disk.
func (j *Journal) BeginDeletion(d DeletionBegan) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.addLine(line{DeletionBegan: &d})
}

// PrepareDeletions makes sure that the report and the log can be written, before anything is deleted.
func (j *Journal) PrepareDeletions() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.openDeleted(); err != nil {
		return err
	}
	if err := j.deleted.file.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", j.deleted.path, err)
	}
	return j.commit(true)
}

// AddDeletion writes an answer to the report and to the log. Both are on the disk when it returns.
// PrepareDeletions must have been called.
func (j *Journal) AddDeletion(d Deletion) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	answer := string(d.Answer)
	if d.Detail != "" {
		answer += ": " + d.Detail
	}
	writeRow(&j.deleted.rows, d.SourceID, d.Time.Format(time.RFC3339), answer, d.RequestID)
	if err := errors.Join(j.deleted.write(), j.deleted.file.Sync()); err != nil {
		return fmt.Errorf("writing %s: %w", j.deleted.path, err)
	}
	if err := j.addLine(line{Deletion: &d}); err != nil {
		return err
	}
	return j.commit(true)
}

// openDeleted opens the report of deletions, which is only appended to. Half a row is what a killed run
// was writing, and is not in the log: it is removed.
func (j *Journal) openDeleted() error {
	v := &view{path: j.names.Path(j.names.Deleted), header: "source_id,time,answer,request_id\n"}
	if err := v.open(); err != nil {
		return err
	}
	j.deleted = v
	data, err := os.ReadFile(v.path)
	if err != nil {
		return err
	}
	if err := v.file.Truncate(int64(bytes.LastIndexByte(data, '\n') + 1)); err != nil {
		return err
	}
	return errors.Join(v.open(), syncDir(j.names.Dir)) // with its header, if that was cut
}

// FinishDeletion notes that the deletion of a list has come to its end.
func (j *Journal) FinishDeletion(list string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.addLine(line{DeletionFinished: list}); err != nil {
		return err
	}
	return j.commit(true)
}

// Sent has customers that imports have sent, with the identifier that each source_id comes from.
type Sent struct {
	First     time.Time // when the first import started whose log is left
	Customers []Entry
	Others    []Identity // of imports of another space or under another identifier into the same project
}

// ReadSent returns up to n customers that imports of the same space into the same project, under the same
// identifiers, have sent, of the newest logs. skip leaves some out.
func ReadSent(names Names, id Identity, n int, skip func(*Entry) bool) (*Sent, error) {
	history, err := History(names)
	if err != nil {
		return nil, err
	}
	slices.Reverse(history) // the newest first
	sent := new(Sent)
	for _, path := range append([]string{names.LogPath(), NewNames(names.Dir, "-retry").LogPath()}, history...) {
		if err := scanLines(path, func(l *line, at int64) error { return sent.take(l, at, id, n, skip) }); err != nil {
			return nil, err
		}
	}
	return sent, nil
}

// take takes a line of a log. It returns errStop where the rest of that log does not matter.
func (s *Sent) take(l *line, at int64, id Identity, n int, skip func(*Entry) bool) error {
	if at == 0 {
		i := l.Import
		if i == nil {
			return errStop
		}
		if !i.isSameTarget(id) || i.Identifier != id.Identifier {
			if i.isSameProject(id) && !i.DryRun {
				s.Others = append(s.Others, i.Identity)
			}
			return errStop
		}
		if s.First.IsZero() || i.Started.Before(s.First) {
			s.First = i.Started
		}
	}
	if len(s.Customers) >= n {
		return errStop
	}
	if l.Entry == nil {
		return nil
	}
	e := *l.Entry
	if e.By == "" {
		e.By, _, _ = strings.Cut(id.Identifier, ",")
	}
	if e.isSend() && e.SourceID != "" && !e.Carried && !skip(&e) {
		s.Customers = append(s.Customers, e)
	}
	return nil
}
