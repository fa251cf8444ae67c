// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
)

// judge is a reading with what is looked up in it.
type judge struct {
	*World

	found Findings

	leases     map[string]*v1alpha1.MacLease
	claims     map[types.NamespacedName]*v1alpha1.MacClaim
	pools      map[string]*v1alpha1.MacPool
	plans      map[string]*allocator.Plan
	pods       map[types.NamespacedName]*corev1.Pod
	nodes      map[string]*corev1.Node
	namespaces map[string]*corev1.Namespace
	attached   []attachment
	byLease    map[string][]int           // lease -> indices of attached
	leaseOf    map[one]*v1alpha1.MacLease // address -> its lease
}

// attachment is an interface, and the node whose agent has attached it.
type attachment struct {
	agentapi.Attached

	node string
}

func (a *attachment) String() string {
	return fmt.Sprintf("interface %s of pod %s/%s on node %s", a.Interface, a.Pod.Namespace, a.Pod.Name, a.node)
}

// Judge compares all that was read.
func Judge(w *World) Findings {
	j := newJudge(w)
	j.uniqueLeases()
	j.uniqueClaims()
	for i := range w.Leases {
		j.lease(&w.Leases[i])
	}
	for i := range w.Claims {
		j.claim(&w.Claims[i])
	}
	j.quotas()
	j.uniqueAttachments()
	for i := range j.attached {
		j.attachment(&j.attached[i])
	}
	for i := range w.Reports {
		j.report(&w.Reports[i])
	}
	slices.SortStableFunc(j.found.Violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Invariant, b.Invariant), cmp.Compare(a.Sentence, b.Sentence))
	})
	slices.Sort(j.found.Remarks)
	j.found.Remarks = slices.Compact(j.found.Remarks)
	return j.found
}

func newJudge(w *World) *judge {
	j := &judge{
		World: w, leases: map[string]*v1alpha1.MacLease{}, claims: map[types.NamespacedName]*v1alpha1.MacClaim{},
		pools: map[string]*v1alpha1.MacPool{}, plans: map[string]*allocator.Plan{}, pods: map[types.NamespacedName]*corev1.Pod{},
		nodes: map[string]*corev1.Node{}, namespaces: map[string]*corev1.Namespace{}, byLease: map[string][]int{},
		leaseOf: map[one]*v1alpha1.MacLease{},
	}
	for i := range w.Leases {
		l := &w.Leases[i]
		j.leases[l.Name] = l
		if binding.IsLock(l) {
			continue
		}
		for _, ip := range l.Spec.IPs {
			if at := (one{segmentOf(l.Name), string(ip)}); j.leaseOf[at] == nil || !isReleased(l) {
				j.leaseOf[at] = l
			}
		}
	}
	for i := range w.Claims {
		c := &w.Claims[i]
		j.claims[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = c
	}
	for i := range w.Pools {
		p := &w.Pools[i]
		j.pools[p.Name] = p
		if plan, err := binding.PlanOf(p); err == nil { // the pool's own condition says what is wrong with it
			j.plans[p.Name] = plan
		}
	}
	for i := range w.Pods {
		j.pods[types.NamespacedName{Namespace: w.Pods[i].Namespace, Name: w.Pods[i].Name}] = &w.Pods[i]
	}
	for i := range w.Nodes {
		j.nodes[w.Nodes[i].Name] = &w.Nodes[i]
	}
	for i := range w.Namespaces {
		j.namespaces[w.Namespaces[i].Name] = &w.Namespaces[i]
	}
	for node, all := range w.Agents {
		for _, a := range all {
			j.attached = append(j.attached, attachment{Attached: a, node: node})
		}
	}
	slices.SortFunc(j.attached, func(a, b attachment) int {
		return cmp.Or(cmp.Compare(a.node, b.node), a.Compare(b.Attachment))
	})
	for i := range j.attached {
		j.byLease[j.attached[i].Lease] = append(j.byLease[j.attached[i].Lease], i)
	}
	return j
}

func (j *judge) remark(format string, args ...any) {
	j.found.Remarks = append(j.found.Remarks, fmt.Sprintf(format, args...))
}

// isPaused tells whether the manager leaves the pool's addresses alone for now, and says so itself.
func (j *judge) isPaused(pool string) bool {
	p := j.pools[pool]
	return p != nil && (apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PoolAllocationPaused) ||
		apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PoolReleasesPaused))
}

// podOf is the pod with this UID, nil if it is gone.
func (j *judge) podOf(namespace, name string, uid types.UID) *corev1.Pod {
	pod := j.pods[types.NamespacedName{Namespace: namespace, Name: name}]
	if pod == nil || binding.PodUID(pod) != uid {
		return nil
	}
	return pod
}

func isAlive(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// segmentOf is the segment of a lease, by its name.
func segmentOf(lease string) string {
	segment, _, _ := strings.Cut(lease, ".")
	return segment
}

func isReleased(l *v1alpha1.MacLease) bool { return l.Spec.ReleasedAt != nil }

func claimText(ref v1alpha1.ClaimRef) string { return "claim " + ref.Namespace + "/" + ref.Name }
