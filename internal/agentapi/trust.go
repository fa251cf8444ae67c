// SPDX-License-Identifier: Apache-2.0

package agentapi

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/problem"
)

// Whoever asks configures what it is answered, as root. So it asks only a process of its own user, by a path on which nobody else can put
// another (R-S7). The path is looked at first, for a sentence that says what is wrong with it; what decides is who listens, which the kernel
// tells of the connection itself, however the path was changed meanwhile.

// checkPath tells whether the socket and its directory are ours alone to change. That they are not there is for the dialer to say.
func checkPath(socket string) error {
	for _, path := range []string{filepath.Dir(socket), socket} {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		want := fs.ModeSocket
		if path != socket {
			want = fs.ModeDir
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch own := os.Geteuid(); {
		case !ok:
			return fmt.Errorf("looking at %s: the owner is not known", path)
		case info.Mode().Type() == fs.ModeSymlink:
			return problem.UntrustedSocket.New(path, "it is a symbolic link")
		case info.Mode().Type() != want:
			return problem.UntrustedSocket.New(path, "it is no "+map[fs.FileMode]string{fs.ModeSocket: "socket", fs.ModeDir: "directory"}[want])
		case int(stat.Uid) != own:
			return problem.UntrustedSocket.New(path, fmt.Sprintf("it belongs to uid %d, not to %d", stat.Uid, own))
		case info.Mode().Perm()&0o022 != 0:
			return problem.UntrustedSocket.New(path, fmt.Sprintf("others may write it, its mode is %o", info.Mode().Perm()))
		}
	}
	return nil
}

// checkListener tells whether a process of our own user listens at the other end of a connection.
func checkListener(fd int, socket string) error {
	listener, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if own := os.Geteuid(); int(listener.Uid) != own {
		return problem.UntrustedSocket.New(socket, fmt.Sprintf("a process of uid %d listens there, and not one of %d", listener.Uid, own))
	}
	return nil
}
