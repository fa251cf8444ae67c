// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// maxAhead is how many addresses are asked for ahead of their ADD at a time; the ADDs of others are not counted.
	maxAhead = 32
	// aheadQueue is how many may wait for that. Those that do not fit are asked for by their ADD.
	aheadQueue = 256
)

// forerunner asks the VLAN for the address of a claim as soon as a pod of this node holds it, while the runtime is still making the
// sandbox: the ADD finds the verdict, or waits for the rest of the question.
//
// By which link the ADD will come it cannot know: that stands in the network, which agents do not read. The manager does, and
// names the links of a pool in its status; those that this node has are asked.
type forerunner struct {
	*Agent

	work chan types.NamespacedName
}

func newForerunner(a *Agent) *forerunner {
	return &forerunner{Agent: a, work: make(chan types.NamespacedName, aheadQueue)}
}

// follow hears of claims that get a holder on this node.
func (f *forerunner) follow() toolscache.ResourceEventHandler {
	offer := func(claim *v1alpha1.MacClaim) {
		if claim.Status.LeaseName == "" || claim.Status.Holder == nil || claim.Status.Holder.NodeName != f.nodeName {
			return
		}
		select {
		case f.work <- types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}:
		default:
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if claim, ok := object.(*v1alpha1.MacClaim); ok {
				offer(claim)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok := before.(*v1alpha1.MacClaim)
			is, ok2 := after.(*v1alpha1.MacClaim)
			if ok && ok2 && (was.Status.LeaseName != is.Status.LeaseName || generationOf(was) != generationOf(is)) {
				offer(is)
			}
		},
	}
}

func generationOf(claim *v1alpha1.MacClaim) int64 {
	if claim.Status.Holder == nil {
		return 0
	}
	return claim.Status.Holder.Generation
}

func (f *forerunner) run(ctx context.Context) error {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil
	}
	slots := make(chan struct{}, maxAhead)
	for {
		select {
		case key := <-f.work:
			for _, q := range f.questions(ctx, key) {
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return nil
				}
				asked := f.verdicts.begin(ctx, q)
				go func() {
					defer func() { <-slots }()
					<-asked.done
				}()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// questions are what is to be asked for a claim; none if it is not this node's any more, or is attached already.
func (f *forerunner) questions(ctx context.Context, key types.NamespacedName) []*inquiry {
	claim := &v1alpha1.MacClaim{}
	if f.cluster.cache.Get(ctx, key, claim) != nil || claim.Status.Holder == nil || len(claim.Status.IPs) == 0 {
		return nil
	}
	pool := &v1alpha1.MacPool{}
	if f.cluster.cache.Get(ctx, types.NamespacedName{Name: claim.Spec.PoolRef.Name}, pool) != nil ||
		pool.Spec.ConflictMode() == v1alpha1.ConflictOff {
		return nil
	}
	if len(f.journal.ofLease(claim.Status.LeaseName)) > 0 {
		return nil // what answers is its own, or is waited for
	}
	var all []*inquiry
	for _, link := range pool.Status.Links {
		if f.hasLink(link) {
			all = append(all, inquiryOf(claim, pool, link))
		}
	}
	return all
}
