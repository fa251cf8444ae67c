// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// options narrow an adoption.
type options struct {
	// pool is the pool that all networks go to, "" to find or propose one for each.
	pool string
	// networks are those that are adopted, all if there are none.
	networks []types.NamespacedName
}

// plan is what an adoption makes, and what it leaves to a person.
type plan struct {
	inv     *inventory
	options options

	networks map[types.NamespacedName]*foreign
	targets  map[types.NamespacedName]*target // network -> where its addresses go
	wants    []*want

	pools  []*v1alpha1.MacPool  // proposals
	claims []*v1alpha1.MacClaim // to be made
	// done is how many addresses have their claim already.
	done     int
	findings []finding
}

// finding is what a person has to know.
type finding struct {
	// conflict: something is not adopted for it.
	conflict    bool
	about, text string
}

// target is a pool, and whether it is there already.
type target struct {
	pool   *v1alpha1.MacPool
	exists bool
}

func (p *plan) conflict(about, text string, args ...any) {
	p.findings = append(p.findings, finding{conflict: true, about: about, text: fmt.Sprintf(text, args...)})
}

func (p *plan) note(about, text string, args ...any) {
	p.findings = append(p.findings, finding{about: about, text: fmt.Sprintf(text, args...)})
}

// conflicts tells whether something is not adopted.
func (p *plan) conflicts() bool {
	return slices.ContainsFunc(p.findings, func(f finding) bool { return f.conflict })
}

func (p *plan) only() bool { return len(p.options.networks) > 0 }

// newPlan decides what is made. It reads nothing but the inventory, and writes nothing.
func newPlan(inv *inventory, o options) (*plan, error) {
	p := &plan{inv: inv, options: o, networks: map[types.NamespacedName]*foreign{}, targets: map[types.NamespacedName]*target{}}
	for i := range inv.networks {
		f, ok := foreignOf(&inv.networks[i])
		if ok && (!p.only() || slices.Contains(o.networks, f.key)) {
			p.networks[f.key] = &f
		}
	}
	for _, key := range o.networks {
		if p.networks[key] == nil {
			return nil, fmt.Errorf("network %s is not there, or its ipam is none of whereabouts, static and macpool: kubectl get network-attachment-definitions -A lists those that exist", key)
		}
	}
	p.gather()
	for _, f := range p.sorted() {
		p.learn(f)
	}
	for _, f := range p.sorted() {
		if err := p.aim(f); err != nil {
			return nil, err
		}
	}
	for _, pool := range p.pools {
		for i := range pool.Spec.Subnets {
			tidy(&pool.Spec.Subnets[i])
		}
	}
	p.number()
	p.settle()
	for _, pool := range p.pools {
		p.check(pool)
	}
	slices.SortStableFunc(p.findings, func(a, b finding) int { return cmp.Compare(a.about, b.about) })
	p.findings = slices.Compact(p.findings)
	return p, nil
}

// sorted are the networks, those for one application last: a pool for several is named after the first.
func (p *plan) sorted() []*foreign {
	var all []*foreign
	for _, f := range p.networks {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *foreign) int {
		return cmp.Or(cmp.Compare(len(a.addresses), len(b.addresses)), cmp.Compare(a.key.String(), b.key.String()))
	})
	return all
}

// learn takes the subnets of a network that states none from the addresses that were typed on it, with their lengths. Of two networks of one family the one
// with more addresses is meant; those of the other are outside of the pool, and said to be.
func (p *plan) learn(f *foreign) {
	if f.ipam != static {
		return
	}
	counts := map[string]int{} // network -> addresses
	var addresses []netip.Addr
	for _, w := range p.wants {
		if w.network != f.key {
			continue
		}
		addresses = append(addresses, w.addresses()...)
		for _, text := range w.ips {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				counts[prefix.Masked().String()]++
			}
		}
	}
	subnets := sortedKeys(counts)
	slices.SortStableFunc(subnets, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	for _, text := range subnets {
		prefix := netip.MustParsePrefix(text)
		for _, ip := range addresses {
			if prefix.Contains(ip) {
				f.addSubnet(typed(netip.PrefixFrom(ip, prefix.Bits())))
			}
		}
	}
}

// number gives the addresses of pods that are alike their numbers, in the order of the addresses. One that has a claim keeps its number.
func (p *plan) number() {
	families := map[string][]*want{}
	for _, w := range p.wants {
		if t := p.targets[w.network]; t != nil && binding.Alike(w.workload) && w.workload.Ordinal == nil {
			key := fmt.Sprint(w.namespace, binding.FamilyOf(w.workload), w.workload.Interface, t.pool.Name)
			families[key] = append(families[key], w)
		}
	}
	for _, key := range sortedKeys(families) {
		family := families[key]
		slices.SortStableFunc(family, func(a, b *want) int { return slices.CompareFunc(a.addresses(), b.addresses(), netip.Addr.Compare) })
		taken := map[int32]bool{}
		for _, c := range p.ofFamily(family[0]) {
			n := *c.Spec.Workload.Ordinal
			taken[n] = true
			for _, w := range family {
				if w.workload.Ordinal == nil && slices.Equal(w.addresses(), leased(&c)) {
					w.workload.Ordinal = &n
				}
			}
		}
		next := int32(0)
		for _, w := range family {
			if w.workload.Ordinal != nil {
				continue
			}
			for taken[next] {
				next++
			}
			w.workload.Ordinal = new(next)
			taken[next] = true
		}
	}
}

// ofFamily are the claims that there are for the replicas of a workload whose pods are alike.
func (p *plan) ofFamily(w *want) (claims []v1alpha1.MacClaim) {
	pool := p.targets[w.network].pool.Name
	for _, c := range p.inv.claims {
		if o := c.Spec.Workload; c.Namespace == w.namespace && c.Spec.PoolRef.Name == pool && o != nil && o.Ordinal != nil &&
			binding.FamilyOf(*o) == binding.FamilyOf(w.workload) && o.Interface == w.workload.Interface {
			claims = append(claims, c)
		}
	}
	return claims
}

// leased are the addresses that a claim has, or asks for.
func leased(c *v1alpha1.MacClaim) []netip.Addr {
	texts := c.Status.IPs
	if len(texts) == 0 {
		for _, ip := range c.Spec.IPs {
			texts = append(texts, string(ip))
		}
	}
	return (&want{ips: texts}).addresses()
}

// settle makes the claims of all wants that can be had.
func (p *plan) settle() {
	twice := map[string][]*want{} // address in a segment -> who has it
	for _, w := range p.wants {
		if t := p.targets[w.network]; t != nil {
			for _, ip := range w.addresses() {
				key := binding.SegmentOf(t.pool) + " " + ip.String()
				twice[key] = append(twice[key], w)
			}
		}
	}
	for _, w := range p.wants {
		t := p.targets[w.network]
		if t == nil {
			continue
		}
		if binding.Alike(w.workload) && len(w.pods) > 1 && len(w.ips) > 0 {
			p.conflict(w.String(), "pods %v all have %v, and one address is for one of them: the claim is for replica %d, give the others addresses of their own", w.pods, w.ips, *w.workload.Ordinal)
		}
		clash := false
		for _, ip := range w.addresses() {
			for _, other := range twice[binding.SegmentOf(t.pool)+" "+ip.String()] {
				if other != w {
					p.conflict(w.String(), "%s is that of %s, too: decide whose it is, and change the other's", ip, other)
					clash = true
				}
			}
		}
		if !clash {
			p.adopt(w, t)
		}
	}
}

// adopt makes the claim of a want, unless it is there, or cannot be had.
func (p *plan) adopt(w *want, t *target) {
	name := binding.ClaimName(w.workload, t.pool.Name)
	if len(w.ips) == 0 {
		p.conflict(w.String(), "MAC %s was typed without an address, and a reservation needs one: type an address of pool %s beside it", w.mac, t.pool.Name)
		return
	}
	wish, err := binding.ParseWish(w.ips, "", t.pool)
	if err == nil {
		err = p.leasable(wish, t, types.NamespacedName{Namespace: w.namespace, Name: name})
	}
	if err != nil {
		p.conflict(w.String(), "%s", err)
		return
	}
	want := binding.NewClaimOf(w.namespace, w.workload, t.pool, wish)
	want.Labels = nil // it is a person's, and stays until a person deletes it
	if !p.reserve(w, t, want) {
		return
	}
	if w.surge {
		p.note(w.String(), "its rolling update starts the new pod while the old one has the address: use strategy: Recreate or maxSurge: 0, or scale it to 0 first (docs/migrate.md)")
	}
	if p.exists(want, wish, t) {
		return
	}
	want.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacClaim"}
	p.claims = append(p.claims, want)
}

// exists tells whether the claim need not, or cannot, be made, for one that is there.
func (p *plan) exists(want *v1alpha1.MacClaim, wish binding.Wish, t *target) bool {
	var same []v1alpha1.MacClaim
	for i := range p.inv.claims {
		if p.inv.claims[i].Namespace == want.Namespace {
			same = append(same, p.inv.claims[i])
		}
	}
	have := binding.Chosen(same, *want.Spec.Workload, t.pool.Name)
	if i := slices.IndexFunc(same, func(c v1alpha1.MacClaim) bool { return c.Name == want.Name }); have == nil && i >= 0 {
		have = &same[i]
	}
	switch {
	case have == nil:
	case binding.Serves(have, want) == nil:
		p.done++
		return true
	default:
		p.conflict(want.Namespace+"/"+want.Name, "%s", binding.Serves(have, want))
		return true
	}
	for i := range p.inv.claims {
		c := &p.inv.claims[i]
		pool := p.pool(c.Spec.PoolRef.Name)
		if pool == nil || binding.SegmentOf(pool) != binding.SegmentOf(t.pool) {
			continue
		}
		for _, ip := range wish.IPs {
			if slices.Contains(leased(c), ip) {
				p.conflict(want.Namespace+"/"+want.Name, "%s", problem.AddressTaken.New(ip, c.Namespace, c.Name, pool.Name))
				return true
			}
		}
	}
	return false
}

// leasable tells why the pool would lease an address to nobody, or to another claim.
func (p *plan) leasable(wish binding.Wish, t *target, claim types.NamespacedName) error {
	rules, err := binding.PlanOf(t.pool)
	if err != nil {
		return problem.PoolNotReady.New(t.pool.Name, err)
	}
	for _, ip := range wish.IPs {
		slot, _ := rules.SlotOf(ip) // it has one: so ParseWish says
		switch v := rules.Classify(slot); {
		case v.Class == allocator.Outside:
			return problem.AddressOutside.New(ip, t.pool.Name, rules.Ranges())
		case v.Class == allocator.Excluded:
			return problem.AddressExcluded.New(ip, t.pool.Name, v.Why)
		case v.Class == allocator.Reserved && v.Claim != allocator.Identity(claim):
			whom := "nobody"
			if v.Claim != (allocator.Identity{}) {
				whom = "claim " + v.Claim.Namespace + "/" + v.Claim.Name
			}
			return problem.AddressReserved.New(ip, t.pool.Name, whom)
		}
	}
	return nil
}

// reserve sees to a MAC that was typed. One that the pool does not make is reserved in a proposal; a pool that is there is its owner's to edit. false: the
// claim is not made before that, lest it get another MAC.
func (p *plan) reserve(w *want, t *target, claim *v1alpha1.MacClaim) bool {
	if w.mac == "" {
		return true
	}
	_, err := binding.ParseWish(w.ips, w.mac, t.pool)
	switch {
	case err == nil:
		return true
	case !problem.ForeignMAC.Is(err):
		p.conflict(w.String(), "the address is adopted, the MAC is not: %s", err)
		return true
	}
	m, err := mac.Parse(strings.TrimSpace(w.mac))
	if err != nil { // it was parsed before
		return true
	}
	r := v1alpha1.Reservation{
		IP: claim.Spec.IPs[0], MAC: v1alpha1.MACAddress(m.String()), ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: claim.Namespace, Name: claim.Name},
	}
	if t.exists {
		p.conflict(w.String(), "add to the reservations of pool %s, then run this again: {ip: %s, mac: %s, claimRef: {namespace: %s, name: %s}}",
			t.pool.Name, r.IP, r.MAC, claim.Namespace, claim.Name)
		return false
	}
	for _, other := range t.pool.Spec.Reservations {
		if other.MAC == r.MAC {
			p.conflict(w.String(), "MAC %s is typed for claim %s/%s, too: change one of them", r.MAC, other.ClaimRef.Namespace, other.ClaimRef.Name)
			return false
		}
	}
	t.pool.Spec.Reservations = append(t.pool.Spec.Reservations, r)
	return true
}

func (p *plan) pool(name string) *v1alpha1.MacPool {
	for i := range p.inv.pools {
		if p.inv.pools[i].Name == name {
			return &p.inv.pools[i]
		}
	}
	return nil
}
