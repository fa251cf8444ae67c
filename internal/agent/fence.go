// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
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
		remove = func(netns, iface, mac string) error { return errors.New("no links yet") }
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
			if ok && ok2 && (!samePod(was.Status.Holder, is.Status.Holder) || was.Status.LeaseName != is.Status.LeaseName) {
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

func samePod(a, b *v1alpha1.Holder) bool { return a != nil && b != nil && a.PodUID == b.PodUID }

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
		if f.contact.inside() && !(f.contact.isJudged() && f.contact.cachesHold()) {
			// The watches come back later than the API, by their backoff.
			if err := f.all(ctx); err != nil {
				f.log.V(1).Info("What is attached was not compared with the API", "error", err.Error())
				next = min(next, compareRetry)
			}
		} else if f.contact.cachesHold() {
			f.look(ctx)
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
			f.judged(entry.key(), err)
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
func (f *fence) judged(k attemptKey, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.rest[k] = respite{until: f.clock.Now().Add(keptRest)}
		return
	}
	backoff := min(max(2*f.rest[k].backoff, clearFirstRetry), f.times.ClearRetry)
	f.rest[k] = respite{until: f.clock.Now().Add(backoff), backoff: backoff}
}

// judge judges an entry, under the claim's lock: no ADD of the claim decides anything meanwhile.
func (f *fence) judge(ctx context.Context, entry attempt) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	unlock, err := f.locks.lock(ctx, entry.Claim)
	if err != nil {
		return fmt.Errorf("waiting for claim %s: %w", claimKey(entry.Claim), err)
	}
	defer unlock()
	return f.judgeLocked(ctx, entry.key())
}

// errNotRemoved: an interface is still there that must not be.
var errNotRemoved = errors.New("an interface whose address has moved on is still there")

// judgeLocked reads live what there is to know about an attached entry, and removes its interface if its address has moved
// on. The claim's lock is held. Everything that is not certain is an error, or keeps the interface.
func (f *fence) judgeLocked(ctx context.Context, k attemptKey) error {
	entry, ok := f.journal.get(k)
	if !ok || entry.State != attached || entry.Lease == nil {
		return nil
	}
	to, err := f.movedTo(ctx, &entry)
	if err != nil || to == "" {
		return err
	}
	if f.current != nil {
		if current, err := f.current(ctx, entry.Pool); err != nil || !current {
			return err
		}
	}
	// The link first: a tombstone of one that is still there would be forgotten about after a crash.
	gone := !f.netnsAlive(entry.NetNS) || f.isAnothers(&entry)
	if !gone {
		if err := f.remove(entry.NetNS, entry.Interface, entry.Lease.MAC); err != nil {
			f.log.Error(err, "An interface whose address has moved on was not removed", "container", entry.ContainerID,
				"interface", entry.Interface, "pod", entry.Pod, "claim", entry.Claim, "to", to)
			return errors.Join(errNotRemoved, err)
		}
	}
	mine, err := f.journal.fence(k)
	if err != nil {
		return errors.Join(errNotRemoved, err)
	}
	if mine && !gone {
		f.report(&entry, to)
	}
	return nil
}

// movedTo tells whose the address of an entry is now, empty if it is still the entry's or nobody can tell.
func (f *fence) movedTo(ctx context.Context, entry *attempt) (string, error) {
	claim, err := f.readClaim(ctx, entry)
	if err != nil {
		return "", err
	}
	v, to := judgeClaim(entry, claim)
	if v != asksLease {
		return to, nil
	}
	lease := &v1alpha1.MacLease{}
	err = f.cluster.Get(ctx, types.NamespacedName{Name: entry.Lease.Name}, lease)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading lease %s: %w", entry.Lease.Name, err)
	}
	// Again: a claim that was made again between the two reads is in step with the lease only now.
	if claim, err = f.readClaim(ctx, entry); err != nil {
		return "", err
	}
	_, to = judgeLease(entry, lease, claim)
	return to, nil
}

// readClaim reads the claim of an entry live; nil if there is none.
func (f *fence) readClaim(ctx context.Context, entry *attempt) (*v1alpha1.MacClaim, error) {
	claim := &v1alpha1.MacClaim{}
	err := f.cluster.Get(ctx, claimKey(entry.Claim), claim)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading claim %s: %w", claimKey(entry.Claim), err)
	}
	return claim, nil
}

// isAnothers tells whether the path of the entry's network namespace is now that of another container's: a path in /proc is
// used again with its process ID, and the one who is there may have the very MAC by right.
func (f *fence) isAnothers(entry *attempt) bool {
	for _, other := range f.journal.in(attached) {
		if other.NetNS == entry.NetNS && other.ContainerID != entry.ContainerID && !other.At.Before(entry.At) {
			return true
		}
	}
	return false
}

// report says that an interface was removed.
func (f *fence) report(entry *attempt, to string) {
	f.total.Add(1)
	trouble := problem.Fenced.New(entry.Interface, entry.Pod.Namespace, entry.Pod.Name, addressOf(entry.Lease), to)
	f.log.Info("An interface was removed, its address has moved on", "container", entry.ContainerID, "interface", entry.Interface,
		"pod", entry.Pod, "claim", entry.Claim, "lease", entry.Lease.Name, "to", to)
	f.reporter.fenced(v1alpha1.FencedInterface{
		LeaseName: entry.Lease.Name, Namespace: entry.Pod.Namespace, PodName: entry.Pod.Name, PodUID: types.UID(entry.Pod.UID),
		FencedAt: metav1.NewTime(f.clock.Now()), Reason: binding.Evidence("it belongs to " + to),
	})
	f.says.onPod(entry.Pod, trouble)
}

// addressOf is the lease's first address.
func addressOf(lease *agentapi.Lease) string {
	if len(lease.IPs) == 0 {
		return lease.Name
	}
	return lease.IPs[0].Address.Addr().String()
}
