// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

// reaper ends what no DEL will end, on this node:
//
//  1. A claim's holder that no container of the journal belongs to, and whose pod is gone or has finished: it went before it
//     was attached, or its ADD was cut off.
//  2. A container that the journal calls attached, whose netns is gone, and whose pod is gone or has finished: its DEL was
//     lost (M29, F20).
//  3. A claim's holder that no container of the journal belongs to, and whose pod has its interface attached by another claim of the same
//     workload: manager and agent chose at the same time, each another one. It is judged under the claim's lock, at one look: the
//     journal is this agent's own, and no ADD of the claim decides anything meanwhile.
//
// A pod is gone when the API, asked live, knows no pod of the name with the UID. It is asked twice, some time apart and the
// second time under the claim's lock: a pod that is there at either time keeps what it has (R-G2, R-G3).
type reaper struct {
	*Agent

	seen map[suspect]time.Time // what was found once -> when
	// listed are the claims whose alternate is on this node, as they were listed last; looks are how often the reaper has looked.
	listed []v1alpha1.MacClaim
	looks  int
}

// suspect is a holder, or a container, that may be left over.
type suspect struct {
	claim      agentapi.ClaimRef
	pod        agentapi.Pod
	generation int64
	// container is set in case 2.
	container attemptKey
}

func (a *Agent) reap(ctx context.Context) error {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return nil
	}
	r := &reaper{Agent: a, seen: map[suspect]time.Time{}}
	return a.every(a.times.Reap, r.look)(ctx)
}

// look goes over all suspects once.
func (r *reaper) look(ctx context.Context) {
	if !r.contact.cachesAgree() {
		return // no decision while the API is away (F5)
	}
	suspects, err := r.suspects(ctx)
	if err != nil {
		r.log.Error(err, "Looking for holders that are left over did not succeed")
		return
	}
	r.dropSurplus(ctx)
	now := r.clock.Now()
	still := map[suspect]time.Time{}
	var mu sync.Mutex
	keep := func(s suspect, since time.Time) {
		mu.Lock()
		defer mu.Unlock()
		still[s] = since
	}
	// Several at once: a node may have lost hundreds of DELs, and each look takes as long as the API's answer.
	var judging sync.WaitGroup
	slots := make(chan struct{}, clearsAtOnce)
	for _, s := range suspects {
		first, again := r.seen[s]
		if again && now.Sub(first) < r.times.ReapGrace {
			keep(s, first)
			continue
		}
		slots <- struct{}{}
		judging.Go(func() {
			defer func() { <-slots }()
			over, err := r.judge(ctx, s, again)
			switch {
			case err != nil:
				r.log.V(1).Info("A holder that may be left over was not judged", "claim", s.claim, "error", err.Error())
				if again {
					keep(s, first)
				}
			case over && !again:
				keep(s, now)
			}
		})
	}
	judging.Wait()
	r.seen = still
}

// judge looks at the suspect's pod live; the second time it ends what is left over.
func (r *reaper) judge(ctx context.Context, s suspect, second bool) (over bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	if !second {
		return r.podOver(ctx, s.pod)
	}
	unlock, err := r.locks.Lock(ctx, s.claim)
	if err != nil {
		return false, fmt.Errorf("waiting for claim %s: %w", claimKey(s.claim), err)
	}
	defer unlock()
	over, err = r.podOver(ctx, s.pod)
	if err != nil || !over {
		return over, err
	}
	if s.container != (attemptKey{}) {
		if entry, ok := r.journal.get(s.container); !ok || r.netnsAlive(entry.NetNS) {
			return true, nil
		}
		r.log.Info("A container whose DEL was lost was detached", "container", s.container, "claim", s.claim, "pod", s.pod)
		_, err = r.journal.detach(s.container)
	} else {
		if r.known(s.claim, s.pod.UID) {
			return true, nil
		}
		r.log.Info("The holder of a pod that is gone is being cleared", "claim", s.claim, "pod", s.pod)
		err = r.journal.abandon(reapedAttempt(s.claim, s.pod, s.generation))
	}
	r.clears.kick()
	return true, err
}

// suspects are found in the caches, the journal and a list of alternates; nothing is decided by them.
func (r *reaper) suspects(ctx context.Context) ([]suspect, error) {
	var claims v1alpha1.MacClaimList
	if err := r.cluster.cache.List(ctx, &claims); err != nil {
		return nil, fmt.Errorf("reading the cache of claims: %w", err)
	}
	all := r.alternates(ctx)
	for i := range claims.Items {
		all = r.suspect(ctx, &claims.Items[i], claims.Items[i].Status.Holder, all)
	}
	for _, entry := range r.journal.in(attached) {
		if !r.netnsAlive(entry.NetNS) && !r.podRuns(ctx, entry.Pod) {
			all = append(all, suspect{claim: entry.Claim, pod: entry.Pod, generation: entry.Generation, container: entry.key()})
		}
	}
	return all, nil
}

// dropSurplus ends holds of case 3.
func (r *reaper) dropSurplus(ctx context.Context) {
	var claims v1alpha1.MacClaimList
	if err := r.cluster.cache.List(ctx, &claims); err != nil {
		return // suspects has said so
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		if holder := c.Status.Holder; holder == nil || c.Spec.Workload == nil || !binding.Alike(*c.Spec.Workload) || !r.isHere(holder) || !r.isSurplus(c) {
			continue
		}
		if err := r.dropOne(ctx, c); err != nil {
			r.log.V(1).Info("A hold that nothing needs was not ended", "claim", client.ObjectKeyFromObject(c), "error", err.Error())
		}
	}
}

func (r *reaper) dropOne(ctx context.Context, c *v1alpha1.MacClaim) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	ref := agentapi.ClaimRef{Namespace: c.Namespace, Name: c.Name}
	unlock, err := r.locks.Lock(ctx, ref)
	if err != nil {
		return fmt.Errorf("waiting for claim %s: %w", claimKey(ref), err)
	}
	defer unlock()
	if !r.isSurplus(c) {
		return nil
	}
	holder := c.Status.Holder
	r.log.Info("A pod held two claims for one interface, the one that it does not use is being cleared", "claim", ref, "pod", holder.PodName)
	pod := agentapi.Pod{Namespace: c.Namespace, Name: holder.PodName, UID: string(holder.PodUID)}
	err = r.journal.abandon(reapedAttempt(ref, pod, holder.Generation))
	r.clears.kick()
	return err
}

// isSurplus tells whether the holder's interface is attached by another claim, and by this one it never was.
func (r *reaper) isSurplus(c *v1alpha1.MacClaim) bool {
	holder := c.Status.Holder
	ref := agentapi.ClaimRef{Namespace: c.Namespace, Name: c.Name}
	if r.known(ref, string(holder.PodUID)) {
		return false
	}
	for _, entry := range r.journal.in(attached) {
		if entry.Pod.UID == string(holder.PodUID) && entry.Interface == holder.Interface && entry.Pool == c.Spec.PoolRef.Name && entry.Claim != ref {
			return true
		}
	}
	return false
}

// known tells whether the journal has a container of the holder that is attached, or whose clear is pending.
func (r *reaper) known(claim agentapi.ClaimRef, podUID string) bool {
	for _, entry := range r.journal.ofClaim(claim) {
		if entry.State != deleted && entry.ofHolder(claim, podUID) {
			return true
		}
	}
	return false
}

// podRuns tells whether the cache has the pod and it has not finished. It saves the API a question for each pod that is
// well.
func (r *reaper) podRuns(ctx context.Context, named agentapi.Pod) bool {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: named.Namespace, Name: named.Name}
	return r.cluster.cache.Get(ctx, key, pod) == nil && string(binding.PodUID(pod)) == named.UID && !finished(pod)
}

// podGone asks the API whether it knows no pod of the name with the UID.
func (a *Agent) podGone(ctx context.Context, named agentapi.Pod) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: named.Namespace, Name: named.Name}
	if err := client.IgnoreNotFound(a.cluster.Get(ctx, key, pod)); err != nil {
		return false, fmt.Errorf("reading pod %s: %w", key, err)
	}
	return string(binding.PodUID(pod)) != named.UID, nil
}

// podOver asks the API whether the pod is gone or has finished.
func (a *Agent) podOver(ctx context.Context, named agentapi.Pod) (bool, error) {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: named.Namespace, Name: named.Name}
	if err := client.IgnoreNotFound(a.cluster.Get(ctx, key, pod)); err != nil {
		return false, fmt.Errorf("reading pod %s: %w", key, err)
	}
	return string(binding.PodUID(pod)) != named.UID || finished(pod), nil
}
