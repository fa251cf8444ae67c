// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// allowed is I8 of a namespace that the pool does not select.
func (j *judge) allowed(l *v1alpha1.MacLease) {
	pool, ns := j.pools[l.Spec.PoolName], j.namespaces[l.Spec.ClaimRef.Namespace]
	if pool == nil || ns == nil || pool.Spec.NamespaceSelector == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(pool.Spec.NamespaceSelector)
	if err != nil || selector.Matches(labels.Set(ns.Labels)) {
		return
	}
	text := fmt.Sprintf("namespace %s has lease %s, and pool %s does not select it", ns.Name, l.Name, pool.Name)
	claim := j.claims[keyOf(l.Spec.ClaimRef)]
	if j.knowsWhatWas(l) && !lastEdit(ns).After(claim.CreationTimestamp.Time) {
		j.found.add("I8", settleWrite, []client.Object{l}, text, replace(l))
	} else {
		j.remark("%s now; pool or namespace were edited since the claim was made, and what was leased before is kept", text)
	}
}

// quotas is I8 of the pools' maxPerNamespace, which counts what cools down, too.
func (j *judge) quotas() {
	type share struct{ pool, namespace string }
	count, last := map[share]int{}, map[share]*v1alpha1.MacLease{}
	for i := range j.Leases {
		l := &j.Leases[i]
		if binding.IsLock(l) || l.Spec.ReusableAt != nil {
			continue
		}
		s := share{l.Spec.PoolName, l.Spec.ClaimRef.Namespace}
		count[s]++
		if last[s] == nil || last[s].Spec.LeasedAt.Before(&l.Spec.LeasedAt) {
			last[s] = l
		}
	}
	for s, n := range count {
		pool := j.pools[s.pool]
		if pool == nil || pool.Spec.MaxPerNamespace == nil || n <= int(*pool.Spec.MaxPerNamespace) {
			continue
		}
		text := fmt.Sprintf("namespace %s has %d addresses of pool %s, which gives it %d", s.namespace, n, s.pool, *pool.Spec.MaxPerNamespace)
		if j.knowsWhatWas(last[s]) {
			j.found.add("I8", settleWrite, []client.Object{last[s], pool}, text, "Delete claims of the namespace that it does not need.")
		} else {
			j.remark("%s now; the pool was edited since the latest of them was leased, and what was leased before is kept", text)
		}
	}
}
