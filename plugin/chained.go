// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// addChained writes the leased MAC into the result. The main plugin read the link's MAC before its IPAM call set the leased
// one; what it reports would end in Multus' network-status and fail its own CHECK.
func (p *Plugin) addChained(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	iface, err := c.sandboxInterface(args.IfName)
	if err != nil {
		return err
	}
	lease, err := p.askLease(ctx, request(agentapi.Lookup, args, c))
	if err != nil {
		return err
	}
	mac, err := verifyLink(args, lease, false)
	if err != nil {
		return err
	}
	iface.Mac = mac.String()
	return p.print(c.prev, c.CNIVersion)
}

// check compares four tellings of one attachment, which must agree: the agent's lease, the link, and the MAC and the
// addresses of the result that the runtime has kept. It changes nothing, and returns the lease.
func (p *Plugin) check(ctx context.Context, args *skel.CmdArgs, c *conf, as role) (*agentapi.Lease, error) {
	var iface *types100.Interface
	if as == chained || c.prev != nil {
		var err error
		if iface, err = c.sandboxInterface(args.IfName); err != nil {
			return nil, err
		}
	}
	lease, err := p.askLease(ctx, request(agentapi.Check, args, c))
	if err != nil {
		return nil, err
	}
	mac, err := verifyLink(args, lease, true)
	if err != nil || iface == nil {
		return lease, err
	}
	if kept, err := net.ParseMAC(iface.Mac); err != nil || kept.String() != mac.String() {
		if as == ipam {
			return nil, problem.ChainedEntryMissing.New(c.Name)
		}
		return nil, problem.LinkDiffers.New(args.IfName, "MAC "+iface.Mac+" in the result of its network", "MAC "+mac.String())
	}
	var kept []netip.Prefix
	for _, ip := range c.prev.IPs {
		kept = append(kept, prefixOf(&ip.Address))
	}
	if ip, ok := firstMissing(lease, kept); ok {
		return nil, problem.LinkDiffers.New(args.IfName, describe(kept)+" in the result of its network", ip.String())
	}
	return lease, nil
}

// verifyLink compares the pod's link with the lease, and returns the MAC that both have.
func verifyLink(args *skel.CmdArgs, lease *agentapi.Lease, addresses bool) (net.HardwareAddr, error) {
	mac, err := leasedMAC(lease)
	if err != nil {
		return nil, err
	}
	open := openLink
	if addresses {
		open = enterLink
	}
	link, err := open(args)
	if err != nil {
		return nil, err
	}
	defer link.close()
	return mac, link.verify(lease, mac, addresses)
}

// sandboxInterface is the pod's interface in the result of the plugins before. Those without a sandbox are the node's: a
// bridge, the other end of a veth pair.
func (c *conf) sandboxInterface(name string) (*types100.Interface, error) {
	if c.prev != nil {
		for _, i := range c.prev.Interfaces {
			if i != nil && i.Sandbox != "" && i.Name == name {
				return i, nil
			}
		}
	}
	return nil, problem.NoPrevResult.New(name)
}
