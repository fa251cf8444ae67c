// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

const (
	// maxFenced, maxAnswers and maxStrangers are what the API server takes of a MacNode's lists.
	maxFenced    = 16
	maxAnswers   = 64
	maxStrangers = 32
	// lingersAfter is how long a pod must be gone from the API before an interface of it is counted as left over.
	lingersAfter = 10 * time.Minute
	// firstRenew is the time between an agent's first two reports, and of those after it has lost and found the API: others
	// may be waiting for its word. From one to the next it doubles until it is Times.Renew.
	firstRenew = 500 * time.Millisecond
)

// reporter writes what this node has to say about itself: MacNode/<node>.status, at least every Times.Renew, and when it is
// kicked. Safe for concurrent use.
type reporter struct {
	*Agent

	started time.Time
	wake    chan struct{} // capacity 1: there is something new

	mu sync.Mutex
	// removed are the interfaces that this process fenced, newest first.
	removed []v1alpha1.FencedInterface
	// heard are the answers of the VLANs: lease -> the latest.
	heard map[string]v1alpha1.WireAnswer
	// podless are attached containers whose pod the cache does not know -> since when.
	podless map[attemptKey]time.Time

	// differed: at the last look the cached pools were not those of the API. The run's alone.
	differed bool
}

func newReporter(a *Agent) *reporter {
	return &reporter{
		Agent: a, started: a.clock.Now(), wake: make(chan struct{}, 1),
		heard: map[string]v1alpha1.WireAnswer{}, podless: map[attemptKey]time.Time{},
	}
}

// kick has the next report written at once.
func (r *reporter) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// fenced reports an interface that was removed because its address has moved on.
func (r *reporter) fenced(f v1alpha1.FencedInterface) {
	r.mu.Lock()
	r.removed = withFenced(r.removed, f)
	r.mu.Unlock()
	r.kick()
}

// answered reports what a VLAN answered to a question. It stands until a later answer about the same lease, or until it is
// dropped.
func (r *reporter) answered(answer v1alpha1.WireAnswer) {
	r.mu.Lock()
	r.heard[answer.LeaseName] = answer
	r.mu.Unlock()
	r.kick()
}

// dropAnswers forgets the answers that are not wanted any more. It writes nothing by itself: the next report goes without
// them.
func (r *reporter) dropAnswers(wanted func(v1alpha1.WireAnswer) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.heard, func(_ string, answer v1alpha1.WireAnswer) bool { return !wanted(answer) })
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) error {
	silence := r.contact.silence()
	for wait := min(firstRenew, r.times.Renew); ; wait = min(2*wait, r.times.Renew) {
		err := r.renew(ctx)
		if err != nil {
			r.log.V(1).Info("The node's report was not written", "error", err.Error())
		}
		if last := r.contact.silence(); err != nil || last != silence {
			silence, wait = last, min(firstRenew, r.times.Renew)
		}
		timer := r.clock.NewTimer(wait)
		select {
		case <-r.wake:
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// renew writes one report. Whoever reads it takes it for this node's word that the API, when it was written, knew all that the
// node knows, or that the report says what it does not: so the API is compared first.
func (r *reporter) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.times.API)
	defer cancel()
	silence, doubt := r.contact.silence(), r.recovery.gate.Doubts()
	known, hadMark := r.recovery.marks.get()
	node, why, err := r.recovery.look(ctx)
	if err != nil {
		return err
	}
	var pools v1alpha1.MacPoolList
	if err := r.cluster.List(ctx, &pools); err != nil {
		return fmt.Errorf("listing pools: %w", err)
	}
	r.followPools(ctx, pools.Items)
	on, err := r.recovery.timelineOf(ctx, node, why, pools.Items)
	if err != nil {
		return err
	}
	if node == nil {
		node = &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: r.nodeName}}
		if err := r.cluster.Create(ctx, node); err != nil {
			return fmt.Errorf("making the MacNode of this node: %w", err)
		}
	}
	status := &node.Status
	r.fill(ctx, status)
	status.Timeline = on
	status.Epoch = max(status.Epoch, known.Epoch) + 1
	status.Attachments = r.recovery.attachments(on, pools.Items)
	sent := r.clock.Now()
	if err := r.cluster.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("writing the MacNode of this node: %w", err)
	}
	r.contact.report(sent)
	if err := r.recovery.marks.keep(mark{Epoch: status.Epoch, Timeline: on, NodeUID: status.NodeUID}); err != nil {
		return err
	}
	r.recovery.reported(ctx, silence, doubt, hadMark)
	if why != "" || on != known.Timeline {
		r.log.Info("Reported what is attached here", "timeline", on, "attachments", len(status.Attachments))
	}
	return nil
}

// followPools compares the cached pools with those that the API has. What differs at two looks in a row shows caches that follow
// an API that is no more.
func (r *reporter) followPools(ctx context.Context, live []v1alpha1.MacPool) {
	if r.Ready() != nil {
		return
	}
	differs := false
	for i := range live {
		cached := &v1alpha1.MacPool{}
		err := r.cluster.cache.Get(ctx, types.NamespacedName{Name: live[i].Name}, cached)
		differs = differs || err != nil || cached.UID != live[i].UID || cached.Status.Timeline != live[i].Status.Timeline
	}
	if differs && r.differed {
		r.cluster.cache.renew()
	}
	r.differed = differs
}

// fill writes into status what is known now. What other processes of this node have written stays as far as it still holds.
func (r *reporter) fill(ctx context.Context, status *v1alpha1.MacNodeStatus) {
	entries := r.journal.in(attached)
	status.Attached = count(len(entries))
	status.PendingClears = count(len(r.journal.in(detached)))
	status.Spooled = count(len(r.spooled()))
	status.Lingering = count(len(r.lingering(ctx, entries)))
	status.NodeUID = r.ownUID()
	status.AgentVersion = r.options.Version
	status.StartedAt = metav1.NewTime(r.started)
	status.RenewTime = metav1.NewMicroTime(r.clock.Now())
	status.Strangers = r.watcher.strangers()
	status.Parents = r.parents.report()

	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range slices.Backward(r.removed) {
		status.Fenced = withFenced(status.Fenced, f)
	}
	status.Answers = slices.SortedFunc(maps.Values(r.heard), func(a, b v1alpha1.WireAnswer) int {
		return b.AskedAt.Compare(a.AskedAt.Time)
	})
	status.Answers = status.Answers[:min(len(status.Answers), maxAnswers)]
}

func count(n int) *int32 { return new(int32(min(n, math.MaxInt32))) } //nolint:gosec // G115: bounded

// withFenced puts f before the others, once.
func withFenced(all []v1alpha1.FencedInterface, f v1alpha1.FencedInterface) []v1alpha1.FencedInterface {
	rest := slices.DeleteFunc(slices.Clone(all), func(other v1alpha1.FencedInterface) bool {
		return other.LeaseName == f.LeaseName && other.PodUID == f.PodUID
	})
	rest = append([]v1alpha1.FencedInterface{f}, rest...)
	return rest[:min(len(rest), maxFenced)]
}

// lingering are the attached containers whose pod has been gone from the cache for long. While the caches cannot be believed
// nothing is counted anew.
func (r *reporter) lingering(ctx context.Context, entries []attempt) []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []attempt
	now, still := r.clock.Now(), map[attemptKey]time.Time{}
	believed := r.contact.cachesAgree()
	for _, entry := range entries {
		since, known := r.podless[entry.key()]
		switch {
		case !believed && !known:
			continue
		case believed && r.podKnown(ctx, entry.Pod):
			continue
		case !known:
			since = now
		}
		still[entry.key()] = since
		if timeline.Elapsed(now, since) >= lingersAfter {
			all = append(all, entry)
		}
	}
	r.podless = still
	return all
}

// podKnown tells whether the cache has the pod, in whatever phase.
func (r *reporter) podKnown(ctx context.Context, named agentapi.Pod) bool {
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: named.Namespace, Name: named.Name}
	return r.cluster.cache.Get(ctx, key, pod) == nil && string(binding.PodUID(pod)) == named.UID
}
