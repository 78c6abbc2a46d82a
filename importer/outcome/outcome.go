// Package outcome names the outcomes of profiles.
package outcome

import "fmt"

// Outcome is the result of importing a profile. Every profile that was read has exactly one.
type Outcome uint8

// The outcomes, in the order in which they are shown. None is the zero value: the profile was
// listed, and its page is not complete yet.
const (
	None              Outcome = iota
	Confirmed                 // Voucherify confirmed the customer
	Rejected                  // Voucherify refused the customer
	Unreadable                // the source does not give the profile, or gives it malformed
	Unconfirmed               // sent; its async action failed or cannot be read: it is to be sent again
	WithoutIdentifier         // not sent for lack of a source_id
	Vanished                  // listed, and gone when it was read
	Merged                    // another profile with the same source_id was sent
	Filtered                  // the mapping's conditions leave it out
	Unchanged                 // Voucherify has the customer already as it would be sent
	WouldSend                 // a customer of a dry run or a plan
	Sent                      // queued by an async action. It counts as Confirmed once that has ended well, until then as Unconfirmed
	Count                     // their number
)

var names = [Count]string{
	"", "confirmed", "rejected", "unreadable", "unconfirmed", "without_identifier", "vanished", "merged", "filtered",
	"unchanged", "would_send", "sent",
}

// All returns the outcomes that are shown, in order: all but None and Sent.
func All() []Outcome {
	var all []Outcome
	for o := Confirmed; o < Sent; o++ {
		all = append(all, o)
	}
	return all
}

// String returns the name in JSON, such as "without_identifier".
func (o Outcome) String() string { return names[o] }

// MarshalText returns the name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(names[o]), nil }

// UnmarshalText reads a name.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range names {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// IsOutstanding reports whether something is still to be done about the profile.
func (o Outcome) IsOutstanding() bool { return o == Rejected || o == Unreadable || o == Unconfirmed }

// Why is why a profile was not imported.
type Why struct {
	Reason    string `json:"reason,omitempty"` // a word, such as metadata_validation_failed
	Detail    string `json:"detail,omitempty"`
	ActionID  string `json:"async_action_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// MetadataRequired is the reason of a customer that is rejected before it is sent: its metadata lacks a key that
// the project's schema requires.
const MetadataRequired = "metadata_required"
