package main

import (
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
	named := "--mapping"
	if flag == "" {
		named, flag = "SEGSYNC_MAPPING", s.mappingFile
	}
	if s.mappingFile = flag; flag == "" {
		return nil
	}
	data, err := os.ReadFile(flag)
	if err != nil {
		return &hinted{fmt.Errorf("%s: reading the mapping: %w", named, err), "segsync mapping > FILE makes one to start from"}
	}
	if s.mapping, err = mapping.Parse(s.mappingFile, data); err != nil {
		return &hinted{fmt.Errorf("the mapping has mistakes:\n%w", err),
			"segsync mapping prints the default one, with comments that explain the form"}
	}
	return nil
}
