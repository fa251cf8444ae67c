// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

// poolModel is a pool as it was at all times, and what it may lease by plain arithmetic.
type poolModel struct {
	name     string
	versions []poolVersion
}

type poolVersion struct {
	from time.Time
	// spec is nil while there was no pool.
	spec *v1alpha1.MacPoolSpec
}

// poolChanged notes a version of a pool. The truth is locked.
func (w *world) poolChanged(name string, to *v1alpha1.MacPool) {
	p := w.pools[name]
	if p == nil {
		p = &poolModel{name: name}
		w.pools[name] = p
	}
	v := poolVersion{from: time.Now()}
	if to != nil {
		v.spec = &to.Spec
	}
	p.versions = append(p.versions, v)
}

// since are the versions that were in force at some time since then.
func (p *poolModel) since(then time.Time) []*v1alpha1.MacPoolSpec {
	if p == nil {
		return nil
	}
	var specs []*v1alpha1.MacPoolSpec
	for i, v := range p.versions {
		over := i+1 < len(p.versions) && p.versions[i+1].from.Before(then)
		if v.spec != nil && !over {
			specs = append(specs, v.spec)
		}
	}
	return specs
}

func (p *poolModel) takeover() v1alpha1.Takeover {
	for _, spec := range p.since(time.Now()) {
		return spec.Takeover
	}
	return ""
}

// leastCooldown is the shortest cooldown that the pool has had since then.
func (p *poolModel) leastCooldown(then time.Time) time.Duration {
	least := time.Minute // also of a pool that is gone
	for _, spec := range p.since(then) {
		if spec.Cooldown != nil {
			least = min(least, spec.Cooldown.Duration)
		}
	}
	return least
}

// couldLease tells whether a version since then leases the address to the claim.
func (p *poolModel) couldLease(ip netip.Addr, identity string, then time.Time) bool {
	for _, spec := range p.since(then) {
		if leases(spec, ip, identity) {
			return true
		}
	}
	return false
}

func leases(spec *v1alpha1.MacPoolSpec, ip netip.Addr, identity string) bool {
	for _, r := range spec.Reservations {
		if string(r.IP) == ip.String() && (r.ClaimRef == nil || r.ClaimRef.Namespace+"/"+r.ClaimRef.Name != identity) {
			return false
		}
	}
	for _, subnet := range spec.Subnets {
		cidr := netip.MustParsePrefix(string(subnet.CIDR))
		if !cidr.Contains(ip) {
			continue
		}
		if ip == cidr.Masked().Addr() || !cidr.Contains(ip.Next()) || string(subnet.Gateway) == ip.String() {
			return false
		}
		for _, x := range subnet.Exclude {
			if within(ip, x) {
				return false
			}
		}
		for _, r := range subnet.Ranges {
			if within(ip, r.AddressRange) {
				return true
			}
		}
		return len(subnet.Ranges) == 0
	}
	return false
}

func within(ip netip.Addr, r v1alpha1.AddressRange) bool {
	from := netip.MustParseAddr(string(r.Start))
	to := from
	if r.End != "" {
		to = netip.MustParseAddr(string(r.End))
	}
	return !ip.Less(from) && !to.Less(ip)
}

// macOf is the MAC of a lease by D2: the prefix of VLAN 50, 02:32:00, and the low 24 bits of the IPv4 address.
func (p *poolModel) macOf(l *v1alpha1.MacLease) string {
	for _, text := range l.Spec.IPs {
		if ip := netip.MustParseAddr(string(text)); ip.Is4() {
			b := ip.As4()
			return fmt.Sprintf("02:32:00:%02x:%02x:%02x", b[1], b[2], b[3])
		}
	}
	return ""
}

// knownSince is since when at the latest the writer whose request is being carried out knew pools as they were: an agent reads them live, a
// manager in its cache, and either may have taken some time to decide. A request may have been on its way for long.
func (w *world) knownSince(by string) time.Time {
	const deciding = 2 * time.Minute
	known := w.net.sent().Add(-deciding)
	for _, m := range w.managers {
		if m.name != by {
			continue
		}
		if i, _ := slices.BinarySearchFunc(m.view.poolsSeen, known, time.Time.Compare); i > 0 {
			return m.view.poolsSeen[i-1]
		}
	}
	return known
}
