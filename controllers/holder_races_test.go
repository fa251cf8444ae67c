// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// The manager is paused between its last look at the pod and its write, while the node's agent lets go and a new pod takes hold: the
// evidence was about the old hold, and the write fails (R-G2, M02, M09).
func TestPausedBetweenReadAndWrite(t *testing.T) {
	var mu sync.Mutex
	var onPod func()
	var order []string
	live := func(next client.Reader) client.Reader {
		return intercepted{next, func(ctx context.Context, next client.Reader, key client.ObjectKey, object client.Object) error {
			err := next.Get(ctx, key, object)
			mu.Lock()
			defer mu.Unlock()
			switch object.(type) {
			case *v1alpha1.MacClaim:
				order = append(order, "claim")
			case *corev1.Node:
				order = append(order, "node")
			case *corev1.Pod:
				order = append(order, "pod")
				if onPod != nil && key.Name == "camera" {
					onPod()
				}
			}
			return err
		}}
	}
	h := newHold(t, managerOptions{live: live})
	h.ready(h.node, corev1.ConditionUnknown)
	h.remove(h.pod)
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	other := h.world.node("node-2")
	next := h.world.pod(h.ns, "camera", "", on(other.Name))
	agent := &binding.Binder{Client: h.Client, Index: binding.NewIndex(), Clock: clock.RealClock{}}
	taken := make(chan error, 1)
	mu.Lock()
	order = nil
	key, holder, of := keyOf(h.claim), *h.claim.Status.Holder, binding.AgentReport(h.node.Name)
	onPod = func() {
		onPod = nil
		err := agent.ClearHolder(context.Background(), key, holder.PodUID, holder.Generation, of)
		if err == nil {
			claim := &v1alpha1.MacClaim{}
			if err = h.Get(context.Background(), key, claim); err == nil {
				_, err = agent.SetHolder(context.Background(), claim, v1alpha1.Holder{
					PodName: next.Name, PodUID: next.UID, NodeName: other.Name, Interface: "net1",
				})
			}
		}
		taken <- err
	}
	mu.Unlock()
	h.fence(h.node)
	select {
	case err := <-taken:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(soon):
		t.Fatal("the pod was not looked at")
	}
	h.claim = h.held(h.claim, next)
	h.goesOn()
	if past := h.now().Status.PreviousHolders; len(past) != 1 || past[0].Reason != v1alpha1.EndAgentReport {
		t.Errorf("remembered are %+v", past)
	}
	// Evidence is read after what it is about. Other reconcilers read the claim as well, now that it changes.
	mu.Lock()
	defer mu.Unlock()
	if pod, node := slices.Index(order, "pod"), slices.Index(order, "node"); order[0] != "claim" || pod < 0 || node < pod {
		t.Errorf("it was read in the order %v", order)
	}
}

// mirror makes the pod that stands for a static pod. It has a UID of its own each time; the runtime knows the pod by its hash (M16).
func (w *world) mirror(ns, node string) *corev1.Pod {
	w.t.Helper()
	return w.pod(ns, "static-node-1", "iot", on(node), func(p *corev1.Pod) {
		p.Annotations[corev1.MirrorPodAnnotationKey] = "1234"
		p.Annotations["kubernetes.io/config.hash"] = "1234"
	})
}

// A pod that is there again between two looks has never been gone, and each grace begins anew (R-G3, R-G10, M16). The clock that
// counts is the process's own, and does not go by itself here (R-G8, F13).
func TestPodIsThereAgain(t *testing.T) {
	now := testclock.NewFakePassiveClock(time.Now())
	w := newWorld(t)
	w.startManager(managerOptions{clock: now, grace: 10 * time.Second})
	node, ns, pool := w.node("node-1"), w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.mirror(ns, node.Name)
	h := &hold{world: w, ns: ns, pool: pool, node: node, pod: pod, claim: w.held(w.bound(ns, pod.Name+"."+pool.Name+".net1"), pod)}
	if uid := h.claim.Status.Holder.PodUID; uid != "1234" {
		t.Fatalf("the holder is %s, not the UID that the runtime knows", uid)
	}
	h.ready(node, corev1.ConditionUnknown)
	h.fence(node)
	for range 3 {
		h.remove(pod)
		h.suspected(v1alpha1.ClaimReasonNodeSilent)
		now.SetTime(now.Now().Add(9 * time.Second))
		h.goesOn()
		pod = w.mirror(ns, node.Name)
		h.trusted()
	}
	now.SetTime(now.Now().Add(time.Hour))
	h.goesOn()
	h.remove(pod)
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	h.goesOn()
	now.SetTime(now.Now().Add(10 * time.Second))
	if reason, _ := h.ended(); reason != v1alpha1.EndOutOfService {
		t.Errorf("it ended as %s", reason)
	}
}

// A cache that has lost sight of a pod says nothing, whatever it says, and for however long (M11).
func TestStaleCacheEndsNothing(t *testing.T) {
	var lost atomic.Bool
	h := newHold(t, managerOptions{cached: func(next client.Client) client.Client { return emptyClient{next, emptyReader{next, &lost}} }})
	lost.Store(true)
	h.ready(h.node, corev1.ConditionUnknown)
	h.fence(h.node)
	h.goesOn()
	h.trusted()
	h.remove(h.node)
	h.goesOn()
	h.trusted()
}

// A namespace that is deleted: its pods go first, its claims when nothing holds them any more, and each lease says why (F23). The
// test is the namespace controller, which deletes what it finds again and again.
func TestNamespaceOfAFencedNode(t *testing.T) {
	h := newHold(t, managerOptions{})
	namespace := &corev1.Namespace{}
	if err := h.Get(t.Context(), client.ObjectKey{Name: h.ns}, namespace); err != nil {
		t.Fatal(err)
	}
	h.remove(namespace)
	h.remove(h.pod)
	sweep := func() error {
		return h.DeleteAllOf(t.Context(), &v1alpha1.MacClaim{}, client.InNamespace(h.ns))
	}
	if err := sweep(); !apierrors.IsForbidden(err) {
		t.Fatalf("got %v, want a refusal", err)
	}
	h.goesOn()
	h.ready(h.node, corev1.ConditionUnknown)
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	h.goesOn()
	h.fence(h.node)
	h.eventually(func(g gomega.Gomega) {
		g.Expect(sweep()).To(gomega.Succeed())
		g.Expect(h.now()).To(gomega.BeNil())
	})
	h.released(h.claim.Status.LeaseName)
	past := h.lease(h.claim.Status.LeaseName).Spec.History[0]
	if past.Namespace != h.ns || past.Reason != v1alpha1.EndOutOfService || past.PodName != h.pod.Name || past.NodeName != h.node.Name {
		t.Errorf("remembered is %+v", past)
	}
}
