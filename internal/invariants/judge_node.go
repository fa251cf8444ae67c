// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
)

// attachment judges an interface by the API, and by the kernel.
func (j *judge) attachment(a *attachment) {
	if a.Lease == "" {
		return
	}
	j.rights(a)
	j.kernel(a)
}

// rights is I2 and I4: the lease of what is attached is its claim's, and its pod the holder.
func (j *judge) rights(a *attachment) {
	l, claim := j.leases[a.Lease], j.claims[keyOf(v1alpha1.ClaimRef{Namespace: a.Claim.Namespace, Name: a.Claim.Name})]
	if l != nil && j.isPaused(l.Spec.PoolName) {
		return
	}
	objects := j.objectsOf(a)
	if l != nil {
		objects = append(objects, l)
	}
	bad := func(invariant, format string, args ...any) {
		j.found.add(invariant, settleFence, objects, fmt.Sprintf("%s has %s, %s", a, a.Lease, fmt.Sprintf(format, args...)),
			"Delete the pod, so that it is attached anew; the log of the agent of node "+a.node+" says what became of its address.")
	}
	switch {
	case l == nil:
		bad("I2", "and there is no such lease")
	case isReleased(l):
		bad("I2", "which is released")
	case l.Spec.ClaimRef.Namespace != a.Claim.Namespace || l.Spec.ClaimRef.Name != a.Claim.Name:
		bad("I2", "which is leased to %s", claimText(l.Spec.ClaimRef))
	case claim == nil: // the lease is kept for it
	case claim.Status.LeaseName != a.Lease:
		bad("I4", "and its claim %s has %q now", claim.Name, claim.Status.LeaseName)
	case binding.HolderOf(claim, types.UID(a.Pod.UID)) == nil:
		bad("I2", "and does not hold claim %s: %s", claim.Name, holderText(claim))
	}
}

func holderText(c *v1alpha1.MacClaim) string {
	if c.Status.Holder == nil {
		return "nobody does"
	}
	return "pod " + c.Status.Holder.PodName + " on node " + c.Status.Holder.NodeName + " does"
}

// kernel is I3, and I1 of addresses that somebody added: the interface has what was answered, and nothing that is another's.
func (j *judge) kernel(a *attachment) {
	switch {
	case a.Instance != "":
		j.remark("%s: a virtual machine has its address, whose guest is not looked at", a)
		return
	case a.Unseen != "":
		j.remark("%s: its kernel could not be asked: %s", a, a.Unseen)
		return
	case j.isBeingReplaced(a):
		return
	case a.Kernel == nil:
		j.remark("%s: there is no such interface, or its network namespace is gone; it sends nothing by it", a)
		return
	}
	bad := func(invariant, fix, format string, args ...any) {
		j.found.add(invariant, settleWrite, j.objectsOf(a), fmt.Sprintf("%s %s", a, fmt.Sprintf(format, args...)), fix)
	}
	const again = "Delete the pod, so that it is attached anew, and see what in it changes its interface: it takes CAP_NET_ADMIN."
	if a.Kernel.MAC != a.MAC {
		bad("I3", again, "has MAC %s, and was given %s", a.Kernel.MAC, a.MAC)
	}
	for _, ip := range a.IPs {
		if !slices.Contains(a.Kernel.IPs, ip) {
			bad("I3", again, "does not have its address %s, but %s", ip, list(a.Kernel.IPs))
		}
	}
	for _, ip := range a.Kernel.IPs {
		if slices.Contains(a.IPs, ip) {
			continue
		}
		if l := j.leaseOf[one{segmentOf(a.Lease), ip.String()}]; l != nil && !isReleased(l) {
			bad("I1", again, "has address %s too, which is leased to %s", ip, claimText(l.Spec.ClaimRef))
		} else if pool := j.poolOf(segmentOf(a.Lease), ip); pool != nil {
			bad("I1", again+" Or exclude the address from the pool.", "has address %s too, which pool %s leases: the next claim may get it", ip, pool.Name)
		}
	}
}

// isBeingReplaced tells whether the pod has another container attached, of which the runtime ends one.
func (j *judge) isBeingReplaced(a *attachment) bool {
	return slices.ContainsFunc(j.byLease[a.Lease], func(i int) bool {
		other := &j.attached[i]
		return other != a && other.Pod.UID == a.Pod.UID && other.Interface == a.Interface
	})
}

// poolOf is a pool that leases the address to somebody, nil if none does.
func (j *judge) poolOf(segment string, ip netip.Addr) *v1alpha1.MacPool {
	for i := range j.Pools {
		plan := j.plans[j.Pools[i].Name]
		if plan == nil || plan.Segment() != segment {
			continue
		}
		slot, ok := plan.SlotOf(ip)
		if !ok {
			continue
		}
		switch v := plan.Classify(slot); v.Class {
		case allocator.Dynamic, allocator.Explicit:
			return &j.Pools[i]
		case allocator.Reserved:
			if v.Claim != (allocator.Identity{}) {
				return &j.Pools[i]
			}
		case allocator.Outside, allocator.Excluded:
		}
	}
	return nil
}

// podNamed is the pod of an attachment, nil if it is gone.
func (j *judge) podNamed(a *attachment) *corev1.Pod {
	return j.podOf(a.Pod.Namespace, a.Pod.Name, types.UID(a.Pod.UID))
}

// report is I3 of what a node's agent reports, and I1 of the strangers that it has heard.
func (j *judge) report(n *v1alpha1.MacNode) {
	all, asked := j.Agents[n.Name]
	if asked && n.Status.Attached != nil && int(*n.Status.Attached) != len(all) {
		j.found.add("I3", settleFence, []client.Object{n}, fmt.Sprintf("node %s reports %d attached interfaces, and its agent's journal has %d",
			n.Name, *n.Status.Attached, len(all)), "Look at the log of the agent of node "+n.Name+": it has not been able to report.")
	}
	for _, s := range n.Status.Strangers {
		objects := []client.Object{n}
		if l := j.leases[s.LeaseName]; l != nil {
			objects = append(objects, l)
		}
		j.found.add("I1", settleWrite, objects, fmt.Sprintf("%s on the VLAN uses %s, which is attached on node %s as lease %s", s.MAC, s.IP, n.Name, s.LeaseName), findStranger)
	}
}
