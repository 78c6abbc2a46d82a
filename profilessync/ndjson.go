package profilessync

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
)

// WriteNDJSON writes profiles as OpenFile reads them, one a line.
func WriteNDJSON(to io.Writer, profiles iter.Seq[Profile]) error {
	out := bufio.NewWriter(to)
	encoder := json.NewEncoder(out)
	for p := range profiles {
		line := struct {
			SegmentID   string         `json:"segment_id"`
			ExternalIDs []ExternalID   `json:"external_ids"`
			Traits      map[string]any `json:"traits"`
		}{p.SegmentID, p.ExternalIDs, p.Traits}
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return out.Flush()
}
