package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Options says what the sandbox holds and how it behaves. The zero value has
// no profiles, no quota, no latency and no faults.
type Options struct {
	// Profiles is the number of profiles in the space.
	Profiles int
	// Seed decides the data and the faults: the same seed, the same profiles.
	Seed uint64
	// Identified is the share of profiles that have a user_id: 0 is the
	// default mix (about 85 %, or all when Plain), a negative value none.
	Identified float64
	// Plain makes every profile a simple, valid one, for benchmarks. Answers
	// are then never compressed.
	Plain bool
	// Clean leaves out what an import would complain about: the profiles that
	// vanish, and most of those without identifier or with an invalid birthdate.
	Clean bool
	// Order is the order of the profile list.
	Order Order
	// Activity is the average number of profiles that become active after
	// each list page: updated now, and moved to the front of the list.
	Activity float64

	// RateLimit is Segment's quota: requests accepted in any window of one
	// second, over the whole space. 0: no limit.
	RateLimit int
	// ClockOffset is how far Segment's clock is ahead of this machine's, in the
	// Date header and in updated_at.
	ClockOffset time.Duration
	// IDForm is how a segment id names a profile.
	IDForm IDForm
	// NullIDs answers external_ids with data null where none matches; else data is a list.
	NullIDs bool
	// NoCanonicalID leaves segment_id out of the answer to metadata.
	NoCanonicalID bool
	// Taken is the part of RateLimit that somebody else uses.
	Taken int
	// Latency is the mean time of a Segment answer; one in a hundred takes
	// ten times as long. 0: answered at once.
	Latency time.Duration
	// VoucherifyLatency is the time of every Voucherify answer.
	VoucherifyLatency time.Duration
	// Faults is the share of requests, of both APIs, that are answered with
	// one of the faults, from 0 to 1. A fault on a POST may come after the
	// request took effect, as when an answer is lost.
	Faults float64
	// Stall is how long a stalled answer takes (default 60 s). It ends early
	// when the client or the server goes away.
	Stall time.Duration

	// MaxCustomers is the most records of one bulk request; more are answered
	// with 400 too_many_customers. 0: no limit.
	MaxCustomers int
	// MaxBody is the most bytes of one request, else 413. 0: 10,485,760.
	MaxBody int
	// TooLargeKey answers a larger one with 400 query_too_large instead of 413.
	TooLargeKey bool
	// Doubles stores numbers as doubles, else with all their digits.
	Doubles bool
	// Nameless is how many customers without a source_id the project has from the beginning.
	Nameless int
	// FullAddress gives a set address all six members, null where they are unset.
	FullAddress bool
	// ActionDelay is the time an async action takes. Actions run one after
	// the other. 0: each is done at once.
	ActionDelay time.Duration
	// Reject decides about each record inside an action: a non-empty key makes
	// the record fail with these words. It must not call the sandbox.
	// Records without a source_id fail whatever it says.
	Reject func(sourceID string) (key, message, details string)
	// OperationStatus is the operation_status of a finished action with a
	// failed record: "" is SUCCESS, "-" leaves the field out.
	OperationStatus string
	// LegacyResults gives results in the shape used until 2024-08-21.
	LegacyResults bool
	// MaxErrors caps the errors of one action's result. 0: all are given.
	MaxErrors int
	// HideFresh keeps younger actions out of the list of actions.
	HideFresh time.Duration
	// FailActions, StuckActions and ForgetActions choose bulk requests by
	// their number, from 1: their action ends FAILED with nothing applied,
	// never ends, or is applied but unknown to every read.
	FailActions, StuckActions, ForgetActions func(n int) bool
	// PastActions answers for actions of an earlier sandbox, as done: a resumed import
	// finds what it sent to a sandbox that ended with it.
	PastActions bool
	// APICalls and BulkCalls are Voucherify's quotas; zero: none. A bulk call
	// counts in BulkCalls only.
	APICalls, BulkCalls Bucket
	// Schema is the metadata schema of customers. nil: there is none.
	Schema json.RawMessage
	// EnforceSchema rejects records whose metadata breaks Schema.
	EnforceSchema bool
	// RejectShare is the share of the customers, from 0 to 1, whose records fail
	// with metadata_validation_failed. It is decided by Seed and source_id.
	RejectShare float64
	// Discard counts customers without keeping them.
	Discard bool

	// Exports says how exports of customers behave.
	Exports ExportOptions
	// Outage is a time in which nothing is answered.
	Outage Outage

	// AccessToken, SpaceID, AppID and SecretKey are what the sandbox accepts.
	// Defaults: "sandbox-access-token", "spa_sandbox", "sandbox-app-id",
	// "sandbox-secret-key".
	AccessToken, SpaceID, AppID, SecretKey string

	// OnRequest is called when a request has been read, before it is answered.
	OnRequest func(Request)
	// OnAnswer is called when the request had its effect and the answer is
	// about to be written. It may block; Close then waits for it.
	OnAnswer func(Request)
	// Intercept may answer a request itself, and then returns true. It is
	// called before authentication, quotas and faults.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
	// Record keeps all requests for Sandbox.Requests.
	Record bool
}

// Order is the order of the profile list.
type Order int

const (
	// ByActivity lists the most recently updated profile first.
	ByActivity Order = iota
	// Shuffled lists profiles in no order of updated_at.
	Shuffled
	// NoUpdatedAt lists by activity, with metadata that has no updated_at.
	NoUpdatedAt
)

// IDForm is how a segment id names a profile in a path.
type IDForm int

const (
	// AnyForm takes segment_id:use_… and the bare use_….
	AnyForm IDForm = iota
	// TypedForm takes segment_id:use_… only.
	TypedForm
	// BareForm takes use_… only.
	BareForm
)

// A Bucket is a quota of Limit calls in each Period, which begins with the
// first call. A Period of 0 is an hour.
type Bucket struct {
	Limit  int
	Period time.Duration
}

// A Request is one request that reached the sandbox.
type Request struct {
	API    string // "segment", "voucherify" or "download"
	Method string
	Path   string // as sent, with its escapes
	Query  url.Values
	Header http.Header
	Body   []byte // nil when the request had none, or more than MaxBody
	Status int    // of the answer; 0 before it, and when there was none
	Time   time.Time
	N      int    // counts from 1
	Fault  string // the name of the fault it was answered with, else ""
}

// A Setting is one environment setting of segsync.
type Setting struct{ Name, Value string }

// Stats counts what happened.
type Stats struct {
	SegmentRequests     int
	Segment429          int // refused for the quota, or by a fault
	ListRequests        int
	TraitsRequests      int
	ExternalIDsRequests int
	FirstSegment        time.Time // arrival of the first Segment request
	LastSegment         time.Time

	VoucherifyRequests int
	Voucherify429      int
	BulkRequests       int // POSTs to customers/bulk/async, whatever the answer
	BulkAccepted       int // those answered, or meant to be answered, 202
	Upserts            int // POSTs to customers, whatever the answer
	Downloads          int // requests to the download host, in no other count
	Customers          int // records applied
	Rejected           int // records that failed inside an action
	DuplicateInBatch   int // records whose source_id came before in the same request

	Faults int
}

// withDefaults fills in what the zero value leaves open.
func (o Options) withDefaults() Options {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.AccessToken, "sandbox-access-token")
	set(&o.SpaceID, "spa_sandbox")
	set(&o.AppID, "sandbox-app-id")
	set(&o.SecretKey, "sandbox-secret-key")
	set(&o.OperationStatus, "SUCCESS")
	if o.MaxBody == 0 {
		o.MaxBody = 10_485_760
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	return o
}
