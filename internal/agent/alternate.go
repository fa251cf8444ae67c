// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

// alternateNode is the field by which MacClaims can be selected whose alternate is on a node. They are not in the caches, which
// take one selector: there are none but while a VM migrates, and what is asked about them is asked live.
const alternateNode = "status.alternate.nodeName"

// isAlternate tells whether the pod is the second one of a VM that migrates. It gets the address that the first one has: nobody is to be
// asked who uses it, and nobody told that it is here now.
func (t *addition) isAlternate(claim *v1alpha1.MacClaim) bool {
	return binding.IsAlternate(claim, types.UID(t.req.Pod.UID))
}

// generationOf is that of the pod's hold, which there is.
func (t *addition) generationOf(claim *v1alpha1.MacClaim) int64 {
	return binding.HolderOf(claim, types.UID(t.req.Pod.UID)).Generation
}

// alternateLooks is how many looks of the reaper rest on one list of alternates: a thousand nodes that list them all the time would be a
// burden to the API server, for claims that are hardly ever there.
const alternateLooks = 12

// alternates are the suspects among the alternates of this node: pods that have gone before they were attached.
func (r *reaper) alternates(ctx context.Context) []suspect {
	if r.looks%alternateLooks == 0 {
		ctx, cancel := context.WithTimeout(ctx, clearTimeout)
		defer cancel()
		var claims v1alpha1.MacClaimList
		if err := r.cluster.List(ctx, &claims, client.MatchingFields{alternateNode: r.nodeName}); err != nil {
			// Also by an API server whose definition of claims is of an earlier release. The others are looked at all the same.
			r.log.V(1).Info("The claims whose alternate is on this node were not listed", "error", err.Error())
		}
		r.listed = claims.Items
	}
	r.looks++
	var all []suspect
	for i := range r.listed {
		all = r.suspect(ctx, &r.listed[i], r.listed[i].Status.Alternate, all)
	}
	return all
}

// suspect adds the holder of a claim, if it is one of this node's that no container of the journal belongs to and whose pod does not run.
func (r *reaper) suspect(ctx context.Context, c *v1alpha1.MacClaim, holder *v1alpha1.Holder, all []suspect) []suspect {
	if holder == nil || !r.isHere(holder) {
		return all // another machine had this name, and only the wire knows of it (R-G10)
	}
	claim := agentapi.ClaimRef{Namespace: c.Namespace, Name: c.Name}
	pod := agentapi.Pod{Namespace: c.Namespace, Name: holder.PodName, UID: string(holder.PodUID)}
	// A cache that does not show yet that the holder was cleared costs a look, and a clear that finds nothing to do.
	if r.known(claim, pod.UID) || r.podRuns(ctx, pod) {
		return all
	}
	return append(all, suspect{claim: claim, pod: pod, generation: holder.Generation})
}
