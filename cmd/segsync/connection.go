package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// connection is both APIs, with the settings that they need. A client without credentials is
// nil.
type connection struct {
	settings        *settings
	segment         *segmentprofiles.Client
	voucherify      *voucherify.Client
	toSegment       *httpretry.Transport
	toVoucherify    *httpretry.Transport
	sandboxProfiles int // of the embedded sandbox; -1: the APIs are others
	closeSandbox    func()
}

// bounds say how long a connection waits for answers.
type bounds struct {
	attempts int           // of each request; 0 means the usual number
	maxWait  time.Duration // see httpretry.Options
	retryFor time.Duration // likewise
}

// connect loads the settings and makes the clients of both APIs; with --sandbox it starts
// the embedded one.
func (o *settingsFlags) connect(flags *pflag.FlagSet, p bounds, log *slog.Logger) (*connection, error) {
	if o.from == "" && flags.Changed("from") {
		return nil, &exitError{exitUsage, errors.New("--from is empty")}
	}
	c := &connection{sandboxProfiles: -1, closeSandbox: func() {}}
	file, err := o.readEnvFile(flags)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	var own []sandbox.Setting
	fromEnv := lookupIn(file)
	if o.sandbox {
		const profiles = 500
		box := sandbox.New(sandbox.Options{
			Profiles: profiles, Seed: 1, RateLimit: 100, Latency: 50 * time.Millisecond, PastActions: true, Clean: true,
		})
		server, err := box.Listen("127.0.0.1:0")
		if err != nil {
			return nil, &exitError{exitFailed, err}
		}
		c.sandboxProfiles, c.closeSandbox = profiles, func() { server.Close() }
		own = box.Settings(server.URL)
		fromEnv = lookupFirst(own, fromEnv)
	}
	if c.settings, err = loadSettings(fromEnv, o.needs()); err == nil {
		c.settings.origin = originFirst(own, originIn(file))
		err = c.settings.readMapping(o.mapping)
	}
	if err == nil {
		err = c.makeClients(p, log)
	}
	if err != nil {
		c.closeSandbox()
		return nil, &exitError{exitUsage, err}
	}
	return c, nil
}

// readEnvFile reads the file of the settings; nil for none. The sandbox needs none.
func (o *settingsFlags) readEnvFile(flags *pflag.FlagSet) (*envFile, error) {
	if o.sandbox && !flags.Changed("env-file") {
		return nil, nil
	}
	return readEnvFile(o.envFile, flags.Changed("env-file"))
}

// lookupFirst returns a lookup in the sandbox's own settings, then in rest.
func lookupFirst(own []sandbox.Setting, rest func(string) string) func(string) string {
	return func(name string) string {
		for _, s := range own {
			if s.Name == name {
				return s.Value
			}
		}
		return rest(name)
	}
}

// originFirst says where settings come from if the sandbox's own are looked up first.
func originFirst(own []sandbox.Setting, rest func(string) string) func(string) string {
	return func(name string) string {
		if slices.ContainsFunc(own, func(s sandbox.Setting) bool { return s.Name == name }) {
			return "sandbox"
		}
		return rest(name)
	}
}

func (c *connection) makeClients(p bounds, log *slog.Logger) (err error) {
	set := c.settings
	c.toSegment = httpretry.New(httpretry.Options{
		API: "Segment", Rate: set.segmentRate, Attempts: p.attempts, MaxWait: p.maxWait, RetryFor: p.retryFor,
		Probe:   func(ctx context.Context) (*http.Request, error) { return c.segment.Probe(ctx) },
		MaxBody: segmentMaxBody, Secrets: set.secrets(), Log: log,
	})
	c.toVoucherify = httpretry.New(httpretry.Options{
		API: "Voucherify", Bucket: voucherifyBuckets(set.reserve), Attempts: p.attempts, MaxWait: p.maxWait, RetryFor: p.retryFor,
		Probe:   func(ctx context.Context) (*http.Request, error) { return c.voucherify.Probe(ctx) },
		Secrets: set.secrets(), RedactAll: true, Log: log,
	})
	if set.segmentToken != "" && set.spaceID != "" { // else nothing needs it
		if c.segment, err = segmentprofiles.NewClient(c.toSegment.Client(), set.segmentURL, set.spaceID, set.segmentToken); err != nil {
			return err
		}
	}
	if set.appID != "" && set.secretKey != "" {
		c.voucherify, err = voucherify.NewClient(c.toVoucherify.Client(), set.voucherifyURL, set.appID, set.secretKey)
	}
	return err
}

// metadataSchema reads the project's schema of metadata where it can matter, else it is nil.
// strict says that metadata is made to fit it.
func (c *connection) metadataSchema(ctx context.Context, warn func(text string, cause error)) (schema *mapping.Schema, strict bool, err error) {
	policy := c.settings.metadataPolicy
	if policy == asIs || !c.settings.mapping.Metadata.Any() {
		return nil, false, nil
	}
	found, err := c.voucherify.MetadataSchema(ctx, "customer")
	var answer *voucherify.Error
	forbidden := errors.As(err, &answer) && answer.Forbidden()
	switch {
	case err != nil && answer != nil && answer.Unknown() && policy == "":
		warn("this Voucherify has no metadata schemas: metadata is sent as it is", err)
	case forbidden && policy == "":
		warn("the application key may not read the metadata schema: metadata is sent as it is; allow it, or set METADATA_POLICY=as-is", err)
	case forbidden:
		return nil, false, &hinted{fmt.Errorf("reading the metadata schema: %w", err),
			"METADATA_POLICY=strict-to-schema needs the metadata schema; METADATA_POLICY=as-is does without it"}
	case err != nil:
		return nil, false, fmt.Errorf("reading the metadata schema: %w", err)
	case found != nil:
		return mapping.NewSchema(found), c.settings.strict(found), nil
	}
	return nil, false, nil
}

// segmentMaxBody bounds the answers of Segment by what they can hold: a page of traits, or
// one of a list.
func segmentMaxBody(req *http.Request) int64 {
	if strings.HasSuffix(req.URL.Path, "/traits") {
		return 8 << 20
	}
	return 1 << 20
}

// bulkQuota is Voucherify's name for the quota of bulk requests.
const bulkQuota = "bulk_api_calls"

// voucherifyBuckets returns the quota that a request to Voucherify counts in. Bulk requests
// have one of their own, which is counted by the hour.
//
// https://docs.voucherify.io/guides/limits
func voucherifyBuckets(reserve float64) func(*http.Request) *httpretry.Bucket {
	calls := &httpretry.Bucket{Name: "api_calls", Period: time.Minute, Reserve: reserve}
	bulk := &httpretry.Bucket{Name: bulkQuota, Period: time.Hour, Reserve: reserve}
	return func(req *http.Request) *httpretry.Bucket {
		if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/customers/bulk/async") {
			return bulk
		}
		return calls
	}
}

// maxReaders bounds the connections to Segment.
const maxReaders = 256

// readers returns how many profiles to read at once: enough to use the quota while an
// answer takes up to two seconds, and few where there is no quota to speak of, for then
// only the processor bounds the import.
func readers(rate float64) int {
	if rate > 2000 {
		return 32
	}
	return min(max(int(2*rate), 8), maxReaders)
}

// hurry ends all waits for both APIs.
func (c *connection) hurry() {
	c.toSegment.Hurry()
	c.toVoucherify.Hurry()
}

func (c *connection) close() {
	c.toSegment.CloseIdleConnections()
	c.toVoucherify.CloseIdleConnections()
	c.closeSandbox()
}
