package segmentprofiles_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
)

// startSandbox serves a sandbox with one profile of each shape, and more.
func startSandbox(t *testing.T) (*sandbox.Sandbox, string) {
	t.Helper()
	s := sandbox.New(sandbox.Options{Profiles: 60, Seed: 7, Record: true})
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, srv.URL
}

func TestSandboxList(t *testing.T) {
	for _, limit := range []int{1, 7, 30, 60, 100} {
		s, url := startSandbox(t)
		c := clientOf(t, url, "spa_sandbox", "sandbox-access-token")
		var want, got []string
		for _, p := range s.Want() {
			want = append(want, p.SegmentID)
		}
		for page, err := range c.AllProfiles(t.Context(), "0", limit) {
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Data {
				got = append(got, p.SegmentID)
				if p.Metadata.CreatedAt.IsZero() || p.Metadata.UpdatedAt.IsZero() {
					t.Errorf("%s has the metadata %v", p.SegmentID, p.Metadata)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("profiles by %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestSandboxListFromAnOffset(t *testing.T) {
	s, url := startSandbox(t)
	c := clientOf(t, url, "spa_sandbox", "sandbox-access-token")
	for offset, want := range map[string]int{"0": 60, "40": 20, "59": 1, "60": 0, "1000": 0} {
		n := 0
		for page, err := range c.AllProfiles(t.Context(), offset, 9) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Data)
		}
		if n != want {
			t.Errorf("%d profiles from %s, want %d of %d", n, offset, want, len(s.Want()))
		}
	}
}

func TestSandboxProfiles(t *testing.T) {
	s, url := startSandbox(t)
	c := clientOf(t, url, "spa_sandbox", "sandbox-access-token")
	shapes := map[string]bool{}
	for _, p := range s.Want() {
		shapes[p.Shape] = true
		t.Run(p.SegmentID+" "+p.Shape, func(t *testing.T) {
			id := segmentprofiles.SegmentID(p.SegmentID)
			ids, err := c.ExternalIDs(t.Context(), id, []string{"user_id"})
			if p.Vanished {
				var e *segmentprofiles.Error
				if !errors.As(err, &e) || !e.NotFound() {
					t.Errorf("external ids of a vanished profile: %v, want one that is not found", err)
				}
				if _, _, err := c.Traits(t.Context(), id, 200, nil); !errors.As(err, &e) || !e.NotFound() {
					t.Errorf("traits of a vanished profile: %v, want one that is not found", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := newest(ids); got != p.SourceID {
				t.Errorf("newest of the user_ids %v is %q, want %q", ids, got, p.SourceID)
			}
			for _, id := range ids {
				if id.Type != "user_id" || id.CreatedAt.IsZero() {
					t.Errorf("external id %v, want a user_id with a time", id)
				}
			}
			for _, limit := range []int{1, 10, 200} {
				if limit == 1 && len(p.Traits) > 30 {
					continue // hundreds of requests show nothing more
				}
				traits, _, err := c.Traits(t.Context(), id, limit, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(p.Traits, traits, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("traits by %d (-want +got):\n%s", limit, diff)
				}
			}
			if len(ids) > 0 {
				checkReadByUserID(t, c, ids[0], p)
			}
		})
	}
	if len(shapes) < 30 {
		t.Errorf("only %d shapes of profiles: choose another seed", len(shapes))
	}
	for _, r := range s.Requests() {
		if r.Status >= 400 && r.Status != http.StatusNotFound {
			t.Errorf("%s was answered %d", r.Path, r.Status)
		}
	}
}

// checkReadByUserID reads the profile by an external id. Merged profiles share one,
// so the answer may be another's.
func checkReadByUserID(t *testing.T, c *segmentprofiles.Client, id segmentprofiles.ExternalID, p sandbox.Expect) {
	t.Helper()
	if strings.HasPrefix(p.Shape, "shared") {
		return
	}
	got, _, err := c.Traits(t.Context(), segmentprofiles.Identifier{Type: id.Type, Value: id.ID}, 200, []string{"email", "name"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	for _, key := range []string{"email", "name"} {
		if v, ok := p.Traits[key]; ok {
			want[key] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("email and name, read by %s (-want +got):\n%s", id.ID, diff)
	}
}

// newest is what the importer makes of several ids.
func newest(ids []segmentprofiles.ExternalID) string {
	if len(ids) == 0 {
		return ""
	}
	return slices.MaxFunc(ids, func(a, b segmentprofiles.ExternalID) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	}).ID
}

// The sandbox answers 500 to an unescaped @, as Segment does.
func TestSandboxReadByEMail(t *testing.T) {
	s, url := startSandbox(t)
	c := clientOf(t, url, "spa_sandbox", "sandbox-access-token")
	n := 0
	for _, p := range s.Want() {
		email, ok := p.Traits["email"].(string)
		if !ok || p.SourceID == "" || p.Vanished {
			continue
		}
		n++
		got, _, err := c.Traits(t.Context(), segmentprofiles.Identifier{Type: "email", Value: email}, 10, []string{"email"})
		if err != nil {
			t.Fatalf("%s: %v", email, err)
		}
		if diff := cmp.Diff(map[string]any{"email": email}, got); diff != "" {
			t.Errorf("traits of %s (-want +got):\n%s", email, diff)
		}
	}
	if n == 0 {
		t.Error("no profile has an e-mail address")
	}
}

func TestSandboxRefusals(t *testing.T) {
	s, url := startSandbox(t)
	id := segmentprofiles.SegmentID(s.Want()[0].SegmentID)
	var e *segmentprofiles.Error

	_, err := clientOf(t, url, "spa_sandbox", "wrong").Profiles(t.Context(), "0", 10)
	if !errors.As(err, &e) || e.Status != 401 || !e.Refused() || e.RequestID == "" {
		t.Errorf("wrong token: %v, want 401 with a request id", err)
	}
	_, err = clientOf(t, url, "spa_other", "sandbox-access-token").Profiles(t.Context(), "0", 10)
	if !errors.As(err, &e) || e.Status != 404 || !e.Refused() || e.NotFound() {
		t.Errorf("wrong space: %v, want 404, refused", err)
	}
	c := clientOf(t, url, "spa_sandbox", "sandbox-access-token")
	_, err = c.Profiles(t.Context(), "0", 101)
	if !errors.As(err, &e) || e.Status != 400 || e.Refused() {
		t.Errorf("limit 101: %v, want 400", err)
	}
	_, _, err = c.Traits(t.Context(), id, 201, nil)
	if !errors.As(err, &e) || e.Status != 400 || e.Route != segmentprofiles.RouteTraits {
		t.Errorf("limit 201: %v, want 400 of the traits", err)
	}
	_, _, err = c.Traits(t.Context(), segmentprofiles.SegmentID(strings.ToLower(id.Value)), 10, nil)
	if !errors.As(err, &e) || !e.NotFound() {
		t.Errorf("segment id in lower case: %v, want one that is not found", err)
	}
}
