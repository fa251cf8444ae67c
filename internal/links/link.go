// SPDX-License-Identifier: Apache-2.0

package links

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrNoLink is returned by Namespace.Link for a name that no interface has.
var ErrNoLink = errors.New("there is no such interface")

var errFromOutside = errors.New("an interface is changed from inside of its network namespace only")

// Link is an interface as it was when it was looked up.
type Link struct {
	// Index is what the kernel knows it by: one that is made again under the same name has another.
	Index int32
	MAC   net.HardwareAddr
	Up    bool
	// Running is the kernel's word for: up, with carrier, and nothing below is down.
	Running bool
	// Ethernet: it is an Ethernet link.
	Ethernet bool
	// Kind is what kind of software it is, as ip link has it ("macvlan"); "" for hardware. Passthru: it is a macvlan or a macvtap in this mode.
	Kind     string
	Passthru bool
}

// Link looks an interface up, by its name or by an alternative one, which may be longer.
func (n *Namespace) Link(name string) (*Link, error) {
	kind := unix.IFLA_IFNAME
	if len(name) >= unix.IFNAMSIZ {
		kind = unix.IFLA_ALT_IFNAME
	}
	body, err := n.kernel.Get(unix.RTM_GETLINK, unix.RTM_NEWLINK, n.target(unix.IFLA_TARGET_NETNSID, []nl.NetlinkRequestData{
		nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(kind, nl.ZeroTerminated(name)),
	})...)
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ERANGE): // too long for a name of any kind
		return nil, ErrNoLink
	case err != nil:
		return nil, err
	}
	return parseLink(body)
}

func parseLink(body []byte) (*Link, error) {
	if len(body) < unix.SizeofIfInfomsg {
		return nil, errors.New("reading the kernel's answer: it is too short for an interface")
	}
	info := nl.DeserializeIfInfomsg(body)
	l := &Link{
		Index: info.Index, Up: info.Flags&unix.IFF_UP != 0, Running: info.Flags&unix.IFF_RUNNING != 0, Ethernet: info.Type == unix.ARPHRD_ETHER,
	}
	err := eachAttr(body[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.IFLA_ADDRESS:
			l.MAC = net.HardwareAddr(value)
		case unix.IFLA_LINKINFO:
			return l.parseKind(value)
		}
		return nil
	})
	return l, err
}

func (l *Link) parseKind(info []byte) error {
	return eachAttr(info, func(kind uint16, value []byte) error {
		switch kind {
		case nl.IFLA_INFO_KIND:
			l.Kind = nl.BytesToString(append(value, 0))
		case nl.IFLA_INFO_DATA:
			if l.Kind != "macvlan" && l.Kind != "macvtap" { // which comes first
				return nil
			}
			return eachAttr(value, func(kind uint16, value []byte) error {
				l.Passthru = l.Passthru || kind == nl.IFLA_MACVLAN_MODE && len(value) >= 4 && binary.NativeEndian.Uint32(value) == nl.MACVLAN_MODE_PASSTHRU
				return nil
			})
		}
		return nil
	})
}

// eachAttr calls do with each attribute of a message, or of an attribute that holds others.
func eachAttr(b []byte, do func(kind uint16, value []byte) error) error {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return fmt.Errorf("reading the kernel's answer: %w", err)
	}
	for _, a := range attrs {
		if err := do(a.Attr.Type&^unix.NLA_F_NESTED, a.Value); err != nil {
			return err
		}
	}
	return nil
}

// SetMAC gives the interface of a namespace from Enter a MAC. Its errors are the kernel's, as unix.Errno.
func (n *Namespace) SetMAC(l *Link, mac net.HardwareAddr) error {
	if n.from {
		return errFromOutside
	}
	return n.kernel.Tell(unix.RTM_SETLINK, l.header(), nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
}

// SetDown sets the interface of a namespace from Enter down. Its errors are the kernel's, as unix.Errno.
func (n *Namespace) SetDown(l *Link) error {
	if n.from {
		return errFromOutside
	}
	header := l.header()
	header.Change = unix.IFF_UP
	return n.kernel.Tell(unix.RTM_SETLINK, header)
}

// Delete deletes the interface. Its errors are the kernel's, as unix.Errno.
func (n *Namespace) Delete(l *Link) error {
	return n.kernel.Tell(unix.RTM_DELLINK, n.target(unix.IFLA_TARGET_NETNSID, []nl.NetlinkRequestData{l.header()})...)
}

func (l *Link) header() *nl.IfInfomsg {
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = l.Index
	return info
}

// Address is an address of an interface.
type Address struct {
	netip.Prefix

	// Unchecked: its kernel has not made sure that nobody else has it, or has found that somebody does (RFC 4862).
	Unchecked bool
}

// Addresses lists those of an interface, of one family. Linux 4.20 answers for another namespace; an older one refuses. A request for one
// address is answered by the kernel in the other namespace, where nobody waits for it (ECONNREFUSED), and a list of another namespace is
// only given to a socket that wants requests to be checked strictly.
func (n *Namespace) Addresses(l *Link, family int) ([]Address, error) {
	const targetNetNSID = 10 // IFA_TARGET_NETNSID
	if n.from {
		if err := n.kernel.Strict(); err != nil {
			return nil, err
		}
	}
	header := nl.NewIfAddrmsg(family)
	header.Index = uint32(l.Index) //nolint:gosec // a uint32 to the kernel
	bodies, err := n.kernel.List(unix.RTM_GETADDR, unix.RTM_NEWADDR, n.target(targetNetNSID, []nl.NetlinkRequestData{header})...)
	if err != nil {
		return nil, err
	}
	all := make([]Address, 0, len(bodies))
	for _, body := range bodies {
		one, index, err := parseAddress(body)
		if err != nil {
			return nil, err
		}
		// A kernel that does not check strictly lists those of all interfaces.
		if index == l.Index && one.IsValid() {
			all = append(all, one)
		}
	}
	return all, nil
}

func parseAddress(body []byte) (a Address, index int32, err error) {
	if len(body) < unix.SizeofIfAddrmsg {
		return a, 0, errors.New("reading the kernel's answer: it is too short for an address")
	}
	header := nl.DeserializeIfAddrmsg(body)
	var local, address netip.Addr
	flags := uint32(header.Flags)
	err = eachAttr(body[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.IFA_FLAGS:
			if len(value) >= 4 {
				flags = binary.NativeEndian.Uint32(value)
			}
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(value)
		}
		return nil
	})
	if !local.IsValid() { // of a link between two ends IFA_ADDRESS is the other one
		local = address
	}
	a.Prefix = netip.PrefixFrom(local, int(header.Prefixlen))
	a.Unchecked = flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0
	return a, int32(header.Index), err //nolint:gosec // an int32 to the kernel
}
