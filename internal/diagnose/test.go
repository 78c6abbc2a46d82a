package diagnose

import (
	"errors"
	"fmt"

	"segsync/importer/mapping/cases"
	"segsync/internal/app"
	"segsync/internal/report"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// TestOptions say how to test a mapping.
type TestOptions struct {
	Settings app.SettingsOptions
	Update   bool // write what comes out into the files that fail
	JSON     bool
}

// RunTests runs the test cases in files and folders, and shows how they end.
func RunTests(out *term.Output, paths []string, o TestOptions) error {
	if len(paths) == 0 {
		return app.Usage(app.WithHint(errors.New("name files or folders of test cases, such as segsync test mapping-tests/"),
			"segsync inspect user_id:42 --as-test FILE.yaml writes a case; segsync test --help tells more"))
	}
	set, err := app.LoadSettings(out.Log, o.Settings, settings.LoadMapping)
	if err != nil {
		return err
	}
	runner := cases.Runner{Mapping: set.Mapping, Identifiers: set.Identifiers, Update: o.Update}
	results, err := runner.Run(paths)
	if err != nil {
		return app.Usage(err)
	}
	failed := 0
	for _, r := range results {
		if !r.Passed && !r.Updated {
			failed++
		}
		if !o.JSON {
			showResult(out.Out, r)
		}
	}
	if o.JSON {
		if err := out.Out.JSON(results); err != nil {
			return &app.Error{Code: app.ExitFailed, Err: err}
		}
	} else {
		out.Out.Linef("%s", verdictOn(len(results), failed))
	}
	if failed > 0 {
		return &app.Error{Code: app.ExitFailed}
	}
	return nil
}

// verdictOn sums the cases up.
func verdictOn(cases, failed int) string {
	if failed == 0 {
		return term.Count(cases, "case") + " passed"
	}
	return fmt.Sprintf("%s of %s failed", term.Number(failed), term.Count(cases, "case"))
}

func showResult(to *term.Printer, r cases.Result) {
	switch {
	case r.Error != "":
		to.Marked(term.MarkFailed, r.Error)
	case r.Updated:
		to.Marked(term.MarkAttention, r.File+": updated")
	case !r.Passed:
		to.Marked(term.MarkFailed, r.File)
	default:
		to.Marked(term.MarkOK, r.File)
	}
	for _, d := range r.Differences {
		to.Linef("    %s: expected %s, got %s", d.Field, orNothing(d.Expected), orNothing(d.Got))
	}
}

func orNothing(v any) string {
	if v == nil {
		return "nothing"
	}
	return report.InOneLine(v)
}
