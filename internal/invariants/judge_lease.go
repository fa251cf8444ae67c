// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/retention"
)

const (
	// skew is how much the clocks of two machines may differ, of which one wrote when a lease was released and the other when it was taken.
	skew = 30 * time.Second
	// overdue is how much longer than a cooldown an address may cool: a manager that restarts begins it anew.
	overdue = 10 * time.Minute
)

// lease judges a lease by itself, its claim and its pool.
func (j *judge) lease(l *v1alpha1.MacLease) {
	if binding.IsLock(l) {
		j.lock(l)
		return
	}
	j.quarantine(l)
	if isReleased(l) {
		j.cooling(l)
		return
	}
	j.contained(l)
	j.allowed(l)
	j.orphan(l)
	if c := l.Spec.Conflict; c != nil {
		j.conflict(l, c)
	}
}

// orphan is I5 of a lease that its claim does not have.
func (j *judge) orphan(l *v1alpha1.MacLease) {
	claim := j.claims[keyOf(l.Spec.ClaimRef)]
	why, objects := "", []client.Object{l}
	switch {
	case claim == nil:
		why = "does not exist"
	case claim.UID != l.Spec.ClaimRef.UID:
		why, objects = "is another one of that name", append(objects, claim)
	case claim.Status.LeaseName == "":
		why, objects = "never got it", append(objects, claim)
	case claim.Status.LeaseName != l.Name:
		why, objects = "has "+claim.Status.LeaseName, append(objects, claim)
	default:
		return
	}
	if j.isPaused(l.Spec.PoolName) || retention.IsRestored(l) || l.Spec.Conflict != nil {
		return
	}
	if (claim == nil || claim.UID != l.Spec.ClaimRef.UID) && j.mayBeUsed(l) {
		return
	}
	j.found.add("I5", settleRepair, objects, fmt.Sprintf("lease %s is kept for nobody: its %s %s", l.Name, claimText(l.Spec.ClaimRef), why),
		"See that the macpool-manager runs and is the leader: it releases such a lease within two minutes.")
}

// mayBeUsed tells whether something may have an interface with the address of a lease whose claim is gone, for which the manager keeps it.
func (j *judge) mayBeUsed(l *v1alpha1.MacLease) bool {
	if len(j.byLease[l.Name]) > 0 {
		return true
	}
	ref := l.Spec.ClaimRef
	iface := ref.Name[strings.LastIndex(ref.Name, ".")+1:]
	for i := range j.Pods {
		pod := &j.Pods[i]
		if pod.Namespace != ref.Namespace || !isAlive(pod) {
			continue
		}
		named, _ := binding.NamedClaims(pod)
		for _, name := range named {
			if name == ref.Name {
				return true
			}
		}
		if pod.Name == l.Spec.PodName || strings.HasPrefix(ref.Name, pod.Name+"."+l.Spec.PoolName+".") ||
			binding.MayBeOf(ref.Name, binding.WorkloadOf(pod, iface), l.Spec.PoolName) {
			return true
		}
	}
	if l.Spec.NodeName == "" {
		return false
	}
	return binding.StateOfNode(j.nodes[l.Spec.NodeName], &v1alpha1.Holder{}) == binding.NodeSilent
}

// cooling is I5 of an address that should be anybody's by now.
func (j *judge) cooling(l *v1alpha1.MacLease) {
	cooldown := retention.Cooldown(l, j.pools[l.Spec.PoolName])
	if l.Spec.ReusableAt != nil || l.Spec.Conflict != nil || j.isPaused(l.Spec.PoolName) || j.Now.Sub(l.Spec.ReleasedAt.Time) < 2*cooldown+overdue {
		return
	}
	j.found.add("I5", settleWrite, []client.Object{l}, fmt.Sprintf("lease %s cools down since %s, and its cooldown is %s",
		l.Name, l.Spec.ReleasedAt.UTC().Format(time.RFC3339), cooldown), "See that the macpool-manager runs and is the leader: it ends cooldowns.")
}

// quarantine is I6, by the times that the lease remembers.
func (j *judge) quarantine(l *v1alpha1.MacLease) {
	pool := j.pools[l.Spec.PoolName]
	next, since := l.Spec.ClaimRef.Namespace+"/"+l.Spec.ClaimRef.Name, l.Spec.LeasedAt
	past := l.Spec.History
	if isReleased(l) && len(past) > 0 && past[0].To.Equal(l.Spec.ReleasedAt) {
		past = past[1:] // its own
	}
	for i := range past {
		before := &past[i]
		had := before.Namespace + "/" + before.Claim
		cooled := since.Sub(before.To.Time)
		need := retention.CooldownAfter(before.Reason, pool)
		if had != next && cooled < need-skew {
			text := fmt.Sprintf("lease %s was given to claim %s %s after claim %s gave it back (%s), and must cool down for %s",
				l.Name, next, max(0, cooled).Round(time.Second), had, before.Reason, need)
			if j.wasEditedSince(pool, before.To.Time) {
				j.remark("%s now; the pool was edited since, so it cannot be told what it was then", text)
			} else {
				j.found.add("I6", settleWrite, []client.Object{l}, text,
					"Clear the old holder's address from the neighbours' caches if traffic goes astray, and report this: kubectl get maclease "+l.Name+" -o yaml.")
			}
		}
		next, since = had, before.From
	}
}

// contained is I7.
func (j *judge) contained(l *v1alpha1.MacLease) {
	pool, plan := j.pools[l.Spec.PoolName], j.plans[l.Spec.PoolName]
	m, err := mac.Parse(string(l.Spec.MAC))
	if err != nil || m.IsZero() || m.IsMulticast() {
		j.found.add("I7", settleWrite, []client.Object{l}, fmt.Sprintf("lease %s has MAC %s, which no interface can carry", l.Name, l.Spec.MAC), replace(l))
		return
	}
	name, err := binding.NameOf(l)
	if err != nil {
		j.found.add("I7", settleWrite, []client.Object{l}, fmt.Sprintf("lease %s is not named after an address", l.Name),
			"Delete it, if nothing needs it: macpool did not make it.")
		return
	}
	if plan == nil {
		j.remark("lease %s: pool %s does not exist, or is not valid", l.Name, l.Spec.PoolName)
		return
	}
	slot, ok := plan.SlotOfName(name)
	if !ok {
		j.found.add("I7", settleWrite, []client.Object{l}, fmt.Sprintf("lease %s lies in no subnet of its pool %s", l.Name, pool.Name), replace(l))
		return
	}
	want := plan.Address(slot)
	if ips := parse(l.Spec.IPs); !slices.Equal(ips, want.IPs) {
		j.found.add("I7", settleWrite, []client.Object{l}, fmt.Sprintf("lease %s has addresses %s, and those of its slot are %s", l.Name, list(ips), list(want.IPs)), replace(l))
		return
	}
	if m != want.MAC {
		j.foreign(l, m, want)
	}
	j.class(l, plan.Classify(slot))
}

// foreign judges a MAC that is not made of the address. A reservation that was edited since may have given it, and then it is locked.
func (j *judge) foreign(l *v1alpha1.MacLease, m mac.Addr, want allocator.Address) {
	lock := j.leases[mac.LockName(want.Name.Segment, m)]
	switch {
	case lock == nil && m != want.MAC:
		j.found.add("I7", settleRepair, []client.Object{l}, fmt.Sprintf("lease %s has MAC %s, its pool makes %s of the address, and no lease locks the other", l.Name, m, want.MAC), replace(l))
	case lock.Spec.ClaimRef.UID != l.Spec.ClaimRef.UID || !binding.IsLock(lock):
		j.found.add("I1", settleRepair, []client.Object{l, lock}, fmt.Sprintf("lease %s has MAC %s, which lease %s has for %s", l.Name, m, lock.Name, claimText(lock.Spec.ClaimRef)), replace(l))
	}
}

// class judges an address by what may be leased now. Network and broadcast addresses never may.
func (j *judge) class(l *v1alpha1.MacLease, v allocator.Verdict) {
	why := ""
	switch v.Class {
	case allocator.Dynamic, allocator.Explicit:
		return
	case allocator.Reserved:
		if v.Claim == (allocator.Identity{Namespace: l.Spec.ClaimRef.Namespace, Name: l.Spec.ClaimRef.Name}) {
			return
		}
		why = "reserved for another claim, or for nobody"
	case allocator.Excluded:
		why = v.Why
	case allocator.Outside:
		why = "outside of what the pool leases"
	}
	text := fmt.Sprintf("lease %s of %s is %s (pool %s)", l.Name, claimText(l.Spec.ClaimRef), why, l.Spec.PoolName)
	if j.knowsWhatWas(l) {
		j.found.add("I7", settleWrite, []client.Object{l}, text, replace(l))
	} else {
		j.remark("%s now; the pool was edited since the claim was made, and keeps what was leased before", text)
	}
}

// knowsWhatWas tells whether the pool is as it was when the lease was made: not edited since its claim was. A pool whose API server went back
// in time has leases that were made of what nodes had.
func (j *judge) knowsWhatWas(l *v1alpha1.MacLease) bool {
	claim, pool := j.claims[keyOf(l.Spec.ClaimRef)], j.pools[l.Spec.PoolName]
	return claim != nil && pool != nil && pool.Status.Timeline == 0 && !retention.IsRestored(l) && !j.wasEditedSince(pool, claim.CreationTimestamp.Time)
}

// wasEditedSince tells whether somebody wrote the pool's spec, or its labels and annotations, after that time, by the API server's clock.
func (j *judge) wasEditedSince(pool *v1alpha1.MacPool, then time.Time) bool {
	return pool == nil || lastEdit(pool).After(then)
}

// lastEdit is when the object was written last, other than its status; its creation if nobody has.
func lastEdit(o client.Object) time.Time {
	last := o.GetCreationTimestamp().Time
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	return last
}

// lock is the lock of a reservation's MAC (docs/claims.md).
func (j *judge) lock(l *v1alpha1.MacLease) {
	if binding.Locks(l, j.leases[binding.LockedLease(l)]) || j.isPaused(l.Spec.PoolName) {
		return
	}
	j.found.add("I5", settleRepair, []client.Object{l}, fmt.Sprintf("lease %s locks MAC %s for a lease that does not have it", l.Name, l.Spec.MAC),
		"See that the macpool-manager runs and is the leader: it deletes such a lock within two minutes.")
}

// conflict is I1 of a stranger on the VLAN: of one that uses an address which a pod has. What no pod has is set aside, as it should be.
func (j *judge) conflict(l *v1alpha1.MacLease, c *v1alpha1.Conflict) {
	claim := j.claims[keyOf(l.Spec.ClaimRef)]
	if claim == nil || claim.UID != l.Spec.ClaimRef.UID || claim.Status.Holder == nil || claim.Status.LeaseName != l.Name {
		j.remark("lease %s is set aside: node %s heard %s use its address; whether that still does is asked when the hold is over", l.Name, c.NodeName, c.MAC)
		return
	}
	j.found.add("I1", settleWrite, []client.Object{l, claim}, fmt.Sprintf("%s on the VLAN uses the address of lease %s, which pod %s/%s has, as node %s heard",
		c.MAC, l.Name, claim.Namespace, claim.Status.Holder.PodName, c.NodeName), findStranger)
}

const findStranger = "Find that device (its MAC in the switch's table) and give it another address, or exclude the address from the pool."

func replace(l *v1alpha1.MacLease) string {
	return fmt.Sprintf("Stop the pod, then delete claim %s in namespace %s: it gets another address when it is made again.", l.Spec.ClaimRef.Name, l.Spec.ClaimRef.Namespace)
}

func parse(ips []v1alpha1.IPAddress) []netip.Addr {
	out := make([]netip.Addr, 0, len(ips))
	for _, text := range ips {
		ip, _ := netip.ParseAddr(string(text)) // the API server has checked it
		out = append(out, ip)
	}
	return out
}

// list is a list as a person writes it.
func list[T any](all []T) string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, fmt.Sprint(one))
	}
	switch len(texts) {
	case 0:
		return "none"
	case 1:
		return texts[0]
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " and " + texts[len(texts)-1]
}
