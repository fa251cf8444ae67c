// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// reachOf is what the nodes report of their way to the pool's VLAN.
func (r *MacPoolReconciler) reachOf(ctx context.Context, pool string) (map[string]v1alpha1.NodeParent, error) {
	var nodes v1alpha1.MacNodeList
	if err := r.Client.List(ctx, &nodes, parentsByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the nodes that reach pool %s: %w", pool, err)
	}
	reach := map[string]v1alpha1.NodeParent{} // node -> its parent
	for i := range nodes.Items {
		for _, p := range nodes.Items[i].Status.Parents {
			if p.PoolName == pool {
				reach[nodes.Items[i].Name] = p
			}
		}
	}
	return reach, nil
}

// inWords is what is wrong with a link.
var inWords = map[v1alpha1.ParentState]string{
	v1alpha1.ParentMissing: "is missing",
	v1alpha1.ParentDown:    "is down or has no carrier",
	v1alpha1.ParentSilent:  "is up, but a gateway does not answer on it",
}

// setReach counts the nodes that reach the VLAN, and names those that do not.
func setReach(pool *v1alpha1.MacPool, reach map[string]v1alpha1.NodeParent) {
	var wrong []string
	for node, p := range reach {
		if p.State != v1alpha1.ParentReady {
			wrong = append(wrong, fmt.Sprintf("on node %s link %s %s", node, p.Link, inWords[p.State]))
		}
	}
	pool.Status.ReadyNodes = nil
	if len(reach) > 0 {
		pool.Status.ReadyNodes = number(uint64(max(len(reach)-len(wrong), 0)))
	}
	if len(wrong) == 0 {
		apimeta.RemoveStatusCondition(&pool.Status.Conditions, v1alpha1.PoolNodesNotReady)
		return
	}
	slices.Sort(wrong)
	named := wrong[:min(len(wrong), maxNamed)]
	if more := len(wrong) - len(named); more > 0 {
		named = append(slices.Clone(named), fmt.Sprintf("and %d more", more))
	}
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolNodesNotReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonParents,
		Message:            problem.ParentNotReady.New(len(wrong), len(reach), pool.Name, strings.Join(named, "; ")).Error(),
		ObservedGeneration: pool.Generation,
	})
}
