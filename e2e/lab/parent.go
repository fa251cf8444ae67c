// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
)

// Backend is how a node's parent link, such as eth0.50, gets its VLAN.
type Backend string

const (
	// BackendVLAN is a real 802.1Q link of the kernel.
	BackendVLAN Backend = "802.1Q"

	// BackendShim is a veth whose frames an eBPF program tags on their way to the trunk.
	BackendShim Backend = "eBPF shim"

	// BackendPlain is a veth straight to the switch: the frames are not tagged.
	BackendPlain Backend = "plain veth"
)

// Describe says in a few words what the links are.
func (b Backend) Describe() string {
	switch b {
	case BackendVLAN:
		return "real 802.1Q links: the kernel tags the frames"
	case BackendShim:
		return "veths whose frames an eBPF program tags with the VLAN id (this kernel has no 802.1Q)"
	default:
		return "plain veths: frames are not tagged (this kernel has no 802.1Q, and this user may not load eBPF filters)"
	}
}

// detectBackend asks the kernel what it can do, by doing it in a namespace that is thrown away. The answer is per process.
var detectBackend = sync.OnceValue(func() Backend {
	for _, b := range []Backend{BackendVLAN, BackendShim} {
		if probe(b) == nil {
			return b
		}
	}
	return BackendPlain
})

func probe(b Backend) error {
	n, err := newNetNS("probe")
	if err != nil {
		return err
	}
	defer func() { _ = removeNetNS(n) }()
	return within(n, func() error {
		trunk := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: trunkName}, PeerName: "peer"}
		if err := netlink.LinkAdd(trunk); err != nil {
			return fmt.Errorf("adding a trunk: %w", err)
		}
		return addTagged(b, trunkName, 50, parentName(50))
	})
}

// parentName is what the parent link of a VLAN is called on every node.
func parentName(vid int) string { return fmt.Sprintf("eth0.%d", vid) }

// AddVLANLink makes the link name of VLAN vid on the trunk, in the current network namespace, by the best means that the kernel
// offers, and says by which.
func AddVLANLink(trunk string, vid int, name string) (Backend, error) {
	var errs []error
	for _, b := range []Backend{BackendVLAN, BackendShim} {
		err := addTagged(b, trunk, vid, name)
		if err == nil {
			return b, nil
		}
		errs = append(errs, fmt.Errorf("by %s: %w", b, err))
	}
	return "", errors.Join(errs...)
}

// addTagged makes the parent link name of VLAN vid on the trunk, in the current network namespace.
func addTagged(b Backend, trunk string, vid int, name string) error {
	t, err := netlink.LinkByName(trunk)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", trunk, err)
	}
	if b == BackendShim {
		return addVLANShim(t, vid, name)
	}
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: t.Attrs().Index}, VlanId: vid}
	if err := netlink.LinkAdd(vlan); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	return nil
}

// addParent makes the parent link of a VLAN on a node and sets it up.
func (s *Switch) addParent(b Backend, node ns.NetNS, nodeName string, vid int) error {
	name := parentName(vid)
	if b == BackendPlain {
		// A cable for each VLAN. They end in one bridge: without tags there is nothing to keep VLANs apart.
		if err := s.plug(fmt.Sprintf("%s.%d", nodeName, vid), node, name); err != nil {
			return err
		}
	}
	return within(node, func() error {
		if b != BackendPlain {
			if err := addTagged(b, trunkName, vid, name); err != nil {
				return err
			}
		}
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("looking up %s: %w", name, err)
		}
		return netlink.LinkSetUp(link)
	})
}

// silenceIPv6 keeps links of the current network namespace from announcing addresses of their own: "default" for those
// still to come.
func silenceIPv6(link string) error {
	path := "/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6"
	err := os.WriteFile(path, []byte("1"), 0o600)
	if err != nil && !os.IsNotExist(err) { // a kernel without IPv6 is silent
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
