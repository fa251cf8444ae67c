// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"fmt"
	"net/netip"

	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

// SegmentOf is the segment in which the pool's addresses are unique.
func SegmentOf(pool *v1alpha1.MacPool) string {
	if pool.Spec.Segment != "" {
		return pool.Spec.Segment
	}
	return fmt.Sprintf("vlan-%d", ptr.Deref(pool.Spec.VLAN, 0))
}

// PrefixOf is the prefix of the pool's MACs. A prefix that does not parse cannot happen, the API server refuses it.
func PrefixOf(pool *v1alpha1.MacPool) mac.Prefix {
	if m := pool.Spec.MAC; m != nil && m.Prefix != "" {
		if p, err := mac.ParsePrefix(string(m.Prefix)); err == nil {
			return p
		}
	}
	return mac.DefaultPrefix(int(ptr.Deref(pool.Spec.VLAN, 0)))
}

// PlanOf is what the pool leases, by its spec. An error says what must hold.
func PlanOf(pool *v1alpha1.MacPool) (*allocator.Plan, error) {
	c := allocator.Config{Segment: SegmentOf(pool), Prefix: PrefixOf(pool)}
	for _, s := range pool.Spec.Subnets {
		subnet, err := subnetOf(s)
		if err != nil {
			return nil, err
		}
		c.Subnets = append(c.Subnets, subnet)
	}
	for _, r := range pool.Spec.Reservations {
		ip, err := netip.ParseAddr(string(r.IP))
		if err != nil {
			return nil, fmt.Errorf("reservation %s: %w", r.IP, err)
		}
		reservation := allocator.Reservation{IP: ip}
		if r.MAC != "" {
			if reservation.MAC, err = mac.Parse(string(r.MAC)); err != nil {
				return nil, fmt.Errorf("reservation %s: %w", r.IP, err)
			}
		}
		if r.ClaimRef != nil {
			reservation.Claim = allocator.Identity{Namespace: r.ClaimRef.Namespace, Name: r.ClaimRef.Name}
		}
		c.Reservations = append(c.Reservations, reservation)
	}
	return allocator.NewPlan(c)
}

func subnetOf(s v1alpha1.Subnet) (allocator.Subnet, error) {
	cidr, err := netip.ParsePrefix(string(s.CIDR))
	if err != nil {
		return allocator.Subnet{}, fmt.Errorf("subnet %s: %w", s.CIDR, err)
	}
	subnet := allocator.Subnet{CIDR: cidr}
	if s.Gateway != "" {
		if subnet.Gateway, err = netip.ParseAddr(string(s.Gateway)); err != nil {
			return allocator.Subnet{}, fmt.Errorf("gateway of subnet %s: %w", s.CIDR, err)
		}
	}
	for _, r := range s.Ranges {
		addresses, err := rangeOf(r.AddressRange, s.CIDR)
		if err != nil {
			return allocator.Subnet{}, err
		}
		subnet.Ranges = append(subnet.Ranges, allocator.Range{Range: addresses, ExplicitOnly: r.ExplicitOnly})
	}
	for _, r := range s.Exclude {
		addresses, err := rangeOf(r, s.CIDR)
		if err != nil {
			return allocator.Subnet{}, err
		}
		subnet.Exclude = append(subnet.Exclude, addresses)
	}
	return subnet, nil
}

// rangeOf does not judge the order of its ends: NewPlan does, in one place for all ranges.
func rangeOf(r v1alpha1.AddressRange, cidr v1alpha1.CIDR) (mac.Range, error) {
	from, err := netip.ParseAddr(string(r.Start))
	if err != nil {
		return mac.Range{}, fmt.Errorf("range of subnet %s: %w", cidr, err)
	}
	to := from
	if r.End != "" {
		if to, err = netip.ParseAddr(string(r.End)); err != nil {
			return mac.Range{}, fmt.Errorf("range of subnet %s: %w", cidr, err)
		}
	}
	return mac.Range{From: from, To: to}, nil
}
