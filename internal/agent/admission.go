// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// admission is the API's word on whether a pod may have an address of its pool, which is asked for while other things are done. No lease is made, and
// no holder is set, before it is there.
type admission struct {
	done chan struct{} // closed when the rest is there
	pool *v1alpha1.MacPool
	err  error
}

// askAdmission begins to ask. The pool is read again: the cached one may be older than its condition, its ranges or its namespaceSelector are now.
func (t *addition) askAdmission(ctx context.Context) *admission {
	a := &admission{done: make(chan struct{})}
	asker := *t // as it is now: the claim may turn out to be another, meanwhile
	go func() {
		defer close(a.done)
		a.pool, a.err = asker.admitted(ctx)
	}()
	return a
}

// await waits for the API's word. The pool is the live one from then on.
func (t *addition) await(ctx context.Context, a *admission) error {
	select {
	case <-a.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if a.pool != nil {
		t.pool = a.pool
	}
	return a.err
}

// admitted reads the pool, and tells whether the API says that the pod may have an address of it. The questions are put together: none needs another's
// answer. The namespace matters only to a pool that chooses among namespaces.
func (t *addition) admitted(ctx context.Context) (*v1alpha1.MacPool, error) {
	ns := &corev1.Namespace{}
	var pool *v1alpha1.MacPool
	var errNS, errPool, errGate error
	chooses := t.pool.Spec.NamespaceSelector != nil
	readNamespace := func() { ns, errNS = t.namespaces.get(ctx, t.pod.Namespace) }
	var asking sync.WaitGroup
	if chooses {
		asking.Go(readNamespace)
	}
	asking.Go(func() { pool, errPool = t.pools.get(ctx, t.req.Pool) })
	// Also for a claim that the pod holds already: an API that has gone back says what was true once.
	asking.Go(func() { errGate = t.mayAnswer(ctx) })
	asking.Wait()
	if errPool == nil && pool.Spec.NamespaceSelector != nil && !chooses { // since a moment ago
		readNamespace()
	}
	switch {
	case apierrors.IsNotFound(errNS):
		return nil, problem.PodUnknown.New(t.req.Pod.Namespace, t.req.Pod.Name, t.req.Pod.UID)
	case errNS != nil:
		return nil, fmt.Errorf("reading namespace %s: %w", t.pod.Namespace, errNS)
	case apierrors.IsNotFound(errPool):
		return nil, problem.PoolUnknown.New(t.req.Pool)
	case errPool != nil:
		return nil, fmt.Errorf("reading pool %s: %w", t.req.Pool, errPool)
	}
	pool = pool.DeepCopy()
	if err := binding.Admit(pool, ns); err != nil {
		return pool, err
	}
	return pool, errGate
}

// seemsAdmitted tells whether the API's word is likely to be yes: by the caches, which may be believed, and by the namespace as it was read last. Then the
// claim is made while the word is waited for. Should it be no, there is a claim without a lease, as the manager makes one for every pod before it looks at
// the pool, and removes it with the pod. A claim that the journal knows is there already, or its absence says that the API has gone back.
func (t *addition) seemsAdmitted() bool {
	return t.contact.cachesHold() && t.recovery.goesOn(t.pool) && len(t.journal.ofClaim(t.claim)) == 0 &&
		binding.Admit(t.pool, t.lately.get(t.pod.Namespace)) == nil
}

// lately are the namespaces that were read in the last seconds. They say what is likely, and decide nothing. The zero value is ready; safe for concurrent
// use.
type lately struct {
	mu    sync.Mutex
	known map[string]*corev1.Namespace
}

func (l *lately) note(ns *corev1.Namespace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[string]*corev1.Namespace{}
	}
	l.known[ns.Name] = ns
}

// get is a namespace, without labels if it was not read.
func (l *lately) get(name string) *corev1.Namespace {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ns := l.known[name]; ns != nil {
		return ns
	}
	return &corev1.Namespace{}
}

func (l *lately) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.known)
}

// claimAdmitted is the pod's claim, and the API's word that it may have an address of the pool. left is what the claim's identity has left behind, if the claim was
// made by this call.
func (t *addition) claimAdmitted(ctx context.Context) (claim *v1alpha1.MacClaim, left *left, err error) {
	word := t.asking
	if t.asking = nil; word == nil {
		word = t.askAdmission(ctx)
	}
	ahead := t.makesClaim() && t.seemsAdmitted()
	if !ahead {
		if err := t.await(ctx, word); err != nil {
			return nil, nil, err
		}
	}
	if t.makesClaim() {
		left = t.views.recall(ctx, binding.SegmentOf(t.pool), t.want(), t.pod, len(t.journal.ofClaim(t.claim)) > 0)
	}
	claim, made, err := t.findClaim(ctx)
	if ahead {
		if refused := t.await(ctx, word); refused != nil {
			return nil, nil, refused
		}
	}
	if !made {
		left = nil
	}
	if apierrors.IsNotFound(err) && t.makesClaim() { // the namespace
		err = problem.PodUnknown.New(t.req.Pod.Namespace, t.req.Pod.Name, t.req.Pod.UID).WithCause(err)
	}
	return claim, left, err
}
