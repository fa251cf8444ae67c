// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
)

// leaseOf is a bound claim's lease as the plugin gets it, with what the pool adds. Addresses and networks parse: the API
// server has checked the pool's, and the binder wrote the claim's.
func leaseOf(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool) *agentapi.Lease {
	lease := &agentapi.Lease{
		MAC:   claim.Status.MAC,
		Name:  claim.Status.LeaseName,
		Claim: agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name},
	}
	for _, text := range claim.Status.IPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			lease.IPs = append(lease.IPs, withSubnet(ip, pool))
		}
	}
	for _, r := range pool.Spec.Routes {
		if dst, err := netip.ParsePrefix(string(r.Dst)); err == nil {
			lease.Routes = append(lease.Routes, agentapi.Route{Dst: dst, GW: nextHop(r, dst, pool)})
		}
	}
	if dns := pool.Spec.DNS; dns != nil {
		lease.DNS = agentapi.DNS{Domain: dns.Domain, Search: dns.Search, Options: dns.Options}
		for _, ns := range dns.Nameservers {
			lease.DNS.Nameservers = append(lease.DNS.Nameservers, string(ns))
		}
	}
	return lease
}

// withSubnet is the address with the length of its subnet and that subnet's gateway.
func withSubnet(ip netip.Addr, pool *v1alpha1.MacPool) agentapi.IP {
	for _, s := range pool.Spec.Subnets {
		if cidr, err := netip.ParsePrefix(string(s.CIDR)); err == nil && cidr.Contains(ip) {
			return agentapi.IP{Address: netip.PrefixFrom(ip, cidr.Bits()), Gateway: gatewayOf(s)}
		}
	}
	return agentapi.IP{Address: netip.PrefixFrom(ip, ip.BitLen())}
}

// nextHop is the route's own, else the gateway of the subnet of its family, else none: the destination is on the link.
func nextHop(r v1alpha1.Route, dst netip.Prefix, pool *v1alpha1.MacPool) netip.Addr {
	if gw, err := netip.ParseAddr(string(r.GW)); err == nil {
		return gw
	}
	for _, s := range pool.Spec.Subnets {
		if cidr, err := netip.ParsePrefix(string(s.CIDR)); err == nil && cidr.Addr().Is4() == dst.Addr().Is4() {
			return gatewayOf(s)
		}
	}
	return netip.Addr{}
}

// gatewayOf is the subnet's gateway, the zero address if it has none.
func gatewayOf(s v1alpha1.Subnet) netip.Addr {
	gateway, err := netip.ParseAddr(string(s.Gateway))
	if err != nil {
		return netip.Addr{}
	}
	return gateway
}
