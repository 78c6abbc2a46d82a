// Package profileapi is the source that reads the profiles of a space by Segment's Profile API: it
// lists their ids, and reads the external IDs and the traits of many at once.
//
// The list is sorted by recent activity and moves while it is read. Profiles that become active
// move to its head and push others onto the next page, where they are listed again; so after the
// first pass the head is read again for those that were pushed past the reader, until a pass finds
// none (see passes.go).
package profileapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"segsync/importer/mapping"
	"segsync/importer/source"
	"segsync/segmentprofiles"
)

// Fields say what is read of a profile. External IDs come first: a profile without an identifier
// costs one request, not two.
type Fields struct {
	Identifiers []mapping.Identifier
	IDTypes     []string // of the external IDs that are read; nil: all
	NeedIDs     bool     // conditions need them, wherever the source_id comes from
	Traits      []string // nil: all
	TraitsLimit int      // traits per request, 1 to 200
	Whole       bool     // read both of every profile
}

// Options say which profiles are read, and how.
type Options struct {
	Fields   Fields
	PageSize int // profiles per list page, 1 to 100
	Readers  int // profiles that are read at once
	CatchUp  bool
	Recheck  bool   // read the whole list again at the end, not only what was active meanwhile
	Limit    int    // end after so many profiles; 0: no limit
	OnRead   func() // called for each profile of the list that was read, by several goroutines; nil: nothing is

	Since       time.Time     // pass over profiles not active since then; zero: none
	ClockBehind time.Duration // how far Segment's clock was behind ours when Since was noted
	// Learned is where the import before ended: the list may be in order where it begins, and
	// not behind it.
	Learned source.Position
	Log     *slog.Logger
}

// Source is a space. It is a source.Source for one run.
type Source struct {
	client *segmentprofiles.Client
	o      Options
	limit  *source.Limit
}

// New returns the source of a client's space.
func New(client *segmentprofiles.Client, o Options) *Source {
	return &Source{client: client, o: o, limit: source.NewLimit(o.Limit)}
}

// Pages yields the list from the position to its end.
func (s *Source) Pages(ctx, stop context.Context, from source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	onRead := s.o.OnRead
	if onRead == nil {
		onRead = func() {}
	}
	return s.readPages(ctx, stop, onRead, func(stop context.Context) iter.Seq2[*source.Page, error] {
		return s.list(stop, from, seen)
	})
}

// Lookup reads profiles by their segment ids, or as type:value.
func (s *Source) Lookup(ctx, stop context.Context, ids []string) iter.Seq2[*source.Page, error] {
	return s.readPages(ctx, stop, func() {}, func(context.Context) iter.Seq2[*source.Page, error] {
		return func(yield func(*source.Page, error) bool) {
			for some := range slices.Chunk(ids, s.o.PageSize) {
				p := &source.Page{Listed: len(some)}
				for _, id := range some {
					p.Profiles = append(p.Profiles, &source.Profile{ID: id})
				}
				if !yield(p, nil) {
					return
				}
			}
		}
	})
}

// readPages reads the profiles of the pages that list yields.
func (s *Source) readPages(ctx, stop context.Context, onRead func(), list func(stop context.Context) iter.Seq2[*source.Page, error]) iter.Seq2[*source.Page, error] {
	r := NewReader(s.client, s.o.Fields, stop)
	r.checkOthers, r.onRead = s.CheckReadable, onRead
	return r.ReadPages(ctx, stop, s.o.Readers, s.o.PageSize, list)
}

// CheckReadable looks for a readable profile on the first page of the list. It reads several at once,
// because some may be bad, too.
func (s *Source) CheckReadable(ctx context.Context) error {
	first, err := s.client.Profiles(ctx, beginning, segmentprofiles.MaxProfilesLimit)
	if err != nil {
		return fmt.Errorf("looking for a profile that can be read: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &Reader{client: s.client, fields: s.o.Fields, stop: ctx}
	r.fields.Whole = true // both reads, whether the profile has an identifier or not
	errs := make(chan error)
	asked := 0
	for i := 0; i < len(first.Data); i += 5 {
		if first.Data[i].Err != nil {
			continue
		}
		asked++
		id := first.Data[i].SegmentID
		go func() { errs <- r.readFields(ctx, &source.Profile{ID: id}, segmentprofiles.SegmentID(id)) }()
	}
	var last, fatal error
	isReadable := asked == 0 // the space is empty now
	for range asked {
		switch err := <-errs; {
		case err == nil:
			isReadable = true
			cancel() // one is enough
		case !isReadable && !concernsProfile(ctx, err):
			fatal = err
		default:
			last = err
		}
	}
	switch {
	case isReadable:
		return nil
	case fatal != nil:
		return fmt.Errorf("looking for a profile that can be read: %w", fatal)
	}
	return &source.NoneReadableError{Err: last}
}

// concernsProfile reports whether an error of reading concerns this profile alone, or says that it is gone.
func concernsProfile(ctx context.Context, err error) bool {
	_, isOfProfile := profileError(ctx, err, false)
	answer, ok := errors.AsType[*segmentprofiles.Error](err)
	return isOfProfile || ok && answer.NotFound()
}

// Reader reads profiles by the Profile API.
type Reader struct {
	client *segmentprofiles.Client
	fields Fields
	stop   context.Context // once it has ended, reads are given up, which is not the profile's fault
	// checkOthers returns an error if no other profile can be read. It tells profiles that fail for long from
	// an outage. It may be nil.
	checkOthers func(context.Context) error
	onRead      func() // called for each profile that was read
}

// NewReader returns a Reader for one run.
func NewReader(client *segmentprofiles.Client, fields Fields, stop context.Context) *Reader {
	return &Reader{client: client, fields: fields, stop: stop, onRead: func() {}}
}

// read reads what is needed of the profile. It gives the profile its outcome where it cannot be
// read. An error is one that concerns the run, not the profile alone.
func (r *Reader) read(ctx context.Context, p *source.Profile) error {
	err := r.readFields(ctx, p, identifierOf(p.ID))
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*segmentprofiles.Error](err); ok && answer.NotFound() { // listed, and deleted since
		p.Vanish(answer.Error())
		return nil
	}
	if reason, ok := profileError(ctx, err, r.stop.Err() != nil); ok {
		p.Fail(reason, err)
		return nil
	}
	if endsRun(err) && r.checkOthers != nil && r.stop.Err() == nil && r.checkOthers(ctx) == nil {
		p.Fail("unreadable", err)
		return nil
	}
	return err
}

// readFields reads the external IDs and the traits of the profile as far as they are needed.
func (r *Reader) readFields(ctx context.Context, p *source.Profile, id segmentprofiles.Identifier) (err error) {
	f, haveIDs := r.fields, false
	readIDs := func() error {
		if haveIDs {
			return nil
		}
		haveIDs = true
		if p.ExternalIDs, err = r.client.ExternalIDs(ctx, id, f.IDTypes); err != nil {
			return fmt.Errorf("reading the external IDs of %s: %w", p.ID, err)
		}
		return nil
	}
	if f.Whole {
		return errors.Join(readIDs(), r.readTraits(ctx, p, id))
	}
	for _, identifier := range f.Identifiers {
		if identifier.Trait != "" {
			err = r.readTraits(ctx, p, id)
		} else {
			err = readIDs()
		}
		if err != nil {
			return err
		}
		if identifier.SourceID(p.ExternalIDs, p.Traits) == "" {
			continue
		}
		if f.NeedIDs {
			if err := readIDs(); err != nil {
				return err
			}
		}
		return r.readTraits(ctx, p, id)
	}
	return nil
}

func (r *Reader) readTraits(ctx context.Context, p *source.Profile, id segmentprofiles.Identifier) (err error) {
	if p.Traits != nil {
		return nil
	}
	if r.fields.Traits != nil && len(r.fields.Traits) == 0 {
		p.Traits = map[string]any{}
		return nil
	}
	if p.Traits, p.Damaged, err = r.client.Traits(ctx, id, r.fields.TraitsLimit, r.fields.Traits); err != nil {
		return fmt.Errorf("reading the traits of %s: %w", p.ID, err)
	}
	return nil
}

// endsRun reports whether the error says that no other request fares better for now.
func endsRun(err error) bool {
	var fatal interface{ EndsRun() bool }
	return errors.As(err, &fatal) && fatal.EndsRun()
}

// profileError reports whether an error of reading concerns the profile alone: its answer is malformed, or it
// failed for long while Segment answered for others.
func profileError(ctx context.Context, err error, stopped bool) (reason string, ok bool) {
	if err == nil || ctx.Err() != nil || endsRun(err) {
		return "", false
	}
	if reason, ok := segmentprofiles.OfProfile(err); ok {
		return reason, true
	}
	if stopped {
		return "", false
	}
	if answer, ok := errors.AsType[*segmentprofiles.Error](err); ok && (answer.Status < 400 || slices.Contains(runStatuses, answer.Status)) {
		return "", false
	}
	return "unreadable", true
}

// runStatuses are the statuses that every other profile would get, too, and that of one that is gone.
var runStatuses = []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusNotFound}

// identifierOf returns what a profile is known by: its segment id, or type:value.
func identifierOf(id string) segmentprofiles.Identifier {
	if idType, value, found := strings.Cut(id, ":"); found {
		return segmentprofiles.Identifier{Type: idType, Value: value}
	}
	return segmentprofiles.SegmentID(id)
}

// IDOf is the reverse: how the journal names a profile.
func IDOf(id segmentprofiles.Identifier) string {
	if id.Type == "segment_id" {
		return id.Value
	}
	return id.String()
}
