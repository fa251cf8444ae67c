// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"

	hostns "github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// podLink is the link of one call in the pod's network namespace. It is held by namespace handle, socket and index, not by path
// and name: a namespace or link that is made again under the same name meanwhile is not touched.
type podLink struct {
	sandbox ns.NetNS
	// kernel is a socket of the namespace: whichever thread asks by it is answered there. To enter a namespace costs more than to ask.
	kernel netlinksafe.Handle
	link   netlink.Link
	name   string
	// notices are the settings that announce writes, opened in the namespace; none for a call that announces nothing.
	notices []int
}

// openLink finds the interface that the call is about.
func openLink(args *skel.CmdArgs) (*podLink, error) { return enterLink(args, false) }

// openNewLink is openLink for an ADD, which announces what it attaches.
func openNewLink(args *skel.CmdArgs) (*podLink, error) { return enterLink(args, true) }

func enterLink(args *skel.CmdArgs, announces bool) (*podLink, error) {
	missing := func(why string, cause error) error {
		return problem.LinkMissing.New(args.IfName, args.Netns, why).WithCause(cause)
	}
	if ownNetNS(args) {
		return nil, missing("that is the namespace of the node itself", nil)
	}
	sandbox, err := ns.GetNS(args.Netns)
	var absent ns.NSPathNotExistErr
	switch {
	case errors.As(err, &absent) || errors.Is(err, fs.ErrNotExist):
		return nil, missing("that network namespace does not exist", err)
	case err != nil:
		return nil, missing(err.Error(), err)
	}
	l := &podLink{sandbox: sandbox, name: args.IfName}
	err = l.do(func() (err error) {
		if announces {
			l.openNotices()
		}
		l.kernel, err = netlinksafe.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err == nil {
		// Here, and not on the goroutine in the namespace: netlink has its buffer on the stack, and each that asks must grow to it.
		l.link, err = l.kernel.LinkByName(args.IfName)
	}
	if err != nil {
		l.close()
		var unknown netlink.LinkNotFoundError
		if errors.As(err, &unknown) {
			return nil, missing("nothing has made it", err)
		}
		return nil, missing(err.Error(), err)
	}
	return l, nil
}

// isAbsent tells whether openLink has found the namespace, and no interface of the name there.
func isAbsent(err error) bool {
	var unknown netlink.LinkNotFoundError
	return errors.As(err, &unknown)
}

// ownNetNS tells whether CNI_NETNS is the namespace that the plugin itself runs in, the node's, where no interface is the
// pod's to touch. Runtimes of virtual machines may say that they mean it.
func ownNetNS(args *skel.CmdArgs) bool {
	if o := args.NetnsOverride; strings.EqualFold(o, "true") || o == "1" {
		return false
	}
	own, err := hostns.CheckNetNS(args.Netns)
	return err != nil || own
}

func (l *podLink) close() {
	for _, fd := range l.notices {
		_ = unix.Close(fd)
	}
	l.kernel.Close()
	_ = l.sandbox.Close()
}

// do runs f inside the pod's namespace. The library runs it on a goroutine of its own, where a panic would end the process
// before it has printed an error.
func (l *podLink) do(f func() error) error {
	return l.sandbox.Do(func(ns.NetNS) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = problem.Internal.New(fmt.Sprint(r))
			}
		}()
		return f()
	})
}

// ready tells whether the link can get a leased MAC before its first frame.
func (l *podLink) ready() error {
	if err := refuseKind(l.link); err != nil {
		return err
	}
	if l.link.Attrs().Flags&net.FlagUp != 0 {
		return problem.LinkUp.New(l.name)
	}
	return nil
}

// setMAC sets the leased MAC unless the link has it: a main plugin that knew of the pod's wish has set it already.
func (l *podLink) setMAC(mac net.HardwareAddr) error {
	if bytes.Equal(l.link.Attrs().HardwareAddr, mac) {
		return nil
	}
	err := l.kernel.LinkSetHardwareAddr(l.link, mac)
	if err == nil {
		return nil
	}
	return problem.LinkRefused.New(mac, l.name, err).WithCause(err)
}

// openNotices opens the settings that announce writes. A kernel without one of the two, or a read-only /proc/sys, does not fail an ADD for it.
func (l *podLink) openNotices() {
	for _, setting := range []string{"ipv4/conf/" + l.name + "/arp_notify", "ipv6/conf/" + l.name + "/ndisc_notify"} {
		if fd, err := unix.Open("/proc/sys/net/"+setting, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			l.notices = append(l.notices, fd)
		}
	}
}

// announce has the pod's kernel announce its addresses when the link comes up, each once: IPv4 by a gratuitous ARP, IPv6 by an unsolicited
// advertisement when it has checked the address (R-C16). macvlan sets both itself, bridge the first, others neither; the agent repeats what
// it can.
func (l *podLink) announce() {
	for _, fd := range l.notices {
		_, _ = unix.Write(fd, []byte("1"))
	}
}

// verify tells whether the link carries the leased MAC and, if asked, the leased addresses. Others beside them are nobody's
// business: link-local ones, those of a router's announcement.
func (l *podLink) verify(lease *agentapi.Lease, mac net.HardwareAddr, addresses bool) error {
	if has := l.link.Attrs().HardwareAddr; !bytes.Equal(has, mac) {
		return problem.LinkDiffers.New(l.name, "MAC "+has.String(), "MAC "+mac.String())
	}
	if !addresses {
		return nil
	}
	var has []netip.Prefix
	err := l.do(func() error {
		list, err := netlinksafe.AddrList(l.link, netlink.FAMILY_ALL)
		for _, a := range list {
			has = append(has, prefixOf(a.IPNet))
		}
		return err
	})
	if err != nil {
		return problem.LinkMissing.New(l.name, l.sandbox.Path(), err).WithCause(err)
	}
	if ip, ok := firstMissing(lease, has); ok {
		return problem.LinkDiffers.New(l.name, describe(has), ip.String())
	}
	return nil
}

// isUpIn tells whether the interface is there, and up.
func isUpIn(args *skel.CmdArgs) bool {
	l, err := openLink(args)
	if err != nil {
		return false
	}
	defer l.close()
	return l.link.Attrs().Flags&net.FlagUp != 0
}

// setDown sets the link down, if it is there. From then on the MAC is free on the parent, although the main plugin removes
// the link only after DEL has returned.
func setDown(args *skel.CmdArgs) error {
	l, err := openLink(args)
	if err != nil {
		return err
	}
	defer l.close()
	return l.kernel.LinkSetDown(l.link)
}
