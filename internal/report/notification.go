package report

import "time"

// Notification is what NOTIFY_URL is sent: the summary without all that may be about a
// person or this machine, such as errors, positions, commands and files.
type Notification struct {
	Version  int       `json:"version"` // of this format
	Program  Program   `json:"program"`
	Command  string    `json:"command"`
	ExitCode int       `json:"exit_code"`
	Ended    time.Time `json:"ended"`
	Import   *Notified `json:"import"` // null: it ended before it began
}

// Notified is what a notification has of a summary.
type Notified struct {
	Space    string    `json:"space"`
	DryRun   bool      `json:"dry_run"`
	Started  time.Time `json:"started"` // the import, not this run of it
	Began    time.Time `json:"began"`   // this run
	Seconds  float64   `json:"seconds"` // of this run
	Finished bool      `json:"finished"`
	Counts   Counts    `json:"counts"`
	AddsUp   bool      `json:"adds_up"`
	Requests Requests  `json:"requests"`
}

// NotificationOf returns what may be sent of the summary.
func NotificationOf(sum *Summary) Notification {
	return Notification{
		Version: 1, Program: sum.Program, Command: sum.Command, ExitCode: sum.ExitCode, Ended: sum.Ended,
		Import: &Notified{
			Space: sum.Settings.Space, DryRun: sum.Settings.DryRun, Started: sum.Started, Began: sum.Began, Seconds: sum.Seconds,
			Finished: sum.Finished, Counts: sum.Counts, AddsUp: sum.AddsUp, Requests: sum.Requests,
		},
	}
}
