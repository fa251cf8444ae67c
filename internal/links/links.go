// SPDX-License-Identifier: Apache-2.0

// Package links looks at an interface in another network namespace, and removes it, without going there. Going there (setns) takes
// CAP_SYS_ADMIN, which is nearly all of root; what is done here takes CAP_NET_ADMIN, and Linux 4.16: rtnetlink carries out a request in the
// namespace that it names by its id (IFLA_TARGET_NETNSID). For the plugin, which has to change an interface, there is Enter.
package links

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

var (
	// ErrOtherMAC is returned by Remove for an interface with another MAC than the one that is to go. It is kept.
	ErrOtherMAC = errors.New("the interface has another MAC")

	// ErrOwn is returned for the caller's own namespace: the links there are the node's.
	ErrOwn = errors.New("that is the network namespace of the node itself")
)

// MAC is the MAC of an interface in the network namespace at a path; "" if the namespace or the interface is gone.
func MAC(path, iface string) (string, error) {
	s, err := Look(path, iface)
	return s.MAC, err
}

// State is how far an interface has come.
type State struct {
	MAC string // "" if the interface is gone, or its network namespace
	Up  bool
}

func (l *Link) state() State { return State{MAC: l.MAC.String(), Up: l.Up} }

// Look looks at an interface in the network namespace at a path.
func Look(path, iface string) (State, error) {
	var s State
	err := in(path, iface, func(_ *Namespace, link *Link) error {
		s = link.state()
		return nil
	})
	return s, err
}

// Detail is an interface as its kernel has it.
type Detail struct {
	State

	// IPs are its addresses, those of the link itself (fe80::) left out.
	IPs []netip.Addr
}

// Inspect looks at an interface in the network namespace at a path, and at its addresses. Linux 4.20 answers for another namespace; an older
// one refuses.
func Inspect(path, iface string) (Detail, error) {
	var d Detail
	err := in(path, iface, func(n *Namespace, link *Link) error {
		d.State = link.state()
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			all, err := n.Addresses(link, family)
			if err != nil {
				return fmt.Errorf("listing the addresses of interface %s of %s: %w", iface, path, err)
			}
			for _, a := range all {
				if ip := a.Addr(); !ip.IsLinkLocalUnicast() {
					d.IPs = append(d.IPs, ip)
				}
			}
		}
		return nil
	})
	return d, err
}

// HasChecked tells whether the interface has the IPv6 address, and its kernel has made sure that nobody else does. Linux 4.20
// answers for another namespace; an older one refuses.
func HasChecked(path, iface string, ip netip.Addr) (bool, error) {
	var checked bool
	err := in(path, iface, func(n *Namespace, link *Link) error {
		all, err := n.Addresses(link, unix.AF_INET6)
		if err != nil {
			return fmt.Errorf("looking up address %s of interface %s of %s: %w", ip, iface, path, err)
		}
		i := slices.IndexFunc(all, func(a Address) bool { return a.Addr() == ip })
		checked = i >= 0 && !all[i].Unchecked
		return nil
	})
	return checked, err
}

// Remove deletes an interface in the network namespace at a path, if it has the MAC. That the interface or the namespace is gone is
// success. What is not software, and so cannot be deleted, is errors.ErrUnsupported.
func Remove(path, iface, mac string) error {
	want, err := net.ParseMAC(mac)
	if err != nil {
		return fmt.Errorf("removing interface %s of %s: %w", iface, path, err)
	}
	return in(path, iface, func(n *Namespace, link *Link) error {
		if !bytes.Equal(link.MAC, want) {
			return fmt.Errorf("removing interface %s of %s: %w: %s, not %s", iface, path, ErrOtherMAC, link.MAC, want)
		}
		err := n.Delete(link)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("removing interface %s of %s: %w", iface, path, err)
		}
		return nil
	})
}

// in calls do with the namespace and the interface in it, if both are there.
func in(path, iface string, do func(n *Namespace, link *Link) error) error {
	if path == "" {
		return errors.New("the network namespace is not known")
	}
	n, err := Open(path)
	if isGone(path, err) {
		return nil
	}
	if err == nil && n.Own {
		n.Close()
		err = ErrOwn
	}
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	defer n.Close()
	link, err := n.Link(iface)
	if errors.Is(err, ErrNoLink) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up interface %s of %s: %w", iface, path, err)
	}
	return do(n, link)
}

// isGone tells whether the error of opening a namespace says that there is none any more. A file that its mount has left behind is none. A path
// in a directory that is not there says nothing: it may not be mounted into this container.
func isGone(path string, err error) bool {
	if errors.Is(err, ErrNotNamespace) {
		return true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, dir := os.Stat(filepath.Dir(path))
	return dir == nil
}
