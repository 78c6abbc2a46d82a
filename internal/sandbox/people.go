package sandbox

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"sync"
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
// reads answer 404 or with another profile. Each is computed when it is reached.
func (s *Sandbox) People() iter.Seq[Person] {
	return func(yield func(Person) bool) {
		for offset := 0; ; offset += 100 {
			lines := s.list.page(offset, 100)
			if len(lines) == 0 {
				return
			}
			for _, line := range lines {
				if s.space.vanished(line.index) || s.space.edits.survivor(line.index) != line.index {
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

// edits are what tests changed about profiles, by index.
type edits struct {
	mu      sync.RWMutex
	deleted map[int]bool
	merged  map[int]int                        // the survivor of each that was merged away
	traits  map[int]map[string]json.RawMessage // a value of nil: the trait is removed
}

// Delete removes a profile: it stays in the list, as one that was deleted
// after it was listed, and its reads answer 404. An unknown id is ignored.
func (s *Sandbox) Delete(segmentID string) {
	if i, ok := s.space.bySegmentID(segmentID); ok {
		e := &s.space.edits
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.deleted == nil {
			e.deleted = map[int]bool{}
		}
		e.deleted[i] = true
	}
}

// Merge merges one profile into another, which becomes active: it has the
// external IDs of both and its own traits. The one that was merged away stays
// in the list; reads of it answer with the survivor. Unknown ids are ignored.
func (s *Sandbox) Merge(from, into string) {
	i, ok := s.space.bySegmentID(from)
	k, also := s.space.bySegmentID(into)
	if !ok || !also || s.space.edits.survivor(i) == s.space.edits.survivor(k) {
		return
	}
	k = s.space.edits.survivor(k)
	s.space.edits.merge(s.space.edits.survivor(i), k)
	s.list.touch(k)
}

func (e *edits) merge(from, into int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.merged == nil {
		e.merged = map[int]int{}
	}
	e.merged[from] = into
}

// survivor returns the profile that reads of profile i answer with.
func (e *edits) survivor(i int) int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for {
		into, ok := e.merged[i]
		if !ok {
			return i
		}
		i = into
	}
}

// mergedInto returns the profiles that were merged into profile i, sorted.
func (e *edits) mergedInto(i int) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var from []int
	for k, into := range e.merged {
		if into == i {
			from = append(from, k)
		}
	}
	slices.Sort(from)
	return from
}

// SetTrait changes a trait of a profile, which becomes active. value is JSON;
// nil removes the trait. An unknown id is ignored.
func (s *Sandbox) SetTrait(segmentID, key string, value json.RawMessage) {
	i, ok := s.space.bySegmentID(segmentID)
	if !ok {
		return
	}
	i = s.space.edits.survivor(i)
	s.space.edits.setTrait(i, key, value)
	s.list.touch(i)
}

func (e *edits) setTrait(i int, key string, value json.RawMessage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.traits == nil {
		e.traits = map[int]map[string]json.RawMessage{}
	}
	if e.traits[i] == nil {
		e.traits[i] = map[string]json.RawMessage{}
	}
	e.traits[i][key] = slices.Clone(value)
}

func (e *edits) isDeleted(i int) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.deleted[i]
}

// apply changes the traits of profile i, which are sorted, and returns them.
func (e *edits) apply(i int, list traitList) traitList {
	e.mu.RLock()
	defer e.mu.RUnlock()
	changes := e.traits[i]
	if len(changes) == 0 {
		return list
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		list.remove(key)
		if value := changes[key]; value != nil {
			list = append(list, trait{key, string(value)})
		}
	}
	list.sort()
	return list
}
