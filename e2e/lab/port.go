// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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
// suites that run beside each other one would start its etcd where the other has its manager. What locks a port is an abstract UNIX socket, whose
// name is one in a network namespace, as the port is; suites that share that share no directory.
func FreeAddress(ctx context.Context) (string, error) {
	for range portCount {
		port := strconv.Itoa(firstPort + rand.IntN(portCount))
		lock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("finding a free port: %w", err)
		}
		address := net.JoinHostPort("127.0.0.1", port)
		if unix.Bind(lock, &unix.SockaddrUnix{Name: "@macpool-port-" + port}) == nil && isFree(ctx, address) {
			return address, nil // the socket stays, and ends with the process
		}
		_ = unix.Close(lock)
	}
	return "", errors.New("finding a free port: all are taken")
}

func isFree(ctx context.Context, address string) bool {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", address)
	return err == nil && listener.Close() == nil
}
