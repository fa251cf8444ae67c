// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// maxAttachments is what the API server takes of a MacNode's list.
const maxAttachments = 2048

var errTooMany = errors.New("a report cannot hold more")

// ahead tells by what the journal is ahead of the API, if it is. The mark grows every ten seconds; an API that has lost less
// than that has lost, perhaps, what was attached in them. Only what was attached on this timeline says something: what was attached
// before was reported when this one began.
//
//  1. a claim was written at a revision that the API has not reached. A restore can skip revisions, hence also:
//  2. a claim has had a later holder than the API knows of
//  3. neither the claim nor its lease is there, and the interface is. Who deletes a claim by force does not delete its lease.
func (r *recovery) ahead(ctx context.Context, onTimeline int64) (string, error) {
	var entries []attempt
	for _, entry := range r.journal.in(attached) {
		if entry.Timeline == onTimeline && entry.Lease != nil {
			entries = append(entries, entry)
		}
	}
	if len(entries) == 0 {
		return "", nil
	}
	var live v1alpha1.MacClaimList
	if err := r.cluster.List(ctx, &live, client.MatchingFields{holderNode: r.nodeName}); err != nil {
		return "", fmt.Errorf("listing the claims of this node: %w", err)
	}
	claims := make(map[types.NamespacedName]*v1alpha1.MacClaim, len(live.Items))
	for i := range live.Items {
		claims[client.ObjectKeyFromObject(&live.Items[i])] = &live.Items[i]
	}
	for i := range entries {
		entry := &entries[i]
		if later(entry.Revision, live.ResourceVersion) {
			return fmt.Sprintf("claim %s was written at revision %s, and it is at %s", claimKey(entry.Claim), entry.Revision, live.ResourceVersion), nil
		}
		claim := claims[claimKey(entry.Claim)]
		if claim == nil {
			var err error
			if claim, err = r.readClaim(ctx, entry); err != nil {
				return "", err
			}
		}
		if claim != nil {
			if entry.ClaimUID == claim.UID && claim.Status.Generation < entry.Generation {
				return fmt.Sprintf("claim %s has had holder %d, and it knows of %d", claimKey(entry.Claim), entry.Generation, claim.Status.Generation), nil
			}
			continue
		}
		if !r.netnsAlive(entry.NetNS) {
			continue
		}
		err := r.cluster.Get(ctx, types.NamespacedName{Name: entry.Lease.Name}, &v1alpha1.MacLease{})
		if apierrors.IsNotFound(err) {
			return fmt.Sprintf("it knows neither claim %s nor its lease %s", claimKey(entry.Claim), entry.Lease.Name), nil
		}
		if err != nil {
			return "", fmt.Errorf("reading lease %s: %w", entry.Lease.Name, err)
		}
	}
	return "", nil
}

// readClaim reads the claim of an entry live; nil if there is none.
func (r *recovery) readClaim(ctx context.Context, entry *attempt) (*v1alpha1.MacClaim, error) {
	claim := &v1alpha1.MacClaim{}
	err := r.cluster.Get(ctx, claimKey(entry.Claim), claim)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading claim %s: %w", claimKey(entry.Claim), err)
	}
	return claim, nil
}

// later tells whether one resourceVersion was written after another. What is no number says nothing.
func later(one, other string) bool {
	a, errA := strconv.ParseUint(one, 10, 64)
	b, errB := strconv.ParseUint(other, 10, 64)
	return errA == nil && errB == nil && a > b
}

// timelineOf is the timeline on which this node reports now. why: by what the API was found to have gone back, if it was.
func (r *recovery) timelineOf(ctx context.Context, node *v1alpha1.MacNode, why string, pools []v1alpha1.MacPool) (int64, error) {
	known, ok := r.marks.get()
	own := known.Timeline
	if node != nil {
		own = max(own, node.Status.Timeline)
	}
	highest := highestOf(pools)
	if ok && why == "" && highest <= own {
		return own, nil
	}
	var nodes v1alpha1.MacNodeList
	if err := r.cluster.List(ctx, &nodes); err != nil {
		return 0, fmt.Errorf("listing MacNodes: %w", err)
	}
	others := highest
	for i := range nodes.Items {
		others = max(others, nodes.Items[i].Status.Timeline)
	}
	switch {
	case why == "" && others <= own:
		return own, nil
	case others <= own:
		return own + 1, nil
	case others > highest || isPaused(pools, others):
		return others, nil // this node's word is waited for
	}
	// The others have gone on without this node. If it has something that the API does not know, all begin anew.
	unknown, err := r.unknown(ctx)
	if err != nil || !unknown {
		return others, err
	}
	return others + 1, nil
}

func highestOf(pools []v1alpha1.MacPool) int64 {
	var highest int64
	for i := range pools {
		highest = max(highest, pools[i].Status.Timeline)
	}
	return highest
}

func isPaused(pools []v1alpha1.MacPool, timeline int64) bool {
	for i := range pools {
		if pools[i].Status.Timeline == timeline && apimeta.IsStatusConditionTrue(pools[i].Status.Conditions, v1alpha1.PoolAllocationPaused) {
			return true
		}
	}
	return false
}

// unknown tells whether something is attached here of which the API knows nothing.
func (r *recovery) unknown(ctx context.Context) (bool, error) {
	for _, entry := range r.journal.in(attached) {
		if entry.Lease == nil || !r.netnsAlive(entry.NetNS) {
			continue
		}
		claim, err := r.readClaim(ctx, &entry)
		if err != nil {
			return false, err
		}
		if claim == nil || !holds(claim, &entry) {
			return true, nil
		}
	}
	return false, nil
}

// attachments are what is attached on this node of pools that do not go on yet on this timeline: that are not there, or are paused. While nothing
// is being recovered there are none.
func (r *recovery) attachments(timeline int64, pools []v1alpha1.MacPool) []v1alpha1.NodeAttachment {
	goOn := make(map[string]bool, len(pools))
	for i := range pools {
		goOn[pools[i].Name] = pools[i].Status.Timeline == timeline &&
			!apimeta.IsStatusConditionTrue(pools[i].Status.Conditions, v1alpha1.PoolAllocationPaused)
	}
	latest := map[string]*attempt{} // pod and lease -> the latest container
	var order []string
	entries := r.alive(goOn)
	for i := range entries {
		entry := &entries[i]
		key := entry.Pod.UID + "/" + entry.Lease.Name
		if known := latest[key]; known == nil {
			order = append(order, key)
		} else if known.Number > entry.Number {
			continue
		}
		latest[key] = entry
	}
	all := make([]v1alpha1.NodeAttachment, 0, len(order))
	for _, key := range order {
		all = append(all, attachmentOf(latest[key]))
	}
	if len(all) > maxAttachments {
		r.log.Error(errTooMany, "Not all that is attached here could be reported", "attached", len(all), "reported", maxAttachments)
		all = all[:maxAttachments]
	}
	return all
}

// alive is what is attached, and still there, of all pools but those that go on. A container that was attached meanwhile by the word of one
// that has gone since (reattach) is in it, or that one is.
func (r *recovery) alive(goOn map[string]bool) []attempt {
	for {
		var all []attempt
		known := map[attemptKey]bool{}
		for _, entry := range r.journal.in(attached) {
			known[entry.key()] = true
			if entry.Lease != nil && !goOn[entry.Pool] && r.netnsAlive(entry.NetNS) {
				all = append(all, entry)
			}
		}
		if !slices.ContainsFunc(r.journal.in(attached), func(e attempt) bool { return !goOn[e.Pool] && !known[e.key()] }) {
			return all
		}
	}
}

func attachmentOf(entry *attempt) v1alpha1.NodeAttachment {
	a := v1alpha1.NodeAttachment{
		LeaseName: entry.Lease.Name, PoolName: entry.Pool, MAC: v1alpha1.MACAddress(entry.Lease.MAC),
		Namespace: entry.Claim.Namespace, ClaimName: entry.Claim.Name, Workload: entry.Workload,
		PodName: entry.Pod.Name, PodUID: types.UID(entry.Pod.UID), Interface: entry.Interface,
		InstanceUID: entry.InstanceUID, Generation: max(1, entry.Generation),
	}
	for _, ip := range entry.Lease.IPs {
		a.IPs = append(a.IPs, v1alpha1.IPAddress(ip.Address.Addr().String()))
	}
	return a
}
