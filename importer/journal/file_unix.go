//go:build unix

package journal

import (
	"os"
	"path/filepath"
	"syscall"
)

// noFollow makes opening fail where a link stands in the place of a file.
const noFollow = syscall.O_NOFOLLOW

// giveToOwner gives a file or a folder that root made to the owner of the directory it is in: a
// command that root runs by hand must not take the files from the service that owns them.
func giveToOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := dir.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}
