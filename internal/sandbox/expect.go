package sandbox

import (
	"encoding/json"
	"strings"
)

// Expect is the truth about one profile, to compare an import with.
type Expect struct {
	SegmentID string
	// SourceID is the user_id with the newest created_at, of equally new ones
	// the smallest; "" when there is none or the profile vanished.
	SourceID string
	// Vanished tells that the profile is listed, but reads answer 404.
	Vanished bool
	// Traits holds all traits, numbers as json.Number; nil when vanished or
	// when the API answers null.
	Traits map[string]any
	// Shape names what is special about the profile.
	Shape string
}

// Want returns what there is to import, in the order of the list before any
// profile became active and before Shuffled.
func (s *Sandbox) Want() []Expect {
	list := make([]Expect, s.o.Profiles)
	for i := range list {
		e := Expect{SegmentID: s.space.segmentID(i), Shape: string(s.space.shape(i))}
		if s.space.vanished(i) {
			e.Vanished = true
		} else {
			e.SourceID = s.space.sourceID(i)
			e.Traits = s.space.traitMap(i)
		}
		list[i] = e
	}
	return list
}

// traitMap decodes the traits of profile i.
func (s *space) traitMap(i int) map[string]any {
	list, null := s.traits(i)
	if null {
		return nil
	}
	m := make(map[string]any, len(list))
	for _, t := range list {
		d := json.NewDecoder(strings.NewReader(t.value))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			panic("sandbox: trait " + t.key + " is not JSON: " + err.Error())
		}
		m[t.key] = v
	}
	return m
}
