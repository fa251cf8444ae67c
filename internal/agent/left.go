// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// leftTimeout bounds the question for what an identity has left behind.
const leftTimeout = 5 * time.Second

// left is what the identity of a claim has left behind: leases that cool down, or whose claim is gone. It is asked for while the claim is being made, with which
// nothing that is left of the identity changes.
type left struct {
	done   chan struct{} // closed when the rest is there
	leases []v1alpha1.MacLease
	isNew  bool // it has left nothing, by a list of the whole segment
	err    error
}

// recall asks what the identity of the claim has left behind that is about to be made for the pod. What it had, the pod before this one had: it was
// there when this pod was written. again: this pod had the claim itself, which somebody has deleted since. Of pods that are alike another may have had it since:
// nil, it is to be asked for when the claim is there.
func (v *views) recall(ctx context.Context, segment string, claim *v1alpha1.MacClaim, pod *corev1.Pod, again bool) *left {
	if claim.Spec.Workload == nil || binding.Alike(*claim.Spec.Workload) {
		return nil
	}
	l := &left{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		ctx, cancel := context.WithTimeout(ctx, leftTimeout)
		defer cancel()
		revision := revisionOf(pod.ResourceVersion)
		if again {
			revision = 0
		} else if l.isNew, l.err = v.isNew(ctx, segment, claim, binding.PodUID(pod), revision); l.isNew || l.err != nil {
			return
		}
		l.leases, l.err = v.ofIdentity(ctx, claim, revision)
	}()
	return l
}

// isNew tells whether a view says that the identity of the claim has left nothing behind. One that does not reach the pod is replaced, if that is worth its
// price.
func (v *views) isNew(ctx context.Context, segment string, claim *v1alpha1.MacClaim, pod types.UID, revision uint64) (bool, error) {
	view, err := v.get(ctx, segment, false, revision)
	if err == nil && !view.reach.has(pod) && view.isWorthAnother() {
		view, err = v.fetch(ctx, segment, false, revision)
	}
	return err == nil && view.isNew(claim, pod), err
}

// await waits until it is known.
func (l *left) await(ctx context.Context) error {
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter makes the view know it; some tells whether there may be any.
func (l *left) enter(w *view) (some bool) {
	for i := range l.leases {
		w.index.SetLease(&l.leases[i])
	}
	return !l.isNew
}
