// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/links"
)

// ethernetLink is a link that can be asked.
type ethernetLink struct {
	*links.Link

	name string
	// bridge: pods hang on it by ports, and hear what is sent there.
	bridge bool
}

// findLink finds a link that is up and has carrier.
func findLink(name string) (*ethernetLink, error) {
	here, err := links.Here()
	if err != nil {
		return nil, err
	}
	defer here.Close()
	found, err := here.Link(name)
	switch {
	case errors.Is(err, links.ErrNoLink):
		return nil, fmt.Errorf("%w: %w", ErrNoLink, err)
	case err != nil:
		return nil, err
	case !found.Ethernet || len(found.MAC) != ethernetAddrLen:
		return nil, ErrNotEthernet
	case !found.Up || !found.Running:
		return nil, ErrLinkDown
	}
	return &ethernetLink{Link: found, name: name, bridge: found.Kind == "bridge"}, nil
}

// still tells whether the link is the one that it was, and can be asked.
func (l *ethernetLink) still() error {
	now, err := findLink(l.name)
	if err != nil {
		return err
	}
	if now.Index != l.Index || !bytes.Equal(now.MAC, l.MAC) {
		return fmt.Errorf("%w: it is another one now", ErrLinkDown)
	}
	return nil
}

// hasAny tells whether the node itself has one of the addresses on the link.
func (l *ethernetLink) hasAny(ips []netip.Addr) (bool, error) {
	here, err := links.Here()
	if err != nil {
		return false, err
	}
	defer here.Close()
	own, err := here.Addresses(l.Link, unix.AF_UNSPEC)
	if err != nil {
		return false, fmt.Errorf("listing its addresses: %w", err)
	}
	return slices.ContainsFunc(own, func(a links.Address) bool { return slices.Contains(ips, a.Addr()) }), nil
}

// senderFor is the MAC from which to ask for a lease: the link's own, to which switches and port security are used. If that is
// the leased one, which would not hear another with the same MAC, it is a random one, locally administered.
func (l *ethernetLink) senderFor(leased net.HardwareAddr) net.HardwareAddr {
	if !bytes.Equal(l.MAC, leased) {
		return l.MAC
	}
	for {
		random := rand.Uint64()
		mac := net.HardwareAddr{byte(random)&^0x01 | 0x02, byte(random >> 8), byte(random >> 16), byte(random >> 24), byte(random >> 32), byte(random >> 40)} //nolint:gosec // the bytes are what is wanted
		if !bytes.Equal(mac, leased) {
			return mac
		}
	}
}
