// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/macpool/macpool/internal/agentapi"
)

const iface = "net1"

// pod is a network namespace with an interface such as macvlan has it when it calls its IPAM plugin: down, and with a MAC of its own.
type pod struct {
	sandbox ns.NetNS
	handle  *netlink.Handle
	link    netlink.Link
	own     net.HardwareAddr
}

func newPod() (*pod, error) {
	sandbox, err := ns.TempNetNS()
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	p := &pod{sandbox: sandbox}
	if err := p.furnish(); err != nil {
		p.close()
		return nil, fmt.Errorf("furnishing a network namespace: %w", err)
	}
	return p, nil
}

func (p *pod) furnish() (err error) {
	if p.handle, err = netlink.NewHandleAt(netns.NsHandle(p.sandbox.Fd())); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = iface
	if err := p.handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}); err != nil {
		return err
	}
	if p.link, err = p.handle.LinkByName(iface); err != nil {
		return err
	}
	p.own = p.link.Attrs().HardwareAddr
	return nil
}

func (p *pod) close() {
	if p.handle != nil {
		p.handle.Close()
	}
	_ = p.sandbox.Close() // the last who knows the namespace
}

// prepare makes the interface what the verb finds in life.
func (p *pod) prepare(verb string) error {
	switch verb {
	case "ADD":
		return errors.Join(p.handle.LinkSetDown(p.link), p.handle.LinkSetHardwareAddr(p.link, p.own))
	case "DEL":
		return p.handle.LinkSetUp(p.link)
	default:
		return nil
	}
}

// env is what a runtime tells a plugin.
func (p *pod) env(socket, dir string) []string {
	return []string{
		"CNI_CONTAINERID=c1",
		fmt.Sprintf("CNI_NETNS=/proc/%d/fd/%d", os.Getpid(), p.sandbox.Fd()),
		"CNI_IFNAME=" + iface,
		"CNI_PATH=/opt/cni/bin",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=home;K8S_POD_NAME=db-0;K8S_POD_UID=u-1",
		"PATH=" + os.Getenv("PATH"),
		agentapi.SocketEnv + "=" + socket,
		agentapi.StateDirEnv + "=" + filepath.Join(dir, "state"),
	}
}
