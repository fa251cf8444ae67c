// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newNetNS makes a network namespace with its loopback up, named under /run/netns.
func newNetNS(name string) (ns.NetNS, error) {
	path := filepath.Join(netnsDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444) //nolint:gosec // in the laboratory's own directory
	if err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets it in the wrong namespace.
		runtime.LockOSThread()
		done <- unshareNet(path)
	}()
	if err := <-done; err != nil {
		return nil, errors.Join(fmt.Errorf("making network namespace %s: %w", name, err), os.Remove(path))
	}
	return ns.GetNS(path)
}

func unshareNet(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unsharing the network: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("looking up lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	// The mount keeps the namespace when the thread is gone.
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting it on %s: %w", path, err)
	}
	return nil
}

// removeNetNS takes the name away. The namespace goes when no process is in it any more.
func removeNetNS(n ns.NetNS) error {
	path := n.Path()
	if err := n.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", path, err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// within runs f on a thread that is in the namespace.
func within(n ns.NetNS, f func() error) error {
	return n.Do(func(ns.NetNS) error { return f() })
}
