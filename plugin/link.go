// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/problem"
)

// podLink is the link of one call in the pod's network namespace. It is held by namespace handle and index, not by path and name: a namespace or
// link that is made again under the same name meanwhile is not touched.
type podLink struct {
	*links.Link

	sandbox *links.Namespace
	name    string
}

// openLink finds the interface that the call is about, to look at it.
func openLink(args *skel.CmdArgs) (*podLink, error) { return findLink(args, links.Open) }

// enterLink finds it to change it, or to list its addresses, which kernels before 4.20 do not tell to other namespaces. It costs more.
func enterLink(args *skel.CmdArgs) (*podLink, error) { return findLink(args, links.Enter) }

func findLink(args *skel.CmdArgs, open func(path string) (*links.Namespace, error)) (*podLink, error) {
	missing := func(why string, cause error) error {
		return problem.LinkMissing.New(args.IfName, args.Netns, why).WithCause(cause)
	}
	sandbox, err := open(args.Netns)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing("that network namespace does not exist", err)
	case err != nil:
		return nil, missing(err.Error(), err)
	case sandbox.Own && !mayBeOwn(args):
		sandbox.Close()
		return nil, missing("that is the namespace of the node itself", nil)
	}
	link, err := sandbox.Link(args.IfName)
	if err != nil {
		sandbox.Close()
		if errors.Is(err, links.ErrNoLink) {
			return nil, missing("nothing has made it", err)
		}
		return nil, missing(err.Error(), err)
	}
	return &podLink{Link: link, sandbox: sandbox, name: args.IfName}, nil
}

// isAbsent tells whether openLink has found the namespace, and no interface of the name there.
func isAbsent(err error) bool { return errors.Is(err, links.ErrNoLink) }

// mayBeOwn tells whether CNI_NETNS may be the namespace that the plugin itself runs in, the node's, where no interface is the pod's to touch.
// Runtimes of virtual machines may say that they mean it.
func mayBeOwn(args *skel.CmdArgs) bool {
	o := args.NetnsOverride
	return strings.EqualFold(o, "true") || o == "1"
}

func (l *podLink) close() { l.sandbox.Close() }

// ready tells whether the link can get a leased MAC before its first frame.
func (l *podLink) ready() error {
	if err := refuseKind(l.Link); err != nil {
		return err
	}
	if l.Up {
		return problem.LinkUp.New(l.name)
	}
	return nil
}

// setMAC sets the leased MAC unless the link has it: a main plugin that knew of the pod's wish has set it already.
func (l *podLink) setMAC(mac net.HardwareAddr) error {
	if bytes.Equal(l.MAC, mac) {
		return nil
	}
	if err := l.sandbox.SetMAC(l.Link, mac); err != nil {
		return problem.LinkRefused.New(mac, l.name, err).WithCause(err)
	}
	return nil
}

// announce has the pod's kernel announce its addresses when the link comes up, each once: IPv4 by a gratuitous ARP, IPv6 by an unsolicited
// advertisement when it has checked the address (R-C16). The macvlan plugin sets both itself, bridge the first, others neither; the agent repeats
// what it can. A kernel without one of the two, or a read-only /proc/sys, does not fail an ADD for it.
func (l *podLink) announce(main string) {
	if main == "macvlan" {
		return
	}
	// What is in /proc/sys depends on where a thread is. The library runs this on a goroutine of its own.
	_ = ns.WithNetNSPath(l.sandbox.Path(), func(ns.NetNS) error {
		var settings []*os.File
		for _, setting := range []string{"ipv4/conf/" + l.name + "/arp_notify", "ipv6/conf/" + l.name + "/ndisc_notify"} {
			if file, err := os.OpenFile("/proc/sys/net/"+setting, os.O_WRONLY, 0); err == nil { //nolint:gosec // skel lets no path be the name of an interface
				settings = append(settings, file)
				defer func() { _ = file.Close() }()
			}
		}
		// They are this link's if it still has the name: one that was made again under it has leased nothing.
		if now, err := l.sandbox.Link(l.name); err != nil || now.Index != l.Index {
			return err
		}
		for _, file := range settings {
			_, _ = file.WriteString("1")
		}
		return nil
	})
}

// verify tells whether the link carries the leased MAC and, if asked, the leased addresses. Others beside them are nobody's
// business: link-local ones, those of a router's announcement.
func (l *podLink) verify(lease *agentapi.Lease, mac net.HardwareAddr, addresses bool) error {
	if !bytes.Equal(l.MAC, mac) {
		return problem.LinkDiffers.New(l.name, "MAC "+l.MAC.String(), "MAC "+mac.String())
	}
	if !addresses {
		return nil
	}
	list, err := l.sandbox.Addresses(l.Link, unix.AF_UNSPEC)
	if err != nil {
		return problem.LinkMissing.New(l.name, l.sandbox.Path(), err).WithCause(err)
	}
	has := make([]netip.Prefix, len(list))
	for i := range list {
		has[i] = list[i].Prefix
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
	return l.Up
}

// silence has the link send and answer nothing from now on, if it is there: its MAC is free on the parent then, although the main plugin removes
// the link only after its IPAM's DEL has returned. macvlan does nothing in between, and finds well that the link is gone: it is removed
// at once. To set it down first has all others of the node wait once more, for the kernel holds its lock meanwhile (dev_deactivate_many).
func silence(args *skel.CmdArgs, main string) error {
	if main == "macvlan" && removeMacvlan(args) == nil {
		return nil
	}
	return setDown(args)
}

func removeMacvlan(args *skel.CmdArgs) error {
	l, err := openLink(args)
	if err != nil {
		return err
	}
	defer l.close()
	if l.Kind != "macvlan" {
		return errors.ErrUnsupported
	}
	return l.sandbox.Delete(l.Link)
}

// setDown sets the link down, if it is there.
func setDown(args *skel.CmdArgs) error {
	l, err := enterLink(args)
	if err != nil {
		return err
	}
	defer l.close()
	return l.sandbox.SetDown(l.Link)
}
