package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/source/profileapi"
	"segsync/internal/settings"
)

// resumeCommand returns the command that continues the import, with the flags that were given to this
// one, but for one that would end it again.
func resumeCommand(r *result) string {
	s := r.opened.State()
	at := s.Position
	except := []string{"limit"} // which is what is left of it
	switch {
	case errors.Is(r.err, profileapi.ErrUndated):
		except = append(except, "since")
	case is[*importer.TooManyRejectsError](r.err):
		except = append(except, "max-rejects")
	}
	more := "" // what lets the next one pass
	if clears, ok := errors.AsType[*importer.ClearsError](r.err); ok {
		except, more = append(except, "max-clears"), fmt.Sprintf(" --max-clears %d", 2*clears.Clears)
	}
	start, limit, left := " --resume", r.limit, r.limitLeft()
	isAPI := r.input.isAPI() || r.input.Profiles != nil
	switch {
	case is[*journal.DamagedError](r.err), r.input.From.ReadOnce() && !at.Done, r.dry != nil && !isAPI:
		start = " --restart"
	case r.dry != nil && (r.dry.file != nil || at.Done || at.Tail): // all of it again
		start = " --offset " + ShellQuote(offsetOr(s.From))
	case r.dry != nil && IsPlausibleOffset(at.At):
		start, limit = " --offset "+ShellQuote(at.At), left
	case r.dry != nil:
		start = " --offset " + journal.Beginning
	case !r.opened.IsSaved() && r.opened.HasOtherUnfinished():
		if r.options.Start.Restart { // else the other one still stands as it was
			start = " --restart"
		}
	case !r.opened.IsSaved() && s.From != "":
		start = " --offset " + ShellQuote(s.From)
	case r.opened.IsSaved(): // --since would begin another import after this one
		except, limit = append(except, "since"), left
	case !r.options.Start.Resume: // nothing was begun that could be resumed
		start = ""
	}
	if left > 0 && r.limit > 0 { // what was to be a pilot stays one
		start += fmt.Sprintf(" --limit %d", limit)
	}
	return "segsync import" + start + flagsFor(r.options, nil, except...) + more
}

// verifyFlags are those that segsync verify has, too.
var verifyFlags = []string{"profiles-from", "env-file", "mapping", "from", "verify-timeout", "verify-interval", "max-wait", "retry-for",
	"summary", "metrics-file", "log-format", "color", "verbose", "quiet", "max-rejects"}

// verifyCommand returns the command that asks again for what is not confirmed.
func verifyCommand(r *result) string {
	if r.apis.IsSandbox {
		return "segsync import --resume" + flagsFor(r.options, nil)
	}
	return "segsync verify" + flagsFor(r.options, verifyFlags)
}

// outstandingCommand returns the command that lists what is outstanding.
func outstandingCommand(r *result) string {
	return "segsync outstanding" + flag("profiles-from", r.options.Choose.ProfilesFrom) + dirFlag(r.options.Dir)
}

// fromFlags returns the flags --from as they were given.
func fromFlags(from settings.Source) (words string) {
	for _, value := range from.Values() {
		words += flag("from", value)
	}
	return words
}

// flag returns a flag with its value, nothing for an empty one.
func flag(name, value string) string {
	if value == "" {
		return ""
	}
	return " --" + name + " " + ShellQuote(value)
}

// dirFlag returns the flag that names the directory of an import, where that is another one.
func dirFlag(dir string) string {
	if dir == "." {
		return ""
	}
	return flag("dir", dir)
}

// SampleCommand returns the command that shows what an import would make of some profiles.
func (o *SettingsOptions) SampleCommand(dir string) string {
	return "segsync plan --sample 200" + o.Flags(dir)
}

// Flags returns those that name the source, the settings and the directory of a command.
func (o *SettingsOptions) Flags(dir string) (words string) {
	if o.From.Kind != settings.FromAPI {
		words = fromFlags(o.From)
	}
	if o.EnvFileNamed {
		words += flag("env-file", o.EnvFile)
	}
	words += flag("mapping", o.Mapping)
	if o.Sandbox {
		words += " --sandbox"
	}
	return words + dirFlag(dir)
}

// flagsFor returns the given flags that are known, nil for all, but for some.
func flagsFor(o *ImportOptions, known []string, except ...string) string {
	except = append(except, "offset", "resume", "restart", "dir")
	words := ""
	for _, f := range o.Given {
		switch {
		case known != nil && !slices.Contains(known, f.Name), slices.Contains(except, f.Name):
		case f.Name == "from":
			words += fromFlags(o.Settings.From)
		case f.IsBool && f.Value == "true":
			words += " --" + f.Name
		case f.IsBool:
			words += " --" + f.Name + "=false"
		default:
			words += " --" + f.Name + " " + ShellQuote(f.Value)
		}
	}
	return words + dirFlag(o.Dir)
}

// ShellQuote quotes a word for a POSIX shell, if it needs it.
func ShellQuote(word string) string {
	isPlain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !isPlain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// IsPlausibleOffset tells an offset, which is whatever Segment's list gave as its cursor,
// from what a slip of the fingers gives: a sign, a fraction, a word.
func IsPlausibleOffset(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && !strings.HasPrefix(s, "-") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsPrint(r) || strings.ContainsRune(" .,+\"'`$\\", r)
		})
}
