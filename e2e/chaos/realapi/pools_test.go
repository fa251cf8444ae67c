// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/oracle"
)

// editPool is F24: addresses are excluded while some of them are in use, and come back.
func editPool(w *world, rng *rand.Rand) {
	w.editing.Add(1)
	defer w.editing.Add(-1)
	exclude := make([]v1alpha1.AddressRange, 0, 12)
	for range 12 {
		start := rng.IntN(230)
		exclude = append(exclude, v1alpha1.AddressRange{
			Start: v1alpha1.IPAddress(fmt.Sprintf("10.50.1.%d", start)), End: v1alpha1.IPAddress(fmt.Sprintf("10.50.1.%d", start+1+rng.IntN(10))),
		})
	}
	set := func(exclude []v1alpha1.AddressRange) {
		w.must("editing a pool", func() error {
			pool := &v1alpha1.MacPool{}
			if err := w.admin.Get(w.ctx, client.ObjectKey{Name: "main"}, pool); err != nil {
				return err
			}
			pool.Spec.Subnets[0].Exclude = exclude
			return w.admin.Update(w.ctx, pool)
		})
	}
	set(exclude)
	w.inject("F24", "pool shrinks under its leases", "m8-m9")
	end := w.plan.during("F24", "pool shrinks under its leases", nil)
	w.pause(w.between(rng, time.Second, 4*time.Second))
	end()
	set(nil)
	w.inject("F24", "pool grows", "m8-m9")
	w.pause(time.Second)
}

// editPoolInStorm lets answers be lost and processes be killed while a pool is edited.
func editPoolInStorm(w *world, rng *rand.Rand) {
	w.editing.Add(1)
	defer w.editing.Add(-1)
	own := rand.New(rand.NewPCG(rng.Uint64(), 1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		editPool(w, own)
	}()
	switch rng.IntN(3) {
	case 0:
		if w.kill(w.managers[0].unit, 500*time.Millisecond, nil) {
			w.inject("R-K2", "manager SIGKILL", "m8-m9")
		}
	case 1:
		if w.kill(w.someNode(rng).agent, 500*time.Millisecond, nil) {
			w.inject("F3", "agent SIGKILL", "m8-m9")
		}
	}
	w.plan.rule(&rule{
		match: func(r *faultproxy.Request) bool { return r.Writes() }, percent: 40,
		fault: func(rng *rand.Rand) *faultproxy.Fault {
			return someFault(rng, pick(rng, faultproxy.DropAfter, faultproxy.Conflict409, faultproxy.TooMany429, faultproxy.Error500, faultproxy.Delay))
		},
	}, 2*time.Second)
	<-done
}

// guests are pods of an episode of its own.
type guests struct {
	w     *world
	slots []*slot
}

func (w *world) newGuests(rng *rand.Rand, ns, pool, base string, n int) *guests {
	g := &guests{w: w}
	for i := range n {
		g.slots = append(g.slots, w.newSlot(ns, pool, fmt.Sprintf("%s%d-%d", base, rng.Uint32(), i), nil, 0))
	}
	return g
}

// each does something to all of them at once.
func (g *guests) each(do func(*slot)) {
	var all sync.WaitGroup
	for _, s := range g.slots {
		all.Go(func() { do(s) })
	}
	all.Wait()
}

// attached counts those that are.
func (g *guests) attached() int {
	n := 0
	for _, s := range g.slots {
		if s.box != nil && !s.isDead() {
			n++
		}
	}
	return n
}

// leave ends all of them, and waits until nothing of theirs is left.
func (g *guests) leave() {
	g.each(func(s *slot) {
		if s.pod == nil {
			return
		}
		pod, box := s.pod, s.box
		s.pod, s.box = nil, nil
		if box != nil {
			s.mayRelease(pod, s.address)
			s.delBox(box, pod, 1)
		}
		s.forget(pod, 0)
		s.w.truth.Unpin(s.identityOf(pod))
		s.late.Wait()
	})
}

// exhaust is F25: more pods than addresses. What is given back is given again.
func exhaust(w *world, rng *rand.Rand) {
	g := w.newGuests(rng, loadNamespace, "tight", "tight", tightSize+4)
	g.each(func(s *slot) {
		s.create()
		for range 4 {
			if s.pod != nil && s.box == nil && s.try() == nil {
				return
			}
			w.pause(300 * time.Millisecond)
		}
	})
	n := g.attached()
	if n > tightSize {
		w.violation(oracle.Violation{Kind: oracle.Duplicate, Text: fmt.Sprintf("%d pods are attached with the %d addresses of a pool", n, tightSize)})
	}
	end := w.plan.during("F25", "pool exhausted", func(r *faultproxy.Request) bool { return strings.HasPrefix(podOf(r), loadNamespace+"/tight") })
	defer end()
	left := 0
	for _, s := range g.slots { // those that have one make room for those that have none
		if s.box != nil && left < 4 {
			left++
			pod, box := s.pod, s.box
			s.pod, s.box = nil, nil
			s.mayRelease(pod, s.address)
			s.delBox(box, pod, 1)
			s.forget(pod, 0)
			w.truth.Unpin(s.identityOf(pod))
		}
	}
	g.each(func(s *slot) {
		for deadline := w.clock.Now().Add(12 * time.Second); s.pod != nil && s.box == nil && w.clock.Now().Before(deadline) && !w.quiet.Load(); {
			if s.try() != nil {
				w.pause(300 * time.Millisecond)
			}
		}
	})
	g.leave()
}

// deleteNamespace is F23. What its controllers do elsewhere is done here: delete what is in it, again and again, then let it go.
func deleteNamespace(w *world, rng *rand.Rand) {
	name := fmt.Sprintf("doomed-%d", rng.Uint32())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.must("creating a namespace", func() error { return ignoreExists(w.admin.Create(w.ctx, ns.DeepCopy())) })
	w.must("creating a network", func() error { return ignoreExists(w.admin.Create(w.ctx, network(name, "main"))) })
	g := w.newGuests(rng, name, "main", "guest", 6)
	g.each(func(s *slot) {
		s.create()
		for range 3 {
			if s.pod == nil || s.try() == nil {
				break
			}
			w.pause(200 * time.Millisecond)
		}
	})
	w.must("deleting a namespace", func() error { return client.IgnoreNotFound(w.admin.Delete(w.ctx, ns.DeepCopy())) })
	w.inject("F23", "namespace deleted", "m5-m6") // its pods run
	end := w.plan.during("F23", "namespace deleted", func(r *faultproxy.Request) bool { return strings.HasPrefix(podOf(r), name+"/") })
	defer end()
	// An ADD of a namespace that is going is refused, or done; either way nothing is left of it.
	g.each(func(s *slot) {
		if s.pod != nil && s.box == nil {
			_ = s.try()
		}
	})
	g.leave()
	for deadline := w.clock.Now().Add(90 * time.Second); w.pause(300 * time.Millisecond); {
		w.must("deleting pods", func() error {
			return w.admin.DeleteAllOf(w.ctx, &corev1.Pod{}, client.InNamespace(name), client.GracePeriodSeconds(0))
		})
		var claims v1alpha1.MacClaimList
		w.must("listing claims", func() error { return w.admin.List(w.ctx, &claims, client.InNamespace(name)) })
		for i := range claims.Items {
			_ = w.admin.Delete(w.ctx, &claims.Items[i]) // refused while it is held
		}
		if len(claims.Items) == 0 {
			break
		}
		if w.clock.Now().After(deadline) {
			w.violation(oracle.Violation{Kind: oracle.Orphan, Text: fmt.Sprintf("namespace %s cannot go: %d claims, such as %s, holder %v",
				name, len(claims.Items), claims.Items[0].Name, claims.Items[0].Status.Holder)})
			return
		}
	}
	w.must("letting a namespace go", func() error {
		live := &corev1.Namespace{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Name: name}, live); err != nil {
			return client.IgnoreNotFound(err)
		}
		live.Spec.Finalizers = nil
		return client.IgnoreNotFound(w.admin.SubResource("finalize").Update(w.ctx, live))
	})
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// quota is F36: the API server refuses claims by a ResourceQuota, until it does not.
func quota(w *world, rng *rand.Rand) {
	name := fmt.Sprintf("quota-%d", rng.Uint32())
	const hard = "count/macclaims.macpool.dev"
	w.must("creating a namespace", func() error {
		return ignoreExists(w.admin.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	})
	w.must("creating a network", func() error { return ignoreExists(w.admin.Create(w.ctx, network(name, "main"))) })
	limit := corev1.ResourceList{hard: resource.MustParse("0")}
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "claims"}, Spec: corev1.ResourceQuotaSpec{Hard: limit}}
	w.must("creating a quota", func() error { return ignoreExists(w.admin.Create(w.ctx, q.DeepCopy())) })
	w.must("counting for a quota", func() error { // its controller's part
		live := &corev1.ResourceQuota{}
		if err := w.admin.Get(w.ctx, client.ObjectKeyFromObject(q), live); err != nil {
			return err
		}
		live.Status = corev1.ResourceQuotaStatus{Hard: limit, Used: limit}
		return w.admin.Status().Update(w.ctx, live)
	})
	g := w.newGuests(rng, name, "main", "guest", 3)
	var refused errGroup
	g.each(func(s *slot) {
		s.create()
		if s.pod != nil {
			refused.add(s.try())
		}
	})
	if refused.any("quota") {
		w.inject("F36", "quota refuses claims", "m0-m1")
	}
	w.must("deleting a quota", func() error { return client.IgnoreNotFound(w.admin.Delete(w.ctx, q.DeepCopy())) })
	g.each(func(s *slot) {
		for deadline := w.clock.Now().Add(8 * time.Second); s.pod != nil && s.box == nil && w.clock.Now().Before(deadline); {
			if s.try() != nil {
				w.pause(300 * time.Millisecond)
			}
		}
	})
	g.leave()
}

// errGroup collects errors.
type errGroup struct {
	mu   sync.Mutex
	errs []error
}

func (g *errGroup) add(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err)
}

func (g *errGroup) any(text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := errors.Join(g.errs...)
	return err != nil && strings.Contains(err.Error(), text)
}
