package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"segsync/importer/metadata"
	"segsync/internal/httpretry"
	"segsync/internal/report"
	"segsync/internal/sandbox"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// APIs are both APIs, with the settings that they need. A client without credentials is nil.
type APIs struct {
	Settings        *settings.Settings
	Segment         *segmentprofiles.Client
	Voucherify      *voucherify.Client
	ToSegment       *httpretry.Transport
	ToVoucherify    *httpretry.Transport
	IsSandbox       bool // the embedded one
	SandboxProfiles int
	closeSandbox    func()
}

// Connect loads the settings and makes the clients of both APIs; with Sandbox it starts the
// embedded one. What is printed from then on is free of the secrets.
func Connect(out *term.Output, o SettingsOptions, w WaitOptions) (*APIs, error) {
	a := &APIs{IsSandbox: o.Sandbox, closeSandbox: func() {}}
	env, err := ReadEnv(o)
	if err != nil {
		return nil, Usage(err)
	}
	if o.Sandbox {
		if env.Sandbox, err = a.startSandbox(); err != nil {
			return nil, &Error{ExitFailed, err}
		}
	}
	if a.Settings, err = settings.Load(env, o.From.Needs(!o.Offline)); err == nil {
		err = a.Settings.ReadMapping(o.Mapping)
	}
	if err == nil {
		err = a.makeClients(w.withDefaults(out.IsTerminal()), out.Log)
	}
	if err != nil {
		a.closeSandbox()
		return nil, Usage(err)
	}
	out.KeepSecret(a.Settings.Secrets()...)
	warnOf(a.Settings, out.Log)
	return a, nil
}

// LoadSettings loads the settings and the mapping of a command that needs no credentials.
func LoadSettings(log *slog.Logger, o SettingsOptions, load func(settings.Env) (*settings.Settings, error)) (*settings.Settings, error) {
	env, err := ReadEnv(o)
	if err != nil {
		return nil, Usage(err)
	}
	set, err := load(env)
	if err == nil {
		err = set.ReadMapping(o.Mapping)
	}
	if err != nil {
		return nil, Usage(err)
	}
	warnOf(set, log)
	return set, nil
}

func warnOf(set *settings.Settings, log *slog.Logger) {
	for _, warning := range set.Warnings {
		log.Warn(warning.Text, "setting", warning.Setting)
	}
}

// ReadEnv returns where the settings are read from. The sandbox needs no file.
func ReadEnv(o SettingsOptions) (env settings.Env, err error) {
	env.Environ = os.Environ()
	if !o.Sandbox || o.EnvFileNamed {
		env.File, err = settings.ReadFile(o.EnvFile, o.EnvFileNamed)
	}
	return env, err
}

func (w WaitOptions) withDefaults(isTerminal bool) WaitOptions {
	if isTerminal {
		w.MaxWait, w.RetryFor = cmp.Or(w.MaxWait, maxWaitTerminal), cmp.Or(w.RetryFor, retryForTerminal)
	}
	w.MaxWait, w.RetryFor = cmp.Or(w.MaxWait, maxWaitUnattended), cmp.Or(w.RetryFor, retryForUnattended)
	return w
}

// startSandbox starts the embedded sandbox, and returns the settings that lead to it.
func (a *APIs) startSandbox() (map[string]string, error) {
	a.SandboxProfiles = 500
	box := sandbox.New(sandbox.Options{
		Profiles: a.SandboxProfiles, Seed: 1, RateLimit: 100, Latency: 50 * time.Millisecond, PastActions: true, Clean: true,
	})
	server, err := box.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a.closeSandbox = func() { server.Close() }
	all := make(map[string]string)
	for _, s := range box.Settings(server.URL) {
		all[s.Name] = s.Value
	}
	return all, nil
}

func (a *APIs) makeClients(w WaitOptions, log *slog.Logger) (err error) {
	set := a.Settings
	a.ToSegment = httpretry.New(httpretry.Options{
		API: "Segment", Rate: set.Segment.Rate, Attempts: w.Attempts, MaxWait: w.MaxWait, RetryFor: w.RetryFor,
		RateSetting: "SEGMENT_RATE_LIMIT", RateScope: "space", MaxBody: segmentMaxBody, Secrets: set.Secrets(), Log: log,
	})
	a.ToVoucherify = httpretry.New(httpretry.Options{
		API: "Voucherify", Attempts: w.Attempts, MaxWait: w.MaxWait, RetryFor: w.RetryFor,
		Quota: voucherify.QuotaOf, ReadQuota: voucherify.ReadQuota, IsFinal: voucherify.IsFinal, Reserve: set.Voucherify.Reserve,
		MaxBody: voucherifyMaxBody, Secrets: set.Secrets(), RedactAll: true, Log: log,
	})
	if set.Segment.Token != "" && set.Segment.SpaceID != "" { // else nothing needs it
		if a.Segment, err = segmentprofiles.NewClient(a.ToSegment.Client(), set.Segment.URL, set.Segment.SpaceID, set.Segment.Token); err != nil {
			return err
		}
	}
	if set.Voucherify.AppID != "" && set.Voucherify.SecretKey != "" {
		a.Voucherify, err = voucherify.NewClient(a.ToVoucherify.Client(), set.Voucherify.URL, set.Voucherify.AppID, set.Voucherify.SecretKey)
	}
	return err
}

// segmentMaxBody bounds the answers of Segment by what they can hold: a page of traits, or
// one of a list.
func segmentMaxBody(req *http.Request) int64 {
	if strings.HasSuffix(req.URL.Path, "/traits") {
		return 8 << 20
	}
	return 1 << 20
}

// voucherifyMaxBody lets an async action name all the customers of a bulk request that were rejected.
func voucherifyMaxBody(req *http.Request) int64 {
	if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/v1/async-actions/") {
		return 48 << 20
	}
	return 16 << 20
}

// Close ends the connections, and the sandbox.
func (a *APIs) Close() {
	a.ToSegment.CloseIdleConnections()
	a.ToVoucherify.CloseIdleConnections()
	a.closeSandbox()
}

// Requests returns the requests of this process so far.
func (a *APIs) Requests() report.Requests {
	segment, vch := a.ToSegment.Stats(), a.ToVoucherify.Stats()
	return report.Requests{
		Segment: segment.Requests, Voucherify: vch.Requests,
		Retries: segment.Retries + vch.Retries, Throttled: segment.Throttled + vch.Throttled,
	}
}

// ReadSchema reads the project's metadata schema; nil: there is none, or it is not needed, or cannot be read.
// Comparing metadata needs it with every policy.
func (a *APIs) ReadSchema(ctx context.Context, log *slog.Logger, toCompare bool) (*voucherify.MetadataSchema, error) {
	policy, consequence := a.Settings.Voucherify.Policy, "metadata is sent as it is"
	if !a.Settings.Mapping.Metadata.Any() || policy == settings.AsIs && !toCompare {
		return nil, nil
	}
	if toCompare {
		consequence += ", and is not compared"
	}
	schema, err := a.Voucherify.MetadataSchema(ctx, "customer")
	answer, isAnswer := errors.AsType[*voucherify.Error](err)
	switch {
	case err == nil:
		return schema, nil
	case !isAnswer || !answer.Unknown() && !answer.Forbidden():
		return nil, fmt.Errorf("reading the metadata schema: %w", err)
	case policy == settings.Strict:
		return nil, WithHint(fmt.Errorf("reading the metadata schema: %w", err),
			"METADATA_POLICY=strict needs the metadata schema; METADATA_POLICY=as-is does without it")
	case answer.Unknown():
		log.Warn("this Voucherify has no metadata schemas: "+consequence, "setting", "METADATA_POLICY", "cause", err)
	default:
		log.Warn("the application key may not read the metadata schema: "+consequence+"; allow it, or set METADATA_POLICY=as-is",
			"setting", "METADATA_POLICY", "cause", err)
	}
	return nil, nil
}

// SchemaToFit returns the schema that metadata is made to fit, of the project's; nil: it is sent as it is.
func (a *APIs) SchemaToFit(s *voucherify.MetadataSchema) *metadata.Schema {
	policy := a.Settings.Voucherify.Policy
	if s == nil || policy == settings.AsIs {
		return nil
	}
	schema := metadata.NewSchema(s)
	schema.DefinedOnly = schema.DefinedOnly || policy == settings.Strict
	return schema
}

// maxReaders bounds the connections to Segment.
const maxReaders = 256

// Readers returns how many profiles to read at once: enough to use the quota while an
// answer takes up to two seconds, and few where there is no quota to speak of, for then
// only the processor bounds the import.
func Readers(rate float64) int {
	if rate > 2000 {
		return 32
	}
	return min(max(int(2*rate), 8), maxReaders)
}
