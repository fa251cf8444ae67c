// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

const managerRuns = "See that the macpool-manager runs and is the leader: it mends this."

// claim judges a claim by its lease and its holders.
func (j *judge) claim(c *v1alpha1.MacClaim) {
	if c.Status.LeaseName != "" {
		j.itsLease(c)
	}
	j.generations(c)
	for _, h := range binding.Holders(c) {
		j.holder(c, h)
	}
}

// itsLease is I2 of a claim that something holds, else I4.
func (j *judge) itsLease(c *v1alpha1.MacClaim) {
	l := j.leases[c.Status.LeaseName]
	objects, why := []client.Object{c}, ""
	switch {
	case l == nil:
		why = "does not exist"
	case l.Spec.ClaimRef.UID != c.UID:
		why, objects = "is leased to "+claimText(l.Spec.ClaimRef), append(objects, l)
		if l.Spec.ClaimRef.Namespace == c.Namespace && l.Spec.ClaimRef.Name == c.Name {
			why = "is an earlier claim's of this name"
		}
	case isReleased(l):
		why, objects = "is released", append(objects, l)
	case string(l.Spec.MAC) != c.Status.MAC || !slices.EqualFunc(l.Spec.IPs, c.Status.IPs, func(a v1alpha1.IPAddress, b string) bool { return string(a) == b }):
		j.found.add("I4", settleWrite, []client.Object{c, l}, fmt.Sprintf("claim %s/%s says %s and %s, and its lease %s has %s and %s", c.Namespace, c.Name,
			c.Status.MAC, list(c.Status.IPs), l.Name, l.Spec.MAC, list(l.Spec.IPs)), "Delete the claim's pod: the claim is the one that its nodes believe.")
		return
	default:
		return
	}
	if j.isPaused(c.Spec.PoolRef.Name) {
		return
	}
	if h := c.Status.Holder; h != nil {
		j.found.add("I2", settleWrite, objects, fmt.Sprintf("pod %s/%s holds claim %s, whose lease %s %s", c.Namespace, h.PodName, c.Name, c.Status.LeaseName, why),
			managerRuns+" If another claim has the address, delete the pod: it gets another one.")
		return
	}
	j.found.add("I4", settleWrite, objects, fmt.Sprintf("claim %s/%s names lease %s, which %s", c.Namespace, c.Name, c.Status.LeaseName, why), managerRuns)
}

// generations is I2 of the order of holders: an older word that overtook a newer one. Of the two pods of a VM either may go first.
func (j *judge) generations(c *v1alpha1.MacClaim) {
	if pool := j.pools[c.Spec.PoolRef.Name]; pool == nil || pool.Status.Timeline != 0 {
		return // the API server went back, and generations with it
	}
	isVM := c.Spec.Workload != nil && c.Spec.Workload.Kind == v1alpha1.WorkloadVM
	newer := c.Status.Generation + 1 // of the next holder, that is
	if h := c.Status.Holder; h != nil {
		isVM, newer = isVM || h.InstanceUID != "", h.Generation
	}
	seen := map[int64]bool{newer: true}
	for _, past := range c.Status.PreviousHolders {
		switch g := past.Generation; {
		case g == 0: // written by an earlier release
		case seen[g], g > c.Status.Generation, g > newer && !isVM:
			j.found.add("I2", settleWrite, []client.Object{c}, fmt.Sprintf("claim %s/%s: pod %s held it as generation %d, and who came after as %d: an old word has overtaken a new one",
				c.Namespace, c.Name, past.PodName, g, newer),
				"Delete the claim's pod, so that it is attached anew, and report this: kubectl get macclaim "+c.Name+" -n "+c.Namespace+" -o yaml.")
			return
		default:
			seen[g], newer = true, g
		}
	}
}

// holder judges a pod that holds a claim. It is kept until somebody who can see its interface has seen it go: what is not over is no violation.
func (j *judge) holder(c *v1alpha1.MacClaim, h *v1alpha1.Holder) {
	pod := j.podOf(c.Namespace, h.PodName, h.PodUID)
	switch {
	case pod != nil && pod.Spec.NodeName != "" && pod.Spec.NodeName != h.NodeName:
		j.found.add("I3", settleWrite, []client.Object{c, pod}, fmt.Sprintf("pod %s/%s holds claim %s on node %s, and runs on node %s",
			c.Namespace, h.PodName, c.Name, h.NodeName, pod.Spec.NodeName), "Delete the pod, so that it is attached anew.")
	case pod != nil && isAlive(pod):
		j.heldTwice(c, h)
	default:
		j.heldByNobody(c, h)
	}
}

// heldTwice is I3 of one interface of a pod that holds two claims, of which it can have one.
func (j *judge) heldTwice(c *v1alpha1.MacClaim, h *v1alpha1.Holder) {
	for i := range j.Claims {
		other := &j.Claims[i]
		if other.Namespace != c.Namespace || other.Name <= c.Name {
			continue
		}
		if theirs := binding.HolderOf(other, h.PodUID); theirs != nil && theirs.Interface == h.Interface {
			j.found.add("I3", settleFence, []client.Object{c, other}, fmt.Sprintf("interface %s of pod %s/%s holds claims %s and %s",
				h.Interface, c.Namespace, h.PodName, c.Name, other.Name), "Delete the pod: its next one holds one of them.")
		}
	}
}

// heldByNobody is I5 of a holder whose pod is over, while its node's agent has nothing of it attached.
func (j *judge) heldByNobody(c *v1alpha1.MacClaim, h *v1alpha1.Holder) {
	all, asked := j.Agents[h.NodeName]
	if !asked || j.isPaused(c.Spec.PoolRef.Name) || binding.StateOfNode(j.nodes[h.NodeName], h) != binding.NodeReady {
		return // suspect, as gc says; or nobody can tell
	}
	for _, a := range all {
		if types.UID(a.Pod.UID) == h.PodUID && a.Claim.Namespace == c.Namespace && a.Claim.Name == c.Name {
			return
		}
	}
	j.found.add("I5", settleRepair, []client.Object{c}, fmt.Sprintf("claim %s/%s is held by pod %s, which is over, and node %s has nothing of it attached",
		c.Namespace, c.Name, h.PodName, h.NodeName), "Look at the log of the agent of node "+h.NodeName+": it should have cleared the holder.")
}
