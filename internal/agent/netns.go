// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"

	"golang.org/x/sys/unix"
)

// netnsAlive tells whether a network namespace is still mounted, or still a process's, at the path. A file that the mount has
// left behind is not one; what cannot be looked at counts as alive, since an address that is still in use must not be given
// away.
func netnsAlive(path string) bool {
	if path == "" {
		return false
	}
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	switch {
	case err == nil:
		return fs.Type == unix.NSFS_MAGIC
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ESRCH):
		return false
	default:
		return true
	}
}
