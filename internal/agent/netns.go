// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// DefaultNetNSDirs are where runtimes keep the network namespaces of pods: containerd and CRI-O, Docker, and containerd with
// netns_mounts_under_state_dir, as it is and as k3s and RKE2 run it.
func DefaultNetNSDirs() []string {
	const cri = "containerd/io.containerd.grpc.v1.cri/netns"
	return []string{
		"/run/netns", "/var/run/netns", "/run/docker/netns", "/var/run/docker/netns", "/run/" + cri, "/var/run/" + cri, "/run/k3s/" + cri, "/var/run/k3s/" + cri,
	}
}

// ofProcess are the paths by which cri-dockerd names them.
var ofProcess = regexp.MustCompile(`^/proc/[1-9][0-9]*/(task/[1-9][0-9]*/)?ns/net$`)

// vetNetNS tells why a path cannot be that of a pod's network namespace; nil if it can (T14). It may lead nowhere: that of a process is in
// another PID namespace, and a directory may not be mounted into the agent's container.
func (a *Agent) vetNetNS(path string) error {
	switch {
	case path == "":
		return errors.New("there is none")
	case len(path) >= unix.PathMax:
		return errors.New("it is longer than a path may be")
	case !filepath.IsAbs(path) || filepath.Clean(path) != path:
		return errors.New("it is not an absolute path without detours")
	case !ofProcess.MatchString(path) && !slices.Contains(a.options.NetNSDirs, filepath.Dir(path)):
		return errors.New("no runtime keeps network namespaces there")
	}
	var at, own unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(path, &at) != nil || unix.Statfs(path, &fs) != nil {
		return nil //nolint:nilerr // what cannot be looked at may be what it is said to be
	}
	if fs.Type != unix.NSFS_MAGIC {
		return errors.New("it is no namespace, or was not mounted into the agent's container")
	}
	if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
		return fmt.Errorf("the own one is not known: %w", err)
	}
	if at.Dev == own.Dev && at.Ino == own.Ino {
		return errors.New("that is the node's own")
	}
	return nil
}

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
