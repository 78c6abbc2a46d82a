// Package app carries out the commands that read or send something: it connects a source, a sink and a
// journal, runs the importer, and says how it ended.
//
//	Import:  connect ─▶ openInput ─▶ lock ─▶ openJournal ─▶ newJob ─▶ execute ─▶ decide ─▶ finish
//
// Each step takes what the steps before it returned.
package app

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"segsync/internal/settings"
)

// Exit codes. They are part of the interface: cron jobs and monitoring read them.
const (
	ExitDone        = 0
	ExitFailed      = 1 // can be continued
	ExitUsage       = 2 // wrong usage, settings or credentials
	ExitNotImported = 3 // done, but profiles are outstanding
	ExitUnconfirmed = 4 // done, but some customers are sent and not confirmed
	ExitLater       = 5 // stopped for a quota; continue later
	ExitChanges     = 6 // of segsync plan --exit-code: an import would change something
	ExitLocked      = 11
	ExitInterrupted = 130
	ExitTerminated  = 143
)

// Error ends the program with a code. Err is nil if everything was said already.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage returns an error of wrong usage or settings.
func Usage(err error) error { return &Error{ExitUsage, err} }

// exitWith returns the error of a code, nil for ExitDone.
func exitWith(code int) error {
	if code == ExitDone {
		return nil
	}
	return &Error{Code: code}
}

// hinted is an error that comes with advice.
type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

// WithHint adds advice to an error.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

// Version is the version of the program, for summaries and requests.
var Version = "devel"

// SettingsOptions say where settings come from.
type SettingsOptions struct {
	EnvFile      string
	EnvFileNamed bool // it must be there
	Mapping      string
	From         settings.Source
	Sandbox      bool // the embedded one takes the place of both APIs
	Offline      bool // Voucherify is not asked
}

// WaitOptions bound what is waited for.
type WaitOptions struct {
	Attempts int           // of each request; 0: the usual number
	MaxWait  time.Duration // 0: the default
	RetryFor time.Duration // 0: the default
}

// The defaults of WaitOptions: somebody looks at a terminal, and nobody at a cron job.
const (
	maxWaitTerminal, maxWaitUnattended   = 5 * time.Minute, 2 * time.Hour
	retryForTerminal, retryForUnattended = 3 * time.Minute, 30 * time.Minute
)

// StartOptions say where an import starts.
type StartOptions struct {
	Offset      string // "" if it was not given
	Resume      bool
	Restart     bool
	NoRetry     bool // of what earlier imports could not import
	KeepSince   bool // --since last goes on although the mapping changed
	KeepHistory int  // logs of earlier imports
}

// ChooseOptions say which profiles are imported.
type ChooseOptions struct {
	ProfilesFrom string // a file of profiles, - for stdin
	Since        string // last, or a time; see ParseSince
	Limit        int    // 0: none
	NoCatchUp    bool
	Recheck      bool
}

// SendOptions say what is sent.
type SendOptions struct {
	DryRun      bool
	Output      string // of a dry run; "" is stdout
	OnlyChanges bool   // only what differs from what Voucherify has
	AllowOdd    bool   // identifiers that look like a mistake of what wrote them
	CompareAll  bool   // ask for each customer that an export cannot be compared with
	KeepExport  bool   // the export stays at Voucherify once it is read
	MaxClears   int    // negative: the default
	MaxRejects  int    // negative: no limit
}

// ConfirmOptions say how to check the status of the customers sent.
type ConfirmOptions struct {
	Off      bool
	Interval time.Duration
	Timeout  time.Duration
}

// ReportOptions say what is written besides the terminal.
type ReportOptions struct {
	Summary     string
	MetricsFile string
	WarnValues  bool // the values are in warnings.csv, too
}

// Flag is a flag that was given, for the command that continues.
type Flag struct {
	Name, Value string
	IsBool      bool
}

// ImportOptions are those of segsync import.
type ImportOptions struct {
	Command  string // such as "segsync import"
	Given    []Flag
	Dir      string
	DirGiven bool

	Settings SettingsOptions
	Wait     WaitOptions
	Start    StartOptions
	Choose   ChooseOptions
	Send     SendOptions
	Confirm  ConfirmOptions
	Report   ReportOptions
}

// anyOf reports whether is says so of the error or of one that it wraps.
func anyOf(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return anyOf(e.Unwrap(), is)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return anyOf(err, is) })
	}
	return false
}

func isCode(err error, codes ...int) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}
