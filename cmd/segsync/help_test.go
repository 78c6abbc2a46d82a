package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The flags are shown in their groups, those without one last, and the lines fit.
func TestHelpOfFlags(t *testing.T) {
	cmd := &cobra.Command{Use: "copy", Run: func(*cobra.Command, []string) {}}
	f := cmd.Flags()
	f.SortFlags = false
	f.Int("parts", 7, "copy this `number` of parts")
	f.Duration("longest-time-of-a-pause", 90_000_000_000, "wait so long")
	f.BoolP("verbose", "v", false, "log every part")
	f.String("dir", ".", "the `directory` that all of it is copied to, with a description that takes more than a line")
	f.Duration("max-wait", 300_000_000_000, "the longest pause")
	group(f, "What", "parts", "dir")
	group(f, "Tuning", "longest-time-of-a-pause", "max-wait")
	for width, want := range map[int]string{
		70: `
What:
      --parts number          copy this number of parts (default 7)
      --dir directory         the directory that all of it is copied
                              to, with a description that takes more
                              than a line (default .)

Tuning:
      --longest-time-of-a-pause duration
                              wait so long (default 1m30s)
      --max-wait duration     the longest pause (default 5m)

Other:
  -v, --verbose               log every part
`,
		40: `
What:
      --parts number
        copy this number of parts
        (default 7)
      --dir directory
        the directory that all of it is
        copied to, with a description
        that takes more than a line
        (default .)

Tuning:
      --longest-time-of-a-pause duration
        wait so long (default 1m30s)
      --max-wait duration
        the longest pause (default 5m)

Other:
  -v, --verbose
        log every part
`,
	} {
		if got := flagsOf(cmd, width); got != want {
			t.Errorf("at a width of %d:\n%s\nwant\n%s", width, got, want)
		}
	}
}

// No help is wider than 100 columns, and none speaks of Go's types.
func TestHelpFits(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Long + "\n" + usageOf(cmd, helpWidth)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, word := range []string{" uint", "stringArray", "float64"} {
			if strings.Contains(usageOf(cmd, helpWidth), word) {
				t.Errorf("%s: the help speaks of %s", cmd.CommandPath(), word)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRootCommand())
}
