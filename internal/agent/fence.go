// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/links"
)

const (
	// fencesAtOnce keeps one claim whose lock is held for long from holding up the others.
	fencesAtOnce = 8
	// keptRest is how long an interface is left alone that was judged and kept although its claim is not its own's.
	keptRest = 10 * time.Second
)

// fence removes interfaces whose address has moved on while this node did not answer (R-G7). It compares what the journal
// calls attached with the API: all of it as soon as the API answers after a long silence, and before an ADD is served again;
// what a claim concerns when the claim leaves the caches of this node; and what the caches do not confirm, every Times.Fence.
type fence struct {
	*Agent

	// remove removes the interface with the MAC from the network namespace; one that is not there is removed.
	remove func(netns, iface, mac string) error
	// current, if set, tells whether the API knows all that it once knew: one that went back in time says nothing about who
	// came later.
	current func(ctx context.Context, pool string) (bool, error)

	wake  chan struct{} // capacity 1: there is something to look at
	total atomic.Int64  // interfaces that were removed

	mu       sync.Mutex
	rest     map[attemptKey]respite // what was judged, and is not to be judged again until then
	progress chan struct{}          // closed, and replaced, when all was judged
}

// respite is how long an entry is left alone.
type respite struct {
	until   time.Time
	backoff time.Duration // 0: it was judged and kept
}

func newFence(a *Agent, remove func(netns, iface, mac string) error) *fence {
	if remove == nil {
		remove = links.Remove
	}
	return &fence{
		Agent: a, remove: remove, wake: make(chan struct{}, 1), rest: map[attemptKey]respite{}, progress: make(chan struct{}),
	}
}

// kick tells the worker to look now.
func (f *fence) kick() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// follow tells the fence of claims that change their holder or leave the caches.
func (f *fence) follow() toolscache.ResourceEventHandler {
	refOf := func(claim *v1alpha1.MacClaim) agentapi.ClaimRef {
		return agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name}
	}
	return toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			was, ok := before.(*v1alpha1.MacClaim)
			is, ok2 := after.(*v1alpha1.MacClaim)
			if ok && ok2 && (!binding.SamePod(was.Status.Holder, is.Status.Holder) || !equality.Semantic.DeepEqual(was.Status.Alternate, is.Status.Alternate) || was.Status.LeaseName != is.Status.LeaseName) {
				f.touched(refOf(is))
			}
		},
		DeleteFunc: func(object any) {
			if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			if was, ok := object.(*v1alpha1.MacClaim); ok {
				f.touched(refOf(was))
			}
		},
	}
}

// touched has the entries of a claim judged now that has changed its holder or left the caches.
func (f *fence) touched(claim agentapi.ClaimRef) {
	select {
	case <-f.ready:
	default:
		return // all are judged before the agent is ready, and the journal may not be open yet
	}
	for _, entry := range f.journal.ofClaim(claim) {
		if entry.State == attached {
			f.mu.Lock()
			delete(f.rest, entry.key())
			f.mu.Unlock()
			f.kick()
		}
	}
}

// await returns when all was judged, or after d, or with ctx.
func (f *fence) await(ctx context.Context, d time.Duration) {
	f.mu.Lock()
	progress := f.progress
	f.mu.Unlock()
	if f.contact.isJudged() {
		return
	}
	f.kick()
	timer := f.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-progress:
	case <-timer.C():
	case <-ctx.Done():
	}
}

func (f *fence) run(ctx context.Context) error {
	select {
	case <-f.ready: // becomeReady has judged all
	case <-ctx.Done():
		return nil
	}
	for {
		next := f.times.Fence
		switch {
		case f.contact.isJudged() && f.contact.cachesAgree():
			f.look(ctx)
		case f.contact.inside():
			// The watches come back later than the API, by their backoff.
			if err := f.all(ctx); err != nil {
				f.log.V(1).Info("What is attached was not compared with the API", "error", err.Error())
				next = min(next, compareRetry)
			}
		}
		timer := f.clock.NewTimer(next)
		select {
		case <-f.wake:
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// all judges everything that is attached, by one live list and what that does not confirm by live reads. Only when it has
// succeeded may ADD be served after a silence. An interface that could not be removed does not count as not judged: it would keep
// the node from attaching anything.
func (f *fence) all(ctx context.Context) error {
	silence := f.contact.silence()
	var live v1alpha1.MacClaimList
	limited, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	if err := f.cluster.List(limited, &live, client.MatchingFields{holderNode: f.nodeName}); err != nil {
		return fmt.Errorf("listing the claims of this node: %w", err)
	}
	claims := make(map[types.NamespacedName]*v1alpha1.MacClaim, len(live.Items))
	for i := range live.Items {
		claims[client.ObjectKeyFromObject(&live.Items[i])] = &live.Items[i]
	}
	var astray []attempt
	for _, entry := range f.journal.in(attached) {
		if c := claims[claimKey(entry.Claim)]; c == nil || !holds(c, &entry) {
			astray = append(astray, entry)
		}
	}
	if err := f.judgeEach(ctx, astray); err != nil {
		return err
	}
	f.contact.judge(silence)
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.progress)
	f.progress = make(chan struct{})
	return nil
}

// look judges what the caches, which may be believed, do not confirm.
func (f *fence) look(ctx context.Context) {
	var astray []attempt
	now := f.clock.Now()
	attachedNow := f.journal.in(attached)
	f.mu.Lock()
	still := make(map[attemptKey]respite, len(f.rest))
	for _, entry := range attachedNow {
		cached := &v1alpha1.MacClaim{}
		if f.cluster.cache.Get(ctx, claimKey(entry.Claim), cached) == nil && holds(cached, &entry) {
			continue
		}
		if r, ok := f.rest[entry.key()]; ok {
			still[entry.key()] = r
			if now.Before(r.until) {
				continue
			}
		}
		astray = append(astray, entry)
	}
	f.rest = still
	f.mu.Unlock()
	if err := f.judgeEach(ctx, astray); err != nil {
		f.log.V(1).Info("What is attached was not compared with the API", "error", err.Error())
	}
}

// judgeEach judges entries, some at once. Its error says that some could not be judged.
func (f *fence) judgeEach(ctx context.Context, entries []attempt) error {
	var judging sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, fencesAtOnce)
	for _, entry := range entries {
		slots <- struct{}{}
		judging.Go(func() {
			defer func() { <-slots }()
			err := f.judge(ctx, entry)
			f.judged(&entry, err)
			if err != nil && !errors.Is(err, errNotRemoved) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	judging.Wait()
	return errors.Join(errs...)
}

// judged notes when the entry is to be judged again, if it is still there then.
func (f *fence) judged(entry *attempt, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := entry.key()
	if err == nil {
		f.rest[k] = respite{until: f.clock.Now().Add(keptRest)}
		return
	}
	if f.rest[k].backoff == 0 && errors.Is(err, errNotRemoved) {
		f.log.Error(err, "An interface whose address has moved on was not removed", "container", entry.ContainerID,
			"interface", entry.Interface, "pod", entry.Pod, "claim", entry.Claim)
	}
	backoff := min(max(2*f.rest[k].backoff, clearFirstRetry), f.times.ClearRetry)
	f.rest[k] = respite{until: f.clock.Now().Add(backoff), backoff: backoff}
}
