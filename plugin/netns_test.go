// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

const podArgs = "IgnoreUnknown=1;K8S_POD_NAMESPACE=home;K8S_POD_NAME=db-0;K8S_POD_UID=u-1"

// newLink makes a link that is down, as main plugins leave it while they call their IPAM. A veth whose other end is in the
// same namespace.
func newLink(t *testing.T, sandbox ns.NetNS, name string) {
	t.Helper()
	netnstest.Do(t, sandbox, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer-" + name})
	})
}

func changeLink(t *testing.T, sandbox ns.NetNS, name string, change func(netlink.Link) error) {
	t.Helper()
	netnstest.Do(t, sandbox, func() error {
		link, err := netlinksafe.LinkByName(name)
		if err != nil {
			return err
		}
		return change(link)
	})
}

func setLinkUp(t *testing.T, sandbox ns.NetNS, name string) {
	t.Helper()
	changeLink(t, sandbox, name, netlink.LinkSetUp)
}

// setLinkMAC changes the MAC of net1.
func setLinkMAC(t *testing.T, sandbox ns.NetNS, mac string) {
	t.Helper()
	addr, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	changeLink(t, sandbox, "net1", func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, addr) })
}

func addLinkIP(t *testing.T, sandbox ns.NetNS, name, prefix string) {
	t.Helper()
	ip := ipNetOf(netip.MustParsePrefix(prefix))
	changeLink(t, sandbox, name, func(l netlink.Link) error { return netlink.AddrAdd(l, &netlink.Addr{IPNet: &ip}) })
}

// linkOf is the link as it is, nil if there is none.
func linkOf(t *testing.T, sandbox ns.NetNS, name string) *netlink.LinkAttrs {
	t.Helper()
	var attrs *netlink.LinkAttrs
	netnstest.Do(t, sandbox, func() error {
		link, err := netlinksafe.LinkByName(name)
		if err == nil {
			attrs = link.Attrs()
		}
		return nil
	})
	return attrs
}

func macOf(t *testing.T, sandbox ns.NetNS, name string) string {
	t.Helper()
	link := linkOf(t, sandbox, name)
	if link == nil {
		t.Fatalf("there is no %s", name)
	}
	return link.HardwareAddr.String()
}

// isUp tells whether there is a net1 that is up.
func isUp(t *testing.T, sandbox ns.NetNS) bool {
	t.Helper()
	link := linkOf(t, sandbox, "net1")
	return link != nil && link.Flags&net.FlagUp != 0
}

// newPlugin is a plugin that asks the agent, and what it prints.
func newPlugin(a *agentDouble) (*Plugin, *bytes.Buffer) {
	out := &bytes.Buffer{}
	return &Plugin{Getenv: a.getenv, Stdout: out, Stderr: os.Stderr}, out
}

func cmdArgs(sandbox ns.NetNS, conf string) *skel.CmdArgs {
	args := &skel.CmdArgs{ContainerID: "c1", IfName: "net1", Args: podArgs, StdinData: []byte(conf)}
	if sandbox != nil {
		args.Netns = sandbox.Path()
	}
	return args
}

func ipamConf(version, ipamFields string) string {
	return fmt.Sprintf(`{"cniVersion":%q,"name":"iot-vlan","type":"macvlan","master":"eth0.50","mode":"bridge","ipam":{"type":"macpool","pool":"iot"%s}}`, version, ipamFields)
}
