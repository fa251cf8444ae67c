// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

// compareRetry is the time between two comparisons of the caches with the API.
const compareRetry = 250 * time.Millisecond

// disagreeFor is for how long caches may lag behind the API before they are made anew.
const disagreeFor = 3 * time.Second

// beatRetry is the time between two questions to an API that has been silent for long.
const beatRetry = 500 * time.Millisecond

// beatLimit is how long such a question may take. One that was sent into the silence may lie in a connection that is lost.
const beatLimit = 2 * time.Second

// heartbeat asks the API for little, often: the answer proves contact when nothing else is asked. After a long silence it
// compares the caches until they agree.
func (a *Agent) heartbeat(ctx context.Context) error {
	var agreement agreement
	for next := time.Duration(0); a.awaitBeat(ctx, next) == nil; {
		next = a.times.Heartbeat
		if err := a.beat(ctx); err != nil {
			a.log.V(1).Info("The API did not answer", "error", err.Error())
			if !a.contact.inside() {
				next = min(next, beatRetry) // whoever took an address over meanwhile is disturbed until this node knows (R-G7)
			}
			continue
		}
		if a.Ready() != nil || a.contact.cachesAgree() {
			continue
		}
		var unsettled *timeline.Unsettled
		switch _, err := a.seek(ctx, &agreement); {
		case errors.As(err, &unsettled):
			next = min(next, max(compareRetry, unsettled.After))
		case err == nil && !a.contact.cachesAgree():
			next = min(next, compareRetry)
		}
	}
	return nil
}

// awaitBeat waits for d, or until the agent is ready: its caches may be believed the sooner the sooner they are compared.
func (a *Agent) awaitBeat(ctx context.Context, d time.Duration) error {
	ready := a.ready
	select {
	case <-ready:
		ready = nil // which it has been told
	default:
	}
	timer := a.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// agreement is for how long the caches and an API that answers have not agreed. The zero value is ready.
type agreement struct{ missing time.Time }

// seek is vouch, to be repeated until they agree: caches that lag for long are made anew, since their watches follow an API that is no more.
func (a *Agent) seek(ctx context.Context, g *agreement) (agree bool, err error) {
	agree, err = a.vouch(ctx)
	switch now := a.clock.Now(); {
	case err != nil || agree:
		g.missing = time.Time{}
	case g.missing.IsZero():
		g.missing = now
	case now.Sub(g.missing) > disagreeFor:
		a.cluster.cache.renew()
		g.missing = time.Time{}
	}
	return agree, err
}

// vouch lets the caches be believed if they agree with the API, and the API has not gone back. As long as it may have, an agent that is ready does not
// compare them: they would not be believed, and the API server goes through all claims for it.
func (a *Agent) vouch(ctx context.Context) (agree bool, err error) {
	silence := a.contact.silence()
	unsettled := a.recovery.settled(ctx)
	if a.Ready() == nil && isUnsettled(unsettled) {
		return false, unsettled
	}
	if agree, err = a.compareCaches(ctx); agree && unsettled == nil {
		a.contact.vouch(silence)
	}
	return agree, err
}

// beat reads live, past the API server's own caches, and as little as there is to read.
func (a *Agent) beat(ctx context.Context) error {
	limit := a.times.Heartbeat
	if !a.contact.inside() {
		limit = min(limit, beatLimit)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pools := &metav1.PartialObjectMetadataList{}
	pools.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacPoolList"))
	return a.cluster.List(ctx, pools, client.Limit(1))
}

// compareCaches tells whether the cached claims are those that the API has. The claims
// decide whose an address is; a pod or a pool that is a moment old misleads nobody for longer than that.
func (a *Agent) compareCaches(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, a.times.Heartbeat)
	defer cancel()
	live := &metav1.PartialObjectMetadataList{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacClaimList"))
	if err := a.cluster.List(ctx, live, client.MatchingFields{holderNode: a.nodeName}); err != nil {
		return false, fmt.Errorf("listing the claims of this node: %w", err)
	}
	var cached v1alpha1.MacClaimList
	if err := a.cluster.cache.List(ctx, &cached); err != nil {
		return false, fmt.Errorf("reading the cache of claims: %w", err)
	}
	versions := make(map[types.UID]string, len(cached.Items)) // claim UID -> resourceVersion
	for _, c := range cached.Items {
		versions[c.UID] = c.ResourceVersion
	}
	if len(versions) != len(live.Items) {
		return false, nil
	}
	for _, c := range live.Items {
		if versions[c.UID] != c.ResourceVersion {
			return false, nil
		}
	}
	return true, nil
}

// compareJournal looks up the claim of every attempt that the journal calls attached. What does not fit is said and counted, and
// kept: after the API was restored to an older state the journal is the truth.
func (a *Agent) compareJournal(ctx context.Context) error {
	astray := 0
	for _, entry := range a.journal.in(attached) {
		held := false
		err := a.retry(ctx, func(ctx context.Context) error {
			cached, live := &v1alpha1.MacClaim{}, &v1alpha1.MacClaim{}
			key := claimKey(entry.Claim)
			if a.cluster.cache.Get(ctx, key, cached) == nil && holds(cached, &entry) {
				held = true
				return nil
			}
			err := client.IgnoreNotFound(a.cluster.Get(ctx, key, live))
			held = holds(live, &entry)
			return err
		})
		if err != nil {
			return fmt.Errorf("comparing the journal with claim %s: %w", claimKey(entry.Claim), err)
		}
		if !held {
			astray++
			a.log.Info("An attached container is not its claim's holder", "container", entry.ContainerID,
				"interface", entry.Interface, "pod", entry.Pod, "claim", entry.Claim, "lease", entry.Lease.Name)
		}
	}
	a.metrics.astray.Store(int64(astray))
	return nil
}

// holds tells whether the claim has the lease that the attempt was given, and the attempt's pod as its holder or alternate.
func holds(claim *v1alpha1.MacClaim, entry *attempt) bool {
	return binding.HolderOf(claim, types.UID(entry.Pod.UID)) != nil && entry.Lease != nil && claim.Status.LeaseName == entry.Lease.Name
}

// stillHolds is holds, by the cache while it may be believed and by the API otherwise. A cache that says no may be a moment
// behind this node's own write, so the API has the last word.
func (a *Agent) stillHolds(ctx context.Context, entry *attempt) (bool, error) {
	// Two objects: what is read into one that is filled leaves there what the API no longer has.
	cached, live := &v1alpha1.MacClaim{}, &v1alpha1.MacClaim{}
	key := claimKey(entry.Claim)
	if a.contact.cachesHold() && !a.isImmediate(ctx, entry.Pool) && a.cluster.cache.Get(ctx, key, cached) == nil && holds(cached, entry) {
		return true, nil
	}
	err := a.live(ctx, func(ctx context.Context) error {
		return a.cluster.Get(ctx, key, live)
	})
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	// After the API has gone back, the journal is the truth.
	return err == nil && holds(live, entry) || a.recovery.isClosed(ctx, entry.Pool), nil
}

// isImmediate tells whether the pool's addresses are taken over without a look at the VLAN, or nobody knows.
func (a *Agent) isImmediate(ctx context.Context, name string) bool {
	pool := &v1alpha1.MacPool{}
	err := a.cluster.cache.Get(ctx, types.NamespacedName{Name: name}, pool)
	return err != nil || pool.Spec.Takeover == v1alpha1.TakeoverImmediate
}

func claimKey(claim agentapi.ClaimRef) types.NamespacedName {
	return types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
}
