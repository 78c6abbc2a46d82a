package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// No help is wider than 80 columns, and none speaks of Go's types.
func TestHelpFits(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for line := range strings.Lines(wrap(cmd.Long, helpWidth()) + "\n" + usageOf(cmd, helpWidth())) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth() {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, word := range []string{" uint", "stringArray", "float64"} {
			if strings.Contains(usageOf(cmd, helpWidth()), word) {
				t.Errorf("%s: the help speaks of %s", cmd.CommandPath(), word)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRootCommand())
}
