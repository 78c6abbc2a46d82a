package sandbox

import (
	"iter"
	"time"
)

// A Person is one profile with all that Segment knows of it.
type Person struct {
	SegmentID   string
	ExternalIDs []ExternalID // in the order of the API
	// Traits holds numbers as json.Number; nil where the API answers null.
	Traits    map[string]any
	UpdatedAt time.Time
}

// An ExternalID is one external ID of a Person.
type ExternalID struct {
	Type, ID  string
	CreatedAt time.Time
}

// People returns the profiles in the order of the list, without those whose
// reads answer 404. Each is computed when it is reached.
func (s *Sandbox) People() iter.Seq[Person] {
	return func(yield func(Person) bool) {
		for offset := 0; ; offset += 100 {
			lines := s.list.page(offset, 100)
			if len(lines) == 0 {
				return
			}
			for _, line := range lines {
				if s.space.vanished(line.index) {
					continue
				}
				if !yield(s.person(line)) {
					return
				}
			}
		}
	}
}

func (s *Sandbox) person(line listed) Person {
	p := Person{SegmentID: s.space.segmentID(line.index), Traits: s.space.traitMap(line.index), UpdatedAt: line.updated}
	for _, id := range s.space.externalIDs(line.index) {
		p.ExternalIDs = append(p.ExternalIDs, ExternalID{id.typ, id.value, id.created})
	}
	return p
}

// Delete removes a profile: it stays in the list, as one that was deleted
// after it was listed, and its reads answer 404. An unknown id is ignored.
func (s *Sandbox) Delete(segmentID string) {
	if i, ok := s.space.bySegmentID(segmentID); ok {
		s.space.deleted.Store(i, true)
	}
}
