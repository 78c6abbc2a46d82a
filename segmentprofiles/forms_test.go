package segmentprofiles_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
)

// TestFormOfASegmentID: the form that works is found with one request more, and kept.
func TestFormOfASegmentID(t *testing.T) {
	for form, prefixes := range map[sandbox.IDForm][]string{
		sandbox.AnyForm:   {"segment_id:", "segment_id:", "segment_id:"},
		sandbox.TypedForm: {"segment_id:", "segment_id:", "segment_id:"},
		sandbox.BareForm:  {"segment_id:", "", ""},
	} {
		box := sandbox.New(sandbox.Options{Profiles: 2, Plain: true, IDForm: form})
		var paths []string
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			paths = append(paths, strings.TrimPrefix(r.URL.Path, "/v1/spaces/spa_1/collections/users/profiles/"))
			r.URL.Path = strings.Replace(r.URL.Path, "spa_1", "spa_sandbox", 1)
			r.SetBasicAuth("sandbox-access-token", "")
			box.ServeHTTP(w, r)
		})
		id := box.Want()[0].SegmentID
		for range 2 {
			if traits, _, err := c.Traits(t.Context(), segmentprofiles.SegmentID(id), 200, nil); err != nil || len(traits) == 0 {
				t.Errorf("form %d: %v, %v", form, traits, err)
			}
		}
		_, _, err := c.Traits(t.Context(), segmentprofiles.SegmentID("use_gone"), 200, nil)
		if refused, ok := errors.AsType[*segmentprofiles.Error](err); !ok || !refused.NotFound() {
			t.Errorf("form %d: a profile that is gone: %v", form, err)
		}
		want := []string{prefixes[0] + id + "/traits", prefixes[1] + id + "/traits", prefixes[2] + "use_gone/traits"}
		if form == sandbox.BareForm {
			want = slices.Insert(want, 1, id+"/traits")
		}
		if !slices.Equal(paths, want) {
			t.Errorf("form %d: asked for %q, want %q", form, paths, want)
		}
	}
}

// TestCanonicalID: the id of the profile that an external ID names, where the answer has it.
func TestCanonicalID(t *testing.T) {
	for body, want := range map[string]string{
		`{"segment_id":"use_1","metadata":{}}`: "use_1", `{"metadata":{}}`: "", `{"segment_id":null}`: "",
	} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/user_id:42/metadata") {
				t.Errorf("asked for %s", r.URL.Path)
			}
			io.WriteString(w, body)
		})
		got, err := c.CanonicalID(t.Context(), segmentprofiles.Identifier{Type: "user_id", Value: "42"})
		if got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", body, got, err, want)
		}
	}
	for _, body := range []string{`{"segment_id":"user_id:42"}`, `{"segment_id":7}`} {
		_, err := newClient(t, reply(200, body)).CanonicalID(t.Context(), segmentprofiles.Identifier{Type: "user_id", Value: "42"})
		if _, ok := segmentprofiles.OfProfile(err); !ok {
			t.Errorf("%s: %v, want an error of the profile", body, err)
		}
	}
	_, err := newClient(t, reply(404, `{}`)).CanonicalID(t.Context(), segmentprofiles.Identifier{Type: "user_id", Value: "42"})
	if refused, ok := errors.AsType[*segmentprofiles.Error](err); !ok || !refused.NotFound() {
		t.Errorf("unknown: %v", err)
	}
}

// TestNoExternalIDs: null is a profile without ids, also without a cursor; an answer without data is not.
func TestNoExternalIDs(t *testing.T) {
	id := segmentprofiles.SegmentID("use_1")
	if ids, err := newClient(t, reply(200, `{"data":null}`)).ExternalIDs(t.Context(), id, nil); len(ids) != 0 || err != nil {
		t.Errorf("null: %v, %v", ids, err)
	}
	_, err := newClient(t, reply(200, `{"cursor":{}}`)).ExternalIDs(t.Context(), id, nil)
	if reason, _ := segmentprofiles.OfProfile(err); reason != "incomplete" {
		t.Errorf("missing: %v", err)
	}
}
