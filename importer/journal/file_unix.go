//go:build unix

package journal

import "syscall"

// noFollow makes opening fail where a link stands in the place of a file.
const noFollow = syscall.O_NOFOLLOW
