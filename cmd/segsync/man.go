//go:build !mangen

package main

import "github.com/spf13/cobra"

// developerCommands are commands of builds with the tag mangen only.
func developerCommands() []*cobra.Command { return nil }
