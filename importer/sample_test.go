package importer_test

import (
	"fmt"
	"net/http"
	"segsync/internal/sandboxtest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/mapping"
	"segsync/internal/sandbox"
)

func TestSample(t *testing.T) {
	w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
	answer := func(i int, ids, traits string) {
		w.On(fmt.Sprintf(`@%d/external_ids`, i), func(rw http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprintf(rw, `{"data":[%s],"cursor":{"has_more":false}}`, ids)
			return true
		})
		w.On(fmt.Sprintf(`@%d/traits`, i), func(rw http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprintf(rw, `{"traits":{%s},"cursor":{"has_more":false}}`, traits)
			return true
		})
	}
	answer(0, `{"id":"1","type":"user_id"},{"id":"b","type":"user_id"},{"id":"a@b.c","type":"email"}`, `"birthdate":"x","metadata":{"k":1}`)
	answer(1, `{"id":"2","type":"user_id"}`, `"birthdate":"1984-05-02","name":["x"],"other":1,"metadata":{"k":2,"l":3}`)
	answer(2, `{"id":"anon","type":"anonymous_id"}`, `"birthdate":"x"`)
	w.On(`@3/`, sandboxtest.Status(http.StatusNotFound))
	answer(4, `{"id":"4","type":"user_id"}`, ``)

	segment, _ := sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
	sampler := &importer.Sampler{Segment: segment, Identifiers: w.settings.Identifiers, Mapping: w.settings.Mapping,
		PageSize: 10, TraitsLimit: 200, Readers: 4}
	sampler.Refusals = func(metadata map[string]any) (refusals []mapping.LeftOut) {
		for key := range metadata {
			refusals = append(refusals, mapping.LeftOut{Key: key, Reason: fmt.Sprint("it is ", metadata[key])})
		}
		return refusals
	}
	got, err := sampler.Sample(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	want := &importer.Sample{
		Coverage: importer.Coverage{
			Profiles:    5,
			Types:       map[string]importer.TypeSeen{"user_id": {Have: 3, Several: 1}, "email": {Have: 1}, "anonymous_id": {Have: 1}},
			Identifiers: map[string]int{"user_id": 3},
			Mapped:      map[string]int{"birthdate": 3, "metadata": 2, "name": 1},
			LeftOut:     map[string]int{"other": 1},
			Fields:      map[string]int{"birthdate": 1, "metadata.k": 2, "metadata.l": 1},
			Kinds:       map[string]int{"birthdate: is not a date in the form YYYY-MM-DD": 1, "name: is an array, not text": 1},
			Conditions:  []importer.ConditionSeen{},
		},
		Vanished: 1, WithoutIdentifier: 1, InvalidBirthdates: 1,
		Warnings: []importer.SampleWarning{
			{SegmentID: w.Profiles()[0].SegmentID, SourceID: got.Warnings[0].SourceID, Warning: `birthdate: "x" is not a date in the form YYYY-MM-DD`},
			{SegmentID: w.Profiles()[1].SegmentID, SourceID: "2", Warning: `name: ["x"] is an array, not text`},
		},
		SchemaRefusals: map[string]map[string]int{"k": {"it is 1": 1, "it is 2": 1}, "l": {"it is 3": 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sample (-want +got):\n%s", diff)
	}
	if _, err := sampler.Sample(t.Context(), 10); err != nil {
		t.Error(err)
	}
	w.On(`@7/traits`, sandboxtest.Status(http.StatusBadRequest))
	if _, err := sampler.Sample(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "reading the traits of "+w.Profiles()[7].SegmentID) {
		t.Errorf("error %v", err)
	}
	if w.Box.Stats().BulkRequests != 0 {
		t.Error("a sample was sent")
	}
	if w.savedState() != nil {
		t.Error("a sample was saved")
	}
}
