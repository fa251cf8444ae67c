// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Between the look at a file and the rename over it, or its removal, somebody may put another there: a package of the distribution, or who
// wants us to destroy it. So nothing is overwritten or removed by its name. It is taken away from the name in one step, looked at once
// more where nobody expects it, and put back if it is not what was seen before.

// errChanged says that a name stands for something else than a moment before; the next round sees what it is.
var errChanged = errors.New("it was exchanged just now, and was put back")

// exchange puts the file temp in the place of what was seen at name.
func exchange(dir *os.Root, temp, name string, seen present, aside string) error {
	err := renameat2(dir, temp, name, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.EINVAL) && aside == "": // a file system that cannot do that
		return moveInto(dir, temp, name)
	case err != nil:
		return errors.Join(err, dir.Remove(temp))
	}
	if !isStill(dir, temp, seen) {
		return errors.Join(errChanged, renameat2(dir, temp, name, unix.RENAME_EXCHANGE), dir.Remove(temp))
	}
	if aside != "" {
		err = dir.Rename(temp, aside)
	} else {
		err = dir.Remove(temp)
	}
	return errors.Join(err, syncDir(dir))
}

// remove removes what was seen at name.
func remove(dir *os.Root, name string, seen present) error {
	temp := tempPrefix + rand.Text() + tempSuffix
	err := renameat2(dir, name, temp, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		return dir.Remove(name)
	}
	if err != nil {
		return err
	}
	if !isStill(dir, temp, seen) {
		return errors.Join(errChanged, renameat2(dir, temp, name, unix.RENAME_NOREPLACE))
	}
	return dir.Remove(temp)
}

func isStill(dir *os.Root, name string, seen present) bool {
	now, err := inspect(dir, name)
	return err == nil && now == seen
}

// renameat2 renames within dir. Names have no directory in them, and a rename follows no link at its ends.
func renameat2(dir *os.Root, from, to string, flags uint) error {
	self, err := dir.Open(".")
	if err != nil {
		return err
	}
	fd := int(self.Fd())
	return errors.Join(unix.Renameat2(fd, from, fd, to, flags), self.Close())
}

// errOthers says that a directory can be changed by others than root.
var errOthers = errors.New("anybody on the node can change it, or another user than root")

// guard tells whether a directory is ours alone: what is executed from it is executed as root, and what is written down in it is believed.
// Above it nobody may have the right to put another directory in its place. Groups are the administrator's affair.
func (h *host) guard(dir string) error {
	for at, isLast := dir, true; ; at, isLast = path.Dir(at), false {
		info, err := h.root.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist): // is made below one that is
		case err != nil:
			return err
		case !isLast && info.Mode()&fs.ModeSticky != 0:
		case info.Mode().Perm()&0o002 != 0, isLast && ownerOf(info) != os.Geteuid():
			return fmt.Errorf("/%s has the mode %o and the owner %d: %w", at, info.Mode().Perm(), ownerOf(info), errOthers)
		}
		if at == "." {
			return nil
		}
	}
}
