// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/e2e/chaos/pressure"
)

// recoverWithin is how long the cluster has to give out addresses again after the API has gone back in time and is there again: each
// agent must have noticed and reported. Time in which something waited for a CPU of this machine does not count.
const recoverWithin = 90 * time.Second

// goBack is F28: etcd is restored from a copy that is some seconds old, while pods come and go. What was made since is unknown to the API, and
// what was deleted is back; sandboxes are as they were.
func goBack(w *world, rng *rand.Rand) {
	w.awaitPlane()
	if err := w.plane.snapshot("snapshot"); err != nil {
		w.logf("no snapshot: %v", err)
		return
	}
	w.pause(w.between(rng, time.Second, 5*time.Second))
	before := w.clock.Now()
	defer w.recovering(before)()
	if err := w.restorePlane("snapshot"); err != nil {
		w.violation(oracle.Violation{Kind: "driver", Text: "restoring: " + err.Error()})
		return
	}
	w.inject("F28", "etcd restored to the past", "m5-m6")
	end := w.plan.during("F28", "etcd restored to the past", nil)
	defer end()
	w.mu.Lock()
	w.report.Restores++
	w.mu.Unlock()
	// Kubelets see what the API says now a little later than the agents do, some a good deal later.
	w.pause(w.between(rng, 0, 4*time.Second))
	w.hurry.Store(true)
	w.back.Lock()
	w.hurry.Store(false)
	w.reconcilePods()
	w.back.Unlock()
	if err := w.awaitAllocation(before); err != nil {
		w.violation(oracle.Violation{Kind: "stuck", Text: err.Error()})
	}
}

// recovering holds the ledger's judgement until the API is what the nodes know.
func (w *world) recovering(since time.Time) (done func()) {
	w.unsure.Store(true)
	w.truth.Loose(true)
	return func() {
		w.truth.Loose(false)
		w.ledger.Unsure(since.Add(-settleLog), w.clock.Now())
		w.unsure.Store(false)
	}
}

// settleLog is how far behind the ledger is: it may not have judged yet what was before.
const settleLog = 5 * time.Second

// restorePlane stops etcd and the API server, and starts them with a snapshot.
func (w *world) restorePlane(name string) error {
	w.blind.Store(true)
	for _, u := range []*unit{w.api, w.etcd} {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.down {
			return errors.New(u.name + " is down")
		}
	}
	w.starts.Add(1)
	w.planes.Add(1)
	if err := w.plane.restore(w.ctx, name); err != nil {
		return err
	}
	w.etcd.proc, w.api.proc = w.plane.process("etcd"), w.plane.process("kube-apiserver")
	w.upstream.CloseIdle()
	// From here on the log is of another time. What nobody is attached with may have another owner in it.
	w.pause(200 * time.Millisecond)
	w.forgotten()
	return nil
}

// forgotten : what was known of addresses that nobody is attached with holds no more.
func (w *world) forgotten() {
	w.ledger.Reset()
	w.truth.UnpinAll()
	kept := map[string]bool{}
	for _, a := range w.truth.Attached() {
		kept[a.Identity] = true
	}
	w.history.Forgotten(kept, w.clock.Now())
}

// reconcilePods is what kubelets and the StatefulSet controller do when the API has other pods than they knew: sandboxes of pods that are
// gone end, and pods that are back run again.
func (w *world) reconcilePods() {
	var pods corev1.PodList
	if !w.must("listing pods", func() error { return w.admin.List(w.ctx, &pods) }) {
		return
	}
	there := map[string]*corev1.Pod{}
	for i := range pods.Items {
		there[pods.Items[i].Namespace+"/"+pods.Items[i].Name] = &pods.Items[i]
	}
	var all sync.WaitGroup
	for _, s := range w.slots {
		key := s.ns + "/" + s.name()
		live := there[key]
		delete(there, key)
		if s.pod != nil && live != nil && live.UID == s.pod.UID || s.pod == nil && live == nil {
			continue
		}
		all.Go(func() { s.becomes(live) })
	}
	all.Wait()
	// The rest are bare pods of before, which nobody runs any more.
	for _, pod := range there {
		w.must("deleting a pod that came back", func() error {
			return client.IgnoreNotFound(w.admin.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
		})
	}
}

// becomes lets the slot be another pod, or none.
func (s *slot) becomes(live *corev1.Pod) {
	if s.box != nil {
		s.delBox(s.box, s.pod, 1)
	}
	if s.pod != nil && s.set == nil {
		s.w.truth.Unpin(s.identityOf(s.pod))
	}
	s.pod, s.box, s.lease = nil, nil, nil
	if live == nil {
		return
	}
	for _, n := range s.w.nodes {
		if n.name == live.Spec.NodeName {
			s.node, s.pod, s.made = n, live, s.w.clock.Now()
			return
		}
	}
	s.forget(live, 0) // not scheduled yet: its controller makes another
}

// awaitAllocation waits until addresses are given out: every agent has reported since, all are on the pools' timeline, and no pool is
// paused.
func (w *world) awaitAllocation(since time.Time) error {
	var last error
	begin, stalled := w.clock.Now(), pressure.Stalled()
	for w.pause(200 * time.Millisecond) {
		took := w.clock.Since(begin)
		if last = w.allocates(since); last == nil {
			w.figureMax("recoveredAfterSeconds", took.Seconds())
			return nil
		}
		if stall := pressure.Stalled() - stalled; took-stall > recoverWithin || took > 10*recoverWithin {
			return fmt.Errorf("nothing is given out %s after the API went back, %s of which something waited for a CPU: %w", took, stall, last)
		}
	}
	return nil
}

func (w *world) allocates(since time.Time) error {
	var pools v1alpha1.MacPoolList
	var nodes v1alpha1.MacNodeList
	if err := w.admin.List(w.ctx, &pools); err != nil {
		return err
	}
	if err := w.admin.List(w.ctx, &nodes); err != nil {
		return err
	}
	for _, p := range pools.Items {
		if c := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.PoolAllocationPaused); c != nil {
			return fmt.Errorf("pool %s, timeline %d: %s", p.Name, p.Status.Timeline, c.Message)
		}
		if !apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PoolReady) {
			return fmt.Errorf("pool %s is not ready", p.Name)
		}
		for _, n := range nodes.Items {
			if n.Status.Timeline != p.Status.Timeline {
				return fmt.Errorf("node %s is on timeline %d, pool %s on %d", n.Name, n.Status.Timeline, p.Name, p.Status.Timeline)
			}
		}
	}
	reported := 0
	for _, n := range nodes.Items {
		if n.Status.RenewTime.After(since) {
			reported++
		}
	}
	running := 0
	for _, n := range w.allNodes() {
		if n.agent.up() {
			running++
		}
	}
	if reported < running {
		return fmt.Errorf("%d of %d nodes have reported since", reported, running)
	}
	return nil
}

// deleteDefinitions is F27: somebody deletes macpool's definitions, and with them all that was made of them, and applies them again.
func deleteDefinitions(w *world, rng *rand.Rand) {
	w.awaitPlane()
	before := w.clock.Now()
	defer w.recovering(before)()
	w.blind.Store(true)
	crds := filepath.Join(w.plane.root, "config", "crd")
	w.inject("F27", "definitions deleted", "m5-m6")
	end := w.plan.during("F27", "definitions deleted", nil)
	defer end()
	w.must("deleting the definitions", func() error {
		return w.plane.kubectl(w.ctx, "delete", "--ignore-not-found", "--wait=true", "--timeout=30s", "-k", crds)
	})
	w.pause(w.between(rng, 500*time.Millisecond, 3*time.Second))
	w.must("applying the definitions", func() error { return w.plane.kubectl(w.ctx, "apply", "--server-side", "-k", crds) })
	w.must("waiting for the definitions", func() error {
		return w.plane.kubectl(w.ctx, "wait", "--for=condition=Established", "--timeout=60s", "-f", filepath.Join(crds, "bases"))
	})
	w.forgotten()
	w.starts.Add(1) // have it listed
	for _, pool := range pools() {
		w.must("making a pool again", func() error { return ignoreExists(w.admin.Create(w.ctx, pool.DeepCopy())) })
	}
	if err := w.awaitAllocation(before); err != nil {
		w.violation(oracle.Violation{Kind: "stuck", Text: err.Error()})
	}
}
