// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"slices"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// heal ends all that is wrong, but for machines that are gone for good.
func (w *world) heal() {
	w.logf("heal")
	w.rules, w.shuffled = nil, false
	w.net.letGo()
	if len(w.managers) == 0 {
		w.startManager(0)
	}
	for _, m := range w.managers {
		m.cut = false
	}
	w.makeNamespaces()
	for _, name := range poolNames {
		w.makePool(name, 8, 6)
	}
	for _, n := range w.nodes {
		n.setCuts(false, false)
		if !n.on {
			n.boot()
		}
		if !n.running() {
			n.startAgent()
		}
		if n.inAPI() == nil {
			n.register()
		}
		if isTainted(n) {
			n.untaint()
		}
	}
	for _, v := range w.views() {
		v.catchUp(true)
	}
}

// patience bounds how long, in rounds of a quarter of a minute, everything may take when all is well again: the longest is a hold whose
// node was deleted, for which the VLAN may have to be asked twice, and what has been retried often, which comes again after a
// quarter of an hour.
const patience = 120

// quiesce heals the world, and wants all pods that run to get their addresses, and, when all workloads are gone, every address
// to be free again (I5).
func (w *world) quiesce() {
	w.heal()
	w.until("attached", func() string { return w.notRunning() })
	w.tearDown()
	w.checkFree()
}

// until is rounds of what Kubernetes does, until nothing is missing.
func (w *world) until(what string, missing func() string) {
	w.t.Helper()
	for round := range patience {
		if round >= 4 && missing() == "" {
			return
		}
		w.emptyNamespaces()
		w.makeNamespaces() // without a network that names its link no node can ask the VLAN
		w.collectPods()
		for _, n := range w.nodes {
			n.kubelet()
		}
		w.forceSuspects()
		w.pass(15 * time.Second)
	}
	w.violate("liveness", "%s although all has been well for half an hour", missing())
	w.raise()
}

// notRunning is what keeps a pod of a ready node from being attached, unless there is no address for it.
func (w *world) notRunning() string {
	for _, p := range w.podsThat(func(p *corev1.Pod) bool { return isLive(p) && isScheduled(p) }) {
		n := w.nodeOf(p)
		s := n.sandboxOf(p)
		if s != nil && w.truth.has(s) {
			continue
		}
		claim := w.claim(p.Namespace + "/" + claimName(p))
		if !w.mayWait(p, claim) {
			return fmt.Sprintf("pod %s/%s (%s) on %s is not attached; its claim is %s", p.Namespace, p.Name, p.UID, n.name, claimText(claim))
		}
	}
	return ""
}

// mayWait tells whether there is a reason for which a pod waits rightly.
func (w *world) mayWait(p *corev1.Pod, claim *v1alpha1.MacClaim) bool {
	if claim == nil {
		return false
	}
	if claim.Status.LeaseName != "" {
		h := claim.Status.Holder
		// Two pods want one identity: the first has it.
		return h != nil && h.PodUID != p.UID && w.podOf(h) != nil
	}
	ready := conditionOf(claim, v1alpha1.ClaimReady)
	return ready != nil && slices.Contains([]string{"PoolExhausted", "AddressTaken", "AddressCooling", "AddressOutside", "AddressExcluded"}, ready.Reason)
}

// forceSuspects is the administrator, who releases by hand what cannot be told by the nodes that there are: of a node that was
// deleted, two others must have asked the VLAN, and they know the link to ask on by the networks that name the pool. Those are gone
// when all namespaces that had some are being deleted, which wait for the very claim.
func (w *world) forceSuspects() {
	for _, claim := range w.heldClaims() {
		if len(w.nodes) > 2 && w.isNamed(claim.Spec.PoolRef.Name) {
			continue
		}
		suspect := conditionOf(claim, v1alpha1.ClaimSuspect)
		if suspect == nil || suspect.Reason != v1alpha1.ClaimReasonNodeDeleted || len(w.truth.linksOf(claim)) > 0 {
			continue
		}
		forced := claim.DeepCopy()
		forced.Annotations = map[string]string{v1alpha1.AnnotationForceRelease: "nothing is there"}
		w.must(w.admin.Update(background, forced))
	}
}

// isNamed tells whether a network names the pool.
func (w *world) isNamed(pool string) bool {
	return slices.ContainsFunc(all[*nadv1.NetworkAttachmentDefinition](w, "NetworkAttachmentDefinition"), func(nad *nadv1.NetworkAttachmentDefinition) bool {
		return nad.Name == pool
	})
}

// linksOf are the links of the claim's holder.
func (t *truth) linksOf(claim *v1alpha1.MacClaim) []*link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of(claim.Status.Holder.PodUID, claim.Status.LeaseName)
}

// tearDown ends all workloads, in the orderly way.
func (w *world) tearDown() {
	w.logf("tear down")
	for _, kind := range []string{"Pod", "StatefulSet"} {
		for _, o := range w.server.Objects(kind) {
			w.must(client.IgnoreNotFound(w.admin.Delete(background, o)))
		}
	}
	w.until("ended", func() string {
		for _, claim := range w.heldClaims() {
			return fmt.Sprintf("claim %s is held", claimText(claim))
		}
		for _, p := range w.pods() {
			return fmt.Sprintf("pod %s/%s is there", p.Namespace, p.Name)
		}
		// A lease that names a node is kept as long as that is silent, if its claim was deleted behind the manager's back. Here the
		// nodes can still answer.
		for _, l := range all[*v1alpha1.MacLease](w, "MacLease") {
			if isLeased(l) && l.Spec.NodeName != "" {
				return fmt.Sprintf("lease %s names a node", leaseText(l))
			}
		}
		return ""
	})
	for _, claim := range w.claims() {
		if claim.Spec.Workload == nil {
			w.must(client.IgnoreNotFound(w.admin.Delete(background, claim)))
		}
	}
	// The nodes have no more to say. A long cooldown is ten times a cooldown, at least ten minutes; and a history ends by the wall
	// clock of a manager, which may be behind that of the one that has written when it began.
	for _, n := range w.nodes {
		n.on = false
		n.killAgent()
	}
	w.pass(w.settings.retain + w.settings.history + 30*time.Minute + 2*wrongClock)
}

// checkFree wants the arithmetic: nothing is left of nobody.
func (w *world) checkFree() {
	w.t.Helper()
	for _, claim := range w.claims() {
		w.violate("I5", "nobody needs claim %s any more, and it is there", claimText(claim))
	}
	for _, l := range all[*v1alpha1.MacLease](w, "MacLease") {
		w.violate("I5", "nobody uses %s any more, and it is there", leaseText(l))
	}
	for _, p := range w.poolsInAPI() {
		if a := p.Status.Available; a == nil || p.Status.Capacity == nil || *a != *p.Status.Capacity {
			w.violate("I5", "pool %s has %v of %v addresses free", p.Name, a, p.Status.Capacity)
		}
	}
	w.raise()
}
