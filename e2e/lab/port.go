// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Ports from firstPort on are below those that the kernel gives to whoever does not care (ip_local_port_range), and to the cluster's NodePorts: a
// process that is killed finds its port free when it is started again.
const (
	firstPort = 20_000
	portCount = 10_000
)

// FreeAddress is an address of 127.0.0.1 with a port that nobody listens on, and that it gives to nobody else until this process has ended: of
// suites that run beside each other one would start its etcd where the other has its manager.
func FreeAddress(ctx context.Context) (string, error) {
	dir := filepath.Join(os.TempDir(), "macpool-ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	for range portCount {
		port := strconv.Itoa(firstPort + rand.IntN(portCount))
		lock, err := unix.Open(filepath.Join(dir, port), unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return "", fmt.Errorf("finding a free port: %w", err)
		}
		address := net.JoinHostPort("127.0.0.1", port)
		if unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB) == nil && isFree(ctx, address) {
			return address, nil // the lock stays, and ends with the process
		}
		_ = unix.Close(lock)
	}
	return "", errors.New("finding a free port: all are taken")
}

func isFree(ctx context.Context, address string) bool {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	return err == nil && listener.Close() == nil
}
