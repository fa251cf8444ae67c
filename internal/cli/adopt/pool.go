// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// untagged is the MAC prefix of a proposal for a network that states no VLAN, of which it could be derived.
const untagged = "06:00:00"

// aim finds the pool that a network's addresses go to: the one that it or the person names, one that has its subnet, or a proposal.
func (p *plan) aim(f *foreign) error {
	if name := cmp.Or(f.pool, p.options.pool); name != "" {
		pool := p.pool(name)
		switch {
		case pool != nil:
			p.targets[f.key] = &target{pool: pool, exists: true}
		case f.ipam != cni.Type:
			return problem.PoolUnknown.New(name).WithFix("Correct --pool, or leave it out to have a pool proposed: kubectl get macpools lists those that exist.")
		default:
			p.conflict("network "+f.key.String(), "%s", problem.PoolUnknown.New(name))
		}
		return nil
	}
	switch {
	case f.trouble != nil:
		p.conflict("network "+f.key.String(), "%s", f.trouble)
		return nil //nolint:nilerr // it is told with the plan
	case len(f.subnets) == 0:
		p.note("network "+f.key.String(), "nobody has an address on it from which its subnet could be told: name a pool by --pool to see its new ipam block")
		return nil
	}
	for i := range p.inv.pools {
		if pool := &p.inv.pools[i]; f.fits(pool) {
			p.targets[f.key] = &target{pool: pool, exists: true}
			return nil
		}
	}
	for _, pool := range p.pools {
		if f.fits(pool) {
			for _, s := range f.subnets {
				widen(pool, s)
			}
			p.targets[f.key] = &target{pool: pool}
			return nil
		}
	}
	pool := f.proposePool(p.poolName(f))
	if f.vlan == 0 {
		p.note("macpool "+pool.Name, "network %s states no VLAN: correct vlan in the proposal if it is on one, and leave mac out then. They cannot be changed later", f.key)
	}
	p.pools = append(p.pools, pool)
	p.targets[f.key] = &target{pool: pool}
	return nil
}

// fits tells whether a pool has one of the network's subnets, and is not of another VLAN.
func (f *foreign) fits(pool *v1alpha1.MacPool) bool {
	if f.vlan != 0 && pool.Spec.VLAN != nil && *pool.Spec.VLAN != 0 && int(*pool.Spec.VLAN) != f.vlan {
		return false
	}
	return slices.ContainsFunc(f.subnets, func(s v1alpha1.Subnet) bool {
		return slices.ContainsFunc(pool.Spec.Subnets, func(have v1alpha1.Subnet) bool { return have.CIDR == s.CIDR })
	})
}

// widen adds a subnet to a proposal.
func widen(pool *v1alpha1.MacPool, s v1alpha1.Subnet) {
	for i := range pool.Spec.Subnets {
		if have := &pool.Spec.Subnets[i]; have.CIDR == s.CIDR {
			merge(have, s)
			return
		}
	}
	if len(pool.Spec.Subnets) == 1 && is4(pool.Spec.Subnets[0].CIDR) != is4(s.CIDR) {
		pool.Spec.Subnets = append(pool.Spec.Subnets, s)
	}
}

// poolName is the network's name, with its namespace if a pool is called so.
func (p *plan) poolName(f *foreign) string {
	name := strings.ReplaceAll(f.key.Name, ".", "-")
	if p.pool(name) != nil || slices.ContainsFunc(p.pools, func(other *v1alpha1.MacPool) bool { return other.Name == name }) {
		name = f.key.Namespace + "-" + name
	}
	return strings.TrimRight(name[:min(len(name), 63)], "-")
}

func (f *foreign) proposePool(name string) *v1alpha1.MacPool {
	pool := &v1alpha1.MacPool{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacPool"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.MacPoolSpec{VLAN: new(int32(f.vlan))}, //nolint:gosec // G115: a VLAN has 12 bits
	}
	for _, s := range f.subnets {
		pool.Spec.Subnets = append(pool.Spec.Subnets, *s.DeepCopy())
	}
	if derived := binding.PrefixOf(pool); f.vlan == 0 || derived.Validate() != nil || derived.String() == "52:54:00" {
		pool.Spec.MAC = &v1alpha1.MACPolicy{Prefix: untagged}
	}
	return pool
}

// check tidies a proposal, and says what the API server would say of it.
func (p *plan) check(pool *v1alpha1.MacPool) {
	if _, err := binding.PlanOf(pool); err != nil {
		p.conflict("macpool "+pool.Name, "the proposal cannot be made as it is: %s", err)
	}
}

// maxRanges is how many ranges a subnet may have.
const maxRanges = 64

// tidy puts ranges in order, and single addresses that follow one another into one.
func tidy(s *v1alpha1.Subnet) {
	type span struct {
		from, to netip.Addr
		explicit bool
	}
	var spans []span
	for _, r := range s.Ranges {
		from, err := netip.ParseAddr(string(r.Start))
		to := from
		if r.End != "" && err == nil {
			to, err = netip.ParseAddr(string(r.End))
		}
		if err == nil {
			spans = append(spans, span{from, to, r.ExplicitOnly})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	var joined []span
	for _, next := range spans {
		if n := len(joined); n > 0 && joined[n-1].explicit == next.explicit && next.from.Compare(joined[n-1].to.Next()) <= 0 {
			if next.to.Compare(joined[n-1].to) > 0 {
				joined[n-1].to = next.to
			}
			continue
		}
		joined = append(joined, next)
	}
	if n := len(joined); n > maxRanges { // what lies between is nobody's who does not ask for it
		joined = []span{{joined[0].from, joined[n-1].to, joined[0].explicit}}
	}
	s.Ranges = nil
	for _, j := range joined {
		r := v1alpha1.PoolRange{AddressRange: v1alpha1.AddressRange{Start: v1alpha1.IPAddress(j.from.String())}, ExplicitOnly: j.explicit}
		if j.to != j.from {
			r.End = v1alpha1.IPAddress(j.to.String())
		}
		s.Ranges = append(s.Ranges, r)
	}
}
