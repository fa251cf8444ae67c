// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// netnsAlive tells whether a network namespace is still mounted, or still a process's, at the path. A file that the mount has
// left behind is none. What cannot be looked at counts as alive, since an address that is in use must not be given away (R-G1): an
// unknown path, or one in a directory that is not there, because it was not mounted into the agent's container or is that of
// a process in another PID namespace.
func netnsAlive(path string) bool {
	if path == "" {
		return true
	}
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	switch {
	case err == nil:
		return fs.Type == unix.NSFS_MAGIC
	case errors.Is(err, unix.ENOENT):
		_, err := os.Stat(filepath.Dir(path))
		return err != nil
	default:
		return true
	}
}
