// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// maxNamed is how many strangers a condition names.
const maxNamed = 8

// use is an address that a stranger uses.
type use struct {
	ip, mac, node string
	attached      bool // to a pod, at the same time
}

// usesOf are the addresses of a pool that strangers use: those that were set aside before a pod had them, and those that a pod has as
// well, of which only the node reports: its lease is not touched.
func (r *MacPoolReconciler) usesOf(ctx context.Context, pool string) ([]use, error) {
	var all []use
	var leases v1alpha1.MacLeaseList
	if err := r.Client.List(ctx, &leases, conflictedByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the leases of pool %s that are in conflict: %w", pool, err)
	}
	for i := range leases.Items {
		spec := &leases.Items[i].Spec
		ip := string(spec.MAC)
		if len(spec.IPs) > 0 {
			ip = string(spec.IPs[0])
		}
		all = append(all, use{ip: ip, mac: spec.Conflict.MAC, node: spec.Conflict.NodeName})
	}
	var nodes v1alpha1.MacNodeList
	if err := r.Client.List(ctx, &nodes, strangersByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the nodes that have heard strangers in pool %s: %w", pool, err)
	}
	for i := range nodes.Items {
		for _, s := range nodes.Items[i].Status.Strangers {
			if s.PoolName == pool {
				all = append(all, use{ip: string(s.IP), mac: s.MAC, node: nodes.Items[i].Name, attached: true})
			}
		}
	}
	slices.SortFunc(all, func(a, b use) int {
		return cmp.Or(cmp.Compare(a.ip, b.ip), cmp.Compare(a.mac, b.mac), cmp.Compare(a.node, b.node))
	})
	return all, nil
}

// setConflicts says which addresses strangers use.
func setConflicts(pool *v1alpha1.MacPool, uses []use) {
	if len(uses) == 0 {
		apimeta.RemoveStatusCondition(&pool.Status.Conditions, v1alpha1.PoolAddressesInConflict)
		return
	}
	var named []string
	for _, u := range uses[:min(len(uses), maxNamed)] {
		text := fmt.Sprintf("%s is used by %s (heard by node %s)", u.ip, u.mac, u.node)
		if u.attached {
			text += ", and by a pod"
		}
		named = append(named, text)
	}
	if more := len(uses) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolAddressesInConflict, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonStrangers,
		Message: "Address " + strings.Join(named, "; ") +
			". Find these devices and give them other addresses, or exclude theirs from the pool",
		ObservedGeneration: pool.Generation,
	})
}
