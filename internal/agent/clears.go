// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

const (
	// clearTimeout bounds one try, the wait for the claim's lock included.
	clearTimeout = 5 * time.Second
	// clearFirstRetry is the time to the second try.
	clearFirstRetry = 100 * time.Millisecond
	// clearsAtOnce keeps one claim whose lock is held for long from holding up the others.
	clearsAtOnce = 8
)

// errOlderAlive: an earlier container of the same pod still has its netns, with the lease's interface in it perhaps.
var errOlderAlive = errors.New("an earlier container of the pod is still there")

// clearWorker clears the holders that the journal calls detached, for ever if need be.
type clearWorker struct {
	*Agent

	wake chan struct{} // capacity 1: there is something new

	mu       sync.Mutex
	tries    map[attemptKey]clearTry
	progress chan struct{} // closed, and replaced, when a clear has ended
}

type clearTry struct {
	due     time.Time
	backoff time.Duration
}

func newClearWorker(a *Agent) *clearWorker {
	return &clearWorker{
		Agent: a, wake: make(chan struct{}, 1), tries: map[attemptKey]clearTry{}, progress: make(chan struct{}),
	}
}

// kick tells the worker to look at the journal.
func (w *clearWorker) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// await returns when a clear has ended, or after d, or with ctx.
func (w *clearWorker) await(ctx context.Context, d time.Duration) {
	w.mu.Lock()
	progress := w.progress
	w.mu.Unlock()
	timer := w.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-progress:
	case <-timer.C():
	case <-ctx.Done():
	}
}

func (w *clearWorker) run(ctx context.Context) error {
	for {
		next := w.round(ctx)
		timer := w.clock.NewTimer(next)
		select {
		case <-w.wake:
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// round tries what is due, and returns the time until something is due again.
func (w *clearWorker) round(ctx context.Context) time.Duration {
	var trying sync.WaitGroup
	slots := make(chan struct{}, clearsAtOnce)
	for _, entry := range w.journal.in(detached) {
		if !w.isDue(entry.key()) {
			continue
		}
		slots <- struct{}{}
		trying.Go(func() {
			defer func() { <-slots }()
			w.ended(entry, w.clear(ctx, entry.key()))
		})
	}
	trying.Wait()

	next := w.times.ClearRetry
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tries {
		next = min(next, max(0, t.due.Sub(w.clock.Now())))
	}
	return next
}

func (w *clearWorker) isDue(k attemptKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.clock.Now().Before(w.tries[k].due)
}

// ended notes how a try went.
func (w *clearWorker) ended(entry attempt, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.tries, entry.key())
		close(w.progress)
		w.progress = make(chan struct{})
		return
	}
	t := w.tries[entry.key()]
	if t.backoff == 0 {
		w.log.Info("A holder is not cleared yet, it will be tried again",
			"claim", entry.Claim, "pod", entry.Pod, "error", err.Error())
	}
	t.backoff = min(max(2*t.backoff, clearFirstRetry), w.times.ClearRetry)
	t.due = w.clock.Now().Add(t.backoff/2 + w.jitter(t.backoff/2+1))
	w.tries[entry.key()] = t
}

// clear carries out what a DEL has left to do, under the claim's lock: no ADD of the claim decides anything meanwhile.
func (w *clearWorker) clear(ctx context.Context, k attemptKey) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	entry, ok := w.journal.get(k)
	if !ok || entry.State != detached {
		return nil
	}
	unlock, err := w.locks.Lock(ctx, entry.Claim)
	if err != nil {
		return fmt.Errorf("waiting for claim %s: %w", claimKey(entry.Claim), err)
	}
	defer unlock()

	switch other := w.inUse(&entry); other {
	case newerAttached:
		// The pod was attached again since: the holder is the newer attempt's (R-C3, M01).
		return w.journal.settle(k, false)
	case olderAttached:
		return errOlderAlive
	case noneAttached:
	}
	w.journal.trying(k)
	end := binding.AgentReport(w.nodeName)
	if entry.For != "" {
		end = binding.End{
			Reason: v1alpha1.EndPreempted, Evidence: "the agent of node " + w.nodeName + " has removed its interface for pod " + entry.For,
		}
	}
	if err := w.holders.ClearHolder(ctx, claimKey(entry.Claim), types.UID(entry.Pod.UID), entry.Generation, end); err != nil {
		return fmt.Errorf("clearing the holder of claim %s: %w", claimKey(entry.Claim), err)
	}
	w.log.Info("A holder was cleared", "claim", entry.Claim, "pod", entry.Pod, "generation", entry.Generation)
	return w.journal.settle(k, true)
}

// use is which other attempts of a holder are attached.
type use int

const (
	noneAttached use = iota
	newerAttached
	olderAttached // and its netns is alive, or its DEL is not needed any more
)

// inUse looks for other attached attempts of the detached one's holder. An older one whose netns is gone can send nothing,
// and its DEL may be lost for ever (F20): it does not count.
func (w *clearWorker) inUse(entry *attempt) use {
	found := noneAttached
	for _, other := range w.journal.ofClaim(entry.Claim) {
		if other.State != attached || other.key() == entry.key() || !other.ofHolder(entry.Claim, entry.Pod.UID) {
			continue
		}
		if other.Number > entry.Number {
			return newerAttached
		}
		if w.netnsAlive(other.NetNS) {
			found = olderAttached
		}
	}
	return found
}

// reapedAttempt stands in the journal for a holder that never had a container: its clear is pending like that of a DEL, so
// it survives a restart, and an ADD of the same pod finds the generation doubtful.
func reapedAttempt(claim agentapi.ClaimRef, pod agentapi.Pod, generation int64) attempt {
	return attempt{
		ContainerID: "reaped/" + pod.UID, Interface: fmt.Sprintf("%s/%s/%d", claim.Namespace, claim.Name, generation),
		Claim: claim, Pod: pod, Generation: generation,
	}
}
