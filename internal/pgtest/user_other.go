//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
	"os/user"
)

func runAs(*exec.Cmd, *user.User) {}

func chown(*user.User, ...string) error { return errors.ErrUnsupported }
