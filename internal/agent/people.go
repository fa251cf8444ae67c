// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

// people knows which claims persons have made in a namespace. A list is what costs an unbound ADD most: the API server answers it when its own
// cache has caught up, which takes up to a tenth of a second. So the ADDs of some seconds share one. It answers for pods that the agent
// knew before it began: what a person has made before such a pod stands there. What is made after the pod it may miss, as the manager does, which makes
// its own claim as soon as it sees the pod. Safe for concurrent use.
type people struct {
	clock clock.PassiveClock
	// life is how long a list is used.
	life  time.Duration
	lists *reads[*peopleList]

	mu    sync.Mutex
	known map[string]*peopleList // namespace -> the latest
}

type peopleList struct {
	began  time.Time
	pods   podSet // those known before it
	claims []v1alpha1.MacClaim
}

// podSet are the UIDs of pods.
type podSet map[types.UID]struct{}

func (s podSet) has(uid types.UID) bool {
	_, ok := s[uid]
	return ok
}

func newPeople(binder *binding.Binder, pods func(context.Context) podSet, clk clock.PassiveClock, life time.Duration) *people {
	p := &people{clock: clk, life: life, known: map[string]*peopleList{}}
	p.lists = newReads(func(ctx context.Context, namespace string) (*peopleList, error) {
		l := &peopleList{began: clk.Now(), pods: pods(ctx)}
		var err error
		if l.claims, err = binder.ClaimsOfPeople(ctx, namespace); err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.known[namespace] = l
		return l, nil
	})
	return p
}

// claimFor is the name of the claim that a person made for the workload of want, a claim of NewClaim; "" if there is none.
func (p *people) claimFor(ctx context.Context, pod types.UID, want *v1alpha1.MacClaim) (string, error) {
	p.mu.Lock()
	l := p.known[want.Namespace]
	p.mu.Unlock()
	if l == nil || !l.pods.has(pod) || timeline.Elapsed(p.clock.Now(), l.began) > p.life {
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
		}
	}
}

// knownPods are the pods of this node that the cache has, by the UIDs that the runtime has for them.
func (a *Agent) knownPods(ctx context.Context) podSet {
	var list corev1.PodList
	if a.cluster.cache.List(ctx, &list, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	known := make(podSet, len(list.Items))
	for i := range list.Items {
		known[binding.PodUID(&list.Items[i])] = struct{}{}
	}
	return known
}
