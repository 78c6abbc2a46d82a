//go:build unix

package journal

import (
	"os"
	"path/filepath"
	"syscall"
)

// noFollow makes opening fail where a link stands in the place of a file.
const noFollow = syscall.O_NOFOLLOW

// giveToOwner gives a file that root made to the owner of its directory: a command that root
// runs by hand must not take the files from the service that owns them.
func giveToOwner(file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(file.Name()))
	if err != nil {
		return err
	}
	owner, ok := dir.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
