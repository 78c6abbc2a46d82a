package importer

import (
	"context"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"segsync/importer/journal"
	"segsync/segmentprofiles"
)

// page is a page of profiles on its way through the program.
type page struct {
	after    journal.Position // once this page is complete
	began    time.Time        // when it was listed, by the source's clock
	first    bool             // the import begins with it
	profiles []*profile
	pass     int    // over the list; 0 is the first, and that of all pages that no list has
	retry    bool   // tried again before the list is read
	replaces string // id of the failed action whose customers are sent again, or ""

	number int64        // counted from 0 by readPages
	unread atomic.Int64 // profiles
	once   sync.Once
	done   chan struct{} // closed when all profiles are read, or one could not be
	err    error         // valid once done is closed
}

// profile is a profile of a page, and what becomes of it. Each stage fills in its part:
// the reader, the batcher, and the sink.
type profile struct {
	journal.Entry
	page     *page
	id       segmentprofiles.Identifier
	customer []byte // JSON of the customer to send, nil for none
}

// source yields the profiles to import in complete pages, in an order that can be
// continued. Its last page, or its error, ends it; it ends early, between two pages, with
// wanted, and at once with ctx.
type source func(ctx, wanted context.Context) iter.Seq2[*page, error]

// listing yields pages whose profiles are not read yet.
type listing = iter.Seq2[*page, error]

func (p *page) add(id segmentprofiles.Identifier, label string) *profile {
	added := &profile{page: p, id: id, Entry: journal.Entry{SegmentID: label, Late: p.pass > 0}}
	p.profiles = append(p.profiles, added)
	return added
}

// finish closes done; only the first call counts.
func (p *page) finish(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// labelOf is how the reports name a profile: its segment id, or type:value if only that
// is known.
func labelOf(id segmentprofiles.Identifier) string {
	if id.Type == "segment_id" {
		return id.Value
	}
	return id.String()
}

func identifierOf(label string) segmentprofiles.Identifier {
	if idType, value, found := strings.Cut(label, ":"); found {
		return segmentprofiles.Identifier{Type: idType, Value: value}
	}
	return segmentprofiles.SegmentID(label)
}

// concat yields what several listings yield, one after the other, to the first error.
func concat(all ...listing) listing {
	return func(yield func(*page, error) bool) {
		for _, l := range all {
			for p, err := range l {
				if !yield(p, err) || err != nil {
					return
				}
			}
		}
	}
}
