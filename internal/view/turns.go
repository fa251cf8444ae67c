// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

// turns is the order in which the kinds of which there are many are read at the start: the leases before the others. Until the index knows all
// leases nothing is given out, and a manager is not ready; read at once, they would come as late as the pods. What is read in turn takes
// less memory, too: what streams in is held twice until it is complete. Safe for concurrent use.
type turns struct {
	mu sync.Mutex
	// leases are the informers of leases.
	leases []toolscache.SharedIndexInformer
}

// newInformer is cache.Options.NewInformer.
func (t *turns) newInformer(
	source toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers,
) toolscache.SharedIndexInformer {
	if c, _ := codecOf(example); c == nil {
		return toolscache.NewSharedIndexInformer(source, example, resync, indexers)
	}
	p := &packing{indexes: newCoarse(), turn: t.wait}
	p.SharedIndexInformer = toolscache.NewSharedIndexInformer(source, example, resync, p.indexes.add(indexers))
	_ = p.SetTransform(nil) // it fails only of an informer that was started
	if _, ok := example.(*v1alpha1.MacLease); ok {
		p.turn = func(context.Context) bool { return true }
		t.mu.Lock()
		defer t.mu.Unlock()
		t.leases = append(t.leases, p)
	}
	return p
}

// wait waits for the leases, if they are read at all.
func (t *turns) wait(ctx context.Context) bool {
	t.mu.Lock()
	leases := t.leases
	t.mu.Unlock()
	for _, informer := range leases {
		select {
		case <-informer.HasSyncedChecker().Done():
		case <-ctx.Done():
			return false
		}
	}
	return true
}
