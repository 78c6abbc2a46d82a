package importer

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
)

// A State that was saved is never changed: others read it meanwhile.
func TestCloneOfAStateCountsForItself(t *testing.T) {
	s := NewState(Identity{}, Beginning)
	s.noteLeftOut(mapping.LeftOut{Key: "plan", Reason: "unknown"}, 1)
	c := s.clone()
	c.noteLeftOut(mapping.LeftOut{Key: "plan", Reason: "unknown"}, 1)
	c.noteLeftOut(mapping.LeftOut{Key: "age", Reason: "not a number"}, 2)
	if diff := cmp.Diff(map[string]map[string]int{"plan": {"unknown": 1}}, s.MetadataLeftOut); diff != "" {
		t.Errorf("the state (-want +got):\n%s", diff)
	}
	want := map[string]map[string]int{"plan": {"unknown": 2}, "age": {"not a number": 2}}
	if diff := cmp.Diff(want, c.MetadataLeftOut); diff != "" {
		t.Errorf("its clone (-want +got):\n%s", diff)
	}
}
