// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// netnsDir is where network namespaces are named, as ip netns and container runtimes do it.
const netnsDir = "/run/netns"

// enter furnishes the new namespaces: mounts that nobody else sees, a /proc of the new PID namespace, an empty place for the
// names of network namespaces and a directory in memory.
func enter(dir string) (*Isolation, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, fmt.Errorf("mounting /proc: %w", err)
	}
	if err := mountNetnsDir(); err != nil {
		return nil, err
	}
	// Opened before the mount below covers it.
	host, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if err := mountTmpfs(dir, "0700"); err != nil {
		return nil, err
	}
	// etcd's data and the API server's certificates go where the rest goes.
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return nil, fmt.Errorf("setting TMPDIR: %w", err)
	}
	return &Isolation{Dir: dir, Host: host, UserNS: os.Getenv(userNSEnv) == "true"}, nil
}

// mountNetnsDir needs the directory to exist. Where only real root could make it, a tmpfs over /run makes room: nothing in
// /run is needed here.
func mountNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil { //nolint:gosec // the mode that ip netns gives it
		if err := mountTmpfs("/run", "0755"); err != nil {
			return err
		}
		if err := os.MkdirAll(netnsDir, 0o755); err != nil { //nolint:gosec // as above
			return fmt.Errorf("making %s: %w", netnsDir, err)
		}
	}
	return mountTmpfs(netnsDir, "0755")
}

func mountTmpfs(path, mode string) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode="+mode); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", path, err)
	}
	return nil
}
