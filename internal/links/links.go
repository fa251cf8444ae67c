// SPDX-License-Identifier: Apache-2.0

// Package links looks at an interface in another network namespace, and removes it, without going there. Going there (setns) takes
// CAP_SYS_ADMIN, which is nearly all of root; what is done here takes CAP_NET_ADMIN, and Linux 4.16: rtnetlink carries out a
// request in the namespace that it names by its id (IFLA_TARGET_NETNSID).
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

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
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
	var mac string
	err := in(path, iface, func(_ int32, link *netlink.LinkAttrs) error {
		mac = link.HardwareAddr.String()
		return nil
	})
	return mac, err
}

// State is how far an interface has come.
type State struct {
	MAC string // "" if the interface is gone, or its network namespace
	Up  bool
}

// Look looks at an interface in the network namespace at a path.
func Look(path, iface string) (State, error) {
	var s State
	err := in(path, iface, func(_ int32, link *netlink.LinkAttrs) error {
		s = State{MAC: link.HardwareAddr.String(), Up: link.RawFlags&unix.IFF_UP != 0}
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
	err := in(path, iface, func(nsid int32, link *netlink.LinkAttrs) error {
		d.State = State{MAC: link.HardwareAddr.String(), Up: link.RawFlags&unix.IFF_UP != 0}
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			all, err := addresses(nsid, link.Index, family)
			if err != nil {
				return fmt.Errorf("listing the addresses of interface %s of %s: %w", iface, path, err)
			}
			for _, a := range all {
				if !a.ip.IsLinkLocalUnicast() {
					d.IPs = append(d.IPs, a.ip)
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
	err := in(path, iface, func(nsid int32, link *netlink.LinkAttrs) error {
		all, err := addresses(nsid, link.Index, unix.AF_INET6)
		if err != nil {
			return fmt.Errorf("looking up address %s of interface %s of %s: %w", ip, iface, path, err)
		}
		i := slices.IndexFunc(all, func(a address) bool { return a.ip == ip })
		checked = i >= 0 && all[i].flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
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
	return in(path, iface, func(nsid int32, link *netlink.LinkAttrs) error {
		if !bytes.Equal(link.HardwareAddr, want) {
			return fmt.Errorf("removing interface %s of %s: %w: %s, not %s", iface, path, ErrOtherMAC, link.HardwareAddr, want)
		}
		// By its index: one that is made again under the same name has another.
		err := remove(nsid, link.Index)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("removing interface %s of %s: %w", iface, path, err)
		}
		return nil
	})
}

// in calls do with the id of the namespace and the interface in it, if both are there. The namespace is held meanwhile, so that its
// id is nobody else's.
func in(path, iface string, do func(nsid int32, link *netlink.LinkAttrs) error) error {
	file, err := open(path)
	if err != nil || file == nil {
		return err
	}
	defer func() { _ = file.Close() }()
	nsid, err := idOf(file)
	if err != nil {
		return fmt.Errorf("finding the id of network namespace %s: %w", path, err)
	}
	link, err := find(nsid, iface)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up interface %s of %s: %w", iface, path, err)
	}
	return do(nsid, link)
}

// open opens a network namespace; nil if it is gone. A path in a directory that is not there says nothing: it may not be
// mounted into this container.
func open(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("the network namespace is not known")
	}
	file, err := os.Open(path) //nolint:gosec // a namespace that the runtime named
	if errors.Is(err, fs.ErrNotExist) {
		if _, dir := os.Stat(filepath.Dir(path)); dir == nil {
			return nil, nil //nolint:nilnil // there is none, and that is well
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	there, err := isNamespace(file)
	if err == nil && there {
		return file, nil
	}
	_ = file.Close()
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	return nil, nil //nolint:nilnil // a file that the mount of a namespace has left behind
}

// isNamespace tells whether a file is a namespace, and refuses the caller's own.
func isNamespace(file *os.File) (bool, error) {
	var kind unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &kind); err != nil {
		return false, err
	}
	if kind.Type != unix.NSFS_MAGIC {
		return false, nil
	}
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	this, err := file.Stat()
	if err != nil {
		return false, err
	}
	if os.SameFile(own, this) {
		return false, ErrOwn
	}
	return true, nil
}

// idOf is the id by which this namespace knows another, which is given one if it has none. It keeps it for as long as it lives.
func idOf(file *os.File) (int32, error) {
	const none = -1
	fd := int(file.Fd())
	id, err := netlink.GetNetNsIdByFd(fd)
	if err != nil || id != none {
		return int32(id), err //nolint:gosec // an int32 to the kernel
	}
	// -1 lets the kernel choose. Somebody else may have been quicker.
	if err := netlink.SetNetNsIdByFd(fd, none); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, err
	}
	id, err = netlink.GetNetNsIdByFd(fd)
	if err == nil && id == none {
		err = errors.New("the kernel gives it none")
	}
	return int32(id), err //nolint:gosec // an int32 to the kernel
}

func find(nsid int32, iface string) (*netlink.LinkAttrs, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(iface)))
	req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(nsid)))) //nolint:gosec // the same bits
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("the kernel knows %d interfaces of this name", len(messages))
	}
	link, err := netlink.LinkDeserialize(nil, messages[0])
	if err != nil {
		return nil, err
	}
	return link.Attrs(), nil
}

// address is an address of an interface, with the kernel's flags.
type address struct {
	ip    netip.Addr
	flags uint32
}

// addresses lists those of an interface, of one family. A request for one address is answered by the kernel in the other namespace, where
// nobody waits for it (ECONNREFUSED). A list of another namespace is only given to a socket that wants requests to be checked strictly.
func addresses(nsid int32, index int, family uint8) ([]address, error) {
	const (
		targetNetNSID = 10 // IFA_TARGET_NETNSID
		header        = 8  // of a struct ifaddrmsg
	)
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer socket.Close()
	if err := unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return nil, fmt.Errorf("having requests checked: %w", err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	msg := nl.NewIfAddrmsg(int(family))
	msg.Index = uint32(index) //nolint:gosec // a uint32 to the kernel
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(targetNetNSID, nl.Uint32Attr(uint32(nsid)))) //nolint:gosec // the same bits
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, err
	}
	all := make([]address, 0, len(messages))
	for _, m := range messages {
		if len(m) < header {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[header:])
		if err != nil {
			return nil, fmt.Errorf("reading the kernel's answer: %w", err)
		}
		one := address{flags: uint32(m[2])}
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.IFA_FLAGS:
				if len(a.Value) >= 4 {
					one.flags = nl.NativeEndian().Uint32(a.Value)
				}
			case unix.IFA_LOCAL: // of a link between two ends IFA_ADDRESS is the other one
				if ip, ok := netip.AddrFromSlice(a.Value); ok {
					one.ip = ip
				}
			case unix.IFA_ADDRESS:
				if ip, ok := netip.AddrFromSlice(a.Value); ok && !one.ip.IsValid() {
					one.ip = ip
				}
			}
		}
		if one.ip.IsValid() {
			all = append(all, one)
		}
	}
	return all, nil
}

func remove(nsid int32, index int) error {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = int32(index) //nolint:gosec // an int32 to the kernel
	req.AddData(info)
	req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(nsid)))) //nolint:gosec // the same bits
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
