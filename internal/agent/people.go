// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

// people knows which claims persons have made in a namespace. A list is what costs an unbound ADD most: the API server answers it when its own
// cache has caught up, which takes up to a tenth of a second. So it lists what there was when the pod was written, and the ADDs of some seconds share one. It
// answers for pods that the agent knew before it began: what a person has made before such a pod stands there. What is made after the pod it may miss, as the manager does, which makes
// its own claim as soon as it sees the pod. Safe for concurrent use.
type people struct {
	clock clock.PassiveClock
	// life is how long a list is used.
	life  time.Duration
	lists *reads[*peopleList]

	mu    sync.Mutex
	known map[string]*peopleList // namespace -> the latest
	// wanted is the revision that the next list of a namespace has to show, of the pods that have asked for it.
	wanted map[string]uint64
}

type peopleList struct {
	reach

	began  time.Time
	claims []v1alpha1.MacClaim
}

func newPeople(lists *lists, pods func(context.Context) podSet, clk clock.PassiveClock, life time.Duration) *people {
	p := &people{clock: clk, life: life, known: map[string]*peopleList{}, wanted: map[string]uint64{}}
	p.lists = newReads(func(ctx context.Context, namespace string) (*peopleList, error) {
		l := &peopleList{began: clk.Now(), reach: reach{pods: pods(ctx)}}
		p.mu.Lock()
		wanted := l.pods.latest(p.wanted[namespace])
		p.mu.Unlock()
		var list v1alpha1.MacClaimList
		var err error
		if l.current, err = lists.since(ctx, wanted, &list, binding.OfPeople(namespace)...); err != nil {
			return nil, fmt.Errorf("listing the claims of namespace %s: %w", namespace, err)
		}
		l.claims, l.revision = list.Items, revisionOf(list.ResourceVersion)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.known[namespace] = l
		return l, nil
	})
	return p
}

// claimFor is the name of the claim that a person made for the workload of want, a claim of NewClaim for the pod; "" if there is none.
func (p *people) claimFor(ctx context.Context, pod *corev1.Pod, want *v1alpha1.MacClaim) (string, error) {
	p.mu.Lock()
	l := p.known[want.Namespace]
	p.mu.Unlock()
	if l == nil || !l.has(binding.PodUID(pod)) || timeline.Elapsed(p.clock.Now(), l.began) > p.life {
		p.mu.Lock()
		p.wanted[want.Namespace] = max(p.wanted[want.Namespace], revisionOf(pod.ResourceVersion))
		p.mu.Unlock()
		var err error
		if l, err = p.lists.get(ctx, want.Namespace); err != nil {
			return "", err
		}
	}
	if chosen := binding.Chosen(l.claims, *want.Spec.Workload, want.Spec.PoolRef.Name); chosen != nil {
		return chosen.Name, nil
	}
	return "", nil
}

// drop forgets lists that are too old to be used.
func (p *people) drop(context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for namespace, l := range p.known {
		if timeline.Elapsed(p.clock.Now(), l.began) > p.life {
			delete(p.known, namespace)
			delete(p.wanted, namespace)
		}
	}
}
