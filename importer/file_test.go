package importer_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"segsync/importer/journal"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

func fileIdentity() journal.Identity {
	return journal.Identity{Source: "file", Identifier: "user_id"}
}

// ndjson returns the people of the sandbox as a file of profiles.
func ndjson(tb testing.TB, box *sandbox.Sandbox) []byte {
	tb.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for p := range people(box) {
		line := map[string]any{"segment_id": p.SegmentID, "external_ids": p.ExternalIDs, "traits": p.Traits}
		if err := encoder.Encode(line); err != nil {
			tb.Fatal(err)
		}
	}
	return out.Bytes()
}

// people returns the people of the sandbox as Profiles Sync knows them.
func people(box *sandbox.Sandbox) func(func(profilessync.Profile) bool) {
	return func(yield func(profilessync.Profile) bool) {
		for person := range box.People() {
			p := profilessync.Profile{SegmentID: person.SegmentID, Traits: person.Traits}
			for _, id := range person.ExternalIDs {
				p.ExternalIDs = append(p.ExternalIDs, profilessync.ExternalID{ID: id.ID, Type: id.Type, CreatedAt: id.CreatedAt})
			}
			if !yield(p) {
				return
			}
		}
	}
}
