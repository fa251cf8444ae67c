// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// ipamResult is the abbreviated result of an IPAM plugin: no interfaces, and so no place for the MAC.
//
// The network's own routes come first, as written, then those of the pool whose destination the network does not route
// itself: the kernel refuses the same route a second time, and with it the whole ADD.
func ipamResult(lease *agentapi.Lease, block ipamBlock) (*types100.Result, error) {
	if len(lease.IPs) == 0 {
		return nil, problem.Internal.New("the lease has no address")
	}
	r := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, DNS: block.DNS.is}
	for _, ip := range lease.IPs {
		if !isNetwork(ip.Address) {
			return nil, problem.Internal.New("the lease has an address that is none")
		}
		r.IPs = append(r.IPs, &types100.IPConfig{Address: ipNetOf(ip.Address), Gateway: ipOf(ip.Gateway)})
	}
	r.Routes = slices.Clone(block.Routes)
	for _, route := range lease.Routes {
		if !isNetwork(route.Dst) {
			return nil, problem.Internal.New("the lease has a route to nowhere")
		}
		dst := ipNetOf(route.Dst)
		if !slices.ContainsFunc(block.Routes, func(own *cnitypes.Route) bool {
			return own.Table == nil && prefixOf(&own.Dst).Masked() == route.Dst.Masked()
		}) {
			r.Routes = append(r.Routes, &cnitypes.Route{Dst: dst, GW: ipOf(route.GW)})
		}
	}
	if r.DNS.IsEmpty() {
		r.DNS = cnitypes.DNS(lease.DNS)
	}
	return r, nil
}

// print prints the result in the version that the network asks for, in one write.
func (p *Plugin) print(result *types100.Result, cniVersion string) error {
	converted, err := result.GetAsVersion(cniVersion)
	if err != nil {
		return problem.Internal.New(err).WithCause(err)
	}
	if err := converted.PrintTo(p.Stdout); err != nil {
		return problem.Internal.New(fmt.Sprintf("the result cannot be written: %s", err)).WithCause(err)
	}
	return nil
}

func leasedMAC(lease *agentapi.Lease) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(lease.MAC)
	if err != nil || len(mac) != 6 {
		return nil, problem.Internal.New(fmt.Sprintf("the lease has %q for a MAC", lease.MAC))
	}
	return mac, nil
}

// firstMissing is the first address of the lease that is not among has.
func firstMissing(lease *agentapi.Lease, has []netip.Prefix) (netip.Prefix, bool) {
	for _, ip := range lease.IPs {
		if !slices.Contains(has, ip.Address) {
			return ip.Address, true
		}
	}
	return netip.Prefix{}, false
}

func isLeased(lease *agentapi.Lease, ip netip.Prefix) bool {
	return slices.Contains(leasedIPs(lease), ip)
}

func leasedIPs(lease *agentapi.Lease) []netip.Prefix {
	var ips []netip.Prefix
	for _, ip := range lease.IPs {
		ips = append(ips, ip.Address)
	}
	return ips
}

func describe(ips []netip.Prefix) string {
	if len(ips) == 0 {
		return "no address"
	}
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return strings.Join(s, ", ")
}

// isNetwork tells whether CNI can say it: what is none would become "<nil>", and IPv4 in sixteen octets a network of the wrong length.
func isNetwork(p netip.Prefix) bool { return p.IsValid() && !p.Addr().Is4In6() }

func ipNetOf(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// ipOf is nil, which JSON leaves out, for no address.
func ipOf(a netip.Addr) net.IP { return a.AsSlice() }

// prefixOf is the inverse of ipNetOf; IPv4 in sixteen octets is IPv4.
func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
