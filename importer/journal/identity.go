package journal

import (
	"cmp"
	"fmt"
	"strings"
)

// Identity is the source, the target and the rules of an import. An import is continued only with the same
// identity.
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

// isSameTarget reports whether both import the profiles of one space into one project. Then outstanding
// profiles of one are outstanding for the other.
func (id Identity) isSameTarget(other Identity) bool {
	return id.isSameProject(other) && id.Space == other.Space && id.SegmentURL == other.SegmentURL
}

// isSameSource reports whether both read the same profiles for the same project under the same
// source_id, so that one can go on where the other began.
func (id Identity) isSameSource(other Identity) bool {
	id.Mapping = other.Mapping
	return id == other
}

// Differences lists in words how an import of other differs from one of id.
func (id Identity) Differences(other Identity) string {
	var all []string
	for _, d := range []struct{ what, mine, others string }{
		{"the source", cmp.Or(id.Source, "api"), cmp.Or(other.Source, "api")},
		{"the Segment space", id.Space, other.Space},
		{"the Segment API", id.SegmentURL, other.SegmentURL},
		{"the Voucherify API", id.VoucherifyURL, other.VoucherifyURL},
		{"another Voucherify application", id.VoucherifyApp, other.VoucherifyApp},
		{"the identifier", id.Identifier, other.Identifier},
		{"another mapping", id.Mapping, other.Mapping},
		{"another list of profiles", id.Input, other.Input},
	} {
		switch isFingerprint := strings.HasPrefix(d.what, "another "); {
		case d.mine == d.others:
		case isFingerprint:
			all = append(all, d.what)
		default:
			all = append(all, fmt.Sprintf("%s %q instead of %q", d.what, d.others, d.mine))
		}
	}
	return strings.Join(all, ", ")
}
