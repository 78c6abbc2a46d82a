package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
)

// outstandingCommand returns the command that lists what is outstanding.
func (s *session) outstandingCommand() string {
	command := "segsync outstanding" + inDir(s.run.dir)
	if s.run.profilesFrom != "" {
		command += " --profiles-from=" + shellQuote(s.run.profilesFrom)
	}
	return command
}

// continueCommand returns the command that continues the import after the error, or nil,
// with the flags that were given to this one.
func (s *session) continueCommand(cause error) string {
	state := s.importer.State()
	at := state.Position
	atEnd := at.Done || at.Pass > 0
	but := []string{"limit"} // which is what is left of it
	var rejects *importer.TooManyRejectsError
	switch { // not with the flag that would end it again
	case errors.Is(cause, importer.ErrUndated):
		but = append(but, "since")
	case errors.As(cause, &rejects):
		but = append(but, "max-rejects")
	}
	start, limit, left := "--resume", s.extent.limit, s.importer.LimitLeft()
	switch {
	case isDamage(cause), s.run.settings.readOnce() && !at.Done, s.dry.run && !s.run.settings.fromAPI():
		start = "--restart"
	case s.dry.run && (s.dry.output != "" || atEnd): // all of it again
		start = "--offset " + shellQuote(state.From)
	case s.dry.run && plausibleOffset(at.Offset):
		start, limit = "--offset "+shellQuote(at.Offset), left
	case !s.journal.OnDisk() && state.From != importer.Beginning:
		start = "--offset " + shellQuote(state.From)
	case s.journal.Beside():
		start = "--restart" // --resume would continue the other import
	case s.journal.OnDisk(): // --since would begin another import after this one
		but, limit = append(but, "since"), left
	}
	if left > 0 { // what was to be a pilot stays one
		start += fmt.Sprintf(" --limit %d", limit)
	}
	return "segsync import " + start + s.flagsFor(newImportCommand(), but...)
}

// verifyCommand returns the command that asks again for what is not confirmed.
func (s *session) verifyCommand() string {
	if s.run.settings.sandbox {
		return "segsync import --resume" + s.flagsFor(newImportCommand())
	}
	return "segsync verify" + s.flagsFor(newVerifyCommand())
}

// flagsFor returns those of the given flags that the other command has, too, but for some.
func (s *session) flagsFor(other *cobra.Command, but ...string) string {
	but = append(but, "offset", "resume", "restart", "dir")
	words := ""
	s.flags.Visit(func(f *pflag.Flag) {
		switch {
		case other.Flags().Lookup(f.Name) == nil, slices.Contains(but, f.Name):
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words += " --" + f.Name
		case f.Value.Type() == "bool":
			words += " --" + f.Name + "=false"
		default:
			words += " --" + f.Name + " " + shellQuote(f.Value.String())
		}
	})
	if s.run.dir != "." {
		words += " --dir " + shellQuote(s.run.dir)
	}
	return words
}

// shellQuote quotes a word for a POSIX shell, if it needs it.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
