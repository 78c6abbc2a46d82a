package main

import (
	"cmp"
	"fmt"
	"os"
	"segsync/importer/mapping"

	"github.com/spf13/cobra"
)

func newMappingCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mapping",
		Short: "Print the default mapping, to start one's own from",
		Long: `Mapping prints the default mapping of traits to the fields of a customer as YAML, with
comments that explain the form. A copy of it that was changed is used with --mapping, or
the setting SEGSYNC_MAPPING.`,
		Example: `  segsync mapping > mapping.yaml
  segsync import --mapping mapping.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := fmt.Fprint(cmd.OutOrStdout(), mapping.DefaultFile()); err != nil {
				return &exitError{exitFailed, err}
			}
			return nil
		},
	}
}

// readMapping reads the mapping from the file that the flag names, or else the setting; if
// there is neither, the default mapping stays.
func (s *settings) readMapping(flag string) error {
	s.mappingFile = cmp.Or(flag, s.mappingFile)
	if s.mappingFile == "" {
		return nil
	}
	data, err := os.ReadFile(s.mappingFile)
	if err != nil {
		return fmt.Errorf("reading the mapping: %w", err)
	}
	if s.mapping, err = mapping.Parse(s.mappingFile, data); err != nil {
		return &hinted{fmt.Errorf("the mapping has mistakes:\n%w", err),
			"segsync mapping prints the default one, with comments that explain the form"}
	}
	return nil
}
