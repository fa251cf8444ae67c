// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
)

// Address is an address of a segment, leased or not.
type Address struct {
	// Name is what its lease is named.
	Name mac.Name
	MAC  mac.Addr
	// IPs are IPv4 first; none of a MAC alone.
	IPs []netip.Addr
	// Pool is that of the lease, else one that has the address in its networks; nil if there is none.
	Pool *Pool
	// Verdict says to whom Pool may lease it.
	Verdict allocator.Verdict
	// Lease is its record; nil if there is none.
	Lease *v1alpha1.MacLease
}

// Find are the addresses that a question is about, in the order of their names: the same IP can be in several segments. Of a pod or claim they
// are those that it has or is known to have had.
func (s *Snapshot) Find(q Query) []Address {
	found := map[mac.Name]bool{}
	switch {
	case q.IP.IsValid():
		s.findIP(q.IP, found)
	case !q.MAC.IsZero():
		s.findMAC(q.MAC, found)
	default:
		s.findObject(q.Object, found)
	}
	addresses := make([]Address, 0, len(found))
	for name := range found {
		addresses = append(addresses, s.address(name))
	}
	slices.SortFunc(addresses, func(a, b Address) int {
		return cmp.Or(cmp.Compare(a.Name.Segment, b.Name.Segment), a.Name.Addr.Compare(b.Name.Addr), slices.Compare(a.Name.MAC[:], b.Name.MAC[:]))
	})
	return addresses
}

func (s *Snapshot) findIP(ip netip.Addr, found map[mac.Name]bool) {
	for _, p := range s.Pools {
		if p.Plan == nil {
			continue
		}
		if slot, ok := p.Plan.SlotOf(ip); ok {
			found[p.Plan.Address(slot).Name] = true
		}
	}
	text := v1alpha1.IPAddress(ip.String()) // the API has canonical ones only
	for name, l := range s.leases {
		if slices.Contains(l.Spec.IPs, text) {
			found[name] = true
		}
	}
}

func (s *Snapshot) findMAC(m mac.Addr, found map[mac.Name]bool) {
	for _, p := range s.Pools {
		if p.Plan == nil {
			continue
		}
		if slot, ok := p.Plan.SlotOfMAC(m); ok {
			found[p.Plan.Address(slot).Name] = true
		}
	}
	text := v1alpha1.MACAddress(m.String())
	for name, l := range s.leases {
		if l.Spec.MAC == text {
			found[name] = true
		}
	}
	for _, lock := range s.locks {
		if lock.Spec.MAC != text {
			continue
		}
		if name, err := mac.ParseName(binding.LockedLease(lock)); err == nil {
			found[name] = true
		}
	}
}

// findObject finds the addresses of a pod, a claim, or both if both have the name.
func (s *Snapshot) findObject(key types.NamespacedName, found map[mac.Name]bool) {
	for name, l := range s.leases {
		if hasHad(l, key) {
			found[name] = true
		}
	}
	for _, c := range s.claims {
		if c.Namespace != key.Namespace || c.Name != key.Name && !hasHeld(c, key.Name) {
			continue
		}
		lease := &v1alpha1.MacLease{}
		lease.Name = c.Status.LeaseName
		for _, ip := range c.Status.IPs {
			lease.Spec.IPs = append(lease.Spec.IPs, v1alpha1.IPAddress(ip))
		}
		if name, err := binding.NameOf(lease); err == nil {
			found[name] = true
		}
	}
}

// hasHad tells whether the lease names the claim or the pod.
func hasHad(l *v1alpha1.MacLease, key types.NamespacedName) bool {
	ref := l.Spec.ClaimRef
	if ref.Namespace == key.Namespace && (ref.Name == key.Name || l.Spec.PodName == key.Name) {
		return true
	}
	return slices.ContainsFunc(l.Spec.History, func(h v1alpha1.LeaseHistory) bool {
		return h.Namespace == key.Namespace && (h.Claim == key.Name || h.PodName == key.Name)
	})
}

// hasHeld tells whether a pod of this name holds the claim, or has held it.
func hasHeld(c *v1alpha1.MacClaim, pod string) bool {
	for _, h := range []*v1alpha1.Holder{c.Status.Holder, c.Status.Alternate} {
		if h != nil && h.PodName == pod {
			return true
		}
	}
	return slices.ContainsFunc(c.Status.PreviousHolders, func(h v1alpha1.PreviousHolder) bool { return h.PodName == pod })
}

// address is all that is known of an address.
func (s *Snapshot) address(name mac.Name) Address {
	a := Address{Name: name, Lease: s.leases[name]}
	if a.Lease != nil {
		a.Pool = s.pools[a.Lease.Spec.PoolName]
	} else {
		a.Pool = s.poolOf(name)
	}
	if a.Pool != nil && a.Pool.Plan != nil {
		if slot, ok := a.Pool.Plan.SlotOfName(name); ok {
			planned := a.Pool.Plan.Address(slot)
			a.MAC, a.IPs, a.Verdict = planned.MAC, planned.IPs, a.Pool.Plan.Classify(slot)
		}
	}
	if a.Lease != nil {
		a.MAC, a.IPs = asLeased(a.Lease)
	}
	return a
}

// poolOf is the pool that would lease an address: the first with a range for it or a word on it, else the first that has it in its networks.
func (s *Snapshot) poolOf(name mac.Name) *Pool {
	var around *Pool
	for _, p := range s.Pools {
		if p.Plan == nil {
			continue
		}
		slot, ok := p.Plan.SlotOfName(name)
		switch {
		case !ok:
		case p.Plan.Classify(slot).Class != allocator.Outside:
			return p
		case around == nil:
			around = p
		}
	}
	return around
}

// asLeased are the addresses as the lease has them, which the pool's edits do not change.
func asLeased(l *v1alpha1.MacLease) (mac.Addr, []netip.Addr) {
	m, _ := mac.Parse(string(l.Spec.MAC)) // the API server has checked both
	ips := make([]netip.Addr, 0, len(l.Spec.IPs))
	for _, text := range l.Spec.IPs {
		if ip, err := netip.ParseAddr(string(text)); err == nil {
			ips = append(ips, ip)
		}
	}
	return m, ips
}
