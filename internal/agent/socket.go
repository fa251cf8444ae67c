// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/problem"
)

// listen makes the socket, for root alone (R-S7). A socket file that is there is a dead agent's: the caller has the lock of the
// state directory.
func (s *server) listen(ctx context.Context) (net.Listener, error) {
	if err := closeDir(filepath.Dir(s.path)); err != nil {
		return nil, err
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", s.path)
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), listener.Close())
	}
	return listener, nil
}

// closeDir makes the directory of the socket, or closes one that was there to others: until the socket has its own mode, the directory
// keeps them away from it. One that is a link, or another user's, is refused: that user could put another socket in the place of ours.
func closeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the directory of the socket: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return problem.UntrustedSocket.New(path, "it is a link, or no directory")
	case err != nil:
		return fmt.Errorf("opening the directory of the socket: %w", err)
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close() //nolint:errcheck // nothing was written
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("looking at the directory of the socket: %w", err)
	}
	if own := os.Geteuid(); int(stat.Uid) != own {
		return problem.UntrustedSocket.New(path, fmt.Sprintf("it belongs to uid %d, not to %d", stat.Uid, own))
	}
	if err := dir.Chmod(0o700); err != nil {
		return fmt.Errorf("closing the directory of the socket: %w", err)
	}
	return nil
}
