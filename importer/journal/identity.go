package journal

import (
	"fmt"
	"strings"
)

// Identity says what an import is about. Only an import of the same can be continued.
type Identity struct {
	Space      string `json:"space"`
	SegmentURL string `json:"segment_url"`
	// Source is where the profiles come from, "" for the Profile API.
	Source        string `json:"source,omitempty"`
	VoucherifyURL string `json:"voucherify_url"`
	// VoucherifyApp is a fingerprint of the application ID: all projects of a region
	// have the same URL.
	VoucherifyApp string `json:"voucherify_app"`
	Identifier    string `json:"identifier"` // identifiers, separated by commas
	// Mapping is a fingerprint of the mapping and of the metadata policy that the user chose.
	Mapping string `json:"mapping"`
	// Input is the SHA-256 of the list of profiles that was given, "" for all
	// profiles of the source.
	Input string `json:"input,omitempty"`
}

// isSameProject reports whether both import into the same Voucherify project.
func (id Identity) isSameProject(other Identity) bool {
	return id.VoucherifyURL == other.VoucherifyURL && id.VoucherifyApp == other.VoucherifyApp
}

// isSameTarget reports whether both import the profiles of one space into one project:
// what is outstanding of one is outstanding of the other.
func (id Identity) isSameTarget(other Identity) bool {
	return id.isSameProject(other) && id.Space == other.Space && id.SegmentURL == other.SegmentURL
}

// isSameSource reports whether both read the same profiles for the same project under the same
// source_id, so that one can go on where the other began.
func (id Identity) isSameSource(other Identity) bool {
	id.Mapping = other.Mapping
	return id == other
}

// Differences names what an import of other is about and one of id is not, in words.
func (id Identity) Differences(other Identity) string {
	var all []string
	compare := func(what, mine, others string) {
		if mine != others {
			all = append(all, fmt.Sprintf("%s %q instead of %q", what, others, mine))
		}
	}
	compare("the source", orAPI(id.Source), orAPI(other.Source))
	compare("the Segment space", id.Space, other.Space)
	compare("the Segment API", id.SegmentURL, other.SegmentURL)
	compare("the Voucherify API", id.VoucherifyURL, other.VoucherifyURL)
	if id.VoucherifyApp != other.VoucherifyApp {
		all = append(all, "another Voucherify application")
	}
	compare("the identifier", id.Identifier, other.Identifier)
	if id.Mapping != other.Mapping {
		all = append(all, "another mapping")
	}
	if id.Input != other.Input {
		all = append(all, "another list of profiles")
	}
	return strings.Join(all, ", ")
}

func orAPI(source string) string {
	if source == "" {
		return "api"
	}
	return source
}
